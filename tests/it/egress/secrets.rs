//! Every kind of credential, every error we can provoke, at the loudest log level: no secret is
//! written anywhere.

use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::issuer::{Signer, now};
use crate::support::secure::{Secure, authority};
use crate::support::upstream::{self, Upstream, status};

/// What every secret of this test begins with.
const MARK: &str = "s3cret";

/// Answers with credentials in its headers, as `path` asks: `/200`, `/401`, `/403`, `/302`.
async fn target() -> Upstream {
    Upstream::answering(|request| {
        let code = request.uri.path().trim_start_matches('/').parse();
        let mut answer = status(StatusCode::from_u16(code.unwrap()).unwrap());
        let echoed = HeaderValue::from_str(request.header("authorization")).unwrap();
        for (name, value) in [
            ("set-cookie", "session=s3cret-cookie; HttpOnly"),
            ("www-authenticate", "Bearer error=\"s3cret-challenge\""),
            ("x-amz-security-token", "s3cret-session"),
            ("authentication-info", "s3cret-info"),
            (
                "location",
                "https://user:s3cret-password@elsewhere.test/?code=s3cret-code",
            ),
            ("x-api-key", "s3cret-key"),
        ] {
            answer
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        answer.headers_mut().append("authorization", echoed);
        answer
    })
    .await
}

/// Gives a token, or errors that repeat what they were sent.
async fn issuer(keys: serde_json::Value) -> Upstream {
    Upstream::answering(move |request| {
        let sent = String::from_utf8_lossy(&request.body).into_owned();
        let sent = format!("{sent} {}", request.header("authorization"));
        let mut answer = match request.uri.path() {
            "/good" => upstream::json(&json!({
                "access_token": "s3cret-granted", "token_type": "Bearer", "expires_in": 600,
                "refresh_token": "s3cret-refresh", "id_token": "s3cret-id",
            })),
            "/exchange" => upstream::json(&json!({
                "access_token": "s3cret-exchanged", "token_type": "Bearer", "expires_in": 600,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            })),
            "/jwks" => upstream::json(&keys),
            "/odd" => upstream::json(&json!({ "access_token": "s3cret\nodd", "token_type": "Bearer" })),
            "/other" => upstream::json(&json!({ "access_token": "s3cret-other", "token_type": sent })),
            "/text" => {
                let mut answer = upstream::json(&json!({}));
                *answer.body_mut() = format!("access_token=s3cret-text&{sent}").into();
                answer
            }
            _refused => {
                let said = json!({ "error": "invalid_client", "error_description": sent, "error_uri": sent });
                let mut answer = upstream::json(&said);
                *answer.status_mut() = StatusCode::BAD_REQUEST;
                answer
            }
        };
        let cookie = HeaderValue::from_static("s3cret-cookie");
        answer.headers_mut().insert("set-cookie", cookie);
        answer
    })
    .await
}

#[tokio::test]
async fn no_kind_of_credential_and_no_error_tells_a_secret() {
    let signer = Signer::new("key-one");
    let keys = json!({ "keys": [signer.jwk()] });
    let (target, issuer) = (target().await, issuer(keys).await);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("{path:?}")
    };
    let app = write("app", "s3cret-of-the-app-itself");
    let key = write("key", "s3cret-key");
    let config = format!(
        r#"
        [log]
        level = "trace,h2=trace,hyper=trace,hyper_util=trace,reqwest=trace,rustls=trace"
        [egress]
        listen = "127.0.0.1:0"
        token_endpoint = {{ authorization_file = {app}, credentials = ["good", "key", "refused", "basic", "refresh", "exchange"] }}
        [credentials.robot]
        kind = "static_token"
        token = {{ env = "ROBOT" }}
        [credentials.key]
        kind = "api_key"
        header = "x-key"
        value = {{ file = {key} }}
        [credentials.caller]
        kind = "pass_through"
        [credentials.basic]
        kind = "basic"
        username = "app"
        password = {{ insecure_literal = "s3cret-password" }}
        [credentials.refresh]
        kind = "refresh_token"
        token_url = "{at}/good"
        client_id = "app"
        client_secret = {{ insecure_literal = "s3cret-client" }}
        refresh_token = {{ insecure_literal = "s3cret-refresh-first" }}
        [credentials.exchange]
        kind = "token_exchange"
        token_url = "{at}/exchange"
        client_id = "app"
        client_secret = {{ insecure_literal = "s3cret-client" }}
        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        jwks_url = "{at}/jwks"
        audiences = ["app"]
        algorithms = ["RS256"]
        [upstreams.app]
        url = "{app_at}"
        [[routes]]
        path = "/**"
        upstream = "app"
        "#,
        at = issuer.url(),
        app_at = target.url(),
    );
    let sources = [
        ("good", "client_secret_basic"),
        ("odd", "client_secret_post"),
        ("other", "client_secret_basic"),
        ("text", "client_secret_post"),
        ("refused", "client_secret_post"),
        ("refused-basic", "client_secret_basic"),
    ]
    .map(|(name, method)| {
        format!(
            r#"
            [credentials.{name}]
            kind = "client_credentials"
            token_url = "{issuer}/{name}"
            client_id = "app"
            client_secret = {{ insecure_literal = "s3cret-client-{name}" }}
            auth_method = "{method}"
            "#,
            issuer = issuer.url()
        )
    });
    let names = [
        "robot",
        "key",
        "caller",
        "good",
        "odd",
        "other",
        "text",
        "refused",
        "refused-basic",
        "basic",
        "refresh",
        "exchange",
    ];
    let targets = names.map(|name| {
        let url = target.url();
        format!("[[egress_targets]]\nname = \"{name}\"\nurl = \"{url}\"\ncredential = \"{name}\"\n")
    });
    // one that speaks HTTP/2, over TLS, whose libraries have logs of their own
    let authority = authority();
    let secure = Secure::start(&authority, &["h2"]).await;
    let secure = format!(
        "[[egress_targets]]\nname = \"secure\"\nurl = {:?}\ncredential = \"robot\"\ntls = {{ ca_file = {} }}\n",
        secure.url(),
        write("ca.pem", &authority.pem())
    );
    // a target that is not there
    let gone = "[[egress_targets]]\nname = \"gone\"\nurl = \"https://127.0.0.1:9\"\ncredential = \"robot\"\n";
    let config = [
        config,
        sources.concat(),
        targets.concat(),
        secure,
        gone.to_owned(),
    ]
    .concat();
    let gatepost = Gatepost::start_with(&config, &[("ROBOT", "s3cret-robot")]).await;
    let at = gatepost.listener("egress").await;
    // somebody asks the app, and it calls on for them
    gatepost.ready().await;
    let token = signer.mint(&json!({
        "iss": "https://users.example", "aud": "app", "sub": "ada", "iat": now(), "exp": now() + 600,
    }));
    let asked = gatepost.get("/200").await.bearer(&token).send().await;
    assert_eq!(asked.status, 200);
    let handle = target.last().header("x-auth-handle").to_owned();
    assert_eq!(handle.len(), 22);
    let mut replies = 0;
    for name in ["caller", "exchange"] {
        for code in ["200", "401", "403"] {
            let call = Call::get(at, &format!("/{name}/{code}")).header("x-auth-handle", &handle);
            assert_eq!(call.send().await.status.as_str(), code, "{name}");
            replies += 1;
        }
    }
    assert_eq!(
        target.last().header("authorization"),
        "Bearer s3cret-exchanged"
    );
    for name in names.into_iter().chain(["secure", "gone", "unknown"]) {
        for code in ["200", "401", "403", "302"] {
            let mut call = Call::post(at, &format!("/{name}/{code}?token=s3cret-query"))
                .header("authorization", "Bearer s3cret-caller")
                .header("proxy-authorization", "Basic s3cret-proxy")
                .header("cookie", "session=s3cret-cookie")
                .header("x-amz-security-token", "s3cret-session")
                .body("s3cret-body");
            if code != "200" {
                call = call.header("x-auth-handle", "s3cretHandleAAAAAAAAAA");
            }
            let reply = call.send().await;
            assert_ne!(reply.status, 500, "{name} {code}: {reply:?}");
            replies += 1;
        }
    }
    for name in [
        "good", "key", "refused", "robot", "basic", "refresh", "exchange",
    ] {
        for said in ["s3cret-of-the-app-itself", "s3cret-guessed"] {
            let path = format!("/.gatepost/token/{name}");
            let call = Call::get(at, &path).header("authorization", said);
            call.send().await;
            replies += 1;
        }
    }
    assert!(target.requests().len() > 12, "some came through");
    let admin = gatepost.listener("admin").await;
    let mut told = String::new();
    for path in ["/status", "/config", "/jwks"] {
        told += Call::get(admin, path).send().await.text();
    }
    told += gatepost.health("/metrics").await.text();
    let output = crate::support::eventually("a line for each request", async || {
        let output = gatepost.output();
        let lines = output
            .lines()
            .filter(|line| line.contains("\"plane\":\"egress\""));
        (lines.count() >= replies).then_some(output)
    })
    .await;
    // not ours alone: libraries speak at this level too
    for loud in ["\"level\":\"TRACE\"", "\"target\":\"h2::"] {
        assert!(output.contains(loud), "no {loud}");
    }
    for told in [output, told] {
        for secret in [MARK, &handle, &token] {
            if let Some(line) = told.lines().find(|line| line.contains(secret)) {
                panic!("a secret was told: {line}");
            }
        }
    }
}
