//! `static_token` and `api_key`: a value that somebody else issued and rotates; we only read it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::token::attached::Attachment;
use crate::client::token::request::load;
use crate::secret::{Secret, SecretSource};

/// A value read from its source at start, and again when a target refuses it. A changed file also
/// means a reload, and with it a new `Kept`.
#[derive(Debug)]
pub(super) struct Kept {
    name: Arc<str>,
    kind: &'static str,
    header: HeaderName,
    scheme: Option<String>,
    source: SecretSource,
    value: ArcSwapOption<HeaderValue>,
}

impl Kept {
    /// Reads the value at once; if that fails, each use tries again.
    pub(super) fn new(
        name: Arc<str>,
        kind: &'static str,
        header: HeaderName,
        scheme: Option<String>,
        source: SecretSource,
    ) -> Self {
        let kept = Self {
            name,
            kind,
            header,
            scheme,
            source,
            value: ArcSwapOption::empty(),
        };
        match kept.source.load() {
            Ok(secret) => kept.keep(&secret),
            Err(error) => kept.complain(&error),
        }
        kept
    }

    /// Where it is kept, if it is a token and no key.
    pub(super) fn token(&self) -> Option<&SecretSource> {
        (self.kind == "static_token").then_some(&self.source)
    }

    pub(super) async fn attach(&self) -> Option<Attachment> {
        let value = self.find().await?;
        Some(Attachment::Header(self.header.clone(), value))
    }

    async fn find(&self) -> Option<HeaderValue> {
        if let Some(value) = self.current() {
            return Some(value);
        }
        self.read_again().await;
        self.current()
    }

    /// Another value than the refused one: the current one, or what the source holds by now.
    pub(super) async fn replace(&self, refused: &Attachment) -> Option<Attachment> {
        let Attachment::Header(name, refused) = refused;
        let other = || self.current().filter(|value| value != refused);
        let value = if let Some(value) = other() {
            value
        } else {
            self.read_again().await;
            other()?
        };
        Some(Attachment::Header(name.clone(), value))
    }

    fn current(&self) -> Option<HeaderValue> {
        self.value.load().as_deref().cloned()
    }

    async fn read_again(&self) {
        match load(&self.source).await {
            Ok(secret) => self.keep(&secret),
            Err(error) => self.complain(&error),
        }
    }

    fn keep(&self, secret: &Secret) {
        let text = match &self.scheme {
            Some(scheme) => Zeroizing::new(format!("{scheme} {}", secret.expose())),
            None => Zeroizing::new(secret.expose().to_owned()),
        };
        match HeaderValue::from_str(&text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.value.store(Some(Arc::new(value)));
            }
            Err(_unprintable) => self.complain(&"the value holds control characters"),
        }
    }

    fn complain(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(credential = &*self.name, %error, "credential not read");
    }

    pub(super) fn report(&self) -> Value {
        json!({
            "name": &*self.name,
            "kind": self.kind,
            "available": self.value.load().is_some(),
        })
    }
}
