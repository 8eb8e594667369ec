//! Calls for a user: ingress gives the app a handle, the app passes it on, and the target is called
//! with that user's credential or not at all.

mod handed;
mod routes;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost::authn::credential::TokenSource;
use gatepost::authz::Route;
use gatepost::authz::route::{Access, Authorization, Forward, Mode, OnBehalfOf, Protected};
use gatepost::clock::{Clock, ManualClock, SystemClock, UnixTime};
use gatepost::config::{
    ACCESS_TOKEN_TYPE, ClientAuthentication, CredentialKind, Egress, EgressTarget, ExchangeProfile,
    Freshness, OAuthClient, Rfc8693, TokenEndpoint, TokenExchange,
};
use gatepost::secret::{Secret, SecretSource};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{fixed, listener, source, target};
use crate::support::http::{Call, Reply};
use crate::support::upstream::{self, Recorded, Upstream, status};
use crate::support::world::{World, forward, protected, route, token};

/// The app, its targets, and the token endpoint.
struct Place {
    world: World,
    app: Upstream,
    orders: Upstream,
    endpoint: Upstream,
    /// Where the file of egress's own token endpoint is.
    _folder: TempDir,
}

/// What that file says.
const SAID: &str = "s3cret-of-the-app-itself";

/// What the endpoint is sent.
fn form(request: &Recorded) -> Value {
    let pairs = url::form_urlencoded::parse(&request.body);
    let members = pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())));
    Value::Object(members.collect())
}

/// The subject of a token, unverified.
fn subject(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap_or_default())
        .unwrap_or_default();
    let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    claims["sub"].as_str().unwrap_or_default().to_owned()
}

/// A token endpoint that says `s3cret-ada-1` to the first token of ada; `eve` must sign in again, and
/// for `mallory` it is out of order.
async fn endpoint() -> Upstream {
    let count = AtomicU64::new(0);
    Upstream::answering(move |request| {
        let form = form(request);
        let user = subject(form["subject_token"].as_str().unwrap_or_default());
        match user.as_str() {
            "eve" => {
                let refusal = json!({"error": "interaction_required", "error_description": "x"});
                let mut answer = upstream::json(&refusal);
                *answer.status_mut() = StatusCode::BAD_REQUEST;
                answer
            }
            "mallory" => status(StatusCode::SERVICE_UNAVAILABLE),
            user => upstream::json(&json!({
                "access_token": format!("s3cret-{user}-{}", count.fetch_add(1, Ordering::SeqCst) + 1),
                "issued_token_type": ACCESS_TOKEN_TYPE,
                "token_type": "Bearer",
                "expires_in": 3600,
            })),
        }
    })
    .await
}

fn exchange(endpoint: &Upstream) -> CredentialKind {
    CredentialKind::TokenExchange(Box::new(TokenExchange {
        client: OAuthClient {
            token_url: format!("{}/token", endpoint.url()).parse().unwrap(),
            client_id: "gateway".to_owned(),
            authentication: ClientAuthentication::SecretPost(SecretSource::Literal(Secret::new(
                "s3cret-client".to_owned(),
            ))),
            insecure_http: false,
        },
        profile: ExchangeProfile::Rfc8693(Rfc8693 {
            subject_token_type: ACCESS_TOKEN_TYPE.to_owned(),
            requested_token_type: None,
            audiences: vec!["orders".to_owned()],
            resources: vec![],
            actor: Some("static".into()),
        }),
        scopes: vec!["read".to_owned()],
        freshness: Freshness::default(),
        max_subjects: 100,
    }))
}

impl Place {
    async fn start() -> Self {
        Self::by(Arc::new(SystemClock), vec![route("all", "/**")]).await
    }

    /// Targets: `exchanged`, `own` (passed through), `own-else-service`, `exchanged-else-service`,
    /// `service`, `told` (`forward_user`).
    async fn by(clock: Arc<dyn Clock>, routes: Vec<Route>) -> Self {
        let (app, orders) = (Upstream::start().await, Upstream::start().await);
        let endpoint = endpoint().await;
        let at = orders.url();
        let folder = tempfile::tempdir().unwrap();
        let authorization_file = folder.path().join("app-token");
        std::fs::write(&authorization_file, SAID).unwrap();
        let world = World::by_clock(clock, app.address, routes, |config| {
            config.egress = Some(Egress {
                listener: listener(),
                replay_body_bytes: 1000,
                token_endpoint: Some(TokenEndpoint {
                    authorization_file,
                    credentials: vec!["own".into(), "exchanged".into()],
                }),
            });
            config.credentials = vec![
                fixed(),
                source("own", CredentialKind::PassThrough),
                source("exchanged", exchange(&endpoint)),
            ];
            config.egress_targets = vec![
                target("exchanged", &at, &["exchanged"]),
                target("exchanged-else-service", &at, &["exchanged", "static"]),
                target("own", &at, &["own"]),
                target("own-else-service", &at, &["own", "static"]),
                target("service", &at, &["static"]),
                EgressTarget {
                    forward_user: true,
                    ..target("told", &at, &["static"])
                },
            ];
        })
        .await;
        Self {
            world,
            app,
            orders,
            endpoint,
            _folder: folder,
        }
    }

    fn ingress(&self) -> Call {
        Call::get(self.world.ingress(), "/")
    }

    /// The handle that the app is given for this request.
    async fn handle_of(&self, call: Call) -> String {
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("x-auth-handle"), "");
        self.app.last().header("x-auth-handle").to_owned()
    }

    async fn handle(&self, user: &str) -> String {
        let token = token(json!({ "sub": user }));
        self.handle_of(self.ingress().bearer(&token)).await
    }

    fn egress(&self, target: &str) -> Call {
        let egress = self.world.addresses().egress.unwrap();
        Call::get(egress, &format!("/{target}/x"))
    }

    /// Calls this target with a handle: the answer, and what `Authorization` the target was sent.
    async fn call(&self, target: &str, handle: &str) -> (Reply, Option<String>) {
        self.sent(self.egress(target).header("x-auth-handle", handle))
            .await
    }

    async fn sent(&self, call: Call) -> (Reply, Option<String>) {
        let before = self.orders.requests().len();
        let reply = call.send().await;
        let requests = self.orders.requests();
        let sent = requests.get(before).map(|request| {
            assert_eq!(request.header("x-auth-handle"), "");
            request.header("authorization").to_owned()
        });
        (reply, sent)
    }
}

#[tokio::test]
async fn each_user_is_exchanged_once_and_only_for_their_own_calls() {
    let place = Place::start().await;
    let (ada, bob) = (place.handle("ada").await, place.handle("bob").await);
    let calls = (0..200).map(|_each| place.egress("exchanged").header("x-auth-handle", &ada));
    let replies = futures_util::future::join_all(calls.map(Call::send)).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let seen = place.orders.requests();
    assert_eq!(seen.len(), 200);
    assert!(
        seen.iter()
            .all(|request| request.header("authorization") == "Bearer s3cret-ada-1")
    );
    let (_, sent) = place.call("exchanged", &bob).await;
    assert_eq!(sent.as_deref(), Some("Bearer s3cret-bob-2"));
    // the next request of the same user, with the same token
    let again = place.handle("ada").await;
    assert_ne!(ada, again);
    let (_, sent) = place.call("exchanged", &again).await;
    assert_eq!(sent.as_deref(), Some("Bearer s3cret-ada-1"));
    assert_eq!(place.endpoint.requests().len(), 2);
    let asked = form(&place.endpoint.requests()[0]);
    assert_eq!(
        asked,
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": token(json!({"sub": "ada"})),
            "subject_token_type": ACCESS_TOKEN_TYPE,
            "audience": "orders",
            "actor_token": "s3cret-static",
            "actor_token_type": ACCESS_TOKEN_TYPE,
            "scope": "read",
            "client_id": "gateway",
            "client_secret": "s3cret-client",
        })
    );
    let report = place.world.app.world().credentials.report();
    assert_eq!(report[2]["subjects"], 2, "{report}");
    let shown = format!("{:?}{report}", place.world.app.world());
    assert!(
        !shown.contains("s3cret") && !shown.contains(&ada),
        "{shown}"
    );
}

#[tokio::test]
async fn who_is_named_by_no_live_handle_gets_nothing() {
    let place = Place::start().await;
    let live = place.handle("ada").await;
    let elsewhere = Place::start().await.handle("ada").await;
    let dead = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let service = Some("Bearer s3cret-static");
    let ada = Some("Bearer s3cret-ada-1");
    let handle = |value: &str| vec![("x-auth-handle", value.to_owned())];
    let both = [handle(&live), handle(&dead)].concat();
    let twice = [handle(&live), handle(&live)].concat();
    let folded = vec![("x_auth_handle", live.clone())];
    let request_id = place.app.last().header("x-request-id").to_owned();
    let by_id = vec![("x-request-id", request_id)];
    for (headers, target, expected, sent) in [
        (handle(&live), "exchanged", 200, ada),
        (handle(&live), "exchanged-else-service", 200, ada),
        // nobody: only a list that names the service goes on to it
        (vec![], "exchanged", 403, None),
        (vec![], "own", 403, None),
        (vec![], "exchanged-else-service", 200, service),
        (vec![], "own-else-service", 200, service),
        (vec![], "service", 200, service),
        (vec![], "told", 200, service),
        (by_id.clone(), "exchanged", 403, None),
        (by_id, "own-else-service", 200, service),
        // a handle that names nobody is not a call of the app itself
        (handle(&dead), "exchanged", 403, None),
        (handle(&dead), "exchanged-else-service", 403, None),
        (handle(&dead), "own-else-service", 403, None),
        (handle(&dead), "told", 403, None),
        (handle(&dead), "service", 200, service),
        (handle(&elsewhere), "exchanged-else-service", 403, None),
        (handle(""), "own-else-service", 403, None),
        (handle("-"), "own-else-service", 403, None),
        (folded.clone(), "own-else-service", 403, None),
        (folded, "exchanged", 403, None),
        (both, "exchanged-else-service", 400, None),
        (twice, "exchanged-else-service", 400, None),
    ] {
        let mut call = place.egress(target);
        for (name, value) in &headers {
            call = call.header(name, value);
        }
        let (reply, found) = place.sent(call).await;
        let case = format!("{target} {headers:?}");
        assert_eq!(reply.status, expected, "{case}");
        assert_eq!(found.as_deref(), sent, "{case}");
        if expected == 403 {
            assert_eq!(
                reply.header("x-auth-reason"),
                "egress_token_unavailable",
                "{case}"
            );
            let why = if headers.is_empty() {
                "for a user"
            } else {
                "names nobody"
            };
            assert!(
                headers.iter().any(|(name, _)| *name == "x-request-id")
                    || reply.text().contains(why),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn the_users_own_token_is_passed_on_wherever_it_stood_and_never_after_its_end() {
    let clock = Arc::new(ManualClock::new(UnixTime(1_700_000_000)));
    let from = Route {
        access: Access::Protected(Box::new(Protected {
            token_from: vec![
                TokenSource::Authorization,
                TokenSource::Header(header::HeaderName::from_static("x-token")),
                TokenSource::Cookie("session".to_owned()),
            ],
            ..protected()
        })),
        ..route("all", "/**")
    };
    let place = Place::by(Arc::<ManualClock>::clone(&clock), vec![from]).await;
    let ada = token(json!({"sub": "ada", "exp": 1_700_000_100_u64}));
    let presented = [
        place
            .ingress()
            .header("authorization", &format!("bEARER   {ada}")),
        place.ingress().header("x-token", &ada),
        place
            .ingress()
            .header("cookie", &format!("a=b; session={ada}; c=d")),
    ];
    let expected = format!("Bearer {ada}");
    let mut handle = String::new();
    for call in presented {
        handle = place.handle_of(call).await;
        // whatever the app itself writes
        let call = place
            .egress("own-else-service")
            .header("x-auth-handle", &handle)
            .header("authorization", "Bearer of-the-app");
        let (reply, sent) = place.sent(call).await;
        assert_eq!(reply.status, 200);
        assert_eq!(sent.as_deref(), Some(expected.as_str()));
    }
    // within the leeway the token is still good for us, but it is not sent
    clock.advance(Duration::from_secs(100));
    assert_eq!(place.ingress().bearer(&ada).send().await.status, 200);
    for target in [
        "own",
        "own-else-service",
        "exchanged",
        "exchanged-else-service",
    ] {
        let (reply, sent) = place.call(target, &handle).await;
        assert_eq!((reply.status.as_u16(), sent), (403, None), "{target}");
        assert!(reply.text().contains("expired"), "{}", reply.text());
    }
    assert_eq!(place.endpoint.requests().len(), 0);
}

#[tokio::test]
async fn a_refused_user_is_told_so_and_an_outage_is_one_and_neither_becomes_the_service() {
    let place = Place::start().await;
    let (eve, mallory) = (place.handle("eve").await, place.handle("mallory").await);
    let ada = place.handle("ada").await;
    let (reply, _) = place.call("exchanged-else-service", &ada).await;
    assert_eq!(reply.status, 200);
    for _try in 0..3 {
        let (reply, sent) = place.call("exchanged-else-service", &eve).await;
        assert_eq!((reply.status.as_u16(), sent), (403, None));
        assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
        assert!(reply.text().contains("sign in again"), "{}", reply.text());
        assert_eq!(reply.header("retry-after"), "");
    }
    for _try in 0..3 {
        let (reply, sent) = place.call("exchanged-else-service", &mallory).await;
        assert_eq!((reply.status.as_u16(), sent), (503, None));
        assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
        assert_ne!(reply.header("retry-after"), "");
        let (reply, _) = place.call("exchanged-else-service", &ada).await;
        assert_eq!(reply.status, 200, "who has a token is not held up");
    }
}
