-- Groups, roles and permissions for Gatepost (SQLite).
-- Apply with: sqlite3 /var/lib/gatepost/memberships.db < FILE
--
-- A member is named by the issuer's name in Gatepost's configuration (`[issuers.NAME]`) and the user id of
-- its tokens (`sub`, unless `claims.user_id` names another). `tenant` narrows a membership to tokens of that
-- tenant; '' is every tenant. Roles come from the member itself and from its groups; permissions from the
-- roles.
--
-- Gatepost only reads: give it a user of its own that may do nothing else.
-- Foreign keys hold only for writers that say `pragma foreign_keys = on`.

begin;

create table gatepost_groups (
  id integer primary key,
  name text not null unique check (name <> '' and length(cast(name as blob)) <= 1024)
) strict;

create table gatepost_roles (
  id integer primary key,
  name text not null unique check (name <> '' and length(cast(name as blob)) <= 1024)
) strict;

create table gatepost_group_members (
  group_id integer not null references gatepost_groups (id) on delete cascade,
  issuer text not null,
  user_id text not null,
  tenant text not null default '',
  primary key (issuer, user_id, tenant, group_id)
) strict;

create index gatepost_group_members_by_group on gatepost_group_members (group_id);

create table gatepost_role_members (
  role_id integer not null references gatepost_roles (id) on delete cascade,
  issuer text not null,
  user_id text not null,
  tenant text not null default '',
  primary key (issuer, user_id, tenant, role_id)
) strict;

create index gatepost_role_members_by_role on gatepost_role_members (role_id);

create table gatepost_group_roles (
  group_id integer not null references gatepost_groups (id) on delete cascade,
  role_id integer not null references gatepost_roles (id) on delete cascade,
  primary key (group_id, role_id)
) strict;

create index gatepost_group_roles_by_role on gatepost_group_roles (role_id);

create table gatepost_role_permissions (
  role_id integer not null references gatepost_roles (id) on delete cascade,
  permission text not null check (permission <> '' and length(cast(permission as blob)) <= 1024),
  primary key (role_id, permission)
) strict;

commit;
