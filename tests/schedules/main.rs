//! Thousands of worlds over `delivery::machine::Machine`, each made and replayed from a seed: workers, Teleport, Slack, the
//! official plugin and people, on virtual time and without I/O.
//!
//! A seed yields a [`plan`], the [`world`] runs it, its [`history`] is judged by [`properties`]. A plan that once failed is
//! kept in `kept/` and run first. `make schedules SEEDS=… FROM=…` runs as many as asked.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what is not as expected ends the test, also in its helpers"
)]

mod calls;
mod chance;
mod exceptions;
mod expected;
mod gate;
mod history;
mod ledger;
mod marks;
mod official;
mod plan;
mod properties;
mod sabotage;
mod shrink;
mod slack;
mod teleport;
mod worker;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use history::History;
use marks::MARKS;
use plan::Plan;
use properties::Violation;
use sabotage::Sabotage;
use world::World;

/// Worlds in `make test`.
const SEEDS: u64 = 5_000;
/// Worlds that are run twice.
const TWICE: u64 = 200;
/// Each sabotage is caught within so many worlds.
const CAUGHT_WITHIN: u64 = 500;
/// Lines of the trace that a failure shows.
const TRACE: usize = 60;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedules/kept")
}

/// Runs a plan and judges it. A panic of the machine is a violation too.
fn judged(plan: &Plan) -> (Option<History>, Vec<Violation>) {
    let run = || {
        let history = World::run(plan, None);
        let violations = properties::check(&history);
        (Some(history), violations)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_default();
        (None, vec![Violation { property: "panic", at: 0, request: None, what }])
    })
}

/// Tells of a failed plan: what is wrong, the latest lines about it, the smallest plan that fails so, and how to replay it.
fn report(name: &str, plan: &Plan) -> String {
    let (history, violations) = judged(plan);
    let Some(first) = violations.first() else { return format!("{name} holds") };
    let mut text = String::new();
    let small = if history.is_some() { shrink::shrink(plan, first.property) } else { plan.clone() };
    let (history, violations) = judged(&small);
    let first = violations.iter().find(|violation| violation.property == first.property).unwrap_or(first);
    if let Some(history) = history {
        for line in history.trace(first.request, first.at, TRACE) {
            let _ = writeln!(text, "{line}");
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{name}-{}.json", first.property));
    let written = serde_json::to_string_pretty(&small).map(|json| std::fs::write(&file, json));
    let _ = writeln!(text, "{name}: {first}");
    for other in violations.iter().filter(|other| *other != first).take(5) {
        let _ = writeln!(text, "  also {other}");
    }
    if matches!(written, Ok(Ok(()))) {
        let file = file.display();
        let _ = writeln!(text, "replay: SCHEDULE_PLAN={file} cargo test --test schedules one_plan -- --nocapture");
        let _ = writeln!(text, "keep:   cp {file} tests/schedules/kept/");
    }
    text
}

#[test]
fn plans_that_once_failed_hold() {
    let mut files: Vec<_> = std::fs::read_dir(kept()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut failed = String::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let plan: Plan = serde_json::from_str(&std::fs::read_to_string(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if !judged(&plan).1.is_empty() {
            failed += &report(&file.file_stem().unwrap_or_default().to_string_lossy(), &plan);
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// `SCHEDULE_PLAN=file`, or `SCHEDULE_SEED=n`: the whole trace of one plan.
#[test]
fn one_plan() {
    let plan = match (std::env::var("SCHEDULE_PLAN"), number("SCHEDULE_SEED")) {
        (Ok(file), _) => serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap(),
        (Err(_), Some(seed)) => Plan::of(seed),
        (Err(_), None) => Plan::of(0),
    };
    let is_asked = std::env::var("SCHEDULE_PLAN").is_ok() || number("SCHEDULE_SEED").is_some();
    let (history, violations) = judged(&plan);
    if is_asked {
        println!("{}", serde_json::to_string_pretty(&plan).unwrap());
        history.iter().flat_map(History::lines).for_each(|line| println!("{line}"));
    }
    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn every_schedule_of_many_seeds_keeps_the_promise() {
    let (from, count) = (number("SCHEDULES_FROM").unwrap_or(0), number("SCHEDULES_SEEDS").unwrap_or(SEEDS));
    let most = number("SCHEDULES_FAILURES").unwrap_or(3);
    let next = AtomicU64::new(from);
    let failed: Mutex<BTreeMap<&'static str, BTreeSet<u64>>> = Mutex::default();
    let hit: Mutex<BTreeSet<&'static str>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let (history, violations) = judged(&Plan::of(seed));
                    if let Some(history) = history {
                        let known = hit.lock().unwrap().clone();
                        let missing = MARKS.iter().filter(|mark| !known.contains(mark.name));
                        let marks =
                            missing.filter(|mark| history.entries.iter().any(|entry| (mark.is_hit)(&entry.what)));
                        let names: Vec<_> = marks.map(|mark| mark.name).collect();
                        hit.lock().unwrap().extend(names);
                    }
                    let properties: BTreeSet<_> = violations.iter().map(|violation| violation.property).collect();
                    for property in properties {
                        failed.lock().unwrap().entry(property).or_default().insert(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let mut text = String::new();
    let seeds: BTreeSet<u64> = failed.values().filter_map(|seeds| seeds.first().copied()).collect();
    for seed in seeds.iter().take(usize::try_from(most).unwrap_or(1)) {
        text += &report(&format!("seed-{seed}"), &Plan::of(*seed));
    }
    for (property, seeds) in &failed {
        let first: Vec<_> = seeds.iter().take(12).collect();
        let _ = writeln!(text, "{property} does not hold for {} of {count} seeds from {from}: {first:?}", seeds.len());
    }
    assert!(failed.is_empty(), "{text}");
    let hit = hit.into_inner().unwrap();
    let missed: Vec<_> = MARKS.iter().map(|mark| mark.name).filter(|name| !hit.contains(name)).collect();
    assert!(count < SEEDS || missed.is_empty(), "these never happened in {count} worlds: {missed:#?}");
}

#[test]
fn a_seed_means_the_same_world_every_time() {
    for seed in 0..TWICE {
        let plan = Plan::of(seed);
        let (first, second) = (World::run(&plan, None), World::run(&plan, None));
        if first.hash() != second.hash() {
            let differs = first.lines().zip(second.lines()).find(|(one, other)| one != other);
            panic!("seed {seed} is another world the second time, from here on: {differs:#?}");
        }
    }
}

#[test]
fn every_sabotage_is_caught_by_the_property_that_is_there_for_it() {
    let mut missed = Vec::new();
    for (sabotage, expected) in Sabotage::ALL {
        let caught = (0..CAUGHT_WITHIN).find(|seed| {
            let history = World::run(&Plan::of(*seed), Some(sabotage));
            properties::check(&history).iter().any(|violation| expected.contains(&violation.property))
        });
        match caught {
            Some(seed) => println!("{sabotage:?} is caught by {expected:?} after {} worlds", seed + 1),
            None => missed.push(sabotage),
        }
    }
    assert!(missed.is_empty(), "not caught within {CAUGHT_WITHIN} worlds: {missed:?}");
}
