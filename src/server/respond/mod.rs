//! The only writer of error responses: a [`Denial`] or [`Failure`] in, a status, a challenge and a
//! body in the client's format out (DESIGN §6).

mod challenge;
mod early;
mod format;

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use self::challenge::Schemes;
pub(super) use self::early::{early, early_bytes, panicked};
use self::format::{Told, accepted, body, told};
use crate::authz::Route;
use crate::client::pool::SendError;
use crate::config::{Config, ErrorFormat, Errors};
use crate::reason::{Denial, Failure, Refusal};
use crate::server::body::Body;

/// The reason code, where the status alone does not tell it: to a proxy that maps every other status,
/// and to the app.
pub(super) const X_AUTH_REASON: HeaderName = HeaderName::from_static("x-auth-reason");

/// Writes the error response to one request.
#[derive(Debug)]
pub struct Responder<'w> {
    errors: &'w Errors,
    format: ErrorFormat,
    head: bool,
    grpc: bool,
    message: Option<&'static str>,
    schemes: Schemes<'w>,
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        error.blame().map_or_else(Self::Failed, Self::Denied)
    }
}

impl<'w> Responder<'w> {
    /// For a request with this method and these headers: `Accept` chooses the body's format,
    /// else `errors.format`. A gRPC client is told by the status alone.
    #[must_use]
    pub fn new(errors: &'w Errors, method: &Method, headers: &HeaderMap) -> Self {
        Self {
            errors,
            format: accepted(headers, errors.format),
            head: *method == Method::HEAD,
            grpc: is_grpc(headers),
            message: None,
            schemes: Schemes::BEARER,
        }
    }

    /// A 401 names what this route accepts, in its order.
    #[must_use]
    pub fn on(mut self, config: &'w Config, route: Option<&Route>) -> Self {
        if let Some(schemes) = route.and_then(|route| Schemes::of(config, route)) {
            self.schemes = schemes;
        }
        self
    }

    /// Says this instead of the status's own message. Needs no JSON escape.
    #[must_use]
    pub fn saying(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    /// The response to a refusal.
    #[must_use]
    pub fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        match refusal {
            Refusal::Denied(denial) => self.deny(denial),
            Refusal::Failed(failure) => self.fail(failure),
        }
    }

    /// The response to a denial.
    #[must_use]
    pub fn deny(&self, denial: &Denial) -> Response<Body> {
        self.deny_as(denial, status_of(denial))
    }

    /// The same with another status: forward auth's dialects know only some.
    #[must_use]
    pub fn deny_as(&self, denial: &Denial, status: StatusCode) -> Response<Body> {
        let presented = *denial != Denial::CredentialMissing;
        let mut response = self.respond(status, denial.reason(), presented);
        let headers = response.headers_mut();
        let realm = &self.errors.realm;
        let challenges = self.schemes.challenges(realm, denial, status);
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        if let Denial::LockedOut { retry_after } | Denial::RateLimited { retry_after } = denial {
            retry_later(headers, *retry_after);
        }
        if let Denial::MethodNotAllowed(methods) = denial {
            let list = methods
                .iter()
                .map(Method::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            if let Ok(list) = HeaderValue::from_maybe_shared(Bytes::from(list)) {
                headers.insert(header::ALLOW, list);
            }
        }
        response
    }

    /// The response to a failure: 5xx, with `Retry-After` where trying again may help.
    #[must_use]
    pub fn fail(&self, failure: &Failure) -> Response<Body> {
        let status = match failure {
            Failure::IssuerUnavailable { .. }
            | Failure::KeysUnavailable { .. }
            | Failure::MembershipsUnavailable { .. }
            | Failure::EgressTokenUnavailable { .. }
            | Failure::LoginUnavailable { .. }
            | Failure::PasswordsUnavailable { .. }
            | Failure::RevocationsUnavailable { .. }
            | Failure::UpstreamOverloaded
            | Failure::UpstreamUnreachable => StatusCode::SERVICE_UNAVAILABLE,
            Failure::LoginUnusable | Failure::UpstreamProtocol => StatusCode::BAD_GATEWAY,
            Failure::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Failure::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.fail_as(failure, status)
    }

    /// The same with another status.
    #[must_use]
    pub fn fail_as(&self, failure: &Failure, status: StatusCode) -> Response<Body> {
        let retry_after = match failure {
            Failure::IssuerUnavailable { retry_after }
            | Failure::KeysUnavailable { retry_after }
            | Failure::MembershipsUnavailable { retry_after }
            | Failure::LoginUnavailable { retry_after }
            | Failure::PasswordsUnavailable { retry_after }
            | Failure::EgressTokenUnavailable { retry_after }
            | Failure::RevocationsUnavailable { retry_after } => Some(*retry_after),
            Failure::UpstreamUnreachable
            | Failure::UpstreamOverloaded
            | Failure::UpstreamProtocol
            | Failure::UpstreamTimeout => Some(Duration::from_secs(1)),
            Failure::LoginUnusable | Failure::InternalError => None,
        };
        let mut response = self.respond(status, failure.reason(), true);
        if let Some(after) = retry_after {
            retry_later(response.headers_mut(), after);
        }
        response
    }

    fn told(&self, status: StatusCode, presented: bool) -> Told {
        let told = told(status, presented);
        let message = self.message.unwrap_or(told.message);
        let simple = self.message.unwrap_or(told.simple);
        Told {
            message,
            simple,
            ..told
        }
    }

    fn respond(&self, status: StatusCode, reason: &'static str, presented: bool) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        // the head ends the stream then: a client that still sends is reset, and a body would race with that
        if !self.grpc {
            let (content_type, body) = body(
                self.format,
                self.told(status, presented),
                status,
                self.errors.expose_reason.then_some(reason),
            );
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            if !self.head {
                *response.body_mut() = Body::full(body);
            }
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Whether these are the headers of a gRPC call: `application/grpc`, whatever its messages are.
fn is_grpc(headers: &HeaderMap) -> bool {
    let is_grpc = |value: &HeaderValue| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    };
    headers.get_all(header::CONTENT_TYPE).iter().any(is_grpc)
}

/// `Retry-After`, in whole seconds, rounded up: never "now".
fn retry_later(headers: &mut HeaderMap, after: Duration) {
    let seconds = after.as_millis().div_ceil(1000).max(1);
    if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
        headers.insert(header::RETRY_AFTER, seconds);
    }
}

/// The status of a denial, outside forward auth's dialects.
#[must_use]
pub fn status_of(denial: &Denial) -> StatusCode {
    match denial {
        Denial::CredentialAmbiguous
        | Denial::HostInvalid
        | Denial::PathAmbiguous
        | Denial::RequestMalformed => StatusCode::BAD_REQUEST,
        Denial::AlgorithmRefused
        | Denial::AudienceMismatch
        | Denial::CredentialMissing
        | Denial::IssuerUnknown
        | Denial::KeyUnknown
        | Denial::PasswordRefused
        | Denial::ProofInvalid
        | Denial::SignatureInvalid
        | Denial::SubjectInvalid
        | Denial::TokenClaimMismatch
        | Denial::TokenClientRefused
        | Denial::TokenExpired
        | Denial::TokenInactive
        | Denial::TokenMalformed
        | Denial::TokenNotYetValid
        | Denial::TokenRevoked
        | Denial::TokenTooLarge
        | Denial::TokenTypeRefused
        | Denial::TokenUseMismatch => StatusCode::UNAUTHORIZED,
        Denial::ClaimMismatch
        | Denial::ClientRefused
        | Denial::EgressTargetRefused
        | Denial::EgressUserUnavailable(_)
        | Denial::GroupMissing
        | Denial::GroupsUnresolved
        | Denial::LoginChallenge
        | Denial::PeerUntrusted
        | Denial::PermissionMissing
        | Denial::PrincipalKindRefused
        | Denial::RoleMissing
        | Denial::ScopeMissing
        | Denial::UserRevoked => StatusCode::FORBIDDEN,
        Denial::NoRoute => StatusCode::NOT_FOUND,
        Denial::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        Denial::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Denial::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Denial::UriTooLong => StatusCode::URI_TOO_LONG,
        Denial::ConnectionLimit | Denial::LockedOut { .. } | Denial::RateLimited { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Denial::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
}

#[cfg(test)]
mod tests;
