use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;

use super::*;
use crate::authn::principal::{Names, PrincipalKind};
use crate::clock::{ManualClock, UnixTime};

/// 2026-11-22T03:08:53Z
const NOW: UnixTime = UnixTime(1_795_316_933);

/// What the writer thread wrote, shared with the test.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        captured.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn principal() -> Principal {
    Principal {
        client_id: Some("1example23456789".to_owned()),
        groups: Names::Known(vec![]),
        roles: Names::Known(vec![]),
        permissions: Names::Known(vec![]),
        ..Principal::alone(
            PrincipalKind::User,
            "users",
            "7b1c9a52-0f7e-4f0a-9c43-2f6f3f0f5d11".to_owned(),
        )
    }
}

/// A line with every field: the example of docs/request-log.md.
pub(super) fn line() -> RequestLine {
    RequestLine {
        request_id: RequestId::made("0199f3c2-7d4e-7aa0-8f00-3b5f0c9d1e22").unwrap(),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        plane: Plane::Ingress,
        route: Some(Arc::from("orders-write")),
        method: Method::POST,
        path: "/orders/42/items".to_owned(),
        status: StatusCode::FORBIDDEN,
        outcome: Outcome::Deny("group_missing"),
        shadowed: Some(Outcome::Deny("group_missing")),
        principal: Some(Arc::new(principal())),
        on_behalf_of: Some("ada".to_owned()),
        credential: Some(Arc::from("billing")),
        replayed: true,
        key_id: Some(Arc::from("cognito-2026-11")),
        token: Some(0x00c0_ffee_1234_5678),
        certificate: Some(Fingerprint([0xc5; 32])),
        memberships: Some("cached"),
        decision_time: Duration::from_micros(41),
        upstream_time: Some(Duration::from_micros(12_034)),
        response_bytes: 187,
        client: IpAddr::from([203, 0, 113, 7]),
        user_agent: Some("curl/8.14.1".to_owned()),
    }
}

/// The line with nothing in it that may be absent.
fn bare() -> RequestLine {
    RequestLine {
        trace_id: None,
        route: None,
        outcome: Outcome::Allow,
        shadowed: None,
        principal: None,
        on_behalf_of: None,
        credential: None,
        replayed: false,
        key_id: None,
        token: None,
        certificate: None,
        memberships: None,
        upstream_time: None,
        user_agent: None,
        ..line()
    }
}

fn written(line: &RequestLine, now: Duration) -> String {
    let mut scratch = line::Scratch::default();
    scratch.write(line, now);
    String::from_utf8(scratch.bytes().to_vec()).unwrap()
}

fn parsed(line: &RequestLine) -> serde_json::Value {
    serde_json::from_str(&written(line, Duration::ZERO)).unwrap()
}

const DOC: &str = include_str!("../../docs/request-log.md");

#[test]
fn the_documented_example_is_what_the_code_writes() {
    let example = DOC.lines().find(|line| line.starts_with('{')).unwrap();
    let now = Duration::from_millis(NOW.0 * 1000 + 42);
    assert_eq!(written(&line(), now), format!("{example}\n"));
}

#[test]
fn the_documented_fields_are_those_of_the_line_in_its_order() {
    let documented: Vec<&str> = DOC
        .lines()
        .skip_while(|line| !line.starts_with("| field |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    // no value of the example holds a comma or a quote
    let line = written(&line(), Duration::ZERO);
    let names: Vec<&str> = line
        .trim_end()
        .trim_matches(['{', '}'])
        .split(',')
        .map(|member| member.split('"').nth(1).unwrap())
        .collect();
    assert_eq!(documented, names);
}

#[test]
fn fields_documented_as_always_present_are_the_bare_line() {
    let always: Vec<&str> = DOC
        .lines()
        .filter(|line| line.contains("| always |"))
        .map(|line| line.split('`').nth(1).unwrap())
        .collect();
    let line = parsed(&bare());
    let mut names: Vec<&str> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_by_key(|name| always.iter().position(|always| always == name));
    assert_eq!(names, always);
}

#[test]
fn only_failures_are_warnings() {
    let cases = [
        (Outcome::Allow, "info", "allow", None),
        (Outcome::Deny("no_route"), "info", "deny", Some("no_route")),
        (
            Outcome::Fail("upstream_timeout"),
            "warn",
            "fail",
            Some("upstream_timeout"),
        ),
    ];
    for (outcome, level, decision, reason) in cases {
        let line = parsed(&RequestLine { outcome, ..line() });
        assert_eq!(line["level"], level);
        assert_eq!(line["decision"], decision);
        assert_eq!(
            line.get("reason").and_then(|reason| reason.as_str()),
            reason
        );
    }
}

#[test]
fn time_is_written_to_the_millisecond_whatever_was_written_before() {
    let mut scratch = line::Scratch::default();
    let mut time = |now: Duration| {
        scratch.write(&bare(), now);
        let line: serde_json::Value = serde_json::from_slice(scratch.bytes()).unwrap();
        line["time"].as_str().unwrap().to_owned()
    };
    assert_eq!(time(Duration::ZERO), "1970-01-01T00:00:00.000Z");
    assert_eq!(
        time(Duration::from_micros(7_999)),
        "1970-01-01T00:00:00.007Z"
    );
    assert_eq!(
        time(Duration::from_millis(951_782_400_999)),
        "2000-02-29T00:00:00.999Z"
    );
    assert_eq!(
        time(Duration::from_millis(951_782_399_120)),
        "2000-02-28T23:59:59.120Z"
    );
    assert_eq!(
        time(Duration::from_secs(u64::MAX)),
        "9999-12-31T23:59:59.000Z"
    );
}

#[test]
fn what_clients_choose_is_capped_at_a_character() {
    let line = parsed(&RequestLine {
        path: format!("/{}", "é".repeat(2000)),
        user_agent: Some("u".repeat(300)),
        key_id: Some("k".repeat(100).into()),
        method: Method::from_bytes(&[b'M'; 5000]).unwrap(),
        ..line()
    });
    let length = |field: &str| line[field].as_str().unwrap().len();
    assert_eq!(length("path"), 1023);
    assert_eq!(length("user_agent"), 256);
    assert_eq!(length("kid"), 64);
    assert_eq!(length("method"), 32);
}

#[test]
fn no_secret_reaches_a_line() {
    const SECRET: &str = "eyJhbGciOiJSUzI1NiJ9";
    let mut who = principal();
    who.name = Some(SECRET.to_owned());
    who.email = Some(SECRET.to_owned());
    who.tenant_id = Some(SECRET.to_owned());
    who.groups = Names::Known(vec![SECRET.to_owned()]);
    who.scopes = vec![SECRET.to_owned()];
    let line = RequestLine {
        path: format!("/callback?access_token={SECRET}"),
        principal: Some(Arc::new(who)),
        ..line()
    };
    let text = written(&line, Duration::ZERO);
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains(r#""path":"/callback","#), "{text}");
}

#[test]
fn addresses_are_written_in_their_usual_form() {
    for (address, expected) in [
        ("10.0.255.1", "10.0.255.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
    ] {
        let client = address.parse().unwrap();
        assert_eq!(
            parsed(&RequestLine { client, ..line() })["client"],
            expected
        );
    }
}

proptest! {
    #[test]
    fn any_text_yields_one_line_of_json_that_says_it(
        path in "/(?s:[^?]){0,200}",
        agent in "(?s:.){0,60}",
        token: u64,
        micros in 0..u64::MAX / 1000,
        bytes: u64,
    ) {
        let line = RequestLine {
            path: path.clone(),
            user_agent: Some(agent.clone()),
            token: Some(token),
            upstream_time: Some(Duration::from_micros(micros)),
            response_bytes: bytes,
            ..line()
        };
        let text = written(&line, Duration::ZERO);
        let inside = text.strip_suffix('\n').unwrap();
        let unsafe_to_show = |c: char| c.is_control() || ['\u{2028}', '\u{2029}', '\u{202e}'].contains(&c);
        prop_assert!(!inside.contains(unsafe_to_show));
        let read: serde_json::Value = serde_json::from_str(inside).unwrap();
        prop_assert_eq!(read["path"].as_str().unwrap(), path);
        prop_assert_eq!(read["user_agent"].as_str().unwrap(), agent);
        prop_assert_eq!(read["token"].as_str().unwrap(), format!("{token:016x}"));
        prop_assert_eq!(read["bytes"].as_u64(), Some(bytes));
        let upstream = format!("\"upstream_ms\":{}.{:03},", micros / 1000, micros % 1000);
        prop_assert!(inside.contains(&upstream));
    }
}

#[test]
fn without_request_lines_denials_failures_and_what_shadow_mode_let_through_are_still_written() {
    let captured = Captured::default();
    let clock = Arc::new(ManualClock::new(NOW));
    let telemetry = Telemetry::to_writer(Box::new(captured.clone()), clock);
    telemetry.apply(&config::Log {
        level: "info".to_owned(),
        json: true,
        requests: false,
    });
    let shadowed = Some(Outcome::Deny("role_missing"));
    for (outcome, shadowed) in [
        (Outcome::Allow, None),
        (Outcome::Deny("no_route"), None),
        (Outcome::Fail("internal_error"), None),
        (Outcome::Allow, shadowed),
    ] {
        telemetry.record(RequestLine {
            outcome,
            shadowed,
            ..line()
        });
    }
    assert!(telemetry.flush());
    let reasons: Vec<String> = captured
        .text()
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", line["reason"], line["shadow_reason"])
        })
        .collect();
    assert_eq!(
        reasons,
        [
            r#""no_route" null"#,
            r#""internal_error" null"#,
            r#"null "role_missing""#
        ]
    );
    assert_eq!(telemetry.recent_shadowed(), [("role_missing", 1)]);
    assert_eq!(
        telemetry.recent_refusals(),
        [("internal_error", 1), ("no_route", 1)]
    );
}
