//! `/.gatepost/token/<credential>`: who gets a credential, and who gets nothing.

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::upstream::{self, Upstream};
use crate::support::wire;

const SAID: &str = "s3cret-of-the-app-itself";

/// Gatepost with one credential of each kind, and the file.
struct Scene {
    gatepost: Gatepost,
    at: std::net::SocketAddr,
    issuer: Upstream,
    folder: TempDir,
}

impl Scene {
    async fn new(endpoint: bool) -> Self {
        let issuer = Upstream::answering(|_request| {
            upstream::json(&json!({
                "access_token": "s3cret-granted", "token_type": "Bearer", "expires_in": 600,
            }))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app-token");
        std::fs::write(&file, SAID).unwrap();
        let table = if endpoint {
            format!(
                "token_endpoint = {{ authorization_file = {file:?}, \
                 credentials = [\"service\", \"robot\", \"key\", \"caller\"] }}"
            )
        } else {
            String::new()
        };
        let config = format!(
            r#"
            [egress]
            listen = "127.0.0.1:0"
            {table}
            [credentials.service]
            kind = "client_credentials"
            token_url = "{issuer}/token"
            client_id = "app"
            client_secret = {{ insecure_literal = "s3cret-client" }}
            [credentials.robot]
            kind = "static_token"
            token = {{ insecure_literal = "s3cret-robot" }}
            [credentials.key]
            kind = "api_key"
            header = "x-key"
            scheme = "Key"
            value = {{ insecure_literal = "s3cret-key" }}
            [credentials.caller]
            kind = "pass_through"
            [credentials.unlisted]
            kind = "static_token"
            token = {{ insecure_literal = "s3cret-unlisted" }}
            [[egress_targets]]
            name = "billing"
            url = "{issuer}"
            credential = "unlisted"
            "#,
            issuer = issuer.url()
        );
        let gatepost = Gatepost::start(&config).await;
        let at = gatepost.listener("egress").await;
        Self {
            gatepost,
            at,
            issuer,
            folder,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("app-token")
    }

    fn ask(&self, path: &str) -> Call {
        Call::get(self.at, path)
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(path).header("authorization", SAID).send().await
    }
}

const SERVICE: &str = "/.gatepost/token/service";

#[tokio::test]
async fn the_app_gets_a_credential_of_the_list() {
    let scene = Scene::new(true).await;
    let reply = scene.get(SERVICE).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-type"), "application/json");
    let told = reply.json();
    assert_eq!(told["access_token"], "s3cret-granted");
    assert_eq!(told["token_type"], "Bearer");
    let left = told["expires_in"].as_u64().unwrap();
    assert!((500..=600).contains(&left), "{told}");
    let line = scene.gatepost.line_of(&reply).await;
    assert_eq!(line["credential"], "service");
    assert_eq!(line["path"], SERVICE);

    let robot = scene.get("/.gatepost/token/robot").await.json();
    assert_eq!(
        robot,
        json!({ "access_token": "s3cret-robot", "token_type": "Bearer" })
    );
    let key = scene.get("/.gatepost/token/key").await.json();
    assert_eq!(key, json!({ "header": "x-key", "value": "Key s3cret-key" }));
    assert_eq!(scene.issuer.requests().len(), 1, "one token for all");
    assert!(!scene.gatepost.output().contains("s3cret"));
}

/// What becomes of the token file.
type Change = fn(&Path);

#[tokio::test]
async fn a_web_page_another_host_name_a_strangers_handle_and_a_missing_token_file_each_get_nothing()
{
    let scene = Scene::new(true).await;
    let prefix = SAID.split_at(20).0;
    let bearer = format!("Bearer {SAID}");
    let longer = format!("{SAID}x");
    let good = ("authorization", SAID);
    let page = StatusCode::FORBIDDEN;
    let malformed = StatusCode::BAD_REQUEST;
    let nobody = ("x-auth-handle", "AAAAAAAAAAAAAAAAAAAAAA");
    let tricks: Vec<(Vec<(&str, &str)>, StatusCode)> = vec![
        // a web page
        (vec![good, ("origin", "https://evil.test")], page),
        (vec![good, ("origin", "null")], page),
        (vec![good, ("origin", "http://127.0.0.1:7402")], page),
        (vec![good, ("sec-fetch-site", "cross-site")], page),
        (vec![good, ("sec-fetch-site", "same-origin")], page),
        (vec![good, ("sec-fetch-site", "none")], page),
        // another host name
        (vec![good, ("host", "evil.test")], page),
        (vec![good, ("host", "127.0.0.1.evil.test")], page),
        (vec![good, ("host", "localhost.evil.test:7402")], page),
        (vec![good, ("host", "gatepost")], page),
        (vec![good, ("host", "169.254.170.2")], page),
        (vec![good, ("host", "nobody.egress.localhost")], page),
        (vec![good, ("host", "user@localhost")], malformed),
        // a proxy
        (vec![good, ("x-forwarded-for", "127.0.0.1")], page),
        (vec![good, ("x_forwarded_for", "127.0.0.1")], page),
        (vec![good, ("x-forwarded-host", "localhost")], page),
        (vec![good, ("x-real-ip", "127.0.0.1")], page),
        (vec![good, ("forwarded", "for=127.0.0.1")], page),
        (vec![good, ("via", "1.1 proxy")], page),
        (vec![good, ("x-original-url", SERVICE)], page),
        // who cannot say what the file says
        (vec![], page),
        (vec![("authorization", "")], page),
        (vec![("authorization", prefix)], page),
        (vec![("authorization", &longer)], page),
        (vec![("authorization", &bearer)], page),
        (vec![("authorization", "s3cret-of-the-app-itselF")], page),
        (vec![good, good], page),
        (vec![("x-authorization", SAID)], page),
        (vec![("cookie", SAID)], page),
        // a stranger's handle
        (vec![good, nobody], page),
        (vec![good, ("x_auth_handle", nobody.1)], page),
        (vec![good, ("x-auth-handle", "")], page),
        (vec![good, nobody, nobody], malformed),
    ];
    for (headers, expected) in tricks {
        let mut call = scene.ask(SERVICE);
        for (name, value) in &headers {
            call = call.header(name, value);
        }
        nothing(&format!("{headers:?}"), &call.send().await, expected);
    }
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let call = Call::new(method.clone(), scene.at, SERVICE).header(good.0, good.1);
        nothing(
            method.as_str(),
            &call.send().await,
            StatusCode::METHOD_NOT_ALLOWED,
        );
    }
    for (path, expected) in [
        ("/.gatepost/token/unlisted", page),
        ("/.gatepost/token/unknown", page),
        ("/.gatepost/token/SERVICE", page),
        ("/.gatepost/token/service/", page),
        ("/.gatepost/token/service/x", page),
        ("/.gatepost/token/service%2Fx", page),
        ("/.gatepost/token/", page),
        ("/.gatepost/token", page),
        ("/.gatepost/", page),
        ("/.gatepost", page),
        ("/.gatepost/aws/service", page),
        ("/.gatepost/Token/service", page),
        ("/billing/../.gatepost/token/service", malformed),
        ("/%2egatepost/token/service", malformed),
        ("//.gatepost/token/service", malformed),
        // nobody stands behind the call: pass_through has nothing of the app's own
        ("/.gatepost/token/caller", page),
    ] {
        nothing(path, &scene.get(path).await, expected);
    }
    // a request without Host, which no client library sends
    let request =
        format!("GET {SERVICE} HTTP/1.1\r\nAuthorization: {SAID}\r\nConnection: close\r\n\r\n");
    let answer = wire::send(scene.at, &request).await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && !answer.contains("s3cret"),
        "{answer}"
    );

    // a token file that says nothing
    let changes: [(&str, Change); 5] = [
        ("missing", |file| std::fs::remove_file(file).unwrap()),
        ("empty", |file| std::fs::write(file, "").unwrap()),
        ("an empty line", |file| std::fs::write(file, "\n").unwrap()),
        ("short", |file| {
            std::fs::write(file, "fifteen-bytes-x").unwrap();
        }),
        ("not text", |file| std::fs::write(file, [0xff; 32]).unwrap()),
    ];
    for (what, change) in changes {
        change(&scene.file());
        nothing(what, &scene.get(SERVICE).await, page);
        let empty = scene.ask(SERVICE).header("authorization", "").send().await;
        nothing(what, &empty, page);
        let short = scene
            .ask(SERVICE)
            .header("authorization", "fifteen-bytes-x");
        nothing(what, &short.send().await, page);
    }
    std::fs::remove_file(scene.file()).unwrap();
    std::fs::create_dir(scene.file()).unwrap();
    nothing("a folder", &scene.get(SERVICE).await, page);
    std::fs::remove_dir(scene.file()).unwrap();

    assert_eq!(scene.issuer.requests().len(), 0, "nothing was even fetched");
    // another one in its place is what counts from then on
    std::fs::write(scene.file(), "another-app-token\n").unwrap();
    nothing("the old one", &scene.get(SERVICE).await, page);
    let new = scene
        .ask(SERVICE)
        .header("authorization", "another-app-token");
    assert_eq!(new.send().await.status, 200);
    assert!(!scene.gatepost.output().contains("s3cret"));
}

#[track_caller]
fn nothing(what: &str, reply: &Reply, expected: StatusCode) {
    assert_eq!(reply.status, expected, "{what}: {reply:?}");
    assert_ne!(reply.header("x-auth-reason"), "", "{what}: {reply:?}");
    let all = format!("{reply:?}");
    assert!(!all.contains("s3cret"), "{what}: {all}");
}

#[tokio::test]
async fn it_is_off_by_default() {
    let scene = Scene::new(false).await;
    nothing("off", &scene.get(SERVICE).await, StatusCode::FORBIDDEN);
    assert_eq!(scene.issuer.requests().len(), 0);
}
