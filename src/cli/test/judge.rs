//! One case: what is decided, and how that differs from what was expected.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::keys::LocalKeys;
use crate::authz::route::Authorization;
use crate::authz::{Decision, Permit};
use crate::cli::offline::{facts, refused, removed};
use crate::cli::token_file;
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config::{Case, CaseFile, Config, ConfigErrors, Credential, Expected};
use crate::gate::{Gate, Judgement};
use crate::reason::{Failure, Refusal};
use crate::server::ingress::acting;
use crate::steps::Transcript;

/// A case that was judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) expected: Expected,
    /// What was decided, as the rule says.
    pub(super) decided: Expected,
    pub(super) route: Option<String>,
    /// The steps that decided.
    pub(super) ground: String,
    /// Whether the route is in shadow mode, and lets through what this case says is refused.
    pub(super) shadowed: bool,
    /// Empty if all is as expected.
    pub(super) differences: Vec<String>,
}

/// Judges a case as serving would, a route in shadow mode as if it enforced its rule. An error: there is
/// something it needs and has not.
pub(super) async fn judge(
    gate: &Gate,
    config: &Config,
    keys: &LocalKeys,
    file: &CaseFile,
    case: &Case,
) -> Result<Judged, ConfigErrors> {
    let headers = headers(file, case)?;
    let now = case.now.unwrap_or_else(|| SystemClock.now());
    let mut steps = Transcript::default();
    let judgement = match (
        facts(&case.method, &case.host, &case.path, &headers, &mut steps),
        &case.credential,
    ) {
        (Err(denial), _) => refused(denial),
        (Ok(facts), Credential::Principal(principal)) => {
            gate.check_stated(&facts, principal, now, &mut steps).await
        }
        (Ok(facts), Credential::None | Credential::Token(_) | Credential::TokenFile(_)) => {
            gate.check(&facts, now, &mut steps).await
        }
    };
    let Judgement { outcome, evidence } = judgement;
    let decision = outcome
        .and_then(Decision::enforced)
        .map_err(|failure| undecided(&failure, keys, file, case))?;
    let route = evidence.route.as_ref().map(|route| route.name.to_string());
    let (decided, told) = match decision {
        Decision::Deny(denial) => (Expected::Deny(denial.reason()), HeaderMap::new()),
        Decision::Allow(permit) => match told(permit, gate, config, &headers, now) {
            Ok(told) => (Expected::Allow, told),
            Err(Refusal::Denied(denial)) => (Expected::Deny(denial.reason()), HeaderMap::new()),
            Err(Refusal::Failed(failure)) => return Err(undecided(&failure, keys, file, case)),
        },
    };
    let mut differences = Vec::new();
    if decided != case.expected {
        differences.push(format!("expected {}, got {decided}", case.expected));
    }
    if let Some(expected) = &case.route
        && route.as_ref() != Some(expected)
    {
        let got = route
            .as_ref()
            .map_or_else(|| "none".to_owned(), |route| format!("{route:?}"));
        differences.push(format!("expected route {expected:?}, got {got}"));
    }
    // of what is refused the upstream hears nothing: one difference says it
    if decided == Expected::Allow {
        differences.extend(case.told.iter().filter_map(|(name, value)| {
            let got: Vec<_> = told.get_all(name).iter().collect();
            (joined(&got) != *value).then(|| {
                let expected = shown(value);
                format!("expected {name}: {expected}, got {}", shown_of(&got))
            })
        }));
    }
    Ok(Judged {
        file: file.name.clone(),
        line: case.place.0,
        name: case.name.clone(),
        expected: case.expected,
        decided,
        route,
        ground: ground(&steps, decided),
        shadowed: evidence.shadowed.is_some(),
        differences,
    })
}

/// The request's headers, with the token.
fn headers(file: &CaseFile, case: &Case) -> Result<HeaderMap, ConfigErrors> {
    let mut headers = case.headers.clone();
    match &case.credential {
        Credential::None | Credential::Principal(_) => {}
        Credential::Token(token) => {
            let text = format!("Bearer {}", token.expose());
            let mut value = HeaderValue::from_str(&text).map_err(|_invalid| {
                let message = "a token that cannot stand in a header".to_owned();
                file.error(Some(case), "token", message, "write the token as it is")
            })?;
            value.set_sensitive(true);
            headers.append(AUTHORIZATION, value);
        }
        Credential::TokenFile(path) => {
            let value = token_file::authorization(path).map_err(|error| {
                let fix = "name a readable file, from the folder of this one";
                file.error(Some(case), "token_file", error.to_string(), fix)
            })?;
            headers.append(AUTHORIZATION, value);
        }
    }
    Ok(headers)
}

/// What the upstream sees of the request's headers and is told about the principal. What ingress writes
/// of connection and request (`X-Forwarded-*`, `X-Request-ID`) is not among it.
fn told(
    mut permit: Permit,
    gate: &Gate,
    config: &Config,
    given: &HeaderMap,
    now: UnixTime,
) -> Result<HeaderMap, Refusal> {
    let mut told = given.clone();
    for name in removed(config, Some(permit.route()), given) {
        told.remove(name);
    }
    let forward = permit.route().forward.as_ref();
    if let Some(forward) = forward {
        match forward.authorization {
            Authorization::Forward => {}
            Authorization::Strip | Authorization::Replace(_) => {
                told.remove(AUTHORIZATION);
            }
        }
        // ingress only
        if let Some(stated) = acting::stated(&permit, given, &config.identity)? {
            gate.judge_stated(&stated.user, now)?;
            permit = permit.with_headers(stated.headers);
        }
    }
    if let Some(proven) = permit.proven() {
        for (name, value) in proven.headers.iter() {
            told.insert(name, value.clone());
        }
    }
    Ok(told)
}

fn undecided(failure: &Failure, keys: &LocalKeys, file: &CaseFile, case: &Case) -> ConfigErrors {
    let key = match &case.credential {
        Credential::Token(_) => "token",
        Credential::TokenFile(_) => "token_file",
        Credential::None | Credential::Principal(_) => "request",
    };
    let missing = keys.missing();
    let message = if matches!(failure, Failure::MembershipsUnavailable { .. }) {
        format!(
            "{:?} cannot be decided: nobody is asked for memberships here",
            case.name
        )
    } else if missing.is_empty() {
        format!("{:?} cannot be decided: {failure}", case.name)
    } else {
        format!("{:?} cannot be decided without keys ({missing})", case.name)
    };
    let fix =
        "write jwks = \"keys.json\" at the top of the file, or a principal instead of the token";
    file.error(Some(case), key, message, fix)
}

/// The steps that decided: the last one of a denial, all of the rule's of an allow; and of a user whose name
/// or email somebody would be asked for, that nobody was.
fn ground(steps: &Transcript, decided: Expected) -> String {
    let mut told: Vec<String> = match decided {
        Expected::Allow => {
            let of_rule =
                |name: &str| name.starts_with("rule ") || matches!(name, "access" | "cors");
            let kept = steps.0.iter().filter(|(name, _)| of_rule(name));
            kept.map(|(name, found)| format!("{name}: {found}"))
                .collect()
        }
        Expected::Deny(_) => {
            // that shadow mode does not enforce it is said apart
            let last = steps.0.iter().rfind(|(name, _)| *name != "mode");
            last.map(|(name, found)| format!("{name}: {found}"))
                .into_iter()
                .collect()
        }
    };
    if told.is_empty() {
        told.push("no rule: any valid credential".to_owned());
    }
    if decided == Expected::Allow {
        let unasked = steps.0.iter().filter(|(name, _)| *name == "profile");
        told.extend(unasked.map(|(name, found)| format!("{name}: {found}")));
    }
    told.join("; ")
}

fn joined(values: &[&HeaderValue]) -> String {
    let texts = values
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    texts.collect::<Vec<_>>().join(", ")
}

fn shown(value: &str) -> String {
    if value.is_empty() {
        "nothing".to_owned()
    } else {
        format!("{value:?}")
    }
}

/// What the request brought itself may be a credential.
fn shown_of(values: &[&HeaderValue]) -> String {
    if values.iter().any(|value| value.is_sensitive()) {
        "another value of the request".to_owned()
    } else {
        shown(&joined(values))
    }
}
