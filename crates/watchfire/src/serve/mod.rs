//! `watchfire serve`: the phases of a server's life.
//!
//! Start: settings, log, lock of the data directory, listeners (which say "not ready" from the first moment), the cluster (whose
//! other nodes see this one joining), store, collectors. Stop, on SIGTERM or SIGINT: a node of a cluster takes no more rows, gives
//! what it holds to the object store while it still answers queries, and says goodbye; then admit nothing more, let what is in
//! flight end, stop the collectors, flush, close. A second signal ends the process at once; nothing that was acknowledged is lost by it.

mod banner;
mod cluster;
mod collect;
pub mod drill;
mod ground;
pub mod lock;
pub mod logging;
mod moving;
mod open;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use base::Kind;
use server::{App, Node, Paths};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::collect::Collectors;
use self::ground::Ground;
use self::open::Opened;
use crate::cli::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::settings::{self, Layer, Settings, given};

/// Runs it until a signal comes.
pub fn run(args: &ServeArgs) -> Result<ExitCode> {
    let settings = compose(args)?;
    logging::start(&settings);
    let lock = lock::take(&settings.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("io")
        // Every place of the two pools, and a few for opening and closing.
        .max_blocking_threads(settings.server.ingest_concurrency + settings.server.query_concurrency + 8)
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(async {
        let ground = Ground::new(args).await?;
        serve(args, settings, ground).await
    });
    // Queries that were told to stop may still compute; nobody waits for them.
    runtime.shutdown_background();
    drop(lock);
    result.map(|()| Exit::Ok.into())
}

/// Defaults, profile, file and flags.
fn compose(args: &ServeArgs) -> Result<Settings> {
    let wrong = |e: String| Failure::error(Exit::Settings, e);
    let file = args.config.as_deref().map(settings::read).transpose().map_err(|e| wrong(e.to_string()))?.unwrap_or_default();
    let text = |s: String| given(settings::Text(s));
    let join: Vec<_> = args.join.iter().map(|a| of_flag("--join", a)).collect::<Result<_>>()?;
    let cluster = settings::ClusterLayer {
        name: args.cluster.as_deref().map(|n| of_flag("--cluster", n)).transpose()?,
        join: (!join.is_empty()).then_some(join),
        listen: args.cluster_listen.clone().map(text),
        ..settings::ClusterLayer::default()
    };
    let flags = Layer {
        profile: args.profile.map(|p| given(p.into())),
        data_dir: args.data_dir.as_ref().map(|d| text(d.to_string_lossy().into_owned())),
        listen: args.listen.clone().map(text),
        insecure: args.insecure.then(|| given(settings::Switch(true))),
        cluster,
        ..Layer::default()
    };
    Settings::compose(file, flags).map(|(s, _)| s).map_err(|e| match &args.config {
        Some(path) => wrong(format!("{}: {e}", path.display())),
        None => wrong(e),
    })
}

/// The value of a flag, with the rules of its setting.
fn of_flag<T: settings::FromText>(flag: &str, text: &str) -> Result<settings::Given<T>> {
    T::from_text(text).map(given).map_err(|e| Failure::error(Exit::Usage, format!("{flag}: {e}")))
}

async fn serve(args: &ServeArgs, settings: Settings, ground: Ground) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let node = Node::new(ground.clock.clone(), "replaying the log");
    let app = App::new(node.clone(), settings.server.clone());
    let listener = server::bind(&settings.listen).await.map_err(|e| anyhow!("{e}"))?;
    let address = listener.local_addr().context("asking for the address")?;
    let mut ports = vec![(listener, Paths::All)];
    ports.extend(bind_otlp(&settings).await?.into_iter().map(|l| (l, Paths::Otlp)));
    let otlp: Vec<SocketAddr> =
        ports[1..].iter().map(|(l, _)| l.local_addr()).collect::<Result<_, _>>().context("asking for the address")?;
    let (stop, stopped) = tokio::sync::watch::channel(());
    let serving: Vec<_> = ports
        .into_iter()
        .map(|(listener, paths)| {
            let mut stopped = stopped.clone();
            let stop = async move {
                // Ends with an error when the sender is gone, which is the same.
                let _ = stopped.changed().await;
            };
            tokio::spawn(server::serve(listener, app.clone(), paths, stop))
        })
        .collect();
    node.on_move(moving::give_store(args.clone(), ground.clone()));
    let settings = Arc::new(settings);
    let opening = tokio::task::spawn_blocking({
        let (node, settings) = (node.clone(), settings.clone());
        move || open_all(&node, &settings, &ground)
    });
    let opened = tokio::select! {
        o = opening => o.context("opening the store")?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    // Exits without a flush: what was acknowledged is in the log.
    let opened = opened?;
    let collectors = collect::start(&node, &app, &settings, address)?;
    banner::print(&settings, address, &otlp, opened.address(), &collectors.what());
    tracing::info!(%address, data_dir = %settings.data_dir.display(), memory_bytes = settings.memory_bytes, "serving");

    let asked = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = node.asked_to_leave() => true,
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        at_once();
    });
    let mut collectors = Some(collectors);
    if let Some(c) = opened.cluster() {
        tracing::info!("leaving the cluster: no more rows are taken, and what is held goes to the object store");
        node.not_ready("leaving the cluster");
        app.stop_pushes().await;
        let stopped = collectors.take();
        tokio::task::spawn_blocking(move || stopped.into_iter().for_each(Collectors::stop)).await.context("stopping the collectors")?;
        cluster::leave(c, asked).await;
    }
    tracing::info!("stopping: no more requests are admitted");
    app.stop_admitting();
    node.not_ready("shutting down");
    drop(stop);
    for listener in serving {
        listener.await.context("the listener")?;
    }
    tracing::info!("stopping: flushing");
    tokio::task::spawn_blocking(move || {
        collectors.into_iter().for_each(Collectors::stop);
        opened.close()
    })
    .await
    .context("closing the store")?
    .map_err(|e| anyhow!("closing the store: {e}; what was acknowledged is in the log"))?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the ports of OTLP. The usual ones may be somebody else's, a collector's for example; those that somebody asked for may not.
async fn bind_otlp(settings: &Settings) -> Result<Vec<TcpListener>> {
    let mut open = vec![];
    for at in &settings.otlp.listen {
        match server::bind(at).await {
            Ok(listener) => open.push(listener),
            Err(e) if settings.otlp.is_wanted => return Err(anyhow!("otlp.listen: {e}")),
            Err(e) => tracing::warn!(
                "OTLP IS NOT TAKEN AT {at}: {e}. Senders reach this server at {}; otlp.listen says where else it listens, and [] that it does not",
                settings.listen
            ),
        }
    }
    Ok(open)
}

/// Joins the cluster, if there is one, and opens the store.
fn open_all(node: &Node, settings: &Settings, ground: &Ground) -> Result<Opened> {
    let said = |e: base::Error| match e.kind() {
        Kind::Invalid => Failure::error(Exit::Settings, e.to_string()),
        _ => anyhow!("{}: {e}", settings.data_dir.display()),
    };
    let joined = cluster::join(settings, node, ground).map_err(said)?;
    open::open(node, settings, ground, joined).map_err(|e| anyhow!("{}: {e}", settings.data_dir.display()))
}

/// The second signal: whoever sends it does not want to wait, and nothing acknowledged depends on waiting.
#[allow(clippy::disallowed_methods)] // the one exit that must not go through the phases
fn at_once() {
    std::process::exit(130);
}
