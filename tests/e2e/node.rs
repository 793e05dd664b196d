//! The Kubernetes node (`hack/kubernetes/cluster.sh`), and commands as a person would type them against it.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Exit status of `cluster.sh` where no node can run.
const CANNOT: i32 = 77;

/// A running node; ends with this value, and with this process.
pub(crate) struct Node {
    folder: PathBuf,
    tools: PathBuf,
    /// The two addresses of this machine on the link to the node.
    pub(crate) host: [Ipv4Addr; 2],
}

/// The root of the project.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script() -> Command {
    Command::new(project().join("hack/kubernetes/cluster.sh"))
}

impl Node {
    /// Starts a node, or says why this machine cannot run one.
    pub(crate) fn start() -> Result<Self, String> {
        let mut command = script();
        command.arg("up");
        if !kept() {
            command.args(["--owner", &std::process::id().to_string()]);
        }
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.code() == Some(CANNOT) {
            return Err(said);
        }
        assert!(output.status.success(), "cluster.sh up: {said}");
        println!("{said}");
        let kubeconfig = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        let folder = kubeconfig.parent().unwrap().to_owned();
        let addresses = std::fs::read_to_string(folder.join("host-addresses")).unwrap();
        let mut addresses = addresses.lines().map(|line| line.parse().unwrap());
        let host = [addresses.next().unwrap(), addresses.next().unwrap()];
        let tools = PathBuf::from(std::fs::read_to_string(folder.join("bin")).unwrap());
        Ok(Self { folder, tools, host })
    }

    fn control(&self, command: &str, argument: &OsStr) {
        let output = script().arg(command).arg(&self.folder).arg(argument).output().unwrap();
        succeeded(command, &output).unwrap();
    }

    /// Imports an image from an OCI archive.
    pub(crate) fn load(&self, archive: &Path) {
        self.control("load", archive.as_os_str());
    }

    /// Takes the API server away.
    pub(crate) fn take_api_server_away(&self) {
        self.control("stop", "kube-apiserver".as_ref());
    }

    /// Starts it again; it is ready a while later.
    pub(crate) fn start_api_server(&self) {
        self.control("start", "kube-apiserver".as_ref());
    }

    /// Runs one line of a shell in a folder, with kubectl and helm that speak to this node.
    pub(crate) fn shell(&self, line: &str, folder: &Path) -> Result<String, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.tools.clone()].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(folder)
            .env("PATH", path)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            // helm and kubectl leave nothing in the home of whoever runs the tests.
            .env("HOME", folder)
            .output()
            .unwrap();
        succeeded(line, &output)
    }

    /// Every request that a service account made, from the API server's audit log.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.folder.join("log/audit")).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if kept() {
            println!("the node goes on: KUBECONFIG={}", self.folder.join("kubeconfig").display());
        } else {
            let _ = script().arg("down").arg(&self.folder).status();
        }
    }
}

fn kept() -> bool {
    std::env::var_os("E2E_KEEP").is_some()
}

fn succeeded(what: &str, output: &Output) -> Result<String, String> {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    Err(format!("`{what}`: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
