//! What a target, a token endpoint or the environment says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, StatusCode};

use super::Evil;
use crate::egress::{Running, fixed, granted, target};
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::{Upstream, json, status};
use crate::support::wire;

/// A status and headers for each path.
type Said = Arc<Mutex<HashMap<String, (u16, Vec<(&'static str, String)>)>>>;

#[tokio::test]
async fn no_answer_of_a_target_moves_a_credential() {
    let evil = Evil::start().await;
    let there = format!("http://{}/steal", evil.address);
    let answers = Said::default();
    let said = Arc::clone(&answers);
    let billing = Upstream::answering(move |request| {
        let said = said.lock().unwrap();
        let (code, headers) = &said[request.uri.path()];
        let mut answer = status(StatusCode::from_u16(*code).unwrap());
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            let name = HeaderName::from_static(name);
            answer.headers_mut().append(name, value);
        }
        answer
    })
    .await;
    let targets = vec![target("billing", &billing.url(), &["static"])];
    let gatepost = Running::start(vec![fixed()], targets).await;
    let schemeless = there.trim_start_matches("http:").to_owned();
    let challenge = format!("Bearer realm=\"{there}\", authorization_uri=\"{there}\"");
    let tricks = [
        (301, "location", there.clone()),
        (302, "location", there.clone()),
        (303, "location", there.clone()),
        (305, "location", there.clone()),
        (307, "location", there.clone()),
        (307, "location", schemeless),
        (308, "location", there.clone()),
        (300, "location", there.clone()),
        (201, "location", there.clone()),
        (200, "content-location", there.clone()),
        (200, "refresh", format!("0; url={there}")),
        (200, "link", format!("<{there}>; rel=preload")),
        (200, "alt-svc", format!("h2=\"{}\"", evil.address)),
        (401, "www-authenticate", challenge),
        (
            407,
            "proxy-authenticate",
            format!("Basic realm=\"{there}\""),
        ),
        (421, "location", there.clone()),
        (503, "location", there.clone()),
    ];
    for (number, (code, name, value)) in tricks.into_iter().enumerate() {
        let path = format!("/{number}");
        let answer = (code, vec![(name, value.clone())]);
        answers.lock().unwrap().insert(path.clone(), answer);
        for call in [
            Call::get(gatepost.at, &format!("/billing{path}")),
            Call::post(gatepost.at, &format!("/billing{path}")).body("to be sent again?"),
        ] {
            let reply = call.send().await;
            assert_eq!(reply.status.as_u16(), code);
            let expected = match &*value {
                _any if name == "proxy-authenticate" => String::new(),
                schemeless if schemeless.starts_with("//") => format!("http:{schemeless}"),
                said => said.to_owned(),
            };
            assert_eq!(reply.header(name), expected);
            assert_eq!(evil.saw_nothing(), Ok(()), "{code} {name}: {value}");
        }
    }
    assert_eq!(billing.requests().len(), 34, "each was asked once");
}

/// An app that follows redirects asks this listener again: for no other target.
#[tokio::test]
async fn no_redirect_leads_from_one_target_to_another() {
    let said = Arc::new(Mutex::new(String::new()));
    let saying = Arc::clone(&said);
    let billing = Upstream::answering(move |_request| {
        let mut answer = status(StatusCode::TEMPORARY_REDIRECT);
        let location = HeaderValue::from_str(&saying.lock().unwrap()).unwrap();
        answer.headers_mut().append("location", location);
        answer
    })
    .await;
    let plain = Upstream::start().await;
    let targets = vec![
        target("billing", &format!("{}/base", billing.url()), &["static"]),
        target("plain", &plain.url(), &["static"]),
    ];
    let gatepost = Running::start(vec![fixed()], targets).await;
    let (own, there) = (gatepost.at, billing.url());
    let by_name = format!("billing.egress.localhost:{}", own.port());
    for (location, by_path, named) in [
        (
            "/plain/x".to_owned(),
            format!("{there}/plain/x"),
            "/plain/x",
        ),
        (
            "../plain/x".to_owned(),
            format!("{there}/plain/x"),
            "../plain/x",
        ),
        ("y?z".to_owned(), format!("{there}/base/y?z"), "y?z"),
        (format!("http://{own}/plain/x"), String::new(), ""),
        (
            format!("http://localhost:{}/plain/x", own.port()),
            String::new(),
            "",
        ),
        (
            format!("http://plain.egress.localhost:{}/x", own.port()),
            String::new(),
            "",
        ),
        (format!("//{own}/plain/x"), String::new(), ""),
        // an app whose proxy this listener is would call it here
        (format!("{}/x", plain.url()), String::new(), ""),
        (
            format!("{}/x", plain.url().to_uppercase()),
            String::new(),
            "",
        ),
    ] {
        said.lock().unwrap().clone_from(&location);
        let reply = gatepost.get("/billing/x").send().await;
        assert_eq!(reply.status, 307);
        assert_eq!(reply.header("location"), by_path, "{location}");
        let reply = gatepost.get("/x").header("host", &by_name).send().await;
        assert_eq!(reply.status, 307);
        assert_eq!(reply.header("location"), named, "{location}");
    }
    assert_eq!(plain.requests().len(), 0);
}

#[tokio::test]
async fn no_token_endpoint_moves_a_secret() {
    let evil = Evil::start().await;
    let there = format!("http://{}/token", evil.address);
    for code in [301, 302, 303, 307, 308] {
        let location = there.clone();
        let endpoint = Upstream::answering(move |_request| {
            let mut answer = status(StatusCode::from_u16(code).unwrap());
            answer
                .headers_mut()
                .insert("location", location.parse().unwrap());
            answer
        })
        .await;
        let billing = Upstream::start().await;
        let targets = vec![target("billing", &billing.url(), &["granted"])];
        let gatepost = Running::start(vec![granted(&endpoint.url())], targets).await;
        let reply = gatepost.get("/billing/x").send().await;
        assert_eq!(reply.status, 503, "{code}");
        assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
        assert_eq!(endpoint.requests().len(), 1, "{code}");
        assert_eq!(billing.requests().len(), 0, "{code}");
        assert_eq!(evil.saw_nothing(), Ok(()));
    }
}

/// The process's own proxy settings are for nobody's credentials; `[client] proxy` is for token
/// endpoints alone.
#[tokio::test]
async fn no_proxy_variable_moves_a_credential() {
    let evil = Evil::start().await;
    let (billing, endpoint) = (
        Upstream::start().await,
        Upstream::answering(|_request| {
            json(&serde_json::json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 600 }))
        })
        .await,
    );
    let config = format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"
        [credentials.service]
        kind = "client_credentials"
        token_url = "{}/token"
        client_id = "app"
        client_secret = {{ insecure_literal = "s" }}
        [[egress_targets]]
        name = "billing"
        url = "{}"
        credential = "service"
        "#,
        endpoint.url(),
        billing.url()
    );
    let proxy = format!("http://{}", evil.address);
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    let environment = names.map(|name| (name, &*proxy));
    let gatepost = Gatepost::start_with(&config, &environment).await;
    let at = gatepost.listener("egress").await;
    assert_eq!(Call::get(at, "/billing/x").send().await.status, 200);
    assert_eq!(billing.last().header("authorization"), "Bearer t");
    assert_eq!(evil.saw_nothing(), Ok(()));
}

/// A name that leads to the machine's metadata service, or has come to, is no target.
#[tokio::test]
async fn no_name_leads_to_a_link_local_address() {
    // names of our own: a hosts file that only this process sees; the addresses are nobody's, so
    // that a test that fails asks no machine's real service
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let text = "169.254.213.213 metadata.google.internal\nfe80::213 six.test\n";
    std::fs::write(&hosts, text).unwrap();
    let hosts = hosts.display();
    let mount = format!("mount --bind {hosts} /etc/hosts");
    let able = std::process::Command::new("unshare")
        .args(["-rm", "sh", "-c", &mount])
        .output();
    if !able.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mount namespaces here");
        return;
    }
    let line =
        format!(r#"PATH=/usr/bin:/bin exec unshare -rm sh -c '{mount} && exec "$@"' sh "$@""#);
    let config = r#"
        [egress]
        listen = "127.0.0.1:0"
        [credentials.key]
        kind = "api_key"
        header = "x-key"
        value = { insecure_literal = "s3cret" }
        [credentials.granted]
        kind = "client_credentials"
        token_url = "https://six.test/token"
        client_id = "app"
        client_secret = { insecure_literal = "s3cret" }
        [[egress_targets]]
        name = "metadata"
        url = "http://metadata.google.internal"
        insecure_http = true
        credential = "key"
        [[egress_targets]]
        name = "six"
        url = "https://six.test"
        credential = "key"
        [[egress_targets]]
        name = "here"
        url = "http://127.0.0.1:9"
        credential = "granted"
    "#;
    let gatepost = Gatepost::start_under(&line, config, &[]).await;
    let at = gatepost.listener("egress").await;
    for path in ["/metadata/computeMetadata/v1/", "/six/latest/meta-data/"] {
        let reply = Call::get(at, path).send().await;
        assert_eq!(reply.status, 403, "{path}: {reply:?}");
        assert_eq!(reply.header("x-auth-reason"), "egress_target_refused");
    }
    let reply = Call::get(at, "/here/x").send().await;
    assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
    let output = gatepost.output();
    for told in [
        "the name leads to link-local addresses",
        "six.test leads to the link-local address fe80::213",
    ] {
        assert!(output.contains(told), "{told}: {output}");
    }
}

/// `101` and `1xx` that nobody asked for end the request.
#[tokio::test]
async fn no_switch_of_protocols_goes_unasked() {
    for answer in [
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let billing = wire::Wire::answering(answer).await;
        let url = format!("http://{}", billing.address);
        let targets = vec![target("billing", &url, &["static"])];
        let gatepost = Running::start(vec![fixed()], targets).await;
        let reply = gatepost.get("/billing/x").send().await;
        assert_eq!(reply.status, 502, "{answer:?}");
    }
}
