//! The binary, killed under load: every acknowledged row of all three tables is there once (P1, P2, P3).
//!
//! Nothing but the binary is needed: `watchfire load` writes, notes what was acknowledged, and asks for it again. The
//! longer version, with more kills and a full disk, is in `tests/e2e`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test, which also reads its settings and writes files of its own

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BIN: &str = env!("CARGO_BIN_EXE_watchfire");
/// A start that takes longer has failed, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that does not outlive the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path, port: u16) -> Server {
        let log = std::fs::File::create(dir.join(format!("server-{}.log", std::process::id()))).unwrap();
        let settings = dir.join("watchfire.yaml");
        std::fs::write(&settings, "collect:\n  files: []\n  host: false\n  itself: false\n").unwrap();
        let mut command = Command::new(BIN);
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--config")
            .arg(&settings)
            .arg("--data-dir")
            .arg(dir.join("data"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut server = Server { child, port };
        let began = Instant::now();
        while server.get("/ready").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            assert_eq!(server.child.try_wait().unwrap(), None, "the server ended while it started");
            assert!(began.elapsed() < PATIENCE, "the server is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(dir: &Path, port: u16, signal: &str, more: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.args(["load", signal, "--addr", &format!("http://127.0.0.1:{port}"), "--output", "json", "--verify"]);
    command.arg("--journal").arg(dir.join(format!("{signal}.journal"))).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The load's own verdict: nothing missing, doubled or altered, and not for want of rows.
fn assert_good(signal: &str, when: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{signal}, {when}: {} {text} {problem}", output.status);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let verified = &found["verify"];
    assert!(verified["acknowledged"].as_u64().unwrap() > 1000, "{signal}, {when}: hardly anything was written: {text}");
    assert_eq!((verified["missing"].as_u64(), verified["doubled"].as_u64()), (Some(0), Some(0)), "{signal}, {when}: {text}");
}

#[test]
fn acknowledged_rows_survive_kills_once() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Server::start(dir.path(), port);
    let common = ["--duration", "5s", "--tenants", "2", "--late", "0.1"];
    let rates = [("logs", "4000/s", "500"), ("metrics", "8000/s", "1000"), ("traces", "1000/s", "100")];
    let running: Vec<(&str, Child)> = rates
        .iter()
        .map(|(signal, rate, batch)| {
            let more = [&common[..], &["--rate", rate, "--batch-rows", batch]].concat();
            (*signal, load(dir.path(), port, signal, &more).spawn().unwrap())
        })
        .collect();
    for pause_ms in [1100, 1700] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        server.kill();
        server = Server::start(dir.path(), port);
    }
    for (signal, child) in running {
        assert_good(signal, "as replayed", &child.wait_with_output().unwrap());
    }
    server.kill();
    server = Server::start(dir.path(), port);
    for (signal, _, _) in rates {
        assert_good(signal, "after one more kill", &load(dir.path(), port, signal, &[]).output().unwrap());
    }
    server.kill();
}
