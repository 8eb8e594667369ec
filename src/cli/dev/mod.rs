//! `gatepost dev`: the two-minute start. An embedded issuer, an echo upstream and every plane, on
//! loopback only, from a config compiled in; and lines to paste.

mod echo;
mod issuer;
mod lines;
mod ports;
mod token;
mod tokens;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::issuer::Issuer;
use self::ports::{Bound, Ports};
pub use self::ports::{DEFAULT_BASE, PortsError};
use self::token::TokenArgs;
use crate::app::{App, StartError};
use crate::cli::complain;
use crate::client::outgoing::Outgoing;
use crate::client::tls;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, ConfigErrors, SourceFile, Sources};
use crate::lifecycle::Signals;
use crate::server::accept::{self, Downstream, Serving};
use crate::server::body::Body;
use crate::telemetry::{Telemetry, events};

/// A token request is a hundred bytes.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// How long the planes may take until they are ready: the issuer is in this process.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Arguments of `gatepost dev`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    /// First of ten ports on 127.0.0.1; 0 takes any ten that are free
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_BASE)]
    base_port: u16,
    #[command(subcommand)]
    command: Option<DevCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum DevCommand {
    /// Print a token from a running `gatepost dev`
    Token(TokenArgs),
}

/// Why `gatepost dev` does not run.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error(transparent)]
    Ports(#[from] PortsError),
    #[error("the compiled-in config is refused: {0}")]
    Config(#[from] DevConfigError),
    #[error("cannot make the issuer's keys")]
    Keys(#[from] aws_lc_rs::error::Unspecified),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("not ready after {} s; the log above says why", READY_WITHIN.as_secs())]
    NotReady,
}

/// The config of the `gatepost dev` with this base port.
pub(crate) fn dev_config(base_port: u16) -> Result<Config, DevConfigError> {
    let ports = Ports::new(base_port)?;
    // no environment: nothing can move a plane off loopback
    let sources = Sources {
        file: Some(SourceFile {
            name: "config/dev.toml".to_owned(),
            path: None,
            text: ports.config(),
        }),
        ..Sources::default()
    };
    Ok(config::load(&sources)?)
}

/// Why there is no dev config.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevConfigError {
    #[error(transparent)]
    Ports(#[from] PortsError),
    #[error(transparent)]
    Refused(#[from] ConfigErrors),
}

/// Runs until it is told to stop, or prints a token.
#[must_use]
pub fn run(args: &DevArgs) -> ExitCode {
    if let Some(DevCommand::Token(args)) = &args.command {
        return token::run(args);
    }
    tls::install_crypto_provider();
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DevError::Io)
        .and_then(|runtime| runtime.block_on(serve(args.base_port)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("gatepost: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(base_port: u16) -> Result<(), DevError> {
    let (ports, bound) = if base_port == 0 {
        Ports::find_free()?
    } else {
        let ports = Ports::new(base_port)?;
        (ports, ports.bind()?)
    };
    let config = dev_config(ports.base())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let beside = Beside::start(ports, bound, &config, Arc::clone(&clock))?;
    events::init_events(&config.log);
    let telemetry = Telemetry::new(&config.log, Arc::clone(&clock));
    let app = App::start(config, clock, telemetry).await?;
    // before anything is printed: from then on Ctrl-C stops cleanly
    let signals = Signals::listen()?;
    await_ready(ports).await?;
    let program = std::env::current_exe()?;
    // what curl reads for an http:// address
    let proxied = ["http_proxy", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some());
    io::stdout().write_all(lines::render(ports, &program, proxied).as_bytes())?;
    let read = move || dev_config(ports.base()).map_err(|error| error.to_string());
    app.run(signals, read).await;
    beside.stop().await;
    Ok(())
}

/// Issuer and echo: what stands beside the planes in this process.
struct Beside {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Beside {
    fn start(
        ports: Ports,
        bound: Bound,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DevError> {
        let beside = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let issuer = Arc::new(Issuer::new(&ports.issuer(), clock)?);
        let limits = &config.health;
        beside.listen(
            "issuer",
            bound.issuer,
            limits,
            move |request, _downstream| ask_issuer(Arc::clone(&issuer), request),
        )?;
        beside.listen("echo", bound.echo, limits, |request, _downstream| {
            ask_echo(request)
        })?;
        Ok(beside)
    }

    fn listen<S, F>(
        &self,
        name: &'static str,
        listener: TcpListener,
        limits: &config::Listener,
        service: S,
    ) -> io::Result<()>
    where
        S: Fn(Request<Incoming>, Arc<Downstream>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let serving = Serving {
            name,
            plane: None,
            limits: limits.clone(),
            // their requests are none of Gatepost's
            world: None,
            telemetry: Telemetry::quiet(),
            workers: None,
            tasks: self.tasks.clone(),
            leaving: Arc::default(),
            stop: self.stop.clone(),
            cut: self.stop.clone(),
        };
        self.tasks.spawn(accept::serve(listener, serving, service));
        Ok(())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn ask_issuer(issuer: Arc<Issuer>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match Limited::new(body, MAX_FORM_BYTES).collect().await {
        Ok(form) => issuer.answer(&parts, &form.to_bytes()).map(Body::full),
        Err(_too_large_or_lost) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            response
        }
    }
}

async fn ask_echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    let mut received = 0;
    while let Some(Ok(frame)) = body.frame().await {
        received += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    echo::answer(&parts, received).map(Body::full)
}

/// Waits until `/readyz` says yes, so that every printed line works at once.
async fn await_ready(ports: Ports) -> Result<(), DevError> {
    let url = format!("{}/readyz", ports.origin(4));
    let url = url.parse().map_err(io::Error::other)?;
    let outgoing = Outgoing::new(&config::Client::default())?;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let ready = async {
        loop {
            look.tick().await;
            let asked = outgoing.get(&url, READY_WITHIN, MAX_FORM_BYTES).await;
            if asked.is_ok_and(|fetched| fetched.status == StatusCode::OK) {
                return;
            }
        }
    };
    tokio::time::timeout(READY_WITHIN, ready)
        .await
        .map_err(|_elapsed| DevError::NotReady)
}
