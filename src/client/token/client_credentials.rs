//! `kind = "client_credentials"` (RFC 6749 4.4).

use crate::client::token::request::Requester;
use crate::client::token::{Bearer, Fetch, FetchError, Granted};
use crate::clock::UnixTime;
use crate::config::ClientCredentials;
use crate::gate::Boxed;

/// One client and what it asks for.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) definition: ClientCredentials,
    pub(super) requester: Requester,
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
