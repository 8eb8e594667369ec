//! `gatepost serve`: runs the planes the config names.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::app::App;
use crate::cli::{EXIT_CONFIG, complain};
use crate::client::tls;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Sources};
use crate::lifecycle::Signals;
use crate::telemetry::{Telemetry, events};

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The config file; without it `./gatepost.toml`, `/etc/gatepost/gatepost.toml`, or the
    /// environment only
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs until a stop signal. Exits 78 on a config error, 1 on a failed start.
pub fn run(args: &ServeArgs) -> ExitCode {
    tls::install_crypto_provider();
    let config = match read(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    events::init_events(&config.log);
    for warning in &config.warnings {
        tracing::warn!(key = warning.key, "{}", warning.message);
    }
    match serve(args, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("gatepost: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &ServeArgs, config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let file = args.config.clone();
    let read = move || read(file.as_deref());
    // connections are served by `server::workers`; this runtime accepts them, and does the rest
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        // read again after the files' contents were noted: a change in between is then either in
        // this config, or seen as a change
        signals.watch(&config.watched).await;
        let config = read().unwrap_or_else(|errors| {
            tracing::error!("config changed for the worse while starting: {errors}");
            config
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let telemetry = Telemetry::new(&config.log, Arc::clone(&clock));
        let app = App::start(config, clock, telemetry).await?;
        app.run(signals, read).await;
        Ok(())
    });
    // a resolver that hangs cannot be interrupted, and holds up no stop
    runtime.shutdown_background();
    served
}

fn read(file: Option<&Path>) -> Result<Config, String> {
    Sources::read(file)
        .and_then(|sources| config::load(&sources))
        .map_err(|errors| errors.to_string())
}
