//! The binary as a person meets it: what it prints, what it answers, how it ends.
#![allow(clippy::unwrap_used)] // a test

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const BIN: &str = env!("CARGO_BIN_EXE_watchfire");

fn run(args: &[&str]) -> Output {
    Command::new(BIN).args(args).env_remove("WATCHFIRE_TOKEN").output().unwrap()
}

fn code(o: &Output) -> i32 {
    o.status.code().unwrap()
}

fn stderr(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

/// A running server on a port of its own, which collects nothing by itself.
struct Server {
    child: Child,
    base: String,
}

impl Server {
    fn start(dir: &Path, more: &str) -> Server {
        let config = dir.join("watchfire.yaml");
        #[allow(clippy::disallowed_methods)] // outside any data directory
        std::fs::write(&config, format!("memory_limit: 128MiB\ncollect: {{ files: [], host: false, itself: false }}\n{more}")).unwrap();
        let mut child = Command::new(BIN)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.join("data"))
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The first line says where it is.
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let base = line
            .split_whitespace()
            .find(|w| w.starts_with("http://"))
            .unwrap_or_else(|| panic!("{line:?}"))
            .trim_end_matches(',')
            .to_owned();
        Server { child, base }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: sends a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    fn stop(mut self) -> i32 {
        self.signal(libc::SIGTERM);
        self.child.wait().unwrap().code().unwrap()
    }

    fn push(&self, line: &str) {
        let now = base::Clock::System.now_ns();
        let body = serde_json::json!({"streams": [{"stream": {"app": "x"}, "values": [[now.to_string(), line]]}]}).to_string();
        let url = format!("{}/loki/api/v1/push", self.base);
        let status = ureq::post(&url).header("content-type", "application/json").send(body).unwrap().status();
        assert_eq!(status.as_u16(), 204);
    }

    fn logs(&self, more: &[&str]) -> Output {
        run(&[&["logs", r#"{app="x"}"#, "--addr", &self.base], more].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_pushed_is_read_by_the_command_and_survives_a_stop_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "");
    server.push("one");
    server.push("two");
    let raw = server.logs(&["--output", "raw"]);
    assert_eq!((code(&raw), String::from_utf8_lossy(&raw.stdout).as_ref()), (0, "one\ntwo\n"), "{}", stderr(&raw));
    assert_eq!(server.stop(), 0);

    let mut server = Server::start(dir.path(), "");
    server.push("three");
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    let server = Server::start(dir.path(), "");
    let raw = server.logs(&["--output", "raw"]);
    assert_eq!(String::from_utf8_lossy(&raw.stdout), "one\ntwo\nthree\n", "{}", stderr(&raw));
    let newest = server.logs(&["--output", "jsonl", "--limit", "1"]);
    let line: serde_json::Value = serde_json::from_slice(&newest.stdout).unwrap();
    assert_eq!((&line["line"], &line["labels"]["app"]), (&"three".into(), &"x".into()));
}

#[test]
fn one_process_at_a_time_uses_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Server::start(dir.path(), "");
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", dir.path().join("data").to_str().unwrap()]);
    assert_eq!(code(&second), 1);
    assert!(stderr(&second).contains("in use by another process"), "{}", stderr(&second));
}

#[test]
fn exit_codes_are_a_contract() {
    let dir = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/settings/fixtures");
    let bad = fixtures.join("unknown_key.bad.yaml");
    let good = fixtures.join("whole.good.yaml");
    let data = dir.path().join("data");
    let (bad, good, data) = (bad.to_str().unwrap(), good.to_str().unwrap(), data.to_str().unwrap());
    assert_eq!(code(&run(&["--version"])), 0);
    assert_eq!(code(&run(&["--help"])), 0);
    assert_eq!(code(&run(&["serve", "--no-such-flag"])), 2);
    assert_eq!(code(&run(&["logs", "{a=\"b\"}", "--since", "soon"])), 2);
    let checked = run(&["check", bad]);
    assert_eq!(code(&checked), 3);
    assert!(stderr(&checked).contains("unknown key \"longs\" in retention; did you mean \"logs\"?"), "{}", stderr(&checked));
    assert_eq!(code(&run(&["serve", "--config", bad, "--data-dir", data])), 3);
    let open = run(&["serve", "--listen", "0.0.0.0:0", "--data-dir", data]);
    assert_eq!(code(&open), 3);
    assert!(stderr(&open).contains("--insecure"), "{}", stderr(&open));
    let checked = Command::new(BIN).args(["check", good]).env("CARGO_PKG_NAME", "x").output().unwrap();
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(shown.contains("auth.token: (hidden)") && !shown.contains("secret-"), "{shown}");
    assert_eq!(code(&run(&["logs", "{a=\"b\"}", "--addr", "http://127.0.0.1:1"])), 4);
    let server = Server::start(dir.path(), "");
    let refused = run(&["logs", "{", "--addr", &server.base]);
    assert_eq!(code(&refused), 5, "{}", stderr(&refused));
}

#[test]
fn a_token_is_asked_for_and_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), "auth: { token: hush-hush }\nlog: { level: debug }\n");
    let without = server.logs(&[]);
    assert_eq!(code(&without), 5);
    assert!(stderr(&without).contains("401"), "{}", stderr(&without));
    let with =
        Command::new(BIN).args(["logs", r#"{app="x"}"#, "--addr", &server.base]).env("WATCHFIRE_TOKEN", "hush-hush").output().unwrap();
    assert_eq!(code(&with), 0, "{}", stderr(&with));
    server.signal(libc::SIGTERM);
    let mut printed = String::new();
    server.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(!printed.contains("hush-hush"), "{printed}");
}

#[test]
fn files_of_a_data_directory_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "");
    server.push("one");
    let data = dir.path().join("data");
    let seen = run(&["inspect", "wal", data.to_str().unwrap()]);
    assert_eq!(code(&seen), 0, "{}", stderr(&seen));
    assert!(String::from_utf8_lossy(&seen.stdout).contains("1 frames"), "{}", String::from_utf8_lossy(&seen.stdout));
    assert_eq!(ureq::post(format!("{}/flush", server.base)).send_empty().unwrap().status().as_u16(), 204);
    let seen = run(&["inspect", "catalog", data.to_str().unwrap()]);
    assert_eq!(code(&seen), 0, "{}", stderr(&seen));
    assert!(String::from_utf8_lossy(&seen.stdout).contains("logs: 1 rows"), "{}", String::from_utf8_lossy(&seen.stdout));
    assert_eq!(code(&run(&["inspect", "catalog", "/no/such/directory"])), 1);
}
