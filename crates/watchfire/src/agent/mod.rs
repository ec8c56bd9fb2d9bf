//! `watchfire agent`: collects on a host, keeps what it collected until it has arrived, and says what it knows of that.
//!
//! Start: settings, log, lock of the data directory, spool (what is pending from before), lanes to the endpoints, sources,
//! receivers, and the page on which it shows itself. Stop, on SIGTERM or SIGINT: sources first, then lanes; what is pending stays in the
//! spool. It may as well be killed: that costs nothing but sending the last second's acknowledged rows once more.

mod convert;
mod layer;
mod page;
mod receive;
mod settings;
mod sources;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::agent::receive::Receivers;
use ::agent::ship::report::{Author, Reporter};
use ::agent::ship::{Context, Identity, Shipping};
use ::agent::spool::{self, Spool};
use ::agent::{Pause, Runner, host, stats};
use anyhow::{Context as _, Result, anyhow};
use base::{Clock, Kind};
use disk::{Fs, RealFs, SimFs};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{AgentArgs, AgentCommand};
use crate::exit::{Exit, Failure};
use crate::serve::{lock, logging};
use settings::Settings;

/// How often the spool's books are kept.
const TICK: Duration = Duration::from_secs(1);
/// How long a request that is under way is waited for at the end.
const GRACE: Duration = Duration::from_secs(5);
/// Connections of senders and of who looks at the page; more wait in the system's queue. Senders keep theirs.
const CONNECTIONS: usize = 1024;
/// A request over HTTP/2 is given up after this: its body may take two minutes, and a full spool answers at once.
const REQUEST: Duration = Duration::from_secs(5 * 60);

/// Runs it until a signal comes, or does what was asked for instead.
pub fn run(args: &AgentArgs) -> Result<ExitCode> {
    if let Some(AgentCommand::Convert(args)) = &args.command {
        return convert::run(args);
    }
    let settings = settings::read(args)?;
    logging::start_with(settings.log_level, settings.log_format);
    // Libraries that speak TLS ask for it where nobody hands it to them; it is no error if it is there already.
    ::agent::ship::use_ring();
    let lock = if settings.spool.memory { None } else { Some(lock_of(&settings.data_dir)?) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(live(settings));
    runtime.shutdown_background();
    drop(lock);
    result.map(|()| Exit::Ok.into())
}

fn lock_of(dir: &Path) -> Result<lock::Lock> {
    lock::take(dir).map_err(|e| {
        let text = format!(
            "{e:#}\nThe agent keeps what it has collected in this directory until it has arrived. Give it one that it can write and that \
             outlives it (--data-dir); or set `spool: {{ memory: true }}` under `agent` if a restart may lose what is pending."
        );
        Failure::error(Exit::Settings, text)
    })
}

async fn live(settings: Settings) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let listener = server::bind(&settings.listen).await.map_err(|e| anyhow!("{e}"))?;
    let address = listener.local_addr().context("asking for the address")?;
    let mut own = vec![];
    for at in settings.receive.listen.iter().filter(|_| settings.receive.is_wanted()) {
        own.push(server::bind(at).await.map_err(|e| anyhow!("{e}"))?);
    }
    let mut running = Running::start(&settings)?;
    let mut pages = page::router(running.view.clone());
    let received = running.received.take().map_or_else(axum::Router::new, receive::router);
    if own.is_empty() {
        pages = pages.merge(received.clone());
    }
    tracing::info!(%address, data_dir = %settings.data_dir.display(), endpoints = settings.endpoints.len(), sources = running.sources.what().len(), "collecting");
    let connections = server::Connections::new(CONNECTIONS, REQUEST);
    let ports = std::iter::once((listener, pages)).chain(own.into_iter().map(|listener| (listener, received.clone())));
    // Until they are aborted: what is under way and not durable is not acknowledged, so its sender keeps it.
    let serving: Vec<_> = ports
        .map(|(listener, router)| tokio::spawn(server::serve_router(listener, router, connections.clone(), std::future::pending())))
        .collect();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: what is pending stays in the spool");
    serving.iter().for_each(tokio::task::JoinHandle::abort);
    running.stop();
    Ok(())
}

/// All that runs.
struct Running {
    spool: Arc<Spool>,
    sources: sources::Sources,
    shipping: Shipping,
    books: Vec<Runner>,
    view: Arc<page::View>,
    /// Until they are served.
    received: Option<Receivers>,
}

impl Running {
    fn start(settings: &Settings) -> Result<Running> {
        let said = |e: base::Error| match e.kind() {
            Kind::Invalid => Failure::error(Exit::Settings, e.to_string()),
            _ => anyhow!("{e}"),
        };
        let fs: Arc<dyn Fs> = if settings.spool.memory { Arc::new(SimFs::default()) } else { Arc::new(RealFs) };
        if settings.spool.memory {
            tracing::warn!("the spool is in memory, as the settings ask: what is pending is lost when this process ends");
        }
        let identity = identity(fs.as_ref(), &settings.data_dir)?;
        let context = spool::Context {
            fs: fs.clone(),
            dir: settings.data_dir.join("spool"),
            clock: Clock::System,
            host: host::hostname(),
            readers: settings.endpoints.iter().map(::agent::ship::Endpoint::reader).collect(),
        };
        let spool = Spool::open(settings.spool.clone(), context).map_err(said)?;
        let shipping_stats = Arc::new(stats::Shipping::default());
        let context = Context {
            spool: spool.clone(),
            clock: Clock::System,
            identity: identity.clone(),
            fs,
            dead_dir: settings.data_dir.join("dead"),
            stats: shipping_stats.clone(),
        };
        let shipping = Shipping::start(&settings.endpoints, context).map_err(said)?;
        let author = Arc::new(Author::new(spool.clone(), identity, host::hostname(), Clock::System));
        let mut reporter = Reporter::new(author.clone(), &settings.endpoints).map_err(said)?;
        let ticking = spool.clone();
        let books = vec![
            Runner::start("spool-books", move || {
                ticking.tick();
                Pause::Rest(TICK)
            })
            .map_err(said)?,
            Runner::start("report", move || reporter.step()).map_err(said)?,
        ];
        let collecting = Arc::new(stats::Stats::default());
        let view = Arc::new(page::View { author, shipping: shipping_stats, collecting: collecting.clone() });
        let mut sources = sources::start(settings, &spool, &collecting, &view)?;
        let received = sources::receivers(&mut sources, settings, &spool, &collecting)?;
        Ok(Running { spool, sources, shipping, books, view, received })
    }

    fn stop(self) {
        self.sources.stop();
        self.spool.tick();
        self.shipping.stop(GRACE);
        for b in &self.books {
            b.tell();
        }
        self.spool.tick();
        // A report that is under way is not worth waiting for.
        self.books.into_iter().filter(|b| !b.is_finished()).for_each(std::mem::forget);
    }
}

/// The agent's id, kept in its directory, and one for this start.
fn identity(fs: &dyn Fs, dir: &Path) -> Result<Identity> {
    let fresh = || -> Result<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("asking the kernel for a random id")?;
        Ok(id.trim().to_owned())
    };
    let path = dir.join("agent-id");
    let known = disk::read(fs, &path).ok().and_then(|b| String::from_utf8(b).ok()).map(|t| t.trim().to_owned());
    let agent = match known.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic())) {
        Some(id) => id,
        None => {
            let id = fresh()?;
            fs.create_dir_all(dir)?;
            disk::write_durably(fs, &path, id.as_bytes())?;
            id
        }
    };
    Ok(Identity { agent, boot: fresh()? })
}
