//! What the server collects itself: this host's log files, its metrics, and the server's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::files::{self, Source};
use agent::{Batch, Deliver, Lines, Loss, Pause, Runner, Sample};
use anyhow::{Result, anyhow};
use base::{Clock, Tenant};
use bytes::Bytes;
use server::{Backend, Node};
use table::{FrameHeader, Origin};
use wire::lines::LinesWriter;
use wire::remote_write::RequestWriter;
use wire::{Encoding, Options};

use crate::settings::Settings;

/// Running collectors.
pub struct Collectors {
    running: Vec<Runner>,
    what: Vec<String>,
}

impl Collectors {
    /// What is collected, for people.
    pub fn what(&self) -> Vec<String> {
        self.what.clone()
    }
    /// Ends them; what they hold and could not deliver they read again at the next start.
    pub fn stop(self) {
        for r in self.running {
            if let Err(e) = r.stop() {
                tracing::error!(error = %e, "a collector ended badly");
            }
        }
    }
}

/// Starts what the settings name.
pub fn start(node: &Arc<Node>, settings: &Settings, _address: SocketAddr) -> Result<Collectors> {
    let deliver: Arc<dyn Deliver> = Arc::new(IntoStore { node: node.clone() });
    let stats = Arc::new(agent::stats::Stats::default());
    let figures = stats.clone();
    node.add_figures(Box::new(move |out| figures.write(out)));
    let mut c = Collectors { running: vec![], what: vec![] };
    if !settings.collect.files.is_empty() {
        let context = files::Context { deliver, clock: Clock::System, host: host(), never: never(settings), stats };
        let follow = files::Settings { include: settings.collect.files.clone(), ..files::Settings::default() };
        let rest = follow.poll_interval;
        let mut source = Source::new("host", follow, context).map_err(|e| anyhow!("collect.files: {e}"))?;
        c.running.push(Runner::start("files", move || pause(&source.poll(), rest)).map_err(|e| anyhow!("{e}"))?);
        c.what.push(settings.collect.files.join(" "));
    }
    Ok(c)
}

fn pause(polled: &files::Polled, rest: Duration) -> Pause {
    match polled.wait {
        Some(wait) => Pause::Rest(wait),
        None if polled.more => Pause::None,
        None => Pause::Rest(rest),
    }
}

/// Our own files are never read: a line about a line would never end.
fn never(settings: &Settings) -> Vec<PathBuf> {
    std::path::absolute(&settings.data_dir).into_iter().collect()
}

/// This machine's name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.into() }
}

/// Hands batches to the store, in the forms that travel, under the default tenant.
struct IntoStore {
    node: Arc<Node>,
}

impl IntoStore {
    fn push(&self, codec: u16, encoding: Encoding, body: Vec<u8>, origin: Option<Origin>) -> base::Result<()> {
        let header = FrameHeader {
            tenant: Tenant::default(),
            received_ns: Clock::System.now_ns(),
            codec,
            options: Options::encoded(encoding).to_bytes(),
            origin,
            refused: vec![],
        };
        // Entries that can never be taken are in the ledger, and giving them again would not help.
        self.node.ingest(header, Bytes::from(body)).map(|_| ())
    }

    fn lines(&self, lines: &Lines) -> base::Result<()> {
        let mut body = LinesWriter::new(&lines.labels);
        for l in &lines.lines {
            body.push(l.time_ns, l.text.as_bytes());
        }
        let origin = Origin { source: lines.source.clone(), position: lines.position.clone() };
        self.push(logs::ingest::LINES, Encoding::Identity, body.finish(), Some(origin))
    }

    fn samples(&self, samples: &[Sample]) -> base::Result<()> {
        let mut request = RequestWriter::default();
        for s in samples {
            request.series(s.labels.iter(), &[(s.time_ms, s.value)], &[]);
        }
        let body = wire::encoding::encode(Encoding::SnappyBlock, &request.finish())?;
        self.push(metrics::ingest::REMOTE_WRITE_1, Encoding::SnappyBlock, body, None)
    }
}

impl Deliver for IntoStore {
    fn deliver(&self, batch: Batch<'_>) -> base::Result<()> {
        match batch {
            Batch::Lines(l) => self.lines(l),
            Batch::Samples(s) => self.samples(s),
        }
    }

    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.node.store().map_or_else(|_| vec![], |s| s.engine().positions(prefix))
    }

    fn lost(&self, loss: &Loss) {
        let Ok(store) = self.node.store() else { return };
        let example = format!("{}: {} lines, {} bytes", loss.source, loss.lines, loss.bytes);
        let lines = loss.lines.max(1);
        for i in 0..lines {
            let bytes = if i == 0 { loss.bytes } else { 0 };
            store.ledger().lost(&Tenant::default(), loss.reason, bytes, loss.time_ns, loss.time_ns, &example);
        }
    }
}
