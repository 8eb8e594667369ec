//! Sealing: AES-256-GCM (NIST SP 800-38D) with a random nonce, bound to the credential's name, the
//! hash of its definition, the moment it ends and the key's id. Pure.
//!
//! ```text
//! "gp1"  length of id (1)  id  expires at (8, big-endian, s since 1970)  nonce (12)  ciphertext  tag (16)
//! ```

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::client::token::fleet::{LARGEST_ENTRY, Label};
use crate::clock::UnixTime;
use crate::config::SealingKey;

/// What every sealed entry begins with.
const MAGIC: [u8; 3] = *b"gp1";
/// What is authenticated begins with this: the key may once seal other things.
const PURPOSE: &[u8] = b"gatepost token";
const TAG: usize = 16;

/// Most bytes of a sealed entry.
pub(super) const LARGEST_SEALED: usize =
    MAGIC.len() + 1 + u8::MAX as usize + 8 + NONCE_LEN + LARGEST_ENTRY + TAG;

/// The keys: the first seals, all open.
#[derive(Debug)]
pub(super) struct Seals(Vec<(Arc<str>, RandomizedNonceKey)>);

/// What was sealed.
pub(super) struct Opened {
    pub(super) expires_at: UnixTime,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// Why something is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOurs {
    #[error("it has not the form of a sealed token")]
    Malformed,
    #[error("none of our sealing_keys has the id it names")]
    UnknownKey,
    #[error("it was not sealed with our key for this credential, or changed since")]
    Unsealed,
}

/// The cipher does not work.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it cannot be sealed")]
pub(super) struct CannotSeal;

impl Seals {
    pub(super) fn new(keys: &[SealingKey]) -> Result<Self, CannotSeal> {
        let key = |key: &SealingKey| {
            let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*key.bytes);
            Ok((
                Arc::clone(&key.id),
                cipher.map_err(|_unspecified| CannotSeal)?,
            ))
        };
        keys.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn seal(
        &self,
        label: &Label,
        expires_at: UnixTime,
        content: &[u8],
    ) -> Result<Vec<u8>, CannotSeal> {
        let (id, key) = self.0.first().ok_or(CannotSeal)?;
        let id_length = u8::try_from(id.len()).map_err(|_long| CannotSeal)?;
        let aad = Aad::from(bound_to(id, label, expires_at));
        // as large as it becomes: growing would leave a copy of the token behind
        let mut text = Zeroizing::new(Vec::with_capacity(content.len() + TAG));
        text.extend_from_slice(content);
        let nonce = key
            .seal_in_place_append_tag(aad, &mut *text)
            .map_err(|_unspecified| CannotSeal)?;
        let mut sealed = MAGIC.to_vec();
        sealed.push(id_length);
        sealed.extend_from_slice(id.as_bytes());
        sealed.extend_from_slice(&expires_at.0.to_be_bytes());
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    pub(super) fn open(&self, label: &Label, sealed: &[u8]) -> Result<Opened, NotOurs> {
        let parts = Parts::of(sealed).ok_or(NotOurs::Malformed)?;
        let (id, key) = self
            .0
            .iter()
            .find(|(id, _)| id.as_bytes() == parts.id)
            .ok_or(NotOurs::UnknownKey)?;
        let aad = Aad::from(bound_to(id, label, parts.expires_at));
        let nonce = Nonce::assume_unique_for_key(parts.nonce);
        let mut content = Zeroizing::new(parts.text.to_vec());
        let length = key
            .open_in_place(nonce, aad, &mut content)
            .map_err(|_unspecified| NotOurs::Unsealed)?
            .len();
        content.truncate(length);
        Ok(Opened {
            expires_at: parts.expires_at,
            content,
        })
    }
}

/// A sealed entry taken apart; nothing of it is believed yet.
struct Parts<'s> {
    id: &'s [u8],
    expires_at: UnixTime,
    nonce: [u8; NONCE_LEN],
    text: &'s [u8],
}

impl<'s> Parts<'s> {
    fn of(sealed: &'s [u8]) -> Option<Self> {
        let (&[id_length], rest) = sealed.strip_prefix(&MAGIC)?.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(id_length.into())?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        let (nonce, text) = rest.split_first_chunk()?;
        (text.len() > TAG).then_some(Self {
            id,
            expires_at: UnixTime(u64::from_be_bytes(*expires_at)),
            nonce: *nonce,
            text,
        })
    }
}

/// What a seal holds beside the token. Each part of its own length, so that no two sets of parts
/// read the same.
fn bound_to(id: &str, label: &Label, expires_at: UnixTime) -> Vec<u8> {
    let mut bound = Vec::new();
    for part in [
        PURPOSE,
        id.as_bytes(),
        label.credential.as_bytes(),
        &label.definition,
        &expires_at.0.to_be_bytes(),
    ] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: UnixTime = UnixTime(1_800_000_000);

    fn seals(keys: &[(&str, u8)]) -> Seals {
        let keys: Vec<_> = keys
            .iter()
            .map(|&(id, byte)| SealingKey {
                id: Arc::from(id),
                bytes: Zeroizing::new([byte; 32]),
            })
            .collect();
        Seals::new(&keys).unwrap()
    }

    fn label(credential: &str, definition: u8) -> Label {
        Label {
            credential: Arc::from(credential),
            definition: [definition; 32],
        }
    }

    fn sealed(by: &Seals) -> Vec<u8> {
        by.seal(&label("billing", 1), END, b"a token").unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_by_every_key_that_is_still_listed() {
        let old = seals(&[("old", 1)]);
        let rotating = seals(&[("new", 2), ("old", 1)]);
        for entry in [sealed(&old), sealed(&rotating)] {
            let opened = rotating.open(&label("billing", 1), &entry).unwrap();
            assert_eq!(&opened.content[..], b"a token");
            assert_eq!(opened.expires_at, END);
        }
        let by_new = sealed(&rotating);
        assert_eq!(
            old.open(&label("billing", 1), &by_new).err(),
            Some(NotOurs::UnknownKey),
            "the first seals"
        );
    }

    #[test]
    fn two_seals_of_one_token_have_nothing_in_common() {
        let keys = seals(&[("k", 1)]);
        let (one, two) = (sealed(&keys), sealed(&keys));
        let head = MAGIC.len() + 1 + 1 + 8;
        assert_eq!(one[..head], two[..head]);
        assert_ne!(one[head..head + NONCE_LEN], two[head..head + NONCE_LEN]);
        assert_ne!(one[head + NONCE_LEN..], two[head + NONCE_LEN..]);
        assert!(!one.windows(5).any(|window| window == b"token"));
    }

    #[test]
    fn what_another_sealed_or_somebody_moved_or_changed_is_no_token() {
        let keys = seals(&[("k", 1), ("l", 3)]);
        let entry = sealed(&keys);
        let billing = label("billing", 1);
        let by = |other: &[(&str, u8)]| sealed(&seals(other));
        let mut later = entry.clone();
        later[5..13].copy_from_slice(&(END.0 + 1).to_be_bytes());
        let mut renamed = entry.clone();
        renamed[4] = b'l';
        for (what, label, entry, why) in [
            (
                "moved to another credential",
                label("metrics", 1),
                entry.clone(),
                NotOurs::Unsealed,
            ),
            (
                "of another definition",
                label("billing", 2),
                entry.clone(),
                NotOurs::Unsealed,
            ),
            (
                "of another key",
                billing.clone(),
                by(&[("k", 2)]),
                NotOurs::Unsealed,
            ),
            (
                "of an unknown key",
                billing.clone(),
                by(&[("m", 1)]),
                NotOurs::UnknownKey,
            ),
            (
                "said to be of our other key",
                billing.clone(),
                renamed,
                NotOurs::Unsealed,
            ),
            (
                "made to last longer",
                billing.clone(),
                later,
                NotOurs::Unsealed,
            ),
            ("empty", billing.clone(), Vec::new(), NotOurs::Malformed),
            (
                "garbage",
                billing.clone(),
                b"garbage".to_vec(),
                NotOurs::Malformed,
            ),
            (
                "a token in the clear",
                billing.clone(),
                b"eyJhbGciOiJSUzI1NiJ9.e30.c2ln".to_vec(),
                NotOurs::Malformed,
            ),
            (
                "longer",
                billing.clone(),
                [&entry[..], b"x"].concat(),
                NotOurs::Unsealed,
            ),
        ] {
            assert_eq!(keys.open(&label, &entry).err(), Some(why), "{what}");
        }
    }

    #[test]
    fn no_part_of_it_can_be_cut_off_and_no_bit_flipped() {
        let keys = seals(&[("k", 1)]);
        let billing = label("billing", 1);
        let entry = sealed(&keys);
        assert!(keys.open(&billing, &entry).is_ok());
        for length in 0..entry.len() {
            assert!(keys.open(&billing, &entry[..length]).is_err(), "{length}");
        }
        for bit in 0..entry.len() * 8 {
            let mut changed = entry.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(&billing, &changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_largest_entry_fits() {
        let id = "i".repeat(64);
        let keys = seals(&[(&id, 1)]);
        let content = vec![b'a'; LARGEST_ENTRY];
        let entry = keys.seal(&label("billing", 1), END, &content).unwrap();
        assert!(entry.len() <= LARGEST_SEALED);
        assert!(keys.open(&label("billing", 1), &entry).is_ok());
    }
}
