-- Groups, roles and permissions for Gatepost (MySQL and MariaDB).
-- Apply with: mariadb DATABASE < FILE    (or: mysql DATABASE < FILE)
--
-- A member is named by the issuer's name in Gatepost's configuration (`[issuers.NAME]`) and the user id of
-- its tokens (`sub`, unless `claims.user_id` names another). `tenant` narrows a membership to tokens of that
-- tenant; '' is every tenant. Roles come from the member itself and from its groups; permissions from the
-- roles.
--
-- Gatepost only reads: give it a user of its own that may do nothing else.
-- Names and ids are compared byte by byte (utf8mb4_bin). Blanks at their end do not count there, so the
-- queries compare lengths too: see docs/sql.md.

create table gatepost_groups (
  id bigint not null auto_increment primary key,
  name varchar(255) not null unique check (name <> '')
) character set utf8mb4 collate utf8mb4_bin;

create table gatepost_roles (
  id bigint not null auto_increment primary key,
  name varchar(255) not null unique check (name <> '')
) character set utf8mb4 collate utf8mb4_bin;

create table gatepost_group_members (
  group_id bigint not null,
  issuer varchar(191) not null,
  user_id varchar(255) not null,
  tenant varchar(191) not null default '',
  primary key (issuer, user_id, tenant, group_id),
  foreign key (group_id) references gatepost_groups (id) on delete cascade
) character set utf8mb4 collate utf8mb4_bin;

create index gatepost_group_members_by_group on gatepost_group_members (group_id);

create table gatepost_role_members (
  role_id bigint not null,
  issuer varchar(191) not null,
  user_id varchar(255) not null,
  tenant varchar(191) not null default '',
  primary key (issuer, user_id, tenant, role_id),
  foreign key (role_id) references gatepost_roles (id) on delete cascade
) character set utf8mb4 collate utf8mb4_bin;

create index gatepost_role_members_by_role on gatepost_role_members (role_id);

create table gatepost_group_roles (
  group_id bigint not null,
  role_id bigint not null,
  primary key (group_id, role_id),
  foreign key (group_id) references gatepost_groups (id) on delete cascade,
  foreign key (role_id) references gatepost_roles (id) on delete cascade
) character set utf8mb4 collate utf8mb4_bin;

create index gatepost_group_roles_by_role on gatepost_group_roles (role_id);

create table gatepost_role_permissions (
  role_id bigint not null,
  permission varchar(255) not null check (permission <> ''),
  primary key (role_id, permission),
  foreign key (role_id) references gatepost_roles (id) on delete cascade
) character set utf8mb4 collate utf8mb4_bin;
