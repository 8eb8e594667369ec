//! AWS as resolved: where key sets come from, and which endpoints are ours to call.

use url::Url;

use crate::authn::issuer::Algorithm;
use crate::secret::SecretSource;

/// Requests of a target are signed with Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsCredential {
    /// The service's signing name: `execute-api`, `s3`.
    pub service: String,
    /// The region that is signed for.
    pub region: String,
    /// Whose keys sign.
    pub source: AwsSource,
}

/// Whose keys sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsSource {
    /// Ours.
    Own(AwsKeySource),
    /// Those of the user behind the call.
    IdentityPool(IdentityPool),
}

/// Where a key set of our own comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsKeySource {
    /// Somebody else issues and rotates it.
    Kept {
        /// `AKIA…`
        access_key_id: SecretSource,
        /// Its secret.
        secret_access_key: SecretSource,
        /// Of temporary keys.
        session_token: Option<SecretSource>,
    },
    /// The container's endpoint: the task role on ECS, Pod Identity on EKS.
    Container(ContainerEndpoint),
    /// STS gives it for a token in a file: roles of service accounts on EKS.
    WebIdentity(WebIdentity),
}

/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEndpoint {
    /// https, or an address that is this machine's or the platform's.
    pub url: Url,
    /// `Authorization`, whole.
    pub authorization: Option<SecretSource>,
}

/// What `AssumeRoleWithWebIdentity` is asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The token: a file that the platform rotates.
    pub token: SecretSource,
    /// The role.
    pub role_arn: String,
    /// What `CloudTrail` calls us.
    pub session_name: String,
    /// STS.
    pub endpoint: Url,
}

/// A Cognito identity pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityPool {
    /// `eu-west-1:…`
    pub id: String,
    /// Cognito Identity.
    pub endpoint: Url,
}

/// STS `GetWebIdentityToken`: a token that says which AWS role we are, for others than AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentityToken {
    /// Its `aud`.
    pub audience: String,
    /// How it is signed: RS256 or ES384.
    pub algorithm: Algorithm,
    /// Seconds it is valid, 60 to 3600.
    pub seconds: u16,
    /// The region of STS.
    pub region: String,
    /// STS. The global endpoint does not offer it.
    pub endpoint: Url,
}
