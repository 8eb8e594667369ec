//! Amazon Cognito user pools: issuer forms, JWKS URL, what tells a service from a user.

use std::fmt;

use crate::authn::claims::Claims;

/// The id of a user pool, `us-east-1_ABC123DEF`: a region, an underscore, letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolId {
    id: String,
    region_bytes: usize,
}

impl PoolId {
    /// Reads a pool id. `None` unless it has the form of one, in at most 55 characters.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let (region, pool) = id.split_once('_')?;
        let region_holds = region.starts_with(|c: char| c.is_ascii_lowercase())
            && region
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let pool_holds = !pool.is_empty() && pool.chars().all(|c| c.is_ascii_alphanumeric());
        (id.len() <= 55 && region_holds && pool_holds).then(|| Self {
            id: id.to_owned(),
            region_bytes: region.len(),
        })
    }

    /// The region the pool is in.
    #[must_use]
    pub fn region(&self) -> &str {
        self.id
            .split_at_checked(self.region_bytes)
            .map_or("", |(region, _)| region)
    }

    /// Both forms of `iss`: the original one, and the one for pools that may span regions.
    #[must_use]
    pub fn issuers(&self) -> [String; 2] {
        let (region, id) = (self.region(), &self.id);
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        ["cognito-idp", "issuer-cognito-idp"]
            .map(|service| format!("https://{service}.{region}.{domain}/{id}"))
    }

    /// Where the pool publishes its keys.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        let [original, _] = self.issuers();
        format!("{original}/.well-known/jwks.json")
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// Whether these are the claims of a client acting for itself (client credentials): an access token
/// that names a client and no person.
pub(super) fn is_service(claims: &Claims) -> bool {
    claims.find("client_id").is_some()
        && ["username", "cognito:username", "email", "name"]
            .iter()
            .all(|of_a_person| claims.find(of_a_person).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_two_issuers_and_one_key_set() {
        let pool = PoolId::parse("us-east-1_ABC123DEF").unwrap();
        assert_eq!(pool.region(), "us-east-1");
        assert_eq!(
            pool.issuers(),
            [
                "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC123DEF",
                "https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC123DEF",
            ]
        );
        assert_eq!(
            pool.jwks_url(),
            "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC123DEF/.well-known/jwks.json"
        );
        let china = PoolId::parse("cn-north-1_a").unwrap();
        assert_eq!(
            china.issuers(),
            [
                "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_a",
                "https://issuer-cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_a",
            ]
        );
    }

    #[test]
    fn only_region_underscore_letters_and_digits_are_a_pool_id() {
        let long = format!("us-east-1_{}", "a".repeat(46));
        for bad in [
            "",
            "us-east-1",
            "us-east-1_",
            "_abc",
            "us-east-1_a_b",
            "us-east-1_a/b",
            "us-east-1_a.b",
            "evil.example/_a",
            "US-EAST-1_abc",
            "-_a",
            " us-east-1_a",
            long.as_str(),
        ] {
            assert_eq!(PoolId::parse(bad), None, "{bad}");
        }
    }
}
