//! `cors` of a route.

use super::*;
use crate::authz::route::Cors;

#[test]
fn without_lists_those_of_the_route_are_taken() {
    for (keys, methods, headers) in [
        (
            "",
            "GET, HEAD, POST, PUT, PATCH, DELETE",
            "authorization, content-type",
        ),
        (
            "methods = [\"GET\", \"PUT\"]\ntoken_from = [\"header:x-token\", \"cookie:session\"]\n",
            "GET, PUT",
            "x-token, content-type",
        ),
        (
            "auth = \"none\"\nmethods = [\"GET\"]\n",
            "GET",
            "content-type",
        ),
    ] {
        let cors = "cors = { origins = [\"https://a.example\"] }";
        let config = good(&format!("{SMALLEST}{keys}{cors}\n"), &[]);
        let Some(Cors::Answer(sharing)) = &config.routes.routes()[0].cors else {
            panic!("{keys}");
        };
        assert_eq!(sharing.methods, methods, "{keys}");
        assert_eq!(sharing.headers, headers, "{keys}");
        assert_eq!(sharing.max_age, "600");
        assert!(sharing.expose.is_none() && !sharing.credentials);
    }
    let all = "cors = { origins = [\"*\"], methods = [\"HEAD\"], headers = [\"X-A\"], expose = [\"X-B\"], max_age = \"0s\" }";
    let config = good(&format!("{SMALLEST}methods = [\"GET\"]\n{all}\n"), &[]);
    let Some(Cors::Answer(sharing)) = &config.routes.routes()[0].cors else {
        panic!("a table");
    };
    let shown = [&sharing.methods, &sharing.headers, &sharing.max_age];
    assert_eq!(shown, ["HEAD", "x-a", "0"]);
    assert_eq!(sharing.expose.as_ref().unwrap(), "x-b");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (keys, expected) in [
        ("cors = \"yes\"", "routes[0].cors: unknown value \"yes\""),
        ("cors = {}", "routes[0].cors.origins: missing"),
        (
            "cors = { origins = [] }",
            "routes[0].cors.origins: an empty list asks or grants nothing",
        ),
        (
            "cors = { origins = [\"https://a.example/\"] }",
            "routes[0].cors.origins[0]: browsers compare byte for byte: write \"https://a.example\"",
        ),
        (
            "cors = { origins = [\"*\", \"https://a.example\"] }",
            "routes[0].cors.origins: `*` makes the others meaningless",
        ),
        (
            "cors = { origins = [\"*\"], credentials = true }",
            "routes[0].cors.credentials: with every origin, any site could act with its visitors' cookies",
        ),
        (
            "cors = { origins = [\"*\"], headers = [\"*\"] }",
            "routes[0].cors.headers[0]: `*` is not understood by every browser, and never means Authorization",
        ),
        (
            "methods = [\"GET\"]\ncors = { origins = [\"*\"], methods = [\"HEAD\", \"PUT\"] }",
            "routes[0].cors.methods[1]: the route does not serve PUT",
        ),
        (
            "cors = \"pass\"\npass_overrides = true",
            "routes[0].cors: with pass_overrides a preflight could name any other path of the app",
        ),
        (
            "cors = { origins = [\"*\"] }\npass_overrides = true",
            "routes[0].cors: with pass_overrides a preflight could name any other path of the app",
        ),
    ] {
        let text = format!("{SMALLEST}{keys}\n");
        let found: Vec<String> = bad(&text, &[])
            .iter()
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect();
        assert_eq!(found, [expected], "{text}");
    }
    let asked = "[[routes]]\npath = \"/x\"\ncors = { origins = [\"*\"] }\n";
    let proxies = "[forward_auth]\ntrusted_proxies = [\"10.0.0.0/8\"]\n";
    assert_eq!(
        shown(&bad(&format!("{SMALLEST}{asked}{proxies}"), &[])),
        ["15 routes[1].cors: forward auth answers a proxy and no browser"]
    );
}

#[test]
fn a_page_may_send_the_proof_where_an_issuer_takes_it() {
    let client_ids = "client_ids = [\"1example23456789\"]";
    for (dpop, headers) in [
        ("refused", "authorization, content-type"),
        ("accepted", "authorization, dpop, content-type"),
    ] {
        let takes = format!("{client_ids}\ndpop = \"{dpop}\"");
        let text = SMALLEST.replace(client_ids, &takes);
        let config = good(&format!("{text}cors = {{ origins = [\"*\"] }}\n"), &[]);
        let route = &config.routes.routes()[0];
        let Some(Cors::Answer(sharing)) = &route.cors else {
            panic!("{:?}", route.cors);
        };
        assert_eq!(sharing.headers, headers);
    }
}
