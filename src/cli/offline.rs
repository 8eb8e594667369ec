//! What `explain` and `test` share: a request that nobody sent, judged on this machine alone.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::password_parts;
use crate::authn::KeySet;
use crate::authz::{Decision, Route};
use crate::client::jwks::Background;
use crate::config::{BasicUsers, Config, IssuerConfig, KeyLocation};
use crate::gate::{Evidence, Judgement, PasswordParts};
use crate::reason::Denial;
use crate::request::{Host, OwnedHeaders, Path, RequestFacts};
use crate::steps::{Steps as _, Transcript};
use crate::store::passwords::{FileUsers, PasswordStore};
use crate::telemetry::Telemetry;

/// What every front end does first: read host and path strictly.
pub(super) fn facts<'r>(
    method: &'r Method,
    host: &'r str,
    path: &'r str,
    headers: &'r HeaderMap,
    steps: &mut Transcript,
) -> Result<RequestFacts<'r>, Denial> {
    if method == Method::TRACE || method == Method::CONNECT {
        steps.step("request", || format!("{method} is never carried"));
        return Err(Denial::MethodNotAllowed(Vec::new()));
    }
    let host = Host::parse(host)
        .inspect_err(|_denial| steps.step("request", || "the host is malformed".to_owned()))?;
    let path = path.split_once('?').map_or(path, |(path, _query)| path);
    let path = Path::parse(path).inspect_err(|_denial| {
        steps.step("request", || {
            "the path could be read in two ways".to_owned()
        });
    })?;
    Ok(RequestFacts {
        method,
        host,
        path,
        headers,
        client: None,
        certificate: None,
    })
}

/// A denial that no route was asked for.
pub(super) fn refused(denial: Denial) -> Judgement {
    Judgement {
        outcome: Ok(Decision::Deny(denial)),
        evidence: Evidence::default(),
    }
}

/// The keys of an issuer, with nothing fetched: `jwks` in place of its key set, but a local secret or
/// PEM file where it has one. On error, why there are none.
pub(super) async fn local_keys(
    known: &IssuerConfig,
    jwks: Option<&[u8]>,
) -> Result<KeySet, String> {
    let algorithms = &known.issuer.algorithms;
    let read = async |path: &std::path::Path| {
        tokio::fs::read(path)
            .await
            .map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let set = match (&known.keys, jwks) {
        (KeyLocation::Asked(_), _) => {
            return Err("it is asked about its tokens, and not from here".to_owned());
        }
        (KeyLocation::PublicKeyFile(pem), _) => KeySet::from_pem(&read(pem).await?, algorithms),
        (KeyLocation::Secret(source), _) => {
            let secret = source.load().map_err(|error| error.to_string())?;
            KeySet::from_secret(&secret, algorithms)
        }
        (_set, Some(json)) => KeySet::parse(json, algorithms),
        (KeyLocation::JwksFile(path), None) => KeySet::parse(&read(path).await?, algorithms),
        (
            KeyLocation::JwksUrl(_) | KeyLocation::Discovery { .. } | KeyLocation::PemByKeyId(_),
            None,
        ) => {
            return Err("they are at the issuer".to_owned());
        }
    };
    set.map_err(|error| error.to_string())
}

/// What verifies the passwords of a file, which is on this machine; nobody is locked out of anything.
pub(super) fn local_passwords(config: &Config) -> std::io::Result<Option<PasswordParts>> {
    let Some(basic) = &config.basic else {
        return Ok(None);
    };
    let users = match &basic.users {
        BasicUsers::File(users) => Arc::new(FileUsers(Arc::clone(users))),
        // nobody is asked from here
        BasicUsers::Sql(_) => return Ok(None),
    };
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let store = PasswordStore::start(basic, users, &Telemetry::quiet(), &background, None)?;
    Ok(password_parts(config, Some(&store)))
}

/// Names of the given headers that are taken out before the upstream sees the request.
pub(super) fn removed(
    config: &Config,
    route: Option<&Route>,
    given: &HeaderMap,
) -> Vec<HeaderName> {
    let of_route = route
        .and_then(|route| route.forward.as_ref())
        .map_or(&[][..], |forward| &*forward.strip);
    let strip: Vec<HeaderName> = config.strip.iter().chain(of_route).cloned().collect();
    let pass_overrides = route.is_some_and(|route| route.pass_overrides);
    let owned = OwnedHeaders::new(&config.identity, &strip, pass_overrides);
    given
        .keys()
        .filter(|name| owned.owns(name))
        .cloned()
        .collect()
}
