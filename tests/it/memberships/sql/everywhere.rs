//! The same rules give the same decisions wherever the memberships are kept.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{ask, config, outcome, token, validated};
use super::{apply_schema, store};
use crate::support::counterparts::or_skip;
use crate::support::databases::{ALL, Database, Kind};
use crate::support::gatepost::Gatepost;
use crate::support::upstream::{self, Upstream};

type Names = &'static [&'static str];

/// User of the issuer `users`, groups, roles and permissions.
const MEMBERS: &[(&str, Names, Names, Names)] = &[
    (
        "ada",
        &["admins", "a,b", "line\nbreak", "it's \"q\"", "ä€😀"],
        &["editor"],
        &["orders.write"],
    ),
    ("mallory", &["banned"], &[], &["orders.write"]),
    ("o'hara", &["admins"], &["editor"], &[]),
    ("bob", &[], &[], &[]),
];

/// No look-up of these ends for want of time, however busy the machine is.
const PATIENT: &str = "timeout = \"10s\"\n";

const CASES: &[(&str, &str, &str, &str)] = &[
    ("admins", "users", "ada", "200"),
    ("admins", "users", "o'hara", "200"),
    ("admins", "users", "mallory", "403 group_missing"),
    ("admins", "users", "bob", "403 group_missing"),
    ("admins", "users", "nobody", "403 group_missing"),
    // another issuer's ada is somebody else
    ("admins", "staff", "ada", "403 group_missing"),
    ("admins", "users", "Ada", "403 group_missing"),
    ("admins", "users", "x' or '1'='1", "403 group_missing"),
    (
        "admins",
        "users",
        "x'; drop table gatepost_groups; --",
        "403 group_missing",
    ),
    ("admins", "users", "ada' --", "403 group_missing"),
    ("admins", "users", "ada\\", "403 group_missing"),
    ("admins", "users", "%", "403 group_missing"),
    ("unbanned", "users", "ada", "200"),
    ("unbanned", "users", "bob", "200"),
    ("unbanned", "users", "mallory", "403 group_missing"),
    ("writers", "users", "ada", "200"),
    ("writers", "users", "mallory", "403 role_missing"),
    ("writers", "users", "o'hara", "403 permission_missing"),
    ("writers", "staff", "ada", "403 role_missing"),
    ("admins", "users", "ada", "200"),
];

/// What `MEMBERS` says of a user of an issuer, as claims.
fn sets(issuer: &str, user: &str) -> Value {
    let found = MEMBERS.iter().find(|(known, ..)| *known == user);
    let found = found.filter(|_| issuer == "users");
    let (_, groups, roles, permissions) = *found.unwrap_or(&("", &[], &[], &[]));
    json!({ "groups": groups, "roles": roles, "permissions": permissions })
}

/// The rules, decided with this store; tokens state what the store would say, or nothing.
async fn decides(what: &str, table: &str, in_claims: bool) {
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), table)).await;
    let user = |issuer, user| {
        let claims = if in_claims {
            sets(issuer, user)
        } else {
            json!({})
        };
        token(issuer, user, &claims)
    };
    for (path, issuer, name, expected) in CASES {
        let found = outcome(&gatepost, &format!("/{path}/1"), &user(issuer, name)).await;
        assert_eq!(found, *expected, "{what}: {path} {issuer} {name}");
    }
    // the claims of a token that asks the store are not what counts
    if !in_claims {
        let claimed = token("users", "bob", &sets("users", "ada"));
        let found = outcome(&gatepost, "/admins/1", &claimed).await;
        assert_eq!(found, "403 group_missing", "{what}");
    }
    let ada = user("users", "ada");
    let valid = validated(&gatepost, "admins", &ada).await;
    let mut groups: Vec<String> = serde_json::from_value(valid["groups"].clone()).unwrap();
    groups.sort();
    let mut expected: Vec<&str> = MEMBERS[0].1.to_vec();
    expected.sort_unstable();
    assert_eq!(groups, expected, "{what}");
    ask(&gatepost, "/admins/1", &ada).await;
    let told = upstream.last().header("x-user-groups").to_owned();
    let mut told: Vec<&str> = told.split(',').collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "%C3%A4%E2%82%AC%F0%9F%98%80",
            "a%2Cb",
            "admins",
            "it's%20\"q\"",
            "line%0Abreak"
        ],
        "{what}"
    );
}

/// What fills the default schema. The text of a name is given in hexadecimal: what it means to a shell of
/// the database is not our test.
fn content(kind: Kind) -> String {
    let text = |text: &str| {
        let mut hex = String::new();
        for byte in text.bytes() {
            write!(hex, "{byte:02x}").unwrap();
        }
        match kind {
            Kind::Postgres => format!("convert_from('\\x{hex}', 'UTF8')"),
            Kind::MariaDb => format!("convert(x'{hex}' using utf8mb4)"),
            Kind::Sqlite => format!("cast(x'{hex}' as text)"),
        }
    };
    let mut statements = String::new();
    let mut number = 0;
    for (user, groups, roles, permissions) in MEMBERS {
        let user = text(user);
        for (what, names) in [("group", groups), ("role", roles)] {
            for name in *names {
                let name = text(name);
                writeln!(
                    statements,
                    "insert into gatepost_{what}s (name) select {name} \
                     where not exists (select 1 from gatepost_{what}s where name = {name}); \
                     insert into gatepost_{what}_members ({what}_id, issuer, user_id) \
                     select id, 'users', {user} from gatepost_{what}s where name = {name};"
                )
                .unwrap();
            }
        }
        for permission in *permissions {
            // by a role of the user's own
            number += 1;
            writeln!(
                statements,
                "insert into gatepost_roles (name) values ('own{number}'); \
                 insert into gatepost_role_members (role_id, issuer, user_id) \
                 select id, 'users', {user} from gatepost_roles where name = 'own{number}'; \
                 insert into gatepost_role_permissions (role_id, permission) \
                 select id, {} from gatepost_roles where name = 'own{number}';",
                text(permission)
            )
            .unwrap();
        }
    }
    statements
}

#[tokio::test]
async fn the_same_rules_decide_the_same_in_claims_a_file_over_http_and_in_every_database() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let path = empty.path().display();
    let claims =
        format!("[memberships.main]\nkind = \"file\"\nfile = \"{path}\"\nfrom = \"claims\"\n");
    decides("claims", &claims, true).await;

    let members = tempfile::NamedTempFile::new().unwrap();
    let mut text = String::new();
    for (user, groups, roles, permissions) in MEMBERS {
        let list = |names: &[&str]| json!(names).to_string();
        write!(
            text,
            "[[members]]\nissuer = \"users\"\nuser_id = {}\ngroups = {}\nroles = {}\npermissions = {}\n",
            json!(user),
            list(groups),
            list(roles),
            list(permissions)
        )
        .unwrap();
    }
    std::fs::write(members.path(), text).unwrap();
    let path = members.path().display();
    let file = format!("[memberships.main]\nkind = \"file\"\nfile = \"{path}\"\n");
    decides("file", &file, false).await;

    let directory = Upstream::answering(|request| {
        let mut path = request.uri.path().trim_start_matches('/').splitn(2, '/');
        let mut part = || {
            let part = path.next().unwrap_or_default();
            percent_encoding::percent_decode_str(part)
                .decode_utf8_lossy()
                .into_owned()
        };
        let (issuer, user) = (part(), part());
        upstream::json(&sets(&issuer, &user))
    })
    .await;
    let http = format!(
        "[memberships.main]\nkind = \"http\"\nurl = \"{}/{{issuer}}/{{user_id}}\"\n\
         groups = \"groups\"\nroles = \"roles\"\npermissions = \"permissions\"\n",
        directory.url()
    );
    decides("http", &http, false).await;

    for kind in ALL {
        let database = or_skip!(Database::start(kind).await);
        apply_schema(&database);
        database.execute(&content(kind));
        let table = store(&database.url(), PATIENT);
        decides(&format!("{kind:?}"), &table, false).await;
    }
}

#[tokio::test]
async fn own_tables_are_asked_by_own_queries_and_ten_thousand_groups_are_not_too_many() {
    let queries = "\
groups = \"select name from teams where issuer = :issuer and member = :user_id\"
permissions = \"select concat('tenant:', :tenant) where :issuer <> '' and :user_id <> '' and :tenant is not null\"
";
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let database = or_skip!(Database::start(kind).await);
        let numbers = match kind {
            Kind::Postgres => "select generate_series(1, 9999) as i",
            Kind::MariaDb | Kind::Sqlite => "select seq as i from seq_1_to_9999",
        };
        database.execute(&format!(
            "create table teams (issuer varchar(20), member varchar(20), name varchar(20)); \
             insert into teams values ('users', 'ada', 'admins'), ('users', 'many', 'admins'); \
             insert into teams select 'users', 'ada', concat('g', i) from ({numbers}) n; \
             insert into teams select 'users', 'many', concat('g', i) from ({numbers}) n; \
             insert into teams values ('users', 'many', 'one more');"
        ));
        let upstream = Upstream::start().await;
        let table = store(&database.url(), queries) + "from = { roles = \"claims\" }\n";
        let gatepost = Gatepost::start(&config(&upstream.url(), &table)).await;
        let ada = token("users", "ada", &json!({ "org": "acme" }));
        let valid = validated(&gatepost, "admins", &ada).await;
        assert_eq!(
            valid["groups"].as_array().map(Vec::len),
            Some(10_000),
            "{kind:?}"
        );
        assert_eq!(valid["permissions"], json!(["tenant:acme"]), "{kind:?}");
        let many = token("users", "many", &json!({}));
        let outcome = outcome(&gatepost, "/admins/1", &many).await;
        assert_eq!(outcome, "503 memberships_unavailable", "{kind:?}");
        let told = gatepost.output();
        assert!(told.contains("more than 10,000 names"), "{told}");
    }
}
