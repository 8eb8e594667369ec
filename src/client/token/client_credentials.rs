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
            for (name, value) in [
                ("audience", &definition.audience),
                ("resource", &definition.resource),
            ] {
                if let Some(value) = value {
                    form.push((name, value));
                }
            }
            self.requester.ask(&form, now).await
        })
    }
}
