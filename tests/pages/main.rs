//! The pages for people who move, walked command by command: on a real API server with the real kubectl and helm, and with the
//! real binary between a simulated Teleport and a simulated Slack.

// Clippy's leave for tests ends at the test functions; these are their helpers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unnecessary_debug_formatting,
    unreachable_pub,
    reason = "helpers of tests; paths stand in quotes"
)]

#[path = "../support/mod.rs"]
mod support;

mod chart;
mod systemd;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 6] = [
    "docs/moving-from-the-chart.md",
    "docs/moving-from-systemd.md",
    "docs/moving-from-docker.md",
    "docs/troubleshooting.md",
    "docs/slack-app.md",
    "manifests/teleport/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands of a page, in order, each without its comment.
fn commands(path: &str) -> Vec<String> {
    let text = page(path);
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| line.split("  #").next().unwrap().trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Puts a file that starts another program under a name into a folder of the search path.
fn program(folder: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn every_page_is_linked_from_the_readme_and_no_link_is_broken() {
    let readme = page("README.md");
    for path in PAGES {
        assert!(readme.contains(&format!("({path})")), "README.md does not link {path}");
        let folder = root().join(path).parent().unwrap().to_owned();
        let text = page(path);
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(path) } else { folder.join(file) };
            assert!(target.exists(), "{path}: {link}");
            if !anchor.is_empty() {
                let headings: BTreeSet<String> = fs::read_to_string(&target)
                    .unwrap()
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| {
                        line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-").replace(['.', '`'], "")
                    })
                    .collect();
                assert!(headings.contains(anchor), "{path}: {link} is none of {headings:?}");
            }
        }
    }
}

/// Every manifest that a page names is one that Kubernetes, or tctl, can read; `tests/teleport` tries those for tctl.
#[test]
fn every_manifest_for_identities_is_well_formed() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(root().join("manifests/teleport")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert!(files.len() >= 5, "{files:?}");
    let readme = page("manifests/teleport/README.md");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(name), "manifests/teleport/README.md does not name {name}");
        let text = fs::read_to_string(&file).unwrap();
        for document in text.split("\n---\n") {
            let value: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            assert!(value["kind"].is_string() && value["metadata"]["name"].is_string(), "{name}: {value}");
        }
        let names: BTreeSet<_> =
            ["slack-access-tbot", "teleport-slack-identity", "access-plugin", "slack-access"].into();
        assert!(names.iter().any(|known| text.contains(known)), "{name} goes by other names than the rest");
    }
}
