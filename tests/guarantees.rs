//! `docs/guarantees.md` names tests, metrics and alerts: each of them exists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use slack_access_operator::metrics::{Metrics, Operation, Outcome};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words in code spans of the page's tables.
fn named() -> BTreeSet<String> {
    let page = read("docs/guarantees.md");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let metrics = Metrics::new();
    // Families with labels show themselves with their first value.
    metrics.delivery(Operation::Post, Outcome::Ok);
    metrics.slack_call("chat.postMessage", "ok");
    let text = metrics.encode();
    for metric in named().iter().filter(|name| name.starts_with("slack_access_")) {
        let family = metric.trim_end_matches("_total");
        assert!(text.contains(&format!("# TYPE {family} ")), "{metric}");
    }
}

#[test]
fn every_alert_that_is_named_exists() {
    let rules = read("charts/slack-access-operator/templates/prometheusrule.yaml");
    for alert in named().iter().filter(|name| name.starts_with("SlackAccess")) {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert}");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    let tests: Vec<String> = named()
        .into_iter()
        .filter(|name| !name.starts_with("slack_access_") && !name.starts_with("SlackAccess"))
        .collect();
    assert!(tests.len() > 20, "{tests:?}");
    for test in tests {
        assert!(text.contains(&format!("fn {test}(")), "{test}");
    }
}

#[test]
fn every_counter_that_must_stay_at_zero_has_an_alert() {
    let rules = read("charts/slack-access-operator/templates/prometheusrule.yaml");
    for counter in
        ["requests_never_announced", "sent_again", "doubles_found", "messages_never_updated", "messages_shown_late"]
    {
        assert!(rules.contains(&format!("increase(slack_access_{counter}_total")), "{counter}");
    }
}
