//! What a call carries, and what is known of the call it is for.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::client::token::signing::Signer;
use crate::client::token::{Bearer, Lent, RETRY_AFTER, User};
use crate::clock::UnixTime;
use crate::reason::{Failure, Refusal};

/// The call a credential is for.
#[derive(Clone, Copy, Debug)]
pub struct For<'r> {
    /// The headers of the request as it came: `pass_through` reads them.
    pub headers: &'r HeaderMap,
    /// Who stands behind it, if that is known.
    pub user: Option<&'r User>,
    /// Whether nobody on the way to the target can change the request: TLS, or loopback.
    pub guarded: bool,
}

/// A credential that one call is given, before its head is finished.
#[derive(Clone, Debug)]
pub struct Attached {
    pub(super) what: Attachment,
    /// Whose it is.
    pub(super) source: usize,
}

/// What is done to a finished head, and how long that is good.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) how: How,
    /// Never sent from this moment on; `None`: nobody says when it ends.
    pub(super) until: Option<UnixTime>,
}

/// How a head is authenticated.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// A header is written. Its value is sensitive.
    Header(HeaderName, HeaderValue),
    /// It is signed.
    Signature(Signer),
}

impl Attachment {
    /// This header with this value.
    pub(super) fn header(name: HeaderName, value: HeaderValue, until: Option<UnixTime>) -> Self {
        Self {
            how: How::Header(name, value),
            until,
        }
    }

    /// `Authorization` with this token.
    pub(super) fn bearer(lent: &Lent<Bearer>) -> Self {
        let value = lent.credential.header().clone();
        Self::header(header::AUTHORIZATION, value, Some(lent.until))
    }

    /// A signature by keys that end then.
    pub(super) fn signature(signer: Signer, until: UnixTime) -> Self {
        Self {
            how: How::Signature(signer),
            until: Some(until),
        }
    }

    /// Whether it is a header with this value.
    pub(super) fn is_header(&self, value: &HeaderValue) -> bool {
        matches!(&self.how, How::Header(_name, written) if written == value)
    }

    /// What signs, if it is a signature.
    pub(super) fn signer(&self) -> Option<&Signer> {
        match &self.how {
            How::Header(..) => None,
            How::Signature(signer) => Some(signer),
        }
    }
}

impl Attached {
    /// The header it writes: nobody else may, in the head or in trailers.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        match &self.what.how {
            How::Header(name, _value) => name,
            How::Signature(_) => &header::AUTHORIZATION,
        }
    }

    /// Authenticates a request whose head is finished: method, path, query and all headers, `Host`
    /// included. `body` is the whole body, if it is kept.
    pub fn apply(&self, head: &mut Parts, body: Option<&Bytes>) -> Result<(), Refusal> {
        match &self.what.how {
            How::Header(name, value) => {
                head.headers.insert(name, value.clone());
                Ok(())
            }
            How::Signature(signer) => signer.sign(head, body),
        }
    }

    /// Fails once it has ended: it is then sent no more, whatever the request has waited for.
    pub fn check(&self, now: UnixTime) -> Result<(), Failure> {
        if self.what.until.is_none_or(|until| now < until) {
            return Ok(());
        }
        Err(Failure::EgressTokenUnavailable {
            retry_after: RETRY_AFTER,
        })
    }
}
