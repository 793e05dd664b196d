//! Rights that are missing, and the manifests for identities, on the real Teleport.

use crate::cluster::Teleport;
use crate::slack::Slack;
use crate::worker::Home;

/// Creates a user with a role of these rules (YAML, flow style), and signs an identity.
async fn with_rules(teleport: &Teleport, home: &Home, name: &str, rules: &str) {
    teleport
        .create(&format!(
            "kind: role\nversion: v5\nmetadata: {{name: {name}}}\nspec: {{allow: {{rules: {rules}}}}}\n---\n\
             kind: user\nversion: v2\nmetadata: {{name: {name}}}\nspec: {{roles: [{name}]}}\n"
        ))
        .await;
    teleport.sign(name, "1h", &home.path("auth.pem")).await;
}

#[tokio::test]
async fn the_one_right_that_is_missing_is_named() {
    let teleport = Teleport::shared().await;
    let slack = Slack::start().await;
    for (name, rules, missing) in [
        ("no-records", "[{resources: [access_request], verbs: [list, read, watch]}]", "update on access_plugin_data"),
        (
            "no-list",
            "[{resources: [access_request], verbs: [read]}, {resources: [access_plugin_data], verbs: [list, read, update]}]",
            "list on access_request",
        ),
    ] {
        let home = Home::new();
        with_rules(teleport, &home, name, rules).await;
        let mut configuration = home.configuration(&teleport.auth, &slack, "x", &["general"]);
        configuration.rest.push_str("\"*\" = \"general\"\n");
        let file = configuration.write(&home);
        let config = format!("--config={}", file.display());
        let line = home.refused(&["start", &config]).await;
        assert!(line.contains(&format!("lack a right in Teleport: {missing};")), "{line}");
        let checked = home.run(&["check", &config]).await;
        let text = String::from_utf8(checked.stdout).unwrap();
        let first = text.lines().next().unwrap();
        assert_eq!(checked.status.code(), Some(2), "{text}");
        assert!(first.starts_with("FAIL rights") && first.contains(&format!("lack {missing};")), "{text}");
    }
    slack.finish().await;
}

#[tokio::test]
async fn a_configuration_that_works_passes_the_check() {
    let teleport = Teleport::shared().await;
    let (home, slack) = (Home::new(), Slack::start().await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    for addr in [&teleport.auth, &teleport.proxy] {
        let mut configuration = home.configuration(addr, &slack, "x", &["general"]);
        configuration.rest.push_str("\"*\" = \"general\"\n");
        let file = configuration.write(&home);
        let checked = home.run(&["check", &format!("--config={}", file.display())]).await;
        let text = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(checked.status.code(), Some(0), "{text}");
        assert!(text.contains("14.2.3") && text.contains("records written"), "{text}");
    }
    slack.finish().await;
}

#[tokio::test]
async fn the_manifests_for_identities_are_taken() {
    let teleport = Teleport::shared().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/teleport");
    for file in ["impersonator.yaml", "bot.yaml"] {
        let path = folder.join(file);
        teleport.tctl(&["create", "-f", path.to_str().unwrap()]).await;
    }
    let said = teleport.tctl(&["get", "token/slack-access", "--format=json"]).await;
    assert!(said.contains("teleport:slack-access-tbot") && said.contains("in_cluster"), "{said}");
    let said = teleport.tctl(&["bots", "add", "slack-access", "--roles=access-plugin", "--token=slack-access"]).await;
    assert!(said.contains("slack-access"), "{said}");
}
