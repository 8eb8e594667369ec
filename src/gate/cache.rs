//! The verified-token cache (DESIGN §4.4): "verified, with these claims", nothing else. Whether a
//! token is good *now* and *here* is judged on every request.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::authn::opaque::Form;
use crate::authn::{Principal, VerifiedToken};
use crate::authz::identity::{IdentityHeaders, MAP_BYTES};
use crate::clock::UnixTime;
use aws_lc_rs::{aead, hmac};

/// What a token is found by: its AES-256-GMAC (NIST SP 800-38D) under a key that is random per
/// process. The token itself is not kept.
///
/// Without the key nobody can make two tokens that share one, but by a chance of 2⁻¹¹⁸; and a tag
/// leaves this module only through [`TokenCache::fingerprint`]. It costs a third of SHA-256 or less.
pub type TokenTag = [u8; 16];

/// The most tokens that are remembered to have come once: 256 KiB.
const MOST_MET: usize = 1 << 16;

/// A token that is not in the cache.
#[derive(Clone, Copy)]
pub(super) struct Unknown<'t> {
    pub(super) token: &'t [u8],
    /// What it is going to be found by.
    pub(super) tag: Option<TokenTag>,
    /// Keyed fingerprint, for the log.
    pub(super) fingerprint: Option<u64>,
}

/// A verified token, with what was rendered and computed from it once.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) token: VerifiedToken,
    /// Who it is about, as the issuer's mapping reads it.
    pub(super) principal: Arc<Principal>,
    /// [`KeySet::fingerprint`](crate::authn::KeySet) of the keys that verified it; of who was asked, the
    /// [edition](super::TokenJudge::edition).
    pub(super) keys: u64,
    /// Identity headers.
    pub(super) headers: Arc<IdentityHeaders>,
    /// Keyed fingerprint, for the log.
    pub(super) fingerprint: Option<u64>,
    /// How it was asked about, if its issuer was.
    pub(super) asked: Option<Asked>,
    /// With what stood beside it in a request: one such pair is kept.
    beside: OnceLock<ArcSwapOption<Beside>>,
    /// About how many bytes it takes.
    weight: u64,
}

/// What a token and another one say together.
#[derive(Debug)]
pub(super) struct Beside {
    /// The other one.
    pub(super) other: Arc<Entry>,
    /// Whom the two state.
    pub(super) stated: Arc<Principal>,
    /// The same, as the other's issuer's mapping reads it.
    pub(super) principal: Arc<Principal>,
    pub(super) headers: Arc<IdentityHeaders>,
}

impl Entry {
    pub(super) fn new(
        token: VerifiedToken,
        principal: Arc<Principal>,
        keys: u64,
        headers: Arc<IdentityHeaders>,
        fingerprint: Option<u64>,
        token_bytes: usize,
    ) -> Self {
        // principal and rendered headers take about twice the token's text
        let bytes = token_bytes
            .saturating_mul(2)
            .saturating_add(principal.claims.size());
        let weight = u64::try_from(bytes)
            .unwrap_or(u64::MAX)
            .max(1024)
            .saturating_add(MAP_BYTES as u64);
        Self {
            token,
            principal,
            keys,
            headers,
            fingerprint,
            asked: None,
            beside: OnceLock::new(),
            weight,
        }
    }

    /// What is kept of it with another one.
    pub(super) fn beside(&self) -> &ArcSwapOption<Beside> {
        self.beside.get_or_init(ArcSwapOption::empty)
    }

    /// The same, about a token that its issuer was asked about.
    pub(super) fn of_answer(self, asked: Asked) -> Self {
        Self {
            asked: Some(asked),
            ..self
        }
    }
}

/// A token that its issuer was asked about.
#[derive(Debug)]
pub(super) struct Asked {
    /// Until when the answer is used.
    pub(super) until: UnixTime,
    /// What the token states: by that is decided where it is this issuer's to judge.
    pub(super) form: Form,
}

/// Entries by token and issuer generation, bounded by entries and bytes at once.
pub(super) struct TokenCache {
    entries: quick_cache::sync::Cache<(TokenTag, u32), Arc<Entry>, ByWeight>,
    met: Met,
    /// `None`: nothing can be kept.
    tag_key: Option<aead::LessSafeKey>,
}

/// An entry weighs its bytes, and at least its share of the byte bound: so one bound holds both.
#[derive(Clone, Debug)]
struct ByWeight {
    least: u64,
}

impl quick_cache::Weighter<(TokenTag, u32), Arc<Entry>> for ByWeight {
    fn weight(&self, _key: &(TokenTag, u32), val: &Arc<Entry>) -> u64 {
        val.weight.max(self.least)
    }
}

impl TokenCache {
    pub(super) fn new(max_entries: usize, max_bytes: usize, fingerprint_key: &[u8; 32]) -> Self {
        let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let least = max_bytes / u64::try_from(max_entries.max(1)).unwrap_or(u64::MAX);
        let tag_key = hmac::Key::new(hmac::HMAC_SHA256, fingerprint_key);
        let tag_key = hmac::sign(&tag_key, b"verified-token cache");
        let tag_key = aead::UnboundKey::new(&aead::AES_256_GCM, tag_key.as_ref());
        Self {
            entries: quick_cache::sync::Cache::with_weighter(
                max_entries,
                max_bytes,
                ByWeight {
                    least: least.max(1),
                },
            ),
            met: Met::new(max_entries),
            tag_key: tag_key.ok().map(aead::LessSafeKey::new),
        }
    }

    /// What `token` is found by.
    pub(super) fn tag(&self, token: &[u8]) -> Option<TokenTag> {
        self.mac(0, token)
    }

    /// What a name and password are found by; the token that has the same bytes has another tag.
    pub(super) fn password_tag(&self, text: &[u8]) -> Option<[u8; 16]> {
        self.mac(2, text)
    }

    /// What a load balancer's statement is found by: never what the same text is found by as a token.
    pub(super) fn statement_tag(&self, statement: &[u8]) -> Option<TokenTag> {
        self.mac(3, statement)
    }

    /// The GMAC of `bytes`. One nonce for all of one use: nothing is encrypted, and nobody sees a tag.
    fn mac(&self, of: u8, bytes: &[u8]) -> Option<[u8; 16]> {
        let nonce = aead::Nonce::assume_unique_for_key([of; aead::NONCE_LEN]);
        let key = self.tag_key.as_ref()?;
        let tag = key
            .seal_in_place_separate_tag(nonce, aead::Aad::from(bytes), &mut [])
            .ok()?;
        tag.as_ref().first_chunk().copied()
    }

    pub(super) fn find(&self, token: &TokenTag, generation: u32) -> Option<Arc<Entry>> {
        self.entries.get(&(*token, generation))
    }

    pub(super) fn keep(&self, token: TokenTag, generation: u32, entry: Arc<Entry>) {
        self.entries.insert((token, generation), entry);
    }

    /// Keeps what is cheaply made again if its token came before, lately: of a token that comes once
    /// nothing is left, and no flood of such tokens drives out those that come again.
    pub(super) fn keep_if_met(&self, token: TokenTag, generation: u32, entry: &Arc<Entry>) {
        if self.met.again(&token) {
            self.keep(token, generation, Arc::clone(entry));
        }
    }

    /// Eight bytes that name a token in the log and tell nothing about it: a keyed hash of what
    /// nobody sees, under a key that is random per process.
    pub(super) fn fingerprint(&self, token: &TokenTag) -> Option<u64> {
        let fingerprint = self.mac(1, token)?;
        fingerprint
            .first_chunk()
            .map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// A token that was looked for by `tag` and not found.
    pub(super) fn unknown<'t>(&self, token: &'t [u8], tag: Option<TokenTag>) -> Unknown<'t> {
        Unknown {
            token,
            tag,
            fingerprint: tag.and_then(|tag| self.fingerprint(&tag)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Tokens that came lately and are not kept: what `TinyLFU` (Einziger, Friedman, Manes 2017) calls its doorkeeper.
///
/// One mark for each place, and the next token of that place takes it. So it forgets, and takes one token for
/// another once in four thousand million: either costs a little time, and neither lets anybody in.
struct Met {
    places: Box<[AtomicU32]>,
}

impl Met {
    /// Remembers about so many tokens.
    fn new(tokens: usize) -> Self {
        let places = tokens.clamp(1, MOST_MET).next_power_of_two();
        Self {
            places: (0..places).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Whether it came before; from now on it did.
    fn again(&self, token: &TokenTag) -> bool {
        let (words, _rest) = token.as_chunks();
        let [place, mark, ..] = words else {
            return false;
        };
        let (place, mark) = (u32::from_le_bytes(*place), u32::from_le_bytes(*mark));
        let place = place as usize & (self.places.len() - 1);
        let place = self.places.get(place);
        place.is_some_and(|place| place.swap(mark, Ordering::Relaxed) == mark)
    }
}
