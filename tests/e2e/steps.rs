//! The steps of the journey, in their order. Each leaves a ready plugin for the next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use simulators::slack::{BOT_TOKEN, Token, scopes};
use simulators::teleport::NewReview;

use crate::faults::whatever_is_wrong_is_said_in_one_line_and_heals_when_mended;
use crate::journey::{Journey, condition, outage};

type Step = fn(Arc<Journey>) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! steps {
    ($($step:ident,)*) => { &[$((stringify!($step), |journey| Box::pin($step(journey)))),*] };
}

/// Every step with its name.
pub(crate) const STEPS: &[(&str, Step)] = steps![
    the_documented_commands_lead_to_a_ready_plugin,
    helm_test_passes,
    what_the_chart_and_the_manifests_can_render_is_accepted_by_the_api_server,
    a_request_is_announced_to_its_recipients_and_brought_up_to_date,
    a_new_identity_is_taken_up_without_a_restart,
    a_new_token_is_taken_up_without_a_restart,
    a_broken_identity_is_reported_while_the_old_one_works_on,
    a_missing_secret_is_named_and_healed_by_its_creation,
    an_edited_recipient_map_takes_effect,
    two_replicas_announce_once,
    a_killed_worker_loses_and_doubles_nothing,
    a_killed_operator_disturbs_no_worker,
    requests_are_announced_while_the_api_server_is_away,
    whatever_is_wrong_is_said_in_one_line_and_heals_when_mended,
    nobody_was_refused_and_nobody_asked_for_a_secret,
    an_upgrade_and_a_rollback_of_the_chart_disturb_no_worker,
    an_uninstalled_chart_leaves_definition_objects_and_workers,
    a_deleted_plugin_leaves_nothing_behind,
    nothing_was_lost_or_doubled_over_the_whole_journey,
];

/// Where the sample announces requests for `dba`, and for everything else.
const DBA: &[&str] = &["dba-oncall", "alice@example.com"];
const ANY: &[&str] = &["access-requests"];

async fn the_documented_commands_lead_to_a_ready_plugin(journey: Arc<Journey>) {
    // Every pod of the journey has to satisfy Pod Security "restricted", or the API server refuses it.
    journey.shell("kubectl create namespace teleport").await;
    journey.shell("kubectl label namespace teleport default pod-security.kubernetes.io/enforce=restricted").await;
    let mut applied = None;
    for command in Journey::documented_commands() {
        println!("  $ {}", command.replace(BOT_TOKEN, "xoxb-…"));
        if command.starts_with("kubectl apply") {
            applied = Some(Instant::now());
        }
        let printed = journey.shell(&command).await;
        if command.starts_with("kubectl wait") {
            let took = applied.unwrap().elapsed();
            println!("  from apply to Ready: {:.1} s (target: 10 s)", took.as_secs_f64());
        }
        if command.starts_with("kubectl get sap") {
            println!("{printed}");
            assert!(printed.contains("True"), "{printed}");
        }
    }
}

async fn helm_test_passes(journey: Arc<Journey>) {
    let printed = journey.shell("helm test slack-access-operator -n teleport").await;
    assert!(printed.contains("Succeeded"), "{printed}");
}

async fn what_the_chart_and_the_manifests_can_render_is_accepted_by_the_api_server(journey: Arc<Journey>) {
    let chart =
        "helm template other charts/slack-access-operator -n teleport --kube-version 1.34.0 --set crds.enabled=false";
    let everything = "--set networkPolicy.enabled=true --set monitoring.dashboard.enabled=true --set replicas=2";
    let apply = "kubectl apply --server-side --dry-run=server --force-conflicts";
    journey.shell(&format!("{chart} {everything} | {apply} -f -")).await;
    journey.shell(&format!("{chart} {everything} --set 'watchNamespaces={{default}}' | {apply} -f -")).await;
    journey.shell(&format!("{apply} -f manifests/install.yaml")).await;
    journey.shell(&format!("{apply} -k manifests")).await;
}

async fn a_request_is_announced_to_its_recipients_and_brought_up_to_date(journey: Arc<Journey>) {
    let outside = &journey.outside;
    let id = outside.request("dba", DBA);
    println!("  announced after {:?}", outside.announced(&id).await);
    outside.works("access", ANY).await;
    let before = outside.announcement("dba-oncall", &id);
    outside.teleport.review(&id, &NewReview::approve("carol@example.com", "fine")).unwrap();
    let brought_up_to_date = |_: &_| {
        let now = outside.announcement("dba-oncall", &id);
        format!("{:?}", now.blocks) != format!("{:?}", before.blocks) || now.text != before.text
    };
    outside.slack.workspace().wait_for(brought_up_to_date, Duration::from_secs(30)).await.unwrap();
}

async fn a_new_identity_is_taken_up_without_a_restart(journey: Arc<Journey>) {
    let workers = journey.workers().await;
    let expiry = journey.sign_identity(Duration::from_hours(48));
    journey.put_secret("teleport-slack-identity", "--from-file=auth_id=auth.pem").await;
    let took = journey
        .until("the status tells the new identity's end", async || {
            let told = &journey.plugin().await["status"]["teleport"]["identityExpiresAt"];
            let told: Option<jiff::Timestamp> = told.as_str().and_then(|time| time.parse().ok());
            told.and_then(|time| u64::try_from(time.as_second()).ok()) == Some(expiry)
        })
        .await;
    println!("  from the Secret's update to the new identity in the status: {took:?}");
    journey.until_condition("Ready", "True").await;
    journey.outside.works("access", ANY).await;
    assert_eq!(journey.workers().await, workers, "no pod was replaced or restarted");
}

async fn a_new_token_is_taken_up_without_a_restart(journey: Arc<Journey>) {
    let workers = journey.workers().await;
    let slack = journey.outside.slack.workspace();
    slack.add_token(Token::bot("xoxb-second-token", scopes::NOTIFY_AND_LOOK));
    journey.put_secret("slack-bot-token", "--from-literal=token=xoxb-second-token").await;
    let metrics = format!("kubectl get --raw /api/v1/namespaces/default/pods/{}:8081/proxy/metrics", workers[0].name);
    journey
        .until("the worker counts a token taken up", async || {
            journey.shell(&metrics).await.contains(r#"slack_access_token_reloads_total{outcome="ok"} 1"#)
        })
        .await;
    slack.revoke_token(BOT_TOKEN);
    journey.outside.works("access", ANY).await;
    journey.until_condition("Ready", "True").await;
    assert_eq!(journey.workers().await, workers, "no pod was replaced or restarted");
}

async fn a_broken_identity_is_reported_while_the_old_one_works_on(journey: Arc<Journey>) {
    let workers = journey.workers().await;
    journey.put_secret("teleport-slack-identity", "--from-literal=auth_id=broken").await;
    let said = journey.until_condition("IdentityValid", "False").await;
    println!("  {}: {}", said["reason"], said["message"]);
    journey.outside.works("access", ANY).await;
    journey.put_secret("teleport-slack-identity", "--from-file=auth_id=auth.pem").await;
    journey.until_condition("IdentityValid", "True").await;
    journey.until_condition("Ready", "True").await;
    assert_eq!(journey.workers().await, workers, "no pod was replaced or restarted");
}

async fn a_missing_secret_is_named_and_healed_by_its_creation(journey: Arc<Journey>) {
    journey.shell("kubectl delete sap slack --wait && kubectl delete secret teleport-slack-identity").await;
    journey.until("the workers are gone", async || journey.workers().await.is_empty()).await;
    let while_away = journey.outside.request("access", ANY);
    journey.shell("kubectl apply -f manifests/sample.yaml").await;
    let said = journey.until_condition("IdentityValid", "False").await;
    println!("  {}: {}", said["reason"], said["message"]);
    assert!(said["message"].as_str().unwrap().contains("teleport-slack-identity"), "{said}");
    let shown = journey.until_condition("Ready", "False").await;
    assert_eq!(shown["message"], said["message"], "what `kubectl get sap` shows is what is wrong");
    journey.put_secret("teleport-slack-identity", "--from-file=auth_id=auth.pem").await;
    journey.until_condition("Ready", "True").await;
    journey.outside.announced_and_decided(&while_away).await;
}

async fn an_edited_recipient_map_takes_effect(journey: Arc<Journey>) {
    journey.patch(r#"{"spec":{"roleToRecipients":{"dba":["general"]}}}"#).await;
    // One made while the old worker hands over to the new one, for a role that stays as it was.
    let during = journey.outside.request("access", ANY);
    journey.until_condition("Ready", "True").await;
    journey.outside.announced_and_decided(&during).await;
    journey.outside.works("dba", &["general"]).await;
    journey.patch(r#"{"spec":{"roleToRecipients":{"dba":["no-such-channel"]}}}"#).await;
    let said = journey.until_condition("RecipientsResolved", "False").await;
    assert!(said["message"].as_str().unwrap().contains("no-such-channel"), "{said}");
    println!("  {}: {}", said["reason"], said["message"]);
    journey.shell("kubectl apply -f manifests/sample.yaml").await;
    journey.until_condition("Ready", "True").await;
    journey.outside.works("dba", DBA).await;
}

async fn two_replicas_announce_once(journey: Arc<Journey>) {
    journey.patch(r#"{"spec":{"workload":{"replicas":2}}}"#).await;
    let ready = "kubectl get deployment slack-access-slack -o jsonpath={.status.readyReplicas}";
    journey.until("two ready workers", async || journey.shell(ready).await == "2").await;
    journey.until_condition("Ready", "True").await;
    let budget = journey.shell("kubectl get poddisruptionbudgets -l slackaccess.dev/plugin=slack -o name").await;
    assert!(!budget.is_empty(), "two workers have a disruption budget");
    let requests: Vec<String> = (0..6).map(|_| journey.outside.request("dba", DBA)).collect();
    for request in &requests {
        journey.outside.announced_and_decided(request).await;
    }
    journey.patch(r#"{"spec":{"workload":{"replicas":1}}}"#).await;
    journey.until("one worker", async || journey.workers().await.len() == 1).await;
    journey.until_condition("Ready", "True").await;
}

async fn a_killed_worker_loses_and_doubles_nothing(journey: Arc<Journey>) {
    let requests: Vec<String> = (0..3).map(|_| journey.outside.request("access", ANY)).collect();
    journey.shell("kubectl delete pod -l slackaccess.dev/plugin=slack --grace-period=0 --force").await;
    let after = journey.outside.request("access", ANY);
    for request in requests.iter().chain([&after]) {
        journey.outside.announced_and_decided(request).await;
    }
    journey.until_condition("Ready", "True").await;
}

async fn a_killed_operator_disturbs_no_worker(journey: Arc<Journey>) {
    let workers = journey.workers().await;
    let killed = journey.operators().await;
    journey
        .shell("kubectl -n teleport delete pod -l app.kubernetes.io/component=controller --grace-period=0 --force")
        .await;
    journey.outside.works("access", ANY).await;
    journey.until("another operator", async || !killed.contains(&journey.operators().await[0])).await;
    // The new one acts on an edit; the worker has the same configuration after it and is not replaced.
    journey.patch(r#"{"spec":{"workload":{"replicas":2}}}"#).await;
    journey.until("a second worker", async || journey.workers().await.len() == 2).await;
    journey.patch(r#"{"spec":{"workload":{"replicas":1}}}"#).await;
    journey.until("one worker", async || journey.workers().await.len() == 1).await;
    journey.until_condition("Ready", "True").await;
    let left = journey.workers().await;
    assert!(left.iter().all(|pod| workers.contains(pod) || pod.restarts == 0), "{left:?}");
}

async fn requests_are_announced_while_the_api_server_is_away(journey: Arc<Journey>) {
    let pods = (journey.workers().await, journey.operators().await);
    journey.node.take_api_server_away();
    let began = Instant::now();
    let mut announced = 0;
    while began.elapsed() < outage() {
        journey.outside.works("access", ANY).await;
        announced += 1;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(journey.plugin().await, Value::Null, "the API server was away all the time");
    println!("  {announced} requests announced in {:.0} s without an API server", began.elapsed().as_secs_f64());
    journey.bring_api_server_back().await;
    journey.outside.works("access", ANY).await;
    // An edit shows that the operator is back at work, and the answer that the worker's reports arrive.
    journey.patch(r#"{"spec":{"roleToRecipients":{"audit":["general"]}}}"#).await;
    journey.until_condition("Ready", "True").await;
    journey.outside.works("audit", &["general"]).await;
    assert_eq!(journey.operators().await, pods.1, "the operator waited; nobody restarted it");
    assert!(journey.workers().await.iter().all(|pod| pod.restarts == 0));
}

async fn an_upgrade_and_a_rollback_of_the_chart_disturb_no_worker(journey: Arc<Journey>) {
    let workers = journey.workers().await;
    let described = "kubectl get crd slackaccessplugins.slackaccess.dev -o yaml";
    let old = "Announces the access requests of a Teleport cluster in Slack.";
    // A later chart: another definition, other settings.
    journey.shell("cp -rL charts/slack-access-operator later").await;
    journey.shell(&format!("sed -i 's/{old}/A later definition./' later/files/slackaccessplugins.yaml")).await;
    let set = "--set log.severity=debug --set 'watchNamespaces={default}'";
    journey.shell(&format!("helm upgrade slack-access-operator later -n teleport {set} --wait")).await;
    assert!(
        journey.shell(described).await.contains("A later definition."),
        "the definition is upgraded with the chart"
    );
    // With rights in this namespace only, an edit is still acted upon.
    journey.patch(r#"{"spec":{"workload":{"replicas":2}}}"#).await;
    journey.until("a second worker", async || journey.workers().await.len() == 2).await;
    journey.outside.works("access", ANY).await;
    journey.patch(r#"{"spec":{"workload":{"replicas":1}}}"#).await;
    journey.until("one worker", async || journey.workers().await.len() == 1).await;

    journey.shell("helm rollback slack-access-operator 1 -n teleport --wait").await;
    assert!(journey.shell(described).await.contains(old), "and rolled back with it");
    journey.until_condition("Ready", "True").await;
    journey.outside.works("access", ANY).await;
    let left = journey.workers().await;
    assert!(left.iter().all(|pod| workers.contains(pod) || pod.restarts == 0), "{left:?}");
}

async fn an_uninstalled_chart_leaves_definition_objects_and_workers(journey: Arc<Journey>) {
    let workers = journey.workers().await;
    journey.shell("helm uninstall slack-access-operator -n teleport --wait").await;
    assert_ne!(journey.plugin().await, Value::Null, "definition and object are kept");
    journey.outside.works("access", ANY).await;
    assert_eq!(journey.workers().await, workers);
    journey.shell("helm install slack-access-operator charts/slack-access-operator -n teleport --wait").await;
    journey.until_condition("Ready", "True").await;
    assert_eq!(journey.workers().await, workers, "a new operator takes over what it finds");
}

async fn a_deleted_plugin_leaves_nothing_behind(journey: Arc<Journey>) {
    journey.shell("kubectl delete sap slack --wait").await;
    let kinds = "deployments,replicasets,pods,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    let left = format!("kubectl get {kinds} -l app.kubernetes.io/managed-by=slack-access-operator -o name");
    journey.until("its parts are gone", async || journey.shell(&left).await.is_empty()).await;
    let secrets = journey.shell("kubectl get secrets -o name").await;
    assert!(secrets.contains("teleport-slack-identity"), "the user's Secrets stay: {secrets}");
}

/// Before the chart is changed: while rights come and go, refusals are as they should be.
async fn nobody_was_refused_and_nobody_asked_for_a_secret(journey: Arc<Journey>) {
    let ours = |event: &Value| {
        let user = event["user"]["username"].as_str().unwrap_or_default();
        user.starts_with("system:serviceaccount:teleport:")
            || user.starts_with("system:serviceaccount:default:slack-access-")
    };
    let events = journey.node.audit();
    let starting = journey.api_server_was_starting();
    let ours: Vec<(usize, &Value)> = events.iter().enumerate().filter(|(_, event)| ours(event)).collect();
    assert!(!ours.is_empty());
    for (at, event) in ours {
        assert_ne!(event["objectRef"]["resource"], "secrets", "{event}");
        let refused = event["responseStatus"]["code"] == 403;
        assert!(!refused || starting.contains(&at), "{event}");
    }
}

async fn nothing_was_lost_or_doubled_over_the_whole_journey(journey: Arc<Journey>) {
    let requests = journey.outside.nothing_lost_or_doubled();
    println!("  {requests} requests, each announced once wherever it had to be");
    // A worker that has just started, or the other of two, cannot know what a third was told to wait for.
    let violations = journey.outside.slack.workspace().violations();
    let ours: Vec<_> =
        violations.iter().filter(|violation| !violation.what.contains("a 429 had asked to wait")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(condition(&journey.plugin().await, "Ready"), Value::Null, "the plugin was deleted before");
}
