//! What an issuer's tokens must satisfy, and how its claims map to a principal.

use std::sync::Arc;

use crate::authn::claims::ClaimPath;
use crate::authn::credential::Kind;
use crate::authn::mapping::Mapping;
use crate::authn::proof::Bound;

/// A signature algorithm of RFC 7518 / RFC 8037. `none` does not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the registry's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
        Self::HS256,
        Self::HS384,
        Self::HS512,
    ];

    /// The registered name, compared byte for byte.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }

    /// The algorithm of that registered name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }

    /// Whether it is an HMAC, which only `kind = "jwt"` with a `secret` may use.
    #[must_use]
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Which audiences (or, for Cognito, clients) are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// `"any"`, spelled out and warned of.
    Any,
    /// One of these, byte for byte.
    OneOf(Vec<String>),
}

impl Accepted {
    /// As `explain` shows it.
    pub(in crate::authn) fn shown(&self) -> String {
        match self {
            Self::Any => "any".to_owned(),
            Self::OneOf(list) => format!("{list:?}"),
        }
    }

    /// Whether `value` is accepted.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(list) => list.iter().any(|accepted| accepted == value),
        }
    }
}

/// A kind of Cognito token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// `token_use = "access"`
    Access,
    /// `token_use = "id"`
    Id,
}

impl TokenUse {
    /// The claim's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Id => "id",
        }
    }
}

/// The rules a preset adds to the registered claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preset {
    /// An AWS Application Load Balancer that signs in users: what it says of them in `x-amzn-oidc-data`.
    Alb {
        /// ARNs of the load balancers that are believed.
        signers: Vec<String>,
        /// Accepted `client`.
        client_ids: Accepted,
        /// Name of the issuer whose access token beside it tells groups, roles, permissions and scopes.
        access_token: Option<Arc<str>>,
    },
    /// Amazon Cognito user pool: `token_use`; access tokens by `client_id` (and `aud` where
    /// `audiences` are configured), ID tokens by `aud`.
    Cognito {
        /// Accepted app clients.
        client_ids: Accepted,
        /// Accepted audiences of an access token that carries `aud` (resource binding); empty:
        /// not asked.
        audiences: Vec<String>,
        /// Accepted kinds of token.
        token_use: Vec<TokenUse>,
    },
    /// Microsoft Entra ID, one tenant: v1 and v2 issuers, `tid`, key `issuer`.
    Entra {
        /// The tenant's GUID.
        tenant_id: String,
        /// Accepted `aud`.
        audiences: Accepted,
    },
    /// Any OAuth 2.0 / OpenID Connect issuer of JWTs.
    Generic {
        /// Accepted `aud`.
        audiences: Accepted,
    },
    /// An issuer that is asked about each token.
    Opaque(Opaque),
}

/// What an issuer that is asked adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Where it is asked: another place may answer otherwise.
    pub endpoint: String,
    /// How its answers are written.
    pub answers: Answers,
    /// Issuers that an answer may name (`iss`; `issuer` of `/api/v1/validate`). None of them: it must name none.
    pub issuers: Accepted,
    /// Accepted `aud`; `None`: not asked.
    pub audiences: Option<Accepted>,
    /// Accepted clients; `None`: not asked.
    pub client_ids: Option<Accepted>,
    /// Whether it is asked about JWTs too.
    pub accept_jwt: bool,
    /// How long an answer is used, in seconds.
    pub cache: u64,
}

/// How an issuer writes what it says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// RFC 7662 2.2.
    Introspection,
    /// As `/api/v1/validate` does.
    Remote,
}

/// Where each part of a principal stands in the claims: the first of these that is present. Empty:
/// the issuer's tokens have no such claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is named after the part it maps")]
pub struct ClaimMap {
    pub user_id: Vec<ClaimPath>,
    pub tenant: Vec<ClaimPath>,
    pub client_id: Vec<ClaimPath>,
    pub name: Vec<ClaimPath>,
    pub email: Vec<ClaimPath>,
    pub groups: Vec<ClaimPath>,
    pub roles: Vec<ClaimPath>,
    pub permissions: Vec<ClaimPath>,
    pub scopes: Vec<ClaimPath>,
}

impl ClaimMap {
    /// What a load balancer says of a user is what the user info endpoint said: whoever the user is, not
    /// what they may.
    #[must_use]
    pub fn alb() -> Self {
        Self {
            user_id: names(&["sub"]),
            name: names(&["name", "cognito:username", "username"]),
            email: names(&["email"]),
            ..Self::default()
        }
    }

    /// Amazon Cognito. `cognito:roles` are IAM roles, not roles of the application, so roles and
    /// permissions come from configured claims only.
    #[must_use]
    pub fn cognito() -> Self {
        Self {
            user_id: names(&["sub"]),
            tenant: Vec::new(),
            client_id: names(&["client_id"]),
            name: names(&["name", "cognito:username", "username"]),
            email: names(&["email"]),
            groups: names(&["cognito:groups"]),
            roles: Vec::new(),
            permissions: Vec::new(),
            scopes: names(&["scope"]),
        }
    }

    /// An endpoint that answers as `/api/v1/validate` does.
    #[must_use]
    pub fn remote() -> Self {
        Self {
            user_id: names(&["id"]),
            tenant: names(&["tenant"]),
            client_id: names(&["client"]),
            name: names(&["name"]),
            email: names(&["email"]),
            groups: names(&["groups"]),
            roles: names(&["roles"]),
            permissions: names(&["permissions"]),
            scopes: names(&["scopes"]),
        }
    }

    /// Any server that answers by RFC 7662.
    #[must_use]
    pub fn introspection() -> Self {
        Self {
            name: names(&["name", "username"]),
            ..Self::generic()
        }
    }

    /// Microsoft Entra ID: `oid` is one person across all applications of the tenant, `sub` is
    /// not; `azp` in v2 tokens is `appid` in v1 tokens.
    #[must_use]
    pub fn entra() -> Self {
        Self {
            user_id: names(&["oid", "sub"]),
            tenant: names(&["tid"]),
            client_id: names(&["azp", "appid"]),
            name: names(&["name"]),
            email: names(&["email"]),
            groups: names(&["groups"]),
            roles: names(&["roles"]),
            permissions: Vec::new(),
            scopes: names(&["scp"]),
        }
    }

    /// Any issuer of JWTs: the names of RFC 7519, RFC 8693, RFC 9068 and `OpenID` Connect.
    #[must_use]
    pub fn generic() -> Self {
        Self {
            user_id: names(&["sub"]),
            tenant: Vec::new(),
            client_id: names(&["client_id", "azp"]),
            name: names(&["name"]),
            email: names(&["email"]),
            groups: names(&["groups"]),
            roles: names(&["roles"]),
            permissions: names(&["permissions"]),
            scopes: names(&["scope", "scp"]),
        }
    }
}

fn names(list: &[&str]) -> Vec<ClaimPath> {
    list.iter().map(|name| ClaimPath::name(name)).collect()
}

/// One `[issuers.NAME]` table, as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The configured name.
    pub name: Arc<str>,
    /// Accepted values of `iss`, byte for byte. Empty only where the issuer is asked, and needs not say.
    pub accepted_iss: Vec<String>,
    /// Allowed algorithms. Empty only where the issuer is asked; HMACs and signatures are never mixed.
    pub algorithms: Vec<Algorithm>,
    /// Allowed clock difference for `exp`, `nbf` and `iat`, in seconds.
    pub leeway: u64,
    /// Accepted `typ`, without `application/`; case does not matter. Empty: `JWT`, `at+jwt` or none.
    pub typ: Vec<String>,
    /// What becomes of tokens bound to the key of a `DPoP` proof.
    pub dpop: Bound,
    /// What becomes of tokens bound to a client certificate.
    pub certificate_bound: Bound,
    /// Longest time since `iat`, in seconds.
    pub max_token_age: Option<u64>,
    /// Claims that must have one of these values.
    pub required_claims: Vec<(ClaimPath, Vec<String>)>,
    /// Where a principal's parts stand.
    pub claims: ClaimMap,
    /// What its names mean here.
    pub mapping: Mapping,
    /// What the preset adds.
    pub preset: Preset,
}

impl Issuer {
    /// By which kind of credential it proves somebody.
    #[must_use]
    pub fn proves_by(&self) -> Kind {
        match &self.preset {
            Preset::Alb { .. } => Kind::Alb,
            Preset::Cognito { .. }
            | Preset::Entra { .. }
            | Preset::Generic { .. }
            | Preset::Opaque(_) => Kind::Bearer,
        }
    }

    /// What it adds if it is asked about its tokens.
    #[must_use]
    pub fn opaque(&self) -> Option<&Opaque> {
        match &self.preset {
            Preset::Opaque(opaque) => Some(opaque),
            Preset::Alb { .. }
            | Preset::Cognito { .. }
            | Preset::Entra { .. }
            | Preset::Generic { .. } => None,
        }
    }

    /// Whether its keys verify bearer tokens.
    #[must_use]
    pub fn verifies_tokens(&self) -> bool {
        self.proves_by() == Kind::Bearer && self.opaque().is_none()
    }
}
