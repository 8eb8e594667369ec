//! `[redis]`: where a fleet shares tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::{Endpoint, ServerTls};
use crate::secret::Secret;

/// Bytes of a sealing key: AES-256.
pub const SEALING_KEY_BYTES: usize = 32;

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Where it is.
    pub endpoint: Endpoint,
    /// TLS to it, and the name its certificate is for; `None` for `redis://`.
    pub tls: Option<(ServerTls, ServerName<'static>)>,
    /// The database's number.
    pub database: u32,
    /// The ACL user; `None`: the default one.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The first seals, all open. Never empty; no id twice.
    pub sealing_keys: Vec<SealingKey>,
    /// What the names of all keys in Redis begin with.
    pub prefix: String,
    /// Deadline of one exchange, connecting included.
    pub timeout: Duration,
}

/// A key tokens are sealed with. `Debug` shows its id only; the memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    /// Its name, stored beside what it sealed.
    pub id: Arc<str>,
    /// The key itself.
    pub bytes: Zeroizing<[u8; SEALING_KEY_BYTES]>,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
