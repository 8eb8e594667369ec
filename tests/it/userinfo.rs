//! `profile = "userinfo"`: names and emails that tokens do not carry, from the issuer's userinfo endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

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
    gatepost.get("/").await.bearer(token).send().await
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
        .counts("gatepost_memberships_lookups_total{memberships=\"issuers.users.profile\",result=\"found\"} 2")
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
async fn no_redirect_is_followed_and_nobody_is_waited_for_forever() {
    let thief = Upstream::start().await;
    let to = HeaderValue::try_from(format!("{}/userinfo", thief.url())).unwrap();
    let issuer = Issuer::start(json!({}), move |_| {
        let mut moved = status(StatusCode::TEMPORARY_REDIRECT);
        moved.headers_mut().insert("location", to.clone());
        moved
    })
    .await;
    // it accepts connections and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    let upstream = Upstream::start().await;
    for more in [
        PROFILE.to_owned(),
        format!("{PROFILE}\nuserinfo_url = \"{silent}\""),
    ] {
        let gatepost = Gatepost::start(&config(&issuer.server.url(), &more, &upstream)).await;
        gatepost.ready().await;
        let token = issuer.token("ada", &json!({}));
        assert_eq!(told(&gatepost, &upstream, &token).await, nothing());
        assert_eq!(told(&gatepost, &upstream, &token).await, nothing());
    }
    assert_eq!(issuer.asked().len(), 1);
    assert!(thief.requests().is_empty());
}

#[tokio::test]
async fn the_token_goes_where_the_issuers_own_document_says_and_nowhere_else() {
    let upstream = Upstream::start().await;
    let elsewhere = Upstream::answering(of_subject).await;
    let endpoint = format!("{}/oauth2/userInfo", elsewhere.url());
    let ada = ["Zo%C3%AB%20L.", "ada@example.com", ""].map(str::to_owned);
    for (document, trusted) in [
        (json!({ "userinfo_endpoint": endpoint }), true),
        (
            json!({ "userinfo_endpoint": endpoint, "issuer": "https://other.test" }),
            false,
        ),
        (
            json!({ "userinfo_endpoint": endpoint.replace("http://", "http://ada:pw@") }),
            false,
        ),
        (
            json!({ "userinfo_endpoint": "http://issuer.test/userinfo" }),
            false,
        ),
        (json!({ "userinfo_endpoint": null }), false),
    ] {
        let asked = elsewhere.requests().len();
        let issuer = Issuer::start(document.clone(), of_subject).await;
        let url = issuer.server.url();
        let more = format!("{PROFILE}\njwks_url = \"{url}/jwks\"");
        let gatepost = Gatepost::start(&config(&url, &more, &upstream)).await;
        gatepost.ready().await;
        let token = issuer.token("ada", &json!({}));
        let expected = if trusted { ada.clone() } else { nothing() };
        assert_eq!(
            told(&gatepost, &upstream, &token).await,
            expected,
            "{document}"
        );
        assert!(issuer.asked().is_empty(), "{document}");
        let now_asked = elsewhere.requests().len() - asked;
        assert_eq!(now_asked, usize::from(trusted), "{document}");
    }
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
async fn explain_says_that_it_did_not_ask() {
    let issuer = Issuer::start(json!({}), of_subject).await;
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.toml");
    std::fs::write(&file, config(&issuer.server.url(), PROFILE, &upstream)).unwrap();
    let token = issuer.token("ada", &json!({}));
    let (jwks, bearer) = (
        directory.path().join("jwks.json"),
        directory.path().join("token"),
    );
    std::fs::write(&jwks, json!({ "keys": [issuer.signer.jwk()] }).to_string()).unwrap();
    std::fs::write(&bearer, token).unwrap();
    let [file, jwks, bearer] = [&file, &jwks, &bearer].map(|path| path.to_str().unwrap());
    let explained = run(
        &[
            "explain",
            "--config",
            file,
            "--jwks",
            jwks,
            "--token-file",
            bearer,
            "--path",
            "/",
        ],
        &[],
    );
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        text.contains("or is not asked here"),
        "{text} {explained:?}"
    );
    assert!(issuer.asked().is_empty());
}
