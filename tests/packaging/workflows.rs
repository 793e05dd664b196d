//! The workflows, which only GitHub can run: that what they name exists, and that what has to agree does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{CHART, root, text, yaml};

const CI: &str = ".github/workflows/ci.yaml";
const RELEASE: &str = ".github/workflows/release.yaml";

/// Every step of every job.
fn steps(workflow: &Value) -> Vec<&Value> {
    let jobs = workflow["jobs"].as_object().unwrap().values();
    jobs.filter_map(|job| job["steps"].as_array()).flatten().collect()
}

/// What the steps of a workflow run, as one text.
fn scripts(workflow: &Value) -> String {
    steps(workflow).into_iter().filter_map(|step| step["run"].as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_action_is_pinned_to_a_commit_that_says_its_version() {
    for path in [CI, RELEASE] {
        let text = text(path);
        let used: Vec<&str> = text.lines().filter_map(|line| line.split_once("uses: ").map(|(_, used)| used)).collect();
        assert!(!used.is_empty(), "{path}");
        for action in used.into_iter().filter(|action| !action.starts_with("./")) {
            let (commit, version) = action.split_once('@').unwrap().1.split_once(" # v").unwrap_or_else(|| {
                panic!("{path}: {action}: write it as owner/name@commit # vX.Y.Z");
            });
            assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{path}: {action}");
            assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{path}: {action}");
        }
    }
}

#[test]
fn every_make_target_that_ci_or_a_page_names_exists() {
    let makefile = text("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(": ").map(|(target, _)| target))
        .collect();
    let runner = text(".ci/run");
    let checks = runner.split_once("checks=(lint").unwrap().1.split_once(')').unwrap().0;
    for check in checks.split_whitespace() {
        assert!(targets.contains(check), ".ci/run runs `make {check}`");
    }
    for page in ["README.md", "CHANGELOG.md", "docs/kubernetes.md", "docs/decisions.md", "tests/simulators/README.md"] {
        for named in text(page).replace('`', "\n").lines().filter_map(|line| line.strip_prefix("make ")) {
            let target = named.split_whitespace().next().unwrap();
            assert!(targets.contains(target), "{page} names `make {target}`");
        }
    }
}

#[test]
fn ci_uses_the_compiler_that_is_promised() {
    let cargo: toml::Table = toml::from_str(&text("Cargo.toml")).unwrap();
    let compiler = cargo["workspace"]["package"]["rust-version"].as_str().unwrap();
    let scripts = scripts(&yaml(CI));
    assert!(scripts.contains(&format!("rustup toolchain install {compiler} ")), "{scripts}");
    assert!(scripts.contains(&format!("rustup default {compiler}")), "{scripts}");
}

#[test]
fn the_release_publishes_what_the_chart_and_the_documentation_name() {
    let release = yaml(RELEASE);
    // The repository `slackaccess/slack-access-operator` publishes its image under its own name.
    assert_eq!(release["env"]["IMAGE"], "ghcr.io/${{ github.repository }}");
    let values = yaml(format!("{CHART}/values.yaml"));
    let image = &values["image"];
    let repository = image["repository"].as_str().unwrap();
    assert_eq!(image["registry"], "ghcr.io");
    let chart = yaml(format!("{CHART}/Chart.yaml"));
    assert_eq!(chart["sources"][0], format!("https://github.com/{repository}"));
    let owner = repository.split_once('/').unwrap().0;
    assert_eq!(release["env"]["CHARTS"], "ghcr.io/${{ github.repository_owner }}/charts");
    let page = text("docs/kubernetes.md");
    for named in [
        format!("ghcr.io/{repository}:"),
        format!("ghcr.io/{owner}/charts/slack-access-operator"),
        format!("https://github.com/{repository}/.github/workflows/release.yaml@refs/tags/v"),
    ] {
        assert!(page.contains(&named), "docs/kubernetes.md does not name {named}");
    }
    let scripts = scripts(&release);
    for file in ["charts/slack-access-operator", "manifests/install.yaml", "crds/slackaccessplugins.yaml"] {
        assert!(scripts.contains(file) && root().join(file).exists(), "{file}");
    }
    assert_eq!(release["jobs"]["check"]["uses"], format!("./{CI}"), "what CI refuses is not published");
    assert!(yaml(CI)["on"].as_object().unwrap().contains_key("workflow_call"));
}
