//! What is legal and deserves a second look, seen across routes.

use std::sync::Arc;

use super::error::KeyPath;
use super::resolve::Planes;
use super::settings::Warning;
use super::{AwsSource, CredentialKind, CredentialSource, EgressTarget};
use crate::authn::mapping::is_wildcard;
use crate::authz::Route;
use crate::authz::route::{Access, Mode, Segment, common_method};

/// Warnings about the routes together; `keys` are theirs in the file.
pub(super) fn routes(
    routes: &[Route],
    keys: &[KeyPath],
    planes: Option<&Planes>,
    warnings: &mut Vec<Warning>,
) {
    let mut warn = |key: &KeyPath, message: String| {
        let warning = Warning {
            key: key.to_string(),
            message,
        };
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    };
    let answers = planes.is_some_and(|planes| planes.forward_auth.is_some());
    for (route, key) in routes.iter().zip(keys) {
        let name = &route.name;
        if route.forward.is_none() && !answers {
            let why = "it has no upstream, and there is no [forward_auth]";
            warn(key, format!("route {name} answers nobody: {why}"));
        }
        if let Some(first) = routes.iter().find(|first| hides(first, route)) {
            let why = format!("route {} is more specific and matches", first.name);
            let message = format!("route {name} is unreachable: {why} every path of it");
            warn(key, message);
        }
        if route.mode() == Mode::Shadow {
            let why = "who would be refused is let through and noted";
            let message = format!("route {name} is in shadow mode and protects nothing: {why}");
            warn(&key.key("mode"), message);
        }
        for permission in wildcards(route) {
            let message = format!(
                "a rule names permissions exactly: {permission:?} is a wildcard only where somebody holds it"
            );
            warn(&key.key("require").key("permissions"), message);
        }
        for (open, key) in routes.iter().zip(keys) {
            if !is_weaker(&open.access, &route.access)
                || common_method(&open.methods, &route.methods).is_none()
            {
                continue;
            }
            let open_name = &open.name;
            if is_public(open) && shadows(open, route) {
                let message =
                    format!("route {open_name} is public, inside the protected route {name}");
                warn(key, message);
            }
            if reaches_beside(open, route) {
                let how = "under a weaker rule, by another host or prefix (clients choose Host)";
                let what = format!("reaches the same upstream paths as route {name}");
                warn(key, format!("route {open_name} {what} {how}"));
            }
        }
    }
}

/// What a route's rule asks that looks like a wildcard.
fn wildcards(route: &Route) -> impl Iterator<Item = &String> {
    let rule = match &route.access {
        Access::Public => None,
        Access::Protected(asked) => asked.require.permissions.as_ref(),
    };
    rule.into_iter()
        .flat_map(|rule| rule.any.iter().chain(&rule.all).chain(&rule.none))
        .filter(|permission| is_wildcard(permission))
}

/// Warnings about egress targets that are called for users, where there is no ingress to tell who
/// they are.
pub(super) fn users(
    targets: &[EgressTarget],
    credentials: &[CredentialSource],
    planes: Option<&Planes>,
    warnings: &mut Vec<Warning>,
) {
    if planes.is_none_or(|planes| planes.ingress.is_some() || planes.egress.is_none()) {
        return;
    }
    let exchanges = |name: &Arc<str>| {
        let known = credentials.iter().find(|source| source.name == *name);
        known.is_some_and(|source| match &source.kind {
            CredentialKind::TokenExchange(_) => true,
            CredentialKind::Aws(aws) => match aws.source {
                AwsSource::IdentityPool(_) => true,
                AwsSource::Own(_) => false,
            },
            CredentialKind::ClientCredentials(_)
            | CredentialKind::RefreshToken(_)
            | CredentialKind::StaticToken { .. }
            | CredentialKind::ApiKey { .. }
            | CredentialKind::Basic { .. }
            | CredentialKind::PassThrough => false,
        })
    };
    for (index, target) in targets.iter().enumerate() {
        let path = KeyPath::of(&["egress_targets"]).index(index);
        let mut warn = |key: &str, message: String| {
            let key = path.key(key).to_string();
            warnings.push(Warning { key, message });
        };
        let why = "nothing comes in by ingress, and so nobody gets an X-Auth-Handle";
        if let Some(name) = target.credentials.iter().find(|name| exchanges(name)) {
            warn(
                "credential",
                format!("{name} has nothing to exchange: {why}"),
            );
        }
        if target.forward_user {
            warn("forward_user", format!("no user is ever stated: {why}"));
        }
    }
}

fn is_public(route: &Route) -> bool {
    matches!(route.access, Access::Public)
}

/// Whether no request can reach `hidden`, because for each of its hosts `first` comes before it.
/// Methods do not matter: the path is chosen first, then a missing method is a 405.
fn hides(first: &Route, hidden: &Route) -> bool {
    let (first_path, hidden_path) = (&first.pattern.segments, &hidden.pattern.segments);
    first_path != hidden_path
        && hidden.hosts.iter().all(|host| first.hosts.contains(host))
        && covers(first_path, hidden_path)
        && rank(first_path) < rank(hidden_path)
}

/// Whether a public route takes paths out of the middle of a protected one. Under a catch-all
/// (`/**`) that is what public routes are for.
fn shadows(open: &Route, protected: &Route) -> bool {
    let (open_path, path) = (&open.pattern.segments, &protected.pattern.segments);
    open.hosts.iter().any(|host| protected.hosts.contains(host))
        && open_path != path
        && covers(path, open_path)
        && *path != [Segment::Rest]
        && rank(open_path) < rank(path)
}

/// Whether `open` leads to paths of the upstream that `protected` guards, where the routing by host
/// and path does not put `protected` first.
fn reaches_beside(open: &Route, protected: &Route) -> bool {
    let (Some(to), Some(guarded)) = (&open.forward, &protected.forward) else {
        return false;
    };
    let same_hosts = open.hosts.iter().all(|host| protected.hosts.contains(host));
    if to.upstream != guarded.upstream || same_hosts && to.strip_prefix == guarded.strip_prefix {
        return false;
    }
    let (seen, seen_guarded) = (upstream_view(open), upstream_view(protected));
    covers(seen, seen_guarded) || covers(seen_guarded, seen) && *seen_guarded != [Segment::Rest]
}

/// The pattern as the upstream sees it.
fn upstream_view(route: &Route) -> &[Segment] {
    let cut = route
        .forward
        .as_ref()
        .and_then(|forward| forward.strip_prefix.as_deref())
        .map_or(0, |prefix| crate::request::path::segments(prefix).count());
    route.pattern.segments.get(cut..).unwrap_or_default()
}

/// Whether `open` lets through what `than` might not. Rules that ask for different things count as
/// equally strong: which one is weaker is not ours to say.
fn is_weaker(open: &Access, than: &Access) -> bool {
    match (open, than) {
        (_, Access::Public) => false,
        (Access::Public, Access::Protected(_)) => true,
        (Access::Protected(open), Access::Protected(than)) => {
            let nothing = crate::authz::Rule::default();
            (open.mode == Mode::Shadow && than.mode == Mode::Enforce)
                || (open.optional && !than.optional)
                || (open.require == nothing && than.require != nothing)
                || open.accepts.iter().any(|kind| !than.accepts.contains(kind))
                || open
                    .issuers
                    .iter()
                    .any(|issuer| !than.issuers.contains(issuer))
        }
    }
}

/// Whether every path of `narrow` is one of `wide`.
fn covers(wide: &[Segment], narrow: &[Segment]) -> bool {
    match (wide.split_first(), narrow.split_first()) {
        (Some((Segment::Rest, _)), _) | (None, None) => true,
        (None, Some(_))
        | (Some(_), None | Some((Segment::Rest, _)))
        | (Some((Segment::Literal(_), _)), Some((Segment::Parameter | Segment::One, _))) => false,
        (Some((Segment::Literal(wide), rest)), Some((Segment::Literal(narrow), tail))) => {
            wide == narrow && covers(rest, tail)
        }
        (Some((Segment::Parameter | Segment::One, rest)), Some((_, tail))) => covers(rest, tail),
    }
}

/// What the route table prefers, segment by segment; the text of a literal does not count.
fn rank(pattern: &[Segment]) -> Vec<u8> {
    pattern
        .iter()
        .map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Parameter => 1,
            Segment::One => 2,
            Segment::Rest => 3,
        })
        .collect()
}
