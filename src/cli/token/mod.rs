//! `gatepost token NAME`: fetches the token of a credential source and describes it; the first
//! thing to try when egress fails.

mod hint;
mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::hint::explain;
use self::table::Table;
use crate::cli::{EXIT_CONFIG, complain, token_file};
use crate::client::aws::AwsKeys;
use crate::client::jwks::Background;
use crate::client::outgoing::Outgoing;
use crate::client::through::Through;
use crate::client::tls::{self, Trust};
use crate::client::token::{
    Bearer, Granted, SubjectToken, exchange_once, fetch_keys_once, fetch_once, refresh_once,
};
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::{
    self, AwsKeySource, AwsSource, ClientCredentials, Config, CredentialKind, CredentialSource,
    ExchangeProfile, Sources, TokenExchange,
};
use crate::secret::{Secret, SecretSource};
use crate::telemetry::Telemetry;

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// Name of a `[credentials.NAME]` table
    name: String,
    /// The config file; without it `./gatepost.toml`, `/etc/gatepost/gatepost.toml`, or the
    /// environment only
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For `token_exchange`: a user's token to exchange (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
    /// For `refresh_token`: ask for a token, although that may spend the refresh token
    #[arg(long)]
    refresh: bool,
    /// Print the token itself too
    #[arg(long)]
    show: bool,
}

/// Fetches once and prints what came. Exits 78 on a config error, 1 without a token.
pub fn run(args: &TokenArgs) -> ExitCode {
    tls::install_crypto_provider();
    let read = Sources::read(args.config.as_deref()).and_then(|sources| config::load(&sources));
    let config = match read {
        Ok(config) => config,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match describe(args, &config) {
        Ok(text) => {
            // there is nobody left to tell that stdout is gone
            let _lost = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format_args!("gatepost: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn describe(args: &TokenArgs, config: &Config) -> Result<String, String> {
    let source = find(&config.credentials, &args.name)?;
    let mut text = Table::new(&args.name);
    match &source.kind {
        CredentialKind::ClientCredentials(definition) => {
            text.row("kind", "client_credentials");
            text.client(&definition.client);
            let now = SystemClock.now();
            let granted = fetch(definition, config, now)?;
            text.granted(&granted, now);
            text.token(granted.credential.token(), args.show);
        }
        CredentialKind::RefreshToken(definition) => {
            text.row("kind", "refresh_token");
            text.client(&definition.client);
            if let Some(file) = &definition.state_file {
                text.row("state_file", &file.display().to_string());
            }
            if args.refresh {
                let now = SystemClock.now();
                let asked = ask(config, async |through| {
                    refresh_once(&source.name, definition, through, now).await
                });
                let granted = asked?.map_err(explain)?;
                text.granted(&granted, now);
                text.token(granted.credential.token(), args.show);
            } else {
                load(&definition.refresh_token, config)?;
                let why = "not asked for: that may spend the refresh token. Stop what uses it, then \
                           try with --refresh";
                text.row("token", why);
            }
        }
        CredentialKind::TokenExchange(definition) => {
            text.row("kind", "token_exchange");
            text.row("profile", profile(definition));
            text.client(&definition.client);
            if let Some(file) = &args.subject_token_file {
                let now = SystemClock.now();
                let granted = exchange(definition, config, file, now)?;
                text.granted(&granted, now);
                text.token(granted.credential.token(), args.show);
            } else {
                let how = "made from each user's: try one with --subject-token-file FILE";
                text.row("token", how);
            }
        }
        CredentialKind::StaticToken { token } => {
            text.row("kind", "static_token");
            text.token(&load(token, config)?, args.show);
        }
        CredentialKind::ApiKey {
            header,
            scheme,
            value,
        } => {
            text.row("kind", "api_key");
            text.row("header", header.as_str());
            if let Some(scheme) = scheme {
                text.row("scheme", scheme);
            }
            text.token(&load(value, config)?, args.show);
        }
        CredentialKind::Basic { username, password } => {
            text.row("kind", "basic");
            text.row("username", username);
            let password = load(password, config)?;
            if args.show {
                text.row("password", password.expose());
            }
        }
        CredentialKind::Aws(definition) => {
            text.row("kind", "aws");
            text.row("service", &definition.service);
            text.row("region", &definition.region);
            match &definition.source {
                AwsSource::Own(source) => {
                    let now = SystemClock.now();
                    let granted = fetch_keys(source, config, now)?;
                    text.keys(&granted, now);
                }
                AwsSource::IdentityPool(pool) => {
                    text.row("pool", &pool.id);
                    text.row("keys", "each user's own: there is nothing to fetch");
                }
            }
        }
        CredentialKind::PassThrough => {
            text.row("kind", "pass_through");
            text.row("token", "the caller's own: there is nothing to fetch");
        }
    }
    Ok(text.0)
}

fn find<'c>(sources: &'c [CredentialSource], name: &str) -> Result<&'c CredentialSource, String> {
    sources
        .iter()
        .find(|source| *source.name == *name)
        .ok_or_else(|| {
            let names: Vec<_> = sources.iter().map(|source| &*source.name).collect();
            match names.as_slice() {
                [] => "the config has no [credentials] table".to_owned(),
                names => format!(
                    "there is no [credentials.{name}]; there are {}",
                    names.join(", ")
                ),
            }
        })
}

fn load(source: &SecretSource, config: &Config) -> Result<Secret, String> {
    let loaded = ask(config, async |through| through.load(source, None).await);
    loaded?.map_err(|error| error.to_string())
}

fn fetch(
    definition: &ClientCredentials,
    config: &Config,
    now: UnixTime,
) -> Result<Granted<Bearer>, String> {
    let asked = ask(config, async |through| {
        fetch_once(definition, through, now).await
    });
    asked?.map_err(explain)
}

fn fetch_keys(
    source: &AwsKeySource,
    config: &Config,
    now: UnixTime,
) -> Result<Granted<AwsKeys>, String> {
    let asked = ask(config, async |through| {
        fetch_keys_once(source, through, now).await
    });
    asked?.map_err(explain)
}

/// Asks through what `serve` would ask through.
fn ask<T>(config: &Config, asking: impl AsyncFnOnce(&Through) -> T) -> Result<T, String> {
    let outgoing = Trust::new(&config.client)
        .and_then(|trust| Outgoing::for_credentials(&config.client, &trust))
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    Ok(runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let background = Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let telemetry = Telemetry::quiet();
        asking(&Through::new(
            config,
            outgoing,
            &clock,
            &telemetry,
            &background,
            None,
        ))
        .await
    }))
}

fn profile(definition: &TokenExchange) -> &'static str {
    match definition.profile {
        ExchangeProfile::Rfc8693(_) => "rfc8693",
        ExchangeProfile::EntraOnBehalfOf => "entra_on_behalf_of",
    }
}

/// Exchanges the token in `file`, by the actor that the definition names.
fn exchange(
    definition: &TokenExchange,
    config: &Config,
    file: &Path,
    now: UnixTime,
) -> Result<Granted<Bearer>, String> {
    let subject = token_file::read(file).map_err(|error| error.to_string())?;
    let subject = SubjectToken::new(subject.expose().as_bytes(), UnixTime(u64::MAX))
        .ok_or("the token cannot stand in a header")?;
    let actor = match &definition.profile {
        ExchangeProfile::Rfc8693(parameters) => parameters.actor.as_deref(),
        ExchangeProfile::EntraOnBehalfOf => None,
    };
    let actor = match actor {
        Some(name) => Some(actors_token(config, name, now)?),
        None => None,
    };
    let asked = ask(config, async |through| {
        exchange_once(definition, through, &subject, actor.as_ref(), now).await
    });
    asked?.map_err(explain)
}

fn actors_token(config: &Config, name: &str, now: UnixTime) -> Result<Secret, String> {
    match &find(&config.credentials, name)?.kind {
        CredentialKind::ClientCredentials(definition) => {
            let granted = fetch(definition, config, now)?;
            Ok(granted.credential.token().clone())
        }
        CredentialKind::StaticToken { token } => load(token, config),
        CredentialKind::RefreshToken(_) => Err(format!(
            "{name} is not asked here: that may spend its refresh token"
        )),
        CredentialKind::TokenExchange(_)
        | CredentialKind::ApiKey { .. }
        | CredentialKind::Basic { .. }
        | CredentialKind::Aws(_)
        | CredentialKind::PassThrough => Err(format!("{name} has no token of its own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let source = |name: &str| CredentialSource {
            name: name.into(),
            kind: CredentialKind::PassThrough,
            issuers: vec![],
        };
        assert_eq!(
            find(&[source("a"), source("b")], "c").unwrap_err(),
            "there is no [credentials.c]; there are a, b"
        );
        assert!(find(&[], "c").is_err());
        assert!(find(&[source("a")], "a").is_ok());
    }
}
