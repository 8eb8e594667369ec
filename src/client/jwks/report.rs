//! What `/jwks` shows of one issuer. No key material.

use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use crate::client::jwks::source::Definition;
use crate::client::jwks::state::IssuerKeys;
use crate::config::KeyLocation;

impl IssuerKeys {
    pub(super) fn report(&self, required: bool) -> Value {
        let published = self.published.load_full();
        let usable = self.usable().is_some();
        let now = self.clock.now();
        let book = self.book();
        let from_snapshot = published.as_ref().is_some_and(|now| now.from_snapshot);
        let state = match (usable, book.failures > 0 || from_snapshot) {
            (true, false) => "fresh",
            (true, true) => "stale",
            (false, _) => "unavailable",
        };
        let next_refresh = self.is_remote().then(|| {
            let wait = book.next_attempt.saturating_duration_since(Instant::now());
            now.plus(wait.as_secs()).to_string()
        });
        let set = published.as_ref().map(|now| &now.set);
        let in_force = set.map_or(&[][..], |set| set.keys());
        let keys: Vec<Value> = in_force
            .iter()
            .map(|key| {
                let seen = key.key_id.as_ref().and_then(|kid| book.history.get(kid));
                let algorithms: Vec<_> = key.algorithms.iter().map(|it| it.as_str()).collect();
                json!({
                    "kid": key.key_id.as_deref(),
                    "algorithms": algorithms,
                    "first_seen": seen.map(|(first, _)| first.to_string()),
                    "last_seen": seen.map(|(_, last)| last.to_string()),
                })
            })
            .collect();
        let withdrawn: Vec<Value> = book
            .history
            .iter()
            .filter(|(kid, _)| !in_force.iter().any(|key| key.key_id.as_ref() == Some(*kid)))
            .map(|(kid, (first, last))| {
                json!({
                    "kid": **kid,
                    "first_seen": first.to_string(),
                    "last_seen": last.to_string(),
                })
            })
            .collect();
        let skipped: Vec<Value> = set
            .map_or(&[][..], |set| set.skipped.as_slice())
            .iter()
            .map(|key| json!({ "kid": key.key_id, "why": key.why }))
            .collect();
        let (source, url) = shown(&self.definition.keys);
        json!({
            "name": &*self.definition.name,
            "source": source,
            "url": url,
            "required": required,
            "state": state,
            "keys": keys,
            "withdrawn": withdrawn,
            "skipped": skipped,
            "last_success": published.as_ref().map(|now| now.fetched_at.to_string()),
            "next_refresh": next_refresh,
            "last_error": book.last_error,
            "consecutive_failures": book.failures,
            "from_snapshot": from_snapshot,
        })
    }
}

/// The kind of source, and its URL without user, password and query.
pub(super) fn shown(keys: &KeyLocation) -> (&'static str, Option<String>) {
    let plain = |url: &Url| format!("{}{}", url.origin().ascii_serialization(), url.path());
    match keys {
        KeyLocation::JwksUrl(url) => ("jwks_url", Some(plain(url))),
        KeyLocation::Discovery { url, .. } => ("discovery", Some(plain(url))),
        KeyLocation::PemByKeyId(url) => ("keys_url", Some(plain(url))),
        KeyLocation::Asked(endpoint) => (endpoint.protocol.word(), Some(plain(endpoint.url()))),
        KeyLocation::JwksFile(_) => ("jwks_file", None),
        KeyLocation::PublicKeyFile(_) => ("public_key_file", None),
        KeyLocation::Secret(_) => ("secret", None),
    }
}

/// What is shown of an issuer that is asked about its tokens: where, and that it has no keys.
pub(super) fn of_nobody(definition: &Definition) -> Value {
    let (source, url) = shown(&definition.keys);
    json!({
        "name": &*definition.name,
        "source": source,
        "url": url,
        "required": false,
        "state": "asked",
        "keys": [],
        "withdrawn": [],
        "skipped": [],
        "last_success": null,
        "next_refresh": null,
        "last_error": null,
        "consecutive_failures": 0,
        "from_snapshot": false,
    })
}
