//! Issuers as written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::super::forms::{NonEmpty, Positive, Text};
use super::{AuthMethod, List, OneOrMany, Secret};
use crate::authn::issuer::Algorithm;

/// One `[issuers.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::config) enum Issuer {
    /// An AWS Application Load Balancer that signs in users (`x-amzn-oidc-data`).
    Alb(Box<AlbIssuer>),
    /// An Amazon Cognito user pool.
    Cognito(CognitoIssuer),
    /// Microsoft Entra ID, one tenant.
    Entra(EntraIssuer),
    /// A server that is asked about each token (RFC 7662).
    Introspection(Box<IntrospectionIssuer>),
    /// An endpoint of one's own that is asked about each token.
    Remote(Box<RemoteIssuer>),
    /// An `OpenID` Connect or OAuth 2.0 issuer with a discovery document.
    Oidc(OidcIssuer),
    /// Any issuer of JWTs, with its keys named here.
    Jwt(Box<JwtIssuer>),
}

/// Keys every issuer takes.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct IssuerCommon {
    /// Allowed signature algorithms.
    pub(in crate::config) algorithms: Option<List<Text<Algorithm>>>,
    /// Allowed clock difference.
    pub(in crate::config) leeway: Option<Text<Duration>>,
    /// Whether readiness waits for its keys.
    pub(in crate::config) required: Option<bool>,
    /// Where a principal's parts stand, if not where the kind expects them.
    #[serde(default)]
    pub(in crate::config) claims: ClaimNames,
    /// Claims that must have, or hold as an element, one of these values.
    #[serde(default)]
    pub(in crate::config) required_claims: BTreeMap<String, OneOrMany>,
    /// Name of the `[mappings.X]` table that says what its groups, roles, permissions and scopes mean here.
    pub(in crate::config) mapping: Option<Text<NonEmpty>>,
    /// Accepted `typ` of the token's header: `at+jwt` for access tokens only (RFC 9068). Without it: `JWT`,
    /// `at+jwt`, or none.
    pub(in crate::config) typ: Option<List<Text<NonEmpty>>>,
    /// What becomes of tokens bound to a key that the client proves to hold (`DPoP`, RFC 9449).
    pub(in crate::config) dpop: Option<Bound>,
    /// What becomes of tokens bound to the client certificate (RFC 8705).
    pub(in crate::config) certificate_bound: Option<Bound>,
    /// Longest time since `iat`.
    pub(in crate::config) max_token_age: Option<Text<Positive>>,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can forge every token.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
}

/// Whether and where the issuer is asked for what its tokens do not carry.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Userinfo {
    /// Where name and email come from that a token does not carry: the issuer's userinfo endpoint.
    pub(in crate::config) profile: Option<Profile>,
    /// That endpoint, if not where the discovery document says.
    pub(in crate::config) userinfo_url: Option<Text<Url>>,
}

/// `profile`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Profile {
    Userinfo,
}

/// Where each part of a principal stands: a claim name, or a path into objects.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct ClaimNames {
    pub(in crate::config) user_id: Option<OneOrMany>,
    pub(in crate::config) tenant: Option<OneOrMany>,
    pub(in crate::config) client_id: Option<OneOrMany>,
    pub(in crate::config) name: Option<OneOrMany>,
    pub(in crate::config) email: Option<OneOrMany>,
    pub(in crate::config) groups: Option<OneOrMany>,
    pub(in crate::config) roles: Option<OneOrMany>,
    pub(in crate::config) permissions: Option<OneOrMany>,
    pub(in crate::config) scopes: Option<OneOrMany>,
}

/// `dpop`, `certificate_bound`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Bound {
    Refused,
    Accepted,
    Required,
}

/// A list, or `"any"`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum ListOrAny {
    /// `"any"`: everyone's.
    Any(AnyWord),
    /// One of these.
    List(List<Text<NonEmpty>>),
}

/// `"any"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AnyWord {
    Any,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct AlbIssuer {
    /// The load balancer's region: where its keys are follows from it.
    pub(in crate::config) region: Text<NonEmpty>,
    /// The issuer that the load balancer signs users in with, byte for byte.
    pub(in crate::config) issuer: Text<NonEmpty>,
    /// Accepted clients of the load balancer at that issuer, or `"any"`.
    pub(in crate::config) client_ids: ListOrAny,
    /// The load balancer's ARN, or a list: anybody can have another load balancer sign anything.
    pub(in crate::config) signer: OneOrMany,
    /// Name of the issuer whose access token beside it tells groups, roles, permissions and scopes.
    pub(in crate::config) access_token: Option<Text<NonEmpty>>,
    /// Where the keys are, each under its `kid`, if not where AWS has them (private endpoints, emulators).
    pub(in crate::config) keys_url: Option<Text<Url>>,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct IntrospectionIssuer {
    /// The endpoint, instead of asking the discovery document.
    pub(in crate::config) introspection_url: Option<Text<Url>>,
    /// The issuer: its discovery document names the endpoint, and no answer may name another.
    pub(in crate::config) issuer: Option<Text<NonEmpty>>,
    /// Accepted audiences, or `"any"`. This, `client_ids`, or both.
    pub(in crate::config) audiences: Option<ListOrAny>,
    /// Accepted clients, or `"any"`.
    pub(in crate::config) client_ids: Option<ListOrAny>,
    /// The client that asks.
    pub(in crate::config) client_id: Text<NonEmpty>,
    /// Its secret. This, a key, or `auth_method = "none"`.
    pub(in crate::config) client_secret: Option<Secret>,
    /// How the client authenticates. With a secret: Basic.
    pub(in crate::config) auth_method: Option<AuthMethod>,
    /// The client's private key, PEM: it signs an assertion for each question.
    pub(in crate::config) client_key_file: Option<PathBuf>,
    /// `kid` of assertions.
    pub(in crate::config) client_key_id: Option<Text<NonEmpty>>,
    /// `alg` of assertions, where the key leaves a choice.
    pub(in crate::config) client_assertion_algorithm: Option<Text<Algorithm>>,
    /// `aud` of assertions: the issuer, else the endpoint, unless the server wants another.
    pub(in crate::config) client_assertion_audience: Option<Text<NonEmpty>>,
    #[serde(flatten)]
    pub(in crate::config) asked: Asked,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct RemoteIssuer {
    /// Who is asked: 200 is a good token, 401 and 403 are none.
    pub(in crate::config) url: Text<Url>,
    /// `GET`, or `POST` where the token stands in the body.
    pub(in crate::config) method: Option<Text<Method>>,
    /// How the token is handed over: `"authorization"`, `{ json = "NAME" }` or `{ form = "NAME" }`.
    pub(in crate::config) token: Option<HandedOver>,
    /// Issuers that an answer may name in `issuer` or `iss`, and then must, or `"any"`: one id is one user,
    /// whoever issued it. Without it an answer that names one is refused.
    pub(in crate::config) issuers: Option<ListOrAny>,
    /// Accepted audiences (`aud` of the answer), or `"any"`. Not asked if absent.
    pub(in crate::config) audiences: Option<ListOrAny>,
    /// Accepted clients, or `"any"`. Not asked if absent.
    pub(in crate::config) client_ids: Option<ListOrAny>,
    #[serde(flatten)]
    pub(in crate::config) asked: Asked,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}

/// How long answers are used, and what is asked about.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Asked {
    /// How long an answer is used, never beyond the token's end: a token that is revoked is used that long.
    pub(in crate::config) cache: Option<Text<Duration>>,
    /// How long a token that is none is not asked about again.
    pub(in crate::config) negative_cache: Option<Text<Duration>>,
    /// Deadline of one question.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// Whether it is asked about JWTs too, where no accepted issuer's keys verify them.
    #[serde(default)]
    pub(in crate::config) accept_jwt: bool,
}

/// `token`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum HandedOver {
    /// `"authorization"`
    Word(AuthorizationHeader),
    /// In the body.
    Body(TokenMember),
}

/// `"authorization"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AuthorizationHeader {
    Authorization,
}

/// `{ json = … }`, `{ form = … }`
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct TokenMember {
    /// Name of the member of a JSON object.
    pub(in crate::config) json: Option<Text<NonEmpty>>,
    /// Name of the field of a form.
    pub(in crate::config) form: Option<Text<NonEmpty>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct CognitoIssuer {
    /// The pool's id; region, issuer and key set follow from it.
    pub(in crate::config) user_pool_id: Text<NonEmpty>,
    /// The pool's region, where one wants to state it; must agree with the pool's id.
    pub(in crate::config) region: Option<Text<NonEmpty>>,
    /// Accepted app clients, or `"any"`.
    pub(in crate::config) client_ids: ListOrAny,
    /// Accepted audiences of access tokens that carry one (resource binding).
    pub(in crate::config) audiences: Option<List<Text<NonEmpty>>>,
    /// Accepted kinds of token.
    pub(in crate::config) token_use: Option<List<TokenUse>>,
    /// The issuer, where it is not AWS's own (emulators, private endpoints).
    pub(in crate::config) issuer: Option<Text<NonEmpty>>,
    /// Where the keys are, if not at the issuer.
    pub(in crate::config) jwks_url: Option<Text<Url>>,
    #[serde(flatten)]
    pub(in crate::config) userinfo: Userinfo,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}

/// `token_use`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum TokenUse {
    Access,
    Id,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct EntraIssuer {
    /// The tenant's GUID.
    pub(in crate::config) tenant_id: Text<NonEmpty>,
    /// Accepted audiences, or `"any"`.
    pub(in crate::config) audiences: ListOrAny,
    /// What happens to a token that says its groups are kept elsewhere.
    pub(in crate::config) groups_overage: Option<GroupsOverage>,
    /// With `groups_overage = "graph"`: name of the `[credentials.X]` table of the look-ups.
    pub(in crate::config) credential: Option<Text<NonEmpty>>,
    /// Microsoft Graph, where it is not the public cloud's (national clouds, emulators).
    pub(in crate::config) graph_url: Option<Text<Url>>,
    /// The issuer, where it is not Microsoft's own (national clouds, emulators).
    pub(in crate::config) issuer: Option<Text<NonEmpty>>,
    /// Where the keys are, if not at the tenant's.
    pub(in crate::config) jwks_url: Option<Text<Url>>,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}

/// `groups_overage`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum GroupsOverage {
    /// No rule on groups lets it pass.
    Deny,
    /// Microsoft Graph is asked.
    Graph,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct OidcIssuer {
    /// The issuer, byte for byte as its tokens state it.
    pub(in crate::config) issuer: Text<NonEmpty>,
    /// Accepted audiences, or `"any"`.
    pub(in crate::config) audiences: ListOrAny,
    /// Where the keys are, instead of asking the discovery document.
    pub(in crate::config) jwks_url: Option<Text<Url>>,
    #[serde(flatten)]
    pub(in crate::config) userinfo: Userinfo,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct JwtIssuer {
    /// The issuer, byte for byte as its tokens state it.
    pub(in crate::config) issuer: Text<NonEmpty>,
    /// Accepted audiences, or `"any"`.
    pub(in crate::config) audiences: ListOrAny,
    /// A JWK Set at this URL.
    pub(in crate::config) jwks_url: Option<Text<Url>>,
    /// A JWK Set on disk.
    pub(in crate::config) jwks_file: Option<PathBuf>,
    /// A PEM public key on disk.
    pub(in crate::config) public_key_file: Option<PathBuf>,
    /// An HMAC secret, no shorter than its hash.
    pub(in crate::config) secret: Option<Secret>,
    #[serde(flatten)]
    pub(in crate::config) common: IssuerCommon,
}
