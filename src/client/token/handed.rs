//! Credentials handed to the app itself, which then sets the header: the token endpoint of egress.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::client::token::attached::Attachment;
use crate::client::token::source::Source;
use crate::client::token::{Attached, Credentials, For};
use crate::clock::UnixTime;
use crate::reason::{Denial, Refusal};

/// A header that authenticates, as the app is told it.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Its name, mostly `authorization`.
    pub header: HeaderName,
    /// Its value, sensitive.
    pub value: HeaderValue,
    /// It is never sent from then on; `None`: nobody said.
    pub until: Option<UnixTime>,
}

impl Credentials {
    /// What the source of this name has for this call.
    pub async fn hand_out(&self, name: &Arc<str>, call: &For<'_>) -> Result<Handed, Refusal> {
        let attached = self.attach(std::slice::from_ref(name), call).await?;
        let until = self
            .sources
            .get(attached.source)
            .and_then(|source| source.until(&attached, call));
        match attached.what {
            Attachment::Header(header, value) => Ok(Handed {
                header,
                value,
                until,
            }),
            // it signs, and has no header
            Attachment::Signature(_) => Err(Denial::EgressTargetRefused.into()),
        }
    }
}

impl Source {
    /// When what it has just attached ends, if it still holds it.
    fn until(&self, attached: &Attached, call: &For<'_>) -> Option<UnixTime> {
        let Attachment::Header(_name, value) = &attached.what else {
            return None;
        };
        match self {
            Self::ClientCredentials(granting) => granting.until(value),
            Self::RefreshToken(granting) => granting.until(value),
            Self::TokenExchange(exchanging) => exchanging.until(call.user?, value),
            Self::Kept(_) | Self::Signing(_) | Self::PoolSigning(_) => None,
            Self::PassThrough(_) => Some(call.user?.token.as_ref()?.expires_at()),
        }
    }
}
