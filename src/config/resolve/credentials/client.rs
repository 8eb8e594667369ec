//! What every grant of a token endpoint has in common: the client, its endpoint, freshness.

use std::time::Duration;

use url::Url;

use super::super::super::error::KeyPath;
use super::super::super::forms::Form as _;
use super::super::super::raw;
use super::super::super::{Freshness, OAuthClient, is_guarded};
use super::super::Resolver;
use crate::authn::entra;

impl From<raw::Freshness> for Freshness {
    fn from(raw: raw::Freshness) -> Self {
        Self {
            refresh_before: raw.refresh_before.map(|time| time.0.0),
            max_reuse: raw
                .max_reuse
                .map(|time| time.0.0.max(Duration::from_secs(1))),
        }
    }
}

impl Resolver<'_> {
    /// The client of one `[credentials.X]` at the endpoint of [`Self::token_url`].
    pub(in crate::config::resolve) fn oauth_client(
        &mut self,
        raw: raw::OAuthClient,
        token_url: Option<Url>,
        path: &KeyPath,
    ) -> Option<OAuthClient> {
        let authentication = self.client_authentication(&raw, token_url.as_ref(), path);
        let token_url = token_url?;
        self.guarded(
            is_guarded(&token_url),
            raw.insecure_http,
            &path.key("token_url"),
        );
        Some(OAuthClient {
            token_url,
            client_id: raw.client_id.0.0,
            authentication: authentication?,
            insecure_http: raw.insecure_http,
        })
    }

    pub(in crate::config::resolve) fn token_url(
        &mut self,
        raw: &raw::OAuthClient,
        path: &KeyPath,
    ) -> Option<Url> {
        if raw.region.is_some() && raw.domain.is_none() {
            self.mistakes.push(
                &path.key("region"),
                "a region belongs to a Cognito domain prefix",
                "remove region",
            );
        }
        let (url, at) = match (&raw.token_url, &raw.domain, &raw.tenant_id) {
            (Some(url), None, None) => return Some(url.0.clone()),
            (None, None, Some(tenant)) => {
                let at = path.key("tenant_id");
                let Some(tenant) = entra::parse_guid(&tenant.0.0) else {
                    self.mistakes.push(
                        &at,
                        "an Entra tenant id is a GUID",
                        "copy \"Directory (tenant) ID\" from the tenant's overview page",
                    );
                    return None;
                };
                (entra::token_url(&tenant), at)
            }
            (None, Some(domain), None) => {
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
            (None, None, None) => {
                let said = |key: &str| self.mistakes.settled.contains(&path.key(key));
                if !["token_url", "domain", "tenant_id"].into_iter().any(said) {
                    self.mistakes.push(
                        path,
                        "there is no token endpoint",
                        "write token_url = \"https://…\", domain (and region) for Cognito, or tenant_id for Entra",
                    );
                }
                return None;
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                let further = match &raw.tenant_id {
                    Some(_) => "tenant_id",
                    None => "domain",
                };
                self.mistakes.push(
                    &path.key(further),
                    "there is another token endpoint in this table",
                    "keep one of token_url, domain and tenant_id",
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
