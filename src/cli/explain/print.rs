//! An explanation, and how it is printed: text for people, JSON for programs. No token, no header
//! value that the client sent.

use std::io::{self, Write};

use http::HeaderMap;
use serde_json::{Value, json};

use crate::authz::route::{Cors, HostPattern, Segment};
use crate::authz::{Decision, Route, RouteTable};
use crate::cli::offline::removed;
use crate::clock::UnixTime;
use crate::config::Config;
use crate::gate::Judgement;
use crate::reason::Refusal;
use crate::request::{Path, RequestFacts};
use crate::server::respond;
use crate::steps::Transcript;

/// Width of the column of step names.
const COLUMN: usize = 16;

/// A decision with everything that led to it.
#[derive(Debug)]
pub(super) struct Explanation {
    now: UnixTime,
    steps: Transcript,
    route: Option<String>,
    upstream: Option<String>,
    outcome: Outcome,
    /// Names of the given headers that would not reach the upstream.
    removed: Vec<String>,
}

#[derive(Debug)]
enum Outcome {
    /// What the upstream would be told.
    Allow {
        headers: Vec<(String, String)>,
        /// Why not, but for shadow mode.
        shadowed: Option<Refused>,
    },
    Refused(Refused),
}

#[derive(Debug)]
enum Refused {
    Deny { reason: &'static str, status: u16 },
    Fail { reason: &'static str },
}

impl Refused {
    fn decision(&self) -> &'static str {
        match self {
            Self::Deny { .. } => "deny",
            Self::Fail { .. } => "fail",
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Deny { reason, .. } | Self::Fail { reason } => reason,
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Deny { status, .. } => Some(*status),
            Self::Fail { .. } => None,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reason = refusal.reason();
        match refusal {
            Refusal::Denied(denial) => Self::Deny {
                reason,
                status: respond::status_of(&denial).as_u16(),
            },
            Refusal::Failed(_) => Self::Fail { reason },
        }
    }
}

impl Explanation {
    pub(super) fn new(
        config: &Config,
        given: &HeaderMap,
        judgement: Judgement,
        steps: Transcript,
        now: UnixTime,
    ) -> Self {
        let route = judgement.evidence.route.as_deref();
        let forward = route.and_then(|route| route.forward.as_ref());
        let answered = match &judgement.outcome {
            Ok(Decision::Allow(permit)) => permit.is_preflight() && is_answered(route),
            Ok(Decision::Deny(_)) | Err(_) => false,
        };
        let outcome = match judgement.outcome {
            Ok(Decision::Allow(permit)) => Outcome::Allow {
                shadowed: permit.shadowed().cloned().map(Refused::from),
                headers: permit
                    .proven()
                    .map(|proven| {
                        proven
                            .headers
                            .iter()
                            .map(|(name, value)| {
                                let value = String::from_utf8_lossy(value.as_bytes());
                                (name.as_str().to_owned(), value.into_owned())
                            })
                            .collect()
                    })
                    .unwrap_or_default(),
            },
            Ok(Decision::Deny(denial)) => Outcome::Refused(Refusal::from(denial).into()),
            Err(failure) => Outcome::Refused(Refusal::from(failure).into()),
        };
        Self {
            now,
            steps,
            route: route.map(|route| route.name.to_string()),
            upstream: forward
                .filter(|_upstream| !answered)
                .map(|forward| forward.upstream.to_string()),
            outcome,
            removed: removed(config, route, given)
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// 0 allow, 1 deny, 2 could not tell.
    pub(super) fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Allow { .. } => 0,
            Outcome::Refused(Refused::Deny { .. }) => 1,
            Outcome::Refused(Refused::Fail { .. }) => 2,
        }
    }

    pub(super) fn print_text(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = |name: &str, text: &str| {
            let text = text.trim_end();
            writeln!(out, "{name:<COLUMN$}{text}")
        };
        for (name, found) in &self.steps.0 {
            line(name, found)?;
        }
        for name in &self.removed {
            line("removed", &format!("{name}: a client may not set it"))?;
        }
        match &self.outcome {
            Outcome::Allow { headers, shadowed } => {
                line("decision", "allow")?;
                if let Some(refused) = shadowed {
                    let (decision, reason) = (refused.decision(), refused.reason());
                    line("shadow", &format!("not enforced: {decision}, {reason}"))?;
                }
                if let Some(upstream) = &self.upstream {
                    line("upstream", &format!("{upstream:?}"))?;
                }
                for (name, value) in headers {
                    line("header", &format!("{name}: {value}"))?;
                }
            }
            Outcome::Refused(refused) => {
                let decision = match refused {
                    Refused::Deny { .. } => "deny",
                    Refused::Fail { .. } => "none: could not tell",
                };
                line("decision", decision)?;
                line("reason", refused.reason())?;
                if let Some(status) = refused.status() {
                    line("status", &status.to_string())?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{:#}", self.to_json())
    }

    fn to_json(&self) -> Value {
        let (headers, shadowed, refused) = match &self.outcome {
            Outcome::Allow { headers, shadowed } => (headers.as_slice(), shadowed.as_ref(), None),
            Outcome::Refused(refused) => (&[][..], None, Some(refused)),
        };
        let shadow = shadowed.map(|refused| {
            json!({
                "decision": refused.decision(),
                "reason": refused.reason(),
                "status": refused.status(),
            })
        });
        let pairs = |list: &[(String, String)]| -> Vec<Value> {
            list.iter()
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect()
        };
        let steps: Vec<Value> = self
            .steps
            .0
            .iter()
            .map(|(name, found)| json!({ "step": name, "found": found }))
            .collect();
        json!({
            "decision": refused.map_or("allow", Refused::decision),
            "reason": refused.map(Refused::reason),
            "status": refused.and_then(Refused::status),
            "shadow": shadow,
            "route": self.route,
            "upstream": self.upstream,
            "headers": pairs(headers),
            "removed": self.removed,
            "now": self.now.0,
            "steps": steps,
        })
    }
}

/// Whether ingress answers preflights of this route.
fn is_answered(route: Option<&Route>) -> bool {
    matches!(
        route.and_then(|route| route.cors.as_ref()),
        Some(Cors::Answer(_))
    )
}

/// Which other routes match host and path, and that this one was the more specific.
pub(super) fn why_this_route(
    routes: &RouteTable,
    chosen: &Route,
    facts: &RequestFacts<'_>,
) -> Option<String> {
    let others: Vec<String> = routes
        .routes()
        .iter()
        .filter(|route| route.name != chosen.name)
        .filter(|route| {
            route
                .hosts
                .iter()
                .any(|host| serves(host, facts.host.as_str()))
        })
        .filter(|route| covers(&route.pattern.segments, &facts.path))
        .map(|route| format!("{:?} ({})", route.name, route.pattern.text))
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "most specific by host, path, method; also matching: {}",
            others.join(", ")
        )
    })
}

fn covers(pattern: &[Segment], path: &Path<'_>) -> bool {
    let mut path = path.segments();
    for segment in pattern {
        match (segment, path.next()) {
            (Segment::Rest, _any) => return true,
            (Segment::Parameter | Segment::One, Some(_any)) => {}
            (Segment::Literal(literal), Some(text)) if literal == text => {}
            _mismatch => return false,
        }
    }
    path.next().is_none()
}

fn serves(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Exact(exact) => exact == host,
        HostPattern::Wildcard(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        HostPattern::Any => true,
    }
}
