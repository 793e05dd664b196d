//! The import rules of the house: what decides imports no client and no runtime, and nothing imports upward.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room of `src`, and the rooms and crates that its files may not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    // What decides about a request. Time and chance are parameters.
    (
        "delivery",
        &["tokio", "tokio_util", "futures", "tracing", "tonic", "prost", "reqwest", "hyper", "kube", "k8s_openapi"],
    ),
    ("delivery", &["crate::worker", "crate::teleport", "crate::controller", "crate::crd", "crate::metrics"]),
    ("delivery", &["crate::slack::api", "crate::slack::message", "std::net", "std::fs", "std::thread", "std::sync"]),
    ("access_request.rs", &["tokio", "tonic", "prost", "reqwest", "kube", "crate::"]),
    // The two edges do not know each other.
    ("slack", &["crate::teleport", "crate::worker", "crate::controller", "crate::delivery", "crate::review"]),
    ("teleport", &["crate::slack", "crate::worker", "crate::controller", "crate::delivery"]),
    // Who may click, and what follows.
    ("review", &["tokio", "reqwest", "tonic", "kube", "crate::worker", "crate::controller"]),
    ("controller", &["crate::worker"]),
    ("config", &["crate::worker", "crate::controller"]),
    ("crd", &["crate::worker", "crate::controller"]),
    ("worker", &["crate::controller", "crate::check", "crate::convert"]),
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|entry| sources(&entry));
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The paths that a file names: in `use` and elsewhere, without comments.
fn named(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.flat_map(|line| line.split(move |c: char| !is_of_path(c)));
    words.filter(|word| word.contains("::")).map(str::to_owned).collect()
}

/// Whether a named path leads into a forbidden room or crate.
fn leads_to(path: &str, forbidden: &str) -> bool {
    let rest = path.strip_prefix(forbidden);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || forbidden.ends_with("::"))
}

/// What a room names although it may not, as `file: path`.
fn violations(room: &str, forbidden: &[&str]) -> Vec<String> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&house.join(room));
    assert!(!files.is_empty(), "src/{room} has no sources");
    let mut found = Vec::new();
    for file in files {
        for path in named(&fs::read_to_string(&file).unwrap()) {
            if forbidden.iter().any(|forbidden| leads_to(&path, forbidden)) {
                found.push(format!("{}: {path}", file.strip_prefix(&house).unwrap().display()));
            }
        }
    }
    found
}

#[test]
fn every_room_imports_only_what_it_may() {
    let found: Vec<String> = FORBIDDEN.iter().flat_map(|(room, forbidden)| violations(room, forbidden)).collect();
    assert!(found.is_empty(), "imports against the rules of the house:\n{}", found.join("\n"));
}

#[test]
fn an_import_against_the_rules_is_noticed() {
    assert!(!violations("worker", &["crate::delivery"]).is_empty());
    assert!(!violations("worker", &["tokio"]).is_empty());
    let paths = named("use crate::worker::task;\n// crate::controller::x\nlet x = tokio::spawn(y);");
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["crate::worker::task", "tokio::spawn"]);
    assert!(leads_to("crate::worker::task", "crate::worker") && !leads_to("crate::workers", "crate::worker"));
}
