//! Key sets of our own: as configured, from the container's endpoint, or from STS for a token the
//! platform gave us.

use crate::client::aws::api::{AwsError, Service};
use crate::client::aws::{AwsKeys, Issued, container, sts};
use crate::client::token::Endpoint;
use crate::config::AwsKeySource;

/// Who gave keys that we hold ourselves.
const CONFIGURATION: Service = Service("the configuration");

/// Asks a source once.
pub(in crate::client) async fn fetch(
    source: &AwsKeySource,
    through: &dyn Endpoint,
) -> Result<Issued, AwsError> {
    match source {
        AwsKeySource::Kept {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let id = through.load(access_key_id).await?;
            let secret = through.load(secret_access_key).await?;
            let token = match session_token {
                Some(token) => Some(through.load(token).await?),
                None => None,
            };
            let keys = AwsKeys::new(id.expose().to_owned(), secret, token, None);
            keys.map(|keys| Issued { keys, until: None })
                .ok_or_else(|| CONFIGURATION.unusable("its AWS keys cannot stand in a request"))
        }
        AwsKeySource::Container(endpoint) => {
            let authorization = match &endpoint.authorization {
                Some(source) => Some(through.load(source).await?),
                None => None,
            };
            container::fetch(endpoint, authorization.as_ref(), through).await
        }
        AwsKeySource::WebIdentity(role) => {
            let token = through.load(&role.token).await?;
            sts::assume_role(role, &token, through).await
        }
    }
}
