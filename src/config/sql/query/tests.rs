use super::super::OF_A_PRINCIPAL;
use super::*;

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

fn names(query: &Query) -> Vec<&'static str> {
    query
        .parameters
        .iter()
        .map(|parameter| parameter.name())
        .collect()
}

#[test]
fn a_name_becomes_the_placeholder_of_its_database() {
    let text = "select g from t where i = :issuer and u = :user_id and (t = :tenant or u=:user_id)";
    let read = |dialect| read(text, dialect, OF_A_PRINCIPAL).unwrap();
    let postgres = read(Dialect::Postgres);
    assert_eq!(
        &*postgres.text,
        "select g from t where i = $1 and u = $2 and (t = $3 or u=$2)"
    );
    assert_eq!(names(&postgres), ["issuer", "user_id", "tenant"]);
    for dialect in [Dialect::MySql, Dialect::Sqlite] {
        let query = read(dialect);
        assert_eq!(
            &*query.text,
            "select g from t where i = ? and u = ? and (t = ? or u=?)"
        );
        assert_eq!(names(&query), ["issuer", "user_id", "tenant", "user_id"]);
        assert!(query.names(Parameter::Tenant) && !query.names(Parameter::ClientId));
    }
}

#[test]
fn literals_quoted_names_comments_and_casts_are_left_alone() {
    use Dialect::{MySql, Postgres, Sqlite};
    // what stands before the one name that counts
    for (dialects, text) in [
        (&ALL[..], "':user_id'"),
        (&ALL, "'it''s :user_id'"),
        (&ALL, "\"a :user_id\""),
        (&ALL, "\"a \"\" :user_id\""),
        (&ALL, "-- :user_id ? $1 ; '\n1"),
        (&ALL, "/* :user_id ; ' */ 1"),
        (&ALL, "'' || ':user_id'"),
        (&ALL, "'-- ' || ':user_id'"),
        (&ALL, "'ä€😀' || ':issuer'"),
        (&ALL, "grüße"),
        (&ALL, "1 : 2"),
        (&[MySql, Sqlite], "`a `` :user_id`"),
        (&[MySql], "'it\\' :user_id'"),
        (&[MySql], "\"it\\\" :user_id\""),
        (&[MySql], "'\\\\'"),
        (&[MySql], "1 # :user_id '\n"),
        (&[MySql], "@x := 1"),
        (&[MySql], "a--1"),
        (&[MySql], "a$1"),
        (&[MySql], "/* /* :user_id */ 1"),
        (&[Postgres, Sqlite], "'\\'"),
        (&[Postgres], "1::text"),
        (&[Postgres], "a[1 :2]"),
        (&[Postgres], "a$1"),
        (&[Postgres], "E'it\\' :user_id'"),
        (&[Postgres], "U&'\\0441 :user_id'"),
        (&[Postgres], "/* a /* :user_id */ :user_id ' */ 1"),
        (&[Postgres], "$$ :user_id ' ; ? $1 $$"),
        (&[Postgres], "$a1$ $$ :user_id $a$ $a1$"),
        (&[Postgres], "f(a => 1, b := 2)"),
        (&[Postgres], "a @> '{}' and b #> '{}' is null"),
        (&[Sqlite], "[a :user_id]"),
        (&[Sqlite], "/* /* :user_id */ 1"),
    ] {
        for dialect in dialects {
            let text = format!("select {text} = :issuer");
            let query = read(&text, *dialect, OF_A_PRINCIPAL)
                .unwrap_or_else(|error| panic!("{dialect:?}: {text}: {error}"));
            assert_eq!(names(&query), ["issuer"], "{dialect:?}: {text}");
            let end = match dialect {
                Postgres => "$1",
                MySql | Sqlite => "?",
            };
            let expected = text.strip_suffix(":issuer").unwrap().to_owned() + end;
            assert_eq!(&*query.text, expected, "{dialect:?}");
        }
    }
}

#[test]
fn a_cast_of_a_name_binds_the_name() {
    let text = "select :user_id::uuid, e':issuer'::text, :issuer";
    let query = read(text, Dialect::Postgres, OF_A_PRINCIPAL).unwrap();
    assert_eq!(&*query.text, "select $1::uuid, e':issuer'::text, $2");
    assert_eq!(names(&query), ["user_id", "issuer"]);
}

#[test]
fn one_select_may_be_written_in_many_ways() {
    for text in [
        "SELECT 1",
        "  select 1 ; ",
        "select 1;;",
        "select 1 ; -- done; really",
        "-- first\n/* second */ select 1",
        "with g as (select 1) select * from g",
        "(select 1) union (select 2)",
        "((select 1))",
        "select';'",
    ] {
        for dialect in ALL {
            let query = read(text, dialect, OF_A_PRINCIPAL);
            let query = query.unwrap_or_else(|error| panic!("{dialect:?}: {text}: {error}"));
            assert!(!query.text.contains("1;"), "{}", query.text);
        }
    }
}

#[test]
fn what_is_not_one_select_with_known_names_says_why() {
    use Dialect::{MySql, Postgres, Sqlite};
    for (dialects, text, what) in [
        (&ALL[..], "", "no statement"),
        (&ALL, " -- nothing", "no statement"),
        (&ALL, "delete from t", "not a `select`"),
        (&ALL, "selects 1", "not a `select`"),
        (&ALL, "'select'", "not a `select`"),
        (&ALL, "explain select 1", "not a `select`"),
        (&ALL, "(values (1))", "not a `select`"),
        (&ALL, "select 1; delete from t", "several statements"),
        (&ALL, "select 1; ; x", "several statements"),
        (&ALL, "select 1; ''", "several statements"),
        (&ALL, "select :usr_id", "nothing is called :usr_id"),
        (&ALL, "select :user_id2", "nothing is called :user_id2"),
        (&ALL, "select :USER_ID", "nothing is called :USER_ID"),
        (&ALL, "select :name", "nothing is called :name"),
        (&ALL, "select ?", "the placeholder ?"),
        (&ALL, "select $1", "the placeholder $1"),
        (&ALL, "select 'it", "a ' in it is never closed"),
        (&ALL, "select 'it''", "a ' in it is never closed"),
        (&ALL, "select \"it", "a \" in it is never closed"),
        (&ALL, "select /* it", "a comment in it has no end"),
        (&ALL, "select 1\0", "a NUL"),
        (
            &[Postgres],
            "select /* /* */ 1",
            "a comment in it has no end",
        ),
        (&[Postgres], "select $a$ $b$", "a $ in it is never closed"),
        (&[Postgres], "select E'\\'", "a ' in it is never closed"),
        (&[MySql], "select '\\'", "a ' in it is never closed"),
        (&[MySql, Sqlite], "select `it", "a ` in it is never closed"),
        (&[Sqlite], "select @user_id", "the placeholder @u"),
        (&[Sqlite], "select $user_id", "the placeholder $u"),
        (&[Sqlite], "select [it", "a [ in it is never closed"),
    ] {
        for dialect in dialects {
            let error = read(text, *dialect, OF_A_PRINCIPAL).unwrap_err();
            assert!(error.what.contains(what), "{dialect:?}: {text}: {error}");
            assert!(!error.fix.is_empty(), "{text}");
        }
    }
}

#[test]
fn a_user_of_basic_is_asked_for_by_name_alone() {
    let read = |text| read(text, Dialect::Postgres, &[Parameter::Name]);
    assert_eq!(names(&read("select h where n = :name").unwrap()), ["name"]);
    let error = read("select h where n = :user_id").unwrap_err();
    assert!(error.fix.contains("write :name;"), "{error}");
}

proptest::proptest! {
    /// Whatever is written: no panic, and what is not one of our names is not changed.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}", which in 0..3_usize) {
        let text = format!("select {text}");
        if let Ok(query) = read(&text, ALL[which], OF_A_PRINCIPAL)
            && query.parameters.is_empty()
        {
            let kept: String = query.text.chars().filter(|c| *c != ';' && !c.is_whitespace()).collect();
            let given: String = text.chars().filter(|c| *c != ';' && !c.is_whitespace()).collect();
            // a semicolon inside of a literal is kept in both
            proptest::prop_assert_eq!(kept, given);
        }
    }
}

#[test]
fn a_parameter_is_needed_where_nothing_is_said_of_null() {
    use Parameter::{ClientId, Tenant};
    for (text, needs) in [
        ("select g from t where tenant = :tenant", vec![Tenant]),
        (
            "select g from t where :tenant is null or tenant = :tenant",
            vec![],
        ),
        (
            "select g from t where :tenant::text IS NULL or tenant = :tenant",
            vec![],
        ),
        (
            "select g from t where tenant is not distinct  from :tenant",
            vec![],
        ),
        (
            "select g from t where coalesce(:tenant, '') = tenant",
            vec![],
        ),
        (
            "select g from t where tenant is :tenant and client = :client_id",
            vec![ClientId],
        ),
    ] {
        let query = read(text, Dialect::Postgres, OF_A_PRINCIPAL).unwrap();
        let mut found = query.needs.to_vec();
        found.dedup();
        assert_eq!(found, needs, "{text}");
    }
    // never part of the word before it
    let query = read(
        "select g from t where a = 1 and:tenant = b",
        Dialect::Postgres,
        OF_A_PRINCIPAL,
    );
    assert_eq!(
        &*query.unwrap().text,
        "select g from t where a = 1 and $1 = b"
    );
}
