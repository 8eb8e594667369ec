//! `kind = "sql"`: queries that tell users apart.

use std::sync::Arc;

use super::super::super::error::KeyPath;
use super::super::super::memberships::{Keeps, MembershipKind, SqlMemberships};
use super::super::super::raw::{self, MembershipsFrom};
use super::super::super::sql::{OF_A_PRINCIPAL, Parameter};
use super::Resolver;

impl Resolver<'_> {
    pub(super) fn sql_memberships(
        &mut self,
        raw: &raw::SqlMemberships,
        path: &KeyPath,
    ) -> Option<(MembershipKind, Keeps, Option<MembershipsFrom>)> {
        let look_ups = self.look_ups(&raw.common, path);
        let database = self.database(&raw.url, raw.max_connections, path)?;
        let stated = [&raw.groups, &raw.roles, &raw.permissions].map(Option::as_deref);
        let by_default = stated.iter().all(Option::is_none);
        let texts = if by_default {
            let default = database.dialect.default_queries();
            [default.groups, default.roles, default.permissions].map(Some)
        } else {
            stated
        };
        let keeps = Keeps {
            groups: texts[0].is_some(),
            roles: texts[1].is_some(),
            permissions: texts[2].is_some(),
        };
        let mut of_set = |text: Option<&str>, set| {
            let path = path.key(set);
            let Some(text) = text else {
                return Some(None);
            };
            let mut query = self.query(text, &database, OF_A_PRINCIPAL, &path)?;
            if by_default {
                // who is in no tenant has what is for all of them
                query.needs = Arc::default();
            }
            let told = [Parameter::UserId, Parameter::ClientId];
            if !told.into_iter().any(|parameter| query.names(parameter)) {
                self.mistakes.push(
                    &path,
                    "without :user_id everybody would be in the same groups",
                    "add `where issuer = :issuer and user_id = :user_id`, with your own names of columns",
                );
                return None;
            }
            Some(Some(query))
        };
        let [groups, roles, permissions] = texts;
        let (groups, roles, permissions) = (
            of_set(groups, "groups"),
            of_set(roles, "roles"),
            of_set(permissions, "permissions"),
        );
        let sql = SqlMemberships {
            groups: groups?,
            roles: roles?,
            permissions: permissions?,
            database,
            look_ups,
        };
        Some((MembershipKind::Sql(Box::new(sql)), keeps, raw.common.from))
    }
}
