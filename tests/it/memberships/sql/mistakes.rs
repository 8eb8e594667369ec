//! Configurations that cannot work, and databases that do not do what was meant.

use serde_json::json;

use super::super::{config, outcome, token};
use super::store;
use crate::support::counterparts::or_skip;
use crate::support::databases::{Database, Kind, PASSWORD};
use crate::support::gatepost::{Gatepost, run};
use crate::support::secure::authority;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn what_is_wrong_with_a_database_is_503_and_said_in_the_log_without_a_secret() {
    let upstream = Upstream::start().await;
    let authority = authority();
    let secure = or_skip!(Database::secure(Kind::Postgres, &authority).await);
    let database = or_skip!(Database::start(Kind::Postgres).await);
    database.execute(
        "create table members (issuer text, user_id text, name text, level int); \
         insert into members values ('users', 's3cret-ada', 'admins', 1);",
    );
    let good = database.url();
    let groups = |column: &str, more: &str| {
        format!(
            "groups = \"select {column} from members where issuer = :issuer and user_id = :user_id {more}\"\n\
             from = {{ roles = \"claims\", permissions = \"claims\" }}\n"
        )
    };
    let by_name = groups("name", "");
    for (url, queries, why) in [
        (&good, &by_name, None),
        (
            &database.url_of("app", "s3cret-wrong", "app"),
            &by_name,
            Some("28P01: it refuses the user, the password"),
        ),
        (
            &database.url_of("app", PASSWORD, "s3cret-missing"),
            &by_name,
            Some("3D000: there is no database of this name"),
        ),
        (
            &good,
            &groups("nmae", ""),
            Some("42703: column \\\"nmae\\\" does not exist"),
        ),
        (
            &good,
            &groups("level", ""),
            Some("INT4, not text: cast it to text"),
        ),
        (&good, &groups("name, level", ""), Some("2 columns")),
        (
            &good,
            &groups("repeat(name, 1000)", ""),
            Some("longer than 1 KiB"),
        ),
        // what a value cannot be is not repeated
        (
            &good,
            &groups("name", "and :user_id::uuid is not null"),
            Some("22P02"),
        ),
        (
            &format!("{}?sslmode=disable", secure.url()),
            &by_name,
            Some("28000: it refuses the user, the password"),
        ),
        (&secure.url(), &by_name, None.or(Some("42P01"))),
        (
            &format!("{}?sslmode=verify-full", secure.url()),
            &by_name,
            Some("TLS: invalid peer certificate: UnknownIssuer"),
        ),
    ] {
        let gatepost = Gatepost::start(&config(&upstream.url(), &store(url, queries))).await;
        let ada = token("users", "s3cret-ada", &json!({}));
        let found = outcome(&gatepost, "/admins/1", &ada).await;
        let Some(why) = why else {
            assert_eq!(found, "200");
            continue;
        };
        assert_eq!(found, "503 memberships_unavailable", "{why}");
        let said: Vec<String> = gatepost
            .events("WARN")
            .iter()
            .map(ToString::to_string)
            .collect();
        let said = said.join("\n");
        assert!(said.contains(why), "{why}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert!(
            !gatepost.output().contains(PASSWORD),
            "{}",
            gatepost.output()
        );
    }
}

#[test]
fn a_query_or_url_that_cannot_work_is_a_mistake_that_names_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    let good = "postgres://app:s3cret@127.0.0.1/app";
    let query = |text: &str| {
        format!("groups = \"{text}\"\nfrom = {{ roles = \"claims\", permissions = \"claims\" }}")
    };
    for (url, more, key, what) in [
        (
            good,
            query("select 1 where :user = :issuer"),
            "groups",
            "nothing is called :user",
        ),
        (
            good,
            query("select 1 where $1 = :issuer"),
            "groups",
            "the placeholder $1 has no name",
        ),
        (
            good,
            query("select :issuer; drop table x"),
            "groups",
            "several statements",
        ),
        (
            good,
            query("delete from x where i = :issuer"),
            "groups",
            "not a `select`",
        ),
        (good, query("select ':issuer"), "groups", "never closed"),
        (good, query(""), "groups", ""),
        (
            "postgres://app:s3cret@/app",
            String::new(),
            "url",
            "empty host",
        ),
        (
            "oracle://app:s3cret@x/app",
            String::new(),
            "url",
            "not the URL of a database",
        ),
        (
            "postgres://app:s3cret@x/app?sslmdoe=s3cret",
            String::new(),
            "url",
            "a parameter of the URL",
        ),
        ("sqlite::memory:", String::new(), "url", "names no file"),
        (
            good,
            "max_connections = 0".to_owned(),
            "max_connections",
            "",
        ),
        (
            good,
            "max_stale = \"1s\"\ncache = \"1m\"".to_owned(),
            "max_stale",
            "",
        ),
    ] {
        std::fs::write(&file, config("http://127.0.0.1:1", &store(url, &more))).unwrap();
        let checked = run(&["check", "--config", file.to_str().unwrap()], &[]);
        let told = String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(1), "{more}: {told}");
        assert!(
            told.contains(&format!("memberships.main.{key}")),
            "{more}: {told}"
        );
        assert!(told.contains(what), "{more}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    // two issuers use the store: a user id alone is not a user
    for queries in ["select 1 where :user_id = 'x'", "select 1"] {
        let text = config("http://127.0.0.1:1", &store(good, &query(queries)));
        std::fs::write(&file, text).unwrap();
        let checked = run(&["check", "--config", file.to_str().unwrap()], &[]);
        let told = String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(1), "{told}");
        assert!(told.contains(":issuer"), "{told}");
    }
}
