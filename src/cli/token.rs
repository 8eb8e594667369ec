//! `gatepost token NAME`: fetches the token of a credential source and describes it; the first
//! thing to try when egress fails.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::cli::{EXIT_CONFIG, complain, token_file};
use crate::client::aws::{AwsError, AwsKeys};
use crate::client::outgoing::Outgoing;
use crate::client::through::Through;
use crate::client::tls::{self, Trust};
use crate::client::token::{
    Bearer, FetchError, Granted, LifeFrom, NOT_BEARER, SubjectToken, exchange_once,
    fetch_keys_once, fetch_once, peek, refresh_once,
};
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::{
    self, AwsKeySource, AwsSource, ClientAuthentication, ClientCredentials, Config, CredentialKind,
    CredentialSource, ExchangeProfile, OAuthClient, Sources, TokenExchange,
};
use crate::secret::{Secret, SecretSource};

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
                let through = through(config)?;
                let asking = refresh_once(&source.name, definition, &through, now);
                let granted = wait_for(asking)?.map_err(explain)?;
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
    let through = through(config)?;
    wait_for(through.load(source))?.map_err(|error| error.to_string())
}

fn fetch(
    definition: &ClientCredentials,
    config: &Config,
    now: UnixTime,
) -> Result<Granted<Bearer>, String> {
    let through = through(config)?;
    wait_for(fetch_once(definition, &through, now))?.map_err(explain)
}

fn fetch_keys(
    source: &AwsKeySource,
    config: &Config,
    now: UnixTime,
) -> Result<Granted<AwsKeys>, String> {
    let through = through(config)?;
    wait_for(fetch_keys_once(source, &through, now))?.map_err(explain)
}

fn through(config: &Config) -> Result<Through, String> {
    let outgoing = Trust::new(&config.client)
        .and_then(|trust| Outgoing::for_credentials(&config.client, &trust))
        .map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(Through::new(config, outgoing, &clock))
}

fn wait_for<T>(answer: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    Ok(runtime.block_on(answer))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape map_err wants; the error ends here"
)]
fn explain(error: FetchError) -> String {
    match hint(&error) {
        Some(hint) => format!("{error}\n  {hint}"),
        None => error.to_string(),
    }
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
    let through = through(config)?;
    let asking = exchange_once(definition, &through, &subject, actor.as_ref(), now);
    wait_for(asking)?.map_err(explain)
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

/// What is mostly behind an error.
fn hint(error: &FetchError) -> Option<&'static str> {
    let (status, code) = match error {
        FetchError::Refused { status, code, .. } => (status.as_u16(), code.as_deref()),
        FetchError::NoAnswer(_) => {
            return Some("check token_url, [client] proxy and extra_ca_file, and the network");
        }
        FetchError::Aws(AwsError::NoAnswer { .. }) => {
            return Some("check the endpoint, [client] proxy and extra_ca_file, and the network");
        }
        FetchError::Unusable(NOT_BEARER) => {
            return Some(
                "it binds tokens to a key (DPoP, RFC 9449): let this client have plain bearer tokens",
            );
        }
        FetchError::Secret(_)
        | FetchError::Client(_)
        | FetchError::Actor
        | FetchError::Unusable(_)
        | FetchError::Aws(_) => return None,
    };
    match (code, status) {
        (Some("invalid_client"), _) | (None, 401) => Some(
            "client_id, secret or key is wrong, or the endpoint wants another auth_method \
             (client_secret_post, client_secret_basic or private_key_jwt) or, for an assertion, \
             another client_assertion_audience",
        ),
        (Some("invalid_dpop_proof" | "use_dpop_nonce"), _) => Some(
            "it binds tokens to a key (DPoP, RFC 9449): let this client have plain bearer tokens",
        ),
        (Some("invalid_scope"), _) => {
            Some("a scope does not exist or is not assigned to this client")
        }
        (Some("invalid_grant"), _) => Some(
            "the endpoint does not take this user's token: it must be issued for this client, and \
             not have expired, nor be a refresh token that was used already; or it binds tokens to a \
             key (DPoP, RFC 9449)",
        ),
        (Some("interaction_required" | "login_required" | "consent_required"), _) => {
            Some("the endpoint wants this user to sign in again, or to consent")
        }
        (Some("unauthorized_client" | "unsupported_grant_type"), _) => {
            Some("this client may not use this grant")
        }
        (Some("invalid_request" | "invalid_target"), _) => {
            Some("the endpoint misses or refuses a parameter: check scopes, audience and resource")
        }
        (_, 404 | 405) => Some("token_url does not name a token endpoint"),
        (_, 429) => Some("too many token requests: the endpoint's limit is shared by all clients"),
        _other => None,
    }
}

/// Lines of name and value.
struct Table(String);

impl Table {
    fn new(name: &str) -> Self {
        let mut table = Self(String::new());
        table.row("credential", name);
        table
    }

    fn row(&mut self, name: &str, value: &str) {
        // writing to a String cannot fail
        let _infallible = writeln!(self.0, "{name:<12} {value}");
    }

    fn client(&mut self, client: &OAuthClient) {
        self.row("token_url", client.token_url.as_str());
        self.row("client_id", &client.client_id);
        let how = match &client.authentication {
            ClientAuthentication::SecretPost(_) => "client_secret_post",
            ClientAuthentication::SecretBasic(_) => "client_secret_basic",
            ClientAuthentication::PrivateKeyJwt(_) => "private_key_jwt",
            ClientAuthentication::Federated(_) => "private_key_jwt, by somebody else's assertion",
            ClientAuthentication::None => "none",
        };
        self.row("auth_method", how);
    }

    /// Keys by their end and no more: none of them belongs on a screen.
    fn keys(&mut self, granted: &Granted<AwsKeys>, now: UnixTime) {
        let keys = &granted.credential;
        self.row("access key", &format!("…{}", keys.last_four()));
        if let Some(role) = &keys.role_arn {
            // as JSON: somebody else chose the text
            self.row("role", &Value::from(role.as_str()).to_string());
        }
        match granted.life_from {
            LifeFrom::Unstated => self.row("expires at", "not stated"),
            LifeFrom::ExpiresIn | LifeFrom::Exp | LifeFrom::Expiration | LifeFrom::Fleet { .. } => {
                let seconds = granted.life.as_secs();
                self.row("lifetime", &format!("{seconds} s (Expiration)"));
                self.row("expires at", &now.plus(seconds).to_string());
            }
        }
    }

    fn granted(&mut self, granted: &Granted<Bearer>, now: UnixTime) {
        let seconds = granted.life.as_secs();
        let from = match granted.life_from {
            LifeFrom::ExpiresIn => "expires_in",
            LifeFrom::Exp => "the token's exp",
            LifeFrom::Expiration => "Expiration",
            LifeFrom::Unstated => "not stated by the endpoint, assumed",
            LifeFrom::Fleet { .. } => "another sidecar",
        };
        self.row("token type", "Bearer");
        self.row("lifetime", &format!("{seconds} s ({from})"));
        self.row("expires at", &now.plus(seconds).to_string());
        match &granted.scope {
            // as JSON: the endpoint chose the text
            Some(scope) => self.row("scopes", &Value::from(scope.as_str()).to_string()),
            None => self.row("scopes", "not stated"),
        }
    }

    /// Header and claims of a JWT; the token itself only if it is to be shown.
    fn token(&mut self, token: &Secret, show: bool) {
        match peek(token.expose()) {
            Some(jwt) => {
                self.row("format", "JWT");
                self.members(&jwt.header, &["alg", "kid"]);
                self.members(&jwt.claims, &["iss", "aud", "client_id", "scope", "exp"]);
            }
            None => self.row("format", "opaque"),
        }
        if show {
            self.row("token", token.expose());
        }
    }

    fn members(&mut self, object: &Map<String, Value>, names: &[&str]) {
        for name in names {
            if let Some(value) = object.get(*name) {
                let mut text = value.to_string();
                if let ("exp", Some(at)) = (*name, value.as_u64()) {
                    let _infallible = write!(text, " ({})", UnixTime(at));
                }
                self.row(name, &text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn granted() -> Granted<Bearer> {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let token = format!(
            "{}.{}.{}",
            part(r#"{"alg":"RS256","kid":"k\n1"}"#),
            part(
                r#"{"iss":"https://i.test","aud":["a"],"client_id":"c","exp":1700003600,"sub":"private"}"#
            ),
            part("signature")
        );
        Granted {
            credential: Bearer::new(Secret::new(token)).unwrap(),
            life: Duration::from_secs(3600),
            life_from: LifeFrom::ExpiresIn,
            scope: Some("a\u{1b}[2J b".to_owned()),
        }
    }

    fn table(show: bool) -> String {
        let mut table = Table::new("billing");
        let granted = granted();
        table.granted(&granted, UnixTime(1_700_000_000));
        table.token(granted.credential.token(), show);
        table.0
    }

    #[test]
    fn a_token_is_described_and_not_shown() {
        assert_eq!(
            table(false),
            "credential   billing\n\
             token type   Bearer\n\
             lifetime     3600 s (expires_in)\n\
             expires at   2023-11-14T23:13:20Z\n\
             scopes       \"a\\u001b[2J b\"\n\
             format       JWT\n\
             alg          \"RS256\"\n\
             kid          \"k\\n1\"\n\
             iss          \"https://i.test\"\n\
             aud          [\"a\"]\n\
             client_id    \"c\"\n\
             exp          1700003600 (2023-11-14T23:13:20Z)\n"
        );
        assert!(table(true).contains(granted().credential.token().expose()));
    }

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

    #[test]
    fn a_refusal_comes_with_a_hint() {
        for (status, code, words) in [
            (400, Some("invalid_client"), "auth_method"),
            (401, None, "auth_method"),
            (400, Some("invalid_scope"), "scope"),
            (400, Some("unauthorized_client"), "grant"),
            (404, None, "token_url"),
            (429, None, "limit"),
        ] {
            let refused = FetchError::Refused {
                status: http::StatusCode::from_u16(status).unwrap(),
                code: code.map(str::to_owned),
                retry_after: None,
            };
            let hint = hint(&refused).unwrap();
            assert!(hint.contains(words), "{status} {code:?}: {hint}");
        }
    }
}
