use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn claims(json: &str) -> Claims {
    Claims::parse(json.to_owned()).unwrap()
}

fn path(name: &str) -> Vec<ClaimPath> {
    vec![ClaimPath::name(name)]
}

#[test]
fn only_one_object_without_doubled_names_is_claims() {
    for good in [
        "{}",
        " {\"a\":{\"b\":1},\"b\":[{\"a\":1},{\"a\":2}]} ",
        "{\"a\":null,\"A\":-1.5e3,\"\\u00e9\":\"\\ud83d\\ude00\"}",
    ] {
        let parsed = Claims::parse(good).unwrap();
        // the strict reader reads what the ordinary one does
        assert_eq!(
            parsed.0.root().to_value(),
            serde_json::from_str::<Value>(good).unwrap()
        );
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for bad in [
        "",
        "[]",
        "null",
        "\"text\"",
        "{}x",
        "{} {}",
        "{\"a\":1,\"a\":1}",
        // the same name, spelled with an escape
        "{\"groups\":[],\"\\u0067roups\":[\"admin\"]}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":[{\"b\":1,\"b\":2}]}",
        "{\"exp\":1e999}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":NaN}",
        "{'a':1}",
        "{\"a\":1,}",
        "\u{feff}{}",
        &deep,
    ] {
        assert_eq!(
            Claims::parse(bad.to_owned()),
            Err(Denial::TokenMalformed),
            "{}",
            bad.get(..60).unwrap_or(bad)
        );
    }
    assert_eq!(
        Claims::parse(b"{\"a\":\"\xff\"}".as_slice()),
        Err(Denial::TokenMalformed)
    );
}

#[test]
fn a_date_is_a_number_from_zero_on_without_its_fraction() {
    for (json, seconds) in [
        ("0", 0),
        ("1700000000", 1_700_000_000),
        ("1700000000.9", 1_700_000_000),
        ("1.7e9", 1_700_000_000),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(
            claims(&format!("{{\"exp\":{json}}}")).date("exp"),
            Ok(Some(UnixTime(seconds))),
            "{json}"
        );
    }
    for json in [
        "\"1700000000\"",
        "true",
        "null",
        "[1]",
        "{}",
        "-1",
        "-0.5",
        "18446744073709551616",
        "1e30",
    ] {
        assert_eq!(
            claims(&format!("{{\"exp\":{json}}}")).date("exp"),
            Err(Denial::TokenMalformed),
            "{json}"
        );
    }
    assert_eq!(claims("{}").date("exp"), Ok(None));
}

#[test]
fn audiences_are_a_string_or_a_list_of_strings() {
    let read = |json: &str| claims(&format!("{{\"aud\":{json}}}")).audiences();
    assert_eq!(read("\"a\""), Ok(vec!["a".to_owned()]));
    assert_eq!(
        read("[\"a\",\"b\"]"),
        Ok(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(claims("{}").audiences(), Ok(vec![]));
    for bad in ["1", "null", "{\"a\":1}", "[1]", "[\"a\",null]", "[[\"a\"]]"] {
        assert_eq!(read(bad), Err(Denial::TokenMalformed), "{bad}");
    }
}

#[test]
fn names_of_another_shape_are_unresolved_never_empty() {
    let known = |names: &[&str]| Names::Known(names.iter().map(|&n| n.to_owned()).collect());
    for (json, expected) in [
        ("{}", known(&[])),
        ("{\"groups\":[\"a\",\"b\"]}", known(&["a", "b"])),
        ("{\"groups\":\"a,b c\"}", known(&["a,b c"])),
        ("{\"groups\":[[\"a\"]]}", Names::Unresolved),
        ("{\"groups\":[\"a\",1]}", Names::Unresolved),
        ("{\"groups\":{\"a\":true}}", Names::Unresolved),
        ("{\"groups\":null}", Names::Unresolved),
        (
            "{\"_claim_names\":{\"groups\":\"src1\"}}",
            Names::Unresolved,
        ),
        (
            "{\"groups\":[\"a\"],\"_claim_names\":{\"groups\":\"src1\"}}",
            Names::Unresolved,
        ),
        ("{\"_claim_names\":[\"groups\"]}", Names::Unresolved),
        ("{\"_claim_names\":{\"wids\":\"src1\"}}", known(&[])),
    ] {
        assert_eq!(claims(json).names(&path("groups")), expected, "{json}");
    }
    assert_eq!(
        claims("{\"_claim_names\":{\"groups\":\"s\"}}").names(&[]),
        known(&[]),
        "no such claim is configured"
    );
}

#[test]
fn scopes_are_split_at_spaces_or_listed() {
    let read = |json: &str| claims(&format!("{{\"scp\":{json}}}")).scopes(&path("scp"));
    let two = Ok(vec!["a/read".to_owned(), "b".to_owned()]);
    assert_eq!(read("\"a/read  b \""), two);
    assert_eq!(read("[\"a/read\",\"b\"]"), two);
    assert_eq!(read("\"\""), Ok(vec![]));
    for bad in ["1", "null", "[1]", "{}"] {
        assert_eq!(read(bad), Err(Denial::TokenMalformed), "{bad}");
    }
}

#[test]
fn the_first_present_path_is_the_claim() {
    let claims = claims("{\"azp\":\"web\",\"client_id\":7,\"a\":{\"b.c\":\"deep\"}}");
    let list = |names: &[&str]| -> Vec<ClaimPath> {
        names.iter().map(|name| ClaimPath::name(name)).collect()
    };
    assert_eq!(claims.text(&list(&["appid", "azp"])), Some("web"));
    assert_eq!(claims.text(&list(&["client_id", "azp"])), None);
    let nested = ClaimPath::nested(vec!["a".to_owned(), "b.c".to_owned()]).unwrap();
    assert_eq!(claims.text(&[nested]), Some("deep"));
    assert_eq!(ClaimPath::nested(vec![]), None);
}

#[test]
fn what_is_left_out_is_not_there_and_the_rest_is() {
    let json = r#"{"a":{"b":[1,{"c":null}]},"sub":"u-1","d\u00e9":["\"",[],{}],"e":-1}"#;
    let whole = claims(json);
    let less = whole.without(|name, value| name == "e" || value.as_str() == Some("u-1"));
    assert_eq!(
        less,
        claims(r#"{"d\u00e9":["\"",[],{}],"a":{"b":[1,{"c":null}]}}"#)
    );
    for left_out in ["e", "sub"] {
        assert_eq!(less.find(left_out), None);
    }
    assert_eq!(whole.without(|_name, _value| false), whole);
    assert_eq!(whole.without(|_name, _value| true), Claims::default());
}

proptest! {
    #[test]
    fn what_is_read_is_what_the_ordinary_reader_reads(value in object(), pretty: bool) {
        let json = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let read = claims(&json);
        // its own spelling of a fraction may be read as the next one
        let value: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.0.root().to_value(), value.clone());
        for (name, value) in value.as_object().unwrap() {
            prop_assert_eq!(&read.find(name).unwrap().to_value(), value);
        }
    }
}

/// Objects of objects, lists, and texts that need escapes.
fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner, 4),
        ]
    });
    object_of(value, 40)
}

fn object_of(value: impl Strategy<Value = Value>, most: usize) -> impl Strategy<Value = Value> {
    let members = proptest::collection::vec((".{0,4}", value), 0..=most);
    members.prop_map(|members| Value::Object(members.into_iter().collect()))
}

#[test]
fn a_name_is_found_where_it_stands_and_by_all_of_its_letters() {
    let nested = claims(r#"{"a":{"groups":["x"],"sub":{"iss":1}},"b":[{"roles":2}],"c":3}"#);
    for inner in ["groups", "sub", "iss", "roles", "x"] {
        assert_eq!(nested.find(inner), None, "{inner}");
    }
    assert_eq!(nested.find("c").and_then(Json::as_u64), Some(3));
    let path = |names: &[&str]| ClaimPath::nested(names.iter().map(|&n| n.to_owned()).collect());
    let iss = path(&["a", "sub", "iss"]).unwrap();
    assert_eq!(iss.find(&nested).and_then(Json::as_u64), Some(1));
    assert_eq!(path(&["a", "iss"]).unwrap().find(&nested), None);
    // what is looked at first is the same in these: their length, and three letters
    let mut alike: Vec<String> = vec!["axbyc".into(), "azbwc".into()];
    for number in [2, 40] {
        alike.extend((alike.len()..number).map(|n| format!("ax{n:03}byc")));
        let members: Vec<String> = alike.iter().map(|n| format!("\"{n}\":\"{n}\"")).collect();
        let read = claims(&format!("{{{}}}", members.join(",")));
        for name in &alike {
            assert_eq!(read.find(name).and_then(Json::as_str), Some(name.as_str()));
        }
        assert_eq!(read.find("aqbrc"), None);
    }
}

#[test]
fn many_members_are_found_and_none_is_twice() {
    // on both sides of the number up to which they are looked through
    for number in [31, 32, 33, 200] {
        let mut members: Vec<String> = (0..number).map(|n| format!("\"c{n}\":{n}")).collect();
        let whole = claims(&format!("{{{}}}", members.join(",")));
        for n in 0..number {
            assert_eq!(
                whole.find(&format!("c{n}")).map(Json::to_value),
                Some(n.into())
            );
        }
        assert_eq!(whole.find("c"), None);
        let less = whole.without(|name, _value| name != "c7" && name != "c30");
        assert_eq!(less, claims(r#"{"c30":30,"c7":7}"#));
        for twice in [0, number / 2, number - 1] {
            members.push(format!("\"c{twice}\":null"));
            let json = format!("{{{}}}", members.join(","));
            assert_eq!(Claims::parse(json), Err(Denial::TokenMalformed), "{twice}");
            members.pop();
        }
    }
}
