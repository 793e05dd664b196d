//! The real binary under its official name, as systemd or a person starts it.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cluster::SOON;
use crate::slack::Slack;

/// A folder with everything that one plugin needs.
pub(crate) struct Home {
    dir: TempDir,
    /// The binary under the name `teleport-slack`.
    pub(crate) program: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("teleport-slack");
        symlink(env!("CARGO_BIN_EXE_slack-access-operator"), &program).unwrap();
        Self { dir, program }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        // It may hold a token.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A configuration with the identity file `auth.pem` and these recipients of one role.
    pub(crate) fn configuration(&self, addr: &str, slack: &Slack, role: &str, recipients: &[&str]) -> Configuration {
        let identity = format!("identity = \"{}\"\n", self.path("auth.pem").display());
        Configuration {
            teleport: format!("addr = {addr:?}\n{identity}plugin_name = {role:?}\n"),
            rest: format!(
                "[slack]\ntoken = {:?}\napi_url = {:?}\n[role_to_recipients]\n{role:?} = {recipients:?}\n",
                slack.token(),
                slack.url()
            ),
        }
    }

    /// Runs a command of the plugin to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        timeout(SOON, command.output()).await.expect("the plugin did not end in time").unwrap()
    }

    /// Runs a command that has to fail with one clear line, which is returned.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let errors: Vec<_> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
        assert_eq!(errors.len(), 1, "{log}");
        errors[0].strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {log}")).to_owned()
    }
}

/// A configuration file. The tests that share a cluster each have a plugin name and a role of their own, and no `*`, so
/// that they do not announce each other's requests.
pub(crate) struct Configuration {
    pub(crate) teleport: String,
    pub(crate) rest: String,
}

impl Configuration {
    /// Adds a line under `[teleport]`.
    pub(crate) fn teleport(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.teleport, "{key} = {value:?}");
        self
    }

    pub(crate) fn write(&self, home: &Home) -> PathBuf {
        home.write("teleport-slack.toml", &format!("[teleport]\n{}{}", self.teleport, self.rest))
    }
}

/// A running plugin. Killed with the test.
pub(crate) struct Worker {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Worker {
    /// Starts `program command --config=file` and waits until it is ready.
    pub(crate) async fn start(home: &Home, command: &str, file: &Path) -> Self {
        let mut worker = Self::spawn(&home.program, &[command, &format!("--config={}", file.display())]);
        worker.line("Plugin is ready").await;
        worker
    }

    /// Starts any program.
    pub(crate) fn spawn(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut pipe = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = pipe.next_line().await {
                // Read on when nobody listens any more: a full pipe would hold the plugin up.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line of the log that has these words in it.
    pub(crate) async fn line(&mut self, words: &str) -> String {
        let found = timeout(SOON, async {
            while let Some(line) = self.lines.recv().await {
                self.seen.push(line.clone());
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        });
        match found.await {
            Ok(Some(line)) => line,
            _ => panic!("no line with {words:?} in:\n{}", self.seen.join("\n")),
        }
    }

    /// Ends it as systemd does, and returns all that it logged.
    pub(crate) async fn stop(mut self) -> String {
        crate::signal("TERM", &self.child.id().unwrap().to_string());
        let status = self.wait().await;
        while let Some(line) = self.lines.recv().await {
            self.seen.push(line);
        }
        let log = self.seen.join("\n");
        assert!(status.success(), "{status}:\n{log}");
        log
    }

    /// Ends it as the kernel does when memory runs out.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn wait(&mut self) -> ExitStatus {
        timeout(SOON, self.child.wait()).await.expect("the plugin did not end in time").unwrap()
    }
}
