//! What no test can run without a container engine, checked piece by piece: the `Containerfile`, what it copies, and the image
//! that `hack/image.sh` makes instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{IMAGE, root, text};

/// The instructions of the `Containerfile`, continued lines joined.
fn instructions() -> Vec<String> {
    let joined = text("Containerfile").replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// What the first stage copies out of the build context.
fn copied() -> Vec<String> {
    let instructions = instructions();
    let stage = instructions.iter().skip(1).take_while(|line| !line.starts_with("FROM "));
    let mut copied = Vec::new();
    for line in stage.filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (target, sources) = words.split_last().unwrap();
        for source in sources {
            assert!(*target == "./" || target == source, "COPY {line}: cargo looks for {source} in its own place");
            copied.push((*source).to_owned());
        }
    }
    copied
}

/// Copies a file or a folder of the project, as `COPY` does.
fn lay_out(source: &str, folder: &Path) {
    let copied = Command::new("cp").args(["-r", "--parents", source]).arg(folder).current_dir(root()).status().unwrap();
    assert!(copied.success(), "COPY {source}");
}

/// Kind, name and file of every target of the workspace in `folder`, the file relative to it.
fn targets(folder: &Path) -> BTreeSet<(String, String, PathBuf)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
    targets
        .map(|target| {
            let file = Path::new(target["src_path"].as_str().unwrap()).strip_prefix(folder).unwrap();
            (target["kind"].to_string(), target["name"].to_string(), file.to_owned())
        })
        .collect()
}

#[test]
fn the_containerfile_copies_all_that_cargo_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let ignore = text(".dockerignore");
    let mut patterns = ignore.lines();
    assert_eq!(patterns.next(), Some("*"), "nothing gets into the build context unless it is named");
    let context: BTreeSet<&str> = patterns.map(|line| line.strip_prefix('!').unwrap()).collect();
    for source in copied() {
        assert!(context.contains(source.as_str()), "COPY {source}: .dockerignore keeps it out of the build context");
        lay_out(&source, &folder);
    }
    // `cargo metadata` does not mind a target without its file; `cargo build` does, even when it builds another one.
    let whole = targets(root());
    assert_eq!(targets(&folder), whole);
    for (kind, name, file) in whole {
        assert!(folder.join(&file).exists(), "{kind} {name} of Cargo.toml needs {}", file.display());
    }
    let mut sources = vec![folder.join("src"), folder.join("proto")];
    let mut included = 0;
    while let Some(source) = sources.pop() {
        if source.is_dir() {
            sources.extend(std::fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()));
        } else if source.extension().is_some_and(|extension| extension == "rs") {
            for file in includes(&std::fs::read_to_string(&source).unwrap()) {
                let file = source.parent().unwrap().join(file);
                assert!(file.exists(), "{} includes {}, which no COPY names", source.display(), file.display());
                included += 1;
            }
        }
    }
    assert!(included > 0, "the example configuration is included, at least");
}

/// The files that a Rust source takes in by a literal path.
fn includes(source: &str) -> Vec<&str> {
    ["include_str!(\"", "include_bytes!(\"", "include!(\""]
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .filter_map(|rest| rest.split_once('"').map(|(file, _)| file))
        .collect()
}

#[test]
fn the_containerfile_builds_with_the_compiler_and_the_c_library_that_the_image_has() {
    let cargo: toml::Table = toml::from_str(&text("Cargo.toml")).unwrap();
    let compiler = cargo["workspace"]["package"]["rust-version"].as_str().unwrap();
    let stages: Vec<String> =
        instructions().into_iter().filter_map(|line| line.strip_prefix("FROM ").map(str::to_owned)).collect();
    assert_eq!(stages.len(), 2);
    let pinned = |stage: &str| {
        let (image, digest) = stage.split_once("@sha256:").unwrap_or_else(|| panic!("{stage}: not pinned by a digest"));
        let digest = digest.strip_suffix(" AS build").unwrap_or(digest);
        assert!(digest.len() == 64 && digest.chars().all(|digit| digit.is_ascii_hexdigit()), "{stage}");
        image.to_owned()
    };
    assert_eq!(pinned(&stages[0]), format!("docker.io/library/rust:{compiler}-slim-bookworm"));
    // Debian 12 is bookworm; a binary linked against a newer glibc does not start on an older one.
    assert_eq!(pinned(&stages[1]), "gcr.io/distroless/cc-debian12:nonroot");
}

#[test]
fn the_same_binary_makes_the_same_image() {
    let folder = tempfile::tempdir().unwrap();
    let make = |file: &str| {
        let output = folder.path().join(file);
        let made = Command::new(root().join("hack/image.sh"))
            .args(["--binary", "/bin/cat", "--name", IMAGE, "--link", "teleport-slack", "--output"])
            .arg(&output)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::read(output).unwrap()
    };
    let (first, second) = (make("1.tar"), make("2.tar"));
    assert!(first == second, "two archives of the same binary differ");
    let archive = String::from_utf8_lossy(&first);
    assert!(archive.contains(&format!("\"io.containerd.image.name\":\"{IMAGE}\"")));
    assert!(archive.contains("\"User\":\"65532:65532\""));
}
