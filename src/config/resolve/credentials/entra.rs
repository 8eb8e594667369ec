//! Microsoft Entra ID's token endpoint, and what it takes of an application.

use url::Url;

use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::Resolver;

/// Whether this is a token endpoint of Entra, national clouds included.
pub(super) fn is_entra(token_url: &Url) -> bool {
    matches!(
        token_url.host_str(),
        Some(
            "login.microsoftonline.com"
                | "login.microsoftonline.us"
                | "login.partner.microsoftonline.cn"
                | "login.windows.net"
        )
    )
}

impl Resolver<'_> {
    /// What an application asks for by itself: one `…/.default` at the v2.0 endpoint, one resource
    /// at the older one. Anything else Entra refuses.
    pub(super) fn entra_scopes(
        &mut self,
        raw: &raw::ClientCredentials,
        token_url: &Url,
        path: &KeyPath,
    ) {
        if raw.client.tenant_id.is_none() && !is_entra(token_url) {
            return;
        }
        let at = path.key("scopes");
        if !token_url.path().ends_with("/oauth2/v2.0/token") {
            if !raw.scopes.is_empty() {
                self.mistakes.push(
                    &at,
                    "this endpoint of Entra takes a resource instead of scopes",
                    "write tenant_id instead of token_url, or resource instead of scopes",
                );
            }
            return;
        }
        if let Some(resource) = &raw.resource {
            let resource = resource.list().concat();
            self.mistakes.push(
                &path.key("resource"),
                "Entra's v2.0 endpoint takes a scope instead of a resource",
                format!("write scopes = [{:?}]", default_of(&resource)),
            );
        }
        match raw.scopes.as_slice() {
            [one] => {
                let scope = &one.0.0;
                if !scope.ends_with("/.default") {
                    self.mistakes.push(
                        &at.index(0),
                        format!("{scope:?} is not for an application to ask: Entra gives it what it was assigned, as a whole"),
                        format!("write {:?}", default_of(scope)),
                    );
                }
            }
            [] if raw.resource.is_some() || self.mistakes.settled.contains(&at) => {}
            [] => self.mistakes.push(
                &at,
                "missing: Entra wants to know what the token is for",
                "write scopes = [\"api://…/.default\"]",
            ),
            [_, _, ..] => self.mistakes.push(
                &at,
                "Entra gives a token for one application at a time",
                "keep one …/.default, and write a further credential for each other",
            ),
        }
    }
}

/// `api://orders/read` and `api://orders` → `api://orders/.default`
fn default_of(scope: &str) -> String {
    let from = scope.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = scope.split_at(from);
    let resource = rest.rsplit_once('/').map_or(rest, |(resource, _)| resource);
    format!("{scheme}{resource}/.default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_scope_of_a_resource_is_suggested() {
        for (written, expected) in [
            ("api://orders", "api://orders/.default"),
            ("api://orders/read", "api://orders/.default"),
            (
                "https://graph.microsoft.com/User.Read",
                "https://graph.microsoft.com/.default",
            ),
            ("User.Read", "User.Read/.default"),
        ] {
            assert_eq!(default_of(written), expected);
        }
    }
}
