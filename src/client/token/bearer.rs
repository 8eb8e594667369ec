//! A bearer token as it is sent (RFC 6750).

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A token, and the header value made of it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    token: Secret,
    header: HeaderValue,
}

impl Bearer {
    /// `None` if the token holds control characters.
    #[must_use]
    pub fn new(token: Secret) -> Option<Self> {
        let text = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(Self { token, header })
    }

    /// The token itself.
    #[must_use]
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.token.expose().len() + self.header.len()
    }

    /// `Bearer …`, sensitive.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }
}
