//! Why a request was refused: the stable reason codes of log, metric, audit and `explain`.
//!
//! [`Denial`]: policy said no (4xx). [`Failure`]: we could not tell or could not carry the request
//! (5xx). They are two types so that an outage can never be written as a denial. [`Refusal`] is where
//! both may stand.

use std::fmt;
use std::time::Duration;

use http::Method;

/// Policy said no. Each variant has one stable reason code; a code that both the token and the rule
/// can cause has two variants, since the first is a 401 and the second a 403.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The token's `alg` is not allowed for its issuer or key.
    AlgorithmRefused,
    /// `aud` names none of the configured audiences.
    AudienceMismatch,
    /// The body is larger than `max_body_bytes`.
    BodyTooLarge,
    /// A claim the rule asks for has another value, or none.
    ClaimMismatch,
    /// The rule does not name the principal's client.
    ClientRefused,
    /// The client's address has `max_connections_per_peer` connections already.
    ConnectionLimit,
    /// The same kind of credential was presented more than once.
    CredentialAmbiguous,
    /// Nothing was presented.
    CredentialMissing,
    /// The egress listener does not serve this target, host or browser.
    EgressTargetRefused,
    /// A call that only its user's credential may make, and there is none: what the app is told.
    EgressUserUnavailable(&'static str),
    /// None of the required groups.
    GroupMissing,
    /// The token says that its groups are elsewhere (Entra overage).
    GroupsUnresolved,
    /// The head has more bytes or fields than `max_header_bytes` and `max_headers` allow.
    HeadersTooLarge,
    /// `Host` / `:authority` is missing, doubled, malformed or contradicted.
    HostInvalid,
    /// `iss` is not one this route accepts.
    IssuerUnknown,
    /// A key set fetched after this `kid` was first seen does not hold it.
    KeyUnknown,
    /// Too many wrong passwords for this user from this source.
    LockedOut {
        /// When it may try again.
        retry_after: Duration,
    },
    /// The password is right, and whoever issues tokens asks for something else too.
    LoginChallenge,
    /// The winning path pattern has no route for this method; these it has.
    MethodNotAllowed(Vec<Method>),
    /// No route matches.
    NoRoute,
    /// User name and password are not ones we know, or cannot be read.
    PasswordRefused,
    /// The path could be read in two ways.
    PathAmbiguous,
    /// The peer may not state an original request.
    PeerUntrusted,
    /// None of the required permissions.
    PermissionMissing,
    /// A user where a service is required, or the other way round.
    PrincipalKindRefused,
    /// The `DPoP` proof beside the token does not hold.
    ProofInvalid,
    /// Too many attempts from this source.
    RateLimited {
        /// When it may try again.
        retry_after: Duration,
    },
    /// The request contradicts itself or lacks what its dialect requires.
    RequestMalformed,
    /// The head was not complete within `header_timeout`, or the body stalled for `idle_timeout`.
    RequestTimeout,
    /// None of the required roles.
    RoleMissing,
    /// None of the required scopes.
    ScopeMissing,
    /// The signature does not verify.
    SignatureInvalid,
    /// The subject, tenant or client id is empty, longer than 256 characters, or holds control
    /// characters.
    SubjectInvalid,
    /// A claim the issuer's table requires has another value, or none: the token is not for us.
    TokenClaimMismatch,
    /// Issued to a client the issuer's table does not name: the token is not for us.
    TokenClientRefused,
    /// `exp` of the token, or `notAfter` of the client certificate, has passed.
    TokenExpired,
    /// Its issuer, asked, says that it is not good: unknown, expired, revoked.
    TokenInactive,
    /// Not a compact JWS of a JSON claims object.
    TokenMalformed,
    /// `nbf` or `iat` of the token, or `notBefore` of the client certificate, lies ahead.
    TokenNotYetValid,
    /// The deny-list names the token, its subject or its client.
    TokenRevoked,
    /// The token is longer than we read.
    TokenTooLarge,
    /// `typ` names another kind of token, or the token is bound to a proof.
    TokenTypeRefused,
    /// `token_use` is not accepted here.
    TokenUseMismatch,
    /// Path and query are longer than `max_uri_bytes`.
    UriTooLong,
    /// The deny-list names the user that a service acts for.
    UserRevoked,
}

impl Denial {
    /// Every reason code of a denial, in alphabetical order.
    pub const REASONS: [&str; 42] = [
        "algorithm_refused",
        "audience_mismatch",
        "body_too_large",
        "claim_mismatch",
        "client_refused",
        "connection_limit",
        "credential_ambiguous",
        "credential_missing",
        "egress_target_refused",
        "egress_token_unavailable",
        "group_missing",
        "groups_unresolved",
        "headers_too_large",
        "host_invalid",
        "issuer_unknown",
        "key_unknown",
        "locked_out",
        "login_challenge",
        "method_not_allowed",
        "no_route",
        "password_refused",
        "path_ambiguous",
        "peer_untrusted",
        "permission_missing",
        "principal_kind_refused",
        "proof_invalid",
        "rate_limited",
        "request_malformed",
        "request_timeout",
        "role_missing",
        "scope_missing",
        "signature_invalid",
        "subject_invalid",
        "token_expired",
        "token_inactive",
        "token_malformed",
        "token_not_yet_valid",
        "token_revoked",
        "token_too_large",
        "token_type_refused",
        "token_use_mismatch",
        "uri_too_long",
    ];

    /// The stable reason code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AlgorithmRefused => "algorithm_refused",
            Self::AudienceMismatch => "audience_mismatch",
            Self::BodyTooLarge => "body_too_large",
            Self::ClaimMismatch | Self::TokenClaimMismatch => "claim_mismatch",
            Self::ClientRefused | Self::TokenClientRefused => "client_refused",
            Self::ConnectionLimit => "connection_limit",
            Self::CredentialAmbiguous => "credential_ambiguous",
            Self::CredentialMissing => "credential_missing",
            Self::EgressTargetRefused => "egress_target_refused",
            Self::EgressUserUnavailable(_) => "egress_token_unavailable",
            Self::GroupMissing => "group_missing",
            Self::GroupsUnresolved => "groups_unresolved",
            Self::HeadersTooLarge => "headers_too_large",
            Self::HostInvalid => "host_invalid",
            Self::IssuerUnknown => "issuer_unknown",
            Self::KeyUnknown => "key_unknown",
            Self::LockedOut { .. } => "locked_out",
            Self::LoginChallenge => "login_challenge",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::NoRoute => "no_route",
            Self::PasswordRefused => "password_refused",
            Self::PathAmbiguous => "path_ambiguous",
            Self::PeerUntrusted => "peer_untrusted",
            Self::PermissionMissing => "permission_missing",
            Self::PrincipalKindRefused => "principal_kind_refused",
            Self::ProofInvalid => "proof_invalid",
            Self::RateLimited { .. } => "rate_limited",
            Self::RequestMalformed => "request_malformed",
            Self::RequestTimeout => "request_timeout",
            Self::RoleMissing => "role_missing",
            Self::ScopeMissing => "scope_missing",
            Self::SignatureInvalid => "signature_invalid",
            Self::SubjectInvalid => "subject_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenInactive => "token_inactive",
            Self::TokenMalformed => "token_malformed",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenRevoked | Self::UserRevoked => "token_revoked",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenTypeRefused => "token_type_refused",
            Self::TokenUseMismatch => "token_use_mismatch",
            Self::UriTooLong => "uri_too_long",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// We could not tell, or could not carry the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No usable credential for an egress target; nothing was sent.
    EgressTokenUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// A bug of ours; the request ends, the process goes on.
    InternalError,
    /// An issuer that is asked about its tokens cannot be.
    IssuerUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// A known issuer has no usable key right now.
    KeysUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Nobody issues tokens for a login right now.
    LoginUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The answer to a login cannot be used.
    LoginUnusable,
    /// The store of memberships that the rule needs cannot be asked.
    MembershipsUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// No password can be verified right now.
    PasswordsUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The deny-list could not be read for too long.
    RevocationsUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// All connections to the upstream are in use.
    UpstreamOverloaded,
    /// The upstream answered something that is not HTTP, or broke off before its head.
    UpstreamProtocol,
    /// No response head within the route's timeout.
    UpstreamTimeout,
    /// No connection to the upstream.
    UpstreamUnreachable,
}

impl Failure {
    /// The stable reason code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EgressTokenUnavailable { .. } => "egress_token_unavailable",
            Self::InternalError => "internal_error",
            Self::IssuerUnavailable { .. } => "issuer_unavailable",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::LoginUnavailable { .. } => "login_unavailable",
            Self::LoginUnusable => "login_unusable",
            Self::MembershipsUnavailable { .. } => "memberships_unavailable",
            Self::PasswordsUnavailable { .. } => "passwords_unavailable",
            Self::RevocationsUnavailable { .. } => "revocations_unavailable",
            Self::UpstreamOverloaded => "upstream_overloaded",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// Why a request is not carried on: policy, or trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Policy said no.
    Denied(Denial),
    /// We could not tell, or not carry it.
    Failed(Failure),
}

impl Refusal {
    /// The stable reason code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Denied(denial) => denial.reason(),
            Self::Failed(failure) => failure.reason(),
        }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
