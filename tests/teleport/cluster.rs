//! The real Teleport: the one that the tests share, or one of a test's own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use crate::cases::client::{self, Auth, Pems, request};

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_mins(1);

pub(crate) const ALICE: &str = "alice@example.com";
const ADMIN: &str = "admin";

/// Those who ask and those who decide. Alice may ask for every role whose name ends in `-access`.
const PEOPLE: &str = r#"
kind: role
version: v5
metadata: {name: requester}
spec: {allow: {request: {roles: ["*-access"]}}}
---
kind: role
version: v5
metadata: {name: admin}
spec:
  allow:
    rules: [{resources: [access_request], verbs: [list, read, create, update, delete]}]
---
kind: role
version: v5
metadata: {name: guide-plugin}
spec:
  allow:
    rules:
      - {resources: [access_request], verbs: [list, read, update]}
      - {resources: [access_plugin_data], verbs: [update]}
---
kind: role
version: v5
metadata: {name: powerless}
spec: {}
---
kind: user
version: v2
metadata: {name: alice@example.com}
spec: {roles: [requester]}
---
kind: user
version: v2
metadata: {name: admin}
spec: {roles: [admin]}
---
kind: user
version: v2
metadata: {name: guide-plugin}
spec: {roles: [guide-plugin]}
---
kind: user
version: v2
metadata: {name: powerless}
spec: {roles: [powerless]}
"#;

/// A running cluster.
pub(crate) struct Teleport {
    pub(crate) name: String,
    pub(crate) auth: String,
    pub(crate) proxy: String,
    pub(crate) tunnel: String,
    pub(crate) web_ca: PathBuf,
    /// Folder of Teleport's programs.
    pub(crate) bin: PathBuf,
    pid: String,
    tctl: PathBuf,
    /// What `tctl create` said to the manifest of the plugin's role and user.
    pub(crate) created: String,
    alice: Option<Pems>,
    admin: Option<Pems>,
}

impl Teleport {
    /// The cluster that `make test-teleport` started for all tests.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Teleport> = OnceCell::const_new();
        let start = async {
            let file = std::env::var_os("TELEPORT_CLUSTER_ENV").expect("run these tests with: make test-teleport");
            let mut teleport = Self::described_by(Path::new(&file));
            teleport.people().await;
            teleport
        };
        SHARED.get_or_init(|| start).await
    }

    /// As start.sh describes it.
    fn described_by(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let values: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |name: &str| values[name].to_owned();
        Self {
            name: value("TELEPORT_CLUSTER"),
            auth: value("TELEPORT_AUTH_ADDR"),
            proxy: value("TELEPORT_PROXY_ADDR"),
            tunnel: value("TELEPORT_TUNNEL_ADDR"),
            web_ca: value("TELEPORT_WEB_CA").into(),
            bin: value("TELEPORT_BIN").into(),
            pid: value("TELEPORT_PID"),
            tctl: value("TCTL").into(),
            created: String::new(),
            alice: None,
            admin: None,
        }
    }

    async fn people(&mut self) {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/access-plugin.yaml");
        self.created = self.tctl(&["create", manifest.to_str().unwrap()]).await;
        self.create(PEOPLE).await;
        self.alice = Some(self.pems(ALICE).await);
        self.admin = Some(self.pems(ADMIN).await);
    }

    /// Runs `tctl`, which has to succeed; returns what it printed.
    pub(crate) async fn tctl(&self, arguments: &[&str]) -> String {
        self.try_tctl(arguments).await.unwrap_or_else(|error| panic!("tctl {arguments:?}: {error}"))
    }

    /// Runs `tctl`; returns what it printed, or what went wrong.
    pub(crate) async fn try_tctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.tctl);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(SOON, command.output()).await.expect("tctl did not end in time").unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// Creates or replaces what a document describes.
    pub(crate) async fn create(&self, yaml: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, yaml).unwrap();
        self.tctl(&["create", "-f", file.path().to_str().unwrap()]).await;
    }

    /// A role that Alice may ask for and that gives one login; its name.
    pub(crate) async fn role(&self, test: &str) -> String {
        let role = format!("{test}-access");
        self.create(&format!(
            "kind: role\nversion: v5\nmetadata: {{name: {role}}}\nspec: {{allow: {{logins: [{test}-login]}}}}\n"
        ))
        .await;
        role
    }

    /// `tctl auth sign` in the default format, in place of what is there.
    pub(crate) async fn sign(&self, user: &str, ttl: &str, out: &Path) {
        let (user, ttl) = (format!("--user={user}"), format!("--ttl={ttl}"));
        let out = format!("--out={}", out.display());
        self.tctl(&["auth", "sign", &user, &ttl, &out, "--overwrite"]).await;
    }

    /// `tctl auth sign --format=tls`: writes `<prefix>.crt`, `<prefix>.key`, `<prefix>.cas`.
    pub(crate) async fn sign_tls(&self, user: &str, prefix: &Path) {
        let (user, out) = (format!("--user={user}"), format!("--out={}", prefix.display()));
        self.tctl(&["auth", "sign", "--format=tls", &user, &out, "--overwrite"]).await;
    }

    /// The same, in memory.
    pub(crate) async fn pems(&self, user: &str) -> Pems {
        let dir = tempfile::tempdir().unwrap();
        self.sign_tls(user, &dir.path().join("auth")).await;
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        Pems { certificate: read("auth.crt"), key: read("auth.key"), authorities: read("auth.cas") }
    }

    async fn client(&self, identity: Option<&Pems>) -> Auth {
        Auth::new(client::wire(&self.auth, identity.unwrap()).await)
    }

    /// What Alice can do.
    pub(crate) async fn alice(&self) -> Auth {
        self.client(self.alice.as_ref()).await
    }

    /// Alice asks for a role; returns the request's id.
    pub(crate) async fn ask(&self, role: &str, reason: &str) -> String {
        self.ask_with(role, |spec| reason.clone_into(&mut spec.spec.get_or_insert_default().request_reason)).await
    }

    /// The same, with more to say.
    pub(crate) async fn ask_with(
        &self,
        role: &str,
        change: impl FnOnce(&mut simulators::teleport::pb::types::AccessRequestV3),
    ) -> String {
        let mut message = request(ALICE, &[role], "");
        change(&mut message);
        client::id_of(&self.alice().await.create_access_request_v2(message).await.unwrap().into_inner())
    }
}

/// A cluster that one test has for itself. Ended with the test.
pub(crate) struct Own {
    dir: TempDir,
    mode: &'static str,
    script: Option<Child>,
    teleport: Option<Teleport>,
}

impl Own {
    /// Starts one: `multiplex` or `separate`.
    pub(crate) async fn start(mode: &'static str) -> Self {
        let mut own = Self { dir: tempfile::tempdir().unwrap(), mode, script: None, teleport: None };
        own.resume().await;
        own.teleport.as_mut().unwrap().people().await;
        own
    }

    pub(crate) fn teleport(&self) -> &Teleport {
        self.teleport.as_ref().unwrap()
    }

    /// Starts it (again) on its folder: the same cluster on the same ports.
    pub(crate) async fn resume(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/teleport/start.sh");
        let log = std::fs::File::create(self.dir.path().join("start.log")).unwrap();
        let mut command = Command::new(script);
        command.arg(self.dir.path().join("cluster")).args(["--mode", self.mode]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().unwrap();
        let description = self.dir.path().join("cluster/cluster.env");
        let deadline = Instant::now() + SOON;
        while !description.exists() {
            let ended = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(self.dir.path().join("start.log")).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "Teleport did not start: {}", log());
            sleep(Duration::from_millis(50)).await;
        }
        self.script = Some(child);
        let fresh = Teleport::described_by(&description);
        match &mut self.teleport {
            Some(teleport) => teleport.pid = fresh.pid,
            none => *none = Some(fresh),
        }
    }

    /// Sends Teleport itself a signal, and waits until it is gone.
    pub(crate) async fn end(&mut self, signal: &str) {
        crate::signal(signal, &self.teleport().pid);
        let mut script = self.script.take().unwrap();
        timeout(SOON, script.wait()).await.expect("Teleport did not end in time").unwrap();
    }
}

impl Drop for Own {
    /// The script ends Teleport within seconds; the folder must outlive both.
    fn drop(&mut self) {
        let Some(mut script) = self.script.take() else { return };
        crate::signal("TERM", &script.id().unwrap_or_default().to_string());
        for _ in 0..150 {
            if !matches!(script.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
