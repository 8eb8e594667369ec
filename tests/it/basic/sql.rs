//! Users in a database.

use super::{ARGON2, BCRYPT, HTPASSWD, basic};
use crate::support::counterparts::or_skip;
use crate::support::databases::{ALL, Database, Kind, PASSWORD};
use crate::support::gatepost::{Gatepost, run};
use crate::support::upstream::Upstream;

const QUERY: &str = "select hash from users where name = :name";

fn config(upstream: &str, url: &str, query: &str) -> String {
    crate::support::sidecar::config(upstream, "").replace(
        "[[routes]]\n        path = \"/**\"",
        &format!(
            "[basic.sql]\nurl = {{ insecure_literal = \"{url}\" }}\npassword = \"{query}\"\n\n\
             [[routes]]\nauth = [\"basic\"]\npath = \"/**\""
        ),
    )
}

fn fill(database: &Database) {
    let text = match database.kind {
        Kind::Postgres | Kind::Sqlite => "text",
        Kind::MariaDb => "varchar(200) character set utf8mb4 collate utf8mb4_bin",
    };
    database.execute(&format!(
        "create table users (name {text}, hash {text}); \
         insert into users values ('ada', '{HTPASSWD}'), ('bob', '{BCRYPT}'), ('eve', '{ARGON2}'), \
         ('none', null), ('broken', 'plain text'), ('twice', '{BCRYPT}'), ('twice', '{BCRYPT}');"
    ));
}

async fn outcome(gatepost: &Gatepost, pair: &str) -> String {
    let call = gatepost.get("/x").await;
    let reply = call.header("authorization", &basic(pair)).send().await;
    let line = gatepost.line_of(&reply).await;
    match line["reason"].as_str() {
        Some(reason) => format!("{} {reason}", reply.status.as_u16()),
        None => reply.status.as_u16().to_string(),
    }
}

#[tokio::test]
async fn a_user_of_any_database_passes_by_her_password_and_nobody_by_sql() {
    for kind in ALL {
        let database = or_skip!(Database::start(kind).await);
        fill(&database);
        let upstream = Upstream::start().await;
        let gatepost = Gatepost::start(&config(&upstream.url(), &database.url(), QUERY)).await;
        let (refused, unclear) = ("401 password_refused", "503 passwords_unavailable");
        for (pair, expected) in [
            ("ada:open sesame", "200"),
            ("bob:open sesame", "200"),
            ("eve:pässwörd:1", "200"),
            ("ada:open sesam", refused),
            ("nobody:open sesame", refused),
            ("Ada:open sesame", refused),
            ("none:", refused),
            ("none:null", refused),
            ("x' or name = 'ada:open sesame", refused),
            ("x' or '1'='1:open sesame", refused),
            ("ada' --:open sesame", refused),
            ("%:open sesame", refused),
            // what is stored proves nobody
            ("broken:plain text", unclear),
            ("twice:open sesame", unclear),
            ("ada:open sesame", "200"),
        ] {
            assert_eq!(outcome(&gatepost, pair).await, expected, "{kind:?} {pair}");
        }
        let output = gatepost.output();
        assert!(
            output.contains("what is stored for a user is no hash we know"),
            "{output}"
        );
        assert!(
            !output.contains(PASSWORD) && !output.contains("$2y$"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn users_whose_database_is_away_are_not_refused_and_who_was_just_let_in_stays_so() {
    let mut database = or_skip!(Database::start(Kind::Postgres).await);
    fill(&database);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), &database.url(), QUERY)).await;
    assert_eq!(outcome(&gatepost, "ada:open sesame").await, "200");
    database.kill();
    assert_eq!(outcome(&gatepost, "ada:open sesame").await, "200");
    for pair in ["bob:open sesame", "bob:wrong", "nobody:open sesame"] {
        let outcome = outcome(&gatepost, pair).await;
        assert_eq!(outcome, "503 passwords_unavailable", "{pair}");
    }
    database.revive().await;
    assert_eq!(outcome(&gatepost, "bob:open sesame").await, "200");
    assert_eq!(
        outcome(&gatepost, "bob:wrong").await,
        "401 password_refused"
    );
    // a password that was changed: the old one ends when somebody is asked for anew
    database.execute(
        "update users set hash = (select hash from users where name = 'eve') where name = 'ada'",
    );
    assert_eq!(outcome(&gatepost, "ada:pässwörd:1").await, "200");
    assert_eq!(
        outcome(&gatepost, "ada:open sesame").await,
        "401 password_refused"
    );
}

#[test]
fn users_in_a_database_are_asked_for_by_name_alone_and_are_in_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    let (good, upstream) = ("postgres://app:s3cret@127.0.0.1/app", "http://127.0.0.1:1");
    let both = config(upstream, good, QUERY)
        .replace("[basic.sql]", "[basic]\nusers_file = \"/x\"\n[basic.sql]");
    for (text, key, what) in [
        (
            config(upstream, good, "select hash from users"),
            "basic.sql.password",
            "without :name",
        ),
        (
            config(upstream, good, "select :user_id || :name"),
            "basic.sql.password",
            "nothing is called :user_id",
        ),
        (
            config(upstream, good, "update users set hash = :name"),
            "basic.sql.password",
            "not a `select`",
        ),
        (
            config(upstream, "redis://x", QUERY),
            "basic.sql.url",
            "not the URL of a database",
        ),
        (both, "basic.users_file", "users are in one place"),
    ] {
        std::fs::write(&file, text).unwrap();
        let checked = run(&["check", "--config", file.to_str().unwrap()], &[]);
        let told = String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(1), "{told}");
        assert!(told.contains(key) && told.contains(what), "{what}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}
