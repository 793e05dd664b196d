//! New credentials and configurations while requests flow.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use simulators::teleport::{Cluster, Config};

use crate::support::{CHANNEL, DAY, Worker, World, write_whole};

/// Requests go on while `change` is taken up; each is told once.
async fn taken_up_while_requests_flow(world: &World, worker: &Worker, change: impl FnOnce()) {
    let before = worker.count("Took up the new identity");
    let mut ids: Vec<String> = (0..3).map(|_| world.request("dba")).collect();
    change();
    while worker.count("Took up the new identity") == before {
        let id = world.request("dba");
        world.announced(&id, 1).await;
        ids.push(id);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(ids.len() < 300, "the new identity is not taken up");
    }
    ids.push(world.request("dba"));
    for id in &ids {
        world.announced(id, 1).await;
    }
}

#[tokio::test]
async fn a_new_identity_is_taken_up_however_its_file_is_replaced() {
    let (world, worker) = World::start().await;
    let path = world.path("auth.pem");
    taken_up_while_requests_flow(&world, &worker, || {
        world.identity(DAY).write_identity_file(&path).unwrap();
    })
    .await;
    // In place, as `cp` does.
    taken_up_while_requests_flow(&world, &worker, || fs::write(&path, world.identity(DAY).identity_file()).unwrap())
        .await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_secret_volume_is_followed_when_its_link_is_switched() {
    let world = World::new(|_| {}).await;
    let volume = world.path("volume");
    let version = |name: &str| {
        fs::create_dir_all(volume.join(name)).unwrap();
        fs::write(volume.join(name).join("auth_id"), world.identity(DAY).identity_file()).unwrap();
        symlink(name, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    version("..one");
    symlink("..data/auth_id", volume.join("auth_id")).unwrap();
    let identity = format!("identity = \"{}\"", volume.join("auth_id").display());
    world.configure_with(&identity, &format!("\"*\" = \"{CHANNEL}\""));
    let worker = world.run().await;
    taken_up_while_requests_flow(&world, &worker, || {
        version("..two");
        fs::remove_dir_all(volume.join("..one")).unwrap();
    })
    .await;
    world.end(worker).await;
}

#[tokio::test]
async fn separate_tls_files_work_and_are_followed_too() {
    let world = World::new(|_| {}).await;
    let prefix = world.path("auth");
    world.identity(DAY).write_tls_files(&prefix).unwrap();
    let prefix_text = prefix.display();
    let credentials = format!(
        "client_crt = \"{prefix_text}.crt\"\nclient_key = \"{prefix_text}.key\"\nroot_cas = \"{prefix_text}.cas\""
    );
    world.configure_with(&credentials, &format!("\"*\" = \"{CHANNEL}\""));
    let worker = world.run().await;
    taken_up_while_requests_flow(&world, &worker, || world.identity(DAY).write_tls_files(&prefix).unwrap()).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_broken_identity_is_reported_and_the_old_one_stays_in_use() {
    let (world, worker) = World::start().await;
    let path = world.path("auth.pem");
    let good = fs::read_to_string(&path).unwrap();
    write_whole(&path, "-----BEGIN NONSENSE-----");
    worker.said("Cannot use the new identity").await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    // One of another cluster parses, and does not work.
    let other = Cluster::start(Config::default()).await.unwrap();
    other.write_identity_file(&path).unwrap();
    worker.said("The new identity does not work").await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    // The watch breaks: the old one must still be good for a new connection.
    world.cluster.cut_streams();
    let id = world.request("dba");
    world.announced(&id, 1).await;
    write_whole(&path, &good);
    taken_up_while_requests_flow(&world, &worker, || {
        world.identity(DAY).write_identity_file(&path).unwrap();
    })
    .await;
    worker.end().await;
    world.slack.assert_no_violations();
}

#[tokio::test]
async fn a_short_lived_identity_is_replaced_again_and_again() {
    let world = World::new(|_| {}).await;
    let path = world.path("auth.pem");
    world.identity(Duration::from_secs(6)).write_identity_file(&path).unwrap();
    let worker = world.run().await;
    for _ in 0..3 {
        taken_up_while_requests_flow(&world, &worker, || {
            world.identity(Duration::from_secs(6)).write_identity_file(&path).unwrap();
        })
        .await;
    }
    world.end(worker).await;
}

#[tokio::test]
async fn an_identity_that_ran_out_is_waited_for_and_nothing_is_lost() {
    let world = World::new(|_| {}).await;
    let path = world.path("auth.pem");
    world.identity(Duration::from_secs(2)).write_identity_file(&path).unwrap();
    let worker = world.run().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.cluster.cut_streams();
    worker.said("expired at").await;
    let id = world.request("dba");
    world.identity(DAY).write_identity_file(&path).unwrap();
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_changed_map_is_used_after_a_hangup_without_a_gap_or_a_second_message() {
    let (world, worker) = World::start().await;
    let old = world.request("dba");
    world.announced(&old, 1).await;
    let mut ids = Vec::new();
    for round in 0..4 {
        let channels = if round % 2 == 0 { "[\"access-requests\", \"general\"]" } else { "[\"access-requests\"]" };
        world.configure(&format!("\"*\" = {channels}"));
        ids.extend((0..5).map(|_| world.request("dba")));
        worker.signal("HUP");
        ids.extend((0..5).map(|_| world.request("dba")));
        worker.said_times("Plugin is ready", round + 2).await;
    }
    world.configure("\"*\" = [\"access-requests\", \"general\"]");
    worker.signal("HUP");
    for id in ids.iter().chain([&old]) {
        world.announced(id, 2).await;
    }
    world.end(worker).await;
}

#[tokio::test]
async fn a_broken_configuration_is_reported_and_the_old_one_stays_in_use() {
    let (world, worker) = World::start().await;
    write_whole(&world.path("slack.toml"), "[teleport\naddr = ");
    worker.signal("HUP");
    worker.said("Cannot use the new configuration").await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    // Well-formed, and names a file that is not there.
    let identity =
        format!("identity = \"{}\"\nca_bundle = \"{}\"", world.path("auth.pem").display(), "/nonexistent/ca.pem");
    world.configure_with(&identity, &format!("\"*\" = \"{CHANNEL}\""));
    worker.signal("HUP");
    worker.said_times("Cannot use the new configuration", 2).await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}
