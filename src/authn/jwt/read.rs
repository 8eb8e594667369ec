//! Claims → principal, as the issuer's preset and claim map say.

use std::sync::Arc;

use crate::authn::claims::{ClaimPath, Claims, Json, Kind};
use crate::authn::issuer::{Answers, Issuer, Preset, TokenUse};
use crate::authn::principal::{self, Names, Principal, PrincipalKind};
use crate::authn::{cognito, entra};
use crate::reason::Denial;

/// Cognito's `token_use`. Anything but the two known words is none, which no issuer accepts.
pub(super) fn token_use(claims: &Claims, preset: &Preset) -> Option<TokenUse> {
    match preset {
        Preset::Cognito { .. } => {
            let stated = claims.find("token_use")?.as_str()?;
            [TokenUse::Access, TokenUse::Id]
                .into_iter()
                .find(|known| known.as_str() == stated)
        }
        Preset::Alb { .. } | Preset::Entra { .. } | Preset::Generic { .. } | Preset::Opaque(_) => {
            None
        }
    }
}

/// The client that the token was issued to, in the registered claim, whatever the claim map says.
pub(super) fn client<'c>(claims: &'c Claims, preset: &Preset) -> Option<&'c str> {
    let client = match preset {
        Preset::Cognito { .. } => claims.find("client_id"),
        // v2, v1
        Preset::Entra { .. } => claims.find("azp").or_else(|| claims.find("appid")),
        Preset::Alb { .. } | Preset::Generic { .. } | Preset::Opaque(_) => None,
    };
    client.and_then(Json::as_str)
}

/// Who the token is about.
pub(super) fn principal(
    claims: &Claims,
    issuer: &Issuer,
    token_use: Option<TokenUse>,
    audiences: &[String],
) -> Result<Principal, Denial> {
    let map = &issuer.claims;
    let client_id = match (token_use, audiences) {
        // an ID token is for its client
        (Some(TokenUse::Id), [client]) => Some(principal::identifier(client)?),
        (Some(TokenUse::Id), _) => None,
        (Some(TokenUse::Access) | None, _) => identifier(claims, &map.client_id)?,
    };
    let user_id = identifier(claims, &map.user_id)?;
    let is_service = match &issuer.preset {
        // whom a load balancer signed in has a browser
        Preset::Alb { .. } => false,
        Preset::Cognito { .. } => {
            token_use == Some(TokenUse::Access) && cognito::is_service(claims)
        }
        Preset::Entra { .. } => entra::is_service(claims),
        // a client that got a token for itself is its own subject (RFC 9068 2.2); issuers that
        // name such a subject in another way make a user of it
        Preset::Generic { .. } => user_id.is_some() && user_id == client_id,
        Preset::Opaque(opaque) => match opaque.answers {
            Answers::Introspection => match &user_id {
                Some(_) => user_id == client_id,
                None => names_nobody(claims),
            },
            Answers::Remote => claims.find("kind").and_then(Json::as_str) == Some("service"),
        },
    };
    let user_id = match &issuer.preset {
        Preset::Cognito { .. } if is_service => client_id.clone(),
        Preset::Opaque(_) if is_service => user_id.or_else(|| client_id.clone()),
        Preset::Alb { .. }
        | Preset::Cognito { .. }
        | Preset::Entra { .. }
        | Preset::Generic { .. }
        | Preset::Opaque(_) => user_id,
    };
    Ok(Principal {
        kind: if is_service {
            PrincipalKind::Service
        } else {
            PrincipalKind::User
        },
        issuer: Arc::clone(&issuer.name),
        user_id: user_id.ok_or(Denial::SubjectInvalid)?,
        tenant_id: identifier(claims, &map.tenant)?,
        client_id,
        name: claims.text(&map.name).map(str::to_owned),
        email: claims.text(&map.email).map(str::to_owned),
        groups: groups(claims, issuer),
        roles: claims.names(&map.roles),
        permissions: claims.names(&map.permissions),
        wildcards: Vec::new(),
        scopes: claims.scopes(&map.scopes)?,
        claims: claims.clone(),
    })
}

/// A client's own token: `sub` is optional (RFC 7662 2.2), and a client has no `username`. Whatever the
/// issuer's table reads the user from: who is named there is not the client.
fn names_nobody(claims: &Claims) -> bool {
    claims.find("sub").is_none() && claims.find("username").is_none()
}

fn groups(claims: &Claims, issuer: &Issuer) -> Names {
    let overage = matches!(issuer.preset, Preset::Entra { .. })
        && issuer.claims.groups.contains(&ClaimPath::name("groups"))
        && entra::has_overage(claims);
    if overage {
        Names::Unresolved
    } else {
        claims.names(&issuer.claims.groups)
    }
}

/// An identifier goes into headers and logs as it is, never cut short: a present one must be text.
fn identifier(claims: &Claims, paths: &[ClaimPath]) -> Result<Option<String>, Denial> {
    match claims.first(paths).map(Json::kind) {
        None => Ok(None),
        Some(Kind::String(id)) => principal::identifier(id).map(Some),
        Some(_) => Err(Denial::SubjectInvalid),
    }
}
