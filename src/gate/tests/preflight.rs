//! Preflights: which route they are for, and that they are for nobody.

use super::*;
use crate::authz::route::Cors;

fn routes() -> Vec<Route> {
    let on = |name: &str, path: &str, methods: &[Method], shared: bool| Route {
        name: Arc::from(name),
        methods: methods.to_vec(),
        cors: shared.then_some(Cors::Pass),
        ..route(path, vec![0], &[], false)
    };
    vec![
        on("read", "/orders", &[Method::GET], true),
        on("write", "/orders", &[Method::PUT], false),
        on("get", "/own", &[Method::GET], true),
        on("options", "/own", &[Method::OPTIONS], false),
        on("all", "/all", &[], true),
        on("closed", "/closed", &[], false),
    ]
}

#[tokio::test]
async fn a_preflight_is_for_the_route_it_asks_about_and_for_nobody() {
    let keys = Arc::new(FixedKeys(vec![key_set(SECRET)]));
    let mut parts = parts(keys, vec![issuer("users", "app")]);
    parts.routes = RouteTable::new(routes()).unwrap();
    let gate = Gate::new(parts, None);
    let token = format!("Bearer {}", mint(SECRET, &json!({})));
    let judged = async |path: &str, list: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        let facts = RequestFacts {
            method: &Method::OPTIONS,
            host: Host::parse("app.test").unwrap(),
            path: Path::parse(path).unwrap(),
            headers: &headers,
            client: None,
            certificate: None,
        };
        let judged = gate.check(&facts, NOW, &mut ()).await;
        let route = judged.evidence.route.as_ref().map(|route| &*route.name);
        let who = match &judged.outcome {
            Ok(Decision::Allow(permit)) => {
                assert_eq!(permit.is_preflight(), permit.proven().is_none());
                permit.proven().map(|proven| &*proven.principal.user_id)
            }
            Ok(Decision::Deny(_)) | Err(_) => None,
        };
        format!(
            "{} {} {}",
            outcome(&judged),
            route.unwrap_or("-"),
            who.unwrap_or("-")
        )
    };
    let origin = ("origin", "https://app.example");
    for (path, asked, preflight, plain) in [
        ("/orders", "GET", "allow read -", "method_not_allowed - -"),
        ("/orders", "HEAD", "allow read -", "method_not_allowed - -"),
        (
            "/orders",
            "PUT",
            "method_not_allowed - -",
            "method_not_allowed - -",
        ),
        (
            "/orders",
            "get",
            "method_not_allowed - -",
            "method_not_allowed - -",
        ),
        (
            "/own",
            "GET",
            "credential_missing options -",
            "credential_missing options -",
        ),
        ("/all", "DELETE", "allow all -", "credential_missing all -"),
        (
            "/closed",
            "GET",
            "credential_missing closed -",
            "credential_missing closed -",
        ),
    ] {
        let method = ("access-control-request-method", asked);
        assert_eq!(
            judged(path, &[origin, method]).await,
            preflight,
            "{path} {asked}"
        );
        assert_eq!(judged(path, &[method]).await, plain, "{path} {asked}");
    }
    // a credential makes it nobody's still; without Origin it counts
    let method = ("access-control-request-method", "GET");
    let token = ("authorization", &*token);
    assert_eq!(
        judged("/all", &[origin, method, token]).await,
        "allow all -"
    );
    assert_eq!(judged("/all", &[method, token]).await, "allow all ada");
}
