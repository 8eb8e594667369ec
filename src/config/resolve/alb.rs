//! `kind = "alb"`: whose statements are believed, and where their keys are.

use url::Url;

use super::super::error::KeyPath;
use super::super::forms::Form as _;
use super::super::issuers::KeyLocation;
use super::super::raw;
use super::kinds::Kind;
use super::{Known, Resolver};
use crate::authn::alb;
use crate::authn::issuer::{Algorithm, ClaimMap, Preset};

impl Resolver<'_> {
    pub(super) fn alb(&mut self, raw: &raw::AlbIssuer, path: &KeyPath) -> Option<Kind> {
        let region = &raw.region.0.0;
        let Some(derived) = alb::keys_url(region) else {
            self.mistakes.push(
                &path.key("region"),
                format!("{region:?} is not a region"),
                "write it like \"us-east-1\"",
            );
            return None;
        };
        let keys = match &raw.keys_url {
            Some(url) => url.0.clone(),
            None => Url::read(&derived).ok()?,
        };
        let signers = raw.signer.list();
        for (number, arn) in signers.iter().enumerate() {
            let at = match &raw.signer {
                raw::OneOrMany::One(_) => path.key("signer"),
                raw::OneOrMany::Many(_) => path.key("signer").index(number),
            };
            match alb::arn_region(arn) {
                None => self.mistakes.push(
                    &at,
                    format!("{arn:?} is not the ARN of an Application Load Balancer"),
                    "copy it from the load balancer's page: \
                     arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/NAME/ID",
                ),
                Some(own) if own != region => self.mistakes.push(
                    &at,
                    format!("this load balancer is in {own}, not in {region}"),
                    "give each region an issuer of its own",
                ),
                Some(_) => {}
            }
        }
        if let Some(algorithms) = &raw.common.algorithms
            && algorithms
                .0
                .iter()
                .any(|stated| stated.0 != Algorithm::ES256)
        {
            self.mistakes.push(
                &path.key("algorithms"),
                "a load balancer signs by ES256",
                "remove algorithms",
            );
        }
        self.access_token_of(raw, path);
        Some(Kind {
            accepted_iss: vec![raw.issuer.0.0.clone()],
            keys: KeyLocation::PemByKeyId(keys),
            claims: ClaimMap::alb(),
            preset: Preset::Alb {
                signers,
                client_ids: self.accepted(&raw.client_ids, &path.key("client_ids")),
                access_token: raw
                    .access_token
                    .as_ref()
                    .map(|name| name.0.0.as_str().into()),
            },
            default_algorithms: &[Algorithm::ES256],
        })
    }

    /// The access token beside a statement is verified by keys: who is asked about a token need not say whose
    /// `sub` it is.
    fn access_token_of(&mut self, raw: &raw::AlbIssuer, path: &KeyPath) {
        let Some(name) = &raw.access_token else {
            return;
        };
        let (name, at) = (&name.0.0, path.key("access_token"));
        if !self.declared("issuers", Known::Issuer, name, &at) {
            return;
        }
        if self.names.opaque.contains(name) {
            self.mistakes.push(
                &at,
                "its access tokens are not verified by keys, so nothing says whose they are",
                "name an issuer of kind cognito, entra, oidc or jwt",
            );
        }
        if self.names.alb.contains(name) {
            self.mistakes.push(
                &at,
                "a load balancer issues no access tokens",
                "name the issuer that the load balancer signs users in with",
            );
        }
        let claims = &raw.common.claims;
        for (key, stated) in [
            ("groups", claims.groups.is_some()),
            ("roles", claims.roles.is_some()),
            ("permissions", claims.permissions.is_some()),
            ("scopes", claims.scopes.is_some()),
        ] {
            if stated {
                self.mistakes.push(
                    &path.key("claims").key(key),
                    format!("the access token of [issuers.{name}] tells these"),
                    format!("write it into [issuers.{name}], or remove access_token"),
                );
            }
        }
        if raw.common.mapping.is_some() {
            self.mistakes.push(
                &path.key("mapping"),
                format!("what the access token says is read by the mapping of [issuers.{name}]"),
                format!("write it into [issuers.{name}], or remove access_token"),
            );
        }
    }
}
