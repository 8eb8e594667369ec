//! A principal that nothing proves (`gatepost test`).

use std::sync::Arc;

use super::prove::Presented;
use super::{Gate, Known};
use crate::authn::alb::{self, Verified};
use crate::authn::credential::{self, Kind};
use crate::authn::{self, Principal};
use crate::authz::decision::Proven;
use crate::authz::identity;
use crate::authz::route::Protected;
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::{Steps, shown};

impl Gate {
    /// A principal that is stated, not proven, where its credential would be of this kind: with what a
    /// verified one is still asked, the route's issuers, and that there is no second one.
    pub(super) fn suppose(
        &self,
        principal: &Arc<Principal>,
        kind: Kind,
        presented: Presented<'_>,
        asked: &Protected,
        steps: &mut impl Steps,
    ) -> Result<Option<Proven>, Denial> {
        let by_certificate = *principal.issuer == *authn::certificate::ISSUER;
        let by_password =
            asked.accepts.contains(&Kind::Basic) && *principal.issuer == *authn::password::ISSUER;
        let named = |known: &&Known| known.issuer.name == principal.issuer;
        let by_alb = self
            .issuers
            .iter()
            .find(named)
            .is_some_and(|known| known.issuer.proves_by() == Kind::Alb);
        let accepted = || {
            let mut accepted = asked
                .issuers
                .iter()
                .filter_map(|&number| self.issuers.get(number));
            accepted.find(named).map(|known| &*known.issuer)
        };
        let (of_this_kind, second, issuer) = match kind {
            Kind::Alb => (
                by_alb,
                alb::Presented::find(presented.headers)?.is_some(),
                // what the access token beside it would say is read by its own issuer's mapping
                Some(
                    accepted()
                        .map(|issuer| self.teller(issuer).map_or(issuer, |(_, teller)| teller)),
                ),
            ),
            Kind::Basic => (
                by_password,
                credential::basic(presented.headers)?.is_some(),
                None,
            ),
            Kind::Bearer => (
                !by_certificate && !by_password && !by_alb,
                credential::bearer(presented.headers, &asked.token_from)?.is_some(),
                Some(accepted()),
            ),
            Kind::Mtls => (by_certificate, presented.certificate.is_some(), None),
        };
        if !of_this_kind {
            return Ok(None);
        }
        if second {
            return Err(Denial::CredentialAmbiguous);
        }
        steps.step("credential", || format!("{}, supposed", kind.as_str()));
        steps.step("principal", || {
            format!(
                "{} {:?} of issuer {:?}, client {}, tenant {}",
                principal.kind.as_str(),
                principal.user_id,
                principal.issuer,
                shown(principal.client_id.as_deref()),
                shown(principal.tenant_id.as_deref()),
            )
        });
        let stated = Arc::clone(principal);
        let principal = match issuer {
            Some(Some(issuer)) => issuer.mapping.apply(principal),
            Some(None) => return Err(Denial::IssuerUnknown),
            None => Arc::clone(principal),
        };
        let headers = identity::render(&self.identity, self.lists, &principal);
        Ok(Some(Proven {
            by: kind,
            alb: Verified::default(),
            principal,
            stated,
            headers: Arc::new(headers),
            until: UnixTime(u64::MAX),
        }))
    }
}
