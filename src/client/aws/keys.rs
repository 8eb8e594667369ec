//! An AWS key set: what requests are signed with.

use std::fmt;

use crate::secret::Secret;

/// Access key id, its secret and, for temporary keys, the session token.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// `AKIA…` or `ASIA…`: names the key, is no secret.
    pub access_key_id: String,
    /// What signatures are made with.
    pub secret_access_key: Secret,
    /// Sent as `X-Amz-Security-Token`.
    pub session_token: Option<Secret>,
    /// Whose they are, where their source says so.
    pub role_arn: Option<String>,
}

impl AwsKeys {
    /// A key set, if these can stand in a request: the id is letters and digits, the token fits into
    /// a header.
    pub fn new(
        access_key_id: String,
        secret_access_key: Secret,
        session_token: Option<Secret>,
        role_arn: Option<String>,
    ) -> Option<Self> {
        let named = (1..=128).contains(&access_key_id.len())
            && access_key_id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let sendable = session_token.as_ref().is_none_or(|token| {
            let text = token.expose();
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        (named && sendable && !secret_access_key.expose().is_empty()).then_some(Self {
            access_key_id,
            secret_access_key,
            session_token,
            role_arn,
        })
    }

    /// About how many bytes of memory they hold.
    #[must_use]
    pub fn size(&self) -> usize {
        let token = self.session_token.as_ref();
        size_of::<Self>()
            + self.access_key_id.len()
            + self.secret_access_key.expose().len()
            + token.map_or(0, |token| token.expose().len())
            + self.role_arn.as_ref().map_or(0, String::len)
    }

    /// The end of the access key id, for whoever compares it with what AWS shows.
    #[must_use]
    pub fn last_four(&self) -> &str {
        let from = self.access_key_id.len().saturating_sub(4);
        self.access_key_id.get(from..).unwrap_or_default()
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKeys(…{})", self.last_four())
    }
}
