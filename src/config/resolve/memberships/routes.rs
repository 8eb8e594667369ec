//! What routes ask of the stores they name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::{Known, Resolver};
use crate::authn::Issuer;
use crate::authn::credential::Kind;
use crate::authn::issuer::Preset;
use crate::authn::mapping::{Mapping, Set};
use crate::authn::membership::SetFrom;
use crate::authn::{certificate, password};
use crate::authz::route::{Access, OnBehalfOf, RouteMemberships};
use crate::authz::{Route, Rule};

impl Resolver<'_> {
    /// What a route asks of the store it names, `require` and `on_behalf_of` together.
    pub(in crate::config::resolve) fn route_memberships(
        &mut self,
        raw: &raw::Route,
        accepts: &[Kind],
        issuers: &[usize],
        require: &Rule,
        on_behalf_of: Option<&OnBehalfOf>,
        path: &KeyPath,
    ) -> Option<RouteMemberships> {
        let name = &raw.memberships.as_ref()?.0.0;
        let at = path.key("memberships");
        if !self.declared("memberships", Known::Memberships, name, &at) {
            return None;
        }
        // a store with a mistake in it is known by name only
        let (number, store) = self
            .memberships
            .iter()
            .enumerate()
            .find(|(_number, store)| *store.name == **name)?;
        let (from, keeps) = (store.from, store.keeps);
        let name = Arc::clone(&store.name);
        let of_token = |kind: &Kind| match kind {
            Kind::Alb | Kind::Bearer => true,
            Kind::Basic | Kind::Mtls => false,
        };
        let reads_tokens = accepts.iter().any(of_token);
        let others = !accepts.iter().all(of_token);
        let needed = self.needed(issuers, others, require, on_behalf_of);
        let mut asked = false;
        for (set, from, kept) in [
            (Set::Groups, from.groups, keeps.groups),
            (Set::Roles, from.roles, keeps.roles),
            (Set::Permissions, from.permissions, keeps.permissions),
        ] {
            if !needed.contains(&set) {
                continue;
            }
            asked |= from != SetFrom::Claims;
            let set = set.as_str();
            if from == SetFrom::Store && !kept {
                self.mistakes.push(
                    &at,
                    format!("this route asks for {set}, and [memberships.{name}] keeps none"),
                    format!(
                        "add {set} to [memberships.{name}], or from = {{ {set} = \"claims\" }}"
                    ),
                );
            }
            if from != SetFrom::Store && !reads_tokens {
                self.mistakes.push(
                    &at,
                    format!(
                        "this route asks for {set}, which [memberships.{name}] takes from claims, and \
                         no credential it accepts has any"
                    ),
                    format!("write from = {{ {set} = \"store\" }} in [memberships.{name}]"),
                );
            }
        }
        if !asked {
            self.warn(
                &at,
                format!(
                    "nothing this route asks comes from [memberships.{name}]: it is not asked, and what \
                     would come from it is not stated in the identity headers"
                ),
            );
        }
        Some(RouteMemberships {
            store: number,
            name,
            from,
            asked,
        })
    }

    /// The sets that must be known of somebody for a rule to be evaluated, whichever of these issuers it is
    /// of: what a mapping reads one from is needed too.
    pub(in crate::config::resolve) fn needed(
        &self,
        issuers: &[usize],
        others: bool,
        require: &Rule,
        on_behalf_of: Option<&OnBehalfOf>,
    ) -> Vec<Set> {
        let acting = on_behalf_of.is_some_and(|acting| acting.groups.is_some());
        let asked = [
            (Set::Groups, require.groups.is_some() || acting),
            (Set::Roles, require.roles.is_some()),
            (Set::Permissions, require.permissions.is_some()),
        ];
        let plain = Mapping::default();
        // a load balancer's user has the names of the access token beside it
        let teller = |issuer: &Issuer| match &issuer.preset {
            Preset::Alb { access_token, .. } => self.issuers.get(&**access_token.as_ref()?),
            Preset::Cognito { .. }
            | Preset::Entra { .. }
            | Preset::Generic { .. }
            | Preset::Opaque(_) => None,
        };
        let named = issuers.iter().filter_map(|number| {
            let issuer = self.issuer_of(*number)?;
            Some(&teller(issuer).map_or(issuer, |teller| &**teller).mapping)
        });
        let mappings: Vec<&Mapping> = named
            // of certificates and passwords too: no issuer's mapping reads those
            .chain(Some(&plain).filter(|_| others))
            .collect();
        let asked = asked.into_iter().filter(|(_, asked)| *asked);
        asked
            .flat_map(|(set, _)| mappings.iter().flat_map(move |mapping| mapping.needs(set)))
            .collect()
    }

    /// A store that knows users by their id alone is for those of one issuer: another's user of that id is
    /// somebody else.
    pub(in crate::config::resolve) fn issuers_apart(&mut self, routes: &[Route], keys: &[KeyPath]) {
        let mut seen: HashMap<usize, BTreeSet<&str>> = HashMap::new();
        for (route, key) in routes.iter().zip(keys) {
            let Access::Protected(asked) = &route.access else {
                continue;
            };
            let Some(named) = asked.memberships.as_ref().filter(|named| named.asked) else {
                continue;
            };
            let Some(store) = self.memberships.get(named.store) else {
                continue;
            };
            if store.kind.tells_issuers_apart() {
                continue;
            }
            let of_tokens = asked.issuers.iter();
            let of_tokens = of_tokens.filter_map(|number| self.names.issuers.get(*number));
            let others = asked.accepts.iter().filter_map(|kind| match kind {
                Kind::Alb | Kind::Bearer => None,
                Kind::Basic => Some(password::ISSUER),
                Kind::Mtls => Some(certificate::ISSUER),
            });
            let seen = seen.entry(named.store).or_default();
            seen.extend(of_tokens.map(String::as_str).chain(others));
            if seen.len() > 1 {
                let all: Vec<&str> = seen.iter().copied().collect();
                self.mistakes.push(
                    &key.key("memberships"),
                    format!(
                        "[memberships.{}] is not told the issuer, and is asked about users of several: {}",
                        named.name,
                        all.join(", ")
                    ),
                    "tell it the issuer ({issuer} in a url, :issuer in a query), or write a table for each",
                );
            }
        }
    }
}
