//! The command that starts the demo.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// However it is ended, by ctrl-C, by a service manager or with its terminal: its worker ends, and its directory is gone.
#[tokio::test]
async fn the_command_ends_cleanly_and_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let directory = tempfile::tempdir().unwrap();
        // These tests may run under `nohup`, which their children would inherit.
        let mut demo = Command::new("env")
            .args([
                "--default-signal=HUP",
                env!("CARGO_BIN_EXE_simulators"),
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--worker",
            ])
            .arg(super::worker())
            .env("TMPDIR", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(demo.stderr.take().unwrap()).lines();
        while !log.next_line().await.unwrap().expect("the worker gets ready").contains("Plugin is ready") {}
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        kill_process(Pid::from_raw(i32::try_from(demo.id().unwrap()).unwrap()).unwrap(), signal).unwrap();
        // The worker holds the other end of its own pipe; this one ends with the command.
        while log.next_line().await.unwrap().is_some() {}
        let ended = demo.wait_with_output().await.unwrap();
        assert!(ended.status.success(), "{signal:?}: {}", ended.status);
        assert!(String::from_utf8_lossy(&ended.stdout).contains("The demo has ended."), "{signal:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{signal:?}");
    }
}
