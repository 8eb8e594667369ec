//! What an AWS Application Load Balancer says of the user it signed in: `x-amzn-oidc-data`, a JWS that is
//! almost a JWT. Its parts may be padded, and the padding is signed; signer, client, issuer and end stand
//! in the header; each key is published alone, under its `kid`.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName};

use crate::authn::claims::{Claims, Json, Object};
use crate::authn::credential::one;
use crate::authn::issuer::{Algorithm, Issuer, Preset};
use crate::authn::jwk::KeySet;
use crate::authn::jws::{Header, Parts};
use crate::authn::jwt::{VerifiedToken, Vouched};
use crate::authn::principal::{Names, Principal, identifier};
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::Steps;

/// What the load balancer says, signed.
pub const DATA: HeaderName = HeaderName::from_static("x-amzn-oidc-data");
/// The user's `sub`, unsigned.
pub const IDENTITY: HeaderName = HeaderName::from_static("x-amzn-oidc-identity");
/// The user's access token, as their issuer signed it.
pub const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-amzn-oidc-accesstoken");

/// Canonical base64url, padded or not. The load balancer pads; nobody promises that it always will.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The three headers of a request.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'h> {
    /// [`DATA`]
    pub data: &'h [u8],
    /// [`IDENTITY`]
    pub identity: Option<&'h [u8]>,
    /// [`ACCESS_TOKEN`]
    pub access_token: Option<&'h [u8]>,
}

impl<'h> Presented<'h> {
    /// What a request presents; `None` without [`DATA`]: the others alone say nothing. One of them twice:
    /// [`Denial::CredentialAmbiguous`].
    pub fn find(headers: &'h HeaderMap) -> Result<Option<Self>, Denial> {
        let Some(data) = one(headers, &DATA)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            data,
            identity: one(headers, &IDENTITY)?,
            access_token: one(headers, &ACCESS_TOKEN)?,
        }))
    }
}

/// Which of the headers were verified: the app may be told these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// [`DATA`], and [`IDENTITY`] with it.
    pub data: bool,
    /// [`ACCESS_TOKEN`]
    pub access_token: bool,
}

impl Verified {
    /// Whether a header of this name was, in this spelling.
    #[must_use]
    pub fn holds(self, name: &HeaderName) -> bool {
        (self.data && (*name == DATA || *name == IDENTITY))
            || (self.access_token && *name == ACCESS_TOKEN)
    }

    /// What either holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            data: self.data || other.data,
            access_token: self.access_token || other.access_token,
        }
    }
}

/// A statement in three well-formed parts. Nothing in it is proven yet.
#[derive(Debug)]
pub struct Statement<'t> {
    /// `kid`, a UUID: it may stand in a URL.
    pub key_id: String,
    signer: String,
    iss: String,
    client: String,
    expires_at: UnixTime,
    signing_input: &'t str,
    claims: Claims,
    signature: Vec<u8>,
}

impl<'t> Statement<'t> {
    /// Splits a statement and checks its header: what [`Jws::parse`](crate::authn::jws::Jws::parse) asks,
    /// ES256 only ([`Denial::AlgorithmRefused`]), a UUID for a `kid` ([`Denial::KeyUnknown`]), `signer` and
    /// `iss` ([`Denial::IssuerUnknown`]), `client` ([`Denial::TokenClientRefused`]), and `exp`
    /// ([`Denial::TokenMalformed`]).
    pub fn parse(text: &'t str) -> Result<Self, Denial> {
        let parts = Parts::split(text)?;
        let members = Object::parse(decode(parts.header)?);
        let members = members.map_err(|_syntax| Denial::TokenMalformed)?;
        let Header {
            algorithm,
            key_id,
            typ,
        } = Header::read(&members)?;
        if algorithm != Algorithm::ES256 {
            return Err(Denial::AlgorithmRefused);
        }
        if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(Denial::TokenTypeRefused);
        }
        let text = |name: &str| members.find(name)?.as_str().map(str::to_owned);
        Ok(Self {
            key_id: key_id.filter(|id| is_uuid(id)).ok_or(Denial::KeyUnknown)?,
            signer: text("signer").ok_or(Denial::IssuerUnknown)?,
            iss: text("iss").ok_or(Denial::IssuerUnknown)?,
            client: text("client").ok_or(Denial::TokenClientRefused)?,
            expires_at: members
                .find("exp")
                .and_then(Json::as_u64)
                .map(UnixTime)
                .ok_or(Denial::TokenMalformed)?,
            signing_input: parts.signing_input,
            claims: Claims::parse(decode(parts.payload)?)?,
            signature: decode(parts.signature)?,
        })
    }

    /// Whether this load balancer and issuer are those of the table. It only chooses whose keys to try.
    pub fn is_of(&self, issuer: &Issuer, steps: &mut impl Steps) -> bool {
        let Preset::Alb { signers, .. } = &issuer.preset else {
            return false;
        };
        let Self { signer, iss, .. } = self;
        steps.step("signer", || format!("{signer:?}, accepted {signers:?}"));
        steps.step("iss", || {
            format!("{iss:?}, accepted {:?}", issuer.accepted_iss)
        });
        signers.contains(signer) && issuer.accepted_iss.contains(iss)
    }

    /// Refuses what no signature could make good, before anybody is asked for a key: another's client, and
    /// what has ended.
    pub fn is_worth_a_key(&self, issuer: &Issuer, now: UnixTime) -> Result<(), Denial> {
        if let Preset::Alb { client_ids, .. } = &issuer.preset
            && !client_ids.accepts(&self.client)
        {
            return Err(Denial::TokenClientRefused);
        }
        if now >= self.expires_at.plus(issuer.leeway) {
            return Err(Denial::TokenExpired);
        }
        Ok(())
    }

    /// Verifies the signature and reads who it is about. Groups, roles and permissions are unresolved
    /// unless the issuer's table says in which claim they stand.
    ///
    /// The payload must name the same issuer as the header ([`Denial::IssuerUnknown`]), and may only end
    /// it earlier.
    pub fn verify(
        &self,
        issuer: &Issuer,
        keys: &KeySet,
        steps: &mut impl Steps,
    ) -> Result<VerifiedToken, Denial> {
        let key = keys
            .find(Some(&self.key_id), Algorithm::ES256)
            .next()
            .ok_or(Denial::KeyUnknown)?;
        let verified = key.verify(
            Algorithm::ES256,
            self.signing_input.as_bytes(),
            &self.signature,
        );
        steps.step("signature", || {
            let how = if verified.is_ok() {
                "verified by"
            } else {
                "not made by"
            };
            format!("{how} the key with kid {:?}", self.key_id)
        });
        verified?;
        if self.claims.find("iss").and_then(Json::as_str) != Some(&self.iss) {
            steps.step("iss", || {
                "the payload names another issuer than the header".to_owned()
            });
            return Err(Denial::IssuerUnknown);
        }
        let vouched = Vouched {
            key_id: key.key_id.clone(),
            algorithm: Some(Algorithm::ES256),
            expires_at: Some(self.expires_at),
        };
        let mut token = vouched.read(&self.claims, issuer, steps)?;
        let principal = Arc::make_mut(&mut token.principal);
        principal.client_id = Some(identifier(&self.client)?);
        let map = &issuer.claims;
        for (names, paths) in [
            (&mut principal.groups, &map.groups),
            (&mut principal.roles, &map.roles),
            (&mut principal.permissions, &map.permissions),
        ] {
            if paths.is_empty() {
                *names = Names::Unresolved;
            }
        }
        Ok(token)
    }
}

/// The user of a statement, with what the access token beside it says they may. `None` if the two are not
/// about one subject.
#[must_use]
pub fn merged(user: &Principal, access: &Principal) -> Option<Principal> {
    let sub = subject(user, "sub");
    (sub.is_some() && sub == subject(access, "sub")).then(|| Principal {
        tenant_id: user.tenant_id.clone().or_else(|| access.tenant_id.clone()),
        groups: access.groups.clone(),
        roles: access.roles.clone(),
        permissions: access.permissions.clone(),
        wildcards: access.wildcards.clone(),
        scopes: access.scopes.clone(),
        ..user.clone()
    })
}

/// Whether the unsigned `sub` beside a statement is the signed one.
#[must_use]
pub fn is_subject(user: &Principal, identity: &[u8]) -> bool {
    subject(user, "sub").is_some_and(|sub| sub.as_bytes() == identity)
}

fn subject<'p>(principal: &'p Principal, claim: &str) -> Option<&'p str> {
    principal.claims.find(claim).and_then(Json::as_str)
}

fn decode(part: &str) -> Result<Vec<u8>, Denial> {
    BASE64
        .decode(part)
        .map_err(|_not_base64url| Denial::TokenMalformed)
}

/// `8-4-4-4-12` hexadecimal digits (RFC 9562 4).
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _digit => byte.is_ascii_hexdigit(),
        })
}

/// Where a region's load balancers publish their keys, each under its `kid`. `None` for what is no region.
#[must_use]
pub fn keys_url(region: &str) -> Option<String> {
    let is_region = region.len() <= 32
        && region.starts_with(|c: char| c.is_ascii_lowercase())
        && region.split('-').count() >= 3
        && region.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
    if !is_region {
        return None;
    }
    Some(if region.starts_with("us-gov-") {
        format!("https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}")
    } else if region.starts_with("cn-") {
        format!("https://s3.{region}.amazonaws.com.cn/aws-elb-public-keys-prod-{region}")
    } else {
        format!("https://public-keys.auth.elb.{region}.amazonaws.com")
    })
}

/// The region of an Application Load Balancer's ARN; `None` if it is none.
#[must_use]
pub fn arn_region(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    let [
        "arn",
        partition,
        "elasticloadbalancing",
        region,
        account,
        resource,
    ] = parts.as_slice()
    else {
        return None;
    };
    let sound = ["aws", "aws-cn", "aws-us-gov"].contains(partition)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && resource.starts_with("loadbalancer/app/")
        && resource.split('/').count() == 4
        && resource
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/'));
    (sound && keys_url(region).is_some()).then_some(region)
}

#[cfg(test)]
mod tests;
