//! `kind = "aws"`

use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::super::{AwsCredential, AwsKeySource, AwsSource, IdentityPool};
use super::super::Resolver;
use super::super::aws::{AwsPlace, AwsService, is_label};

impl Resolver<'_> {
    pub(super) fn aws(&mut self, raw: &raw::Aws, path: &KeyPath) -> Option<AwsCredential> {
        let service = &raw.service.0.0;
        if !is_label(service) {
            self.mistakes.push(
                &path.key("service"),
                format!("{service:?} is no signing name of a service"),
                "write it as AWS has it in signatures: \"execute-api\", \"s3\", \"lambda\"",
            );
        }
        let ways = [
            ("source", raw.source.is_some()),
            ("identity_pool_id", raw.identity_pool_id.is_some()),
            ("access_key_id", raw.access_key_id.is_some()),
        ];
        let mut ways = ways.iter().filter(|(_, there)| *there).map(|(key, _)| *key);
        if let (Some(first), Some(second)) = (ways.next(), ways.next()) {
            self.mistakes.push(
                &path.key(second),
                format!("{first} and {second} name two sources of keys"),
                "keep one of them",
            );
            return None;
        }
        for (key, there) in [
            ("secret_access_key", raw.secret_access_key.is_some()),
            ("session_token", raw.session_token.is_some()),
        ] {
            if there && raw.access_key_id.is_none() {
                self.mistakes.push(
                    &path.key(key),
                    format!("{key} belongs to access_key_id"),
                    "add access_key_id = { … }, or remove it",
                );
                return None;
            }
        }
        let source = if let Some(id) = &raw.identity_pool_id {
            let id = &id.0.0;
            let at = path.key("identity_pool_id");
            let Some((region, _)) = id.split_once(':').filter(|(region, _)| is_label(region))
            else {
                self.mistakes.push(
                    &at,
                    format!("{id:?} is no identity pool id"),
                    "write it whole: \"eu-west-1:…\"",
                );
                return None;
            };
            let endpoint = self.aws_endpoint(AwsService::CognitoIdentity, Some(region), &at);
            endpoint.map(|endpoint| {
                AwsSource::IdentityPool(IdentityPool {
                    id: id.clone(),
                    endpoint,
                })
            })
        } else if let Some(id) = &raw.access_key_id {
            self.kept_keys(id, raw, path).map(AwsSource::Own)
        } else {
            let place = raw.source.map(|place| match place {
                raw::AwsPlace::TaskRole => AwsPlace::TaskRole,
                raw::AwsPlace::WebIdentity => AwsPlace::WebIdentity,
                raw::AwsPlace::Environment => AwsPlace::Environment,
            });
            let at = path.key("source");
            self.aws_keys(place, &at).map(AwsSource::Own)
        };
        let region = raw.region.as_ref().map(|region| region.0.0.as_str());
        let region = self.aws_region(region, &path.key("region"));
        Some(AwsCredential {
            service: service.clone(),
            region: region?,
            source: source?,
        })
    }

    fn kept_keys(
        &mut self,
        id: &raw::Secret,
        raw: &raw::Aws,
        path: &KeyPath,
    ) -> Option<AwsKeySource> {
        let Some(secret) = &raw.secret_access_key else {
            self.mistakes.push(
                &path.key("secret_access_key"),
                "missing",
                "write secret_access_key = { file = \"/run/secrets/…\" }",
            );
            return None;
        };
        let access_key_id = self.secret(id, &path.key("access_key_id"));
        let secret_access_key = self.secret(secret, &path.key("secret_access_key"));
        let session_token = match &raw.session_token {
            Some(token) => Some(self.secret(token, &path.key("session_token"))?.0),
            None => None,
        };
        Some(AwsKeySource::Kept {
            access_key_id: access_key_id?.0,
            secret_access_key: secret_access_key?.0,
            session_token,
        })
    }
}
