//! The port of `/livez`, `/readyz` and `/metrics`, and those who mean it harm.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use simulators::faults::{Effect, Fault};
use simulators::slack::{BOT_USER, Channel};
use tokio::process::Command;

use crate::support::{Worker, World};

/// What a kubelet waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const FLOOD: usize = 3000;
/// Of the 128 MiB that a worker's pod has.
const GROWTH: u64 = 24 * 1024;

/// Waits until the endpoints are there.
async fn endpoints(worker: &Worker) -> SocketAddr {
    worker.said("Serving /livez, /readyz and /metrics").await;
    let log = worker.log();
    let line = log.lines().find(|line| line.contains("Serving /livez")).unwrap();
    let (_, address) = line.split_once("address=").unwrap();
    address.trim_matches('"').parse().unwrap()
}

/// Asks as a kubelet does.
fn probe(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT).unwrap();
    stream.set_read_timeout(Some(PROBE_TIMEOUT)).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_ready(address: SocketAddr) {
    let started = Instant::now();
    let answer = probe(address);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(started.elapsed() < PROBE_TIMEOUT, "answered after {:?}", started.elapsed());
}

/// Memory in use, in KiB.
fn memory(worker: &Worker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Connections that send the beginning of a request, and no end.
fn flood(address: SocketAddr, request: &[u8]) -> Vec<TcpStream> {
    let connect = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        // As much as goes: the server may have closed it already.
        let _ = stream.write(request);
        stream
    };
    let mut open = Vec::with_capacity(FLOOD);
    while open.len() < FLOOD {
        open.push(connect());
        if open.len() % 100 == 0 {
            assert_ready(address);
        }
    }
    open
}

#[tokio::test]
async fn a_flood_of_connections_costs_little_memory_and_probes_get_through() {
    let world = World::new(|_| {}).await;
    let worker = world.spawn(&["--diag-addr=127.0.0.1:0"]);
    worker.said("Plugin is ready").await;
    let address = endpoints(&worker).await;
    let before = memory(&worker);
    let unfinished = format!("GET /readyz HTTP/1.1\r\nX-Filler: {}", "x".repeat(60_000));
    for request in ["", "G", unfinished.as_str()] {
        let open = tokio::task::spawn_blocking({
            let request = request.to_owned();
            move || flood(address, request.as_bytes())
        });
        let open = open.await.unwrap();
        let grown = memory(&worker).saturating_sub(before);
        assert!(grown < GROWTH, "{grown} KiB for {FLOOD} connections that sent {} bytes", request.len());
        drop(open);
    }
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn probes_are_answered_while_the_work_has_used_up_all_files() {
    const CHANNELS: usize = 40;
    let world = World::new(|setup| {
        let mut workspace = std::mem::take(&mut setup.workspace);
        setup.recipients.clear();
        for n in 0..CHANNELS {
            let (id, name) = (format!("C0FILES{n:04}"), format!("files-{n}"));
            workspace = workspace.channel(Channel::public(&id, &name).members([BOT_USER]));
            writeln!(setup.recipients, "\"role-{n}\" = \"{name}\"").unwrap();
            setup.places.push(name);
        }
        setup.recipients.push_str("\"*\" = \"general\"");
        setup.workspace = workspace;
    })
    .await;
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -n 40 && exec "$0" "$@""#, env!("CARGO_BIN_EXE_slack-access-operator")]);
    limited.args(world.arguments(&["--diag-addr=127.0.0.1:0"]));
    let worker = world.spawn_as(limited);
    worker.said("Plugin is ready").await;
    let address = endpoints(&worker).await;
    // Each call takes so long that they add up.
    let slow = world.slack().inject(Fault::always("chat.postMessage", Effect::Slow { millis: 5000 })).unwrap();
    let ids: Vec<String> = (0..CHANNELS).map(|n| world.request(&format!("role-{n}"))).collect();
    let files = format!("/proc/{}/fd", worker.id());
    world
        .until("the worker has used up its files", |_| {
            assert_ready(address);
            std::fs::read_dir(&files).unwrap().count() >= 31
        })
        .await;
    for _ in 0..20 {
        assert_ready(address);
    }
    world.slack().faults().remove(slow);
    world
        .until("everything is announced", |world| {
            assert_ready(address);
            ids.iter().all(|id| world.recorded(id) == 1)
        })
        .await;
    world.end(worker).await;
}
