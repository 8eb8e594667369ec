//! `[redis]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{List, Secret, ServerTls};
use crate::config::forms::{KeyId, KeyPrefix, NonEmpty, Positive, RedisUrl, Text};

/// The store a fleet shares tokens in.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Redis {
    /// Where it is: `redis://` or `rediss://` (TLS), without user and password.
    pub(in crate::config) url: Text<RedisUrl>,
    /// The ACL user.
    pub(in crate::config) username: Option<Text<NonEmpty>>,
    /// Its password.
    pub(in crate::config) password: Option<Secret>,
    /// What tokens are sealed with: the first seals, all open.
    pub(in crate::config) sealing_keys: List<SealingKey>,
    /// What the names of all keys in Redis begin with.
    pub(in crate::config) prefix: Option<Text<KeyPrefix>>,
    /// Deadline of one exchange, connecting included.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// Allows a password in the clear to a host other than loopback.
    #[serde(default)]
    pub(in crate::config) insecure_plaintext: bool,
    /// TLS to it.
    pub(in crate::config) tls: Option<ServerTls>,
}

/// One of `sealing_keys`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct SealingKey {
    /// Its name, stored beside what it sealed.
    pub(in crate::config) id: Text<KeyId>,
    /// 32 bytes in base64.
    pub(in crate::config) secret: Secret,
}
