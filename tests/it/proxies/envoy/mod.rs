//! `deploy/envoy` in Envoy, over HTTP and over gRPC.

mod told;

use http::{Method, StatusCode};

use super::stated::ODD;
use super::{Kind, Places, Proxy, Sees, Stage, config, passed, shipped};
use crate::support::counterparts::{self, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection, raw};
use crate::support::upstream::{Upstream, status};

const HTTP: &str = include_str!("../../../../deploy/envoy/http.yaml");
const GRPC: &str = include_str!("../../../../deploy/envoy/grpc.yaml");

const SEES: Sees = Sees {
    outage: 503,
    gone: 503,
    method: 405,
};

/// `ext_authz` over HTTP.
struct Http;

impl Kind for Http {
    const SEES: Sees = SEES;

    async fn start(places: &Places) -> Option<Proxy> {
        start(places, HTTP).await
    }
}

/// `ext_authz` over gRPC.
struct Grpc;

impl Kind for Grpc {
    const SEES: Sees = SEES;

    async fn start(places: &Places) -> Option<Proxy> {
        start(places, GRPC).await
    }
}

mod over_http {
    crate::proxies::matrix::matrix!(super::Http);
}

mod over_grpc {
    crate::proxies::matrix::matrix!(super::Grpc);
}

async fn start(places: &Places, config: &str) -> Option<Proxy> {
    let envoy = counterparts::envoy()?;
    Proxy::run(&envoy, |directory, address| {
        let at = |host: &str, port: u16| format!("address: {host}, port_value: {port}");
        let here = |address: std::net::SocketAddr| at(&address.ip().to_string(), address.port());
        let config = shipped(
            config,
            &[
                (&at("127.0.0.1", 7401), &here(places.gatepost)),
                (&at("127.0.0.1", 3000), &here(places.app)),
                (&at("0.0.0.0", 8080), &here(address)),
            ],
        );
        let file = directory.join("envoy.yaml");
        std::fs::write(&file, config).expect("written");
        let arguments = [
            "--disable-hot-restart",
            "--concurrency",
            "2",
            "-l",
            "warning",
            "-c",
        ];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.push(file.display().to_string());
        arguments
    })
    .await
}

#[tokio::test]
async fn the_questions_of_many_requests_share_connections() {
    passed::shared::<Http>().await;
    passed::shared::<Grpc>().await;
}

/// Envoy over HTTP before a Gatepost that answers the status in the path.
async fn before_answers() -> Option<(Proxy, [Upstream; 2])> {
    let gatepost = Upstream::answering(|request| {
        let code = request.uri.path().trim_start_matches("/auth/envoy/");
        let code = code
            .parse()
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok());
        let mut answer = status(code.expect("a status"));
        for (name, value) in [
            ("retry-after", "17"),
            ("content-type", "text/x-reason"),
            ("www-authenticate", "Bearer"),
            ("www-authenticate", "ApiKey"),
        ] {
            let value = value.parse().expect("a value");
            answer.headers_mut().append(name, value);
        }
        *answer.body_mut() = "because".into();
        answer
    })
    .await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    Some((Http::start(&places).await?, [gatepost, app]))
}

#[tokio::test]
async fn a_4xx_over_http_passes_as_it_is_and_a_5xx_is_503() {
    let (proxy, [_gatepost, app]) = or_skip!(before_answers().await);
    for code in [400, 401, 403, 404, 405, 413, 429, 431, 500, 502, 503, 504] {
        let reply = Call::get(proxy.address, &format!("/{code}")).send().await;
        if code >= 500 {
            assert_eq!(reply.status, 503, "{code} {reply:?}");
            assert_eq!(reply.header("retry-after"), "1", "{code}");
            assert_eq!(reply.header("www-authenticate"), "", "{code}");
            continue;
        }
        assert_eq!(reply.status, code, "{reply:?}");
        assert_eq!(reply.text(), "because");
        assert_eq!(reply.header("retry-after"), "17", "{code}");
        assert_eq!(reply.header("content-type"), "text/x-reason");
        let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer", "ApiKey"], "{code}");
    }
    // no allow but 200
    for code in [201, 204, 302] {
        Call::get(proxy.address, &format!("/{code}")).send().await;
    }
    assert_eq!(app.requests().len(), 0, "{:?}", app.requests());
}

#[tokio::test]
async fn over_http_the_request_that_was_judged_is_carried_and_no_other() {
    let (gatepost, app) = (Upstream::start().await, Upstream::start().await);
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(Http::start(&places).await);
    let mut carried = 0;
    for request in ODD {
        let whole = format!("{request}Connection: close\r\n\r\n");
        let answer = raw(proxy.address, whole.as_bytes()).await;
        if app.requests().len() == carried {
            assert!(!answer.contains(" 200 OK\r\n"), "{request} {answer}");
            continue;
        }
        carried += 1;
        assert_eq!(app.requests().len(), carried, "{request}");
        let (judged, seen) = (gatepost.last(), app.last());
        assert_eq!(judged.method, seen.method, "{request}");
        assert_eq!(judged.uri.to_string(), format!("/auth/envoy{}", seen.uri));
        assert_eq!(judged.header("host"), seen.header("host"), "{request}");
        assert_eq!(seen.header("x-http-method-override"), "", "{request}");
    }
    assert!(carried > 10, "{carried}");
}

#[tokio::test]
async fn over_http_gatepost_is_told_credentials_and_nothing_that_the_client_says_of_itself() {
    let (gatepost, app) = (Upstream::start().await, Upstream::start().await);
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(Http::start(&places).await);
    let credentials = [
        ("authorization", "Bearer a.b.c"),
        ("cookie", "session=1"),
        ("x-api-key", "gp_key"),
        ("x-amzn-oidc-data", "d.e.f"),
        ("mlflow_tracking_token", "t"),
        ("accept", "application/json"),
    ];
    let call = Call::new(Method::PUT, proxy.address, "/a%20b?c=%2F")
        .header("host", "App.test:8443")
        .header("x-request-id", "mine")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-user-id", "root")
        .header("x-api-key", "gp_first")
        .header("expect", "100-continue")
        .body(vec![b'x'; 10_000]);
    let call = credentials
        .iter()
        .fold(call, |call, (name, value)| call.header(name, value));
    assert_eq!(call.send().await.status, 200);
    let asked = gatepost.last();
    assert_eq!(
        (asked.method.as_str(), &*asked.uri.to_string(), &*asked.body),
        ("PUT", "/auth/envoy/a%20b?c=%2F", &b""[..])
    );
    assert_eq!(asked.header("host").to_lowercase(), "app.test:8443");
    for (name, value) in credentials {
        let values: Vec<_> = asked.headers.get_all(name).iter().collect();
        match name {
            // two are told as two
            "x-api-key" => assert_eq!(values, ["gp_first", value]),
            _other => assert_eq!(values, [value], "{name}"),
        }
    }
    assert_eq!(asked.header("x-request-id").len(), 36, "{asked:?}");
    assert!(!asked.header("x-forwarded-for").contains("192.0.2.1"));
    for name in ["x-user-id", "expect", "transfer-encoding"] {
        assert_eq!(asked.header(name), "", "{name}");
    }
    // what an ALB says is proven to Gatepost, and to nobody behind it
    let seen = app.last();
    assert_eq!(seen.header("x-amzn-oidc-data"), "");
    assert_eq!(seen.header("mlflow_tracking_token"), "t");
    assert_eq!(seen.body.len(), 10_000);
}

#[tokio::test]
async fn an_envoy_that_is_no_trusted_proxy_gets_nothing_through() {
    let app = Upstream::start().await;
    let issuer = "[issuers.none]\nkind = \"jwt\"\nissuer = \"none\"\naudiences = [\"app\"]\n\
                  algorithms = [\"HS256\"]\n\
                  secret = { insecure_literal = \"a secret of at least thirty-two bytes\" }";
    let untrusting = config(issuer, 0).replace("127.0.0.1/32", "10.0.0.0/8");
    let gatepost = Gatepost::start(&untrusting).await;
    let places = Places {
        gatepost: gatepost.listener("forward_auth").await,
        app: app.address,
    };
    let over_http = or_skip!(Http::start(&places).await);
    let reply = Call::get(over_http.address, "/public/page").send().await;
    assert_eq!(reply.status, 403, "{reply:?}");
    let over_grpc = or_skip!(Grpc::start(&places).await);
    let reply = Call::get(over_grpc.address, "/public/page").send().await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(app.requests().len(), 0);
}

/// Bodies are buffered and sent to Gatepost, as much as there is room for.
const WITH_BODY: (&str, &str) = (
    "              failure_mode_allow: false\n",
    "              failure_mode_allow: false\n              \
     with_request_body: { max_request_bytes: 1000, allow_partial_message: true }\n",
);

/// `http.yaml` with bodies.
struct HttpWithBody;

impl Kind for HttpWithBody {
    const SEES: Sees = SEES;

    async fn start(places: &Places) -> Option<Proxy> {
        start(places, &shipped(HTTP, &[WITH_BODY])).await
    }
}

/// `grpc.yaml` with bodies.
struct GrpcWithBody;

impl Kind for GrpcWithBody {
    const SEES: Sees = SEES;

    async fn start(places: &Places) -> Option<Proxy> {
        start(places, &shipped(GRPC, &[WITH_BODY])).await
    }
}

async fn bodies<K: Kind>() {
    let stage = or_skip!(Stage::set::<K>().await);
    let mut client = Connection::open(stage.proxy.address).await;
    for size in [0, 10, 1000, 300_000] {
        let post = || Call::post(stage.proxy.address, "/upload").body(vec![b'x'; size]);
        let reply = client.send(post().bearer(&stage.bob.access)).await;
        assert_eq!(reply.status, 200, "{size} {reply:?}");
        let seen = stage.app.last();
        assert_eq!(seen.body.len(), size);
        assert_eq!(seen.header("x-user-id"), stage.bob.sub);
        assert_eq!(seen.header("x-envoy-auth-partial-body"), "");
        let refused = post().header("x-envoy-auth-partial-body", "false");
        assert_eq!(refused.send().await.status, 401, "{size}");
    }
    assert_eq!(stage.arrived(), 4);
}

#[tokio::test]
async fn bodies_that_envoy_sends_in_part_say_nothing() {
    bodies::<HttpWithBody>().await;
    bodies::<GrpcWithBody>().await;
}

/// `grpc.yaml` with its route's comment taken out, and this name.
async fn named(places: &Places, name: &str) -> Option<Proxy> {
    let config = shipped(
        GRPC,
        &[
            ("# typed_per_filter_config:", "typed_per_filter_config:"),
            (
                "#   envoy.filters.http.ext_authz:",
                "  envoy.filters.http.ext_authz:",
            ),
            ("#     \"@type\": ", "    \"@type\": "),
            ("#     check_settings: ", "    check_settings: "),
            ("route: NAME", &format!("route: {name:?}")),
        ],
    );
    start(places, &config).await
}

#[tokio::test]
async fn envoy_may_name_the_route() {
    let stage = or_skip!(Stage::set::<Grpc>().await);
    let places = Places {
        gatepost: stage.gatepost.listener("forward_auth").await,
        app: stage.app.address,
    };
    let (ada, bob) = (&stage.ada.access, &stage.bob.access);
    let admins = or_skip!(named(&places, "/admin/**").await);
    for (token, path, told) in [
        ("", "/public/page", 401),
        (bob, "/public/page", 403),
        (ada, "/public/page", 200),
        (ada, "/public/a%2Fb", 400),
        (bob, "/own", 403),
    ] {
        let mut call = Call::get(admins.address, path);
        if !token.is_empty() {
            call = call.bearer(token);
        }
        let reply = call.send().await;
        assert_eq!(reply.status, told, "{path} {reply:?}");
    }
    let reading = or_skip!(named(&places, "/read/**").await);
    let post = Call::post(reading.address, "/own").bearer(ada).send().await;
    assert_eq!(post.status, 405, "{post:?}");
    let nobody = or_skip!(named(&places, "no such route").await);
    let reply = Call::get(nobody.address, "/public/page").bearer(ada);
    assert_eq!(reply.send().await.status, 403);
    assert_eq!(stage.arrived(), 1, "{:?}", stage.app.requests());
}
