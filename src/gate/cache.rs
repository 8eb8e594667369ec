//! The verified-token cache (DESIGN §4.4): "verified, with these claims", nothing else. Whether a
//! token is good *now* and *here* is judged on every request.

use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use http::{HeaderName, HeaderValue};

use crate::authn::VerifiedToken;

/// The SHA-256 of a token. The token itself is not kept.
pub(super) type TokenDigest = [u8; 32];

/// A verified token, with what was rendered and computed from it once.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) token: VerifiedToken,
    /// [`KeySet::fingerprint`](crate::authn::KeySet) of the keys that verified it.
    pub(super) keys: u64,
    /// Identity headers.
    pub(super) headers: Arc<[(HeaderName, HeaderValue)]>,
    /// Keyed fingerprint, for the log.
    pub(super) fingerprint: u64,
    /// Bytes of the token, as a measure of its claims.
    weight: u64,
}

impl Entry {
    pub(super) fn new(
        token: VerifiedToken,
        keys: u64,
        headers: Arc<[(HeaderName, HeaderValue)]>,
        fingerprint: u64,
        token_bytes: usize,
    ) -> Self {
        // parsed claims, principal and rendered headers take about four times the token's text
        let weight = u64::try_from(token_bytes)
            .unwrap_or(u64::MAX)
            .saturating_mul(4)
            .max(1024);
        Self {
            token,
            keys,
            headers,
            fingerprint,
            weight,
        }
    }
}

/// Entries by token and issuer generation, bounded by entries and bytes at once.
pub(super) struct TokenCache {
    entries: quick_cache::sync::Cache<(TokenDigest, u32), Arc<Entry>, ByWeight>,
    fingerprint_key: hmac::Key,
}

/// An entry weighs its bytes, and at least its share of the byte bound: so one bound holds both.
#[derive(Clone, Debug)]
struct ByWeight {
    least: u64,
}

impl quick_cache::Weighter<(TokenDigest, u32), Arc<Entry>> for ByWeight {
    fn weight(&self, _key: &(TokenDigest, u32), val: &Arc<Entry>) -> u64 {
        val.weight.max(self.least)
    }
}

impl TokenCache {
    pub(super) fn new(max_entries: usize, max_bytes: usize, fingerprint_key: &[u8; 32]) -> Self {
        let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let least = max_bytes / u64::try_from(max_entries.max(1)).unwrap_or(u64::MAX);
        Self {
            entries: quick_cache::sync::Cache::with_weighter(
                max_entries,
                max_bytes,
                ByWeight {
                    least: least.max(1),
                },
            ),
            fingerprint_key: hmac::Key::new(hmac::HMAC_SHA256, fingerprint_key),
        }
    }

    pub(super) fn find(&self, token: &TokenDigest, generation: u32) -> Option<Arc<Entry>> {
        self.entries.get(&(*token, generation))
    }

    pub(super) fn keep(&self, token: TokenDigest, generation: u32, entry: Arc<Entry>) {
        self.entries.insert((token, generation), entry);
    }

    /// Eight bytes that name a token in the log and tell nothing about it: HMAC with a key that is
    /// random per process.
    pub(super) fn fingerprint(&self, token: &TokenDigest) -> u64 {
        let tag = hmac::sign(&self.fingerprint_key, token);
        tag.as_ref()
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// SHA-256 of a token.
pub(super) fn digest(token: &str) -> TokenDigest {
    let mut sha = [0; 32];
    // the digest of SHA-256 is 32 bytes long, always
    if let Some(bytes) = digest::digest(&digest::SHA256, token.as_bytes())
        .as_ref()
        .first_chunk()
    {
        sha = *bytes;
    }
    sha
}
