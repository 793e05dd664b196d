//! The life of an installation on a real Kubernetes node: real kubelet, containerd, scheduler and helm; Teleport and Slack are
//! simulated, outside of the cluster. One journey, step after step: each step starts where the one before it ended.
//!
//! `make test-e2e`; docs/kubernetes.md tells what it needs.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test: a panic is how it fails, its output is for people"
)]

mod faults;
mod journey;
mod node;
mod outside;
mod steps;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use journey::Journey;
use node::Node;
use tokio::task::JoinError;

fn main() -> ExitCode {
    let node = match Node::start() {
        Ok(node) => node,
        Err(reason) => {
            println!("{reason}\ntest result: ok. 0 passed; 0 failed; {} ignored", steps::STEPS.len());
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let failed = tokio::task::LocalSet::new().block_on(&runtime, travel(node));
    // What still runs (servers, streams) ends with the process.
    runtime.shutdown_background();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Walks until the first failure; what was not reached counts as failed. Returns how many failed.
async fn travel(node: Node) -> usize {
    let journey = Arc::new(Journey::start(node).await);
    println!("\nrunning {} steps", steps::STEPS.len());
    let (mut passed, mut failure) = (0, String::new());
    for (name, step) in steps::STEPS {
        let began = Instant::now();
        // On a task of its own, which turns a panic into a result.
        let step = step(Arc::clone(&journey));
        let ended = tokio::task::spawn_local(step).await;
        let took = began.elapsed().as_secs_f64();
        match ended {
            Ok(()) => {
                println!("test {name} ... ok ({took:.1} s)");
                passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED ({took:.1} s)");
                println!("{}", journey.state().await);
                // Once more where it is looked for: below all that.
                failure = format!("\n{name}: {}\n", said(error));
                break;
            }
        }
    }
    let failed = steps::STEPS.len() - passed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("{failure}\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    failed
}

/// What a step that failed had to say.
fn said(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "cancelled".to_owned() };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or("it panicked", |text| *text).to_owned(),
    }
}
