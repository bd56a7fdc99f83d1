//! A node that listens: from its first log line to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::command::failure::Failure;
use crate::command::progress::Bar;
use crate::command::socket;
use crate::config::{Config, Keys, Layers};
use crate::edge::gate::Gate;
use crate::edge::limits;
use crate::edge::listener::Listener;
use crate::http;
use crate::live::{LatePublishers, Live};
use crate::node::readiness::Phase;
use crate::node::store::Layout;
use crate::node::{Assembly, upkeep};
use crate::{revoking, telemetry, wallet};

/// The share of the drain's time that connections have to finish; the rest is the shards'.
const CONNECTIONS_SHARE: u32 = 2;

/// Runs a node until it is told to stop. `ready` is told the address once the node serves.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn serve(
    config: Arc<Config>,
    layers: Layers,
    metrics: PrometheusHandle,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::failed(format!("signals: {error}")))?;
    let gate = open_gate(&config)?;
    let listener = Listener::bind(config.listen, Arc::clone(&gate), config.edge.listener.clone())
        .map_err(|error| Failure::failed(format!("cannot listen on {}: {error}", config.listen)))?;
    let address = listener.local_addr().map_err(|error| Failure::failed(error.to_string()))?;

    let bar = Bar::new("bringing the views up");
    let watch = |at| bar.at(at);
    let late = LatePublishers::default();
    let opening = Assembly::open(Arc::clone(&config), metrics.clone(), late.publishers(), true, &watch);
    let assembly = tokio::select! {
        opened = opening => opened?,
        // Nothing is served yet, and all that is durable stays so.
        () = signals.stop() => return Ok(()),
    };
    bar.clear();

    assembly.look_after_deadlines();
    let stop = CancellationToken::new();
    let app = Arc::clone(&assembly.app);
    let control = socket::Server::bind(&assembly)?;
    tokio::spawn(control.run(stop.clone()));
    tokio::spawn(telemetry::keep_up(metrics, stop.clone()));
    tokio::spawn(upkeep::run(Arc::clone(&app), assembly.spaces(), assembly.store.cql.clone(), stop.clone()));
    if let Some(pulse) = assembly.pulse.clone() {
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(pulse.run()).await });
    }
    tokio::spawn(resume_erasures(Arc::clone(&app)));
    tokio::spawn(revoking::hear(Arc::clone(&app), stop.clone()));
    // Its own token: connections are told of a drain before anything else stops.
    let live_stop = CancellationToken::new();
    let live = Live::start(&app, &late, Arc::clone(&gate), live_stop.clone()).await?;
    let router = http::router(Arc::clone(&app)).merge(live.router());
    app.readiness.advance(Phase::Ready);
    let served = tokio::spawn(listener.serve(router, stop.clone()));
    tracing::info!(%address, store = %assembly.store.founding.id, shards = assembly.store.shards.get(), "ready");
    ready(address);

    let broken = loop {
        tokio::select! {
            () = assembly.broken.cancelled() => break true,
            asked = signals.next() => match asked {
                Asked::Stop => break false,
                Asked::Reload => reload(&app, &layers),
            },
        }
    };

    let until = Instant::now() + config.drain.patience();
    app.readiness.advance(Phase::Draining);
    tracing::info!(seconds = config.drain.seconds, "stopping");
    stop.cancel();
    let share = config.drain.patience() / CONNECTIONS_SHARE;
    live.drain(share / 2).await;
    live_stop.cancel();
    let left = gate.drained(share / 2).await;
    if left > 0 {
        tracing::info!(left, "connections are cut off");
    }
    served.abort();
    // A little is kept for closing the stores.
    let rest = until.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_secs(1));
    assembly.close(rest).await;
    tracing::info!("stopped");
    if broken { Err(Failure::failed("the node could not go on: see the log")) } else { Ok(()) }
}

/// A gate for as many connections as the process can hold.
fn open_gate(config: &Config) -> Result<Arc<Gate>, Failure> {
    let descriptors = limits::raise_descriptor_limit()
        .map_err(|error| Failure::failed(format!("the limit of open files cannot be read: {error}")))?;
    let listener = &config.edge.listener;
    let most = limits::connections_max(descriptors, listener.connections_max);
    Ok(Gate::new(most, listener.connections_per_address_max))
}

/// Goes on with erasures that a crash cut short.
async fn resume_erasures(app: Arc<App>) {
    if let Err(failure) = wallet::erasure::resume(&app).await {
        tracing::error!(code = %failure.code, "unfinished erasures cannot be read; the next start tries again");
    }
}

/// Reads the configuration again for the keys of tokens; nothing else of it changes in a running node.
fn reload(app: &App, layers: &Layers) {
    let keys = layers.load().and_then(|loaded| {
        let folder = Layout::of(&app.config.data).keys();
        Keys::load(&loaded.config.keys, app.config.profile, &folder, false)
    });
    let reloaded = keys.map_err(|error| error.to_string()).and_then(|keys| {
        app.tokens.reload(&keys).map_err(|error| error.to_string())?;
        Ok(keys.signing.len())
    });
    match reloaded {
        Ok(keys) => tracing::info!(keys, "the keys of tokens are read again"),
        Err(error) => tracing::error!(error, "the keys of tokens cannot be read again and stay as they were"),
    }
}

/// The signals that the node listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// SIGTERM or SIGINT.
    async fn stop(&mut self) {
        while self.next().await == Asked::Reload {}
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}
