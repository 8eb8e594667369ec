//! Whether a request is signed as it arrived: AWS's side of Signature Version 4. Our own signatures are
//! botocore's (`sigv4.rs`), so what signs them checks them.

use std::time::UNIX_EPOCH;

use gatepost::client::aws::AwsKeys;
use gatepost::client::aws::sigv4::{Payload, Scope, sign};
use gatepost::clock::UnixTime;
use gatepost::secret::Secret;
use http::Request;

use crate::support::issuer::now;
use crate::support::upstream::Recorded;

/// A temporary key set.
pub(super) fn keys(id: &str) -> AwsKeys {
    let secret = |what: &str| Secret::new(format!("{what}-of-{id}"));
    let keys = AwsKeys::new(id.to_owned(), secret("secret"), Some(secret("token")), None);
    keys.expect("keys")
}

/// Signed with these keys for this service of `eu-west-1`, within the last minutes.
pub(super) fn is_signed(request: &Recorded, keys: &AwsKeys, service: &str) -> bool {
    let authorization = request.header("authorization");
    let stated = request.header("x-amz-date");
    let names = authorization
        .split_once("SignedHeaders=")
        .and_then(|(_, rest)| rest.split_once(','));
    let (Some((names, _)), Some(at)) = (names, moment(stated)) else {
        return false;
    };
    if now().abs_diff(at.0) > 300 {
        return false;
    }
    let mut head = Request::builder()
        .method(request.method.clone())
        .uri(request.uri.clone());
    for name in names.split(';') {
        for value in request.headers.get_all(name) {
            head = head.header(name, value);
        }
    }
    let (mut head, ()) = head.body(()).expect("a request").into_parts();
    let scope = Scope {
        region: "eu-west-1",
        service,
    };
    sign(&mut head, Payload::Whole(&request.body), keys, scope, at).expect("signed");
    let token = keys.session_token.as_ref().map_or("", Secret::expose);
    head.headers["authorization"] == authorization
        && request.header("x-amz-security-token") == token
}

/// `20261122T153000Z`
fn moment(text: &str) -> Option<UnixTime> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    let at = humantime::parse_rfc3339(&text).ok()?;
    Some(UnixTime(at.duration_since(UNIX_EPOCH).ok()?.as_secs()))
}
