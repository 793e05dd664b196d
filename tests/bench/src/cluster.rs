//! The real Teleport, with the roles, users and identities that the figures need.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use simulators::teleport::pb::proto::auth_service_client::AuthServiceClient;
use slack_access_operator::teleport::dial::{DialOptions, dial};
use slack_access_operator::teleport::identity::Credentials;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

use crate::{Failure, slack};

/// Who asks for access; Slack knows the address.
pub(crate) const REQUESTER: &str = "alice@example.com";
const PLUGIN: &str = "access-plugin";
const WATCHER: &str = "watcher";

/// A client of the Auth service.
pub(crate) type Auth = AuthServiceClient<Channel>;

/// The folder with `teleport`, `tctl` and `official-plugin`, built on first use.
pub(crate) async fn binaries() -> Result<PathBuf, Failure> {
    let built = Command::new(script("build.sh")).stderr(Stdio::inherit()).output().await?;
    if !built.status.success() {
        return Err("Teleport could not be built: see above".into());
    }
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim()))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/teleport").join(name)
}

/// The role that is asked for to reach a channel.
pub(crate) fn role(channel: usize) -> String {
    format!("team-{channel}")
}

/// A running cluster; dropping it ends it and removes its data.
pub(crate) struct Cluster {
    running: Child,
    pub(crate) auth_address: String,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Starts a fresh one.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("bench").tempdir()?;
        let (running, facts) = launch(folder.path()).await?;
        let fact = |key: &str| facts.get(key).cloned().ok_or_else(|| format!("start.sh printed no {key}"));
        let cluster = Self { running, auth_address: fact("TELEPORT_AUTH_ADDR")?, folder };
        cluster.populate().await?;
        Ok(cluster)
    }

    /// Ends Teleport and starts it again with the same data and addresses.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        let id = self.running.id().ok_or("Teleport has ended")?.to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        self.running.wait().await?;
        self.running = launch(self.folder.path()).await?.0;
        Ok(())
    }

    /// The identity that the plugin is configured with.
    pub(crate) fn plugin_identity(&self) -> PathBuf {
        self.identity(PLUGIN)
    }

    /// A connection as the user who asks.
    pub(crate) async fn requester(&self) -> Result<Auth, Failure> {
        self.connect(REQUESTER).await
    }

    /// A connection as a user who may watch.
    pub(crate) async fn watcher(&self) -> Result<Auth, Failure> {
        self.connect(WATCHER).await
    }

    async fn connect(&self, user: &str) -> Result<Auth, Failure> {
        let identity = Credentials::IdentityFile(self.identity(user)).load()?;
        let (channel, _) = dial(&self.auth_address, Arc::new(identity), &DialOptions::default()).await?;
        Ok(AuthServiceClient::new(channel))
    }

    fn identity(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.pem"))
    }

    async fn populate(&self) -> Result<(), Failure> {
        let resources = self.folder.path().join("resources.yaml");
        std::fs::write(&resources, documents())?;
        self.tctl(&["create", "-f", &resources.display().to_string()]).await?;
        for user in [PLUGIN, WATCHER, REQUESTER] {
            let out = format!("--out={}", self.identity(user).display());
            self.tctl(&["auth", "sign", "--format=file", "--ttl=4h", &format!("--user={user}"), &out]).await?;
        }
        Ok(())
    }

    async fn tctl(&self, arguments: &[&str]) -> Result<(), Failure> {
        let output = Command::new(self.folder.path().join("tctl")).args(arguments).output().await?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("tctl {}: {said}", arguments.join(" ")).into())
    }
}

/// Runs `start.sh` until it says that Teleport is ready.
async fn launch(folder: &Path) -> Result<(Child, HashMap<String, String>), Failure> {
    let mut running = Command::new(script("start.sh"))
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // start.sh lets Teleport die with it.
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(running.stdout.take().ok_or("start.sh has no output")?).lines();
    let mut facts = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        let Some((key, value)) = line.split_once('=') else { continue };
        facts.insert(key.to_owned(), value.to_owned());
        if key == "TCTL" {
            return Ok((running, facts));
        }
    }
    Err("Teleport did not start: see above".into())
}

/// Roles and users as `tctl create` reads them. The plugin's role is the one of the official guide.
fn documents() -> String {
    let roles: Vec<String> = (0..slack::CHANNELS).map(role).collect();
    let list = roles.join(", ");
    let plain = roles.iter().map(|name| format!("kind: role\nversion: v6\nmetadata: {{name: {name}}}\nspec: {{}}\n"));
    let role = |name: &str, allow: &str| {
        format!("kind: role\nversion: v6\nmetadata: {{name: {name}}}\nspec: {{allow: {{{allow}}}}}\n")
    };
    let user = |name: &str, role: &str| {
        format!("kind: user\nversion: v2\nmetadata: {{name: {name}}}\nspec: {{roles: [{role}]}}\n")
    };
    let requests = "{resources: [access_request], verbs: [list, read]}";
    let data = "{resources: [access_plugin_data], verbs: [update]}";
    plain
        .chain([
            role(PLUGIN, &format!("rules: [{requests}, {data}]")),
            role(WATCHER, &format!("rules: [{requests}]")),
            role("requester", &format!("request: {{roles: [{list}]}}")),
            user(PLUGIN, PLUGIN),
            user(WATCHER, WATCHER),
            user(REQUESTER, "requester"),
        ])
        .collect::<Vec<_>>()
        .join("---\n")
}
