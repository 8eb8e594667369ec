//! `client_assertion_aws`: STS says which role we are, to others than AWS.

use url::Url;

use super::super::super::WebIdentityToken;
use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::Resolver;
use super::super::aws::AwsService;
use super::entra::is_entra;
use crate::authn::issuer::Algorithm;

/// What Entra wants as `aud`, but for its national clouds.
const ENTRA: (&str, &str) = ("login.microsoftonline.com", "api://AzureADTokenExchange");

/// STS of no region.
const GLOBAL: &str = "sts.amazonaws.com";

/// What STS signs by, the usual one first.
const SIGNS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES384];

/// STS's default, in seconds.
const USUAL: u16 = 300;

/// What STS allows, in seconds.
const ALLOWED: std::ops::RangeInclusive<u64> = 60..=3600;

impl Resolver<'_> {
    /// A token for the endpoint at `token_url`: it is fetched later, with the process's own keys.
    pub(super) fn web_identity_token(
        &mut self,
        raw: &raw::AwsAssertion,
        token_url: Option<&Url>,
        path: &KeyPath,
    ) -> Option<WebIdentityToken> {
        let region = raw.region.as_ref().map(|region| region.0.0.as_str());
        let region = self.aws_region(region, &path.key("region"));
        let keys = self.needs_own_keys(path);
        let audience = self.audience_of_assertion(raw, token_url, path);
        let algorithm = raw.algorithm.as_ref().map_or(SIGNS[0], |text| text.0);
        let at = path.key("algorithm");
        if !SIGNS.contains(&algorithm) {
            let message = format!("STS does not sign by {}", algorithm.as_str());
            let fix = format!(
                "write {}, or remove algorithm",
                SIGNS.map(Algorithm::as_str).join(" or ")
            );
            self.mistakes.push(&at, message, fix);
        } else if algorithm != SIGNS[0] && token_url.is_some_and(is_entra) {
            self.mistakes.push(
                &at,
                "Entra takes assertions by RS256 only",
                "remove algorithm",
            );
        }
        let seconds = raw.duration.as_ref().map_or(Some(USUAL), |text| {
            let seconds = text.0.0.as_secs();
            let allowed = ALLOWED.contains(&seconds).then_some(seconds);
            allowed.and_then(|seconds| u16::try_from(seconds).ok())
        });
        if seconds.is_none() {
            self.mistakes.push(
                &path.key("duration"),
                "STS issues tokens for 60 s to 1 h",
                "write duration = \"5m\", or remove it",
            );
        }
        keys?;
        let region = region?;
        let endpoint = self.aws_endpoint(AwsService::Sts, Some(&region), path)?;
        if endpoint.host_str() == Some(GLOBAL) {
            self.mistakes.push(
                path,
                "the global endpoint of STS issues no such tokens",
                "name a region's in AWS_ENDPOINT_URL_STS, or remove it: then the region's own is asked",
            );
            return None;
        }
        Some(WebIdentityToken {
            audience: audience?,
            algorithm,
            seconds: seconds?,
            region,
            endpoint,
        })
    }

    fn audience_of_assertion(
        &mut self,
        raw: &raw::AwsAssertion,
        token_url: Option<&Url>,
        path: &KeyPath,
    ) -> Option<String> {
        if let Some(audience) = &raw.audience {
            return Some(audience.0.0.clone());
        }
        // without an endpoint there is a mistake already
        let host = token_url?.host_str();
        let (entra, audience) = ENTRA;
        if host == Some(entra) {
            return Some(audience.to_owned());
        }
        self.mistakes.push(
            &path.key("audience"),
            "missing: whom the assertion is for",
            "write audience as the token endpoint's server expects it in `aud`",
        );
        None
    }
}
