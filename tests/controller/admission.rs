//! What is refused when an object is written, and with which words.

use serde_json::{Value, json};

use crate::room::{Room, minimal, with, with_variable};

/// What the API server says when it refuses.
async fn refusal(room: &Room, plugin: &Value) -> String {
    match room.apply(plugin).await {
        Err(kube::Error::Api(status)) => status.message.clone(),
        Err(error) => panic!("not an answer: {error}"),
        Ok(_) => panic!("accepted: {plugin}"),
    }
}

#[tokio::test]
async fn the_least_that_is_needed_is_accepted_and_completed() {
    let room = Room::new().await;
    let plugin = room.apply(&minimal()).await.unwrap();
    assert_eq!(plugin.spec.slack.api_url, "https://slack.com/api/");
    assert_eq!(plugin.spec.slack.token.secret_ref.key, "token");
    assert_eq!(plugin.spec.workload.replicas, 1);
}

#[tokio::test]
async fn everything_that_can_be_known_then_is_refused_in_plain_words() {
    let room = Room::new().await;
    let identity = json!({"secretRef": {"name": "id"}});
    let cases = [
        (with("/spec/teleport", json!({"address": "a.example.com:443"})), "exactly one of teleport.join"),
        (
            with("/spec/teleport", json!({"address": "a:443", "identity": identity, "join": {"token": "t"}})),
            "exactly one of teleport.join",
        ),
        (with("/spec/teleport", json!({"address": "a:443", "join": {"token": "a b"}})), "without spaces"),
        (
            with("/spec/teleport", json!({"address": "a:443", "join": {"token": "t", "caPins": ["sha256:00"]}})),
            "64 hexadecimal digits",
        ),
        (
            with(
                "/spec/teleport",
                json!({"address": "a:443", "identity": identity, "tls": {"secretRef": {"name": "t"}}}),
            ),
            "exactly one of teleport.join",
        ),
        (with("/spec/teleport/address", json!("teleport.example.com")), "must be host:port without a scheme"),
        (with("/spec/teleport/address", json!("https://teleport.example.com:443")), "must be host:port"),
        (with("/spec/teleport/address", json!("teleport.example.com:0")), "between 1 and 65535"),
        (with("/spec/teleport/address", json!("teleport.example.com:70000")), "between 1 and 65535"),
        (with("/spec/teleport/address", json!("teleport..example.com:443")), "must be host:port"),
        (with("/spec/teleport/address", json!("[::::]:443")), "must be host:port"),
        (with("/spec/teleport/caBundle", json!({})), "exactly one of configMapRef and secretRef"),
        (with("/spec/slack/apiUrl", json!("ftp://slack.example.com/api/")), "must be an https:// address"),
        (with("/spec/slack/apiUrl", json!("slack.com/api")), "must be an https:// address"),
        (with("/spec/slack/apiUrl", json!("https://")), "must have a host"),
        (with("/spec/slack/apiUrl", json!("https://user:secret@slack.com/api/")), "no user, password"),
        (with("/spec/slack/apiUrl", json!("https://slack.com/api/?pretty=1")), "no user, password"),
        (with("/spec/slack/apiUrl", json!("https://slack.com:99999/api/")), "between 1 and 65535"),
        (with("/spec/slack/token", json!({"secretRef": {"name": ""}})), "spec.slack.token.secretRef.name"),
        (with("/spec/slack/token", json!({"secretRef": {"name": "a..b"}})), "spec.slack.token.secretRef.name"),
        (with("/spec/slack/token", json!({"secretRef": {"name": "t", "key": "..data"}})), "secretRef.key"),
        (with("/spec/roleToRecipients", json!({})), "nobody would be told"),
        (with("/spec/roleToRecipients", json!({"dba": []})), "a role without recipients"),
        (with("/spec/roleToRecipients", json!({" dba": ["x"]})), "spaces around it"),
        (with("/spec/roleToRecipients", json!({"dba": ["Not A Channel"]})), "neither a channel name"),
        (with("/spec/roleToRecipients", json!({"dba": ["@alice"]})), "neither a channel name"),
        (with("/spec/roleToRecipients", json!({"dba": ["alice@"]})), "neither a channel name"),
        (with("/spec/roleToRecipients", json!({"dba": ["a, b"]})), "neither a channel name"),
        // The worker would take these for channels.
        (with("/spec/roleToRecipients", json!({"dba": ["a..b@example.com"]})), "neither a channel name"),
        (with("/spec/roleToRecipients", json!({"dba": ["alice@example.com."]})), "neither a channel name"),
        (with("/spec/roleToRecipients", json!({"dba": ["alice(dba)@example.com"]})), "neither a channel name"),
        (with("/spec/roleToRecipients", json!({"dba": "x"})), "spec.roleToRecipients.dba"),
        (with("/spec/workload", json!({"replicas": 0})), "spec.workload.replicas"),
        (with("/spec/workload", json!({"replicas": 11})), "spec.workload.replicas"),
        (with("/spec/workload", json!({"env": [{"name": "TZ"}, {"name": "TZ"}]})), "duplicate entries"),
        (with("/spec/workload", json!({"env": [{"name": ""}]})), "spec.workload.env[0].name"),
        (
            with_variable(json!({"name": "SLACK_ACCESS_OPERATOR_POD", "value": "x"})),
            "a worker takes these variables only",
        ),
        (
            with_variable(json!({"name": "TELEPORT_SLACK_SLACK_API_URL", "value": "x"})),
            "a worker takes these variables only",
        ),
        (with_variable(json!({"name": "LD_PRELOAD", "value": "/x.so"})), "a worker takes these variables only"),
        (with_variable(json!({"name": "KUBECONFIG", "value": "/x"})), "a worker takes these variables only"),
        (
            with_variable(json!({"name": "TZ", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
            "a worker's variables have literal values",
        ),
        (with_variable(json!({"name": "HTTPS_PROXY", "value": "http://$(PW):x@p"})), "have literal values"),
        (
            with_variable(
                json!({"name": "SSL_CERT_FILE", "value": "/var/run/slack-access-operator/configmaps/c/ca.crt"}),
            ),
            "must be a file of the image",
        ),
        (
            with_variable(json!({"name": "SSL_CERT_FILE", "value": "/usr/../proc/self/environ"})),
            "must be a file of the image",
        ),
        (
            with("/spec/workload", json!({"tolerations": [{"key": "k", "operator": "Exist"}]})),
            "tolerations[0].operator",
        ),
        (with("/spec/workload", json!({"tolerations": [{"key": "k", "effect": "Never"}]})), "tolerations[0].effect"),
        (
            with("/spec/workload", json!({"tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]})),
            "the operator Exists has no value",
        ),
        (with("/spec/workload", json!({"labels": {"slackaccess.dev/plugin": "other"}})), "are the operator's"),
        (with("/spec/workload", json!({"labels": {"team": "data & tools"}})), "spec.workload.labels.team"),
        (with("/spec/workload", json!({"labels": {"the team": "data"}})), "a key is not one that Kubernetes takes"),
        (with("/spec/workload", json!({"annotations": {"a/b/c": ""}})), "a key is not one that Kubernetes takes"),
        (with("/spec/workload", json!({"nodeSelector": {"disk": "-"}})), "spec.workload.nodeSelector.disk"),
        (
            with("/spec/workload", json!({"serviceAccount": {"annotations": {"": "x"}}})),
            "a key is not one that Kubernetes takes",
        ),
        (
            with("/spec/workload", json!({"resources": {"limits": {"cpu": "lots"}}})),
            "spec.workload.resources.limits.cpu",
        ),
        (
            with("/spec/workload", json!({"resources": {"requests": {"memory": "-64Mi"}}})),
            "spec.workload.resources.requests.memory",
        ),
        (with("/spec/workload", json!({"resources": {"limits": {"cpu": -0.5}}})), "spec.workload.resources.limits.cpu"),
        (with("/spec/log", json!({"severity": "loud"})), "spec.log.severity"),
        (with("/spec/review", json!({"enabled": true})), "review.enabled needs slack.appToken"),
        (with("/spec/review", json!({"enabled": true, "slackUserIdTrait": ""})), "nobody could review"),
        (with("/spec/review", json!({"slackUserIdTrait": " x"})), "has spaces around it"),
        (with("/spec/review", json!({"reason": "sometimes"})), "spec.review.reason"),
        (with("/spec/slack/appToken", json!({"secretRef": {"name": ""}})), "spec.slack.appToken.secretRef.name"),
        (with("/metadata/name", json!("n".repeat(46))), "metadata.name is too long"),
    ];
    for (plugin, words) in &cases {
        let said = refusal(&room, plugin).await;
        assert!(said.contains(words), "{said}\n  should say: {words}");
    }
}

#[tokio::test]
async fn what_works_is_not_refused() {
    let room = Room::new().await;
    let cases = [
        with("/spec/teleport/address", json!("[2001:db8::1]:3025")),
        with("/spec/teleport/address", json!("10.0.0.1:3080")),
        with("/spec/teleport", json!({"address": "a:443", "tls": {"secretRef": {"name": "t"}}})),
        with("/spec/slack/apiUrl", json!("http://slack-simulator.tools:8080/api/")),
        with("/spec/slack/apiUrl", json!("https://slack-gov.com/api/")),
        with(
            "/spec/roleToRecipients",
            json!({"*": ["#general", "C024BE91L", "U024BE7LH", "alice+dba@example.com", "o'brien@example.com", "日本語", "a_b-c1"]}),
        ),
        with(
            "/spec/workload",
            json!({"resources": {"limits": {"cpu": 1, "memory": "64Mi"}, "requests": {"cpu": 0.5, "memory": "+1e3"}}, "affinity": {"nodeAffinity": {}}}),
        ),
        with(
            "/spec/workload",
            json!({
                "labels": {"team": "data", "example.com/cost-center": ""},
                "annotations": {"prometheus.io/scrape": "true", "note": "anything: \n& more"},
                "nodeSelector": {"kubernetes.io/arch": "arm64"},
                "env": [
                    {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
                    {"name": "no_proxy", "value": "10.0.0.0/8,.svc"},
                    {"name": "SSL_CERT_FILE", "value": "/etc/ssl/certs/company.pem"},
                ],
                "tolerations": [{"operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoSchedule"}],
            }),
        ),
        with("/spec/review", json!({"slackUserIdTrait": "", "allowEmailMatch": true, "reason": "always"})),
        with("/spec/slack/appToken", json!({"secretRef": {"name": "slack-app-token"}})),
        with("/metadata/name", json!("n".repeat(45))),
    ];
    for plugin in &cases {
        room.apply(plugin).await.unwrap_or_else(|error| panic!("{error}\n{plugin}"));
    }
}
