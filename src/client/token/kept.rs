//! `static_token`, `api_key` and `basic`: a value that somebody else issued and rotates; we only read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::token::attached::Attachment;
use crate::client::token::request::{Endpoint, Refused};
use crate::client::token::source::Means;
use crate::clock::Clock;
use crate::secret::{Secret, SecretSource};
use crate::telemetry::Telemetry;

/// How a header carries the value.
#[derive(Debug, PartialEq)]
pub(super) enum Form {
    /// After a scheme and a space, or alone.
    Scheme(Option<String>),
    /// As the password of this user (RFC 7617), in UTF-8.
    Basic(String),
}

impl Form {
    /// `None` if the value holds control characters.
    fn write(&self, secret: &Secret) -> Option<HeaderValue> {
        let value = secret.expose();
        let text = match self {
            Self::Scheme(Some(scheme)) => Zeroizing::new(format!("{scheme} {value}")),
            Self::Scheme(None) => Zeroizing::new(value.to_owned()),
            Self::Basic(_) if value.contains(char::is_control) => return None,
            Self::Basic(user) => {
                let pair = Zeroizing::new(format!("{user}:{value}"));
                Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
            }
        };
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// A value read from its source at start, and again when a target refuses it. A changed file also
/// means a reload, and with it a new `Kept`.
#[derive(Debug)]
pub(super) struct Kept {
    name: Arc<str>,
    kind: &'static str,
    header: HeaderName,
    form: Form,
    source: SecretSource,
    endpoint: Arc<dyn Endpoint>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    /// Whether the last attempt to read it failed: said once.
    broken: AtomicBool,
    value: ArcSwapOption<HeaderValue>,
}

impl Kept {
    /// Reads the value at once if it is on this machine; if that fails, each use tries again.
    pub(super) fn new(
        name: Arc<str>,
        kind: &'static str,
        header: HeaderName,
        form: Form,
        source: SecretSource,
        means: &Means<'_>,
    ) -> Self {
        let kept = Self {
            name,
            kind,
            header,
            form,
            source,
            endpoint: Arc::clone(means.endpoint),
            clock: Arc::clone(means.clock),
            telemetry: Arc::clone(means.telemetry),
            broken: AtomicBool::new(false),
            value: ArcSwapOption::empty(),
        };
        if !kept.is_elsewhere() {
            match kept.source.load() {
                Ok(secret) => kept.keep(&secret),
                Err(error) => kept.complain(&error),
            }
        }
        kept
    }

    /// Whether reading it is a call to another machine.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.source, SecretSource::Aws(_))
    }

    /// The value that `previous` read, if it is the same credential, until this one has read its own.
    pub(super) fn take_over(&self, previous: &Self) {
        if (&self.header, &self.form, &self.source)
            == (&previous.header, &previous.form, &previous.source)
        {
            self.value.store(previous.value.load_full());
        }
    }

    /// Whether it is a token and no key.
    pub(super) fn is_token(&self) -> bool {
        self.kind == "static_token"
    }

    /// Whether both have read the same value at the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let value = self.current();
        self.source == other.source && value.is_some() && value == other.current()
    }

    /// Where it is kept.
    pub(super) fn source(&self) -> &SecretSource {
        &self.source
    }

    /// The header it writes.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    pub(super) async fn attach(&self) -> Option<Attachment> {
        let value = self.find().await?;
        Some(self.written(value))
    }

    async fn find(&self) -> Option<HeaderValue> {
        if let Some(value) = self.current() {
            return Some(value);
        }
        self.read().await;
        self.current()
    }

    /// Another value than the refused one: the current one, or what the source holds by now.
    pub(super) async fn replace(&self, refused: &Attachment) -> Option<Attachment> {
        let other = || self.current().filter(|value| !refused.is_header(value));
        let value = if let Some(value) = other() {
            value
        } else {
            let is_refused = |secret: &Secret| {
                let value = self.form.write(secret);
                value.is_none_or(|value| refused.is_header(&value))
            };
            self.read_again(&is_refused).await;
            other()?
        };
        Some(self.written(value))
    }

    /// Nobody says when it ends.
    fn written(&self, value: HeaderValue) -> Attachment {
        Attachment::header(self.header.clone(), value, None)
    }

    pub(super) fn current(&self) -> Option<HeaderValue> {
        self.value.load().as_deref().cloned()
    }

    /// Reads it as it is now, in place of what was taken over.
    pub(super) async fn read(&self) {
        self.read_again(&|secret| self.form.write(secret).is_none())
            .await;
    }

    async fn read_again(&self, refused: Refused<'_>) {
        match self.endpoint.load(&self.source, Some(refused)).await {
            Ok(secret) => self.keep(&secret),
            Err(error) => self.complain(&error),
        }
    }

    fn keep(&self, secret: &Secret) {
        match self.form.write(secret) {
            Some(value) => {
                self.value.store(Some(Arc::new(value)));
                let metrics = &self.telemetry.metrics;
                metrics.token_fetch(&self.name, true);
                metrics.token_fetched(&self.name, self.clock.now());
                if self.broken.swap(false, Ordering::Relaxed) {
                    tracing::info!(credential = &*self.name, "credential read again");
                }
            }
            None => self.complain(&"the value holds control characters"),
        }
    }

    /// Said once until it is read again: each request tries.
    fn complain(&self, error: &dyn std::fmt::Display) {
        self.telemetry.metrics.token_fetch(&self.name, false);
        if !self.broken.swap(true, Ordering::Relaxed) {
            tracing::warn!(credential = &*self.name, %error, "credential not read");
        }
    }

    pub(super) fn report(&self) -> Value {
        json!({
            "name": &*self.name,
            "kind": self.kind,
            "available": self.value.load().is_some(),
        })
    }
}
