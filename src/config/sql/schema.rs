//! What is asked of the default schema (`deploy/sql/`) where a store states no query of its own.

use super::Dialect;

/// Queries for groups, roles and permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultQueries {
    /// Groups.
    pub groups: &'static str,
    /// Roles: one's own and those of one's groups.
    pub roles: &'static str,
    /// Permissions of all these roles.
    pub permissions: &'static str,
}

/// Builds the three with this condition on a member `m`.
macro_rules! queries {
    ($is_the_subject:literal) => {
        DefaultQueries {
            groups: concat!(
                "select g.name from gatepost_groups g ",
                "join gatepost_group_members m on m.group_id = g.id where ",
                $is_the_subject
            ),
            roles: concat!(
                "select r.name from gatepost_roles r ",
                "join gatepost_role_members m on m.role_id = r.id where ",
                $is_the_subject,
                " union select r.name from gatepost_roles r ",
                "join gatepost_group_roles g on g.role_id = r.id ",
                "join gatepost_group_members m on m.group_id = g.group_id where ",
                $is_the_subject
            ),
            permissions: concat!(
                "select p.permission from gatepost_role_permissions p ",
                "join gatepost_role_members m on m.role_id = p.role_id where ",
                $is_the_subject,
                " union select p.permission from gatepost_role_permissions p ",
                "join gatepost_group_roles g on g.role_id = p.role_id ",
                "join gatepost_group_members m on m.group_id = g.group_id where ",
                $is_the_subject
            ),
        }
    };
}

const EXACT: DefaultQueries = queries!(
    "m.issuer = :issuer and m.user_id = :user_id and (m.tenant = '' or m.tenant = :tenant)"
);

/// MySQL does not count blanks at the end of what it compares.
const PADDED: DefaultQueries = queries!(
    "m.issuer = :issuer and octet_length(m.issuer) = octet_length(:issuer) \
     and m.user_id = :user_id and octet_length(m.user_id) = octet_length(:user_id) \
     and (octet_length(m.tenant) = 0 \
     or (m.tenant = :tenant and octet_length(m.tenant) = octet_length(:tenant)))"
);

impl Dialect {
    /// The queries of the default schema.
    #[must_use]
    pub fn default_queries(self) -> DefaultQueries {
        match self {
            Self::Postgres | Self::Sqlite => EXACT,
            Self::MySql => PADDED,
        }
    }
}
