//! What is kept of a token: when it was fetched, how long it lives, and the token itself.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Entry, LARGEST_ENTRY};
use crate::client::token::Bearer;
use crate::client::token::answer::is_sendable;
use crate::clock::UnixTime;
use crate::secret::Secret;

/// Two times, eight bytes each, stand before the credential.
const HEAD: usize = 16;

/// A credential that can be kept outside this process.
pub trait Portable: Sized {
    /// Its text.
    fn text(&self) -> &str;

    /// What a text of [`Portable::text`] means; `None` if it is not one.
    fn from_text(text: Secret) -> Option<Self>;
}

impl Portable for Bearer {
    fn text(&self) -> &str {
        self.token().expose()
    }

    fn from_text(text: Secret) -> Option<Self> {
        is_sendable(text.expose())
            .then(|| Self::new(text))
            .flatten()
    }
}

/// A credential another sidecar may have fetched.
#[derive(Debug)]
pub(super) struct Known<C> {
    pub(super) credential: C,
    pub(super) fetched_at: UnixTime,
    /// From `fetched_at`, as the endpoint stated it.
    pub(super) life: Duration,
}

/// What is kept of a credential; `None` if it is too large for that.
pub(super) fn entry<C: Portable>(
    credential: &C,
    fetched_at: UnixTime,
    life: Duration,
    now: UnixTime,
) -> Option<Entry> {
    let text = credential.text();
    let seconds = life.as_secs();
    let expires_at = fetched_at.plus(seconds);
    // as large as it becomes, so that no copy is left behind
    let mut content = Zeroizing::new(Vec::with_capacity(HEAD + text.len()));
    content.extend_from_slice(&fetched_at.0.to_be_bytes());
    content.extend_from_slice(&seconds.to_be_bytes());
    content.extend_from_slice(text.as_bytes());
    (content.len() <= LARGEST_ENTRY).then(|| Entry {
        content,
        expires_at,
        remaining: Duration::from_secs(expires_at.since(now)),
    })
}

impl<C: Portable> Known<C> {
    /// `None` if it does not hold together.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let (fetched_at, rest) = entry.content.split_first_chunk()?;
        let (seconds, text) = rest.split_first_chunk()?;
        let fetched_at = UnixTime(u64::from_be_bytes(*fetched_at));
        let seconds = u64::from_be_bytes(*seconds);
        if fetched_at.plus(seconds) != entry.expires_at {
            return None;
        }
        let text = Secret::new(std::str::from_utf8(text).ok()?.to_owned());
        Some(Self {
            credential: C::from_text(text)?,
            fetched_at,
            life: Duration::from_secs(seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(token: &str) -> Option<Entry> {
        let bearer = Bearer::new(Secret::new(token.to_owned()))?;
        entry(
            &bearer,
            UnixTime(1000),
            Duration::from_secs(300),
            UnixTime(1100),
        )
    }

    #[test]
    fn what_is_kept_is_what_is_found() {
        let entry = kept("abc").unwrap();
        assert_eq!(entry.expires_at, UnixTime(1300));
        assert_eq!(entry.remaining, Duration::from_secs(200));
        let found = Known::<Bearer>::of(&entry).unwrap();
        assert_eq!(found.credential.text(), "abc");
        assert_eq!(found.fetched_at, UnixTime(1000));
        assert_eq!(found.life, Duration::from_secs(300));
        assert!(!format!("{entry:?}").contains("abc"));
    }

    #[test]
    fn what_does_not_hold_together_is_nothing() {
        let good = kept("abc").unwrap();
        let with = |content: &[u8], expires_at| Entry {
            content: Zeroizing::new(content.to_vec()),
            expires_at: UnixTime(expires_at),
            ..good.clone()
        };
        for (what, entry) in [
            ("another end", with(&good.content, 1301)),
            ("empty", with(&[], 1300)),
            ("short", with(&good.content[..12], 1300)),
            ("no token", with(&good.content[..16], 1300)),
            (
                "no text",
                with(&[&good.content[..], &[0xff]].concat(), 1300),
            ),
            (
                "two lines",
                with(&[&good.content[..], b"\r\nx: y"].concat(), 1300),
            ),
            ("a space", with(&[&good.content[..], b" x"].concat(), 1300)),
        ] {
            assert!(Known::<Bearer>::of(&entry).is_none(), "{what}");
        }
        assert!(kept(&"a".repeat(LARGEST_ENTRY)).is_none());
    }
}
