//! Microsoft Entra ID, one tenant: its two issuers, the keys' own issuers, groups overage, app-only
//! tokens.

use crate::authn::claims::{ClaimPath, Claims, Json, Kind};
use crate::authn::issuer::{Issuer, Preset};
use crate::authn::membership::Subject;
use crate::authn::principal::{Names, Principal, PrincipalKind};

/// Reads a GUID, the id of a tenant or of anything in its directory, in lower case as tokens write it. `None`
/// for anything else, the multi-tenant names `common`, `organizations` and `consumers` among them.
#[must_use]
pub fn parse_guid(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('-').collect();
    let guid = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    guid.then(|| text.to_ascii_lowercase())
}

/// Both forms of the tenant's `iss`: of v2 tokens, and of v1 tokens. Which one an API gets is set in
/// its own registration, not by the endpoint a client asked.
#[must_use]
pub fn issuers(tenant_id: &str) -> [String; 2] {
    [
        format!("https://login.microsoftonline.com/{tenant_id}/v2.0"),
        format!("https://sts.windows.net/{tenant_id}/"),
    ]
}

/// The tenant's token endpoint.
#[must_use]
pub fn token_url(tenant_id: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token")
}

/// Where the tenant's keys are, for tokens of both versions.
#[must_use]
pub fn jwks_url(tenant_id: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant_id}/discovery/v2.0/keys")
}

/// Whether the token is this tenant's and, where the key names its own issuer, that issuer may
/// speak for the tenant. A key's issuer is written for v2 tokens; a v1 issuer has another host, so
/// for it the tenant in the path decides.
pub(super) fn is_tenants(
    claims: &Claims,
    tenant_id: &str,
    iss: &str,
    key_issuer: Option<&str>,
) -> bool {
    let ours = claims.find("tid").and_then(Json::as_str) == Some(tenant_id);
    let key_serves = key_issuer.is_none_or(|template| {
        let stated = template.replace("{tenantid}", tenant_id);
        stated == iss || (!iss.ends_with("/v2.0") && tenant_of(&stated) == Some(tenant_id))
    });
    ours && key_serves
}

/// The first segment of an issuer's path.
fn tenant_of(issuer: &str) -> Option<&str> {
    issuer.split_once("://")?.1.split('/').nth(1)
}

/// Whether the groups are too many for the token. `_claim_names` says it for one way to get a token
/// and is read for every issuer; the implicit flow says `hasgroups`.
pub(super) fn has_overage(claims: &Claims) -> bool {
    claims
        .find("hasgroups")
        .is_some_and(|flag| !matches!(flag.kind(), Kind::Bool(false)))
}

/// Of whom the directory is to be asked for the groups, if the token says that they are too many for it: its
/// object there, and the same once more as the client if it is an application. `None` if the token says
/// nothing of the sort, or not who in the directory it is about.
#[must_use]
pub fn overage<'p>(principal: &'p Principal, issuer: &Issuer) -> Option<Subject<'p>> {
    let claims = &principal.claims;
    let is_ours = matches!(issuer.preset, Preset::Entra { .. }) && issuer.name == principal.issuer;
    let by_this_claim = issuer.claims.groups.contains(&ClaimPath::name("groups"));
    let is_unresolved = principal.groups == Names::Unresolved;
    if !(is_ours && by_this_claim && is_unresolved) {
        return None;
    }
    let elsewhere = claims.find("_claim_names");
    let is_elsewhere = elsewhere.is_some_and(|names| names.find("groups").is_some());
    if !is_elsewhere && !has_overage(claims) {
        return None;
    }
    let object = claims.find("oid")?.as_str()?;
    parse_guid(object)?;
    Some(Subject {
        issuer: &principal.issuer,
        user_id: object,
        tenant: claims.find("tid").and_then(Json::as_str),
        client_id: match principal.kind {
            PrincipalKind::Service => Some(object),
            PrincipalKind::User => None,
        },
    })
}

/// Whether an application acts for itself: no delegated scope, unless the optional claim `idtyp`
/// says what it is.
pub(super) fn is_service(claims: &Claims) -> bool {
    match claims.find("idtyp").and_then(Json::as_str) {
        Some("app") => true,
        Some("user") => false,
        Some(_) | None => claims.find("scp").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-55555555abcd";

    #[test]
    fn a_tenant_id_is_a_guid() {
        assert_eq!(
            parse_guid("11111111-2222-3333-4444-55555555ABCD").as_deref(),
            Some(TENANT)
        );
        for bad in [
            "",
            "common",
            "organizations",
            "11111111-2222-3333-4444-55555555abc",
            "11111111-2222-3333-4444-55555555abcg",
            "11111111-2222-3333-4444-55555555abcd-",
            "11111111-2222-3333-4444/55555555abcd",
            "11111111222233334444555555556666abcd",
        ] {
            assert_eq!(parse_guid(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_serves_the_tenant_its_issuer_names() {
        let claims = Claims::parse(format!("{{\"tid\":\"{TENANT}\"}}")).unwrap();
        let [v2, v1] = issuers(TENANT);
        let templated = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let consumers =
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
        for (iss, key_issuer, holds) in [
            (&v2, None, true),
            (&v1, None, true),
            (&v2, Some(templated), true),
            (&v1, Some(templated), true),
            (&v2, Some(v2.as_str()), true),
            (&v1, Some(v2.as_str()), true),
            (&v2, Some(consumers), false),
            (&v1, Some(consumers), false),
            (&v2, Some("https://evil.example/{tenantid}/v2.0"), false),
        ] {
            assert_eq!(
                is_tenants(&claims, TENANT, iss, key_issuer),
                holds,
                "{iss} {key_issuer:?}"
            );
        }
        for other in [
            "{}",
            "{\"tid\":[\"11111111-2222-3333-4444-55555555abcd\"]}",
            "{\"tid\":\"x\"}",
        ] {
            let claims = Claims::parse(other).unwrap();
            assert!(!is_tenants(&claims, TENANT, &v2, None), "{other}");
        }
    }
}
