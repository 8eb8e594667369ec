//! `profile = "userinfo"`: names and emails that tokens do not carry, from the issuer's userinfo endpoint.

mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::counterparts::{self, or_skip};
use crate::support::eventually;
use crate::support::gatepost::{Gatepost, run};
use crate::support::http::Reply;
use crate::support::issuer::{Signer, merge, now};
use crate::support::upstream::{Answer, Recorded, Upstream, json as answer, status};

/// An issuer with discovery, keys and, unless it is elsewhere, userinfo.
struct Issuer {
    server: Upstream,
    signer: Arc<Signer>,
}

impl Issuer {
    /// Its discovery document has these members too; its userinfo endpoint answers so.
    async fn start(
        more: Value,
        userinfo: impl Fn(&Recorded) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let signer = Arc::new(Signer::new("rs-1"));
        let jwk = signer.jwk();
        let server = Upstream::answering(move |request| {
            let url = format!("http://{}", request.header("host"));
            match request.uri.path() {
                "/.well-known/openid-configuration" => {
                    let mut document = json!({
                        "issuer": url, "jwks_uri": format!("{url}/jwks"),
                        "userinfo_endpoint": format!("{url}/userinfo"),
                    });
                    merge(&mut document, &more);
                    answer(&document)
                }
                "/jwks" => answer(&json!({ "keys": [jwk] })),
                _userinfo => userinfo(request),
            }
        })
        .await;
        Self { server, signer }
    }

    fn token(&self, user: &str, more: &Value) -> String {
        let mut claims = json!({
            "iss": self.server.url(), "aud": "app", "sub": user, "exp": now() + 3600,
        });
        merge(&mut claims, more);
        self.signer.mint(&claims)
    }

    /// What was asked beside discovery and keys.
    fn asked(&self) -> Vec<Recorded> {
        let mut asked = self.server.requests();
        asked.retain(|request| {
            !["/.well-known/openid-configuration", "/jwks"].contains(&request.uri.path())
        });
        asked
    }
}

fn config(issuer: &str, more: &str, upstream: &Upstream) -> String {
    format!(
        r#"
        [issuers.users]
        kind = "oidc"
        issuer = "{issuer}"
        audiences = ["app"]
        {more}
        [upstreams.app]
        url = "{}"
        [[routes]]
        path = "/**"
        upstream = "app"
        "#,
        upstream.url()
    )
}

const PROFILE: &str = "profile = \"userinfo\"";

/// Who a request to the userinfo endpoint is about.
fn subject(request: &Recorded) -> String {
    let token = request.header("authorization");
    let token = token.strip_prefix("Bearer ").unwrap_or_default();
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap_or_default().to_owned()
}

fn of_subject(request: &Recorded) -> Answer {
    let sub = subject(request);
    answer(
        &json!({ "sub": sub, "name": "Zoë L.", "email": format!("{sub}@example.com"), "groups": ["admins"] }),
    )
}

async fn ask(gatepost: &Gatepost, token: &str) -> Reply {
    let call = gatepost.get("/").await.bearer(token);
    // what a client writes is never passed on for it
    let call = call.header("x-user-email", "root@example.com");
    call.send().await
}

/// Name, email and groups as the upstream is told them; the request passes.
async fn told(gatepost: &Gatepost, upstream: &Upstream, token: &str) -> [String; 3] {
    let reply = ask(gatepost, token).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let told = upstream.last();
    ["x-user-name", "x-user-email", "x-user-groups"].map(|name| told.header(name).to_owned())
}

fn nothing() -> [String; 3] {
    [(); 3].map(|()| String::new())
}

#[tokio::test]
async fn name_and_email_come_from_the_issuer_which_is_asked_once() {
    let issuer = Issuer::start(json!({}), of_subject).await;
    let upstream = Upstream::start().await;
    let text = config(&issuer.server.url(), PROFILE, &upstream);
    let gatepost = Gatepost::start(&text).await;
    gatepost.ready().await;
    let ada = issuer.token("ada", &json!({}));
    let told_ada = ["Zo%C3%AB%20L.", "ada@example.com", ""].map(str::to_owned);
    for again in 0..5 {
        let other = issuer.token("ada", &json!({ "jti": again.to_string() }));
        assert_eq!(told(&gatepost, &upstream, &ada).await, told_ada);
        assert_eq!(told(&gatepost, &upstream, &other).await, told_ada);
    }
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let [asked] = &asked[..] else { panic!() };
    assert_eq!(
        (&asked.method, asked.uri.path()),
        (&Method::GET, "/userinfo")
    );
    assert_eq!(asked.header("authorization"), format!("Bearer {ada}"));
    assert_eq!(asked.header("cookie"), "");

    // what the token says stays, and who lacks nothing is not asked about
    let named = issuer.token("eve", &json!({ "name": "Eve" }));
    let told_eve = ["Eve", "eve@example.com", ""].map(str::to_owned);
    assert_eq!(told(&gatepost, &upstream, &named).await, told_eve);
    let whole = issuer.token("bob", &json!({ "name": "Bob", "email": "b@example.com" }));
    let told_bob = ["Bob", "b@example.com", ""].map(str::to_owned);
    assert_eq!(told(&gatepost, &upstream, &whole).await, told_bob);
    // a program has no profile
    let service = issuer.token("batch", &json!({ "client_id": "batch" }));
    assert_eq!(told(&gatepost, &upstream, &service).await, nothing());
    assert_eq!(issuer.asked().len(), 2);

    // a reload keeps what is known
    let more = format!("{text}\n[[routes]]\npath = \"/more\"\nupstream = \"app\"\n");
    gatepost.reload(&more, "accepted", 1).await;
    assert_eq!(told(&gatepost, &upstream, &ada).await, told_ada);
    assert_eq!(issuer.asked().len(), 2);
    gatepost
        .counts(
            "gatepost_memberships_lookups_total{memberships=\"userinfo:users\",result=\"found\"} 2",
        )
        .await;
    let output = gatepost.output();
    assert!(
        !output.contains("example.com") && !output.contains(&ada),
        "{output}"
    );

    // and another definition does not
    let other = text.replace(
        PROFILE,
        &format!("{PROFILE}\nclaims = {{ name = \"email\" }}"),
    );
    gatepost.reload(&other, "accepted", 2).await;
    let renamed = ["ada@example.com", "ada@example.com", ""].map(str::to_owned);
    assert_eq!(told(&gatepost, &upstream, &ada).await, renamed);
    assert_eq!(issuer.asked().len(), 3);
}

#[tokio::test]
async fn an_answer_of_no_use_leaves_the_request_as_it_is() {
    let issuer = Issuer::start(json!({}), |request| {
        let text = |text: &str| {
            let mut answer = answer(&Value::Null);
            *answer.body_mut() = http_body_util::Full::new(text.to_owned().into());
            answer
        };
        match &*subject(request) {
            "other" => answer(&json!({ "sub": "ada", "name": "Ada", "email": "ada@example.com" })),
            "none" => answer(&json!({ "name": "Ada", "email": "ada@example.com" })),
            "unauthorized" => status(StatusCode::UNAUTHORIZED),
            "forbidden" => status(StatusCode::FORBIDDEN),
            "nonsense" => text("<html>sorry</html>"),
            "signed" => text("eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaWduZWQiLCJuYW1lIjoiQSJ9."),
            "twice" => text(r#"{"sub": "ada", "sub": "twice", "name": "Ada"}"#),
            "large" => answer(&json!({ "sub": "large", "name": "A", "more": "a".repeat(1 << 16) })),
            "typed" => answer(&json!({ "sub": "typed", "name": 1, "email": ["a@example.com"] })),
            _good => of_subject(request),
        }
    })
    .await;
    let upstream = Upstream::start().await;
    let text = config(&issuer.server.url(), PROFILE, &upstream);
    let gatepost = Gatepost::start(&text).await;
    gatepost.ready().await;
    for user in [
        "other",
        "none",
        "unauthorized",
        "forbidden",
        "nonsense",
        "signed",
        "twice",
        "large",
        "typed",
    ] {
        let token = issuer.token(user, &json!({}));
        assert_eq!(
            told(&gatepost, &upstream, &token).await,
            nothing(),
            "{user}"
        );
        // the others are asked about as before
        let good = format!("good-{user}");
        let [_, email, _] = told(&gatepost, &upstream, &issuer.token(&good, &json!({}))).await;
        assert_eq!(email, format!("{good}@example.com"));
    }
    let output = gatepost.output();
    assert!(
        output.contains("the answer is about another subject"),
        "{output}"
    );
}

#[tokio::test]
async fn an_endpoint_that_is_away_fails_no_request_and_is_asked_when_it_is_back() {
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    let issuer = Issuer::start(json!({}), move |request| {
        if is_away.load(Ordering::Relaxed) {
            status(StatusCode::INTERNAL_SERVER_ERROR)
        } else {
            of_subject(request)
        }
    })
    .await;
    let upstream = Upstream::start().await;
    let text = config(&issuer.server.url(), PROFILE, &upstream);
    let gatepost = Gatepost::start(&text).await;
    gatepost.ready().await;
    for user in ["ada", "bob", "cy", "ada", "bob", "cy"] {
        let token = issuer.token(user, &json!({}));
        assert_eq!(told(&gatepost, &upstream, &token).await, nothing());
    }
    // two in a row without an answer, and nobody else is asked about
    assert_eq!(issuer.asked().len(), 2);
    away.store(false, Ordering::Relaxed);
    let token = issuer.token("cy", &json!({}));
    eventually("the profile", || async {
        let [_, email, _] = told(&gatepost, &upstream, &token).await;
        (email == "cy@example.com").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_real_servers_userinfo_is_understood() {
    let server = or_skip!(counterparts::oauth2_mock_server().await);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&server.url, PROFILE, &upstream)).await;
    gatepost.ready().await;
    let ada = ["Ada L.", "ada@example.com", ""].map(str::to_owned);
    for (user, said, expected) in [
        (
            "ada",
            json!({ "sub": "ada", "name": "Ada L.", "email": "ada@example.com" }),
            &ada,
        ),
        (
            "bob",
            json!({ "sub": "ada", "name": "Ada L.", "email": "ada@example.com" }),
            &nothing(),
        ),
    ] {
        server.control("userinfo", &said).await;
        let command = json!({ "claims": { "sub": user, "aud": "app" } });
        let minted = server.control("mint", &command).await;
        let token = minted["token"].as_str().unwrap();
        let [name, email, groups] = told(&gatepost, &upstream, token).await;
        let name = name.replace("%20", " ");
        assert_eq!([name, email, groups], *expected, "{user}");
    }
}

#[tokio::test]
async fn explain_and_test_say_that_they_did_not_ask() {
    let issuer = Issuer::start(json!({}), of_subject).await;
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let config = config(&issuer.server.url(), PROFILE, &upstream);
    write("gatepost.toml", &config);
    write(
        "jwks.json",
        &json!({ "keys": [issuer.signer.jwk()] }).to_string(),
    );
    write("token", &issuer.token("ada", &json!({})));
    write(
        "cases.toml",
        r#"
        jwks = "jwks.json"
        [[cases]]
        name = "Ada is named"
        request = { path = "/" }
        token_file = "token"
        expect = "allow"
        headers = { x-user-name = "Ada" }
        "#,
    );
    let said = |arguments: &[&str]| {
        let config = path("gatepost.toml");
        let arguments = [&arguments[..1], &["--config", &config], &arguments[1..]].concat();
        let output = run(&arguments, &[]);
        String::from_utf8(output.stdout).unwrap()
    };
    let unasked = "nobody is asked here, so name and email are those of the token; no rule asks it";
    let (jwks, token, cases) = (path("jwks.json"), path("token"), path("cases.toml"));
    let explain = ["explain", "--jwks", &jwks, "--token-file", &token];
    let explained = said(&[&explain[..], &["--path", "/"]].concat());
    assert!(
        explained.contains(&format!("profile         {unasked}\n")),
        "{explained}"
    );
    let tested = said(&["test", &cases]);
    assert!(
        tested.contains("expected x-user-name: \"Ada\", got nothing")
            && tested.contains(&format!("profile: {unasked}\n")),
        "{tested}"
    );
    // whom nobody would be asked about, nothing is said of
    write(
        "token",
        &issuer.token("ada", &json!({ "name": "Ada", "email": "ada@example.com" })),
    );
    assert!(!said(&[&explain[..], &["--path", "/"]].concat()).contains("profile"));
    assert_eq!(said(&["test", &cases]), "1 case: 1 as expected, 0 not\n");
    assert!(issuer.asked().is_empty());
}
