//! Credentials said twice, beside others, in other places; and claims that would break out of a
//! header or a log line.

use gatepost::authn::credential::TokenSource;
use gatepost::authz::Route;
use gatepost::authz::route::{Access, Authorization, Protected};
use http::HeaderName;
use serde_json::{Value, json};

use super::{first_status, talk, with, world};
use crate::support::wire::values;
use crate::support::world::{forward, protected, route, token};

fn get(path: &str, lines: &str) -> Vec<u8> {
    // one byte per character, so that bytes above ASCII can be said
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\nConnection: close\r\n\r\n")
        .chars()
        .map(|char| u8::try_from(u32::from(char)).unwrap())
        .collect()
}

#[tokio::test]
async fn a_credential_is_presented_once_and_where_the_route_says() {
    let from = |name: &str, sources: Vec<TokenSource>, optional: bool| Route {
        access: Access::Protected(Box::new(Protected {
            token_from: sources,
            optional,
            ..protected()
        })),
        ..route(name, &format!("/{name}"))
    };
    let other = HeaderName::from_static("mlflow_tracking_token");
    let routes = vec![
        from("plain", vec![TokenSource::Authorization], false),
        from("maybe", vec![TokenSource::Authorization], true),
        from(
            "header",
            vec![TokenSource::Authorization, TokenSource::Header(other)],
            false,
        ),
        from("cookie", vec![TokenSource::Cookie("t".to_owned())], false),
    ];
    let (world, upstream) = with(routes, |_config| {}).await;
    let good = token(json!({ "sub": "ada" }));
    let eve = token(json!({ "sub": "eve", "exp": 1 }));
    let long = "x".repeat(40_000);
    for (path, lines, expected) in [
        ("/plain", format!("Authorization: Bearer {good}"), 200),
        ("/plain", format!("authorization: bEARER   {good}"), 200),
        (
            "/plain",
            format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}"),
            400,
        ),
        (
            "/plain",
            format!("Authorization: Bearer {good}\r\nAuthorization: Basic eA=="),
            400,
        ),
        (
            "/plain",
            format!("Authorization: Basic eA==\r\nAuthorization: Bearer {good}"),
            400,
        ),
        (
            "/plain",
            format!("Authorization: Bearer {good}\r\nAuthorization:"),
            400,
        ),
        (
            "/plain",
            format!("Authorization: Bearer {good}, Bearer {eve}"),
            401,
        ),
        (
            "/plain",
            format!("Authorization: Bearer {good},Basic eA=="),
            401,
        ),
        (
            "/plain",
            format!("Authorization: Basic eA==, Bearer {good}"),
            401,
        ),
        (
            "/plain",
            format!("Authorization: Bearer {good} {good}"),
            401,
        ),
        ("/plain", format!("Authorization: Bearer\t{good}"), 401),
        ("/plain", format!("Authorization: Bearer {good}\u{e9}"), 401),
        ("/plain", format!("Authorization: Bearer\"{good}\""), 401),
        ("/plain", format!("Authorization: Bearer \"{good}\""), 401),
        ("/plain", format!("Authorization: Token {good}"), 401),
        ("/plain", format!("Authorization: {good}"), 401),
        ("/plain", "Authorization: Bearer".to_owned(), 401),
        ("/plain", format!("Authorization: Bearer {long}"), 401),
        ("/plain", format!("Proxy-Authorization: Bearer {good}"), 401),
        ("/plain", format!("X-Authorization: Bearer {good}"), 401),
        (
            "/plain",
            format!("Cookie: t={good}; access_token={good}"),
            401,
        ),
        ("/plain", format!("MLFLOW_TRACKING_TOKEN: {good}"), 401),
        ("/maybe", "Accept: */*".to_owned(), 200),
        ("/maybe", "Authorization: Bearer".to_owned(), 401),
        ("/maybe", "Authorization: Bearer x".to_owned(), 401),
        ("/maybe", format!("Authorization: Bearer\t{eve}"), 401),
        ("/maybe", format!("Authorization: Bearer {eve}"), 401),
        (
            "/maybe",
            format!("Authorization: Bearer {eve}\r\nAuthorization: Basic eA=="),
            400,
        ),
        ("/header", format!("MLFLOW_TRACKING_TOKEN: {good}"), 200),
        (
            "/header",
            format!("MLFLOW_TRACKING_TOKEN: {good}\r\nAuthorization: Basic eA=="),
            200,
        ),
        (
            "/header",
            format!("MLFLOW_TRACKING_TOKEN: {good}\r\nAuthorization: Bearer {eve}"),
            400,
        ),
        (
            "/header",
            format!("MLFLOW_TRACKING_TOKEN: {good}\r\nMLFLOW_TRACKING_TOKEN: {good}"),
            400,
        ),
        ("/header", format!("MLFLOW-TRACKING-TOKEN: {good}"), 401),
        ("/cookie", format!("Cookie: t={good}"), 200),
        ("/cookie", format!("Cookie: t={good}; t={eve}"), 400),
        (
            "/cookie",
            format!("Cookie: t={eve}\r\nCookie: t={good}"),
            400,
        ),
        ("/cookie", format!("Cookie: T={good}"), 401),
        ("/cookie", format!("Cookie: x=\"; t={good}; y=\""), 200),
    ] {
        let asked = upstream.heard().len();
        let answer = talk(world.ingress(), &get(path, &lines)).await;
        assert_eq!(
            first_status(&answer),
            Some(expected),
            "{path} {lines} {answer}"
        );
        let challenged = values(&answer, "www-authenticate").len();
        assert_eq!(challenged, usize::from(expected == 401), "{answer}");
        let arrived = upstream.heard().len() - asked;
        assert_eq!(arrived, usize::from(expected == 200), "{path} {lines}");
        assert!(
            !answer.contains(&good) && !answer.contains(&eve),
            "{answer}"
        );
    }
    for query in ["access_token", "token", "jwt", "authorization"] {
        let target = format!("/plain?{query}={good}");
        let answer = talk(world.ingress(), &get(&target, "Accept: */*")).await;
        assert_eq!(first_status(&answer), Some(401), "{query}");
    }
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_that_is_not_passed_on_is_passed_on_nowhere() {
    let other = HeaderName::from_static("x-mcp-token");
    let sources = vec![
        TokenSource::Authorization,
        TokenSource::Header(other),
        TokenSource::Cookie("t".to_owned()),
    ];
    let mut stripping = forward();
    stripping.authorization = Authorization::Strip;
    let mcp = Route {
        access: Access::Protected(Box::new(Protected {
            token_from: sources,
            ..protected()
        })),
        forward: Some(stripping),
        ..route("mcp", "/**")
    };
    let (world, upstream) = with(vec![mcp], |_config| {}).await;
    let good = token(json!({ "sub": "ada" }));
    for (lines, cookie) in [
        (format!("Authorization: Bearer {good}"), None),
        (format!("X-MCP-Token: {good}"), None),
        (
            format!("X-MCP-Token: Bearer {good}\r\nX_MCP_Token: {good}"),
            None,
        ),
        (format!("Cookie: t={good}"), None),
        (
            format!("Cookie: a=b;t={good}; c=d\r\nCookie: e"),
            Some("a=b; c=d; e"),
        ),
    ] {
        let answer = talk(world.ingress(), &get("/", &lines)).await;
        assert_eq!(first_status(&answer), Some(200), "{lines} {answer}");
        let heard = upstream.last();
        assert!(!format!("{heard:?}").contains(&good), "{heard:?}");
        assert_eq!(
            heard.folded("cookie"),
            cookie.into_iter().collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn no_claim_breaks_out_of_its_header_or_line() {
    let (world, upstream) = world(|_config| {}).await;
    let evil = "x\r\nX-User-ID: root\n\0\u{7f}\u{85}\u{2028}{\"decision\":\"allow\"}";
    let mut lines = 0;
    let mut ask = async |claims: Value| {
        let token = token(claims);
        let answer = talk(
            world.ingress(),
            &get("/admin", &format!("Authorization: Bearer {token}")),
        )
        .await;
        lines += 1;
        (
            first_status(&answer).unwrap(),
            world.log(lines).await.remove(lines - 1),
        )
    };
    for field in ["sub", "tenant", "client_id"] {
        for value in [
            evil,
            "a\rb",
            "a\nb",
            "\0",
            "a\tb",
            "\u{7f}",
            "a\u{85}b",
            "\u{9b}31m",
        ] {
            let mut claims = json!({ "sub": "ada" });
            claims[field] = json!(value);
            let (status, line) = ask(claims).await;
            assert_eq!(
                (status, &line["reason"]),
                (401, &json!("subject_invalid")),
                "{field} {value:?}"
            );
        }
    }
    for sub in [
        json!(""),
        json!(null),
        json!(["ada"]),
        json!({"a": 1}),
        json!(7),
    ] {
        let (status, line) = ask(json!({ "sub": sub })).await;
        assert_eq!(status, 401, "{sub} {line}");
    }
    assert!(upstream.heard().is_empty());
    let (status, line) = ask(json!({
        "sub": "zoë 100%", "name": evil, "email": evil, "groups": [evil, "a,b"],
        "roles": [evil], "permissions": [evil], "tenant": "t é",
    }))
    .await;
    assert_eq!(status, 200, "{line}");
    let heard = upstream.last();
    assert_eq!(heard.folded("x-user-id"), ["zo%C3%AB%20100%25"]);
    assert_eq!(heard.folded("x-tenant-id"), ["t%20%C3%A9"]);
    for name in [
        "x-user-name",
        "x-user-email",
        "x-user-groups",
        "x-user-roles",
    ] {
        let values = heard.folded(name);
        assert!(
            values[0].starts_with("x%0D%0AX-User-ID:%20root%0A%00%7F%C2%85"),
            "{values:?}"
        );
    }
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_client_says_is_text_in_the_log() {
    let (world, upstream) = world(|_config| {}).await;
    let kid = "x\r\n{\"decision\":\"allow\"}\u{1b}[31m";
    let header = jsonwebtoken::Header {
        kid: Some(kid.to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    let key = jsonwebtoken::EncodingKey::from_secret(b"another secret of thirty-two bytes or more");
    let forged = jsonwebtoken::encode(
        &header,
        &json!({ "iss": "hokusai", "aud": "app", "sub": "x\r\ny", "exp": 4_000_000_000_u64 }),
        &key,
    )
    .unwrap();
    for (path, lines) in [
        ("/admin/%22%7D", format!("Authorization: Bearer {forged}")),
        (
            "/a\"}\u{7b}\"decision\":\"allow",
            "User-Agent: \"}\\u000a{".to_owned(),
        ),
        ("/x", "User-Agent: a\tb\u{9b}31m\u{85}".to_owned()),
        (
            "/x",
            "traceparent: 00-\"}{\"}{\"}{\"}{\"}{\"}{\"}{\"}{\"}{\"}{-b7ad6b7169203331-01"
                .to_owned(),
        ),
        ("/x", "X-Forwarded-For: \"}{".to_owned()),
    ] {
        talk(world.ingress(), &get(path, &lines)).await;
    }
    // each line parses, or this fails
    let lines = world.log(5).await;
    assert_eq!(lines.len(), 5);
    for line in &lines {
        assert!(line["trace_id"].is_null(), "{line}");
        assert_eq!(line["client"], "127.0.0.1");
    }
    assert_eq!(lines[0]["reason"], "key_unknown");
    assert!(
        upstream
            .heard()
            .iter()
            .all(|heard| heard.path() != "/admin")
    );
}
