//! `[login]`: whom to ask, over what nobody can read.

use super::super::error::KeyPath;
use super::super::raw::{self, Part};
use super::super::{Login, LoginKind, is_guarded};
use super::Resolver;
use super::aws::AwsService;
use super::basic::lockout;

/// `path` where none is stated.
const PATH: &str = "/auth/login";
/// `max_concurrent` where none is stated.
const MAX_CONCURRENT: u16 = 32;

impl Resolver<'_> {
    pub(super) fn login(&mut self, raw: Part<raw::Login>, has_ingress: bool) -> Option<Login> {
        let path = KeyPath::of(&["login"]);
        let raw = self.part(raw, &path)?;
        if !has_ingress {
            self.mistakes.push(
                &path,
                "it is taken on ingress, which does not start",
                "give a route an upstream, or remove the table",
            );
        }
        let (common, kind) = match raw {
            raw::Login::Cognito(raw) => self.cognito_login(*raw, &path),
            raw::Login::PasswordGrant(raw) => {
                let raw = *raw;
                let token_url = self.token_url(&raw.client, &path);
                let client = self.oauth_client(raw.client, token_url, &path);
                let scopes = raw::texts(&raw.scopes);
                let kind = client.map(|client| LoginKind::PasswordGrant { client, scopes });
                (raw.common, kind)
            }
            raw::Login::Http(raw) => {
                let url = raw.url.0;
                self.guarded(is_guarded(&url), raw.insecure_http, &path.key("url"));
                (raw.common, Some(LoginKind::Http { url }))
            }
        };
        Some(Login {
            path: common.path.map_or_else(|| PATH.to_owned(), |path| path.0.0),
            kind: kind?,
            max_concurrent: common.max_concurrent.unwrap_or(MAX_CONCURRENT).into(),
            lockout: lockout(&common.lockout),
        })
    }

    fn cognito_login(
        &mut self,
        raw: raw::LoginCognito,
        path: &KeyPath,
    ) -> (raw::LoginCommon, Option<LoginKind>) {
        let endpoint = if let Some(url) = raw.endpoint {
            let at = path.key("endpoint");
            self.guarded(is_guarded(&url.0), raw.insecure_http, &at);
            Some(url.0)
        } else {
            let at = path.key("region");
            let region = self.aws_region(raw.region.as_ref().map(|region| &*region.0.0), &at);
            region.and_then(|region| {
                self.aws_endpoint(AwsService::CognitoUserPools, Some(&region), &at)
            })
        };
        let secret = match &raw.client_secret {
            Some(secret) => self
                .secret(secret, &path.key("client_secret"))
                .map(|(source, _)| Some(source)),
            None => Some(None),
        };
        let kind = endpoint
            .zip(secret)
            .map(|(endpoint, client_secret)| LoginKind::Cognito {
                endpoint,
                client_id: raw.client_id.0.0,
                client_secret,
            });
        (raw.common, kind)
    }
}
