//! `/status`: the state of this process in one JSON object.

use serde_json::{Map, Value, json};

use crate::authn::credential::TokenSource;
use crate::authz::route::{Access, Cors, Mode, Origins, Protected, Route};
use crate::authz::rule::{Rule, SetRule};
use crate::config::IssuerConfig;
use crate::server::World;

pub(super) fn report(world: &World) -> Value {
    let telemetry = &world.telemetry;
    let issuers = &world.config.issuers;
    let routes: Vec<Value> = world
        .gate
        .routes()
        .routes()
        .iter()
        .map(|route| describe_route(route, issuers))
        .collect();
    let warnings: Vec<Value> = world
        .config
        .warnings
        .iter()
        .map(|warning| json!({ "key": warning.key, "message": warning.message }))
        .collect();
    let connections: Map<String, Value> = telemetry
        .metrics
        .open_connections()
        .into_iter()
        .map(|(listener, open)| (listener, Value::from(open)))
        .collect();
    let refusals = counts(telemetry.recent_refusals());
    let shadowed = counts(telemetry.recent_shadowed());
    let all = world.gate.routes().routes().iter();
    let shadow: Vec<&str> = all
        .filter(|route| route.mode() == Mode::Shadow)
        .map(|route| &*route.name)
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": telemetry.uptime().as_secs(),
        "generation": world.generation,
        "config_file": world.config.file.as_ref().map(|file| file.display().to_string()),
        "warnings": warnings,
        "ready": world.keys.is_ready(),
        "issuers": world.keys.report(),
        "credentials": world.credentials.report(),
        "redis": world.fleet.store().map(|store| store.report()),
        "routes": routes,
        "upstreams": world.upstreams.report(),
        "egress_targets": world.targets.report(),
        "connections": connections,
        "cached_tokens": world.gate.cached_tokens(),
        "refusals_last_15_minutes": refusals,
        "shadow_routes": shadow,
        "shadowed_last_15_minutes": shadowed,
    })
}

fn counts(by_reason: Vec<(&'static str, u64)>) -> Vec<Value> {
    by_reason
        .into_iter()
        .map(|(reason, count)| json!({ "reason": reason, "count": count }))
        .collect()
}

fn describe_route(route: &Route, issuers: &[IssuerConfig]) -> Value {
    let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
    let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    json!({
        "name": &*route.name,
        "hosts": hosts,
        "path": route.pattern.text,
        "methods": methods,
        "access": describe_access(&route.access, issuers),
        "cors": route.cors.as_ref().map(describe_cors),
        "upstream": route.forward.as_ref().map(|forward| &*forward.upstream),
    })
}

/// `"pass"`, or the origins whose pages may use the route.
fn describe_cors(cors: &Cors) -> Value {
    match cors {
        Cors::Pass => Value::from("pass"),
        Cors::Answer(sharing) => match &sharing.origins {
            Origins::Any => json!(["*"]),
            Origins::These(origins) => origins
                .iter()
                .map(|origin| String::from_utf8_lossy(origin.as_bytes()))
                .collect(),
        },
    }
}

/// `"none"` for a public route, else what it asks.
fn describe_access(access: &Access, issuers: &[IssuerConfig]) -> Value {
    let Protected {
        accepts,
        issuers: accepted,
        token_from,
        optional,
        memberships,
        overage,
        require,
        mode,
        on_behalf_of,
    } = match access {
        Access::Public => return Value::from("none"),
        Access::Protected(protected) => &**protected,
    };
    let names: Vec<&str> = accepted
        .iter()
        .filter_map(|number| issuers.get(*number))
        .map(|issuer| &*issuer.issuer.name)
        .collect();
    let sources: Vec<String> = token_from
        .iter()
        .map(|source| match source {
            TokenSource::Authorization => "header:authorization".to_owned(),
            TokenSource::Header(name) => format!("header:{name}"),
            TokenSource::Cookie(name) => format!("cookie:{name}"),
        })
        .collect();
    let accepts: Vec<&str> = accepts.iter().map(|kind| kind.as_str()).collect();
    json!({
        "auth": accepts,
        "issuers": names,
        "token_from": sources,
        "optional": optional,
        "memberships": memberships.as_ref().map(|memberships| &*memberships.name),
        "groups_overage": overage.iter().map(|known| &*known.name).collect::<Vec<_>>(),
        "require": describe_rule(require),
        "mode": mode.as_str(),
        "on_behalf_of": on_behalf_of.is_some(),
    })
}

/// The parts of a rule that ask something.
fn describe_rule(rule: &Rule) -> Value {
    let Rule {
        principal,
        clients,
        groups,
        roles,
        permissions,
        scopes,
        claims,
    } = rule;
    let mut parts = Map::new();
    if let Some(kind) = principal {
        parts.insert("principal".to_owned(), Value::from(kind.as_str()));
    }
    if let Some(clients) = clients {
        parts.insert("clients".to_owned(), json!(clients));
    }
    for (name, set) in [
        ("groups", groups),
        ("roles", roles),
        ("permissions", permissions),
        ("scopes", scopes),
    ] {
        if let Some(SetRule { any, all, none }) = set {
            let asked = [("any", any), ("all", all), ("none", none)]
                .into_iter()
                .filter(|(_, names)| !names.is_empty())
                .map(|(part, names)| (part.to_owned(), json!(names)))
                .collect();
            parts.insert(name.to_owned(), Value::Object(asked));
        }
    }
    for (path, values) in claims {
        parts.insert(format!("claims.{path}"), json!(values));
    }
    Value::Object(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::claims::ClaimPath;
    use crate::authn::credential::Kind;
    use crate::authn::principal::PrincipalKind;

    #[test]
    fn a_rule_shows_the_parts_that_ask_something() {
        assert_eq!(describe_rule(&Rule::default()), json!({}));
        let rule = Rule {
            principal: Some(PrincipalKind::Service),
            clients: Some(vec!["batch".to_owned()]),
            groups: Some(SetRule {
                any: vec!["admin".to_owned(), "ops".to_owned()],
                ..SetRule::default()
            }),
            scopes: Some(SetRule {
                all: vec!["orders/write".to_owned()],
                none: vec!["trial".to_owned()],
                ..SetRule::default()
            }),
            claims: vec![(ClaimPath::name("custom:plan"), vec!["gold".to_owned()])],
            ..Rule::default()
        };
        assert_eq!(
            describe_rule(&rule),
            json!({
                "principal": "service",
                "clients": ["batch"],
                "groups": { "any": ["admin", "ops"] },
                "scopes": { "all": ["orders/write"], "none": ["trial"] },
                "claims.custom:plan": ["gold"],
            })
        );
    }

    #[test]
    fn a_public_route_is_told_from_a_protected_one() {
        assert_eq!(describe_access(&Access::Public, &[]), json!("none"));
        let protected = Protected {
            accepts: vec![Kind::Bearer, Kind::Mtls],
            issuers: vec![0],
            token_from: vec![
                TokenSource::Authorization,
                TokenSource::Cookie("session".to_owned()),
            ],
            optional: true,
            memberships: None,
            overage: vec![],
            require: Rule::default(),
            mode: Mode::Shadow,
            on_behalf_of: None,
        };
        assert_eq!(
            describe_access(&Access::Protected(Box::new(protected)), &[]),
            json!({
                "auth": ["bearer", "mtls"],
                "issuers": [],
                "token_from": ["header:authorization", "cookie:session"],
                "optional": true,
                "memberships": null,
                "groups_overage": [],
                "require": {},
                "mode": "shadow",
                "on_behalf_of": false,
            })
        );
    }
}
