//! Issuers and their keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use url::Url;

use super::OAuthClient;
use crate::authn::Issuer;
use crate::secret::SecretSource;

/// An issuer with where its keys are.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What its tokens must satisfy.
    pub issuer: Arc<Issuer>,
    /// Where its keys are.
    pub keys: KeyLocation,
    /// Whether readiness waits for its keys.
    pub required: bool,
    /// Whether plain `http://` to a host other than loopback is allowed.
    pub insecure_http: bool,
    /// Where it tells names and emails that its tokens do not carry (`profile = "userinfo"`).
    pub userinfo: Option<Userinfo>,
}

/// Where an issuer's userinfo endpoint is (`OpenID` Connect Core 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Userinfo {
    /// Here.
    Url(Url),
    /// Found through the issuer's discovery document, whose `issuer` must equal this.
    Discovery {
        /// The issuer, byte for byte.
        issuer: String,
        /// `{issuer}/.well-known/openid-configuration`
        url: Url,
    },
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// A JWK Set at this URL.
    JwksUrl(Url),
    /// Found through the issuer's discovery document, whose `issuer` must equal this.
    Discovery {
        /// The issuer, byte for byte.
        issuer: String,
        /// `{issuer}/.well-known/openid-configuration`
        url: Url,
    },
    /// One PEM public key at a time, each at this URL and its `kid`.
    PemByKeyId(Url),
    /// A JWK Set on disk.
    JwksFile(PathBuf),
    /// A PEM public key on disk.
    PublicKeyFile(PathBuf),
    /// An HMAC secret.
    Secret(SecretSource),
    /// It has none: it is asked about each token.
    Asked(Box<AskedIssuer>),
}

/// How an issuer is asked about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedIssuer {
    /// In which words, and as whom.
    pub protocol: TokenProtocol,
    /// How long an answer is used.
    pub cache: Duration,
    /// How long a token is taken to be none.
    pub negative_cache: Duration,
    /// Deadline of one question, waiting for its turn included.
    pub timeout: Duration,
}

/// The words an issuer is asked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenProtocol {
    /// RFC 7662.
    Introspection {
        /// As whom.
        client: Box<OAuthClient>,
        /// Where.
        at: AskedAt,
    },
    /// An endpoint of one's own.
    Remote(Remote),
}

/// Where an introspection endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedAt {
    /// Here.
    Url(Url),
    /// Found through the issuer's discovery document, whose `issuer` must equal this.
    Discovery {
        /// The issuer, byte for byte.
        issuer: String,
        /// `{issuer}/.well-known/openid-configuration`
        url: Url,
    },
}

/// An endpoint that says by its status whether a token is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where.
    pub url: Url,
    /// `GET` or `POST`.
    pub method: Method,
    /// How it gets the token.
    pub handed_over: HandedOver,
}

/// How an endpoint gets a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// `Authorization: Bearer …`
    Authorization,
    /// A member of a JSON object.
    Json(String),
    /// A field of a form.
    Form(String),
}

impl TokenProtocol {
    /// The config's word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Introspection { .. } => "introspection",
            Self::Remote(_) => "remote",
        }
    }
}

impl AskedIssuer {
    /// The configured URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        match &self.protocol {
            TokenProtocol::Introspection { at, .. } => match at {
                AskedAt::Url(url) | AskedAt::Discovery { url, .. } => url,
            },
            TokenProtocol::Remote(remote) => &remote.url,
        }
    }
}

/// `[jwks]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// Time between two scheduled fetches.
    pub refresh_interval: Duration,
    /// How long keys are used without a successful fetch.
    pub max_stale: Duration,
    /// Time after which the unknown-`kid` budget regains one fetch.
    pub unknown_kid_cooldown: Duration,
    /// Deadline of one fetch.
    pub fetch_timeout: Duration,
    /// Where key sets are kept for a restart during an outage.
    pub snapshot_dir: Option<PathBuf>,
    /// Whether readiness waits for the first keys of each required issuer.
    pub readiness_strict: bool,
}

/// `[token_cache]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    /// Most verified tokens kept.
    pub max_entries: usize,
    /// Most bytes they may hold together.
    pub max_bytes: usize,
}
