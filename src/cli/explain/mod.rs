//! `gatepost explain`: one decision, step by step, from the engine that serves.

mod print;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::print::Explanation;
use crate::app::{Providers, gate_parts, memberships_here, profiles_here};
use crate::authn::KeySet;
use crate::certificate::{self, Certificate};
use crate::cli::complain;
use crate::cli::dev::{DEFAULT_BASE, dev_config};
use crate::cli::offline::{facts, local_keys, local_passwords, refused};
use crate::cli::token_file::{TokenFileError, authorization};
use crate::client::jwks::{Background, KeyEngine};
use crate::client::outgoing::Outgoing;
use crate::client::tls;
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::{self, Config, KeyLocation, Sources};
use crate::gate::{FixedKeys, Gate, Judgement, KeySource};
use crate::request::RequestFacts;
use crate::steps::{Steps as _, Transcript};
use crate::telemetry::Telemetry;

/// Arguments of `gatepost explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 allowed, 1 denied, 2 could not tell or wrong usage.")]
pub struct ExplainArgs {
    /// Method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// Path of the request; a query is ignored
    #[arg(long, value_name = "PATH")]
    path: String,
    /// Host of the request
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// A header of the request; may be repeated
    #[arg(long, value_name = "K: V", value_parser = parse_header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// File with the bearer token; - reads standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the client's certificate, PEM; taken as verified
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// A JWK Set to verify with, for every issuer: nothing is fetched
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The time to decide at: RFC 3339 in UTC, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    now: Option<UnixTime>,
    /// The config; without it what `serve` would take
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The config of the `gatepost dev` that runs with this base port
    #[arg(
        long,
        value_name = "BASE_PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_BASE_TEXT,
        conflicts_with = "config"
    )]
    dev: Option<u16>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// [`DEFAULT_BASE`], as clap wants it.
const DEFAULT_BASE_TEXT: &str = "7400";
const _: () = assert!(DEFAULT_BASE == 7400);

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One line per step
    Text,
    /// One JSON object
    Json,
}

/// Why there is no decision to explain.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Token(#[from] TokenFileError),
    #[error("the client certificate: {0}")]
    Certificate(String),
    #[error("cannot read {}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("issuer {issuer:?}: {why}")]
    KeySet { issuer: String, why: String },
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    #[error("cannot print: {0}")]
    Print(std::io::Error),
}

/// Decides, prints, and tells the outcome as exit code: 0 allow, 1 deny, 2 no decision.
#[must_use]
pub fn run(args: &ExplainArgs) -> ExitCode {
    tls::install_crypto_provider();
    let explained = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ExplainError::Start)
        .and_then(|runtime| runtime.block_on(explain(args)))
        .and_then(|explanation| {
            match args.format {
                Format::Text => explanation.print_text(&mut std::io::stdout().lock()),
                Format::Json => explanation.print_json(&mut std::io::stdout().lock()),
            }
            .map_err(ExplainError::Print)?;
            Ok(explanation.exit_code())
        });
    match explained {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format_args!("gatepost: {error}"));
            ExitCode::from(2)
        }
    }
}

async fn explain(args: &ExplainArgs) -> Result<Explanation, ExplainError> {
    let config = match args.dev {
        Some(base_port) => dev_config(base_port).map_err(|error| error.to_string()),
        None => Sources::read(args.config.as_deref())
            .and_then(|sources| config::load(&sources))
            .map_err(|errors| errors.to_string()),
    }
    .map_err(ExplainError::Config)?;
    let headers = headers(args)?;
    let certificate = match &args.client_certificate {
        Some(path) => Some(certificate(&read(path).await?)?),
        None => None,
    };
    let now = args.now.unwrap_or_else(|| SystemClock.now());
    let keys: Arc<dyn KeySource> = match &args.jwks {
        Some(path) => Arc::new(fixed_keys(&config, path).await?),
        None => fetch_keys(&config).await?,
    };
    // no line is logged, so no fingerprint is seen
    let providers = Providers {
        keys,
        memberships: Arc::new(memberships_here(&config)),
        profiles: profiles_here(&config),
        passwords: local_passwords(&config).map_err(ExplainError::Start)?,
        revocations: None,
    };
    let gate = Gate::new(gate_parts(&config, providers, [0; 32]), None);
    let mut steps = Transcript::default();
    steps.step("time", || now.to_string());
    let judgement = judge(&gate, args, &headers, certificate.as_ref(), now, &mut steps).await;
    Ok(Explanation::new(&config, &headers, judgement, steps, now))
}

/// Asks the gate, and tells of the other routes that the request matches.
async fn judge(
    gate: &Gate,
    args: &ExplainArgs,
    headers: &HeaderMap,
    certificate: Option<&Certificate>,
    now: UnixTime,
    steps: &mut Transcript,
) -> Judgement {
    let facts = match facts(&args.method, &args.host, &args.path, headers, steps) {
        Ok(facts) => RequestFacts {
            certificate,
            ..facts
        },
        Err(denial) => return refused(denial),
    };
    let judgement = gate.check(&facts, now, steps).await;
    let route = judgement.evidence.route.as_ref();
    if let Some(why) = route.and_then(|route| print::why_this_route(gate.routes(), route, &facts)) {
        let found = steps.0.iter().position(|(name, _)| *name == "route");
        steps
            .0
            .insert(found.map_or(0, |at| at + 1), ("route chosen", why));
    }
    judgement
}

/// The request's headers: those given, and `Authorization` from the token file.
fn headers(args: &ExplainArgs) -> Result<HeaderMap, ExplainError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &args.header {
        headers.append(name, value.clone());
    }
    if let Some(path) = &args.token_file {
        headers.append(AUTHORIZATION, authorization(path)?);
    }
    Ok(headers)
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, ExplainError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| ExplainError::File {
            path: path.clone(),
            source,
        })
}

/// The first certificate of a PEM file.
fn certificate(pem: &[u8]) -> Result<Certificate, ExplainError> {
    let chain = certificate::chain(pem)
        .map_err(|error| ExplainError::Certificate(format!("the file {error}")))?;
    let [first, ..] = chain.as_slice() else {
        return Err(ExplainError::Certificate("there is none".to_owned()));
    };
    Certificate::read(first).map_err(|error| ExplainError::Certificate(error.to_string()))
}

/// The JWK Set of `--jwks` for every issuer but those whose key is a local secret or PEM file.
async fn fixed_keys(config: &Config, path: &PathBuf) -> Result<FixedKeys, ExplainError> {
    let json = read(path).await?;
    let mut sets = Vec::with_capacity(config.issuers.len());
    for known in &config.issuers {
        let set = local_keys(known, Some(&json)).await;
        let set = match &known.keys {
            // no JWK Set of its own could be in the file
            KeyLocation::PemByKeyId(_) | KeyLocation::Asked(_) => {
                Ok(set.unwrap_or_else(|_| KeySet::empty()))
            }
            KeyLocation::JwksUrl(_)
            | KeyLocation::Discovery { .. }
            | KeyLocation::JwksFile(_)
            | KeyLocation::PublicKeyFile(_)
            | KeyLocation::Secret(_) => set,
        };
        let set = set.map_err(|why| ExplainError::KeySet {
            issuer: known.issuer.name.to_string(),
            why,
        })?;
        sets.push(Arc::new(set));
    }
    Ok(FixedKeys(sets))
}

/// Keys through the key engine. Waits until each issuer has some, at most as long as a fetch may
/// take; an issuer without keys is `keys_unavailable`, as when serving.
async fn fetch_keys(config: &Config) -> Result<Arc<KeyEngine>, ExplainError> {
    let outgoing = Outgoing::new(&config.client).map_err(ExplainError::Start)?;
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // explain leaves nothing behind on the disk
    let settings = config::Jwks {
        snapshot_dir: None,
        ..config.jwks.clone()
    };
    let engine = Arc::new(KeyEngine::start(
        &config.issuers,
        &settings,
        &outgoing,
        &clock,
        &Telemetry::quiet(),
        &background,
        None,
    ));
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let deadline = tokio::time::sleep(settings.fetch_timeout + Duration::from_secs(1));
    tokio::pin!(deadline);
    while !engine.is_complete() {
        tokio::select! {
            () = &mut deadline => break,
            _tick = look.tick() => {}
        }
    }
    Ok(engine)
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    let name = name
        .trim()
        .parse::<HeaderName>()
        .map_err(|error| error.to_string())?;
    let mut value = value
        .trim()
        .parse::<HeaderValue>()
        .map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        let (name, value) = parse_header("X-User-ID:  a:b ").unwrap();
        assert_eq!(
            (name.as_str(), value.to_str().unwrap()),
            ("x-user-id", "a:b")
        );
        assert!(value.is_sensitive());
        assert!(parse_header("X-User-ID").is_err());
        assert!(parse_header("a b: c").is_err());
    }
}
