//! Programs that end with the test, however it ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A running program.
///
/// Between it and the test stands a shell which waits for the end of its input: that comes when this is dropped, and when the test
/// process is gone, even if it was killed.
pub struct Process {
    guard: Child,
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts a program; what it writes goes to `log`.
    pub fn start(command: &Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut guard = Command::new("sh")
            .arg("-c")
            .arg(r#""$@" </dev/null & program=$!; read -r _; kill -9 "$program"; wait "$program" 2>/dev/null"#)
            .arg("sh")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let input = guard.stdin.take();
        Self { guard, input }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.guard.wait();
    }
}

/// Removes a folder after everything else has ended.
pub struct Janitor {
    guard: Child,
    input: Option<ChildStdin>,
}

impl Janitor {
    /// Will remove `folder`.
    pub fn of(folder: &Path) -> Self {
        let mut guard = Command::new("sh")
            .arg("-c")
            // The programs in it may still be ending.
            .arg(r#"read -r _; for _ in 1 2 3 4 5; do rm -rf "$1" 2>/dev/null && [ ! -e "$1" ] && exit; sleep 1; done"#)
            .arg("sh")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = guard.stdin.take();
        Self { guard, input }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.guard.wait();
    }
}
