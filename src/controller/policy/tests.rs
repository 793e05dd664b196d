use crate::controller::fixtures::{minimal, minimal_with, plugin};
use crate::controller::policy::*;

const OWN: &str = "example.com/operator:1";

fn refused(policy: &Policy, plugin: &SlackAccessPlugin) -> String {
    policy.check(plugin, ["slack-bot-token"], OWN).map_or_else(|refusal| refusal.to_string(), |()| String::new())
}

fn with_slack(slack: &str) -> SlackAccessPlugin {
    plugin(&format!(
        "teleport: {{address: 'a:1', identity: {{secretRef: {{name: teleport-id}}}}}}\n\
         slack: {{token: {{secretRef: {{name: slack-token}}}}, {slack}}}\nroleToRecipients: {{'*': [x]}}"
    ))
}

#[test]
fn the_least_that_is_needed_is_allowed_by_default() {
    assert_eq!(refused(&Policy::default(), &minimal()), "");
    assert_eq!(refused(&Policy::default(), &with_slack("apiUrl: 'https://slack-gov.com/api/'")), "");
    assert_eq!(refused(&Policy::default(), &minimal_with(&format!("workload: {{image: '{OWN}'}}"))), "");
}

#[test]
fn the_token_goes_to_no_other_host_by_default() {
    for url in [
        "https://attacker.example/api/",
        "http://slack.com/api/",
        "https://slack.com.attacker.example/api/",
        "https://SLACK.com/api/",
        "https://slack.com@attacker.example/api/",
        "https://attacker.example\\@slack.com/api/",
        "https://slack.com%2eattacker.example/",
        "https://[::1]/api/",
        "https://3232235777/api/",
        "https://slack.com:1:2/api/",
        "https://slack.com/$(PW)/",
    ] {
        let url = url.replace('\\', "\\\\");
        let said = refused(&Policy::default(), &with_slack(&format!("apiUrl: \"{url}\"")));
        assert!(said.starts_with("spec.slack.apiUrl: "), "{url}: {said}");
    }
}

#[test]
fn a_host_may_be_allowed_and_plain_http_by_itself() {
    let policy = Policy::parse("slack: {apiHosts: ['*.tools'], plainHttpHosts: ['simulator.tools']}").unwrap();
    assert_eq!(refused(&policy, &with_slack("apiUrl: 'http://simulator.tools:8080/api'")), "");
    assert!(refused(&policy, &with_slack("apiUrl: 'http://proxy.tools/api/'")).contains("without TLS"));
    assert!(refused(&policy, &with_slack("apiUrl: 'https://slack.com/api/'")).contains("`*.tools`"));
}

#[test]
fn a_proxy_does_not_read_a_token_that_goes_without_tls() {
    let policy = Policy::parse("slack: {apiHosts: ['*'], plainHttpHosts: ['*']}").unwrap();
    let by_proxy = |url: &str, name: &str| {
        let mut plugin = with_slack(&format!("apiUrl: '{url}'"));
        let proxy = format!("[{{name: {name}, value: 'http://attacker.example:3128'}}]");
        plugin.spec.workload.env = serde_saphyr::from_str(&proxy).unwrap();
        refused(&policy, &plugin)
    };
    for name in ["HTTP_PROXY", "http_proxy"] {
        assert!(by_proxy("http://simulator.tools/api/", name).contains("would read the token"), "{name}");
        assert_eq!(by_proxy("https://slack.com/api/", name), "", "{name}");
    }
    assert_eq!(by_proxy("http://simulator.tools/api/", "HTTPS_PROXY"), "", "it is not for http://");
}

#[test]
fn nobody_but_the_operator_says_who_may_vouch_for_slack() {
    let bundle = with_slack("caBundle: {configMapRef: {name: attacker-ca}}");
    assert!(refused(&Policy::default(), &bundle).starts_with("spec.slack.caBundle: "));
    let policy = Policy::parse("slack: {caBundles: [company-ca]}").unwrap();
    assert_eq!(refused(&policy, &with_slack("caBundle: {secretRef: {name: company-ca}}")), "");
}

#[test]
fn a_service_account_token_goes_only_where_the_operator_says() {
    let joining = plugin(
        "teleport: {address: 'attacker.example:443', join: {token: slack, audience: teleport.example.com}}\n\
         slack: {token: {secretRef: {name: slack-token}}}\nroleToRecipients: {'*': [x]}",
    );
    assert!(refused(&Policy::default(), &joining).starts_with("spec.teleport.join: "));
    let policy = |address: &str| Policy::parse(&format!("teleport: {{joinAddresses: ['{address}']}}")).unwrap();
    assert!(refused(&policy("teleport.example.com:443"), &joining).contains("`teleport.example.com:443`"));
    assert_eq!(refused(&policy("attacker.example:443"), &joining), "");
    assert_eq!(refused(&Policy::single_team(), &joining), "");
}

#[test]
fn secrets_and_images_are_named_with_what_is_allowed_instead() {
    let said = Policy::default().check(&minimal(), ["database"], OWN).unwrap_err().to_string();
    assert_eq!(
        said,
        "spec: Secret `database` may not be mounted; allowed names: `*slack*`, `*teleport*` (policy.secrets)"
    );
    let said = refused(&Policy::default(), &minimal_with("workload: {image: 'attacker.example/x:1'}"));
    assert!(said.contains("leave it out for `example.com/operator:1`"), "{said}");
    let policy = Policy::parse("images: ['mirror.example.com/*']").unwrap();
    assert_eq!(refused(&policy, &minimal_with("workload: {image: 'mirror.example.com/x:2'}")), "");
}

#[test]
fn what_other_controllers_act_on_is_allowed_one_by_one() {
    for (field, switch, value) in [
        ("labels", "labels", "{a: b}"),
        ("annotations", "annotations", "{a: b}"),
        ("serviceAccount", "serviceAccountAnnotations", "{annotations: {a: b}}"),
        ("priorityClassName", "priorityClassName", "high"),
        ("tolerations", "tolerations", "[{operator: Exists}]"),
        ("imagePullSecrets", "imagePullSecrets", "[{name: registry}]"),
    ] {
        let plugin = minimal_with(&format!("workload: {{{field}: {value}}}"));
        let said = refused(&Policy::default(), &plugin);
        assert!(
            said.contains(&format!("spec.workload.{field}")) && said.contains(&format!("policy.allow.{switch}")),
            "{said}"
        );
        let policy = Policy::parse(&format!("allow: {{{switch}: true}}")).unwrap();
        assert_eq!(refused(&policy, &plugin), "", "{field}");
        assert_eq!(refused(&Policy::single_team(), &plugin), "", "{field}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let plugin = minimal_with("workload: {image: 'x', labels: {a: b}, env: [{name: LD_PRELOAD, value: /x}]}");
    let said = refused(&Policy::default(), &plugin);
    for field in ["spec.workload.env[0]: ", "spec.workload.image: ", "spec.workload.labels: "] {
        assert!(said.contains(field), "{said}");
    }
    assert!(refused(&Policy::single_team(), &plugin).starts_with("spec.workload.env[0]: LD_PRELOAD"));
}

#[test]
fn another_policy_has_another_fingerprint() {
    assert_eq!(Policy::default().fingerprint(), Policy::parse("{}").unwrap().fingerprint());
    assert_ne!(Policy::default().fingerprint(), Policy::parse("images: ['*']").unwrap().fingerprint());
    assert!(Policy::parse("image: ['*']").is_err(), "a misspelt key would be a hole");
}
