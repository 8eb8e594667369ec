//! What is an answer, and what is none.

use super::{OF_USER, Open, fill};
use crate::support::counterparts::or_skip;
use crate::support::databases::{ALL, Database, Kind, SERVERS};

/// A column of each type, what stands in it, and what is read: a name, or part of the error.
type Columns = &'static [(
    &'static str,
    &'static str,
    Result<&'static str, &'static str>,
)];

const POSTGRES: Columns = &[
    ("text", "'a'", Ok("a")),
    ("varchar(20)", "'a '", Ok("a ")),
    ("char(20)", "'a'", Ok("a")),
    ("name", "'a'", Ok("a")),
    ("citext", "'Aä'", Ok("Aä")),
    ("mood", "'happy'", Ok("happy")),
    ("short", "'a'", Ok("a")),
    (
        "uuid",
        "'0198C4E1-0000-7000-8000-00000000abcd'",
        Ok("0198c4e1-0000-7000-8000-00000000abcd"),
    ),
    ("integer", "1", Err("INT4, not text: cast it to text")),
    ("bigint", "1", Err("INT8, not text")),
    ("boolean", "true", Err("BOOL, not text")),
    ("jsonb", "'\"a\"'", Err("JSONB, not text")),
    ("bytea", "'a'", Err("BYTEA, not text")),
    ("text[]", "'{a,b}'", Err("TEXT[], not text")),
    ("timestamptz", "now()", Err("TIMESTAMPTZ, not text")),
    ("numeric", "1.5", Err("NUMERIC, not text")),
    ("\"char\"", "'a'", Err("\"CHAR\", not text")),
];

const MARIADB: Columns = &[
    ("varchar(20)", "'aä😀'", Ok("aä😀")),
    ("varchar(20) collate utf8mb4_bin", "'A '", Ok("A ")),
    ("varchar(20) character set latin1", "'aä'", Ok("aä")),
    ("char(20)", "'a'", Ok("a")),
    ("text", "'a'", Ok("a")),
    ("longtext collate utf8mb4_bin", "'a'", Ok("a")),
    ("tinytext", "'a'", Ok("a")),
    ("enum('happy', 'sad')", "'happy'", Ok("happy")),
    (
        "uuid",
        "'0198C4E1-0000-7000-8000-00000000abcd'",
        Ok("0198c4e1-0000-7000-8000-00000000abcd"),
    ),
    ("int", "1", Err("INT, not text: cast it to text")),
    ("bigint unsigned", "1", Err("BIGINT UNSIGNED, not text")),
    ("boolean", "true", Err("BOOLEAN, not text")),
    ("varbinary(20)", "'a'", Err("VARBINARY, not text")),
    ("blob", "'a'", Err("BLOB, not text")),
    ("date", "now()", Err("DATE, not text")),
    ("decimal(5, 2)", "1.5", Err("DECIMAL, not text")),
];

#[tokio::test]
async fn a_column_of_text_is_read_whatever_its_type_and_another_says_cast() {
    for kind in SERVERS {
        let server = or_skip!(Database::start(kind).await);
        let columns = if kind == Kind::Postgres {
            server.execute(
                "create extension citext; create type mood as enum ('happy', 'sad'); \
                 create domain short as varchar(5);",
            );
            POSTGRES
        } else {
            MARIADB
        };
        for (number, (column, value, _)) in columns.iter().enumerate() {
            server.execute(&format!(
                "create table t{number} (name {column}); \
                 insert into t{number} values ({value}), (null);"
            ));
        }
        let open = Open::of(&server);
        for (number, (column, _, expected)) in columns.iter().enumerate() {
            let answer = open.ask(&format!("select name from t{number}")).await;
            match (answer, expected) {
                (Ok(names), Ok(name)) => assert_eq!(names, [*name], "{kind:?} {column}"),
                (Err(fault), Err(why)) => {
                    assert!(fault.to_string().contains(why), "{column}: {fault}");
                }
                (answer, _) => panic!("{kind:?} {column}: {answer:?}"),
            }
        }
        let fault = open.ask("select name, name from t0").await.unwrap_err();
        assert!(fault.to_string().contains("2 columns"), "{fault}");
        // one connection has read it all, and is none the worse
        assert_eq!(open.ask("select name from t0").await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_name_is_any_text_and_a_user_id_is_never_sql() {
    let hostile = [
        "u' or '1'='1",
        "' or 1=1 --",
        "u'; drop table members; --",
        "u\" or \"\"=\"",
        "u\\' or 1=1 #",
        "u\\",
        ":user_id",
        "$1",
        "?",
        "%",
        "u,b",
        "u\nb",
        "ä€😀",
    ];
    for kind in ALL {
        let server = or_skip!(Database::start(kind).await);
        fill(&server);
        let open = Open::of(&server);
        for user in hostile {
            assert!(
                open.ask_of(OF_USER, user).await.unwrap().is_empty(),
                "{kind:?}: {user:?}"
            );
        }
        // each of them is a user like any other, and a name like any other
        for (number, user) in hostile.iter().enumerate() {
            let hex = hex(user);
            let text = match kind {
                Kind::Postgres => format!("convert_from('\\x{hex}', 'UTF8')"),
                Kind::MariaDb => format!("convert(x'{hex}' using utf8mb4)"),
                Kind::Sqlite => format!("cast(x'{hex}' as text)"),
            };
            server.execute(&format!(
                "insert into members values ({text}, 'own{number}'), ('names', {text});"
            ));
        }
        for (number, user) in hostile.iter().enumerate() {
            let own = open.ask_of(OF_USER, user).await.unwrap();
            assert_eq!(own, [format!("own{number}")], "{kind:?}: {user:?}");
        }
        // nobody is called nothing
        server.execute("insert into members values ('nameless', '');");
        let fault = open.ask_of(OF_USER, "nameless").await.unwrap_err();
        assert!(fault.to_string().contains("a name is empty"), "{fault}");
        let mut names = open.ask_of(OF_USER, "names").await.unwrap();
        names.sort();
        let mut expected = hostile.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn ten_thousand_names_are_an_answer_one_more_or_one_too_long_or_with_a_nul_is_none() {
    for kind in SERVERS {
        let server = or_skip!(Database::start(kind).await);
        fill(&server);
        let open = Open::of(&server);
        let many = |count| match kind {
            Kind::Postgres => format!("select 'g' || i from generate_series(1, {count}) i"),
            Kind::MariaDb | Kind::Sqlite => {
                format!("select concat('g', seq) from app_seq where seq <= {count}")
            }
        };
        if kind == Kind::MariaDb {
            server.execute("create table app_seq as select seq from seq_1_to_20000");
        }
        let names = open.ask(&many(10_000)).await.unwrap();
        assert_eq!((names.len(), names[9_999].as_str()), (10_000, "g10000"));
        for (query, why) in [
            (many(10_001), "more than 10,000 names"),
            (many(20_000), "more than 10,000 names"),
            ("select repeat('x', 1025)".to_owned(), "longer than 1 KiB"),
            ("select repeat('ä', 513)".to_owned(), "longer than 1 KiB"),
        ] {
            let fault = open.ask(&query).await.unwrap_err();
            assert!(fault.to_string().contains(why), "{query}: {fault}");
            assert_eq!(
                open.ask_of(OF_USER, "v").await.unwrap(),
                ["c"],
                "after {query}"
            );
        }
        assert_eq!(
            open.ask("select repeat('x', 1024)").await.unwrap()[0].len(),
            1024
        );
        if kind == Kind::MariaDb {
            let fault = open.ask("select concat('a', char(0 using utf8mb4))").await;
            assert!(fault.unwrap_err().to_string().contains("a NUL"));
        }
    }
}

#[tokio::test]
async fn nothing_is_written_whoever_may() {
    let server = or_skip!(Database::start(Kind::Postgres).await);
    fill(&server);
    let open = Open::at(
        &server.url_of("admin", "", "app"),
        &gatepost::config::Client::default(),
    );
    for query in [
        "with w as (insert into members values ('w', 'd') returning name) select name from w",
        "select name from members for update",
        "select nextval('s')::text",
    ] {
        if query.contains("nextval") {
            server.execute("create sequence s");
        }
        let fault = open.ask(query).await.unwrap_err().to_string();
        assert!(
            fault.contains("25006: the query writes"),
            "{query}: {fault}"
        );
    }
    assert_eq!(server.execute("select count(*) from members"), "3");
    let server = or_skip!(Database::start(Kind::MariaDb).await);
    fill(&server);
    server.execute(
        "delimiter //\ncreate function f() returns varchar(20) begin \
         insert into members values ('w', 'd'); return 'a'; end//",
    );
    let fault = Open::of(&server)
        .ask("select f()")
        .await
        .unwrap_err()
        .to_string();
    assert!(fault.contains("1792: the query writes"), "{fault}");
    assert_eq!(server.execute("select count(*) from members"), "3");
}

#[tokio::test]
async fn a_statement_is_prepared_once_and_not_kept_where_the_url_says_so() {
    let server = or_skip!(Database::start(Kind::Postgres).await);
    let count = async |url: &str| {
        let open = Open::at(url, &gatepost::config::Client::default());
        for _ in 0..3 {
            open.ask("select 'a'").await.unwrap();
        }
        let kept = open.ask("select name from pg_prepared_statements").await;
        kept.unwrap().len()
    };
    // `select 'a'` and the question itself
    assert_eq!(count(&server.url()).await, 2);
    let url = server.url() + "?statement-cache-capacity=0";
    assert_eq!(count(&url).await, 0, "a pooler would give them to others");
}

fn hex(text: &str) -> String {
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    digits.collect()
}
