//! What a call carries, and what is known of the call it is for.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::client::token::User;
use crate::client::token::signing::Signer;
use crate::reason::Refusal;

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

/// What is done to a finished head.
#[derive(Clone, Debug)]
pub(super) enum Attachment {
    /// A header is written. Its value is sensitive.
    Header(HeaderName, HeaderValue),
    /// It is signed.
    Signature(Signer),
}

impl Attachment {
    /// `Authorization` with this value.
    pub(super) fn authorization(value: HeaderValue) -> Self {
        Self::Header(header::AUTHORIZATION, value)
    }
}

impl Attached {
    /// The header it writes: nobody else may, in the head or in trailers.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        match &self.what {
            Attachment::Header(name, _value) => name,
            Attachment::Signature(_) => &header::AUTHORIZATION,
        }
    }

    /// Authenticates a request whose head is finished: method, path, query and all headers, `Host`
    /// included. `body` is the whole body, if it is kept.
    pub fn apply(&self, head: &mut Parts, body: Option<&Bytes>) -> Result<(), Refusal> {
        match &self.what {
            Attachment::Header(name, value) => {
                head.headers.insert(name, value.clone());
                Ok(())
            }
            Attachment::Signature(signer) => signer.sign(head, body),
        }
    }
}
