//! What to do about an error.

use crate::client::aws::AwsError;
use crate::client::token::{FetchError, NOT_BEARER};

const KEY_BOUND: &str =
    "it binds tokens to a key (DPoP, RFC 9449): let this client have plain bearer tokens";

/// The error, and what is mostly behind it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape map_err wants; the error ends here"
)]
pub(super) fn explain(error: FetchError) -> String {
    match hint(&error) {
        Some(hint) => format!("{error}\n  {hint}"),
        None => error.to_string(),
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
            return Some(KEY_BOUND);
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
        (Some("invalid_dpop_proof" | "use_dpop_nonce"), _) => Some(KEY_BOUND),
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

#[cfg(test)]
mod tests {
    use super::*;

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
