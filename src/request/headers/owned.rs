//! The headers that are Gatepost's to write, in every spelling.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

/// The names of the identity headers (DESIGN §6). `None` stops writing one, never stripping it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is named after the header it names")]
pub struct IdentityNames {
    pub user_id: Option<HeaderName>,
    pub request_id: Option<HeaderName>,
    pub tenant_id: Option<HeaderName>,
    pub user_name: Option<HeaderName>,
    pub user_email: Option<HeaderName>,
    pub user_groups: Option<HeaderName>,
    pub user_roles: Option<HeaderName>,
    pub user_permissions: Option<HeaderName>,
    pub issuer: Option<HeaderName>,
    pub client_id: Option<HeaderName>,
    pub principal_kind: Option<HeaderName>,
}

impl Default for IdentityNames {
    fn default() -> Self {
        let name = |text| Some(HeaderName::from_static(text));
        Self {
            user_id: name("x-user-id"),
            request_id: name("x-request-id"),
            tenant_id: name("x-tenant-id"),
            user_name: name("x-user-name"),
            user_email: name("x-user-email"),
            user_groups: name("x-user-groups"),
            user_roles: name("x-user-roles"),
            user_permissions: name("x-user-permissions"),
            issuer: name("x-auth-issuer"),
            client_id: name("x-client-id"),
            principal_kind: name("x-principal-kind"),
        }
    }
}

impl IdentityNames {
    /// The configured names that are written.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderName> {
        let Self {
            user_id,
            request_id,
            tenant_id,
            user_name,
            user_email,
            user_groups,
            user_roles,
            user_permissions,
            issuer,
            client_id,
            principal_kind,
        } = self;
        [
            user_id,
            request_id,
            tenant_id,
            user_name,
            user_email,
            user_groups,
            user_roles,
            user_permissions,
            issuer,
            client_id,
            principal_kind,
        ]
        .into_iter()
        .flatten()
    }
}

/// The headers no client may set: identity headers by default and configured name, `X-Auth-*`,
/// `x-amzn-oidc-*`, and the route-independent `strip` list, each in every spelling that folds to
/// it (case, `-`, `_`, `.`), because WSGI and CGI apps read them all as one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OwnedHeaders(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    /// Sorted: comparing with a few names is cheaper than hashing one.
    folded: Box<[Box<[u8]>]>,
    /// Their first bytes: most of a client's headers begin otherwise.
    firsts: Box<[u8]>,
}

/// Prefixes owned whole.
const OWNED_PREFIXES: [&[u8]; 2] = [b"x-auth-", b"x-amzn-oidc-"];

/// Statements of an original request, URL overrides among them: they would let the upstream see
/// another request than was judged.
pub const ORIGINALS: [&str; 4] = [
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
];

/// Method overrides: so would they.
pub const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-method-override",
    "x-http-method",
];

/// Whether a client asks for another method than it sends, in any spelling.
#[must_use]
pub fn overrides_method(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        METHOD_OVERRIDES
            .iter()
            .any(|known| fold(name.as_str().as_bytes()).eq(known.bytes()))
    })
}

impl OwnedHeaders {
    /// The set for these names. `pass_overrides` leaves `X-Original-URL`,
    /// `X-HTTP-Method-Override` and their kin to the client.
    #[must_use]
    pub fn new(names: &IdentityNames, strip: &[HeaderName], pass_overrides: bool) -> Self {
        let defaults = IdentityNames::default();
        let mut folded: Vec<Box<[u8]>> = defaults
            .iter()
            .chain(names.iter())
            .chain(strip)
            .map(|name| fold(name.as_str().as_bytes()).collect())
            .chain(
                ORIGINALS
                    .iter()
                    .chain(&METHOD_OVERRIDES)
                    .filter(|_name| !pass_overrides)
                    .map(|name| name.as_bytes().into()),
            )
            .collect();
        folded.sort_unstable();
        folded.dedup();
        let firsts = folded.iter().filter_map(|name| name.first().copied());
        let mut firsts: Vec<u8> = firsts.chain([b'x']).collect();
        firsts.dedup();
        Self(Arc::new(Owned {
            folded: folded.into(),
            firsts: firsts.into(),
        }))
    }

    /// Whether a client's header of this name is removed.
    #[must_use]
    pub fn owns(&self, name: &HeaderName) -> bool {
        let bytes = name.as_str().as_bytes();
        let first = bytes.iter().copied().map(folded).next();
        if !first.is_some_and(|first| self.0.firsts.contains(&first)) {
            return false;
        }
        if folds(bytes) {
            let folded: Box<[u8]> = fold(bytes).collect();
            self.owns_folded(&folded)
        } else {
            self.owns_folded(bytes)
        }
    }

    fn owns_folded(&self, folded: &[u8]) -> bool {
        OWNED_PREFIXES
            .iter()
            .any(|prefix| folded.starts_with(prefix))
            || self
                .0
                .folded
                .binary_search_by(|owned| owned.as_ref().cmp(folded))
                .is_ok()
    }
}

/// Whether a header states that a request is for another host or path than it says, in any
/// spelling: a gateway before the receiver may follow it. Who sent the request (`X-Forwarded-For`)
/// is another matter.
#[must_use]
pub fn states_place(name: &HeaderName) -> bool {
    const PLACES: [&str; 3] = ["forwarded", "x-host", "x-original-host"];
    let bytes = name.as_str().as_bytes();
    if !matches!(bytes.first(), Some(b'f' | b'x')) {
        return false;
    }
    let folded: Vec<u8> = fold(bytes).collect();
    let is = |known: &&str| folded == known.as_bytes();
    ORIGINALS.iter().chain(&PLACES).any(is)
        || (folded.starts_with(b"x-forwarded-") && !is(&"x-forwarded-for"))
}

/// Whether two names fold to one: `x_user_id` and `X-User-ID`.
#[must_use]
pub fn same_folded(a: &HeaderName, b: &HeaderName) -> bool {
    a.as_str().len() == b.as_str().len()
        && (a == b || fold(a.as_str().as_bytes()).eq(fold(b.as_str().as_bytes())))
}

/// Whether a name has another spelling with `-`.
pub(super) fn folds(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'_' | b'.'))
}

fn fold(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().copied().map(folded)
}

fn folded(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_spelling_of_an_owned_header_is_owned() {
        let owned = OwnedHeaders::new(&IdentityNames::default(), &[name("x-internal")], false);
        for text in [
            "X-User-ID",
            "x_user_id",
            "X.User.Id",
            "x-user_ID",
            "x_Tenant.id",
            "X-Auth-Anything",
            "x_auth_handle",
            "x-amzn-oidc-data",
            "X_Amzn.Oidc-Identity",
            "x_internal",
            "X-Original-URL",
            "x_http_method_override",
        ] {
            assert!(owned.owns(&name(text)), "{text}");
        }
        for text in [
            "mlflow_tracking_token",
            "x-amz-security-token",
            "x-metrics-key",
            "authorization",
            "x-user",
            "x-userid",
            "x-authority",
            "x-api-key",
            "traceparent",
        ] {
            assert!(!owned.owns(&name(text)), "{text}");
        }
    }

    #[test]
    fn a_renamed_identity_header_owns_both_names() {
        let names = IdentityNames {
            user_id: Some(name("x-subject")),
            user_name: None,
            ..IdentityNames::default()
        };
        let owned = OwnedHeaders::new(&names, &[], true);
        for text in ["x-subject", "X_Subject", "x-user-id", "x-user-name"] {
            assert!(owned.owns(&name(text)), "{text}");
        }
        assert!(!owned.owns(&name("x-http-method-override")));
    }
}
