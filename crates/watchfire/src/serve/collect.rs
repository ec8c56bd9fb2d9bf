//! What the server collects itself: this host's log files, its metrics, targets that have any, and the server's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agent::files::{self, Source};
use agent::{Batch, Body, Deliver, Format, Lines, Loss, Metadata, Pause, Runner, Sample, host, scrape};
use anyhow::{Result, anyhow};
use base::{Clock, Labels, Tenant};
use bytes::Bytes;
use server::{App, Backend as _, Node};
use table::{FrameHeader, Origin};
use wire::lines::LinesWriter;
use wire::loki::PushWriter;
use wire::remote_write::RequestWriter;
use wire::{Encoding, Options};

use crate::settings::Settings;

/// Running collectors.
pub struct Collectors {
    running: Vec<Runner>,
    scraping: scrape::Pool,
    what: Vec<String>,
}

impl Collectors {
    /// What is collected, for people.
    pub fn what(&self) -> Vec<String> {
        self.what.clone()
    }
    fn run(&mut self, name: &str, what: String, step: impl FnMut() -> Pause + Send + 'static) -> Result<()> {
        self.running.push(Runner::start(name, step).map_err(|e| anyhow!("{e}"))?);
        self.what.push(what);
        Ok(())
    }
    /// Ends them; what they hold and could not deliver they read again at the next start.
    pub fn stop(self) {
        self.scraping.stop();
        for r in self.running {
            if let Err(e) = r.stop() {
                tracing::error!(error = %e, "a collector ended badly");
            }
        }
    }
}

/// Starts what the settings name.
pub fn start(node: &Arc<Node>, app: &Arc<App>, settings: &Settings, address: SocketAddr) -> Result<Collectors> {
    let deliver: Arc<dyn Deliver> = Arc::new(IntoStore { node: node.clone() });
    let stats = Arc::new(agent::stats::Stats::default());
    let figures = stats.clone();
    node.add_figures(Box::new(move |out| figures.write(out)));
    let wanted = &settings.collect;
    let mut c = Collectors { running: vec![], scraping: scrape::Pool::default(), what: vec![] };
    if !wanted.files.is_empty() {
        let (deliver, stats) = (deliver.clone(), stats.clone());
        let context = files::Context { deliver, clock: Clock::System, host: host::hostname(), never: never(settings), stats };
        let follow = files::Settings { include: wanted.files.clone(), ..files::Settings::default() };
        let mut source = Source::new("host", follow, context).map_err(|e| anyhow!("collect.files: {e}"))?;
        c.run("files", wanted.files.join(" "), move || {
            let polled = source.poll();
            source.pause(polled)
        })?;
    }
    if wanted.host {
        let own = host::Settings { interval: wanted.interval, ..host::Settings::default() };
        let mut collector = host::Collector::new(own, host::hostname(), deliver.clone(), Clock::System, stats.clone());
        c.run("host", "metrics of this host".into(), move || {
            collector.collect();
            collector.pause()
        })?;
    }
    for job in &wanted.scrape {
        let context = scrape::Context { deliver: deliver.clone(), clock: Clock::System, stats: stats.clone(), watch: node.scraped() };
        scrape::start(job.clone(), context, &c.scraping).map_err(|e| anyhow!("collect.scrape: job {:?}: {e}", job.job))?;
        c.what.push(format!("targets of {}", job.job));
    }
    if wanted.itself {
        let own = scrape::Settings { interval: wanted.interval, ..scrape::Settings::default() };
        let app = app.clone();
        let page: scrape::Page = Box::new(move || Ok(app.figures()));
        let mut scraper = scrape::Scraper::new(own, address.to_string(), page, deliver, Clock::System, stats);
        c.run("scrape", "its own /metrics".into(), move || {
            scraper.scrape();
            scraper.pause()
        })?;
    }
    Ok(c)
}

/// Our own files are never read: a line about a line would never end.
fn never(settings: &Settings) -> Vec<PathBuf> {
    std::path::absolute(&settings.data_dir).into_iter().collect()
}

/// Hands batches to the store, in the forms that travel, under the default tenant.
struct IntoStore {
    node: Arc<Node>,
}

impl IntoStore {
    fn push(&self, tenant: Tenant, codec: u16, encoding: Encoding, body: Vec<u8>, origin: Option<Origin>) -> base::Result<()> {
        let header = FrameHeader {
            tenant,
            received_ns: Clock::System.now_ns(),
            codec,
            options: Options::encoded(encoding).to_bytes(),
            origin,
            refused: vec![],
            rows: None,
        };
        // Entries that can never be taken are in the ledger, and giving them again would not help.
        self.node.ingest(header, Bytes::from(body)).map(|_| ())
    }

    /// The whole batch in one frame with its position; of batches of many tenants, the position goes with the last.
    fn lines(&self, lines: &Lines) -> base::Result<()> {
        let mut bodies: Vec<(Tenant, PushWriter)> = vec![];
        for s in &lines.streams {
            let tenant = s.tenant.clone().unwrap_or_default();
            let at = bodies.iter().position(|(t, _)| *t == tenant).unwrap_or_else(|| {
                bodies.push((tenant, PushWriter::default()));
                bodies.len() - 1
            });
            let body = &mut bodies[at].1;
            body.stream(s.labels.iter());
            for l in &s.lines {
                body.entry(l.time_ns, l.text.as_bytes(), l.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            }
        }
        let origin = Origin { source: lines.source.clone(), position: lines.position.clone() };
        let Some((tenant, last)) = bodies.pop() else {
            // A position alone. A push request without a stream is refused, as clients expect it; this form may have no line.
            let none = LinesWriter::new(&Labels::default()).finish();
            return self.push(Tenant::default(), logs::ingest::LINES, Encoding::Identity, none, Some(origin));
        };
        for (tenant, body) in bodies {
            self.push(tenant, logs::ingest::LOKI_PROTOBUF, Encoding::Identity, body.finish(), None)?;
        }
        self.push(tenant, logs::ingest::LOKI_PROTOBUF, Encoding::Identity, last.finish(), Some(origin))
    }

    fn samples(&self, samples: &[Sample]) -> base::Result<()> {
        let mut request = RequestWriter::default();
        samples.iter().for_each(|s| s.write(&mut request));
        let body = wire::encoding::encode(Encoding::SnappyBlock, &request.finish())?;
        self.push(Tenant::default(), metrics::ingest::REMOTE_WRITE_1, Encoding::SnappyBlock, body, None)
    }

    fn metadata(&self, known: &[Metadata]) -> base::Result<()> {
        let mut request = RequestWriter::default();
        known.iter().for_each(|m| request.metadata(m.kind, &m.name, &m.help, &m.unit));
        let body = wire::encoding::encode(Encoding::SnappyBlock, &request.finish())?;
        self.push(Tenant::default(), metrics::ingest::REMOTE_WRITE_1, Encoding::SnappyBlock, body, None)
    }

    fn body(&self, body: &Body<'_>) -> base::Result<()> {
        let codec = match body.format {
            Format::LokiPush => logs::ingest::LOKI_PROTOBUF,
            Format::LokiPushJson => logs::ingest::LOKI_JSON,
            Format::OtlpLogs => logs::ingest::OTLP_PROTOBUF,
            Format::OtlpLogsJson => logs::ingest::OTLP_JSON,
            Format::OtlpTraces => traces::ingest::OTLP_PROTOBUF,
            Format::OtlpTracesJson => traces::ingest::OTLP_JSON,
            Format::RemoteWrite => metrics::ingest::REMOTE_WRITE_1,
            Format::RemoteWrite2 | Format::OtlpMetrics | Format::OtlpMetricsJson => {
                return Err(base::Error::invalid(format!("{:?} is not taken by this server", body.format)));
            }
        };
        self.push(body.tenant.cloned().unwrap_or_default(), codec, body.encoding, body.bytes.to_vec(), None)
    }
}

impl Deliver for IntoStore {
    fn deliver(&self, batch: Batch<'_>) -> base::Result<()> {
        match batch {
            Batch::Lines(l) => self.lines(l),
            Batch::Samples(s) => self.samples(s),
            Batch::Metadata(m) => self.metadata(m),
            Batch::Body(b) => self.body(&b),
        }
    }

    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.node.store().map_or_else(|_| vec![], |s| s.engine().positions(prefix))
    }

    fn lost(&self, loss: &Loss) {
        let Ok(store) = self.node.store() else { return };
        let example = format!("{}: {} lines, {} bytes", loss.source, loss.lines, loss.bytes);
        let (lines, bytes) = (loss.lines.max(1), loss.bytes);
        store.ledger().lost(&Tenant::default(), loss.reason, lines, bytes, loss.time_ns, loss.time_ns, &example);
    }
}
