//! The URL of `kind = "http"`: where each `{…}` is exactly one path segment, or one value of the query.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::super::forms::Form;
use crate::authn::membership::Subject;

/// All but the unreserved characters of RFC 3986 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Stands for a value while the URL around it is checked.
const MARK: &str = "gatepost-value-";

/// A part of a subject that a URL may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `{issuer}`
    Issuer,
    /// `{user_id}`
    UserId,
    /// `{tenant}`
    Tenant,
    /// `{client_id}`
    ClientId,
}

impl Parameter {
    const ALL: [Self; 4] = [Self::Issuer, Self::UserId, Self::Tenant, Self::ClientId];

    fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::UserId => "user_id",
            Self::Tenant => "tenant",
            Self::ClientId => "client_id",
        }
    }

    fn of<'s>(self, subject: &Subject<'s>) -> Option<&'s str> {
        match self {
            Self::Issuer => Some(subject.issuer),
            Self::UserId => Some(subject.user_id),
            Self::Tenant => subject.tenant,
            Self::ClientId => subject.client_id,
        }
    }
}

/// A URL with places for the parts of a subject. Its scheme, host and port are fixed.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    /// Scheme, host and port; the path is `/`.
    origin: Url,
    /// Path and query, what comes before each value; then the rest.
    before: Vec<(String, Parameter)>,
    rest: String,
}

impl UrlTemplate {
    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Url {
        &self.origin
    }

    /// Whether it names this part.
    #[must_use]
    pub fn names(&self, parameter: Parameter) -> bool {
        self.before.iter().any(|(_, named)| *named == parameter)
    }

    /// The URL of this subject. `None` if it has none: a part it names is not known of the subject, or
    /// could not stand there as one segment.
    #[must_use]
    pub fn fill(&self, subject: &Subject<'_>) -> Option<Url> {
        let mut target = String::new();
        for (before, parameter) in &self.before {
            let value = parameter.of(subject)?;
            if matches!(value, "" | "." | "..") {
                return None;
            }
            target.push_str(before);
            target.extend(utf8_percent_encode(value, ENCODED));
        }
        target.push_str(&self.rest);
        let url = self.origin.join(&target).ok()?;
        // as it was written: nothing of it moved, nor was taken for something else
        let is_kept = url.origin() == self.origin.origin() && tail(&url) == target;
        is_kept.then_some(url)
    }
}

/// Path and query.
fn tail(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlTemplate(")?;
        f.write_str(self.origin.as_str().trim_end_matches('/'))?;
        for (before, parameter) in &self.before {
            write!(f, "{before}{{{}}}", parameter.name())?;
        }
        write!(f, "{})", self.rest)
    }
}

impl Form for UrlTemplate {
    const FORMAT: &'static str = "url-template";
    const EXAMPLE: &'static str = "https://directory.internal.example/users/{user_id}";

    fn read(text: &str) -> Result<Self, String> {
        if text.contains(MARK) {
            return Err(format!("{MARK} cannot stand in it"));
        }
        let mut parameters = Vec::new();
        let mut marked = String::new();
        let mut left = text;
        while let Some((before, after)) = left.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a { is not closed")?;
            let known = Parameter::ALL
                .into_iter()
                .find(|known| known.name() == name);
            let parameter = known.ok_or_else(|| {
                let all = Parameter::ALL.map(|known| format!("{{{}}}", known.name()));
                format!("{{{name}}} is none of {}", all.join(", "))
            })?;
            marked.push_str(before);
            marked.push_str(MARK);
            parameters.push(parameter);
            left = after;
        }
        marked.push_str(left);
        if marked.contains('}') {
            return Err("a } closes nothing".to_owned());
        }
        let url = Url::parse(&marked).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("not an http:// or https:// URL".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL holds no user or password: name a credential".to_owned());
        }
        if url.fragment().is_some() {
            return Err("a fragment is never sent".to_owned());
        }
        let whole = |part: &str| part == MARK || !part.contains(MARK);
        let in_path = url.path().split('/').all(whole);
        let in_query = url.query().unwrap_or_default().split('&').all(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            !name.contains(MARK) && whole(value)
        });
        if !in_path || !in_query || url.host_str().is_some_and(|host| host.contains(MARK)) {
            return Err(
                "each {…} is one whole path segment, or one whole value of the query".to_owned(),
            );
        }
        let tail = tail(&url);
        let mut pieces: Vec<&str> = tail.split(MARK).collect();
        let rest = pieces.pop().unwrap_or_default().to_owned();
        let before = pieces
            .into_iter()
            .map(str::to_owned)
            .zip(parameters)
            .collect();
        let mut origin = url;
        origin.set_path("/");
        origin.set_query(None);
        Ok(Self {
            origin,
            before,
            rest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'s>(user_id: &'s str, tenant: Option<&'s str>) -> Subject<'s> {
        Subject {
            issuer: "users",
            user_id,
            tenant,
            client_id: None,
        }
    }

    #[test]
    fn each_value_is_one_segment_or_one_value_whatever_it_holds() {
        let template = UrlTemplate::read(
            "https://dir.test:8443/v1/{issuer}/users/{user_id}/groups?t={tenant}&all=1",
        )
        .unwrap();
        let filled = |user_id, tenant| template.fill(&subject(user_id, tenant)).map(String::from);
        let url = |user: &str, tenant: &str| {
            Some(format!(
                "https://dir.test:8443/v1/users/users/{user}/groups?t={tenant}&all=1"
            ))
        };
        for (user_id, tenant, expected) in [
            ("ada", "acme", url("ada", "acme")),
            ("a/b", "a/b", url("a%2Fb", "a%2Fb")),
            ("../admin", "..;x", url("..%2Fadmin", "..%3Bx")),
            ("%2e%2e", "%2f", url("%252e%252e", "%252f")),
            (".%2e", "x", url(".%252e", "x")),
            ("a?b#c", "a&all=2", url("a%3Fb%23c", "a%26all%3D2")),
            ("a\\b", "a+b c", url("a%5Cb", "a%2Bb%20c")),
            ("ä@x", "é", url("%C3%A4%40x", "%C3%A9")),
            ("...", "x", url("...", "x")),
            (".", "x", None),
            ("..", "x", None),
            ("", "x", None),
            ("ada", "..", None),
        ] {
            assert_eq!(
                filled(user_id, Some(tenant)),
                expected,
                "{user_id:?} {tenant:?}"
            );
        }
        assert_eq!(filled("ada", None), None);
        assert!(template.names(Parameter::Issuer) && !template.names(Parameter::ClientId));
        assert_eq!(template.origin().as_str(), "https://dir.test:8443/");
    }

    #[test]
    fn a_place_is_whole_and_in_path_or_query() {
        for (text, wrong) in [
            ("https://{tenant}.test/{user_id}", "each {…} is one whole"),
            ("https://dir.test/u-{user_id}", "each {…} is one whole"),
            ("https://dir.test/?{user_id}=1", "each {…} is one whole"),
            ("https://dir.test/?u=x{user_id}", "each {…} is one whole"),
            ("https://dir.test/#{user_id}", "a fragment is never sent"),
            (
                "https://dir.test/{user}",
                "{user} is none of {issuer}, {user_id}",
            ),
            ("https://dir.test/{user_id", "a { is not closed"),
            ("https://dir.test/user_id}", "a } closes nothing"),
            ("https://a:b@dir.test/{user_id}", "a URL holds no user"),
            ("ftp://dir.test/{user_id}", "not an http:// or https:// URL"),
            ("dir.test/{user_id}", "not a URL"),
        ] {
            let error = UrlTemplate::read(text).unwrap_err();
            assert!(error.starts_with(wrong), "{text}: {error}");
        }
    }
}
