//! What every grant of a token endpoint has in common: the client, its endpoint, freshness.

use url::Url;

use super::super::super::error::KeyPath;
use super::super::super::forms::Form as _;
use super::super::super::raw;
use super::super::super::{ClientAuthentication, Freshness, OAuthClient, is_guarded};
use super::super::Resolver;

impl From<raw::Freshness> for Freshness {
    fn from(raw: raw::Freshness) -> Self {
        Self {
            refresh_before: raw.refresh_before.map(|time| time.0.0),
            max_reuse: raw.max_reuse.map(|time| time.0.0),
        }
    }
}

impl Resolver<'_> {
    /// The client of one `[credentials.X]`.
    pub(super) fn oauth_client(
        &mut self,
        raw: raw::OAuthClient,
        path: &KeyPath,
    ) -> Option<OAuthClient> {
        let secret = self.secret(&raw.client_secret, &path.key("client_secret"));
        let token_url = self.token_url(&raw, path)?;
        self.guarded(
            is_guarded(&token_url),
            raw.insecure_http,
            &path.key("token_url"),
        );
        let (secret, _) = secret?;
        let authentication = match raw.auth_method {
            Some(raw::AuthMethod::ClientSecretPost) => ClientAuthentication::SecretPost(secret),
            None if raw.domain.is_some() || wants_post(&token_url) => {
                ClientAuthentication::SecretPost(secret)
            }
            Some(raw::AuthMethod::ClientSecretBasic) | None => {
                ClientAuthentication::SecretBasic(secret)
            }
        };
        Some(OAuthClient {
            token_url,
            client_id: raw.client_id.0.0,
            authentication,
            insecure_http: raw.insecure_http,
        })
    }

    fn token_url(&mut self, raw: &raw::OAuthClient, path: &KeyPath) -> Option<Url> {
        let (url, at) = match (&raw.token_url, &raw.domain) {
            (Some(url), None) => {
                if raw.region.is_some() {
                    self.mistakes.push(
                        &path.key("region"),
                        "a region belongs to a Cognito domain prefix",
                        "remove region",
                    );
                }
                return Some(url.0.clone());
            }
            (None, Some(domain)) => {
                let domain = &domain.0.0;
                let host = match (&raw.region, domain.contains('.')) {
                    (Some(region), false) => {
                        format!("{domain}.auth.{}.amazoncognito.com", region.0.0)
                    }
                    (None, true) => domain.clone(),
                    (Some(region), true) => {
                        if domain.ends_with(".amazoncognito.com")
                            && !domain.contains(&format!(".auth.{}.", region.0.0))
                        {
                            self.mistakes.push(
                                &path.key("region"),
                                format!("{domain} is not in {}", region.0.0),
                                "remove region: it follows from domain",
                            );
                        }
                        domain.clone()
                    }
                    (None, false) => {
                        self.mistakes.push(
                            &path.key("region"),
                            "missing: a Cognito domain prefix needs its region",
                            "write region = \"us-east-1\", or the whole host as domain",
                        );
                        return None;
                    }
                };
                (format!("https://{host}/oauth2/token"), path.key("domain"))
            }
            (None, None) => {
                if !self.mistakes.settled.contains(&path.key("token_url")) {
                    self.mistakes.push(
                        path,
                        "there is no token endpoint",
                        "write token_url = \"https://…\", or domain (and region) for Cognito",
                    );
                }
                return None;
            }
            (Some(_), Some(_)) => {
                self.mistakes.push(
                    &path.key("domain"),
                    "token_url and domain name two token endpoints",
                    "keep one of them",
                );
                return None;
            }
        };
        match Url::read(&url) {
            Ok(url) => Some(url),
            Err(message) => {
                self.mistakes.push(&at, message, "write token_url instead");
                None
            }
        }
    }
}

/// Cognito and Entra take the secret in the body; RFC 6749 2.3.1 prefers Basic for the others.
fn wants_post(token_url: &Url) -> bool {
    token_url.host_str().is_some_and(|host| {
        host.ends_with(".amazoncognito.com")
            || matches!(
                host,
                "login.microsoftonline.com"
                    | "login.microsoftonline.us"
                    | "login.partner.microsoftonline.cn"
                    | "login.windows.net"
            )
    })
}
