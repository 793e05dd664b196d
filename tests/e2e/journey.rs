//! What every step has at hand: the node, the world outside, and looks at the objects of interest.

use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use simulators::slack::BOT_TOKEN;
use tempfile::TempDir;

use crate::node::{Node, project};
use crate::outside::Outside;

/// Everything that a condition in the cluster may take. After two minutes without an API server, Kubernetes' own parts need more than
/// one to find each other again: until then the node counts as lost and takes no pod.
const PATIENCE: Duration = Duration::from_mins(4);

/// Between two looks at the cluster.
const LOOK: Duration = Duration::from_millis(200);

/// One pod of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) restarts: u64,
}

pub(crate) struct Journey {
    pub(crate) node: Arc<Node>,
    pub(crate) outside: Outside,
    /// Where commands are run: the project's folders as the README expects them, and the files of a user.
    home: TempDir,
    starting: Mutex<Range<usize>>,
}

impl Journey {
    /// Brings the image to the node and lays out the user's files.
    pub(crate) async fn start(node: Node) -> Self {
        let outside = Outside::start(node.host).await;
        let home = tempfile::tempdir().unwrap();
        for folder in ["charts", "manifests"] {
            symlink(project().join(folder), home.path().join(folder)).unwrap();
        }
        let journey = Self { node: Arc::new(node), outside, home, starting: Mutex::default() };
        journey.load_image();
        journey.sign_identity(Duration::from_hours(24));
        journey
    }

    /// The image as it is released, but with authorities that vouch for the simulated Slack and Teleport among the others.
    fn load_image(&self) {
        let version = env!("CARGO_PKG_VERSION");
        let certificates = self.home.path().join("certificates.pem");
        std::fs::write(&certificates, &self.outside.authorities).unwrap();
        let archive = self.home.path().join("image.tar");
        let made = Command::new(project().join("hack/image.sh"))
            .args(["--binary", env!("CARGO_BIN_EXE_slack-access-operator"), "--link", "teleport-slack", "--name"])
            .arg(format!("ghcr.io/slackaccess/slack-access-operator:{version}"))
            .arg("--output")
            .arg(&archive)
            .env("SSL_CERT_FILE", certificates)
            .status()
            .unwrap();
        assert!(made.success(), "hack/image.sh");
        self.node.load(&archive);
        std::fs::remove_file(archive).unwrap();
    }

    /// A file of the user.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a new identity into `auth.pem`; returns the second at which it ends, as Unix time.
    pub(crate) fn sign_identity(&self, life: Duration) -> u64 {
        let identity = self.outside.teleport.user_identity("slack-plugin", life).unwrap();
        identity.write_identity_file(self.file("auth.pem")).unwrap();
        identity.not_after().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }

    /// Runs a line of a shell that may fail.
    pub(crate) async fn try_shell(&self, line: &str) -> Result<String, String> {
        let (node, line, home) = (Arc::clone(&self.node), line.to_owned(), self.home.path().to_owned());
        tokio::task::spawn_blocking(move || node.shell(&line, &home)).await.unwrap()
    }

    /// Runs a line of a shell.
    pub(crate) async fn shell(&self, line: &str) -> String {
        self.try_shell(line).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The commands of the README, as a user copies them.
    pub(crate) fn documented_commands() -> Vec<String> {
        let text = std::fs::read_to_string(project().join("README.md")).unwrap();
        let blocks = text.split("```sh\n").filter_map(|rest| rest.split("```").next());
        let block = blocks.into_iter().find(|block| block.contains("helm install")).unwrap();
        block.lines().map(|line| line.replace("xoxb-…", BOT_TOKEN)).collect()
    }

    /// Replaces a Secret, as `kubectl` users do.
    pub(crate) async fn put_secret(&self, name: &str, from: &str) {
        let make = format!("kubectl create secret generic {name} {from} --dry-run=client -o yaml");
        self.shell(&format!("{make} | kubectl apply -f -")).await;
    }

    /// Changes the object.
    pub(crate) async fn patch(&self, patch: &str) {
        self.shell(&format!("kubectl patch sap slack --type=merge -p '{patch}'")).await;
    }

    /// The object; nothing when it, or the API server, is not there.
    pub(crate) async fn plugin(&self) -> Value {
        let read = self.try_shell("kubectl get sap slack -o json").await;
        read.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Waits until something holds; says what it was when it does not.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !holds().await {
            assert!(began.elapsed() < PATIENCE, "in vain for {PATIENCE:?}: {what}");
            tokio::time::sleep(LOOK).await;
        }
        began.elapsed()
    }

    /// Waits until a condition has a status, for the generation that the object has now.
    pub(crate) async fn until_condition(&self, type_: &str, status: &str) -> Value {
        let mut found = Value::Null;
        self.until(&format!("condition {type_}={status}"), async || {
            let plugin = self.plugin().await;
            found = condition(&plugin, type_);
            let current =
                type_ != "Ready" || plugin["status"]["observedGeneration"] == plugin["metadata"]["generation"];
            current && found["status"] == status
        })
        .await;
        found
    }

    /// Starts the API server again and waits until it is ready.
    pub(crate) async fn bring_api_server_back(&self) {
        let before = self.node.audit().len();
        self.node.start_api_server();
        self.until("the API server is ready", async || self.try_shell("kubectl get --raw /readyz").await.is_ok()).await;
        *self.starting.lock().unwrap() = before..self.node.audit().len();
    }

    /// The entries of the audit log from the time when the API server was not ready yet: it answers before it has read who may do
    /// what, and refuses everybody until then.
    pub(crate) fn api_server_was_starting(&self) -> Range<usize> {
        self.starting.lock().unwrap().clone()
    }

    /// The pods with a label, without those that are on their way out.
    pub(crate) async fn pods(&self, namespace: &str, label: &str) -> Vec<Pod> {
        let text = self.shell(&format!("kubectl -n {namespace} get pods -l {label} -o json")).await;
        let pods: Value = serde_json::from_str(&text).unwrap();
        let of = |pod: &Value| Pod {
            name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            uid: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            restarts: pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default(),
        };
        let items = pods["items"].as_array().unwrap();
        items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).map(of).collect()
    }

    pub(crate) async fn workers(&self) -> Vec<Pod> {
        self.pods("default", "slackaccess.dev/plugin=slack").await
    }

    pub(crate) async fn operators(&self) -> Vec<Pod> {
        self.pods("teleport", "app.kubernetes.io/component=controller").await
    }

    /// What somebody would look at who has to find out what went wrong.
    pub(crate) async fn state(&self) -> String {
        let mut parts = Vec::new();
        for line in [
            "kubectl get sap,deployments,pods -A -o wide",
            "kubectl describe sap",
            "kubectl get events -A --sort-by=.lastTimestamp | tail -n 30",
            "kubectl -n teleport logs deployment/slack-access-operator --tail=40",
            "kubectl logs -l slackaccess.dev/plugin=slack --tail=60 --prefix",
        ] {
            let said = self.try_shell(line).await.unwrap_or_else(|error| error);
            parts.push(format!("--- {line}\n{said}"));
        }
        parts.join("\n")
    }
}

/// A condition of an object, or null.
pub(crate) fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == type_).cloned().unwrap_or_default()
}

/// How long the API server is away.
pub(crate) fn outage() -> Duration {
    let seconds = std::env::var("E2E_API_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}
