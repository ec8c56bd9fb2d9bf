//! What `deploy/` holds is what the binary takes: settings are checked by it, alert rules name figures that there are.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test, which also reads and writes files of its own

use std::path::{Path, PathBuf};
use std::process::Command;

fn below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below(&path, found) } else { found.push(path) }
    }
}

/// Files of `deploy/` whose path ends so.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy"), &mut found);
    found.retain(|p| p.to_string_lossy().ends_with(ending));
    found.sort();
    assert!(!found.is_empty(), "no file of deploy/ ends in {ending}");
    found
}

#[test]
fn settings_are_taken_by_the_binary() {
    for path in files("/watchfire.yaml").into_iter().filter(|p| !p.parent().unwrap().ends_with("alerts")) {
        let mut check = Command::new(env!("CARGO_BIN_EXE_watchfire"));
        check.arg("check").arg(&path).env("HOSTNAME", "node-a");
        for secret in ["WATCHFIRE_TOKEN", "WATCHFIRE_CLUSTER_SECRET", "S3_ACCESS_KEY", "S3_SECRET_KEY"] {
            check.env(secret, "0123456789abcdef0123456789abcdef");
        }
        let checked = check.output().unwrap();
        assert!(checked.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn compose_files_are_whole() {
    for path in files("/compose.yaml") {
        let mut file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        file.apply_merge().unwrap();
        let volumes: Vec<&str> = file["volumes"].as_mapping().into_iter().flatten().filter_map(|(k, _)| k.as_str()).collect();
        for (name, service) in file["services"].as_mapping().unwrap() {
            assert!(service["image"].is_string(), "{}: {name:?} has no image", path.display());
            for mount in service["volumes"].as_sequence().into_iter().flatten().map(|m| m.as_str().unwrap()) {
                let from = mount.split(':').next().unwrap();
                match from.strip_prefix("./") {
                    Some(file) => assert!(path.with_file_name(file).exists(), "{}: {mount}", path.display()),
                    None => assert!(from.starts_with('/') || volumes.contains(&from), "{}: {mount}", path.display()),
                }
            }
        }
    }
}

#[test]
fn alert_rules_name_figures_that_there_are() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let mut named = 0;
    for path in files(".yaml").into_iter().filter(|p| p.parent().unwrap().ends_with("alerts")) {
        let file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for rule in file["groups"].as_sequence().unwrap().iter().flat_map(|g| g["rules"].as_sequence().unwrap()) {
            let alert = rule["alert"].as_str().unwrap();
            let expr = rule["expr"].as_str().unwrap_or_else(|| panic!("{alert} has no expression"));
            let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("watchfire_"));
            let before = named;
            for word in words {
                assert!(
                    reference.contains(&format!("| `{word}` |")),
                    "{alert} asks for {word}, which docs/reference/metrics.md does not have"
                );
                named += 1;
            }
            assert!(named > before, "{alert} asks for nothing of ours");
            for text in ["summary", "description"] {
                assert!(rule["annotations"][text].is_string(), "{alert} has no {text}");
            }
        }
    }
}
