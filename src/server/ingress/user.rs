//! Who asks, as egress is to know them.

use http::HeaderMap;

use crate::authn::credential::{self, Kind};
use crate::authz::Permit;
use crate::authz::route::Access;
use crate::client::token::Proof;
use crate::clock::UnixTime;
use crate::server::handles::Wanted;

/// The permit's principal, with the token that proved it, if one did and it is `wanted`. `expires_at` is
/// that token's `exp`. Whom the rule did not let in (shadow mode) is named and lends us no token: what we
/// would exchange it for is not theirs.
pub(super) fn proof<'r>(
    permit: &'r Permit,
    headers: &'r HeaderMap,
    expires_at: Option<UnixTime>,
    wanted: Wanted,
) -> Option<Proof<'r>> {
    let proven = permit.proven()?;
    let token = match &permit.route().access {
        Access::Protected(asked)
            if wanted == Wanted::Token && permit.is_granted() && proven.by == Kind::Bearer =>
        {
            // the one the gate verified: the same headers, read in the same way
            credential::bearer(headers, &asked.token_from)
                .ok()
                .flatten()
        }
        Access::Protected(_) | Access::Public => None,
    };
    Some(Proof {
        proven,
        token,
        expires_at: expires_at.unwrap_or(proven.until),
    })
}
