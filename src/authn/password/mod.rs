//! User name and password (RFC 7617): as presented, as stored ([`hash`], [`file`](mod@file)), whom they prove, and
//! how often one may guess ([`attempts`]).

pub mod attempts;
pub mod file;
pub mod hash;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

pub use self::attempts::{Attempts, Source};
pub use self::file::UsersFile;
pub use self::hash::PasswordHash;
use crate::authn::principal::{self, Principal, PrincipalKind};
use crate::reason::Denial;
use crate::secret::Secret;

/// What stands for an issuer's name where a password proved the principal: no `[issuers.X]` table may
/// have it on a gateway that accepts passwords.
pub const ISSUER: &str = "basic";

/// Longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Longest text after `Basic`: the longest name and password, a colon, in base64.
const MAX_TEXT_BYTES: usize = (256 * 4 + 1 + MAX_PASSWORD_BYTES).div_ceil(3) * 4;

/// A user name and a password, as presented. `Debug` shows neither: people type passwords where the name
/// belongs.
#[derive(Clone)]
pub struct UserPassword {
    /// The name: 1 to 256 characters, none of them a control character.
    pub user: String,
    /// The password: up to [`MAX_PASSWORD_BYTES`], without control characters.
    pub password: Secret,
}

impl UserPassword {
    /// Reads what follows `Basic`: base64 in its one spelling of UTF-8 text, the name up to the first
    /// colon. Anything else is [`Denial::PasswordRefused`], a name that cannot be one
    /// [`Denial::SubjectInvalid`].
    pub fn read(text: &[u8]) -> Result<Self, Denial> {
        let refused = || Denial::PasswordRefused;
        if text.len() > MAX_TEXT_BYTES {
            return Err(refused());
        }
        let mut bytes = Zeroizing::new(vec![0; text.len()]);
        let length = STANDARD
            .decode_slice(text, &mut bytes)
            .map_err(|_malformed| refused())?;
        let bytes = bytes.get(..length).ok_or_else(refused)?;
        let pair = std::str::from_utf8(bytes).map_err(|_opaque| refused())?;
        let (user, password) = pair.split_once(':').ok_or_else(refused)?;
        Self::new(user, password)
    }

    /// The same of a name and a password that came apart.
    pub fn new(user: &str, password: &str) -> Result<Self, Denial> {
        if password.len() > MAX_PASSWORD_BYTES || password.chars().any(char::is_control) {
            return Err(Denial::PasswordRefused);
        }
        Ok(Self {
            user: principal::identifier(user)?,
            password: Secret::new(password.to_owned()),
        })
    }
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPassword").finish_non_exhaustive()
    }
}

/// Who the password of `user` proves.
#[must_use]
pub fn principal(user: String) -> Principal {
    Principal::alone(PrincipalKind::User, ISSUER, user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pair: &[u8]) -> Result<(String, String), Denial> {
        let read = UserPassword::read(STANDARD.encode(pair).as_bytes())?;
        Ok((read.user, read.password.expose().to_owned()))
    }

    #[test]
    fn a_name_ends_at_the_first_colon_and_a_password_may_have_more() {
        let pair = |user: &str, password: &str| Ok((user.to_owned(), password.to_owned()));
        for (text, expected) in [
            ("ada:secret", pair("ada", "secret")),
            ("ada:a:b:", pair("ada", "a:b:")),
            ("ada:", pair("ada", "")),
            ("Ada : x ", pair("Ada ", " x ")),
            // RFC 7617 2.1: its own example
            ("test:123£", pair("test", "123£")),
            ("ada", Err(Denial::PasswordRefused)),
            ("", Err(Denial::PasswordRefused)),
            (":secret", Err(Denial::SubjectInvalid)),
            ("a\nb:secret", Err(Denial::SubjectInvalid)),
            ("a\u{85}b:secret", Err(Denial::SubjectInvalid)),
            ("ada:sec\0ret", Err(Denial::PasswordRefused)),
            ("ada:sec\tret", Err(Denial::PasswordRefused)),
            ("ada:sec\u{7f}ret", Err(Denial::PasswordRefused)),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(read(b"ada:\xa3"), Err(Denial::PasswordRefused));
    }

    #[test]
    fn names_and_passwords_have_a_longest_and_base64_one_spelling() {
        let name = "ä".repeat(256);
        let password = "x".repeat(MAX_PASSWORD_BYTES);
        assert!(read(format!("{name}:{password}").as_bytes()).is_ok());
        assert_eq!(
            read(format!("{name}a:{password}").as_bytes()),
            Err(Denial::SubjectInvalid)
        );
        assert_eq!(
            read(format!("a:{password}x").as_bytes()),
            Err(Denial::PasswordRefused)
        );
        let huge = vec![b'A'; 1 << 16];
        assert_eq!(
            UserPassword::read(&huge).err(),
            Some(Denial::PasswordRefused)
        );
        // "ada:pass!" and "ada:pass" in other spellings
        for text in [
            "YWRhOnBhc3Mh,",
            "YWRhOnBhc3Mh =",
            " YWRhOnBhc3Mh",
            "YWRhOnBhc3Mh, Bearer x",
            "YWRhOnBhc3M",
            "YWRhOnBhc3N=",
            "YWRhOnBhc3M==",
            "YWRh-nBhc3M=",
            "YWRhOnBhc3M=\n",
            "\"YWRhOnBhc3M=\"",
        ] {
            let read = UserPassword::read(text.as_bytes());
            assert_eq!(read.err(), Some(Denial::PasswordRefused), "{text:?}");
        }
        assert!(UserPassword::read(b"YWRhOnBhc3M=").is_ok());
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let read = UserPassword::new("hunter2", "ada").unwrap();
        let printed = format!("{read:?}");
        assert!(
            !printed.contains("hunter2") && !printed.contains("ada"),
            "{printed}"
        );
    }

    #[test]
    fn a_password_proves_a_user_of_whom_nothing_else_is_known() {
        let proven = principal("ada".to_owned());
        assert_eq!(
            (proven.kind, &*proven.issuer),
            (PrincipalKind::User, ISSUER)
        );
        assert_eq!((&*proven.user_id, proven.client_id), ("ada", None));
        for names in [proven.groups, proven.roles, proven.permissions] {
            assert_eq!(names, principal::Names::Unresolved);
        }
    }
}
