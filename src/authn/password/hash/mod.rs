//! A stored password: argon2id as a PHC string (RFC 9106), or bcrypt as `htpasswd -B` writes it.

use std::fmt;
use std::str::FromStr as _;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Most memory of one argon2id hash, in KiB.
const MOST_MEMORY_KIB: u32 = 1 << 20;
/// Most memory times passes, in KiB: two seconds of one core, about.
const MOST_WORK_KIB: u64 = 2 << 20;
/// What one should take at least (OWASP's least: 7 MiB in 5 passes).
const LEAST_WORK_KIB: u64 = 7 * 1024 * 5;
/// Most lanes: they are gone through one after the other.
const MOST_LANES: u32 = 16;
/// Highest bcrypt cost: four seconds of one core, about.
const HIGHEST_COST: u32 = 16;
/// The lowest one should use.
const LOWEST_COST: u32 = 10;
/// bcrypt looks at no more bytes of a password.
const BCRYPT_BYTES: usize = 72;

/// A stored password. `Debug` shows its cost only.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Stored);

#[derive(Clone, PartialEq, Eq)]
enum Stored {
    Argon2id {
        params: Params,
        salt: Box<[u8]>,
        output: Box<[u8]>,
    },
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        /// As written.
        text: Box<str>,
    },
}

/// What one verification costs. Two of the same cost take the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cost {
    /// argon2id
    Argon2id {
        /// `m`, in KiB.
        memory: u32,
        /// `t`
        passes: u32,
        /// `p`
        lanes: u32,
    },
    /// bcrypt
    Bcrypt {
        /// Binary logarithm of its rounds.
        cost: u32,
    },
}

impl Cost {
    /// What is assumed where no stored password tells: the least OWASP recommends, 19 MiB in two passes.
    pub const DEFAULT: Self = Self::Argon2id {
        memory: Params::DEFAULT_M_COST,
        passes: Params::DEFAULT_T_COST,
        lanes: Params::DEFAULT_P_COST,
    };

    /// Memory of one verification, in bytes.
    #[must_use]
    pub fn memory(self) -> u64 {
        match self {
            Self::Argon2id { memory, .. } => u64::from(memory) * 1024,
            Self::Bcrypt { .. } => 4096,
        }
    }

    /// Whether it is less than is recommended today.
    #[must_use]
    pub fn is_low(self) -> bool {
        match self {
            Self::Argon2id { memory, passes, .. } => {
                u64::from(memory) * u64::from(passes) < LEAST_WORK_KIB
            }
            Self::Bcrypt { cost } => cost < LOWEST_COST,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2id {
                memory,
                passes,
                lanes,
            } => write!(f, "argon2id m={memory},t={passes},p={lanes}"),
            Self::Bcrypt { cost } => write!(f, "bcrypt cost {cost}"),
        }
    }
}

/// Why a text is no stored password. Says nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    /// Another kind of hash, by its name.
    #[error("{0} is not accepted")]
    Kind(&'static str),
    /// One of the two kinds, but not as its format says.
    #[error("not a well-formed {0} hash")]
    Malformed(&'static str),
    /// More than one verification may take.
    #[error("{0} is more than one verification may take")]
    TooCostly(Cost),
    /// No hash at all.
    #[error("not a password hash")]
    Unknown,
}

impl HashFault {
    /// What to do.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Kind(_) | Self::Malformed(_) | Self::Unknown => {
                "set the password again with `htpasswd -B -C 12`, or write an argon2id PHC string"
            }
            Self::TooCostly(_) => {
                "hash it with at most 1 GiB (m), m × t at most 2 GiB, p at most 16; bcrypt's cost at most 16"
            }
        }
    }
}

impl PasswordHash {
    /// Reads what `htpasswd -B` or an argon2 tool wrote. Every other kind is a [`HashFault`].
    pub fn parse(text: &str) -> Result<Self, HashFault> {
        let kind = text
            .strip_prefix('$')
            .and_then(|rest| rest.split('$').next());
        match kind {
            Some("argon2id") => argon2id(text),
            Some("2a" | "2b" | "2y") => bcrypt_of(text),
            Some("argon2i") => Err(HashFault::Kind("argon2i")),
            Some("argon2d") => Err(HashFault::Kind("argon2d")),
            Some("2" | "2x") => Err(HashFault::Kind("old, faulty bcrypt")),
            Some("apr1" | "1") => Err(HashFault::Kind("MD5")),
            Some("5" | "6") => Err(HashFault::Kind("crypt's SHA-2")),
            Some(_other) => Err(HashFault::Kind("this kind of hash")),
            None if text.starts_with("{SHA}") || text.starts_with("{SSHA}") => {
                Err(HashFault::Kind("SHA-1"))
            }
            None => Err(HashFault::Unknown),
        }
    }

    /// One that no password matches and that takes as long as any of this cost.
    #[must_use]
    pub fn of_nobody(cost: Cost) -> Self {
        let (memory, passes, lanes) = match cost {
            Cost::Argon2id {
                memory,
                passes,
                lanes,
            } => (memory, passes, lanes),
            Cost::Bcrypt { cost } => {
                return Self(Stored::Bcrypt {
                    cost,
                    salt: [0; 16],
                    text: Box::from(""),
                });
            }
        };
        let params = Params::new(memory, passes, lanes, Some(32)).unwrap_or(Params::DEFAULT);
        Self(Stored::Argon2id {
            params,
            salt: Box::new([0; 16]),
            // what is computed is never empty
            output: Box::new([]),
        })
    }

    /// Whether `password` is the one that was stored. Takes as long as its cost says, whatever the answer.
    /// bcrypt looks at 72 bytes and ends at NUL: what is longer, or has one, matches nothing.
    #[must_use]
    pub fn matches(&self, password: &Secret) -> bool {
        let password = password.expose().as_bytes();
        match &self.0 {
            Stored::Argon2id {
                params,
                salt,
                output,
            } => {
                let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
                let mut computed = Zeroizing::new(vec![0; length]);
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
                let hashed = argon2.hash_password_into(password, salt, &mut computed);
                hashed.is_ok() && verify_slices_are_equal(&computed, output).is_ok()
            }
            Stored::Bcrypt { cost, salt, text } => {
                let whole = password.len() <= BCRYPT_BYTES && !password.contains(&0);
                let read = password.get(..BCRYPT_BYTES).unwrap_or(password);
                let hashed = bcrypt::hash_with_salt(read, *cost, *salt);
                let computed = hashed.map(|parts| parts.format_for_version(bcrypt::Version::TwoB));
                // from the cost on: versions a, b and y are the same for what is whole
                let after_version = |text: &str| text.get(3..).map(str::to_owned);
                let pair = computed
                    .ok()
                    .and_then(|computed| Some((after_version(&computed)?, after_version(text)?)));
                whole
                    && pair.is_some_and(|(computed, stored)| {
                        verify_slices_are_equal(computed.as_bytes(), stored.as_bytes()).is_ok()
                    })
            }
        }
    }

    /// What one verification costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match &self.0 {
            Stored::Argon2id { params, .. } => Cost::Argon2id {
                memory: params.m_cost(),
                passes: params.t_cost(),
                lanes: params.p_cost(),
            },
            Stored::Bcrypt { cost, .. } => Cost::Bcrypt { cost: *cost },
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.cost())
    }
}

fn argon2id(text: &str) -> Result<PasswordHash, HashFault> {
    let malformed = || HashFault::Malformed("argon2id");
    let read = phc::PasswordHash::new(text).map_err(|_malformed| malformed())?;
    let named = ["m", "t", "p"]
        .into_iter()
        .all(|name| read.params.get(name).is_some());
    if read.version != Some(Version::V0x13.into()) || !named {
        return Err(malformed());
    }
    let params = Params::try_from(&read).map_err(|_malformed| malformed())?;
    let (Some(salt), Some(output)) = (&read.salt, &read.hash) else {
        return Err(malformed());
    };
    // 128 bits at least; `keyid` and `data` belong to keyed hashes
    if output.as_bytes().len() < 16 || !params.keyid().is_empty() || !params.data().is_empty() {
        return Err(malformed());
    }
    let hash = PasswordHash(Stored::Argon2id {
        salt: Box::from(salt.as_ref() as &[u8]),
        output: Box::from(output.as_bytes()),
        params: params.clone(),
    });
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > MOST_MEMORY_KIB || work > MOST_WORK_KIB || params.p_cost() > MOST_LANES {
        return Err(HashFault::TooCostly(hash.cost()));
    }
    Ok(hash)
}

fn bcrypt_of(text: &str) -> Result<PasswordHash, HashFault> {
    let malformed = || HashFault::Malformed("bcrypt");
    let parts = bcrypt::HashParts::from_str(text).map_err(|_malformed| malformed())?;
    let digits = text
        .get(4..6)
        .is_some_and(|cost| cost.bytes().all(|digit| digit.is_ascii_digit()));
    let cost = parts.get_cost();
    if !digits || !(4..=31).contains(&cost) {
        return Err(malformed());
    }
    if cost > HIGHEST_COST {
        return Err(HashFault::TooCostly(Cost::Bcrypt { cost }));
    }
    Ok(PasswordHash(Stored::Bcrypt {
        cost,
        salt: parts.get_salt_raw(),
        text: Box::from(text),
    }))
}

#[cfg(test)]
mod tests;
