//! `groups_overage = "graph"`: whose directory is asked for groups, with what, and where a route needs it.

use std::sync::Arc;

use url::Url;

use super::super::error::KeyPath;
use super::super::memberships::{GraphMemberships, Keeps, MembershipKind, MembershipStore};
use super::super::{is_guarded, raw};
use super::Resolver;
use super::memberships::LOOK_UPS;
use crate::authn::mapping::Set;
use crate::authn::membership::{SetFrom, SetsFrom};
use crate::authz::Rule;
use crate::authz::route::{OnBehalfOf, Overage, RouteMemberships};

/// Microsoft Graph in the public cloud.
const PUBLIC: &str = "https://graph.microsoft.com";

/// What an issuer says of it; its credential is looked up when those are known.
#[derive(Debug)]
pub(in crate::config) struct Graph {
    issuer: Arc<str>,
    url: Url,
    credential: String,
}

impl Resolver<'_> {
    /// What this issuer says of groups its tokens have no room for.
    pub(super) fn graph(&mut self, name: &str, raw: &raw::EntraIssuer, path: &KeyPath) {
        if !matches!(raw.groups_overage, Some(raw::GroupsOverage::Graph)) {
            for (key, is_stated) in [
                ("credential", raw.credential.is_some()),
                ("graph_url", raw.graph_url.is_some()),
            ] {
                if is_stated {
                    self.mistakes.push(
                        &path.key(key),
                        "nobody is asked for groups without groups_overage = \"graph\"",
                        format!("add groups_overage = \"graph\", or remove {key}"),
                    );
                }
            }
            return;
        }
        let at = path.key("graph_url");
        let url = match &raw.graph_url {
            Some(url) => Ok(url.0.clone()),
            None => Url::parse(PUBLIC),
        };
        let Ok(url) = url else { return };
        self.guarded(is_guarded(&url), raw.common.insecure_http, &at);
        let Some(credential) = &raw.credential else {
            self.mistakes.push(
                &path.key("groups_overage"),
                "Microsoft Graph answers nobody without a credential",
                "add credential = \"NAME\" of a [credentials.NAME] table with \
                 kind = \"client_credentials\" and scopes = [\"https://graph.microsoft.com/.default\"]",
            );
            return;
        };
        self.graphs.push(Graph {
            issuer: Arc::from(name),
            url,
            credential: credential.0.0.clone(),
        });
    }

    /// The stores that are asked for such groups. They follow those that have a table, and no route names them.
    pub(super) fn graph_memberships(&mut self) -> Vec<MembershipStore> {
        let graphs = std::mem::take(&mut self.graphs);
        let stores = graphs.into_iter().map(|graph| {
            let path = KeyPath::of(&["issuers", &graph.issuer, "credential"]);
            self.own_credential(&graph.credential, &path);
            MembershipStore {
                name: Arc::from(format!("graph:{}", graph.issuer)),
                from: SetsFrom::default(),
                keeps: Keeps {
                    groups: true,
                    roles: false,
                    permissions: false,
                },
                kind: MembershipKind::Graph(Box::new(GraphMemberships {
                    issuer: graph.issuer,
                    url: graph.url,
                    credential: Arc::from(graph.credential),
                    look_ups: LOOK_UPS,
                })),
            }
        });
        stores.collect()
    }

    /// Which of these issuers' directories a route needs: those whose tokens' groups its rule is evaluated on, or
    /// that their mapping makes something of it asks for.
    pub(super) fn route_overage(
        &self,
        issuers: &[usize],
        require: &Rule,
        on_behalf_of: Option<&OnBehalfOf>,
        memberships: Option<&RouteMemberships>,
    ) -> Vec<Overage> {
        if memberships.is_some_and(|named| named.from.groups == SetFrom::Store) {
            return Vec::new();
        }
        let of_issuer = |number: &usize| {
            let issuer = self.names.issuers.get(*number)?;
            let mut stores = self.memberships.iter().enumerate();
            let (store, known) = stores.find(|(_number, store)| match &store.kind {
                MembershipKind::Graph(graph) => *graph.issuer == **issuer,
                MembershipKind::File { .. } | MembershipKind::Http(_) | MembershipKind::Sql(_) => {
                    false
                }
            })?;
            let needed = self.needed(&[*number], false, require, on_behalf_of);
            needed.contains(&Set::Groups).then(|| Overage {
                issuer: Arc::from(issuer.as_str()),
                store,
                name: Arc::clone(&known.name),
            })
        };
        issuers.iter().filter_map(of_issuer).collect()
    }
}
