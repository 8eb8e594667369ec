//! Every mistake is named at once, with line and fix.

use super::*;

#[test]
fn five_mistakes_are_five_errors_with_line_and_fix() {
    let text = "\
[ingress]
header_timeout = 10
[issuers.users]
kind = \"cognito\"
user_pool_id = \"us-east-1_ABC123DEF\"
client_id = [\"1example23456789\"]
[upstreams.app]
url = \"http://127.0.0.1:3000\"
[[routes]]
path = \"/**\"
upstream = \"ap\"
require = { groups = [] }
[[routes]]
  path = \"/a//b\"
  upstream = \"app\"
";
    let errors = bad(text, &[]);
    assert_eq!(
        shown(&errors),
        [
            "2 ingress.header_timeout: expected a string, found a number",
            "6 issuers.users.client_id: unknown key",
            "11 routes[0].upstream: there is no [upstreams.ap]",
            "12 routes[0].require.groups: an empty list asks or grants nothing",
            "14 routes[1].path: no request can match this: such a path is refused as ambiguous",
        ]
    );
    let fixes: Vec<&str> = errors.iter().map(|error| error.fix.as_str()).collect();
    assert_eq!(
        fixes,
        [
            "write it like \"30s\"",
            "did you mean `client_ids`?",
            "did you mean `app`?",
            "leave the key out, or name something",
            "write it like \"/orders/{id}/**\"",
        ]
    );
    assert_eq!(errors[4].column, Some(3));
    assert_eq!(
        errors[1].to_string(),
        "gatepost.toml:6:1: issuers.users.client_id: unknown key\n  fix: did you mean `client_ids`?"
    );
}

#[test]
fn what_the_schema_cannot_say_is_still_refused() {
    let errors = bad(
        &format!("{SMALLEST}[token_cache]\nmax_entries = 5000000000\n"),
        &[],
    );
    assert_eq!(errors.len(), 1);
    assert!(errors[0].key.starts_with("token_cache"), "{}", errors[0]);
    let errors = bad(&format!("{SMALLEST}[errors]\nrealm = 1979-05-27\n"), &[]);
    assert_eq!(
        shown(&errors),
        ["14 errors.realm: expected a string, found a date"]
    );
}

#[test]
fn broken_toml_is_one_error_with_its_place() {
    let errors = bad("[ingress\nlisten = 1\n", &[]);
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].line, errors[0].column), (Some(1), Some(9)));
}

/// Appends a snippet to the smallest file and expects exactly these errors.
#[track_caller]
fn expect(snippet: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let text = format!("{SMALLEST}{snippet}");
    let found = match load(&sources(&text, environment)) {
        Ok(_config) => Vec::new(),
        Err(errors) => errors
            .0
            .iter()
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect(),
    };
    assert_eq!(found, expected, "{snippet}");
}

#[test]
fn what_cannot_work_is_refused() {
    expect("", &[], &[]);
    // planes
    expect(
        "[forward_auth]\n",
        &[],
        &["forward_auth.trusted_proxies: missing"],
    );
    for everyone in ["0.0.0.0/0", "::/0"] {
        expect(
            &format!("[forward_auth]\ntrusted_proxies = [\"10.0.0.0/8\", \"{everyone}\"]\n"),
            &[],
            &["forward_auth.trusted_proxies[1]: `/0` would trust every peer"],
        );
        expect(
            &format!("[ingress]\ntrusted_proxies = [\"{everyone}\"]\n"),
            &[],
            &["ingress.trusted_proxies[0]: `/0` would trust every peer"],
        );
    }
    expect(
        "[forward_auth]\ntrusted_proxies = []\n",
        &[],
        &["forward_auth.trusted_proxies: an empty list asks or grants nothing"],
    );
    expect(
        "[egress]\nlisten = \"0.0.0.0:7402\"\n",
        &[],
        &[
            "egress.listen: egress stands on loopback only: whoever reaches it uses the app's credentials",
        ],
    );
    expect(
        "[egress]\nlisten = \"0.0.0.0:7402\"\nallow_non_loopback = true\n",
        &[],
        &[],
    );
    expect(
        "[admin]\nlisten = \"0.0.0.0:7403\"\n",
        &[],
        &["admin.listen: the admin listener stands on loopback only"],
    );
    expect(
        "[admin]\nlisten = \"127.0.0.1:7400\"\n",
        &[],
        &["admin.listen: 127.0.0.1:7400 is taken by [ingress] (0.0.0.0:7400)"],
    );
    expect(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[health]\nlisten = \"127.0.0.1:0\"\n",
        &[],
        &[],
    );
    expect(
        "[identity]\nuser_id = \"X-A\"\nuser_name = \"x_a\"\nissuer = \"Authorization\"\ntenant_id = \"X_Forwarded-Host\"\nstrip = [\"Host\"]\n[log]\nlevel = \"inof\"\n",
        &[],
        &[
            "identity.user_name: x_a is the header of user_id already",
            "identity.issuer: authorization carries the client's credentials",
            "identity.tenant_id: x_forwarded-host is written by Gatepost with something else",
            "identity.strip[0]: host is HTTP's own",
            "log.level: \"inof\" is neither a level (off, error, warn, info, debug, trace) nor module=level",
        ],
    );
    expect(
        "[jwks]\nmax_stale = \"1m\"\n",
        &[],
        &[
            "jwks.max_stale: shorter than refresh_interval: keys would be unusable between two fetches",
        ],
    );
    expect(
        "[ingress]\nmax_connections = 0\nmax_body_bytes = 10\n",
        &[],
        &[
            "ingress.max_connections: out of range",
            "ingress.max_body_bytes: expected a string, found a number",
        ],
    );
    expect(
        "[ingress]\nmax_headers = 20000\nmax_connections_per_peer = 0\nclient_address = \"x_real_ip\"\n[admin]\nproxy_protocol = true\n",
        &[],
        &[
            "ingress.max_headers: out of range",
            "ingress.max_connections_per_peer: out of range",
            "ingress.client_address: unknown value \"x_real_ip\"",
            "admin.proxy_protocol: unknown key",
        ],
    );
    expect(
        "[ingress]\nproxy_protocol = true\n[health]\nmax_uri_bytes = \"64KiB\"\n",
        &[],
        &[
            "ingress.proxy_protocol: nobody's PROXY header is believed: trusted_proxies is empty",
            "health.max_uri_bytes: longer targets than 65534 bytes are never read",
        ],
    );
    expect(
        "[egress]\n[[egress_targets]]\nname = \"A/b\"\nurl = \"http://other.example\"\ncredential = [\"x\"]\n",
        &[],
        &[
            "egress_targets[0].name: \"A/b\" cannot stand in a path and a host name",
            "egress_targets[0].url: plain http:// to another host carries keys or credentials in the clear",
            "egress_targets[0].credential[0]: there is no [credentials.x]",
        ],
    );
    expect(
        "[credentials.p]\nkind = \"pass_through\"\n[[egress_targets]]\nname = \"a\"\nurl = \"https://a.example\"\ncredential = \"p\"\n",
        &[],
        &["egress_targets: there are egress targets, but egress does not listen"],
    );
}

#[test]
fn routes_that_cannot_be_meant_are_refused() {
    let route = |keys: &str| format!("[[routes]]\npath = \"/x\"\nupstream = \"app\"\n{keys}\n");
    for (keys, expected) in [
        (
            "auth = \"none\"\nrequire = { groups = [\"a\"] }\n",
            "routes[1].require: a public route (auth = \"none\") looks at no credential",
        ),
        (
            "auth = \"none\"\nmode = \"shadow\"\n",
            "routes[1].mode: a public route (auth = \"none\") looks at no credential",
        ),
        (
            "optional = true\nrequire = { groups = [\"a\"] }\n",
            "routes[1].require: an optional route lets anonymous callers pass, whom no rule can judge",
        ),
        (
            "require = {}",
            "routes[1].require: an empty table asks nothing",
        ),
        (
            "require = { groups = {} }",
            "routes[1].require.groups: an empty table asks nothing",
        ),
        (
            "require = { roles = { any = [] } }",
            "routes[1].require.roles.any: an empty list asks or grants nothing",
        ),
        (
            "require = { claims = {} }",
            "routes[1].require.claims: an empty table asks nothing",
        ),
        (
            "methods = []",
            "routes[1].methods: an empty list asks or grants nothing",
        ),
        (
            "methods = [\"get\"]",
            "routes[1].methods[0]: methods are case-sensitive: write \"GET\"",
        ),
        (
            "hosts = [\"api.example.com:8080\"]",
            "routes[1].hosts[0]: \"api.example.com:8080\" is not a host, `*.` and a host, or `*` (without port)",
        ),
        (
            "auth = []",
            "routes[1].auth: an empty list asks or grants nothing",
        ),
        (
            "auth = \"nothing\"",
            "routes[1].auth: unknown value \"nothing\"",
        ),
        (
            "issuers = [\"user\"]",
            "routes[1].issuers[0]: there is no [issuers.user]",
        ),
        (
            "strip_prefix = \"/y\"",
            "routes[1].strip_prefix: no path of this route begins with /y",
        ),
        (
            "authorization = { replace = \"m2m\" }",
            "routes[1].authorization.replace: there is no [credentials.m2m]",
        ),
        (
            "on_behalf_of = { tenants = [\"t\"] }",
            "routes[1].on_behalf_of: every service could state any user",
        ),
        (
            "token_from = [\"query:token\"]",
            "routes[1].token_from[0]: a token stands in `header:NAME` or `cookie:NAME`",
        ),
        (
            "timeout = \"0s\"",
            "routes[1].timeout: must be longer than zero",
        ),
        (
            "upgrade_lifetime = \"0s\"",
            "routes[1].upgrade_lifetime: must be longer than zero",
        ),
    ] {
        expect(&route(keys), &[], &[expected]);
    }
    expect(
        "[[routes]]\npath = \"/x\"\nstrip_prefix = \"/x\"\n",
        &[],
        &["routes[1].strip_prefix: without an upstream this means nothing"],
    );
    expect(
        "[[routes]]\nname = \"b\"\npath = \"/**\"\nupstream = \"app\"\nmethods = [\"GET\"]\n",
        &[],
        &["routes[1]: routes \"/**\" and \"b\" both match GET */**"],
    );
    expect(
        "[[routes]]\nname = \"a\"\npath = \"/a\"\n[[routes]]\nname = \"a\"\npath = \"/b\"\n",
        &[],
        &["routes[2].name: another route is named \"a\" too"],
    );
}

#[test]
fn two_issuers_must_be_named_and_none_protects_nothing() {
    let second = "[issuers.staff]\nkind = \"entra\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\naudiences = [\"api\"]\n";
    expect(
        second,
        &[],
        &[
            "routes[0].issuers: missing: with two or more issuers each protected route names its own",
        ],
    );
    let errors = bad(
        "[upstreams.app]\nurl = \"http://127.0.0.1\"\n[[routes]]\npath = \"/**\"\nupstream = \"app\"\n",
        &[],
    );
    assert_eq!(
        shown(&errors),
        ["3 routes[0].issuers: a protected route needs an issuer, and none is configured"]
    );
}
