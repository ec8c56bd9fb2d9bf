//! The reference pages are outputs: `WATCHFIRE_WRITE_REFERENCE=1 cargo test -p watchfire reference` writes them, and without
//! it the test fails when a page is not what the code says.

use std::fmt::Write;
use std::path::Path;

use base::stats::Desc;
use clap::CommandFactory;

use super::value::ProfileName;
use super::{defaults, keys, profile, show};

#[allow(clippy::disallowed_methods)] // a test that writes a page of the documentation
fn hold(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(page);
    if std::env::var("WATCHFIRE_WRITE_REFERENCE").is_ok() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/reference/{page} is not what the code says: run WATCHFIRE_WRITE_REFERENCE=1 cargo test -p watchfire reference"
    );
}

#[test]
fn logql_page() {
    hold("logql.md", &logs::logql::reference::page());
}

#[test]
fn settings_page() {
    let mut out = String::from(
        "# Settings\n\n<!-- written by a test of the binary; see crates/watchfire/src/settings/reference.rs -->\n\n\
         One YAML file, given with `--config`. Defaults lie at the bottom, then the profile, the file, and the flags on top. Unknown keys are\n\
         refused. Durations and sizes carry a unit: `30s`, `5m`, `30d`; `100B`, `10MB` (powers of 1000), `64MiB` (powers of 1024). `${NAME}` is\n\
         filled in from the environment, `${NAME:-VALUE}` has a value when it is not set, `$$` is a dollar sign. `watchfire check FILE`\n\
         says what is wrong with a file, or what it comes to.\n\n| key | form | default | what it is for |\n|---|---|---|---|\n",
    );
    let shown = show(&defaults());
    for k in keys::KEYS {
        let default = shown.iter().find(|(p, _)| *p == k.path).map_or(String::new(), |(_, v)| format!("`{v}`"));
        writeln!(out, "| `{}` | {} | {default} | {} |", k.path, k.form, k.help).unwrap();
    }
    out.push_str("\n## Profiles\n\n| key | dev | staging | prod |\n|---|---|---|---|\n");
    let profiles = [ProfileName::Dev, ProfileName::Staging, ProfileName::Prod].map(|p| show(&profile(p)));
    for (i, (path, dev)) in profiles[0].iter().enumerate() {
        assert!(profiles.iter().all(|p| p.len() == profiles[0].len() && p[i].0 == *path), "profiles set the same keys");
        writeln!(out, "| `{path}` | `{dev}` | `{}` | `{}` |", profiles[1][i].1, profiles[2][i].1).unwrap();
    }
    hold("settings.md", &out);
}

#[test]
fn commands_page() {
    let mut out = String::from("# Commands\n\n<!-- written by a test of the binary -->\n");
    let mut root = crate::cli::Cli::command().term_width(100);
    root.build();
    write_command(&mut out, &mut root, "");
    out.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in crate::exit::Exit::ALL {
        writeln!(out, "| {} | {meaning} |", code as u8).unwrap();
    }
    hold("commands.md", &out);
}

fn write_command(out: &mut String, command: &mut clap::Command, above: &str) {
    let name = format!("{above}{}", command.get_name());
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(out, "\n## `{name}`\n\n```text\n{}\n```", help.join("\n").trim_end()).unwrap();
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).filter(|n| n != "help").collect();
    for n in names {
        let sub = command.find_subcommand_mut(&n).unwrap();
        write_command(out, sub, &format!("{name} "));
    }
}

/// All figures there are.
const FIGURES: [(&str, &[&Desc]); 6] = [
    ("The edge", server::stats::ALL),
    ("The engine", table::STATS),
    ("The cluster", cluster::STATS),
    ("Between nodes", cluster::transport::http::stats::ALL),
    ("The collectors", agent::stats::ALL),
    ("The agent's spool and lanes", agent::stats::OF_SHIPPING),
];

#[test]
fn metrics_page() {
    let mut out = String::from(
        "# Metrics\n\n<!-- written by a test of the binary -->\n\nWhat `/metrics` tells. Names end in their unit; counters end in `_total`.\n",
    );
    for (title, figures) in FIGURES {
        writeln!(out, "\n## {title}\n\n| name | kind | unit | labels | meaning |\n|---|---|---|---|---|").unwrap();
        for d in figures {
            let Desc { name, help, unit, kind, labels } = d;
            writeln!(out, "| `{name}` | {} | {unit} | {} | {help} |", kind.word(), labels.join(", ")).unwrap();
        }
    }
    hold("metrics.md", &out);
}
