//! The process under measurement: ours or the official plugin, with the same configuration file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use simulators::slack::BOT_TOKEN;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Failure;
use crate::cluster::{Cluster, role};
use crate::slack::{CHANNELS, Slack, channel};

/// Whose program it is.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// Arguments before the configuration file's path.
    arguments: &'static [&'static str],
}

impl Side {
    pub(crate) fn ours(program: PathBuf) -> Self {
        Self { name: "ours", program, arguments: &["start", "--config"] }
    }

    pub(crate) fn official(program: PathBuf) -> Self {
        Self { name: "official", program, arguments: &[] }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.name == "ours"
    }
}

/// A running plugin; dropping it kills it.
pub(crate) struct Plugin {
    process: Child,
    pid: u32,
    /// From the start of the process to its line "Plugin is ready".
    pub(crate) ready_after: Duration,
}

impl Plugin {
    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(side: &Side, cluster: &Cluster, slack: &Slack) -> Result<Self, Failure> {
        const PATIENCE: Duration = Duration::from_mins(1);
        let config = cluster.folder.path().join(format!("{}.toml", side.name));
        fs::write(&config, configuration(cluster, slack))?;
        let log = cluster.folder.path().join(format!("{}.log", side.name));
        let started = Instant::now();
        let mut process = Command::new(&side.program)
            .args(side.arguments)
            .arg(&config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process.id().ok_or("the plugin ended at once")?;
        let output = process.stderr.take().ok_or("the plugin has no output")?;
        let (tell, ready) = oneshot::channel();
        tokio::spawn(read_log(output, log.clone(), tell));
        let Ok(Ok(at)) = timeout(PATIENCE, ready).await else {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{} was not ready within {PATIENCE:?}:\n{said}", side.name).into());
        };
        Ok(Self { process, pid, ready_after: at.duration_since(started) })
    }

    /// Proportional set size in MiB.
    pub(crate) fn memory(&self) -> Result<f64, Failure> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss in smaps_rollup")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes / 1024.0)
    }

    /// Seconds of processor time so far, of all threads, user and system.
    pub(crate) fn cpu(&self) -> Result<f64, Failure> {
        /// The unit in /proc (`USER_HZ`) is the same on every Linux.
        const TICKS: f64 = 100.0;
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The program's name may hold spaces; it ends with the last parenthesis.
        let (_, rest) = text.rsplit_once(')').ok_or("unexpected form of /proc/PID/stat")?;
        let ticks: Result<Vec<f64>, _> = rest.split_whitespace().skip(11).take(2).map(str::parse).collect();
        Ok(ticks?.iter().sum::<f64>() / TICKS)
    }

    /// SIGTERM, and wait.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await?;
        if timeout(Duration::from_secs(20), self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }

    /// SIGKILL, and wait.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.process.kill().await?)
    }
}

/// Keeps the log for when something goes wrong, and tells when the plugin is ready.
async fn read_log(output: tokio::process::ChildStderr, log: PathBuf, tell: oneshot::Sender<Instant>) {
    let mut tell = Some(tell);
    let mut lines = BufReader::new(output).lines();
    let mut file = open(&log);
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("Plugin is ready")
            && let Some(tell) = tell.take()
        {
            let _ = tell.send(Instant::now());
        }
        if let Some(file) = &mut file {
            let _ = std::io::Write::write_all(file, format!("{line}\n").as_bytes());
        }
    }
}

fn open(log: &Path) -> Option<fs::File> {
    fs::OpenOptions::new().create(true).append(true).open(log).ok()
}

/// In the official spelling, which both read.
fn configuration(cluster: &Cluster, slack: &Slack) -> String {
    let mut text = format!(
        "[teleport]\naddr = \"{}\"\nidentity = \"{}\"\n\n[slack]\ntoken = \"{BOT_TOKEN}\"\nAPIURL = \"{}\"\n\n\
         [log]\noutput = \"stderr\"\nseverity = \"INFO\"\n\n[role_to_recipients]\n\"*\" = \"{}\"\n",
        cluster.auth_address,
        cluster.plugin_identity().display(),
        slack.server.url(),
        channel(0),
    );
    for number in 0..CHANNELS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\"{}\" = \"{}\"", role(number), channel(number));
    }
    text
}
