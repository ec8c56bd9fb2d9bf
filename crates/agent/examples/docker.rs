//! Follows the containers of one Engine into a file, for tests with a real Docker: `docker ENDPOINT DIRECTORY [CONTAINERS_DIR]`.
//!
//! Each batch is one JSON line of `DIRECTORY/batches`: lines, and the position with them, in one write. A line that was cut
//! by a crash is taken off at the start. While `DIRECTORY/refuse` exists, nothing is taken. Losses go to `DIRECTORY/losses`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;

use agent::docker::{Context, Settings, Source};
use agent::{Batch, Deliver, Loss, Pause};
use base::{Clock, Error, Result};
use serde_json::{Value, json};

struct Recorder {
    dir: PathBuf,
    batches: File,
    losses: File,
    positions: BTreeMap<String, Vec<u8>>,
}

impl Recorder {
    fn open(dir: PathBuf) -> std::io::Result<Recorder> {
        let append = |name: &str| OpenOptions::new().create(true).append(true).read(true).open(dir.join(name));
        let (batches, losses) = (append("batches")?, append("losses")?);
        let (mut positions, mut whole, mut line) = (BTreeMap::new(), 0, String::new());
        let mut reader = BufReader::new(&batches);
        while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
            whole += line.len() as u64;
            let batch: Value = serde_json::from_str(&line)?;
            let position = batch["position"].as_str().unwrap_or_default().as_bytes().to_vec();
            positions.insert(batch["source"].as_str().unwrap_or_default().to_owned(), position);
            line.clear();
        }
        batches.set_len(whole)?;
        Ok(Recorder { dir, batches, losses, positions })
    }
}

impl Deliver for Recorder {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        let Batch::Lines(b) = batch else { return Err(Error::invalid("lines are expected")) };
        if self.dir.join("refuse").exists() {
            return Err(Error::unavailable("told to refuse"));
        }
        let lines: Vec<Value> = b
            .streams
            .iter()
            .flat_map(|s| s.lines.iter().map(|l| json!([s.labels.get("container"), s.labels.get("stream"), l.time_ns, l.text])))
            .collect();
        let record = json!({ "source": b.source, "position": String::from_utf8_lossy(&b.position), "lines": lines });
        (&self.batches).write_all(format!("{record}\n").as_bytes()).map_err(|e| Error::unavailable(e.to_string()))
    }
    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.positions.iter().filter(|(n, _)| n.starts_with(prefix)).map(|(n, p)| (n.clone(), p.clone())).collect()
    }
    fn lost(&self, l: &Loss) {
        let record = json!({ "source": l.source, "reason": l.reason, "lines": l.lines, "bytes": l.bytes, "first_ns": l.first_ns, "last_ns": l.last_ns });
        if let Err(e) = (&self.losses).write_all(format!("{record}\n").as_bytes()) {
            eprintln!("a loss cannot be written: {e}");
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let endpoint = args.next().ok_or("ENDPOINT is missing")?;
    let dir = PathBuf::from(args.next().ok_or("DIRECTORY is missing")?);
    let settings = Settings { endpoint, containers_dir: args.next().unwrap_or_default(), ..Settings::default() };
    let context =
        Context { deliver: Arc::new(Recorder::open(dir)?), clock: Clock::System, host: "h1".into(), relabel: None, stats: Arc::default() };
    let mut source = Source::new("e2e", settings, context)?;
    loop {
        let polled = source.poll();
        match source.pause(polled) {
            Pause::None => {}
            Pause::Beat(d) | Pause::Rest(d) => std::thread::sleep(d),
        }
    }
}
