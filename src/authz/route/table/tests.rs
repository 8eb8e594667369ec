use http::HeaderMap;

use super::*;
use crate::authz::route::{Access, PathPattern};
use crate::request::Host;

fn route(name: &str, hosts: &[&str], pattern: &str, methods: &[Method]) -> Route {
    Route {
        name: Arc::from(name),
        hosts: hosts
            .iter()
            .map(|host| HostPattern::parse(host).unwrap())
            .collect(),
        pattern: PathPattern::parse(pattern).unwrap(),
        methods: methods.to_vec(),
        access: Access::Public,
        allow_encoded_slashes: name == "objects",
        pass_overrides: false,
        cors: None,
        forward: None,
    }
}

fn find(table: &RouteTable, method: &Method, host: &str, path: &str) -> Result<String, Denial> {
    let headers = HeaderMap::new();
    let facts = RequestFacts {
        method,
        host: Host::parse(host)?,
        path: Path::parse(path)?,
        headers: &headers,
        client: None,
        certificate: None,
    };
    table.find(&facts).map(|route| route.name.to_string())
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let table = RouteTable::new(vec![
        route("all", &["*"], "/**", &[]),
        route("one", &["*"], "/orders/*", &[]),
        route("parameter", &["*"], "/orders/{id}", &[]),
        route("literal", &["*"], "/orders/new", &[]),
        route("rest", &["*"], "/orders/{id}/**", &[Method::GET]),
        route("admin", &["*"], "/admin/**", &[]),
        route("objects", &["*"], "/objects/**", &[]),
        route("sub", &["*.example.com"], "/**", &[]),
        route("api", &["api.example.com"], "/only", &[]),
    ])
    .unwrap();
    let get = |host: &str, path: &str| find(&table, &Method::GET, host, path);
    for (host, path, name) in [
        ("x", "/", "all"),
        ("x", "/orders", "all"),
        ("x", "/orders/new", "literal"),
        ("x", "/orders/new/", "literal"),
        ("x", "/orders/7", "parameter"),
        ("x", "/orders/7/items/1", "rest"),
        ("x", "/orders/new/items", "rest"),
        ("x", "/admin", "admin"),
        ("x", "/%61dmin/x", "admin"),
        ("x", "/administrator", "all"),
        ("x", "/objects/a%2Fb", "objects"),
        ("api.example.com", "/only", "api"),
        ("API.example.com:443", "/other", "sub"),
        ("a.b.example.com", "/orders/7", "sub"),
        ("example.com", "/orders/7", "parameter"),
        ("notexample.com", "/", "all"),
    ] {
        assert_eq!(get(host, path).as_deref(), Ok(name), "{host}{path}");
    }
    assert_eq!(get("x", "/orders/a%2Fb"), Err(Denial::PathAmbiguous));
}

#[test]
fn the_winning_pattern_decides_the_method() {
    let table = RouteTable::new(vec![
        route("wide", &["*"], "/**", &[]),
        route("read", &["*"], "/orders/{id}", &[Method::GET]),
        route("write", &["*"], "/orders/{id}", &[Method::PUT]),
    ])
    .unwrap();
    let at = |method: &Method| find(&table, method, "x", "/orders/7");
    assert_eq!(at(&Method::GET).as_deref(), Ok("read"));
    assert_eq!(at(&Method::HEAD).as_deref(), Ok("read"));
    assert_eq!(at(&Method::PUT).as_deref(), Ok("write"));
    assert_eq!(
        at(&Method::DELETE),
        Err(Denial::MethodNotAllowed(vec![
            Method::GET,
            Method::HEAD,
            Method::PUT
        ]))
    );
    for method in [Method::TRACE, Method::CONNECT] {
        assert_eq!(
            find(&table, &method, "x", "/"),
            Err(Denial::MethodNotAllowed(vec![]))
        );
    }
    // methods are case-sensitive (RFC 9110 9.1)
    let lower = Method::from_bytes(b"get").unwrap();
    assert!(matches!(at(&lower), Err(Denial::MethodNotAllowed(_))));
}

#[test]
fn a_named_route_need_not_match_by_path_but_keeps_its_methods() {
    let table = RouteTable::new(vec![
        route("read", &["api.test"], "/orders", &[Method::GET]),
        route("objects", &["*"], "/objects/**", &[]),
    ])
    .unwrap();
    let named = |name: &str, method: &str, path: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let facts = RequestFacts {
            method: &method,
            host: Host::parse("elsewhere.test").unwrap(),
            path: Path::parse(path).unwrap(),
            headers: &HeaderMap::new(),
            client: None,
            certificate: None,
        };
        table
            .find_named(name, &facts)
            .map(|route| route.name.to_string())
    };
    assert_eq!(named("read", "GET", "/any").as_deref(), Ok("read"));
    assert_eq!(named("read", "HEAD", "/any").as_deref(), Ok("read"));
    assert_eq!(
        named("read", "POST", "/any"),
        Err(Denial::MethodNotAllowed(vec![Method::GET, Method::HEAD]))
    );
    assert_eq!(named("read", "GET", "/a%2Fb"), Err(Denial::PathAmbiguous));
    assert_eq!(named("objects", "PUT", "/a%2Fb").as_deref(), Ok("objects"));
    assert_eq!(named("nobody", "GET", "/any"), Err(Denial::NoRoute));
    for method in ["TRACE", "CONNECT", "get"] {
        let refused = named("objects", method, "/any");
        assert_eq!(refused, Err(Denial::MethodNotAllowed(vec![])), "{method}");
    }
}

#[test]
fn nothing_matches_nothing() {
    let table = RouteTable::new(vec![route("a", &["a.test"], "/a", &[])]).unwrap();
    assert_eq!(
        find(&table, &Method::GET, "b.test", "/a"),
        Err(Denial::NoRoute)
    );
    assert_eq!(
        find(&table, &Method::GET, "a.test", "/A"),
        Err(Denial::NoRoute)
    );
    assert_eq!(
        find(&table, &Method::GET, "a.test", "/a%2Fb"),
        Err(Denial::PathAmbiguous)
    );
}

#[test]
fn routes_that_could_tie_are_refused() {
    let conflicts = RouteTable::new(vec![
        route("a", &["*"], "/x/{id}", &[Method::GET]),
        route("b", &["*"], "/x/{name}/", &[Method::HEAD]),
        route("c", &["*"], "/x/{id}", &[Method::POST]),
    ])
    .unwrap_err();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(
        conflicts[0].to_string(),
        r#"routes "a" and "b" both match HEAD */x/{name}/"#
    );
}
