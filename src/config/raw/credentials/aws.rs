//! `kind = "aws"`

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::super::forms::{NonEmpty, Text};
use super::super::{List, Secret};

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Aws {
    /// The signing name of the target's service: `execute-api`, `s3`.
    pub(in crate::config) service: Text<NonEmpty>,
    /// The target's region. Without it `AWS_REGION`.
    pub(in crate::config) region: Option<Text<NonEmpty>>,
    /// Whose keys sign. Without it the process's own, as AWS SDKs find them.
    pub(in crate::config) source: Option<AwsPlace>,
    /// Instead of `source`: those a Cognito identity pool gives the user behind the call.
    pub(in crate::config) identity_pool_id: Option<Text<NonEmpty>>,
    /// Whose users' tokens the identity pool is sent. Required once there are two issuers.
    pub(in crate::config) issuers: Option<List<Text<NonEmpty>>>,
    /// Instead of `source`: these keys. An access key id.
    pub(in crate::config) access_key_id: Option<Secret>,
    /// Its secret.
    pub(in crate::config) secret_access_key: Option<Secret>,
    /// The session token of temporary keys.
    pub(in crate::config) session_token: Option<Secret>,
}

/// `source`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AwsPlace {
    TaskRole,
    WebIdentity,
    Environment,
}
