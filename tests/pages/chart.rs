//! `docs/moving-from-the-chart.md`, from top to bottom.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use simulators::slack::{BOT_TOKEN, Limits, Server, default_workspace};
use simulators::teleport::{Cluster as Teleport, Config};

use tokio::process::Command;

use crate::support::Cluster;
use crate::{commands, root};

/// A release that has the names and objects of the official chart's, as far as the page speaks of them.
const OFFICIAL: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: teleport-plugin-slack-secret}
stringData: {slackToken: {{ .Values.slack.token | quote }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: teleport-plugin-slack}
spec:
  replicas: 1
  selector: {matchLabels: {app: slack}}
  template:
    metadata: {labels: {app: slack}}
    spec: {containers: [{name: slack, image: official}]}
";

struct Shell {
    folder: PathBuf,
    path: String,
    kubeconfig: PathBuf,
}

impl Shell {
    async fn output(&self, command: &str) -> Output {
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .output()
            .await
            .unwrap()
    }

    async fn run(&self, command: &str) -> String {
        let output = self.output(command).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

fn tools() -> PathBuf {
    let built = std::process::Command::new(root().join("hack/kubernetes/build.sh")).arg("helm").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
}

async fn official_release(shell: &Shell, address: &str) {
    let chart = shell.folder.join("official");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: teleport-plugin-slack\nversion: 17.0.0\n").unwrap();
    fs::write(chart.join("templates/all.yaml"), OFFICIAL).unwrap();
    let values = format!(
        "teleport: {{address: \"{address}\", identitySecretName: slack-identity}}\nslack: {{token: {BOT_TOKEN}}}\n\
         roleToRecipients:\n  \"*\": access-requests\n  dba: [alice@example.com]\n"
    );
    fs::write(shell.folder.join("official.yaml"), values).unwrap();
    shell.run("kubectl create namespace teleport").await;
    shell.run("kubectl create secret generic slack-identity -n teleport --from-file=auth_id=auth.pem").await;
    shell.run("helm install teleport-plugin-slack official -n teleport -f official.yaml").await;
}

/// Removes the Secrets to be filled in, as the page says; and names the simulated Slack in the place of the real one.
fn edit(manifest: &Path, api_url: &str) {
    let text = fs::read_to_string(manifest).unwrap();
    let kept: Vec<_> = text.split("---\n").filter(|document| !document.contains("kind: Secret")).collect();
    let text = kept.join("---\n").replace("https://slack.com/api/", api_url);
    fs::write(manifest, text).unwrap();
}

#[tokio::test]
async fn the_chart_is_left_and_returned_to_as_the_page_says() {
    let teleport = Teleport::start(Config::default()).await.unwrap();
    let slack = Server::start(default_workspace().limits(Limits::off())).await.unwrap();
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    teleport.write_identity_file(folder.path().join("auth.pem")).unwrap();
    std::os::unix::fs::symlink(root().join("charts"), folder.path().join("charts")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_slack-access-operator")).parent().unwrap();
    let shell = Shell {
        folder: folder.path().to_owned(),
        path: format!("{}:{}:/usr/bin:/bin", tools().display(), binary.display()),
        kubeconfig: cluster.kubeconfig_as("walker"),
    };
    // The definition is the chart's to install.
    shell.run("kubectl delete crd slackaccessplugins.slackaccess.dev --wait").await;
    official_release(&shell, &teleport.addr().to_string()).await;

    let (mut checked, mut waited) = (false, false);
    for mut command in commands("docs/moving-from-the-chart.md") {
        if command.starts_with("helm install") {
            // The simulated Slack is no host that a token may be sent to unless the operator allows it.
            command
                .push_str(" --set 'policy.slack.apiHosts={127.0.0.1}' --set 'policy.slack.plainHttpHosts={127.0.0.1}'");
        }
        if command.starts_with("kubectl wait") {
            // No node runs a worker here: it would report this. The journey on a whole node sees the real report.
            shell.run(
                r#"kubectl patch sap slack -n teleport --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Working","message":"x","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}'"#,
            ).await;
            waited = true;
        }
        let said = shell.run(&command).await;
        if command.starts_with("slack-access-operator convert") {
            let manifest = fs::read_to_string(folder.path().join("slack.yaml")).unwrap();
            assert!(!manifest.contains(BOT_TOKEN), "{manifest}");
            assert!(manifest.contains("kubectl -n teleport get secret teleport-plugin-slack-secret"), "{manifest}");
            edit(&folder.path().join("slack.yaml"), &slack.url());
        } else if command.starts_with("slack-access-operator check") {
            assert!(!said.contains("FAIL"), "{said}");
            assert!(said.contains("#access-requests is the public channel"), "{said}");
            checked = true;
        } else if command.starts_with("kubectl scale") && command.ends_with("--replicas=0") {
            let scaled = shell
                .run("kubectl get deployment teleport-plugin-slack -n teleport -o jsonpath='{.spec.replicas}'")
                .await;
            assert_eq!(scaled, "0");
        }
    }
    assert!(checked && waited);
    let suspended = shell.run("kubectl get sap slack -n teleport -o jsonpath='{.spec.suspend}'").await;
    assert_eq!(suspended, "true", "the page ends with the way back, and tidying up");
    assert_eq!(shell.run("helm list -n teleport -q").await.trim(), "slack-access-operator");
}

#[tokio::test]
async fn the_manifests_for_tbot_are_taken_by_a_real_api_server() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("manifests"), folder.path().join("manifests")).unwrap();
    let shell = Shell {
        folder: folder.path().to_owned(),
        path: format!("{}:/usr/bin:/bin", tools().display()),
        kubeconfig: cluster.kubeconfig_as("walker"),
    };
    shell.run("kubectl create namespace teleport").await;
    let said = shell.run("kubectl apply -n teleport --validate=strict -f manifests/teleport/tbot.yaml").await;
    assert_eq!(said.lines().count(), 5, "{said}");
    let user = "--as=system:serviceaccount:teleport:slack-access-tbot --as-group=system:authenticated";
    for (verb, secret, expected) in [
        ("patch", "teleport-slack-identity", "yes"),
        ("get", "teleport-slack-identity", "yes"),
        ("get", "slack-bot-token", "no"),
    ] {
        let said = shell.run(&format!("kubectl auth can-i {verb} secret/{secret} -n teleport {user} || true")).await;
        assert_eq!(said.trim(), expected, "{verb} {secret}");
    }
}
