//! What the running process has given up.

use std::fs;

use crate::support::{Worker, World};

/// A line of `/proc/PID/FILE`, without its name.
fn line(worker: &Worker, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/{file}", worker.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_process_with_secrets_leaves_no_core_starts_no_program_and_uses_all_files_that_it_may() {
    let (world, worker) = World::start().await;
    assert_eq!(line(&worker, "limits", "Max core file size"), "0 0 bytes");
    let files = line(&worker, "limits", "Max open files");
    let (soft, hard) = files.trim_end_matches(" files").split_once(' ').unwrap();
    let kept_back = hard.parse::<u64>().unwrap() - soft.parse::<u64>().unwrap();
    assert_eq!(kept_back, 8, "for the endpoints alone");
    assert_eq!(line(&worker, "status", "NoNewPrivs:"), "1");
    // 2: a filter (proc_pid_status(5)). Every thread has it.
    for thread in fs::read_dir(format!("/proc/{}/task", worker.id())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
    }
    world.end(worker).await;
}

#[tokio::test]
async fn secrets_that_every_user_can_read_are_named_and_not_shown() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::new(|_| {}).await;
    fs::set_permissions(world.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(world.path("auth.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let worker = world.run().await;
    let warning = "every user of this machine can read it";
    assert_eq!(worker.count(warning), 1, "the token's file alone");
    assert_eq!(worker.count("slack.token: every user"), 1);
    world.end(worker).await;
}
