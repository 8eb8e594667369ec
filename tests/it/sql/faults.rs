//! Databases that are away, hang, break off, or answer with errors.

use std::time::Duration;

use gatepost::config::{Certificates, Client};
use gatepost::store::sql::Fault;
use tokio::net::TcpListener;

use super::{OF_USER, Open, fill};
use crate::support::counterparts::or_skip;
use crate::support::databases::{Database, Kind, PASSWORD, SERVERS};
use crate::support::secure::authority;
use crate::support::{Gone, eventually};

const SOON: Duration = Duration::from_millis(300);

/// Sleeps longer than any test.
fn sleep(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "select 'slept' from pg_sleep(600)",
        Kind::MariaDb | Kind::Sqlite => "select concat('slept', sleep(600))",
    }
}

/// Whether somebody does.
fn is_asleep(server: &Database) -> bool {
    let asleep = match server.kind {
        Kind::Postgres => {
            "select count(*) from pg_stat_activity where query like '%pg_sleep%' \
             and state = 'active' and pid <> pg_backend_pid()"
        }
        Kind::MariaDb | Kind::Sqlite => {
            "select count(*) from information_schema.processlist \
             where info like '%sleep(%' and id <> connection_id()"
        }
    };
    server.execute(asleep) != "0"
}

/// Ends what [`sleep`] waits in; `false` if nobody sleeps yet.
fn wake(server: &Database) -> bool {
    match server.kind {
        Kind::Postgres => {
            let ended = server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where query like '%pg_sleep%' and pid <> pg_backend_pid()",
            );
            ended == "t"
        }
        Kind::MariaDb | Kind::Sqlite => {
            let id = server.execute(
                "select id from information_schema.processlist \
                 where info like '%sleep(%' and id <> connection_id()",
            );
            if !id.is_empty() {
                server.execute(&format!("kill connection {id}"));
            }
            !id.is_empty()
        }
    }
}

#[tokio::test]
async fn a_database_that_breaks_off_or_was_restarted_is_asked_again_without_a_lost_ask() {
    for kind in SERVERS {
        let mut server = or_skip!(Database::start(kind).await);
        fill(&server);
        let open = Open::of(&server);
        assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);

        let (answer, ()) = tokio::join!(
            open.ask(sleep(kind)),
            eventually("somebody sleeps", async || wake(&server).then_some(()))
        );
        let fault = answer.unwrap_err();
        let is_lost = match &fault {
            Fault::Away(_) => true,
            Fault::Database { code, .. } => code == "57P01" || code == "1927",
            Fault::Timeout | Fault::Answer(_) | Fault::Stopped => false,
        };
        assert!(is_lost, "{kind:?}: {fault:?}");
        assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);

        // two connections are kept; the restart ends both
        let (one, two) = tokio::join!(open.ask_of(OF_USER, "v"), open.ask_of(OF_USER, "v"));
        assert_eq!(
            (one.unwrap(), two.unwrap()),
            (vec!["c".to_owned()], vec!["c".to_owned()])
        );
        server.revive().await;
        for _ in 0..3 {
            assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"], "{kind:?}");
        }

        server.kill();
        let fault = open.ask_of(OF_USER, "v").await.unwrap_err();
        assert_eq!(
            fault,
            Fault::Away("connection refused".to_owned()),
            "{kind:?}"
        );
        server.revive().await;
        assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);
    }
}

#[tokio::test]
async fn a_database_that_hangs_is_waited_for_until_the_deadline_and_found_when_it_is_back() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for scheme in ["postgres", "mysql"] {
        let open = Open::at(
            &format!("{scheme}://app@127.0.0.1:{port}/app"),
            &Client::default(),
        );
        for _ in 0..4 {
            let fault = open.ask_within(OF_USER, "v", SOON).await.unwrap_err();
            assert_eq!(fault, Fault::Timeout, "{scheme}");
        }
    }
    let server = or_skip!(Database::start(Kind::MariaDb).await);
    fill(&server);
    let open = Open::of(&server);
    assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);
    server.hang().await;
    for _ in 0..4 {
        let fault = open.ask_within(OF_USER, "v", SOON).await.unwrap_err();
        assert_eq!(fault, Fault::Timeout);
    }
    server.resume();
    assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);
}

#[tokio::test]
async fn a_query_that_takes_too_long_leaves_no_connection_in_use_nor_the_server_at_work() {
    for kind in SERVERS {
        let server = or_skip!(Database::start(kind).await);
        fill(&server);
        let open = Open::of(&server);
        // more than there may be connections
        for _ in 0..5 {
            let fault = open.ask_within(sleep(kind), "u", SOON).await.unwrap_err();
            let is_late = fault == Fault::Timeout || fault.to_string().contains("took too long");
            assert!(is_late, "{kind:?}: {fault}");
        }
        assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);
        if kind == Kind::Postgres {
            eventually("nobody sleeps", async || {
                (!is_asleep(&server)).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_question_that_is_too_slow_costs_others_no_connection() {
    // it ends no query by itself, as PostgreSQL does, mostly before the deadline
    let server = or_skip!(Database::start(Kind::MariaDb).await);
    fill(&server);
    let open = Open::of(&server);
    let which = "select cast(connection_id() as char)";
    let beside = async {
        eventually("somebody sleeps", async || is_asleep(&server).then_some(())).await;
        open.ask(which).await.unwrap()
    };
    let slow = open.ask_within(sleep(server.kind), "u", 10 * SOON);
    let (slow, beside) = tokio::join!(slow, beside);
    assert_eq!(slow, Err(Fault::Timeout));
    assert_eq!(open.ask(which).await.unwrap(), beside);
}

#[tokio::test]
async fn there_are_never_more_connections_than_were_allowed() {
    let server = or_skip!(Database::start(Kind::Postgres).await);
    let open = Open::of(&server);
    let asks = (0..20).map(|_| open.ask("select 'a' from pg_sleep(0.01)"));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.unwrap(), ["a"]);
    }
    let connections = "select count(*) from pg_stat_activity where usename = 'app'";
    assert_eq!(server.execute(connections), "2");
}

#[tokio::test]
async fn what_a_database_refuses_is_said_in_its_code_and_our_words_and_nothing_secret() {
    let gone = Gone::take();
    for kind in SERVERS {
        let server = or_skip!(Database::start(kind).await);
        fill(&server);
        server.execute("create table hidden (name varchar(20));");
        let revoke = match kind {
            Kind::Postgres => "revoke select on hidden from app",
            // rights are given by database: a table of another one is not ours
            Kind::MariaDb | Kind::Sqlite => {
                "create database other; create table other.hidden (name text)"
            }
        };
        server.execute(revoke);
        let hidden = match kind {
            Kind::Postgres => "select name from hidden",
            Kind::MariaDb | Kind::Sqlite => "select name from other.hidden",
        };
        let codes = match kind {
            Kind::Postgres => [
                "28P01", "28P01", "3D000", "42501", "42703", "42P01", "42601", "42883",
            ],
            Kind::MariaDb | Kind::Sqlite => [
                "1045", "1045", "1044", "1142", "1054", "1146", "1064", "1305",
            ],
        };
        let url = server.url();
        let wrong_password = server.url_of("app", "s3cret-wrong", "app");
        let nobody = server.url_of("s3cret-nobody", PASSWORD, "app");
        let no_database = server.url_of("app", PASSWORD, "s3cret-missing");
        let away = format!(
            "{}://app:{PASSWORD}@{}/app",
            url.split(':').next().unwrap(),
            gone.address
        );
        for ((url, query), code) in [
            (&wrong_password, OF_USER),
            (&nobody, OF_USER),
            (&no_database, OF_USER),
            (&url, hidden),
            (&url, "select nmae from members where user_id = :user_id"),
            (&url, "select name from member where user_id = :user_id"),
            (
                &url,
                "select name frm members where user_id = :user_id limit",
            ),
            (&url, "select frobnicate(:user_id)"),
        ]
        .into_iter()
        .zip(codes)
        {
            let open = Open::at(url, &Client::default());
            // the second on a connection that was kept, if one was
            for _ in 0..2 {
                let fault = open.ask_of(query, "s3cret-user").await.unwrap_err();
                let said = format!("{fault} {fault:?} {:?}", open.database);
                let is_it = matches!(&fault, Fault::Database { code: found, .. } if found == code);
                assert!(is_it, "{kind:?} {code}: {said}");
                assert!(!said.contains("s3cret"), "{said}");
                let told = ["nmae", "member", "frm", "frobnicate"];
                let at = told
                    .iter()
                    .find(|part| query.contains(*part) && code.len() > 3);
                if let (Some(part), false) = (at, query == OF_USER || query == hidden) {
                    assert!(said.contains(part), "{said}");
                }
            }
        }
        let fault = Open::at(&away, &Client::default())
            .ask(OF_USER)
            .await
            .unwrap_err();
        assert_eq!(fault, Fault::Away("connection refused".to_owned()));
    }
}

#[tokio::test]
async fn a_table_that_changes_under_a_prepared_statement_loses_no_ask() {
    for kind in SERVERS {
        let server = or_skip!(Database::start(kind).await);
        fill(&server);
        let open = Open::of(&server);
        assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);
        server.execute(match kind {
            Kind::Postgres => "alter table members alter name type varchar(30)",
            Kind::MariaDb | Kind::Sqlite => "alter table members modify name char(30)",
        });
        for _ in 0..2 {
            assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"], "{kind:?}");
        }
        if kind == Kind::Postgres {
            // by another session, as a pooler may
            server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'",
            );
            assert_eq!(open.ask_of(OF_USER, "v").await.unwrap(), ["c"]);
        }
    }
}

#[tokio::test]
async fn tls_is_verified_with_extra_ca_file_or_the_authorities_the_url_names() {
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let trusting = Client {
        extra_roots: Certificates(vec![authority.der().clone()]),
        ..Client::default()
    };
    for kind in SERVERS {
        let server = or_skip!(Database::secure(kind, &authority).await);
        fill(&server);
        let (parameter, full, plain) = match kind {
            Kind::Postgres => ("sslrootcert", "verify-full", "disable"),
            Kind::MariaDb | Kind::Sqlite => ("ssl-ca", "VERIFY_IDENTITY", "DISABLED"),
        };
        let verified = format!("{}?sslmode={full}", server.url());
        let stated = format!("{verified}&{parameter}={}", file.display());
        let by_address = verified.replace("localhost", "127.0.0.1");
        let in_the_clear = format!("{}?sslmode={plain}", server.url());
        let plain = Client::default();
        for (url, client, expected) in [
            (&server.url(), &trusting, None),
            (&verified, &trusting, None),
            (&stated, &plain, None),
            (
                &verified,
                &plain,
                Some("TLS: invalid peer certificate: UnknownIssuer"),
            ),
            (
                &by_address,
                &trusting,
                Some("TLS: invalid peer certificate: certificate not valid for name"),
            ),
            (&in_the_clear, &trusting, Some("the database answered")),
        ] {
            let answer = Open::at(url, client).ask_of(OF_USER, "v").await;
            match (answer, expected) {
                (Ok(names), None) => assert_eq!(names, ["c"]),
                (Err(fault), Some(why)) => {
                    assert!(fault.to_string().contains(why), "{kind:?} {url}: {fault}");
                }
                (answer, _) => panic!("{kind:?} {url}: {answer:?}"),
            }
        }
    }
}
