//! The controller with many objects on a real Kubernetes API server: time, calls, memory.
//!
//! `OBJECTS` (1,000) says how many. kube-controller-manager does not run: what it makes of a Deployment is no work of ours.

#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what is not as expected ends the benchmark, and its table goes to standard output"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use slack_access_operator::crd::SlackAccessPlugin;
use support::Cluster;

/// The name under which the controller speaks to the API server.
const USER: &str = "controller-under-test";
/// No write for this long means that the controller is done.
const QUIET: Duration = Duration::from_secs(3);
/// Writes that an object may cost: one for each of the five that it owns, and one of its status.
const WRITES: usize = 6;
/// What may be resident, in MiB.
const RESIDENT: f64 = 64.0;

fn main() {
    // `cargo test` runs every target; this is not one of its tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(run(std::env::var("OBJECTS").map_or(1000, |number| number.parse().unwrap())));
}

async fn run(objects: usize) {
    let cluster = Cluster::without_controller_manager().await;
    let mut controller = Controller::start(&cluster);
    println!(
        "| step | time | writes (limit) | writes per object | other calls | resident (limit {RESIDENT} MiB) | of it anonymous |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut table = Table { cluster: &cluster, seen: 0, objects, exceeded: Vec::new() };
    table.step("started, nothing to do", Instant::now(), 0, &controller).await;

    let plugins: Api<SlackAccessPlugin> = Api::namespaced(cluster.client(), "default");
    let begin = Instant::now();
    futures::stream::iter(0..objects)
        .for_each_concurrent(16, |number| {
            let plugins = plugins.clone();
            async move { apply(&plugins, &plugin(number, "access-requests")).await }
        })
        .await;
    println!("| {objects} objects written by kubectl's stand-in | {:.1} s | | | | | |", begin.elapsed().as_secs_f64());
    table.step("all reconciled", begin, WRITES * objects, &controller).await;

    let begin = Instant::now();
    apply(&plugins, &plugin(0, "another-channel")).await;
    // The ConfigMap, the Deployment and the status.
    table.step("one edit reconciled", begin, 3, &controller).await;
    table.step("nothing changed", Instant::now(), 0, &controller).await;

    controller.stop();
    let begin = Instant::now();
    controller = Controller::start(&cluster);
    table.step("started anew, nothing changed", begin, 0, &controller).await;
    controller.stop();
    match table.exceeded.as_slice() {
        [] => println!("\nevery figure is within its limit"),
        steps => println!("\nbeyond a limit: {}", steps.join(", ")),
    }
}

async fn apply(plugins: &Api<SlackAccessPlugin>, plugin: &Value) {
    let name = plugin["metadata"]["name"].as_str().unwrap();
    plugins.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(plugin)).await.unwrap();
}

fn plugin(number: usize, channel: &str) -> Value {
    json!({
        "apiVersion": "slackaccess.dev/v1alpha1",
        "kind": "SlackAccessPlugin",
        "metadata": {"name": format!("plugin-{number}")},
        "spec": {
            "pluginName": format!("slack-{number}"),
            "teleport": {"address": "teleport.example.com:443", "identity": {"secretRef": {"name": "teleport-slack-identity"}}},
            "slack": {"token": {"secretRef": {"name": "slack-bot-token"}}},
            "roleToRecipients": {"*": [channel], "dba": ["dba-oncall", "alice@example.com"]},
        },
    })
}

/// The real program, in a process of its own.
struct Controller(Child);

impl Controller {
    fn start(cluster: &Cluster) -> Self {
        let kubeconfig = cluster.kubeconfig_as(USER);
        Self(
            Command::new(env!("CARGO_BIN_EXE_slack-access-operator"))
                .args(["controller", "--worker-image=example.com/slack-access-operator:1.0.0", "--log-severity=warn"])
                .env("KUBECONFIG", kubeconfig)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    /// A part of the resident memory in MiB: `VmRSS` is all of it, `RssAnon` what is not the program's own file.
    fn resident(&self, part: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(part)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    }

    fn stop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Table<'a> {
    cluster: &'a Cluster,
    seen: usize,
    objects: usize,
    exceeded: Vec<String>,
}

impl Table<'_> {
    /// Waits until the controller is quiet, and prints what it did since the step before.
    async fn step(&mut self, name: &str, begin: Instant, limit: usize, controller: &Controller) {
        let (mut number, mut since) = (self.cluster.calls_of(USER).len(), Instant::now());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.cluster.calls_of(USER).len();
            if now != number {
                (number, since) = (now, Instant::now());
            }
        }
        let calls: Vec<String> = self.cluster.calls_of(USER).split_off(self.seen);
        self.seen += calls.len();
        let mut by_kind = BTreeMap::<&str, usize>::new();
        for call in &calls {
            *by_kind.entry(call).or_default() += 1;
        }
        let is_read = |call: &str| ["get ", "list ", "watch "].iter().any(|verb| call.starts_with(verb));
        let writes: usize = by_kind.iter().filter(|(call, _)| !is_read(call)).map(|(_, number)| number).sum();
        let reads = calls.len() - writes;
        let took = since.duration_since(begin).as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let each = writes as f64 / self.objects as f64;
        let (resident, anonymous) = (controller.resident("VmRSS:"), controller.resident("RssAnon:"));
        println!(
            "| {name} | {took:.1} s | {writes} ({limit}) | {each:.2} | {reads} | {resident:.1} MiB | {anonymous:.1} MiB |"
        );
        if writes > limit || resident > RESIDENT {
            self.exceeded.push(name.to_owned());
        }
        for (call, number) in by_kind.iter().filter(|(_, number)| **number > 0) {
            println!("|   {call} | | {number} | | | | |");
        }
    }
}
