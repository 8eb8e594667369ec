//! The default schema of `deploy/sql`, applied by each database's own client, and its queries.

use std::path::Path;

use gatepost::config::sql::{OF_A_PRINCIPAL, Query};
use gatepost::store::sql::Values;

use super::Open;
use crate::support::DEADLINE;
use crate::support::counterparts::or_skip;
use crate::support::databases::{ALL, Database, Kind};

const CONTENT: &str = "\
insert into gatepost_groups (id, name) values (1, 'admins'), (2, 'guests'), (3, 'of-acme');
insert into gatepost_roles (id, name) values (1, 'editor'), (2, 'viewer'), (3, 'owner');
insert into gatepost_group_members (group_id, issuer, user_id, tenant) values
  (1, 'users', 'alice', ''), (2, 'users', 'bob', ''), (1, 'staff', 'bob', ''), (3, 'users', 'alice', 'acme');
insert into gatepost_role_members (role_id, issuer, user_id, tenant) values
  (3, 'users', 'alice', 'acme'), (2, 'users', 'alice', '');
insert into gatepost_group_roles (group_id, role_id) values (1, 1), (2, 2), (1, 2);
insert into gatepost_role_permissions (role_id, permission) values
  (1, 'orders.write'), (2, 'orders.read'), (3, 'orders.delete');
insert into gatepost_users (name, password_hash) values ('alice', '$2y$05$hash');
";

/// Issuer, user, tenant; groups, roles, permissions.
type Case = ([&'static str; 3], [&'static [&'static str]; 3]);

const CASES: &[Case] = &[
    (
        ["users", "alice", ""],
        [
            &["admins"],
            &["editor", "viewer"],
            &["orders.read", "orders.write"],
        ],
    ),
    (
        ["users", "alice", "acme"],
        [
            &["admins", "of-acme"],
            &["editor", "owner", "viewer"],
            &["orders.delete", "orders.read", "orders.write"],
        ],
    ),
    (
        ["users", "alice", "ACME"],
        [
            &["admins"],
            &["editor", "viewer"],
            &["orders.read", "orders.write"],
        ],
    ),
    (
        ["users", "bob", ""],
        [&["guests"], &["viewer"], &["orders.read"]],
    ),
    (
        ["staff", "bob", ""],
        [
            &["admins"],
            &["editor", "viewer"],
            &["orders.read", "orders.write"],
        ],
    ),
    (["staff", "alice", ""], [&[], &[], &[]]),
    (["users", "Alice", ""], [&[], &[], &[]]),
    (["users", "alice ", ""], [&[], &[], &[]]),
    (["users ", "alice", ""], [&[], &[], &[]]),
    (["users", "álice", ""], [&[], &[], &[]]),
    (
        ["users", "alice", "acme "],
        [
            &["admins"],
            &["editor", "viewer"],
            &["orders.read", "orders.write"],
        ],
    ),
];

#[tokio::test]
async fn the_default_schema_tells_groups_roles_and_permissions_in_every_database() {
    for kind in ALL {
        let server = or_skip!(Database::start(kind).await);
        let folder = match kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
            Kind::Sqlite => "sqlite",
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/sql")
            .join(folder);
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 2);
        for file in files {
            server.execute(&String::from_utf8(std::fs::read(file).unwrap()).unwrap());
        }
        server.execute(CONTENT);
        let open = Open::of(&server);
        let default = open.dialect.default_queries();
        let queries = [default.groups, default.roles, default.permissions]
            .map(|text| Query::new(text, open.dialect, OF_A_PRINCIPAL).unwrap());
        for ([issuer, user, tenant], expected) in CASES {
            let values = Values {
                issuer: Some((*issuer).to_owned()),
                user_id: Some((*user).to_owned()),
                tenant: (!tenant.is_empty()).then(|| (*tenant).to_owned()),
                ..Values::default()
            };
            let answer = open.database.ask(queries.clone().into(), values, DEADLINE);
            let mut answers = answer.await.unwrap();
            for names in &mut answers {
                names.sort();
            }
            assert_eq!(answers, expected, "{kind:?} {issuer:?} {user:?} {tenant:?}");
        }
        // a name that would be refused when it is read is refused when it is written
        let nothing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            server.execute("insert into gatepost_groups (name) values ('');");
        }));
        assert!(nothing.is_err(), "{kind:?}");
    }
}
