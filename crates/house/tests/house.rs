//! The rules of the house, applied to the workspace.
#![allow(clippy::unwrap_used)] // a test

use std::path::{Path, PathBuf};
use std::process::Command;

use house::source::Source;
use house::{imports, leftovers, sizes, words};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust file below `crates/*/src`, by path.
fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = std::fs::read_dir(root.join("crates")).unwrap().map(|c| c.unwrap().path().join("src")).collect();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path: name, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "only {} files found: the rules would hold of nothing", found.len());
    found
}

/// Edges between our own crates, from `cargo metadata`.
fn edges() -> Vec<imports::Edge> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let short = |name: &str| name.strip_prefix("watchfire-").unwrap_or(name).to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: Vec<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(ours.len(), imports::MAY_IMPORT.len(), "crates and the list of what they may import differ: {ours:?}");
    let mut found = Vec::new();
    for p in packages {
        for d in p["dependencies"].as_array().unwrap().iter().filter(|d| ours.contains(&d["name"].as_str().unwrap())) {
            let (from, to) = (short(p["name"].as_str().unwrap()), short(d["name"].as_str().unwrap()));
            found.push(imports::Edge { from, to, tests_only: d["kind"] == "dev" });
        }
    }
    assert!(found.len() > 20, "only {} edges found: the rule would hold of nothing", found.len());
    found
}

fn fail_on(rule: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{rule}\n  {}", wrong.join("\n  "));
}

#[test]
fn imports_run_downwards() {
    fail_on("imports run downwards only (ARCHITECTURE.md, rings)", edges().iter().filter_map(imports::judge).collect());
}

#[test]
fn no_signal_is_named_below_the_waist() {
    let below = |s: &&Source| words::BELOW.iter().any(|c| s.path.starts_with(&format!("crates/{c}/")));
    let sources = sources();
    let named =
        sources.iter().filter(below).flat_map(|s| words::signals(s).into_iter().map(|(line, word)| format!("{}:{line}: {word}", s.path)));
    fail_on("below the waist no signal is named", named.collect());
}

#[test]
fn files_fit_in_a_head() {
    fail_on("files are short, and the list of longer ones shrinks", sizes::judge(&sources(), sizes::LONGER));
}

#[test]
fn nothing_is_left_lying_about() {
    fail_on("no stubs, no notes to oneself, no tests switched off", sources().iter().flat_map(leftovers::judge).collect());
}
