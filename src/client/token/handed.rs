//! Credentials handed to the app itself, which then sets the header or signs: the token endpoint of
//! egress.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::client::aws::AwsKeys;
use crate::client::token::attached::{Attachment, How};
use crate::client::token::source::Source;
use crate::client::token::{Credentials, For};
use crate::clock::UnixTime;
use crate::reason::Refusal;

/// A credential, as the app is told it.
#[derive(Clone, Debug)]
pub struct Handed {
    /// What it is.
    pub what: HandedWhat,
    /// It is never used from then on; `None`: nobody said.
    pub until: Option<UnixTime>,
}

/// What is handed out.
#[derive(Clone, Debug)]
pub enum HandedWhat {
    /// A header that authenticates: its name, mostly `authorization`, and its sensitive value.
    Header(HeaderName, HeaderValue),
    /// Keys to sign with.
    Keys(Arc<AwsKeys>),
}

impl Credentials {
    /// Whether the source of this name signs: what it hands out are keys.
    #[must_use]
    pub fn signs(&self, name: &str) -> bool {
        matches!(
            self.find(name),
            Some(Source::Signing(_) | Source::PoolSigning(_))
        )
    }

    /// What the source of this name has for this call.
    pub async fn hand_out(&self, name: &Arc<str>, call: &For<'_>) -> Result<Handed, Refusal> {
        let attached = self.attach(std::slice::from_ref(name), call).await?;
        let Attachment { how, until } = attached.what;
        let what = match how {
            How::Header(name, value) => HandedWhat::Header(name, value),
            How::Signature(signer) => HandedWhat::Keys(signer.into_keys()),
        };
        Ok(Handed { what, until })
    }
}
