//! Whose an error of the endpoint is: everybody's (it is away, wants to be left alone, or does not
//! know us), or this user's alone.

use http::StatusCode;

use crate::client::token::FetchError;

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concerns {
    /// It would meet any other user too.
    Everyone,
    /// It need not.
    OneUser,
    /// The endpoint does not say which: `401` without a code means our client to some, the user's
    /// token to others.
    Unclear,
}

/// Whom this failure concerns.
pub(super) fn concerns(error: &FetchError) -> Concerns {
    let is_everyones = match error {
        FetchError::Refused {
            status: StatusCode::UNAUTHORIZED,
            code: None,
            retry_after: None,
        } => return Concerns::Unclear,
        FetchError::Refused {
            status,
            retry_after,
            ..
        } => {
            status.is_server_error()
                || *status == StatusCode::TOO_MANY_REQUESTS
                || retry_after.is_some()
                || error.is_invalid_client()
        }
        FetchError::Aws(error) => error.concerns_everyone(),
        // a single answer may be odd
        FetchError::Unusable(_) => false,
        FetchError::Secret(_)
        | FetchError::Client(_)
        | FetchError::NoAnswer(_)
        | FetchError::Actor => true,
    };
    if is_everyones {
        Concerns::Everyone
    } else {
        Concerns::OneUser
    }
}

/// What the app is told if the endpoint refuses this user, and nobody else: no outage, and nothing
/// that asking again would change. RFC 6749 5.2, OpenID Connect Core 3.1.2.6; Entra says
/// `interaction_required` too where a policy wants another factor. `invalid_request` is none of
/// them: it mostly says that we ask in a wrong way.
pub(super) fn refused(error: &FetchError) -> Option<&'static str> {
    let code = match error {
        FetchError::Refused {
            status: StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
            code: Some(code),
            ..
        } => code,
        FetchError::Aws(error) => return error.refuses_user(),
        FetchError::Refused { .. }
        | FetchError::Secret(_)
        | FetchError::Client(_)
        | FetchError::Actor
        | FetchError::NoAnswer(_)
        | FetchError::Unusable(_) => return None,
    };
    match code.as_str() {
        "invalid_grant" => Some("The token endpoint does not take this user's token."),
        "access_denied" => Some("The token endpoint denies this user access."),
        "interaction_required" | "login_required" | "consent_required" => {
            Some("The token endpoint wants the user to sign in again, or to consent.")
        }
        _other => None,
    }
}
