//! A log that nobody reads.

use std::io::Write as _;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{SOON, World};

/// A pipe that takes nothing any more (pipe(7): 65,536 bytes).
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'\n'; 65_536]).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_holds_up_neither_the_work_nor_the_end() {
    let world = World::new(|_| {}).await;
    let (_reader, writer) = full_pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slack-access-operator"));
    command.args(world.arguments(&[])).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stderr(writer.try_clone().unwrap()).stdout(writer);
    let mut worker = command.spawn().unwrap();
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    let number = worker.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &number]).status().unwrap().success());
    let status = timeout(SOON, worker.wait()).await.expect("the worker does not end").unwrap();
    assert_eq!(status.code(), Some(0));
    world.assert_no_violations();
}

#[tokio::test]
async fn an_error_that_nobody_reads_does_not_keep_a_process() {
    let (_reader, writer) = full_pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slack-access-operator"));
    command.args(["start", "--config", "/nonexistent"]).stderr(writer).kill_on_drop(true);
    let status = timeout(SOON, command.spawn().unwrap().wait()).await.expect("it does not end").unwrap();
    assert_eq!(status.code(), Some(1));
}
