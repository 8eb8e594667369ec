//! `kind = "token_exchange"`

use std::sync::Arc;

use super::super::super::error::KeyPath;
use super::super::super::forms::{NonEmpty, Text, TokenType};
use super::super::super::raw;
use super::super::super::{
    ACCESS_TOKEN_TYPE, CredentialKind, CredentialSource, ExchangeProfile, Rfc8693, TokenExchange,
};
use super::super::{Known, Resolver};
use super::entra::is_entra;

/// `max_subjects`, unless configured: some 20 MB of tokens.
const MAX_SUBJECTS: u32 = 10_000;

impl Resolver<'_> {
    pub(super) fn token_exchange(
        &mut self,
        raw: raw::TokenExchange,
        path: &KeyPath,
    ) -> Option<TokenExchange> {
        let scopes = raw::texts(&raw.scopes);
        let max_subjects = raw.max_subjects.unwrap_or(MAX_SUBJECTS);
        let freshness = raw.freshness.into();
        let token_url = self.token_url(&raw.client, path);
        let at_entra = raw.client.tenant_id.is_some() || token_url.as_ref().is_some_and(is_entra);
        let client = self.oauth_client(raw.client, token_url, path);
        let profile = match raw.profile {
            Some(raw::ExchangeProfile::EntraOnBehalfOf) => raw::ExchangeProfile::EntraOnBehalfOf,
            None if at_entra => raw::ExchangeProfile::EntraOnBehalfOf,
            Some(raw::ExchangeProfile::Rfc8693) => {
                if at_entra {
                    self.mistakes.push(
                        &path.key("profile"),
                        "Entra does not know RFC 8693",
                        "remove profile: it follows from the token endpoint",
                    );
                }
                raw::ExchangeProfile::Rfc8693
            }
            None => raw::ExchangeProfile::Rfc8693,
        };
        let profile = match profile {
            raw::ExchangeProfile::Rfc8693 => ExchangeProfile::Rfc8693(Rfc8693 {
                subject_token_type: raw
                    .subject_token_type
                    .map_or_else(|| ACCESS_TOKEN_TYPE.to_owned(), |kind| kind.0.0),
                requested_token_type: self.requested(raw.requested_token_type, path),
                audiences: raw.audience.map(|one| one.list()).unwrap_or_default(),
                resources: raw.resource.map(|one| one.list()).unwrap_or_default(),
                actor: self.actor(raw.actor, path),
            }),
            raw::ExchangeProfile::EntraOnBehalfOf => {
                for (key, is_there) in [
                    ("subject_token_type", raw.subject_token_type.is_some()),
                    ("requested_token_type", raw.requested_token_type.is_some()),
                    ("audience", raw.audience.is_some()),
                    ("resource", raw.resource.is_some()),
                    ("actor", raw.actor.is_some()),
                ] {
                    if is_there {
                        self.mistakes.push(
                            &path.key(key),
                            "on-behalf-of has no such parameter",
                            format!("remove {key}: scopes say what the token is for"),
                        );
                    }
                }
                let at = path.key("scopes");
                if scopes.is_empty() && !self.mistakes.settled.contains(&at) {
                    self.mistakes.push(
                        &at,
                        "missing: Entra wants to know what the token is for",
                        "write scopes = [\"api://…/.default\"]",
                    );
                }
                ExchangeProfile::EntraOnBehalfOf
            }
        };
        Some(TokenExchange {
            client: client?,
            profile,
            scopes,
            freshness,
            max_subjects: usize::try_from(max_subjects).unwrap_or(usize::MAX),
        })
    }

    /// What is asked for must be fit for `Authorization: Bearer`.
    fn requested(&mut self, raw: Option<Text<TokenType>>, path: &KeyPath) -> Option<String> {
        let kind = raw?.0.0;
        if ["refresh_token", "saml1", "saml2"]
            .iter()
            .any(|unfit| kind.ends_with(&format!(":token-type:{unfit}")))
        {
            self.mistakes.push(
                &path.key("requested_token_type"),
                "such a token cannot be sent as a bearer token",
                "write \"access_token\", \"id_token\" or \"jwt\"",
            );
        }
        Some(kind)
    }

    fn actor(&mut self, raw: Option<Text<NonEmpty>>, path: &KeyPath) -> Option<Arc<str>> {
        let name = raw?.0.0;
        self.declared("credentials", Known::Credential, &name, &path.key("actor"));
        Some(Arc::from(name))
    }

    /// Only what has a token of its own can act for a user.
    pub(super) fn actors(&mut self, sources: &[CredentialSource]) {
        for source in sources {
            let CredentialKind::TokenExchange(definition) = &source.kind else {
                continue;
            };
            let ExchangeProfile::Rfc8693(Rfc8693 {
                actor: Some(actor), ..
            }) = &definition.profile
            else {
                continue;
            };
            let Some(actor) = sources.iter().find(|source| source.name == *actor) else {
                continue;
            };
            match &actor.kind {
                CredentialKind::ClientCredentials(_)
                | CredentialKind::RefreshToken(_)
                | CredentialKind::StaticToken { .. } => {}
                CredentialKind::TokenExchange(_)
                | CredentialKind::Aws(_)
                | CredentialKind::ApiKey { .. }
                | CredentialKind::Basic { .. }
                | CredentialKind::PassThrough => self.mistakes.push(
                    &KeyPath::of(&["credentials", &source.name, "actor"]),
                    format!("{} has no token of its own", actor.name),
                    "name a credential of kind client_credentials, refresh_token or static_token",
                ),
            }
        }
    }
}
