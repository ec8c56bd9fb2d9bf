//! Starts what the settings name. A source delivers to an `Arc<dyn Deliver>`; whatever works on lines between a source and
//! the spool (stages, relabelling) is a `Deliver` around the spool's, given to that source instead.

use std::sync::Arc;

use ::agent::files::{Context, Source};
use ::agent::stats::Stats;
use ::agent::{Deliver, Pause, Runner, host, scrape};
use anyhow::{Result, anyhow};
use base::Clock;

use super::page::View;
use super::settings::Settings;

/// What runs.
#[derive(Default)]
pub struct Sources {
    running: Vec<Runner>,
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
    /// Ends them; what they hold and could not deliver they read again at the next start.
    pub fn stop(self) {
        self.running.iter().for_each(Runner::tell);
        for r in self.running {
            if let Err(e) = r.stop() {
                tracing::error!(error = %e, "a source ended badly");
            }
        }
    }
}

/// Starts all of them.
pub fn start(settings: &Settings, deliver: &Arc<dyn Deliver>, stats: &Arc<Stats>, view: &Arc<View>) -> Result<Sources> {
    let mut sources = Sources::default();
    files(&mut sources, settings, deliver, stats)?;
    if let Some(own) = &settings.host {
        let mut collector = host::Collector::new(own.clone(), host::hostname(), deliver.clone(), Clock::System, stats.clone());
        sources.run("host", "metrics of this host".into(), move || {
            collector.collect();
            collector.pause()
        })?;
    }
    for job in &settings.scrape {
        sources.run("scrape", job.urls.join(" "), super::scrape::step(job, deliver, stats))?;
    }
    if settings.itself {
        let view = view.clone();
        let own = scrape::Settings { job: "watchfire-agent".into(), ..scrape::Settings::default() };
        let page: scrape::Page = Box::new(move || Ok(view.figures()));
        let mut scraper = scrape::Scraper::new(own, host::hostname(), page, deliver.clone(), Clock::System, stats.clone());
        sources.run("itself", "its own metrics".into(), move || {
            scraper.scrape();
            scraper.pause()
        })?;
    }
    Ok(sources)
}

fn files(sources: &mut Sources, settings: &Settings, deliver: &Arc<dyn Deliver>, stats: &Arc<Stats>) -> Result<()> {
    for f in &settings.files {
        let context = Context {
            deliver: deliver.clone(),
            clock: Clock::System,
            host: host::hostname(),
            never: std::path::absolute(&settings.data_dir).into_iter().collect(),
            stats: stats.clone(),
        };
        let mut source = Source::new(&f.name, f.settings.clone(), context).map_err(|e| anyhow!("agent.sources.files {:?}: {e}", f.name))?;
        sources.run("files", f.settings.include.join(" "), move || {
            let polled = source.poll();
            source.pause(polled)
        })?;
    }
    Ok(())
}
