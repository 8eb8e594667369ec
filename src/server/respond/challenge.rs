//! `WWW-Authenticate`: what a client is told to present (RFC 9110 11.6.1), a field for each scheme, since not
//! every client takes a list apart.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::authn::credential::Kind;
use crate::authn::proof::{Bound, dpop};
use crate::authz::Route;
use crate::authz::route::Access;
use crate::config::Config;
use crate::reason::Denial;

/// The schemes of a route, in its order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schemes<'w> {
    bearer: bool,
    /// Tokens with a proof.
    dpop: bool,
    /// The whole challenge.
    basic: Option<&'w HeaderValue>,
    basic_first: bool,
}

impl<'w> Schemes<'w> {
    /// Where no route is known.
    pub(super) const BEARER: Self = Self {
        bearer: true,
        dpop: false,
        basic: None,
        basic_first: false,
    };

    /// Of a protected route; `None` for another.
    pub(super) fn of(config: &'w Config, route: &Route) -> Option<Self> {
        let Access::Protected(asked) = &route.access else {
            return None;
        };
        let place = |kind| asked.accepts.iter().position(|accepted| *accepted == kind);
        let (basic, bearer) = (place(Kind::Basic), place(Kind::Bearer));
        let bound = asked.issuers.iter().filter_map(|&number| {
            let known = config.issuers.get(number)?;
            Some(known.issuer.dpop)
        });
        let takes_proofs = |bound: Bound| bound != Bound::Refused;
        Some(Self {
            bearer: basic.is_none() || bearer.is_some(),
            dpop: bearer.is_some() && bound.into_iter().any(takes_proofs),
            basic: basic.and_then(|_| Some(&config.basic.as_ref()?.challenge)),
            basic_first: basic.is_some_and(|basic| bearer.is_none_or(|bearer| basic < bearer)),
        })
    }

    /// The challenges that go with a denial.
    pub(super) fn challenges(
        &self,
        realm: &HeaderValue,
        denial: &Denial,
        status: StatusCode,
    ) -> impl Iterator<Item = HeaderValue> {
        let refused = status == StatusCode::UNAUTHORIZED;
        let basic = self.basic.filter(|_| refused).cloned();
        let error = token_error(denial, status);
        let proof = *denial == Denial::ProofInvalid;
        let bearer = error.filter(|_| self.bearer && !proof);
        let bearer = bearer.and_then(|error| of_token("Bearer", realm, error, ""));
        let dpop = error.filter(|_| self.dpop || proof);
        let dpop = dpop.and_then(|error| of_token("DPoP", realm, error, &algorithms()));
        let [first, second] = if self.basic_first {
            [basic, bearer]
        } else {
            [bearer, basic]
        };
        [first, dpop, second].into_iter().flatten()
    }
}

/// `error` of RFC 6750 3 and RFC 9449 7.1: none when nothing was presented, or no token was. `None`: no
/// challenge at all.
fn token_error(denial: &Denial, status: StatusCode) -> Option<&'static str> {
    if matches!(denial, Denial::CredentialMissing | Denial::PasswordRefused) {
        Some("")
    } else if *denial == Denial::ScopeMissing {
        Some("insufficient_scope")
    } else if *denial == Denial::ProofInvalid {
        Some("invalid_dpop_proof")
    } else {
        (status == StatusCode::UNAUTHORIZED).then_some("invalid_token")
    }
}

/// `algs` of RFC 9449 5.1.
fn algorithms() -> String {
    let names: Vec<&str> = dpop::ALGORITHMS.iter().map(|name| name.as_str()).collect();
    format!(", algs=\"{}\"", names.join(" "))
}

fn of_token(scheme: &str, realm: &HeaderValue, error: &str, more: &str) -> Option<HeaderValue> {
    let mut challenge = format!("{scheme} realm=\"");
    for character in realm.to_str().unwrap_or_default().chars() {
        if matches!(character, '"' | '\\') {
            challenge.push('\\');
        }
        challenge.push(character);
    }
    challenge.push('"');
    if !error.is_empty() {
        challenge.extend([", error=\"", error, "\""]);
    }
    challenge.push_str(more);
    HeaderValue::from_maybe_shared(Bytes::from(challenge)).ok()
}
