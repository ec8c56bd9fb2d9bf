//! Starts what the settings name. A source delivers to an `Arc<dyn Deliver>`; whatever works on lines between a source and
//! the spool (stages, relabelling) is a `Deliver` around the spool's, given to that source instead.

use std::sync::Arc;
use std::time::Duration;

use ::agent::files::{Context, Source};
use ::agent::receive::{self, Receivers};
use ::agent::relabel::{Rule, apply_to, drop_internal};
use ::agent::spool::Spool;
use ::agent::stages::{Stages, Through};
use ::agent::stats::Stats;
use ::agent::{Deliver, LabelSet, Pause, Runner, docker as containers, host, journal, scrape, syslog};
use anyhow::{Result, anyhow};
use base::{Clock, Labels};

use super::page::View;
use super::settings::{Docker, Files, Journal, Settings, Syslog};

/// How long lines that stages hold wait beyond their time.
const TICK: Duration = Duration::from_secs(1);

/// What runs.
#[derive(Default)]
pub struct Sources {
    running: Vec<Runner>,
    scraping: scrape::Pool,
    what: Vec<String>,
}

impl Sources {
    /// What is collected, for people.
    pub fn what(&self) -> &[String] {
        &self.what
    }
    fn run(&mut self, name: &str, what: String, step: impl FnMut() -> Pause + Send + 'static) -> Result<()> {
        self.running.push(Runner::start(name, step).map_err(|e| anyhow!("{e}"))?);
        self.what.push(what);
        Ok(())
    }
    /// Lines that stages hold for others that do not come go on.
    fn tick(&mut self, stages: Arc<Through>) -> Result<()> {
        let step = move || {
            // What cannot be delivered now is offered again at the next tick, and the source says what is wrong.
            drop(stages.tick());
            Pause::Beat(TICK)
        };
        self.running.push(Runner::start("stages", step).map_err(|e| anyhow!("{e}"))?);
        Ok(())
    }
    /// Ends them; what they hold and could not deliver they read again at the next start.
    pub fn stop(self) {
        self.running.iter().for_each(Runner::tell);
        self.scraping.stop();
        for r in self.running {
            if let Err(e) = r.stop() {
                tracing::error!(error = %e, "a source ended badly");
            }
        }
    }
}

/// Stages before the place of delivery; also where there are none yet: what stages hold back is part of a position.
fn through(stages: &Stages, at: &str, deliver: Arc<dyn Deliver>, stats: &Arc<Stats>) -> Result<Arc<Through>> {
    let pipeline = stages.build().map_err(|e| anyhow!("{at}: {e}"))?;
    Ok(Arc::new(Through::new(pipeline, deliver, Clock::System, stats.clone())))
}

/// Starts all of them.
pub fn start(settings: &Settings, spool: &Arc<Spool>, stats: &Arc<Stats>, view: &Arc<View>) -> Result<Sources> {
    let mut sources = Sources::default();
    let through = |stages: &Stages, to: &[String], at: &str| through(stages, at, spool.route(to), stats);
    for f in &settings.files {
        let stages = through(&f.stages, &f.to, &f.name)?;
        files(&mut sources, settings, f, stages.clone(), stats)?;
        sources.tick(stages)?;
    }
    for d in &settings.docker {
        let stages = through(&d.stages, &d.to, &d.name)?;
        docker(&mut sources, d, stages.clone(), stats)?;
        sources.tick(stages)?;
    }
    for s in &settings.syslog {
        let stages = through(&s.stages, &s.to, &s.name)?;
        take_syslog(&mut sources, s, stages.clone(), stats)?;
        sources.tick(stages)?;
    }
    for j in &settings.journal {
        let stages = through(&j.stages, &j.to, &j.name)?;
        read_journal(&mut sources, j, stages.clone(), stats)?;
        sources.tick(stages)?;
    }
    if let Some(own) = &settings.host {
        let mut collector =
            host::Collector::new(own.settings.clone(), host::hostname(), spool.route(&own.to), Clock::System, stats.clone());
        sources.run("host", "metrics of this host".into(), move || {
            collector.collect();
            collector.pause()
        })?;
    }
    for job in &settings.scrape {
        let watch = scrape::Watch::default();
        let context = scrape::Context { deliver: spool.route(&job.to), clock: Clock::System, stats: stats.clone(), watch };
        scrape::start(job.job.clone(), context, &sources.scraping).map_err(|e| anyhow!("agent.sources.scrape {:?}: {e}", job.job.job))?;
        sources.what.push(format!("targets of {}", job.job.job));
    }
    if settings.itself {
        let view = view.clone();
        let own = scrape::Settings { job: "watchfire-agent".into(), ..scrape::Settings::default() };
        let page: scrape::Page = Box::new(move || Ok(view.figures()));
        let mut scraper = scrape::Scraper::new(own, host::hostname(), page, spool.clone(), Clock::System, stats.clone());
        sources.run("itself", "its own metrics".into(), move || {
            scraper.scrape();
            scraper.pause()
        })?;
    }
    Ok(sources)
}

fn files(sources: &mut Sources, settings: &Settings, f: &Files, deliver: Arc<dyn Deliver>, stats: &Arc<Stats>) -> Result<()> {
    let context = Context {
        deliver,
        clock: Clock::System,
        host: host::hostname(),
        never: std::path::absolute(&settings.data_dir).into_iter().collect(),
        stats: stats.clone(),
    };
    let mut source = Source::new(&f.name, f.settings.clone(), context).map_err(|e| anyhow!("agent.sources.files {:?}: {e}", f.name))?;
    sources.run("files", f.settings.include.join(" "), move || {
        let polled = source.poll();
        source.pause(polled)
    })
}

fn docker(sources: &mut Sources, d: &Docker, deliver: Arc<dyn Deliver>, stats: &Arc<Stats>) -> Result<()> {
    let rules = d.relabel.clone();
    let relabel = move |meta: &containers::Meta, labels: &Labels| relabelled(&rules, meta, labels);
    let context = containers::Context {
        deliver,
        clock: Clock::System,
        host: host::hostname(),
        relabel: if d.relabel.is_empty() { None } else { Some(Arc::new(relabel)) },
        stats: stats.clone(),
    };
    let source = containers::Source::new(&d.name, d.settings.clone(), context);
    let mut source = source.map_err(|e| anyhow!("agent.sources.docker {:?}: {e}", d.name))?;
    sources.run("docker", format!("containers of {}", d.settings.endpoint), move || {
        let polled = source.poll();
        source.pause(polled)
    })
}

fn take_syslog(sources: &mut Sources, s: &Syslog, deliver: Arc<dyn Deliver>, stats: &Arc<Stats>) -> Result<()> {
    let context = syslog::Context { deliver, clock: Clock::System, stats: stats.clone() };
    let source = syslog::Source::new(&s.name, s.settings.clone(), context);
    let mut source = source.map_err(|e| anyhow!("agent.sources.syslog {:?}: {e}", s.name))?;
    let addresses: Vec<&str> = s.settings.tcp.iter().chain(&s.settings.udp).map(String::as_str).collect();
    sources.run("syslog", format!("syslog on {}", addresses.join(" ")), move || source.poll())
}

fn read_journal(sources: &mut Sources, j: &Journal, deliver: Arc<dyn Deliver>, stats: &Arc<Stats>) -> Result<()> {
    let context = journal::Context {
        deliver,
        clock: Clock::System,
        host: host::hostname(),
        stats: stats.clone(),
        open: Box::new(journal::Feed::journalctl),
    };
    let mut source = journal::Source::new(&j.name, j.settings.clone(), context);
    sources.run("journal", "the journal".into(), move || source.poll())
}

/// Makes the receivers; none if nothing is received. Stages that they go through tick among the sources.
pub fn receivers(sources: &mut Sources, settings: &Settings, spool: &Arc<Spool>, stats: &Arc<Stats>) -> Result<Option<Receivers>> {
    let r = &settings.receive;
    if !r.is_wanted() {
        return Ok(None);
    }
    let mut staged = |stages: &Stages, at: &str| -> Result<Arc<dyn Deliver>> {
        let stages = through(stages, at, spool.clone(), stats)?;
        sources.tick(stages.clone())?;
        Ok(stages)
    };
    let loki = match &r.loki {
        // Whole pushes need no stages.
        Some(stages) if stages.is_empty() => Some(receive::Loki::default()),
        Some(stages) => Some(receive::Loki { stages: Some(staged(stages, "agent.receive.loki")?) }),
        None => None,
    };
    let firehose = match &r.firehose {
        Some(f) => Some(receive::Firehose {
            settings: f.settings.clone(),
            access_key: f.access_key.clone(),
            deliver: staged(&f.stages, "agent.receive.firehose")?,
        }),
        None => None,
    };
    let own = receive::Settings {
        loki,
        otlp: r.otlp,
        remote_write: r.remote_write,
        firehose,
        token: r.token.clone(),
        takes: settings.endpoints.iter().flat_map(|e| e.kind.takes()).collect(),
    };
    Ok(Some(Receivers::new(own, spool.clone(), Clock::System, stats.clone())))
}

/// The labels of a stream after its rules: they see those that it would have, and the Engine's as `__meta_docker_*`, which do
/// not stay. None leaves the stream out.
fn relabelled(rules: &[Rule], meta: &containers::Meta, labels: &Labels) -> Option<Labels> {
    let mut set = LabelSet::default();
    labels.iter().for_each(|(n, v)| set.set(n, v));
    meta.iter().for_each(|(n, v)| set.set(n, v));
    if !apply_to(rules, &mut set) {
        return None;
    }
    drop_internal(&mut set);
    set.to_labels().inspect_err(|e| tracing::error!(error = %e, "rules make labels that cannot be")).ok()
}
