//! What holds for every database, shown with the one that needs no server. Against real servers:
//! `tests/it/sql`.

use std::path::Path;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::sql::OF_A_PRINCIPAL;
use crate::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);

async fn write(file: &Path, statements: &str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let written = connection.execute(AssertSqlSafe(statements.to_owned()));
    written.await.unwrap();
    connection.close().await.unwrap();
}

fn database(url: &str) -> (Arc<Database>, Background) {
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let config = sql::Database::new(&Secret::new(url.to_owned()), 2).unwrap();
    let trust = Trust::new(&crate::config::Client::default()).unwrap();
    let database = Database::open(&config, &trust, &background).unwrap();
    (database, background)
}

/// A file with these statements in it.
async fn holding(statements: &str) -> (TempDir, Arc<Database>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    write(&file, statements).await;
    let (database, _) = database(&format!("sqlite:{}", file.display()));
    (folder, database)
}

async fn ask(database: &Database, query: &str, user: &str) -> Result<Vec<String>, Fault> {
    let query = Query::new(query, Dialect::Sqlite, OF_A_PRINCIPAL).unwrap();
    let values = Values {
        issuer: Some("https://issuer.example".to_owned()),
        user_id: Some(user.to_owned()),
        ..Values::default()
    };
    let mut answers = database.ask([query].into(), values, 5 * SECOND).await?;
    assert_eq!(answers.len(), 1);
    Ok(answers.remove(0))
}

const MEMBERS: &str = "\
create table members (user text, name text);
insert into members values ('u', 'a'), ('u', 'b'), ('v', 'c');";
const OF_USER: &str = "select name from members where user = :user_id";

#[tokio::test]
async fn an_answer_is_the_names_of_the_one_who_was_asked_for() {
    let (_folder, database) = holding(MEMBERS).await;
    for (user, names) in [("u", &["a", "b"][..]), ("v", &["c"]), ("w", &[])] {
        assert_eq!(ask(&database, OF_USER, user).await.unwrap(), names);
    }
}

#[tokio::test]
async fn several_queries_are_answered_in_their_order_and_nobody_is_bound_as_null() {
    let (_folder, database) = holding(MEMBERS).await;
    let queries: Vec<Query> = [
        "select name from members where user = :user_id order by name desc",
        "select 'none' where :tenant is null and :client_id is null",
        "select :issuer",
    ]
    .map(|text| Query::new(text, Dialect::Sqlite, OF_A_PRINCIPAL).unwrap())
    .into();
    let values = Values {
        issuer: Some("i".to_owned()),
        user_id: Some("u".to_owned()),
        ..Values::default()
    };
    let answers = database
        .ask(queries.into(), values, 5 * SECOND)
        .await
        .unwrap();
    assert_eq!(answers, [vec!["b", "a"], vec!["none"], vec!["i"]]);
}

#[tokio::test]
async fn sql_in_a_user_id_is_a_user_id() {
    let (_folder, database) = holding(MEMBERS).await;
    for user in [
        "u' or '1'='1",
        "' or 1=1 --",
        "u'; drop table members; --",
        "u\" or \"\"=\"",
        "u\\' or 1=1 #",
        ":user_id",
        "?",
        "%",
    ] {
        assert!(
            ask(&database, OF_USER, user).await.unwrap().is_empty(),
            "{user}"
        );
    }
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c"]);
}

#[tokio::test]
async fn ten_thousand_names_are_an_answer_and_one_more_is_none() {
    let numbers = |count: usize| {
        format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {count}) \
             select 'g' || i from n"
        )
    };
    let (_folder, database) = holding(MEMBERS).await;
    let names = ask(&database, &numbers(MOST_NAMES), "u").await.unwrap();
    assert_eq!(names.len(), MOST_NAMES);
    assert_eq!(names.last().unwrap(), "g10000");
    let fault = ask(&database, &numbers(MOST_NAMES + 1), "u")
        .await
        .unwrap_err();
    assert_eq!(fault, Fault::answer("more than 10,000 names"));
    // and the connection it was read from is no worse for it
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c"]);
}

#[tokio::test]
async fn a_name_is_any_text_of_up_to_1_kib_without_nul() {
    let (_folder, database) = holding(MEMBERS).await;
    for name in [
        " a ",
        "a,b",
        "a\nb",
        "it''s",
        "a\"b",
        "ä€😀",
        &"x".repeat(LONGEST_NAME),
    ] {
        let names = ask(&database, &format!("select '{name}'"), "u")
            .await
            .unwrap();
        assert_eq!(names, [name.replace("''", "'")]);
    }
    for (query, why) in [
        (
            format!("select '{}'", "x".repeat(LONGEST_NAME + 1)),
            "longer than 1 KiB",
        ),
        ("select 'a' || char(0) || 'b'".to_owned(), "a NUL"),
        ("select cast(x'ff' as text)".to_owned(), "not UTF-8"),
        ("select ''".to_owned(), "a name is empty"),
        ("select 1".to_owned(), "INTEGER, not text"),
        ("select 1.5".to_owned(), "REAL, not text"),
        ("select x'61'".to_owned(), "BLOB, not text"),
        (
            "select 'a' union all select 1".to_owned(),
            "INTEGER, not text",
        ),
        ("select 'a', 'b'".to_owned(), "2 columns"),
    ] {
        let fault = ask(&database, &query, "u").await.unwrap_err();
        assert!(fault.to_string().contains(why), "{query}: {fault}");
    }
    let nothing = ask(&database, "select null union all select 'a'", "u").await;
    assert_eq!(nothing.unwrap(), ["a"], "NULL is no name");
}

#[tokio::test]
async fn a_query_that_cannot_be_answered_says_why() {
    let (_folder, database) = holding(MEMBERS).await;
    for (query, why) in [
        ("select nmae from members", "1: no such column: nmae"),
        ("select name from member", "1: no such table: member"),
        ("select frob(:user_id)", "1: no such function: frob"),
        (
            "with x as (select 1) insert into members select 'w', 'd'",
            "must only read",
        ),
    ] {
        let fault = ask(&database, query, "u").await.unwrap_err().to_string();
        assert!(fault.contains(why), "{query}: {fault}");
    }
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c"]);
}

#[tokio::test]
async fn a_query_without_end_is_ended_by_the_deadline_and_so_is_its_thread() {
    let (_folder, database) = holding(MEMBERS).await;
    let endless =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";
    let query = Query::new(endless, Dialect::Sqlite, OF_A_PRINCIPAL).unwrap();
    // as many as there may be connections: none of them is left behind
    for _ in 0..4 {
        let answer = database.ask([query.clone()].into(), Values::default(), SECOND / 20);
        let fault = answer.await.unwrap_err();
        let is_late = fault == Fault::Timeout || fault.to_string().contains("took too long");
        assert!(is_late, "{fault}");
    }
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c"]);
    let ours = |name: &str| name.starts_with("sqlite-");
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read(task.ok()?.path().join("comm")).ok());
        names
            .filter(|name| ours(&String::from_utf8_lossy(name)))
            .count()
    };
    drop(database);
    while threads() > 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_found_when_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let (missing, _) = database(&format!("sqlite:{}", file.display()));
    let fault = ask(&missing, OF_USER, "u").await.unwrap_err();
    assert!(
        fault.to_string().contains("14: the file cannot be opened"),
        "{fault}"
    );
    assert!(!file.exists());
    write(&file, MEMBERS).await;
    assert_eq!(ask(&missing, OF_USER, "v").await.unwrap(), ["c"]);
    std::fs::write(
        folder.path().join("text.db"),
        "no database, just text that is long enough",
    )
    .unwrap();
    let (other, _) = database(&format!(
        "sqlite:{}",
        folder.path().join("text.db").display()
    ));
    let fault = ask(&other, OF_USER, "u").await.unwrap_err();
    assert!(
        fault.to_string().contains("26: the file is no database"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_query_sees_what_was_written_since() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    write(&file, MEMBERS).await;
    let (database, _) = database(&format!("sqlite:{}", file.display()));
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c"]);
    write(&file, "insert into members values ('v', 'd')").await;
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c", "d"]);
    write(&file, "alter table members add column later text").await;
    assert_eq!(ask(&database, OF_USER, "v").await.unwrap(), ["c", "d"]);
}

#[tokio::test]
async fn nobody_waits_for_a_database_of_a_process_that_goes_down() {
    let (database, background) = database("sqlite:/nonexistent/a.db");
    background.stop.cancel();
    let fault = ask(&database, OF_USER, "u").await.unwrap_err();
    assert_eq!(fault, Fault::Stopped);
}

#[tokio::test]
async fn more_ask_than_there_are_connections_and_all_are_answered() {
    let (_folder, database) = holding(MEMBERS).await;
    let asks = (0..50).map(|_| ask(&database, OF_USER, "v"));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.unwrap(), ["c"]);
    }
}
