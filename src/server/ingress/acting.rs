//! `on_behalf_of`: a service that states the user it acts for (DESIGN §6).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::authn::principal::{Names, Principal, PrincipalKind};
use crate::authz::Permit;
use crate::authz::identity::{IdentityHeaders, encode};
use crate::authz::route::{Access, OnBehalfOf};
use crate::reason::Denial;
use crate::request::IdentityNames;
use crate::request::headers::single;

/// The user a service acts for.
#[derive(Debug)]
pub(crate) struct Stated {
    /// For the log.
    pub(crate) user: String,
    /// The identity headers: the stated user and tenant, the service behind them, nothing else.
    pub(crate) headers: Arc<IdentityHeaders>,
}

/// The user the request states, if the route lets its principal state one. `None` otherwise: the
/// headers are then removed like any client's.
pub(crate) fn stated(
    permit: &Permit,
    headers: &HeaderMap,
    names: &IdentityNames,
) -> Result<Option<Stated>, Denial> {
    let Access::Protected(protected) = &permit.route().access else {
        return Ok(None);
    };
    let (Some(rule), Some(proven)) = (&protected.on_behalf_of, permit.proven()) else {
        return Ok(None);
    };
    // whom the rule refused acts for nobody
    if permit.shadowed().is_some() {
        return Ok(None);
    }
    let Some(user_id) = &names.user_id else {
        return Ok(None);
    };
    if !may(rule, &proven.principal) {
        return Ok(None);
    }
    let Some(user) = visible(headers, user_id)? else {
        return Ok(None);
    };
    let mut written = vec![(user_id.clone(), user.clone())];
    if let Some(name) = names
        .tenant_id
        .as_ref()
        .filter(|_| !rule.tenants.is_empty())
        && let Some(tenant) = visible(headers, name)?
    {
        if !rule.tenants.iter().any(|known| tenant == known.as_str()) {
            return Err(Denial::ClientRefused);
        }
        written.push((name.clone(), tenant.clone()));
    }
    let principal = &proven.principal;
    let service = principal.client_id.as_ref().unwrap_or(&principal.user_id);
    for (name, value) in [
        (&names.client_id, encode(service)),
        (&names.issuer, encode(&principal.issuer)),
        (&names.principal_kind, principal.kind.as_str().to_owned()),
    ] {
        if let (Some(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            written.push((name.clone(), value));
        }
    }
    Ok(Some(Stated {
        user: user.to_str().unwrap_or_default().to_owned(),
        headers: Arc::new(written.into()),
    }))
}

/// Whether this principal may act for users: a service, by client and by group where they are
/// asked.
fn may(rule: &OnBehalfOf, principal: &Principal) -> bool {
    let OnBehalfOf {
        clients, groups, ..
    } = rule;
    let by_client = clients.is_empty()
        || principal
            .client_id
            .as_ref()
            .is_some_and(|client| clients.contains(client));
    let by_group = groups.as_ref().is_none_or(|rule| match &principal.groups {
        Names::Known(names) => rule.holds(names),
        Names::Unresolved => false,
    });
    let asked = !clients.is_empty() || groups.is_some();
    principal.kind == PrincipalKind::Service && asked && by_client && by_group
}

/// A header's one value, 1 to 256 visible ASCII characters.
fn visible<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Denial> {
    let Some(value) = single(headers, name)? else {
        return Ok(None);
    };
    let good =
        (1..=256).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    if good {
        Ok(Some(value))
    } else {
        Err(Denial::RequestMalformed)
    }
}
