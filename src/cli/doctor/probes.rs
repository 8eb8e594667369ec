//! What an impostor says, and what becomes of it where the proxy is set up well.

use http::{HeaderName, HeaderValue};

use super::route::{PROBE, Route, Shown};
use crate::request::IdentityNames;
use crate::request::headers::{METHOD_OVERRIDES, ORIGINALS};

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Sent without the token.
    pub(super) stranger: bool,
    /// By which it is known again.
    pub(super) word: String,
    /// What must be true of its answer.
    pub(super) held: Held,
    /// What it means if that is not.
    pub(super) leak: String,
}

/// What a proxy that holds does with a probe.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// The app never hears its word.
    Unheard,
    /// It is refused.
    Refused,
    /// The app, if it hears it, hears this header too.
    Kept(HeaderName),
}

/// Probes of one kind.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) probes: Vec<Probe>,
    /// What is true if none leaks.
    pub(super) holds: &'static str,
    /// What to do if one does.
    pub(super) remedy: &'static str,
}

/// What else only a proxy or Gatepost may say, besides overrides.
const OTHERS: [&str; 12] = [
    "x-auth-handle",
    "x-auth-reason",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-accesstoken",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-real-ip",
    "forwarded",
];
/// Where dialects of forward auth, and servers, look for the path.
const PATHS: [&str; 4] = [
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
];
/// And for the method.
const METHODS: [&str; 4] = [
    "x-original-method",
    "x-forwarded-method",
    "x-http-method-override",
    "x-method-override",
];
/// Paths that are public more often than others.
const PUBLIC: [&str; 5] = ["/", "/public", "/health", "/livez", "/favicon.ico"];

impl Probe {
    /// A request that says its word where nobody minds.
    pub(super) fn plain(target: &str, word: &str) -> Self {
        Self {
            target: target.to_owned(),
            headers: word_value(word).map_or_else(Vec::new, |value| vec![(PROBE, value)]),
            stranger: false,
            word: word.to_owned(),
            held: Held::Refused,
            leak: String::new(),
        }
    }
}

fn word_value(word: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(word).ok()
}

/// Names the probes of one run: each has a word of its own.
struct Words<'r> {
    route: &'r Route,
    used: usize,
}

impl Words<'_> {
    fn probe(&mut self) -> Probe {
        self.used += 1;
        Probe::plain(self.route.path(), &self.route.word(self.used))
    }

    /// Says its word in this header alone.
    fn said(&mut self, name: &str, leak: String) -> Option<Probe> {
        let mut probe = self.probe();
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        probe.headers = vec![(name, word_value(&probe.word)?)];
        probe.held = Held::Unheard;
        probe.leak = leak;
        Some(probe)
    }
}

/// All probes that tell something about this route.
pub(super) fn groups(route: &Route, shown: &Shown, public: &[String]) -> Vec<Group> {
    let mut words = Words { route, used: 0 };
    let names = IdentityNames::default();
    let mut groups = vec![
        Group {
            probes: identity(&names, &mut words),
            holds: "no identity header of the client reaches the app, in no usual spelling",
            remedy: "remove identity headers and their spellings before you ask Gatepost: deploy/ has it \
                     for your proxy",
        },
        Group {
            probes: others(&mut words),
            holds: "nothing reaches the app that only a proxy may say",
            remedy: "remove them, or overwrite them with what the proxy knows: deploy/ has it for your \
                     proxy",
        },
    ];
    let kept = dropped(&names, shown, &mut words);
    if !kept.is_empty() {
        groups.push(Group {
            probes: kept,
            holds: "no client can have its identity dropped on the way",
            remedy: "remove the client's `Connection` header, or write the identity after it was obeyed",
        });
    }
    if shown.refuses_strangers {
        groups.push(Group {
            probes: passed(public, &mut words),
            holds: "no pretence opens the route without a credential",
            remedy: "state method, host and URI of the original request from what the proxy itself \
                     knows, and pass on the path that was judged",
        });
    }
    groups
}

/// Each identity header as it is, and in each spelling that WSGI, CGI and others read as the same.
fn identity(names: &IdentityNames, words: &mut Words<'_>) -> Vec<Probe> {
    let mut probes = Vec::new();
    // the request's id names nobody, and a trusted proxy may state it
    let names = names
        .iter()
        .filter(|name| Some(*name) != names.request_id.as_ref());
    for name in names {
        for spelling in spellings(name.as_str()) {
            let leak = format!("{spelling} of a client reaches the app");
            probes.extend(words.said(&spelling, leak));
        }
        // the second of two
        let leak = format!("{name} of a client, sent twice, reaches the app");
        if let Some(mut probe) = words.said(name.as_str(), leak) {
            probe
                .headers
                .insert(0, (name.clone(), HeaderValue::from_static("first")));
            probes.push(probe);
        }
    }
    probes
}

fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![
        name.to_owned(),
        name.replace('-', "_"),
        name.replace('-', "."),
        name.replacen('-', "_", 1),
    ];
    if let Some((before, after)) = name.rsplit_once('-') {
        spellings.push(format!("{before}_{after}"));
        spellings.push(format!("{before}.{after}"));
    }
    spellings.sort();
    spellings.dedup();
    spellings
}

fn others(words: &mut Words<'_>) -> Vec<Probe> {
    let mut probes = Vec::new();
    let names = OTHERS.into_iter().chain(ORIGINALS).chain(METHOD_OVERRIDES);
    for name in names {
        for spelling in [name.to_owned(), name.replace('-', "_")] {
            let leak = format!("{spelling} of a client reaches the app");
            probes.extend(words.said(&spelling, leak));
        }
    }
    probes
}

/// `Connection: X-User-ID` must not remove what was written for the app.
fn dropped(names: &IdentityNames, shown: &Shown, words: &mut Words<'_>) -> Vec<Probe> {
    let mut probes = Vec::new();
    for name in names
        .iter()
        .filter(|name| shown.echo.contains(name.as_str()))
    {
        for option in [name.as_str().to_owned(), format!("close, {name}")] {
            let mut probe = words.probe();
            let Some(value) = word_value(&option) else {
                continue;
            };
            probe.headers.push((http::header::CONNECTION, value));
            probe.held = Held::Kept(name.clone());
            probe.leak = format!("`Connection: {option}` of a client removes {name}");
            probes.push(probe);
        }
    }
    probes
}

/// The route without a credential, but as if it were another one.
fn passed(public: &[String], words: &mut Words<'_>) -> Vec<Probe> {
    let path = words.route.path().to_owned();
    let public: Vec<&str> = PUBLIC
        .into_iter()
        .chain(public.iter().map(String::as_str))
        .collect();
    let mut probes = Vec::new();
    let mut stranger = |target: String, said: Option<(&str, &str)>| {
        let mut probe = words.probe();
        probe.leak = match said {
            Some((name, value)) => format!("`{name}: {value}` opens {path} without a credential"),
            None => format!("{target} opens the route without a credential"),
        };
        if let Some((name, value)) = said {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Some(value)) = (name, word_value(value)) else {
                return;
            };
            probe.headers.push((name, value));
        }
        probe.target = target;
        probe.stranger = true;
        probes.push(probe);
    };
    for header in PATHS {
        for public in &public {
            stranger(path.clone(), Some((header, public)));
        }
    }
    for header in METHODS {
        for method in ["OPTIONS", "HEAD", "GET"] {
            stranger(path.clone(), Some((header, method)));
        }
    }
    for target in [
        format!("/{path}"),
        format!("/.{path}"),
        format!("/%2e{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path};x=y"),
        format!("{path}%2f"),
        format!("{path}%00"),
        format!("{path}?/public"),
        format!("/x/..{path}"),
        format!("/x/%2e%2e{path}"),
    ] {
        stranger(target, None);
    }
    for public in &public {
        let public = public.trim_end_matches('/');
        for up in ["/..", "/%2e%2e", "/..%2f", "/..;", "/%2f.."] {
            stranger(format!("{public}{up}{path}"), None);
        }
    }
    probes
}
