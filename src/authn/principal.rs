//! A principal: who was proven.

use std::sync::Arc;

use crate::authn::claims::Claims;
use crate::reason::Denial;

/// The longest user, tenant or client id, in characters.
const MAX_ID_CHARS: usize = 256;

/// A person, or a program acting for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program with its own credential (client credentials, app-only).
    Service,
}

impl PrincipalKind {
    /// `user` or `service`, as in `X-Principal-Kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
        }
    }
}

/// A set of names that a credential states, or does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// These, exactly. Order as in the token.
    Known(Vec<String>),
    /// The credential does not carry them (Entra groups overage; any certificate): no rule on them
    /// can be decided.
    Unresolved,
}

impl Names {
    /// The names, none if unresolved.
    #[must_use]
    pub fn known(&self) -> &[String] {
        match self {
            Self::Known(names) => names,
            Self::Unresolved => &[],
        }
    }
}

/// Who was proven, with everything a rule may ask. Scopes, groups, roles and permissions are four
/// different sets, never merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// A person or a program.
    pub kind: PrincipalKind,
    /// The configured name of the issuer that proved it.
    pub issuer: Arc<str>,
    /// Cognito `sub`, Entra `oid`; the client id for a Cognito service. Never empty, no control
    /// characters.
    pub user_id: String,
    /// The tenant, if the issuer's tokens name one.
    pub tenant_id: Option<String>,
    /// The OAuth client the token was issued to.
    pub client_id: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// Mail address; never an identifier.
    pub email: Option<String>,
    /// Group names or ids.
    pub groups: Names,
    /// Roles.
    pub roles: Names,
    /// Permissions.
    pub permissions: Names,
    /// Those of them that stand for all below them (`orders.*`), as its issuer's
    /// [`Mapping`](crate::authn::Mapping) has it.
    pub wildcards: Vec<String>,
    /// Scopes (RFC 6749 3.3).
    pub scopes: Vec<String>,
    /// All claims of the token, for rules on claims.
    pub claims: Claims,
}

impl Principal {
    /// Somebody of whom nothing else is known: its credential says nothing of groups, roles and
    /// permissions, which is not that there are none.
    #[must_use]
    pub fn alone(kind: PrincipalKind, issuer: &str, user_id: String) -> Self {
        Self {
            kind,
            issuer: Arc::from(issuer),
            user_id,
            tenant_id: None,
            client_id: None,
            name: None,
            email: None,
            groups: Names::Unresolved,
            roles: Names::Unresolved,
            permissions: Names::Unresolved,
            wildcards: Vec::new(),
            scopes: Vec::new(),
            claims: Claims::default(),
        }
    }

    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts = [&self.tenant_id, &self.client_id, &self.name, &self.email];
        let texts = texts.into_iter().flatten().chain([&self.user_id]);
        let names = [&self.groups, &self.roles, &self.permissions];
        let names = names.into_iter().flat_map(Names::known);
        let listed = names.chain(&self.scopes).chain(&self.wildcards);
        size_of::<Self>()
            + texts.map(String::len).sum::<usize>()
            + listed
                .map(|name| size_of::<String>() + name.len())
                .sum::<usize>()
            + self.claims.size()
    }
}

/// A user, tenant or client id. It goes into headers and logs as it is, never cut short: an empty or
/// overlong one, or one with control characters, is [`Denial::SubjectInvalid`].
pub(super) fn identifier(id: &str) -> Result<String, Denial> {
    let is_short = id.len() <= MAX_ID_CHARS || id.chars().count() <= MAX_ID_CHARS;
    let holds = !id.is_empty() && is_short && !id.chars().any(char::is_control);
    if holds {
        Ok(id.to_owned())
    } else {
        Err(Denial::SubjectInvalid)
    }
}
