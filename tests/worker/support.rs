//! A world with a Teleport, a Slack, files on disk and the binary between them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulators::slack::{BOT_TOKEN, Handle, Limits, Message, Server, Workspace, default_workspace};
use simulators::teleport::{Cluster, Config, Identity, NewRequest};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Whatever is waited for happens within this; the grace time of claims (20 s) and a call's deadline (10 s) are part of it.
pub(crate) const LONG: Duration = Duration::from_mins(1);
/// An orderly end, with nothing hanging.
pub(crate) const SOON: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) const CHANNEL: &str = "access-requests";
pub(crate) const ALICE: &str = "alice@example.com";
pub(crate) const BOB: &str = "bob@example.com";

/// What a world is made of.
pub(crate) struct Setup {
    pub(crate) cluster: Config,
    pub(crate) workspace: Workspace,
    /// The lines of `[role_to_recipients]`.
    pub(crate) recipients: String,
    /// Further places to look for messages, beside the default workspace's channels and people.
    pub(crate) places: Vec<String>,
    /// `start` is strict, `worker` waits.
    pub(crate) command: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            cluster: Config::default(),
            workspace: default_workspace().limits(Limits::off()),
            recipients: format!("\"*\" = \"{CHANNEL}\""),
            places: Vec::new(),
            command: "start",
        }
    }
}

impl Setup {
    /// Sets the lines of `[role_to_recipients]`.
    pub(crate) fn route(&mut self, lines: &str) {
        lines.clone_into(&mut self.recipients);
    }
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) slack: Server,
    pub(crate) directory: TempDir,
    places: Vec<String>,
    command: &'static str,
    teleport_addr: String,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl World {
    /// Cluster, workspace and files; no worker yet.
    pub(crate) async fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let cluster = Cluster::start(setup.cluster).await.unwrap();
        let slack = Server::start(setup.workspace).await.unwrap();
        let mut places: Vec<String> =
            [CHANNEL, "dba-oncall", "general", "random", "security-private", "board", "old-requests"]
                .map(str::to_owned)
                .into();
        places.extend(["alice", "bob", "carol", "wanda"].map(|name| format!("{name}@example.com")));
        places.extend(setup.places);
        let world = Self {
            teleport_addr: cluster.addr().to_string(),
            cluster,
            slack,
            directory: tempfile::tempdir().unwrap(),
            places,
            command: setup.command,
            environment: Vec::new(),
        };
        world.cluster.write_identity_file(world.path("auth.pem")).unwrap();
        world.write_token(BOT_TOKEN);
        world.configure(&setup.recipients);
        world
    }

    /// The same, with a worker that is ready.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Setup)) -> (Self, Worker) {
        let world = Self::new(change).await;
        let worker = world.run().await;
        (world, worker)
    }

    pub(crate) async fn start() -> (Self, Worker) {
        Self::start_with(|_| {}).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write_token(&self, token: &str) {
        write_whole(&self.path("token"), token);
    }

    /// Dial this instead of the Auth server, with further settings of the section.
    pub(crate) fn dial(&mut self, address: &str, settings: &str, recipients: &str) {
        address.clone_into(&mut self.teleport_addr);
        let identity = format!("identity = \"{}\"\n{settings}", self.path("auth.pem").display());
        self.configure_with(&identity, recipients);
    }

    /// Writes the configuration file.
    pub(crate) fn configure(&self, recipients: &str) {
        let identity = format!("identity = \"{}\"", self.path("auth.pem").display());
        self.configure_with(&identity, recipients);
    }

    pub(crate) fn configure_with(&self, credentials: &str, recipients: &str) {
        let (addr, token, api) = (&self.teleport_addr, self.path("token"), self.slack.url());
        let text = format!(
            "[teleport]\naddr = \"{addr}\"\n{credentials}\n[slack]\ntoken = \"{}\"\napi_url = \"{api}\"\n\
             [role_to_recipients]\n{recipients}\n[log]\noutput = \"stdout\"\nseverity = \"DEBUG\"\n",
            token.display(),
        );
        write_whole(&self.path("slack.toml"), &text);
    }

    pub(crate) fn slack(&self) -> &Handle {
        self.slack.workspace()
    }

    /// Starts a worker without waiting for anything.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slack-access-operator"));
        command.args(self.arguments(arguments));
        self.spawn_as(command)
    }

    /// Starts a program that becomes the worker.
    pub(crate) fn spawn_as(&self, mut command: Command) -> Worker {
        command.env_clear().envs(self.environment.iter().cloned());
        Worker::spawn(command)
    }

    /// What a worker is started with.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<OsString> {
        let config = self.path("slack.toml");
        let own = [OsStr::new(self.command), OsStr::new("--config"), config.as_os_str()];
        own.into_iter().chain(more.iter().map(OsStr::new)).map(OsStr::to_owned).collect()
    }

    /// Starts a worker and waits until it has listed everything.
    pub(crate) async fn run(&self) -> Worker {
        let worker = self.spawn(&[]);
        worker.said("Plugin is ready").await;
        worker
    }

    /// Waits until something holds, looking again after every change in the cluster or the workspace.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.until_within(LONG, what, holds).await;
    }

    pub(crate) async fn until_within(&self, patience: Duration, what: &str, holds: impl Fn(&Self) -> bool) {
        let (mut teleport, mut slack) = (self.cluster.subscribe(), self.slack().changes());
        let reached = async {
            loop {
                teleport.mark_unchanged();
                slack.mark_unchanged();
                if holds(self) {
                    return;
                }
                tokio::select! {
                    changed = teleport.changed() => changed.unwrap(),
                    changed = slack.changed() => changed.unwrap(),
                    // A call that has just arrived is no change yet.
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        };
        let journal = || {
            let calls = self.slack().journal();
            let calls = calls.iter().rev().take(15).rev();
            let lines: Vec<String> =
                calls.map(|call| format!("{} {} -> {}", call.method, call.args["channel"], call.answer)).collect();
            lines.join("\n")
        };
        assert!(
            timeout(patience, reached).await.is_ok(),
            "waited in vain until {what}; Slack saw last:\n{}",
            journal()
        );
    }

    /// The messages that announce a request, wherever they are.
    pub(crate) fn posts(&self, id: &str) -> Vec<Message> {
        self.all_messages().filter(|message| request_of(message) == Some(id)).collect()
    }

    /// Every message of every place.
    pub(crate) fn all_messages(&self) -> impl Iterator<Item = Message> {
        self.places.iter().flat_map(|place| {
            if place.contains('@') { self.slack().direct_messages(place) } else { self.slack().messages(place) }
        })
    }

    /// The only announcement of a request.
    pub(crate) fn post(&self, id: &str) -> Message {
        let mut posts = self.posts(id);
        assert_eq!(posts.len(), 1, "{posts:#?}");
        posts.remove(0)
    }

    /// Waits until a request is announced to so many recipients and that is recorded.
    pub(crate) async fn announced(&self, id: &str, count: usize) {
        self.until(&format!("{id} is announced {count} times"), |world| world.recorded(id) >= count).await;
        assert_eq!(self.posts(id).len(), count, "{:#?}", self.posts(id));
    }

    /// How many messages the official key of the record names.
    pub(crate) fn recorded(&self, id: &str) -> usize {
        self.record(id).get("messages").map_or(0, |list| list.split(',').count())
    }

    pub(crate) fn record(&self, id: &str) -> BTreeMap<String, String> {
        self.cluster.plugin_data(id, "slack")
    }

    /// Waits until the record says how the request ended, which is after every message shows it.
    pub(crate) async fn closed(&self, id: &str, resolution: &str) {
        self.until(&format!("{id} is recorded as {resolution}"), |world| {
            world.record(id).get("resolution").map(String::as_str) == Some(resolution)
        })
        .await;
    }

    /// A request of Alice's for a role.
    pub(crate) fn request(&self, role: &str) -> String {
        self.cluster.create_request(NewRequest::new(ALICE, &[role]).reason("the index is gone"))
    }

    pub(crate) fn identity(&self, validity: Duration) -> Identity {
        self.cluster.user_identity("slack-plugin", validity).unwrap()
    }

    /// Neither service has anything to complain about.
    pub(crate) fn assert_no_violations(&self) {
        self.cluster.assert_no_violations();
        self.slack.assert_no_violations();
    }

    /// Ends the worker as systemd or Kubernetes would, and looks back.
    pub(crate) async fn end(self, worker: Worker) {
        worker.end().await;
        self.assert_no_violations();
    }
}

/// The request that a message announces.
pub(crate) fn request_of(message: &Message) -> Option<&str> {
    let metadata = message.metadata.as_ref()?;
    let announces = metadata["event_type"] == "teleport_access_request";
    metadata["event_payload"]["request_id"].as_str().filter(|_| announces)
}

/// All that a message shows.
pub(crate) fn shown(message: &Message) -> String {
    format!("{} {}", message.text, serde_json::to_string(&message.blocks).unwrap())
}

/// Writes a file by way of a rename.
pub(crate) fn write_whole(path: &Path, text: &str) {
    let new = path.with_added_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A running binary; ended when dropped.
pub(crate) struct Worker {
    child: Child,
    log: Lines,
    errors: Lines,
}

impl Worker {
    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let log = Lines::of(child.stdout.take().unwrap());
        let errors = Lines::of(child.stderr.take().unwrap());
        Self { child, log, errors }
    }

    /// Waits until the log has this text.
    pub(crate) async fn said(&self, text: &str) {
        self.said_times(text, 1).await;
    }

    pub(crate) async fn said_times(&self, text: &str, count: usize) {
        let mut changes = self.log.changed.subscribe();
        let reached = async {
            while self.log.count(text) < count {
                changes.changed().await.unwrap();
            }
        };
        assert!(timeout(LONG, reached).await.is_ok(), "the log never said {text:?} {count} times");
    }

    /// How many lines of the log have this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.log.count(text)
    }

    pub(crate) fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the worker has ended")
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("the worker has ended").to_string();
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(status.success());
    }

    /// Ends it at once, as a node's failure would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it in good order.
    pub(crate) async fn end(self) {
        self.signal("TERM");
        let (status, errors) = self.ended(SOON).await;
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    }

    /// Waits for its end: exit status, and what it wrote to standard error.
    pub(crate) async fn ended(mut self, within: Duration) -> (ExitStatus, String) {
        let status = timeout(within, self.child.wait()).await.expect("the worker does not end").unwrap();
        let mut changes = self.errors.changed.subscribe();
        let complete = async { while !self.errors.is_complete() && changes.changed().await.is_ok() {} };
        timeout(SOON, complete).await.unwrap();
        let errors = self.errors.text.lock().unwrap().clone();
        (status, errors)
    }
}

impl Drop for Worker {
    #[expect(clippy::print_stderr, reason = "the harness shows it beside the failed assertion")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("The worker's log ends with:\n{}\n{}", tail.join("\n"), self.errors.text.lock().unwrap());
        }
    }
}

/// Lines that arrive.
struct Lines {
    text: Arc<Mutex<String>>,
    /// True once nothing more will come.
    changed: Arc<watch::Sender<bool>>,
}

impl Lines {
    fn of(source: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (text, changed) = (Arc::new(Mutex::new(String::new())), Arc::new(watch::Sender::new(false)));
        let lines = Self { text: text.clone(), changed: changed.clone() };
        tokio::spawn(async move {
            let mut source = BufReader::new(source).lines();
            while let Ok(Some(line)) = source.next_line().await {
                let mut text = text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                drop(text);
                changed.send_replace(false);
            }
            changed.send_replace(true);
        });
        lines
    }

    fn is_complete(&self) -> bool {
        *self.changed.borrow()
    }

    fn count(&self, wanted: &str) -> usize {
        self.text.lock().unwrap().lines().filter(|line| line.contains(wanted)).count()
    }
}
