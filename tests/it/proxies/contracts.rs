//! What proxies that cannot run here send and make of the answer, as their sources say:
//! ingress-nginx (its template `nginx.tmpl`), Traefik 3 (`forward.go`, `forwarded_header.go`), APISIX
//! (`forward-auth.lua`), Skipper (`webhook.go`, `net/headers.go`). What we ship for two of them stands
//! in `deploy/`.

use http::HeaderName;
use regex_lite::Regex;
use toml_edit::DocumentMut;

use super::spoofed::{as_another, as_public};
use crate::forward_auth::{UNPROVABLE, ada, call, without_keys, world};
use crate::support::wire::{body, status, values};
use gatepost::request::headers::IdentityNames;

const INGRESS: &str = include_str!("../../../deploy/ingress-nginx/ingress.yaml");
const TRAEFIK: &str = include_str!("../../../deploy/traefik/dynamic.toml");
const TRAEFIK_STATIC: &str = include_str!("../../../deploy/traefik/traefik.toml");

/// A request as the client sent it.
struct Original<'r> {
    method: &'r str,
    uri: &'r str,
    /// Names and values.
    headers: Vec<(String, String)>,
}

/// How a proxy asks about a request.
struct Contract {
    name: &'static str,
    /// The head of its call, a line each.
    call: fn(&Original<'_>) -> Vec<String>,
    /// What it is told where only NGINX needs another status.
    method_not_allowed: u16,
    outage: u16,
}

const CONTRACTS: &[Contract] = &[
    Contract {
        name: "ingress-nginx",
        call: ingress_nginx,
        method_not_allowed: 403,
        outage: 500,
    },
    Contract {
        name: "Traefik",
        call: traefik,
        method_not_allowed: 405,
        outage: 503,
    },
    Contract {
        name: "APISIX",
        call: apisix,
        method_not_allowed: 405,
        outage: 503,
    },
    // it makes a 401 of all but 2xx and 403: docs/forward-auth.md
    Contract {
        name: "Skipper",
        call: skipper,
        method_not_allowed: 405,
        outage: 503,
    },
];

fn head(path: &str, stated: &[(&str, &str)], passed: &[&(String, String)]) -> Vec<String> {
    let stated = stated
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let passed = passed
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let line = format!("GET {path} HTTP/1.1");
    [line].into_iter().chain(stated).chain(passed).collect()
}

/// NGINX drops names with `_` and `.`, and passes what is not replaced.
fn ingress_nginx(original: &Original<'_>) -> Vec<String> {
    let url = format!("https://api.test{}", original.uri);
    let stated = [
        ("X-Request-ID", "7f0a93cd3b4a4f5dd2b2a4c8f27c9e4e"),
        ("Host", "gatepost.gatepost.svc.cluster.local"),
        ("X-Original-URL", &url),
        ("X-Original-Method", original.method),
        ("X-Sent-From", "nginx-ingress-controller"),
        ("X-Real-IP", "192.0.2.7"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Auth-Request-Redirect", original.uri),
    ];
    let passed: Vec<_> = original
        .headers
        .iter()
        .filter(|(name, _value)| {
            !name.contains(['_', '.'])
                && !name.eq_ignore_ascii_case("connection")
                && !name.eq_ignore_ascii_case("x-forwarded-proto")
                && !stated.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
        })
        .collect();
    head("/auth/nginx", &stated, &passed)
}

/// With `trustForwardHeader = false`: the `X-Forwarded-*` of clients are removed, `_` counting as `-`,
/// and what `Connection` names.
fn traefik(original: &Original<'_>) -> Vec<String> {
    let stated = [
        ("Host", "127.0.0.1:7401"),
        ("Accept-Encoding", "gzip"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Method", original.method),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Host", "api.test"),
        ("X-Forwarded-Uri", original.uri),
    ];
    let named: Vec<&str> = original
        .headers
        .iter()
        .filter(|(name, _value)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_name, value)| value.split(',').map(str::trim))
        .collect();
    let passed: Vec<_> = original
        .headers
        .iter()
        .filter(|(name, _value)| {
            let folded = name.to_ascii_lowercase().replace('_', "-");
            !folded.starts_with("x-forwarded-")
                && folded != "connection"
                && !named.iter().any(|other| other.eq_ignore_ascii_case(name))
        })
        .collect();
    head("/auth/traefik", &stated, &passed)
}

/// Only what `request_headers` lists is passed.
fn apisix(original: &Original<'_>) -> Vec<String> {
    let stated = [
        ("Host", "127.0.0.1:7401"),
        ("User-Agent", "lua-resty-http/0.17.2 (Lua) ngx_lua/10028"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Method", original.method),
        ("X-Forwarded-Host", "api.test"),
        ("X-Forwarded-Uri", original.uri),
        ("X-Forwarded-For", "192.0.2.7"),
    ];
    let passed: Vec<_> = original
        .headers
        .iter()
        .filter(|(name, _value)| name.eq_ignore_ascii_case("authorization"))
        .collect();
    head("/auth/traefik", &stated, &passed)
}

/// With `-forwarded-headers` naming these five, which replaces them; all else is passed.
fn skipper(original: &Original<'_>) -> Vec<String> {
    let stated = [
        ("Host", "127.0.0.1:7401"),
        ("Accept-Encoding", "gzip"),
        ("X-Forwarded-For", "192.0.2.1, 192.0.2.7"),
        ("X-Forwarded-Method", original.method),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "api.test"),
        ("X-Forwarded-Uri", original.uri),
    ];
    let passed: Vec<_> = original
        .headers
        .iter()
        .filter(|(name, _value)| {
            !name.eq_ignore_ascii_case("connection")
                && !stated.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
        })
        .collect();
    head("/auth/traefik", &stated, &passed)
}

/// `Name: value` lines as names and values.
fn headers(lines: &str) -> Vec<(String, String)> {
    lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn get<'r>(uri: &'r str, lines: &str) -> Original<'r> {
    Original {
        method: "GET",
        uri,
        headers: headers(lines),
    }
}

#[tokio::test]
async fn each_contract_is_answered_as_its_proxy_understands() {
    let world = world(|_config| {}).await;
    let expired = "Authorization: Bearer x.y.z";
    for contract in CONTRACTS {
        let name = contract.name;
        let ask =
            async |original: &Original<'_>| call(&world, &(contract.call)(original), &[]).await;
        let allowed = ask(&get(
            "/read/1?q=%2F",
            &format!("{}\nX-User-ID: root", ada()),
        ))
        .await;
        assert_eq!((status(&allowed), body(&allowed)), (200, ""), "{name}");
        for header in IdentityNames::default().iter() {
            let lines = allowed.lines().filter(|line| {
                let field = line.split(':').next().unwrap_or_default();
                field.eq_ignore_ascii_case(header.as_str())
            });
            assert_eq!(lines.count(), 1, "{name} {header} {allowed}");
        }
        assert_eq!(values(&allowed, "x-user-id"), ["ada"], "{name}");
        let open = ask(&get("/open", "X-User-ID: root")).await;
        assert_eq!(status(&open), 200, "{name}");
        assert!(open.contains("\r\nx-user-id: \r\n"), "{name} {open}");

        for lines in ["", expired] {
            let refused = ask(&get("/read/1", lines)).await;
            assert_eq!(status(&refused), 401, "{name}");
            assert_eq!(values(&refused, "www-authenticate").len(), 1, "{name}");
        }
        assert_eq!(status(&ask(&get("/nowhere", &ada())).await), 403, "{name}");
        let post = Original {
            method: "POST",
            uri: "/read/1",
            headers: headers(&ada()),
        };
        let refused = ask(&post).await;
        assert_eq!(status(&refused), contract.method_not_allowed, "{name}");
    }
}

#[tokio::test]
async fn an_outage_is_told_to_each_as_one() {
    let world = world(without_keys).await;
    for contract in CONTRACTS {
        let lines = (contract.call)(&get("/read/1", UNPROVABLE));
        let answer = call(&world, &lines, &[]).await;
        assert_eq!(status(&answer), contract.outage, "{}", contract.name);
    }
}

#[tokio::test]
async fn what_a_client_adds_opens_nothing() {
    let world = world(|_config| {}).await;
    for contract in CONTRACTS {
        for lines in as_public().iter().chain(&as_another()) {
            let lines = lines.replace("/public", "/open");
            let call_lines = (contract.call)(&get("/read/1", &lines));
            let code = status(&call(&world, &call_lines, &[]).await);
            assert!(
                matches!(code, 400 | 401 | 403),
                "{} {code} {lines}",
                contract.name
            );
        }
    }
}

/// Every text value of this annotation.
fn annotation(name: &str) -> Option<&'static str> {
    let key = format!("nginx.ingress.kubernetes.io/{name}:");
    let value = INGRESS
        .lines()
        .find_map(|line| line.trim().strip_prefix(&key))?;
    Some(value.trim().trim_matches('"'))
}

#[test]
fn the_ingress_manifest_copies_every_identity_header_and_asks_as_the_contract_says() {
    let listed: Vec<HeaderName> = annotation("auth-response-headers")
        .expect("the list")
        .split(',')
        .map(|name| name.parse().expect("a name"))
        .collect();
    for name in IdentityNames::default().iter() {
        assert!(listed.contains(name), "{name}");
    }
    // Gatepost never says these, so what the client said is removed
    for name in [
        "x-auth-handle",
        "x-amzn-oidc-data",
        "x-original-url",
        "x-original-uri",
        "x-original-method",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "forwarded",
        "http2-settings",
    ] {
        assert!(listed.contains(&HeaderName::from_static(name)), "{name}");
    }
    let url = annotation("auth-url").expect("the address");
    assert!(url.ends_with(":7401/auth/nginx"), "{url}");
    // with it X-Original-URI comes too, beside a Host that is Gatepost's
    assert_eq!(annotation("auth-method"), None);
    // 2xx would be kept for others
    assert_eq!(annotation("auth-cache-key"), None);
    // a 401 would become a redirect
    assert_eq!(annotation("auth-signin"), None);
    assert_eq!(annotation("auth-snippet"), None);
}

#[test]
fn traefik_removes_every_alias_and_copies_every_identity_header() {
    let config: DocumentMut = TRAEFIK.parse().expect("TOML");
    let forward = &config["http"]["middlewares"]["gatepost"]["forwardAuth"];
    assert_eq!(forward["trustForwardHeader"].as_bool(), Some(false));
    let address = forward["address"].as_str().expect("an address");
    assert!(
        address.ends_with("127.0.0.1:7401/auth/traefik"),
        "{address}"
    );
    let regex = forward["authResponseHeadersRegex"].as_str().expect("one");
    let regex = Regex::new(regex).expect("a regular expression");
    // it matches names as Go spells them
    for lines in as_another() {
        for (name, _value) in headers(&lines) {
            assert!(name == "Connection" || regex.is_match(&name), "{name}");
        }
    }
    for name in IdentityNames::default()
        .iter()
        .map(HeaderName::as_str)
        .chain(["X-Auth-Handle", "X-Amzn-Oidc-Data", "X_amzn_oidc_data"])
    {
        assert!(regex.is_match(name), "{name}");
    }
    for name in [
        "Forwarded",
        "X_Forwarded_For",
        "X.Forwarded.Host",
        "X-Forwarded_Proto",
        "X_Real_Ip",
        "X-Real.Ip",
        "Http2-Settings",
    ] {
        assert!(regex.is_match(name), "{name}");
    }
    for name in [
        "X-Real-Ip",
        "X-Forwarded-Port",
        "Authorization",
        "Cookie",
        "Host",
        "Content-Type",
        "Mlflow_tracking_token",
        "X-Amz-Security-Token",
        "X-Amzn-Trace-Id",
        "X-Api-Key",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Metrics-Key",
        "My-X-User-Id",
        "X-User-Idle",
    ] {
        assert!(!regex.is_match(name), "{name}");
    }
    let routers = config["http"]["routers"].as_table().expect("routers");
    for (name, router) in routers {
        let first = router["middlewares"][0].as_str();
        assert_eq!(first, Some("gatepost"), "{name} asks before all else");
    }
}

#[test]
fn traefik_trusts_no_clients_headers() {
    let config: DocumentMut = TRAEFIK_STATIC.parse().expect("TOML");
    for (name, entry) in config["entryPoints"].as_table().expect("entry points") {
        assert!(entry.get("forwardedHeaders").is_none(), "{name}");
    }
    assert!(config["providers"]["file"]["filename"].is_str());
}
