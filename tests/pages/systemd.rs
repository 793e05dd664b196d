//! `docs/moving-from-systemd.md`, with requests in flight at every step.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use simulators::slack::{BOT_TOKEN, Limits, Server, default_workspace};
use simulators::teleport::{Cluster, Config, NewRequest};
use tokio::process::Command;

use crate::{commands, program, root};

const PATIENCE: Duration = Duration::from_mins(1);

/// A machine: a folder that stands for its root, with the programs that the page needs.
struct Machine {
    folder: tempfile::TempDir,
    teleport: Cluster,
    slack: Server,
}

impl Machine {
    async fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            teleport: Cluster::start(Config::default()).await.unwrap(),
            slack: Server::start(default_workspace().limits(Limits::off())).await.unwrap(),
        };
        for folder in ["usr/local/bin", "etc", "bin"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_slack-access-operator"));
        fs::copy(binary, machine.path("slack-access-operator")).unwrap();
        fs::copy(binary, machine.path("usr/local/bin/teleport-slack")).unwrap();
        machine.teleport.write_identity_file(machine.path("etc/auth.pem")).unwrap();
        fs::write(machine.path("etc/token"), BOT_TOKEN).unwrap();
        let text = format!(
            "[teleport]\naddr = \"{}\"\nidentity = {:?}\n[slack]\ntoken = {:?}\nAPIURL = \"{}\"\n[role_to_recipients]\n\
             \"*\" = \"access-requests\"\n[log]\noutput = \"stderr\"\n",
            machine.teleport.addr(),
            machine.path("etc/auth.pem"),
            machine.path("etc/token"),
            machine.slack.url()
        );
        fs::write(machine.path("etc/teleport-slack.toml"), text).unwrap();
        program(&machine.path("bin"), "sudo", "exec \"$@\"");
        // What systemd does for this unit: ends the old process, and starts the unit's command.
        let unit = fs::read_to_string(root().join("manifests/teleport-slack.service")).unwrap();
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let start = machine.local(start);
        let (pid, log) = (machine.path("pid"), machine.path("log"));
        program(
            &machine.path("bin"),
            "systemctl",
            &format!(
                "test \"$*\" = 'restart teleport-slack' || exit 64\n\
                 if test -f {pid:?}; then kill $(cat {pid:?}); while kill -0 $(cat {pid:?}) 2>/dev/null; do sleep 0.05; done; fi\n\
                 {start} >>{log:?} 2>&1 </dev/null &\necho $! >{pid:?}"
            ),
        );
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with the paths of this machine.
    fn local(&self, command: &str) -> String {
        let root = self.folder.path().display();
        command.replace("/usr/local/bin", &format!("{root}/usr/local/bin")).replace("/etc/", &format!("{root}/etc/"))
    }

    async fn run(&self, command: &str) -> String {
        let command = self.local(command);
        let path = format!("{}:{}:/usr/bin:/bin", self.path("bin").display(), self.path("usr/local/bin").display());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &command]).current_dir(self.folder.path()).env_clear().env("PATH", path);
        let output = bash.output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn ask(&self) -> String {
        self.teleport.create_request(NewRequest::new("alice@example.com", &["dba"]))
    }

    fn announced(&self, id: &str) -> usize {
        let messages = self.slack.workspace().messages("C0ACCESSREQ");
        messages.iter().filter(|message| format!("{message:?}").contains(id)).count()
    }

    /// Waits until each request is announced, and finds none announced twice.
    async fn all_announced(&self, ids: &[String]) {
        let mut changes = self.slack.workspace().changes();
        let waiting = async {
            while !ids.iter().all(|id| self.announced(id) > 0) {
                changes.changed().await.unwrap();
            }
        };
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not all announced; log:\n{}", log());
        assert!(ids.iter().all(|id| self.announced(id) == 1), "announced twice; log:\n{}", log());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.path("pid")) {
            let _ = std::process::Command::new("kill").arg(pid.trim()).status();
        }
    }
}

#[tokio::test]
async fn the_binary_is_replaced_and_put_back_as_the_page_says() {
    let machine = Machine::new().await;
    let mut asked = vec![machine.ask()];
    machine.run("systemctl restart teleport-slack").await;
    machine.all_announced(&asked).await;
    for command in commands("docs/moving-from-systemd.md") {
        asked.push(machine.ask());
        let said = machine.run(&command).await;
        if command.contains(" check ") {
            assert!(!said.contains("FAIL"), "{said}");
        }
        asked.push(machine.ask());
        if command.contains("restart") {
            machine.all_announced(&asked).await;
        }
    }
    machine.all_announced(&asked).await;
    assert!(machine.path("slack.yaml").exists() && !machine.path("usr/local/bin/teleport-slack.official").exists());
}
