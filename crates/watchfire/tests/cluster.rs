//! Nodes of a cluster as their operators meet them: how they find each other, how they are turned away, how they leave.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test, which also reads and writes files of its own

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_watchfire");
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// What takes longer has failed, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    child: Child,
    url: String,
    address: String,
    log: PathBuf,
}

/// Settings of a node that collects nothing.
fn settings(dir: &Path, name: &str, secret: &str, join: &[&str]) -> String {
    format!(
        "memory_limit: 128MiB\ncollect: {{ files: [], host: false, itself: false }}\n\
         storage: {{ url: 'file://{}' }}\n\
         cluster: {{ name: {name}, secret: {secret}, listen: '127.0.0.1:0', join: [{}] }}\n",
        dir.join("store").display(),
        join.join(", ")
    )
}

fn command(dir: &Path, node: &str, settings: &str) -> Command {
    let config = dir.join(format!("{node}.yaml"));
    std::fs::write(&config, settings).unwrap();
    let mut command = Command::new(BIN);
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config).arg("--data-dir").arg(dir.join(node));
    command
}

impl Node {
    fn start(dir: &Path, node: &str, settings: &str) -> Node {
        let log = dir.join(format!("{node}.log"));
        let stderr = std::fs::File::create(&log).unwrap();
        let mut child = command(dir, node, settings).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        // The banner says where it is, for clients and for nodes.
        let mut banner = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        while !banner.contains("  stop") {
            banner += &lines.next().unwrap_or_else(|| panic!("no banner: {}", std::fs::read_to_string(&log).unwrap())).unwrap();
        }
        let word = |after: &str| banner.split(after).nth(1).unwrap().split([',', ' ']).next().unwrap().to_owned();
        Node { child, url: word(" at "), address: word("this node at "), log }
    }
    fn status(&self) -> Value {
        let text = ureq::get(format!("{}/api/v1/cluster", self.url)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }
    /// How it sees the members, itself first.
    fn conditions(&self) -> Vec<String> {
        self.status()["members"].as_array().unwrap().iter().map(|m| m["condition"].as_str().unwrap().to_owned()).collect()
    }
    fn run(&self, args: &[&str]) -> Output {
        Command::new(BIN).arg("cluster").args(args).args(["--addr", &self.url]).output().unwrap()
    }
    fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
    fn ended(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nodes_meet_share_rows_and_leave() {
    let dir = tempfile::tempdir().unwrap();
    let mut a = Node::start(dir.path(), "a", &settings(dir.path(), "town", SECRET, &[]));
    let mut b = Node::start(dir.path(), "b", &settings(dir.path(), "town", SECRET, &[&a.address]));
    let c = Node::start(dir.path(), "c", &settings(dir.path(), "town", SECRET, &[&a.address]));
    for n in [&a, &b, &c] {
        until("all three are active everywhere", || n.conditions() == ["active"; 3]);
    }
    let push = |n: &Node, line: &str| {
        let now = base::Clock::System.now_ns().to_string();
        let body = serde_json::json!({"streams": [{"stream": {"app": "x"}, "values": [[now, line]]}]}).to_string();
        ureq::post(format!("{}/loki/api/v1/push", n.url)).header("content-type", "application/json").send(body).map(|r| r.status())
    };
    assert_eq!(push(&b, "one").unwrap().as_u16(), 204);
    let sent = |n: &Node| {
        let text = ureq::get(format!("{}/metrics", n.url)).call().unwrap().body_mut().read_to_string().unwrap();
        let line = text.lines().find(|l| l.starts_with("watchfire_cluster_replicated_writes_total ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(sent(&b), 1, "the copy was fsynced elsewhere before the acknowledgement");
    let text = String::from_utf8(a.run(&["status"]).stdout).unwrap();
    assert!(text.contains("cluster town: rows are on 2 nodes") && text.contains("answers are whole"), "{text}");
    assert!(text.contains(&b.address) && text.contains("active (the node that was asked)"), "{text}");

    let read = |n: &Node| {
        let asked = Command::new(BIN).args(["logs", "{app=\"x\"}", "--output", "raw", "--addr", &n.url]).output().unwrap();
        assert!(asked.status.success() && asked.stderr.is_empty(), "{asked:?}");
        String::from_utf8(asked.stdout).unwrap()
    };
    for n in [&a, &b, &c] {
        assert_eq!(read(n), "one\n", "any node answers for all");
    }

    // Told to leave by an operator: it ends by itself, and nobody misses it.
    let left = b.run(&["leave"]);
    assert!(left.status.success(), "{left:?}");
    assert_eq!(b.ended(), 0);
    until("the one that left is no member", || a.conditions() == ["active"; 2]);
    assert_eq!((read(&a), read(&c)), ("one\n".into(), "one\n".into()));
    // Told to stop by its service manager: the same.
    // SAFETY: sends a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(a.child.id() as i32, libc::SIGTERM) }, 0);
    assert_eq!(a.ended(), 0);
    until("alone again", || c.conditions() == ["active"]);
    assert_eq!(read(&c), "one\n", "what the others held is in the object store, and known of");
    assert!(!a.logged().contains(SECRET) && !c.logged().contains(SECRET));
}

#[test]
fn a_dead_node_is_noticed_and_can_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let a = Node::start(dir.path(), "a", &settings(dir.path(), "town", SECRET, &[]));
    let mut b = Node::start(dir.path(), "b", &settings(dir.path(), "town", SECRET, &[&a.address]));
    until("they met", || a.conditions() == ["active"; 2]);
    let id = a.status()["members"][1]["id"].as_str().unwrap().to_owned();
    let died = Instant::now();
    b.child.kill().unwrap();
    b.child.wait().unwrap();
    until("it is silent", || a.conditions() == ["active", "silent"]);
    assert!(died.elapsed() < Duration::from_secs(10), "noticed after {:?}", died.elapsed());
    let unknown = a.run(&["forget", "n0123456789abcdef"]);
    assert_eq!(unknown.status.code(), Some(5), "{unknown:?}");
    assert_eq!(a.run(&["forget", "b"]).status.code(), Some(5), "that is no name of a node");
    assert!(a.run(&["forget", &id]).status.success());
    assert_eq!(a.conditions(), ["active"]);
}

#[test]
fn who_does_not_belong_is_turned_away_in_both_logs() {
    let dir = tempfile::tempdir().unwrap();
    let a = Node::start(dir.path(), "a", &settings(dir.path(), "town", SECRET, &[]));
    let name = Node::start(dir.path(), "name", &settings(dir.path(), "village", SECRET, &[&a.address]));
    let secret = Node::start(dir.path(), "secret", &settings(dir.path(), "town", "another-secret-of-32-characters!", &[&a.address]));
    let none =
        Node::start(dir.path(), "none", &settings(dir.path(), "town", SECRET, &[&a.address]).replace(&format!("secret: {SECRET}, "), ""));
    for (stranger, its_words, our_words) in [
        (&name, "belongs to cluster \\\"town\\\" and this node to \\\"village\\\"", "it belongs to cluster \\\"village\\\""),
        (&secret, "cluster.secret must be the same on all nodes", "its cluster.secret is another one"),
        (&none, "this node has none: set cluster.secret", "it has no cluster.secret, and this node has one"),
    ] {
        // A field of the log has its quotes escaped, its message has not.
        let says = |n: &Node, words: &str| n.logged().contains(words) || n.logged().contains(&words.replace('\\', ""));
        until(its_words, || says(stranger, its_words));
        until(our_words, || says(&a, our_words));
        assert_eq!(stranger.conditions(), ["active"]);
        assert!(stranger.status()["refusal"].as_str().is_some(), "{}", stranger.status());
    }
    assert_eq!(a.conditions(), ["active"]);
}

#[test]
fn a_data_directory_belongs_to_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    drop(Node::start(dir.path(), "a", &settings(dir.path(), "town", SECRET, &[])));
    for other in [settings(dir.path(), "village", SECRET, &[]), "collect: { files: [], host: false, itself: false }\n".to_owned()] {
        let refused = command(dir.path(), "a", &other).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(said.contains("of cluster \"town\"") && said.contains("--cluster town"), "{said}");
    }
    let alone = Command::new(BIN).args(["serve", "--join", "10.0.0.1", "--data-dir"]).arg(dir.path().join("b")).output().unwrap();
    assert_eq!(alone.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--cluster"), "{alone:?}");
    let wrong = Command::new(BIN).args(["serve", "--cluster", "a b"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
