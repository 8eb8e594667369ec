//! `gatepost dev token`: a token from a running dev issuer, for scripts and curl lines.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::cli::complain;
use crate::cli::dev::ports::{DEFAULT_BASE, Ports, PortsError};
use crate::cli::dev::tokens::{APP, SERVICE, SERVICE_SCOPES};
use crate::client::outgoing::{FetchError, Outgoing};
use crate::client::tls;
use crate::config;
use crate::secret::Secret;

/// How long the issuer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// A token answer is two kilobytes.
const MAX_BYTES: usize = 64 * 1024;

/// Arguments of `gatepost dev token`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// The user: ada (groups admins, readers) or bob (readers)
    #[arg(long, value_name = "NAME", default_value = "ada")]
    user: String,
    /// A token of the client dev-service instead (client credentials)
    #[arg(long, conflicts_with_all = ["user", "id"])]
    service: bool,
    /// The user's ID token instead of the access token
    #[arg(long)]
    id: bool,
    /// Scopes of the service's token, separated by blanks; all if not given
    #[arg(long, value_name = "SCOPES", requires = "service")]
    scope: Option<String>,
    /// Base port of the running `gatepost dev`
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_BASE)]
    base_port: u16,
    /// Scheme, host and port of the issuer, instead of the base port; loopback only
    #[arg(long, value_name = "URL", conflicts_with = "base_port")]
    issuer: Option<Url>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error(transparent)]
    Ports(#[from] PortsError),
    #[error("{0} is not a loopback address: the dev issuer is for this machine only")]
    NotLoopback(String),
    #[error("not a URL: {0}")]
    Url(#[from] url::ParseError),
    #[error("cannot build the HTTP client: {0}")]
    Client(std::io::Error),
    #[error("no dev issuer answers at {at} ({why}); start it: gatepost dev")]
    Unreachable { at: String, why: FetchError },
    #[error("the dev issuer refused: {0}")]
    Refused(String),
    #[error("the dev issuer sent no token")]
    NoToken,
    #[error("cannot print: {0}")]
    Print(std::io::Error),
}

/// Prints one token and a line break, nothing else.
pub(super) fn run(args: &TokenArgs) -> ExitCode {
    tls::install_crypto_provider();
    let token = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TokenError::Client)
        .and_then(|runtime| runtime.block_on(fetch(args)))
        .and_then(|token| {
            writeln!(std::io::stdout(), "{}", token.expose()).map_err(TokenError::Print)
        });
    match token {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("gatepost: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn fetch(args: &TokenArgs) -> Result<Secret, TokenError> {
    let url = token_url(args)?;
    let mut form = if args.service {
        vec![
            ("grant_type", "client_credentials"),
            ("client_id", SERVICE.id),
            ("client_secret", SERVICE.secret.unwrap_or_default()),
        ]
    } else {
        vec![
            ("grant_type", "password"),
            ("client_id", APP.id),
            ("username", args.user.as_str()),
            ("password", args.user.as_str()),
        ]
    };
    let all = SERVICE_SCOPES.join(" ");
    if args.service {
        form.push(("scope", args.scope.as_deref().unwrap_or(&all)));
    }
    let fetched = Outgoing::new(&config::Client::default())
        .map_err(TokenError::Client)?
        .post_form(&url, &form, None, DEADLINE, MAX_BYTES)
        .await
        .map_err(|why| TokenError::Unreachable {
            at: url.origin().ascii_serialization(),
            why,
        })?;
    let answer: Value =
        serde_json::from_slice(&fetched.body).map_err(|_not_json| TokenError::NoToken)?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(code) = text("error") {
        return Err(TokenError::Refused(code));
    }
    text(if args.id { "id_token" } else { "access_token" })
        .map(Secret::new)
        .ok_or(TokenError::NoToken)
}

fn token_url(args: &TokenArgs) -> Result<Url, TokenError> {
    let mut url = match &args.issuer {
        Some(url) => url.clone(),
        None => Url::parse(&Ports::new(args.base_port)?.issuer())?,
    };
    if !config::is_loopback(&url) || url.scheme() != "http" {
        return Err(TokenError::NotLoopback(url.origin().ascii_serialization()));
    }
    url.set_path("/oauth2/token");
    url.set_query(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(issuer: &str) -> TokenArgs {
        TokenArgs {
            user: "ada".to_owned(),
            service: false,
            id: false,
            scope: None,
            base_port: DEFAULT_BASE,
            issuer: Some(issuer.parse().unwrap()),
        }
    }

    #[test]
    fn the_issuer_is_on_loopback() {
        for (issuer, url) in [
            (
                "http://127.0.0.1:7408",
                Some("http://127.0.0.1:7408/oauth2/token"),
            ),
            (
                "http://[::1]:99/pool?x",
                Some("http://[::1]:99/oauth2/token"),
            ),
            ("http://localhost", Some("http://localhost/oauth2/token")),
            ("http://10.0.0.1:7408", None),
            ("http://localhost.example.com", None),
            ("https://127.0.0.1:7408", None),
        ] {
            let found = token_url(&args(issuer)).ok().map(String::from);
            assert_eq!(found.as_deref(), url, "{issuer}");
        }
    }
}
