//! `kind = "client_credentials"` (RFC 6749 4.4).

use std::sync::Arc;

use crate::client::token::fleet::{Definition, Label};
use crate::client::token::granting::Asks;
use crate::client::token::request::{Endpoint, Requester};
use crate::client::token::{Bearer, Fetch, FetchError, Granted};
use crate::clock::UnixTime;
use crate::config::{ClientCredentials, Freshness, OAuthClient};
use crate::gate::Boxed;

/// One client and what it asks for.
#[derive(Debug)]
pub(super) struct Asking {
    definition: ClientCredentials,
    requester: Requester,
}

impl Asking {
    /// Reads the disk.
    pub(super) fn new(definition: ClientCredentials, endpoint: Arc<dyn Endpoint>) -> Self {
        Self {
            requester: Requester::new(definition.client.clone(), endpoint),
            definition,
        }
    }
}

impl Asks for Asking {
    const KIND: &'static str = "client_credentials";

    fn freshness(&self) -> Freshness {
        self.definition.freshness
    }

    fn is_same(&self, next: &Self) -> bool {
        self.definition == next.definition && self.requester.is_same(&next.requester)
    }

    fn ask_through(&self, endpoint: &Arc<dyn Endpoint>) {
        self.requester.ask_through(endpoint);
    }

    /// What the endpoint makes its tokens from. How the client authenticates and how long they are
    /// used is each sidecar's own.
    fn label(&self, name: &Arc<str>) -> Option<Label> {
        let ClientCredentials {
            client:
                OAuthClient {
                    token_url,
                    client_id,
                    authentication: _each_its_own,
                    insecure_http: _no_part_of_it,
                },
            scopes,
            audience,
            resources,
            freshness: _each_as_it_likes,
        } = &self.definition;
        let mut definition = Definition::of(Self::KIND);
        definition.text(token_url.as_str());
        definition.text(client_id);
        definition.texts(scopes);
        definition.texts(audience.as_slice());
        definition.texts(resources);
        Some(definition.label(name))
    }
}

impl Fetch<Bearer> for Asking {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<Bearer>, FetchError>> {
        let definition = &self.definition;
        Box::pin(async move {
            let scope = definition.scopes.join(" ");
            let mut form = vec![("grant_type", "client_credentials")];
            if !scope.is_empty() {
                form.push(("scope", scope.as_str()));
            }
            if let Some(audience) = &definition.audience {
                form.push(("audience", audience));
            }
            for resource in &definition.resources {
                form.push(("resource", resource));
            }
            self.requester.ask(&form, now).await
        })
    }
}
