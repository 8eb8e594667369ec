//! `/.gatepost/token/<credential>`: a credential for an app that must set the header itself, and
//! `/.gatepost/aws/<credential>`: keys for an AWS SDK, which reads them as from a container's endpoint
//! (DESIGN §9). Off by default. It hands out what every other answer of egress only uses, so whoever
//! is not surely the app gets nothing, and is not told why.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::user;
use crate::client::aws::container_body;
use crate::client::disk;
use crate::client::token::{For, HandedWhat};
use crate::clock::UnixTime;
use crate::config::TokenEndpoint;
use crate::reason::{Denial, Failure, Refusal};
use crate::request::forwarded::states_origin;
use crate::request::headers::{SEC_FETCH_SITE, single, states_place};
use crate::secret::SecretSource;
use crate::server::World;
use crate::server::accept::Downstream;
use crate::server::account::Account;
use crate::server::body::Body;
use crate::server::plain::Plain;

/// What the app writes in `Authorization` must be hard to guess.
const SHORTEST: usize = 16;

/// Answers a request for `rest`, the path behind `/.gatepost/`.
pub(super) async fn answer(
    world: &World,
    rest: &str,
    head: &Parts,
    downstream: &Downstream,
    account: &mut Account,
) -> Result<Response<Body>, Refusal> {
    let egress = world.config.egress.as_ref();
    let Some(settings) = egress.and_then(|egress| egress.token_endpoint.as_ref()) else {
        return Err(nothing("[egress.token_endpoint] is not configured"));
    };
    refuse_strangers(downstream.peer.ip())?;
    if head.method != Method::GET {
        return Err(Denial::MethodNotAllowed(vec![Method::GET]).into());
    }
    refuse_others(&head.headers)?;
    authenticate(settings, &head.headers).await?;
    let (form, name) = rest.split_once('/').unwrap_or_default();
    let Some(name) = settings.credentials.iter().find(|known| ***known == *name) else {
        return Err(nothing("it names no credential of the list"));
    };
    if form
        != if world.credentials.signs(name) {
            "aws"
        } else {
            "token"
        }
    {
        return Err(nothing("the credential has another form"));
    }
    let user = user::of_handle(world, &head.headers)?;
    account.for_user(user.as_ref().map(|user| &user.proven));
    let call = For {
        // the caller's Authorization is for us, and no credential of its own
        headers: &HeaderMap::new(),
        user: user.as_ref(),
        guarded: false,
    };
    let handed = world.credentials.hand_out(name, &call).await?;
    let now = world.clock.now();
    let told = match &handed.what {
        HandedWhat::Header(header, value) => {
            told(header, value, handed.until, now).ok_or(Failure::InternalError)?
        }
        // keys that do not end are asked for again all the same
        HandedWhat::Keys(keys) => {
            let hour = now.plus(3600);
            container_body(keys, handed.until.map_or(hour, |until| until.min(hour)))
        }
    };
    account.lent(name);
    account.attached();
    Ok(Plain::json(StatusCode::OK, &told).respond(&head.method))
}

/// RFC 6749 5.1 for a bearer token, else the header itself.
fn told(
    header: &HeaderName,
    value: &HeaderValue,
    until: Option<UnixTime>,
    now: UnixTime,
) -> Option<Value> {
    let value = value.to_str().ok()?;
    let token = value
        .strip_prefix("Bearer ")
        .filter(|_token| *header == header::AUTHORIZATION);
    let mut told = match token {
        Some(token) => json!({ "access_token": token, "token_type": "Bearer" }),
        None => json!({ "header": header.as_str(), "value": value }),
    };
    if let (Some(until), Some(told)) = (until, told.as_object_mut()) {
        told.insert("expires_in".to_owned(), until.since(now).into());
    }
    Some(told)
}

/// Whoever is not on this machine is not the app, even where others may use the listener.
fn refuse_strangers(peer: IpAddr) -> Result<(), Refusal> {
    if peer.to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(Denial::PeerUntrusted.into())
    }
}

/// A proxy asks for others, a browser for a page.
fn refuse_others(headers: &HeaderMap) -> Result<(), Refusal> {
    let proxied = |name| states_origin(name) || states_place(name) || *name == header::VIA;
    if headers.keys().any(proxied) {
        return Err(nothing("it came through a proxy"));
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        return Err(nothing("it came from a browser"));
    }
    Ok(())
}

/// `Authorization` is what the file holds at this moment, nothing before or after it.
async fn authenticate(settings: &TokenEndpoint, headers: &HeaderMap) -> Result<(), Refusal> {
    let said = single(headers, &header::AUTHORIZATION)
        .map_err(|_two| nothing("it has two Authorizations"))?
        .ok_or_else(|| nothing("it has no Authorization"))?;
    let file = &settings.authorization_file;
    let expected = match disk::load(&SecretSource::File(file.clone())).await {
        Ok(expected) if expected.expose().len() >= SHORTEST => expected,
        Ok(_short) => {
            tracing::warn!(file = %file.display(), "token endpoint: the file holds fewer than 16 bytes, nothing is served");
            return Err(Denial::EgressTargetRefused.into());
        }
        Err(error) => {
            tracing::warn!(%error, "token endpoint: nothing is served");
            return Err(Denial::EgressTargetRefused.into());
        }
    };
    verify_slices_are_equal(said.as_bytes(), expected.expose().as_bytes())
        .map_err(|_other| nothing("its Authorization is not what the file holds"))
}

/// One answer for everybody; `why` is for our own log.
fn nothing(why: &'static str) -> Refusal {
    tracing::debug!(why, "token endpoint: refused");
    Denial::EgressTargetRefused.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_on_another_machine_is_a_stranger() {
        for (peer, admitted) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.7", false),
            ("::ffff:10.0.0.7", false),
            ("fe80::1", false),
            ("169.254.170.2", false),
        ] {
            let outcome = refuse_strangers(peer.parse().unwrap());
            assert_eq!(outcome.is_ok(), admitted, "{peer}");
        }
    }

    #[test]
    fn a_bearer_token_is_told_as_a_token_endpoint_would_and_a_key_as_its_header() {
        let said = |header: &'static str, value: &'static str, until: Option<u64>| {
            told(
                &HeaderName::from_static(header),
                &HeaderValue::from_static(value),
                until.map(UnixTime),
                UnixTime(1000),
            )
            .unwrap()
        };
        assert_eq!(
            said("authorization", "Bearer t", Some(1300)),
            json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 300 })
        );
        assert_eq!(
            said("authorization", "Bearer t", None),
            json!({ "access_token": "t", "token_type": "Bearer" })
        );
        assert_eq!(
            said("authorization", "Basic dXNlcjpw", None),
            json!({ "header": "authorization", "value": "Basic dXNlcjpw" })
        );
        assert_eq!(
            said("x-key", "Bearer k", None),
            json!({ "header": "x-key", "value": "Bearer k" })
        );
    }
}
