//! Where a request ends up, and who may send one.

use crate::support::http::{Call, raw};
use crate::support::upstream::{Upstream, json, status};

use super::{Running, fixed, target};

/// Three servers: a target with a base path, a target without, and one that is no target.
struct Places {
    billing: Upstream,
    plain: Upstream,
    evil: Upstream,
    gatepost: Running,
}

impl Places {
    async fn new() -> Self {
        let (billing, plain, evil) = (
            Upstream::start().await,
            Upstream::start().await,
            Upstream::start().await,
        );
        let targets = vec![
            target("billing", &format!("{}/base", billing.url()), &["static"]),
            target("plain", &plain.url(), &["static"]),
        ];
        Self {
            gatepost: Running::start(vec![fixed()], targets).await,
            billing,
            plain,
            evil,
        }
    }

    /// The status of a request with this first line and `Host`.
    async fn ask(&self, line: &str, host: &str) -> u16 {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = raw(self.gatepost.at, request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        status
            .parse()
            .unwrap_or_else(|_| panic!("{line}: {answer}"))
    }
}

#[tokio::test]
async fn a_request_finds_its_target_in_three_ways() {
    let places = Places::new().await;
    let own = places.gatepost.at;
    let plain = places.plain.address;
    let billing = places.billing.address;
    for (line, host, at_billing, path) in [
        (
            "/billing/v1?x=1&y=/../".to_owned(),
            own.to_string(),
            true,
            "/base/v1?x=1&y=/../",
        ),
        ("/billing".to_owned(), "localhost".to_owned(), true, "/base"),
        (
            "/billing/".to_owned(),
            "LocalHost:1".to_owned(),
            true,
            "/base/",
        ),
        (
            "/billing/a%2Fb/%7e".to_owned(),
            "[::1]:7402".to_owned(),
            true,
            "/base/a%2Fb/~",
        ),
        (
            "/%62illing/v1".to_owned(),
            own.to_string(),
            true,
            "/base/v1",
        ),
        ("/plain".to_owned(), own.to_string(), false, "/"),
        (
            "/plain/billing/x".to_owned(),
            own.to_string(),
            false,
            "/billing/x",
        ),
        (
            "/v1".to_owned(),
            "billing.egress.localhost:7402".to_owned(),
            true,
            "/base/v1",
        ),
        (
            "/".to_owned(),
            "Billing.Egress.Localhost".to_owned(),
            true,
            "/base/",
        ),
        (
            format!("http://{own}/billing/v1"),
            own.to_string(),
            true,
            "/base/v1",
        ),
        (
            format!("http://{plain}/x?y"),
            plain.to_string(),
            false,
            "/x?y",
        ),
        (
            format!("http://{billing}/base/v1"),
            billing.to_string(),
            true,
            "/base/v1",
        ),
    ] {
        let status = places.ask(&format!("GET {line}"), &host).await;
        assert_eq!(status, 200, "{line} {host}");
        let (there, address) = if at_billing {
            (&places.billing, billing)
        } else {
            (&places.plain, plain)
        };
        let seen = there.last();
        assert_eq!(seen.uri, path, "{line} {host}");
        assert_eq!(seen.header("host"), address.to_string());
        assert_eq!(seen.header("authorization"), "Bearer s3cret-static");
    }
    let total = places.billing.requests().len() + places.plain.requests().len();
    assert_eq!((total, places.evil.requests().len()), (12, 0));
}

#[tokio::test]
async fn a_tunnel_is_refused_with_the_right_form() {
    let places = Places::new().await;
    let line = "CONNECT billing.internal:443 HTTP/1.1\r\nHost: billing.internal:443\r\n\r\n";
    let answer = raw(
        places.gatepost.at,
        line.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("/<target>/<path>"), "{answer}");
    assert!(
        answer.contains("x-auth-reason: method_not_allowed"),
        "{answer}"
    );
}

#[tokio::test]
async fn no_browser_may_use_it() {
    let places = Places::new().await;
    let get = || places.gatepost.get("/billing/x");
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:7402"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "same-origin"),
    ] {
        let reply = get().header(name, value).send().await;
        assert_eq!(reply.status, 403, "{name}: {value}");
        assert_eq!(reply.header("x-auth-reason"), "egress_target_refused");
    }
    let reply = get()
        .header("sec-fetch-site", "none")
        .header("sec-fetch-site", "cross-site")
        .send()
        .await;
    assert_eq!(reply.status, 403);
    assert_eq!(places.billing.requests().len(), 0);
    assert_eq!(
        get().header("sec-fetch-site", "none").send().await.status,
        200
    );
}

#[tokio::test]
async fn a_redirect_goes_to_the_app_and_is_not_followed() {
    let evil = Upstream::start().await;
    let location = format!("{}/steal", evil.url());
    let sent = location.clone();
    let redirecting = Upstream::answering(move |_request| {
        let mut answer = status(http::StatusCode::TEMPORARY_REDIRECT);
        answer
            .headers_mut()
            .insert("location", sent.parse().unwrap());
        answer
    })
    .await;
    let targets = vec![target("billing", &redirecting.url(), &["static"])];
    let gatepost = Running::start(vec![fixed()], targets).await;
    let reply = gatepost.get("/billing/x").send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (307, &*location)
    );
    assert_eq!(evil.requests().len(), 0);
}

#[tokio::test]
async fn headers_and_body_pass_both_ways() {
    let echo = Upstream::answering(|request| {
        let mut answer = json(&serde_json::json!({ "bytes": request.body.len() }));
        for (name, value) in [
            ("x-auth-reason", "egress_token_unavailable"),
            ("x-hop", "1"),
            ("connection", "x-hop"),
            ("set-cookie", "a=b"),
        ] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    })
    .await;
    let targets = vec![target("billing", &echo.url(), &["static"])];
    let gatepost = Running::start(vec![fixed()], targets).await;
    for bytes in [0, 10, 3_000_000] {
        let reply = Call::post(gatepost.at, "/billing/x")
            .header("authorization", "Bearer of-the-app")
            .header("x-request-id", "id-1")
            .header("x-custom_header", "kept")
            .header("cookie", "c=d")
            .header("x-user-id", "app's own")
            .header("x-auth-handle", "AAAAAAAAAAAAAAAAAAAAAA")
            .header("x_auth_handle", "AAAAAAAAAAAAAAAAAAAAAA")
            .header("te", "trailers")
            .header("expect", "100-continue")
            .body(vec![b'x'; bytes])
            .send()
            .await;
        assert_eq!(reply.json()["bytes"], bytes);
        assert_eq!(reply.header("x-request-id"), "id-1");
        assert_eq!(reply.header("set-cookie"), "a=b");
        assert_eq!(reply.header("x-auth-reason"), "", "only ours may say so");
        assert_eq!(reply.header("x-hop"), "");
        let seen = echo.last();
        assert_eq!(seen.body.len(), bytes);
        for (name, value) in [
            ("authorization", "Bearer s3cret-static"),
            ("x-request-id", "id-1"),
            ("x-custom_header", "kept"),
            ("cookie", "c=d"),
            ("x-user-id", "app's own"),
            ("x-auth-handle", ""),
            ("x_auth_handle", ""),
            ("te", "trailers"),
            ("expect", ""),
            ("x-forwarded-for", ""),
            ("via", ""),
        ] {
            assert_eq!(seen.header(name), value, "{name}");
        }
        assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
    }
    let reply = Call::post(gatepost.at, "/billing/x")
        .body(vec![b'x'; 10_000_001])
        .send()
        .await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn a_chunked_body_passes_with_any_method() {
    let places = Places::new().await;
    for method in ["GET", "POST", "DELETE"] {
        let request = format!(
            "{method} /billing/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let answer = raw(places.gatepost.at, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{method}: {answer}");
        assert_eq!(places.billing.last().body, "hello", "{method}");
    }
}
