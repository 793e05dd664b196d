//! The real binary, as a person at a terminal meets it.

// Clippy's leave for tests ends at the test functions; these are their helpers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_slack-access-operator");

fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).env_clear();
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Exit code 1, nothing on standard output, and one line.
fn fatal(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(stdout(output), "");
    let line = stderr(output).strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn version_has_the_guides_form_under_both_names() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("teleport-slack");
    symlink(BINARY, &link).unwrap();
    for (program, name) in [(Path::new(BINARY), "slack-access-operator"), (&link, "teleport-slack")] {
        let output = run(program, &["version"]);
        assert!(output.status.success());
        let printed = stdout(&output);
        let version = env!("CARGO_PKG_VERSION");
        assert!(printed.starts_with(&format!("{name} v{version} git:{name}-v{version}")), "{printed}");
        assert!(printed.contains(" rust1."), "{printed}");
        assert_eq!(printed.lines().count(), 1);
    }
}

#[test]
fn help_speaks_under_the_name_that_was_called() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("teleport-slack");
    symlink(BINARY, &link).unwrap();
    for (program, name, other) in [
        (Path::new(BINARY), "slack-access-operator", "teleport-slack start"),
        (&link, "teleport-slack", "slack-access-operator"),
    ] {
        for arguments in [&["--help"] as &[&str], &["start", "--help"]] {
            let output = run(program, arguments);
            assert!(output.status.success());
            assert!(stdout(&output).contains(&format!("Usage: {name} ")), "{}", stdout(&output));
            assert!(!stdout(&output).contains(other), "{}", stdout(&output));
        }
        assert!(stdout(&run(program, &["start", "--help"])).contains("TELEPORT_SLACK_SLACK_TOKEN"));
    }
}

#[test]
fn the_printed_configuration_is_accepted_up_to_its_missing_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("teleport-slack.toml");
    let example = run(BINARY, &["configure"]);
    assert!(example.status.success());
    // A log file that cannot be opened ends the start right after the configuration was accepted.
    let text = stdout(&example).replace("output = \"stderr\"", "output = \"/nonexistent/log\"");
    std::fs::write(&file, text).unwrap();
    let output = run(BINARY, &["start", "--config", file.to_str().unwrap()]);
    assert!(fatal(&output).starts_with("error: cannot open log file /nonexistent/log: "), "{output:?}");
}

#[test]
fn a_wrong_configuration_is_one_line_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("teleport-slack.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[teleport]\nidentity = \"/id\"\n[role_to_recipients]\n\"*\" = \"ops\"\n").unwrap();
    for command in ["start", "worker"] {
        let output = run(BINARY, &[command, "-c", path]);
        let expected = format!("error: {path}: missing required value slack.token; ");
        assert!(fatal(&output).starts_with(&expected), "{output:?}");
    }
}

#[test]
fn a_missing_configuration_names_the_file_and_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("missing.toml");
    let output = run(BINARY, &["start", &format!("--config={}", file.display())]);
    let line = fatal(&output);
    assert!(line.contains(file.to_str().unwrap()) && line.contains("configure"), "{line}");
}

#[test]
fn wrong_arguments_end_with_two() {
    for arguments in [&["begin"] as &[&str], &["start", "--loud"], &["worker"], &[]] {
        let output = run(BINARY, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("Usage: "), "{output:?}");
    }
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_unknown_setting_is_logged_with_its_line_after_the_official_greeting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("teleport-slack.toml");
    let example = run(BINARY, &["configure"]);
    std::fs::write(&file, format!("{}\n[slak]\n", stdout(&example))).unwrap();
    let line = stdout(&example).lines().count() + 2;

    let mut command = Command::new(BINARY);
    command.args(["start", "--config"]).arg(&file).env_clear();
    command.env("TELEPORT_SLACK_SLACK_API_URL", "http://127.0.0.1:9/");
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let (sender, lines) = mpsc::channel();
    let pipe = BufReader::new(running.0.stderr.take().unwrap());
    std::thread::spawn(move || pipe.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = || lines.recv_timeout(Duration::from_secs(30)).unwrap();

    let greeting = format!(" INFO Starting Teleport Access Slack Plugin {}", env!("CARGO_PKG_VERSION"));
    let first = next();
    assert!(first.ends_with(&greeting), "{first}");
    let second = next();
    let warning = format!("{}:{line}:2: unknown setting slak is ignored; did you mean slack?", file.display());
    assert!(second.contains(" WARN ") && second.ends_with(&warning), "{second}");
}

#[test]
fn the_app_manifest_is_made_for_what_the_configuration_needs() {
    let yaml = run(BINARY, &["app-manifest", "--review"]);
    assert!(yaml.status.success());
    assert!(stdout(&yaml).contains("socket_mode_enabled: true"), "{}", stdout(&yaml));
    assert!(stdout(&yaml).contains("https://api.slack.com/apps?new_app=1&manifest_json="), "the link");
    assert!(stdout(&yaml).contains("connections:write"), "what no manifest can do is said");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slack.toml");
    let config = "[teleport]\nidentity = \"/id\"\n[slack]\ntoken = \"xoxb-1\"\n[role_to_recipients]\n\"*\" = \"a@example.com\"\n";
    std::fs::write(&file, config).unwrap();
    let json = run(BINARY, &["app-manifest", "--format", "json", "--config", file.to_str().unwrap()]);
    assert!(json.status.success(), "{}", stderr(&json));
    let manifest: serde_json::Value = serde_json::from_str(stdout(&json)).unwrap();
    let scopes = &manifest["oauth_config"]["scopes"]["bot"];
    assert_eq!(manifest["settings"]["socket_mode_enabled"], false);
    assert!(scopes.to_string().contains("im:history") && !scopes.to_string().contains("channels"), "{scopes}");

    let said = run(BINARY, &["app-manifest", "--name", ""]);
    assert!(fatal(&said).contains("--name"), "{said:?}");
}
