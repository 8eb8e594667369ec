//! Composition root: config → world → listeners. Reload builds a new world and swaps it.

mod build;
mod descriptors;
mod inherited;
mod listeners;

use std::future::{self, Future};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::build::{
    Providers, gate_parts, memberships_here, password_parts, profiles_here,
};
use self::build::{build, put_into_force};
pub use self::listeners::Addresses;
use self::listeners::{Bound, Listeners, changed_listener};
use crate::client::jwks::Background;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::lifecycle::{Signals, Told};
use crate::server::accept::{self, Downstream, Serving};
use crate::server::body::Body;
use crate::server::handles::Handles;
use crate::server::health::{self, Readiness};
use crate::server::workers::Workers;
use crate::server::world::Current;
use crate::server::{World, admin, egress, forward_auth, ingress};
use crate::telemetry::{Plane, Telemetry};

/// Why Gatepost could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, or may not be used.
    #[error("{listener}.listen: cannot listen on {address}: {source}")]
    Listen {
        /// The plane.
        listener: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// TLS roots, pools or signal handlers could not be set up.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a reload was refused; the old config goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadRefused {
    /// A listener's table differs: sockets are opened at start only.
    #[error("{0} changed: listeners are opened at start, restart to change them")]
    Listener(&'static str),
    /// Threads are started once.
    #[error("workers changed: threads are started once, restart to change their number")]
    Workers,
    /// TLS roots or pools could not be set up.
    #[error("cannot build the new config: {0}")]
    Io(#[from] std::io::Error),
}

/// How long what was cut may take to end.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// A running Gatepost.
#[derive(Debug)]
pub struct App {
    current: Current,
    shared: Shared,
    addresses: Addresses,
    /// Connections of the planes that carry traffic.
    planes: Stoppable,
    /// Health and admin: they answer until the end, so that a drain can be watched.
    watch: Stoppable,
    /// Key and token refresh.
    background: Background,
}

/// What outlives every world.
#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    handles: Arc<Handles>,
    workers: Workers,
    readiness: Readiness,
    fingerprint_key: [u8; 32],
}

/// Accept loops that end in two steps.
#[derive(Clone, Debug, Default)]
struct Stoppable {
    tasks: TaskTracker,
    /// Ask clients to open no more requests on the connections they have.
    leaving: Arc<AtomicBool>,
    /// Accept nothing more, finish what is in flight.
    stop: CancellationToken,
    /// Drop what is still there.
    cut: CancellationToken,
}

impl App {
    /// Binds every listener, builds the world and starts serving. The crypto provider must be
    /// installed (`client::tls::install_crypto_provider`). Key fetches begin in the background:
    /// live at once, ready when the issuers answered.
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, StartError> {
        descriptors::provide(&config);
        let listeners = Listeners::bind(&config).await?;
        let mut fingerprint_key = [0; 32];
        aws_lc_rs::rand::fill(&mut fingerprint_key).map_err(std::io::Error::other)?;
        let shared = Shared {
            clock,
            handles: Arc::new(Handles::new(Arc::clone(&telemetry))),
            telemetry,
            workers: Workers::start(workers_of(&config))?,
            readiness: Readiness::default(),
            fingerprint_key,
        };
        let background = Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let sweep = Arc::clone(&shared.handles).sweep(background.stop.clone());
        background.tasks.spawn(sweep);
        let world = build(Arc::new(config), &shared, &background, None)?;
        put_into_force(&world);
        let app = Self {
            current: Arc::new(ArcSwap::from_pointee(world)),
            addresses: listeners.addresses()?,
            shared,
            planes: Stoppable::default(),
            watch: Stoppable::default(),
            background,
        };
        app.serve(listeners);
        Ok(app)
    }

    /// Where each plane listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The world in force.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.current.load_full()
    }

    /// Builds a new world beside the old one and swaps it in. Requests in flight finish on the one
    /// they began with; keys, tokens, pools and caches of unchanged definitions are kept. The first
    /// keys of a new issuer are awaited for `jwks.fetch_timeout`; without them the swap goes ahead,
    /// since what else changed must not hang on one issuer. Dropped before, nothing has changed.
    pub async fn reload(&self, config: Config) -> Result<u64, ReloadRefused> {
        let old = self.current.load_full();
        if workers_of(&config).get() != self.shared.workers.count() {
            return Err(ReloadRefused::Workers);
        }
        if let Some(changed) = changed_listener(&old.config, &config) {
            return Err(ReloadRefused::Listener(changed));
        }
        let world = build(Arc::new(config), &self.shared, &self.background, Some(&old))?;
        let patience = world.config.jwks.fetch_timeout;
        let known = async { tokio::join!(world.keys.had_keys(), world.fleet.was_ready()) };
        if tokio::time::timeout(patience, known).await.is_err() {
            tracing::warn!(
                "the new config goes into force before all its issuers have keys, or its deny-list was read"
            );
        }
        let generation = world.generation;
        self.shared.telemetry.apply(&world.config.log);
        let world = Arc::new(world);
        put_into_force(&world);
        self.current.store(Arc::clone(&world));
        old.tls.withdraw(&world.tls);
        Ok(generation)
    }

    /// Serves until a stop signal, reloading from `read` whenever told to, then drains. Files that
    /// `signals` watches already are compared with what was seen of them before this config was read.
    pub async fn run<R>(self, mut signals: Signals, read: R)
    where
        R: Fn() -> Result<Config, String> + Clone + Send + 'static,
    {
        signals.watch_also(&self.world().config.watched).await;
        let mut told = signals.next().await;
        while told == Told::Reload {
            // read after this, so that a change while we read is seen as one
            signals.watch(&self.world().config.watched).await;
            told = tokio::select! {
                () = self.reload_from(read.clone()) => {
                    signals.watch_also(&self.world().config.watched).await;
                    signals.next().await
                }
                // a newer file, or the end, does not wait for a slow issuer
                told = signals.next() => told,
            };
        }
        self.drain(signals).await;
    }

    async fn reload_from(&self, read: impl Fn() -> Result<Config, String> + Send + 'static) {
        let reloaded = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(config)) => self
                .reload(config)
                .await
                .map_err(|refused| refused.to_string()),
            Ok(Err(errors)) => Err(errors),
            Err(panic) => Err(panic.to_string()),
        };
        let generation = self.world().generation;
        self.shared
            .telemetry
            .metrics
            .config_reload(reloaded.is_ok(), generation);
        match reloaded {
            Ok(generation) => tracing::info!(generation, "config reloaded"),
            Err(error) => {
                tracing::error!(generation, "config rejected, the old one goes on: {error}");
            }
        }
    }

    /// The two steps of a shutdown. A second signal cuts at once.
    async fn drain(self, mut signals: Signals) {
        let config::Shutdown { grace, pre_drain } = self.world().config.shutdown;
        let mut left = grace;
        self.shared.readiness.drain();
        self.planes.leaving.store(true, Ordering::Relaxed);
        tracing::info!(?pre_drain, ?grace, "stopping: not ready from now on");
        let orderly = async {
            // a load balancer still sends until it has seen us not ready
            tokio::time::sleep(pre_drain).await;
            self.planes.stop.cancel();
            self.planes.tasks.close();
            let since = Instant::now();
            let finished = tokio::time::timeout(grace, self.planes.tasks.wait()).await;
            left = grace.saturating_sub(since.elapsed());
            finished.is_ok()
        };
        let finished = tokio::select! {
            finished = orderly => finished,
            () = stop_again(&mut signals) => false,
        };
        if !finished {
            tracing::warn!("cutting off what is still open");
            left = CUT_WITHIN;
        }
        self.end(left).await;
    }

    /// Ends everything at once: open connections are cut. A refresh token that is being rotated is
    /// waited for, for the grace of a shutdown.
    pub async fn stop(self) {
        let grace = self.world().config.shutdown.grace;
        self.end(grace).await;
    }

    /// `left` is how long a fetch may take that must not be cut.
    async fn end(self, left: Duration) {
        for served in [&self.planes, &self.watch] {
            served.stop.cancel();
            served.cut.cancel();
            served.tasks.close();
        }
        self.background.stop.cancel();
        self.background.tasks.close();
        let ended = async {
            self.planes.tasks.wait().await;
            self.watch.tasks.wait().await;
        };
        let since = Instant::now();
        let cut = tokio::time::timeout(CUT_WITHIN, ended).await;
        let left = left.max(CUT_WITHIN).saturating_sub(since.elapsed());
        let background = tokio::time::timeout(left, self.background.tasks.wait()).await;
        if cut.and(background).is_err() {
            tracing::warn!("some tasks did not end");
        }
        self.shared.telemetry.close();
    }

    fn serve(&self, listeners: Listeners) {
        let Listeners {
            ingress,
            forward_auth,
            egress,
            admin,
            health,
        } = listeners;
        if let Some(bound) = ingress {
            self.plane(bound, Some(Plane::Ingress), &self.planes, ingress::answer);
        }
        if let Some(bound) = forward_auth {
            self.plane(
                bound,
                Some(Plane::ForwardAuth),
                &self.planes,
                forward_auth::answer,
            );
        }
        if let Some(bound) = egress {
            self.plane(bound, Some(Plane::Egress), &self.planes, egress::answer);
        }
        self.plane(admin, None, &self.watch, |world, request, _downstream| {
            future::ready(admin::answer(&world, &request))
        });
        let readiness = self.shared.readiness.clone();
        self.plane(
            health,
            None,
            &self.watch,
            move |world, request, _downstream| {
                future::ready(health::answer(&world, &readiness, &request))
            },
        );
    }

    /// Starts one accept loop. Each request loads the world once and keeps it.
    fn plane<F>(
        &self,
        bound: Bound,
        plane: Option<Plane>,
        stoppable: &Stoppable,
        answer: impl Fn(Arc<World>, Request<Incoming>, Arc<Downstream>) -> F
        + Clone
        + Send
        + Sync
        + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let current = Arc::clone(&self.current);
        let serving = Serving {
            name: bound.name,
            plane,
            limits: bound.limits,
            world: Some(Arc::clone(&current)),
            telemetry: Arc::clone(&self.shared.telemetry),
            // health and admin answer even if every worker is busy
            workers: plane.map(|_traffic| self.shared.workers.clone()),
            tasks: stoppable.tasks.clone(),
            leaving: Arc::clone(&stoppable.leaving),
            stop: stoppable.stop.clone(),
            cut: stoppable.cut.clone(),
        };
        let service = move |request, downstream| answer(current.load_full(), request, downstream);
        stoppable
            .tasks
            .spawn(accept::serve(bound.socket, serving, service));
    }
}

/// As many as configured, else one for each core the process may use.
fn workers_of(config: &Config) -> NonZeroUsize {
    config
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Waits for a second stop signal.
async fn stop_again(signals: &mut Signals) {
    while signals.next().await != Told::Stop {}
}
