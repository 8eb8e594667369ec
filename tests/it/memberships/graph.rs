//! `groups_overage = "graph"`: Microsoft Graph, and all that may answer in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{ask, outcome};
use crate::support::entra::{AUDIENCE, Entra, TENANT};
use crate::support::gatepost::Gatepost;
use crate::support::issuer::merge;
use crate::support::upstream::{Answer, Recorded, Upstream, json as answer, status};

const ADMINS: &str = "dddddddd-0000-0000-0000-0000000000aa";
const BANNED: &str = "dddddddd-0000-0000-0000-0000000000bb";
const OTHER: &str = "dddddddd-0000-0000-0000-0000000000cc";
const UNAVAILABLE: &str = "503 memberships_unavailable";

struct Setup {
    gatepost: Gatepost,
    upstream: Upstream,
    entra: Entra,
    graph: Upstream,
}

impl Setup {
    /// A directory that answers so, and gives out `graph-token-1`, `graph-token-2`, …
    async fn start(answer_to: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        let given = AtomicUsize::new(0);
        let graph = Upstream::answering(move |request| {
            if request.uri.path() != "/token" {
                return answer_to(request);
            }
            let number = given.fetch_add(1, Ordering::Relaxed) + 1;
            answer(&json!({
                "token_type": "Bearer", "expires_in": 3599,
                "access_token": format!("graph-token-{number}"),
            }))
        })
        .await;
        let (entra, upstream) = (Entra::start().await, Upstream::start().await);
        let config = config(&entra, &upstream, &graph.url(), &graph.url());
        let gatepost = Gatepost::start(&config).await;
        gatepost.ready().await;
        Self {
            gatepost,
            upstream,
            entra,
            graph,
        }
    }

    /// What the directory was asked, tokens apart.
    fn asked(&self) -> Vec<Recorded> {
        let mut asked = self.graph.requests();
        asked.retain(|request| request.uri.path() != "/token");
        asked
    }

    /// What is answered a user on this path whose groups are elsewhere.
    async fn outcome(&self, path: &str, user: &str) -> String {
        let token = self.entra.v2(&overage(user));
        outcome(&self.gatepost, path, &token).await
    }
}

fn config(entra: &Entra, upstream: &Upstream, tokens: &str, graph: &str) -> String {
    format!(
        r#"
        [log]
        level = "trace"

        [issuers.staff]
        kind = "entra"
        tenant_id = "{TENANT}"
        audiences = ["{AUDIENCE}"]
        jwks_url = "{}"
        groups_overage = "graph"
        credential = "directory"
        graph_url = "{graph}"

        [credentials.directory]
        kind = "client_credentials"
        token_url = "{tokens}/token"
        client_id = "gatepost"
        client_secret = {{ insecure_literal = "the client's secret" }}
        scopes = ["https://graph.microsoft.com/.default"]

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        upstream = "app"

        [[routes]]
        path = "/admin"
        require = {{ groups = ["{ADMINS}"] }}
        upstream = "app"

        [[routes]]
        path = "/internal"
        require = {{ groups = {{ none = ["{BANNED}"] }} }}
        upstream = "app"
        "#,
        entra.jwks_url(),
        upstream.url(),
    )
}

/// The `oid` of a user.
fn user(number: usize) -> String {
    format!("aaaaaaaa-0000-0000-0000-{number:012}")
}

/// The claims of a user whose groups are elsewhere. Where the token says they are nobody is asked.
fn overage(user: &str) -> Value {
    json!({
        "oid": user, "_claim_names": { "groups": "src1" }, "_claim_sources": { "src1": {
            "endpoint": format!("https://graph.windows.net/{TENANT}/users/{user}/getMemberObjects") } },
    })
}

fn groups(ids: &[&str]) -> Answer {
    answer(&json!({ "@odata.context": "x", "value": ids }))
}

/// A page with one group, and where the next one is.
fn page(id: &str, next: &str) -> Answer {
    answer(&json!({ "value": [id], "@odata.nextLink": next }))
}

/// The object that the directory was asked about.
fn object(request: &Recorded) -> String {
    let mut segments = request.uri.path().rsplit('/');
    segments.nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn groups_the_token_has_no_room_for_come_from_graph_and_are_asked_for_once() {
    let banned = user(2);
    let setup = Setup::start(move |request| {
        let next = format!(
            "http://{}{}?$skiptoken=2",
            request.header("host"),
            request.uri.path()
        );
        match (request.uri.query(), object(request)) {
            (None, _) => page(OTHER, &next),
            (Some(_), user) if user == banned => groups(&[BANNED]),
            (Some(_), _) => groups(&[ADMINS]),
        }
    })
    .await;
    let (ada, mallory) = (user(1), user(2));
    for _ in 0..3 {
        assert_eq!(setup.outcome("/admin", &ada).await, "200");
        assert_eq!(setup.outcome("/internal", &ada).await, "200");
    }
    let told = setup.upstream.last();
    assert_eq!(told.header("x-user-groups"), format!("{OTHER},{ADMINS}"));
    let asked = setup.asked();
    let [first, second] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    let path = format!("/v1.0/users/{ada}/getMemberObjects");
    assert_eq!((&first.method, first.uri.path()), (&Method::POST, &*path));
    assert_eq!(&first.body[..], br#"{"securityEnabledOnly":false}"#);
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!((&second.method, second.uri.path()), (&Method::GET, &*path));
    for request in &asked {
        assert_eq!(request.header("authorization"), "Bearer graph-token-1");
    }
    // who is in a group on the second page is in it
    let refused = "403 group_missing";
    assert_eq!(setup.outcome("/internal", &mallory).await, refused);
    assert_eq!(setup.outcome("/admin", &mallory).await, refused);
    // the other way to say it, an application, and the same user by another client
    let service = user(3);
    let mut claims = overage(&service);
    merge(&mut claims, &json!({ "sub": service, "azp": service }));
    let app = setup.entra.app(&claims);
    assert_eq!(outcome(&setup.gatepost, "/admin", &app).await, "200");
    let asked = setup.asked();
    let path = format!("/v1.0/servicePrincipals/{service}/getMemberObjects");
    assert_eq!(asked.last().unwrap().uri.path(), path);
    let implicit = json!({ "oid": ada, "hasgroups": true, "azp": user(9) });
    let implicit = setup.entra.v2(&implicit);
    let reply = ask(&setup.gatepost, "/admin", &implicit).await;
    let line = setup.gatepost.line_of(&reply).await;
    assert_eq!(
        (&line["status"], &line["memberships"]),
        (&json!(200), &json!("cached")),
        "{line}"
    );
    assert_eq!(setup.asked().len(), asked.len());
    let found =
        "gatepost_memberships_lookups_total{memberships=\"graph:staff\",result=\"found\"} 3";
    setup.gatepost.counts(found).await;
    let said = setup.gatepost.output();
    assert!(said.contains("\"memberships\":\"asked\""));
    for secret in ["graph-token", "the client's secret"] {
        assert!(!said.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn graph_is_asked_only_about_whom_the_token_says_it_and_where_a_rule_needs_it() {
    let setup = Setup::start(|_request| groups(&[ADMINS])).await;
    let ada = user(1);
    assert_eq!(setup.outcome("/", &ada).await, "200");
    assert!(!setup.upstream.last().headers.contains_key("x-user-groups"));
    let unresolved = "403 groups_unresolved";
    for (claims, admin, internal) in [
        (json!({ "groups": [ADMINS] }), "200", "200"),
        (
            json!({ "groups": [BANNED] }),
            "403 group_missing",
            "403 group_missing",
        ),
        (json!({}), "403 group_missing", "200"),
        // unresolved, and not because they are elsewhere
        (json!({ "groups": 5 }), unresolved, unresolved),
        (json!({ "_claim_names": "groups" }), unresolved, unresolved),
        // elsewhere, and nobody knows whose
        (
            json!({ "oid": "../me", "hasgroups": true }),
            unresolved,
            unresolved,
        ),
        (
            json!({ "oid": null, "hasgroups": true }),
            unresolved,
            unresolved,
        ),
    ] {
        let token = setup.entra.v2(&claims);
        for (path, expected) in [("/admin", admin), ("/internal", internal)] {
            let found = outcome(&setup.gatepost, path, &token).await;
            assert_eq!(found, expected, "{path} {claims}");
        }
    }
    let asked = setup.asked();
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_outage_and_never_no_groups() {
    let elsewhere = Arc::new(Upstream::start().await);
    let other = elsewhere.url();
    let setup = Setup::start(move |request| {
        let here = format!("http://{}", request.header("host"));
        let below = format!("{here}{}", request.uri.path());
        let number = object(request).rsplit('0').next().map(str::to_owned);
        let text = |text: &str| {
            let mut answer = answer(&Value::Null);
            *answer.body_mut() = http_body_util::Full::new(text.to_owned().into());
            answer
        };
        let many = |count: usize| {
            let ids: Vec<String> = (0..count)
                .map(|number| format!("dddddddd-0000-0000-0001-{number:012}"))
                .collect();
            answer(&json!({ "value": ids }))
        };
        match number.as_deref().unwrap_or_default() {
            "1" => groups(&[ADMINS]),
            "2" => status(StatusCode::NOT_FOUND),
            "3" => status(StatusCode::FORBIDDEN),
            "4" => status(StatusCode::INTERNAL_SERVER_ERROR),
            "5" => page(ADMINS, &format!("{other}/v1.0/users/x")),
            "6" => page(ADMINS, &format!("{here}/beta/users/x")),
            "7" => page(ADMINS, &format!("{here}/v1.0/../beta/users/x")),
            // for ever
            "8" => page(ADMINS, &below),
            "9" => answer(&json!({ "value": [ADMINS], "@odata.nextLink": 2 })),
            "11" => answer(&json!({ "value": ["admins"] })),
            "12" => answer(&json!({ "value": [ADMINS, 1] })),
            "13" => answer(&json!({ "value": null })),
            "14" => answer(&json!({})),
            "15" => text("<html>sorry</html>"),
            "16" => text("[]"),
            "17" => many(10_001),
            "18" => answer(&json!({ "value": [ADMINS], "more": "a".repeat(1 << 20) })),
            "19" => status(StatusCode::NO_CONTENT),
            "21" => answer(&json!({ "value": [] })),
            "22" => many(10_000),
            _other => groups(&[ADMINS]),
        }
    })
    .await;
    for (number, admin, internal) in [
        (1, "200", "200"),
        (2, UNAVAILABLE, UNAVAILABLE),
        (3, UNAVAILABLE, UNAVAILABLE),
        // between two that may be everybody's, somebody is answered
        (31, "200", "200"),
        (4, UNAVAILABLE, UNAVAILABLE),
        (5, UNAVAILABLE, UNAVAILABLE),
        (6, UNAVAILABLE, UNAVAILABLE),
        (7, UNAVAILABLE, UNAVAILABLE),
        (8, UNAVAILABLE, UNAVAILABLE),
        (9, UNAVAILABLE, UNAVAILABLE),
        (11, UNAVAILABLE, UNAVAILABLE),
        (12, UNAVAILABLE, UNAVAILABLE),
        (13, UNAVAILABLE, UNAVAILABLE),
        (14, UNAVAILABLE, UNAVAILABLE),
        (15, UNAVAILABLE, UNAVAILABLE),
        (16, UNAVAILABLE, UNAVAILABLE),
        (17, UNAVAILABLE, UNAVAILABLE),
        (18, UNAVAILABLE, UNAVAILABLE),
        (32, "200", "200"),
        (19, UNAVAILABLE, UNAVAILABLE),
        // an empty list is one, and the most that one may hold is taken
        (21, "403 group_missing", "200"),
        (22, "403 group_missing", "200"),
    ] {
        let user = user(number);
        assert_eq!(setup.outcome("/admin", &user).await, admin, "{number}");
        assert_eq!(
            setup.outcome("/internal", &user).await,
            internal,
            "{number}"
        );
    }
    assert!(elsewhere.requests().is_empty());
    let asked = setup.asked();
    assert!(
        asked
            .iter()
            .all(|request| request.uri.path().starts_with("/v1.0/users/"))
    );
    let endless = asked.iter().filter(|request| object(request) == user(8));
    assert_eq!(endless.count(), 11);
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let setup = Setup::start(|request| match request.header("authorization") {
        "Bearer graph-token-2" => groups(&[ADMINS]),
        _other => status(StatusCode::UNAUTHORIZED),
    })
    .await;
    assert_eq!(setup.outcome("/admin", &user(1)).await, "200");
    let asked = setup.asked();
    let sent: Vec<&str> = asked
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    assert_eq!(sent, ["Bearer graph-token-1", "Bearer graph-token-2"]);
}

#[tokio::test]
async fn a_directory_that_hangs_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = format!("http://{}", listener.local_addr().unwrap());
    // it ends with the test
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let tokens = Upstream::answering(|_| {
        answer(&json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "t" }))
    })
    .await;
    let (entra, upstream) = (Entra::start().await, Upstream::start().await);
    let config = config(&entra, &upstream, &tokens.url(), &hanging);
    let gatepost = Gatepost::start(&config).await;
    gatepost.ready().await;
    let token = entra.v2(&overage(&user(1)));
    for path in ["/internal", "/admin"] {
        assert_eq!(
            outcome(&gatepost, path, &token).await,
            UNAVAILABLE,
            "{path}"
        );
    }
    assert_eq!(outcome(&gatepost, "/", &token).await, "200");
}
