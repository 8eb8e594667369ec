//! Credentials as presented: which kinds there are, and where a request carries a bearer token.

use http::{HeaderMap, HeaderName, header};

use crate::reason::Denial;

/// A kind of credential that a route may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What an Application Load Balancer says of its user (`x-amzn-oidc-data`): [`crate::authn::alb`].
    Alb,
    /// User name and password (RFC 7617).
    Basic,
    /// A bearer token (RFC 6750).
    Bearer,
    /// The client certificate of the connection (mutual TLS), verified by the handshake.
    Mtls,
}

impl Kind {
    /// As `auth` names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alb => "alb",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Mtls => "mtls",
        }
    }
}

const BASIC: &[u8] = b"basic";
const BEARER: &[u8] = b"bearer";
const DPOP: &[u8] = b"dpop";

/// One place a bearer token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …` (RFC 6750 2.1); the scheme's case does not matter.
    Authorization,
    /// The whole value of another header, an optional `Bearer ` before it.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(String),
}

/// The bearer token a request presents, if any, as ASCII. One header or cookie twice, or two sources at once:
/// [`Denial::CredentialAmbiguous`]. Another scheme in `Authorization` is no bearer token.
pub fn bearer<'h>(
    headers: &'h HeaderMap,
    sources: &[TokenSource],
) -> Result<Option<&'h [u8]>, Denial> {
    let mut found = None;
    for source in sources {
        let token = match source {
            TokenSource::Authorization => match ascii(headers, &header::AUTHORIZATION)? {
                Some(value) => after_scheme(value, BEARER),
                None => None,
            },
            TokenSource::Header(name) => {
                ascii(headers, name)?.map(|value| after_scheme(value, BEARER).unwrap_or(value))
            }
            TokenSource::Cookie(name) => cookie(headers, name)?,
        };
        if token.is_some() && found.is_some() {
            return Err(Denial::CredentialAmbiguous);
        }
        found = found.or(token);
    }
    Ok(found)
}

/// What follows `Basic` in `Authorization`, if that is its scheme. Two of the header:
/// [`Denial::CredentialAmbiguous`].
pub fn basic(headers: &HeaderMap) -> Result<Option<&[u8]>, Denial> {
    let value = one(headers, &header::AUTHORIZATION)?;
    Ok(value.and_then(|value| after_scheme(value, BASIC)))
}

/// The value of a header that may occur once, as ASCII.
pub(super) fn one<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h [u8]>, Denial> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Denial::CredentialAmbiguous);
    }
    Ok(Some(value.as_bytes()))
}

/// The same of a token, in which no bytes above ASCII stand.
fn ascii<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Denial> {
    match one(headers, name)? {
        Some(bytes) if !bytes.is_ascii() => Err(Denial::TokenMalformed),
        value => Ok(value),
    }
}

/// A token and how it was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented<'h> {
    /// The token, as ASCII.
    pub token: &'h [u8],
    /// The proof, if it came by the scheme `DPoP`; empty if there is none.
    pub proof: Option<&'h str>,
}

/// The token a request presents as [`bearer`] has it, or by `Authorization: DPoP …` with its proof in the
/// one header `DPoP` (RFC 9449 7.1). Two of one of them, or both: [`Denial::CredentialAmbiguous`].
pub fn bearer_or_dpop<'h>(
    headers: &'h HeaderMap,
    sources: &[TokenSource],
) -> Result<Option<Presented<'h>>, Denial> {
    let bearer = bearer(headers, sources)?;
    let bound = if sources.contains(&TokenSource::Authorization) {
        one(headers, &header::AUTHORIZATION)?.and_then(|value| after_scheme(value, DPOP))
    } else {
        None
    };
    match (bearer, bound) {
        (Some(_), Some(_)) => Err(Denial::CredentialAmbiguous),
        (Some(token), None) => Ok(Some(Presented { token, proof: None })),
        (None, Some(token)) => {
            let proof = one(headers, &HeaderName::from_static("dpop"))?.unwrap_or_default();
            let proof = std::str::from_utf8(proof).map_err(|_opaque| Denial::ProofInvalid)?;
            let proof = Some(proof);
            Ok(Some(Presented { token, proof }))
        }
        (None, None) => Ok(None),
    }
}

/// What follows the scheme and at least one space. A tab is none, but an app may take it for one, so
/// what follows is an attempt all the same: with the tab, which stands in no token.
fn after_scheme<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (named, mut rest) = value.split_at_checked(scheme.len())?;
    if !named.eq_ignore_ascii_case(scheme) || !matches!(rest.first(), None | Some(b' ' | b'\t')) {
        return None;
    }
    while let Some(after) = rest.strip_prefix(b" ") {
        rest = after;
    }
    Some(rest)
}

/// Other cookies may hold any bytes; they hide no token.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Denial> {
    let mut found = None;
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|list| list.as_bytes().split(|byte| *byte == b';'));
    for pair in pairs {
        let pair = pair.trim_ascii();
        let Some(token) = pair
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
        else {
            continue;
        };
        if found.is_some() {
            return Err(Denial::CredentialAmbiguous);
        }
        if !token.is_ascii() {
            return Err(Denial::TokenMalformed);
        }
        found = Some(token);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn a_bearer_token_is_found_in_any_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(
                bearer(&headers, &[TokenSource::Authorization]),
                Ok(Some(&b"abc"[..])),
                "{value}"
            );
        }
        for value in ["Basic abc", "Bearerabc", "abc", "Bear", ""] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(
                bearer(&headers, &[TokenSource::Authorization]),
                Ok(None),
                "{value}"
            );
        }
        let tab = headers(&[("authorization", "Bearer\tabc")]);
        assert_eq!(
            bearer(&tab, &[TokenSource::Authorization]),
            Ok(Some(&b"\tabc"[..]))
        );
        // a scheme without a token was an attempt: it must not pass as "nothing presented"
        let empty = headers(&[("authorization", "Bearer")]);
        assert_eq!(
            bearer(&empty, &[TokenSource::Authorization]),
            Ok(Some(&b""[..]))
        );
    }

    #[test]
    fn basic_is_its_own_scheme_in_any_case() {
        for (value, expected) in [
            ("Basic abc", Some(&b"abc"[..])),
            ("basic abc", Some(b"abc")),
            ("BASIC   abc", Some(b"abc")),
            // an attempt, though with nothing that could be one
            ("Basic", Some(b"")),
            ("Basic\tabc", Some(b"\tabc")),
            ("Basic abc, Bearer x", Some(b"abc, Bearer x")),
            ("Bearer abc", None),
            ("Basicabc", None),
            ("Bearer Basic abc", None),
            ("", None),
        ] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(basic(&headers), Ok(expected), "{value}");
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Basic a")]);
        assert_eq!(basic(&twice), Err(Denial::CredentialAmbiguous));
        assert_eq!(basic(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn one_kind_twice_is_ambiguous() {
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert_eq!(
            bearer(&twice, &[TokenSource::Authorization]),
            Err(Denial::CredentialAmbiguous)
        );
        let other = TokenSource::Header(HeaderName::from_static("mlflow_tracking_token"));
        let both = headers(&[
            ("authorization", "Bearer a"),
            ("mlflow_tracking_token", "b"),
        ]);
        let sources = [TokenSource::Authorization, other.clone()];
        assert_eq!(bearer(&both, &sources), Err(Denial::CredentialAmbiguous));
        let one = headers(&[("authorization", "Basic x"), ("mlflow_tracking_token", "b")]);
        assert_eq!(bearer(&one, &sources), Ok(Some(&b"b"[..])));
        let cookies = headers(&[("cookie", "t=a; u=b"), ("cookie", "t=c")]);
        assert_eq!(
            bearer(&cookies, &[TokenSource::Cookie("t".to_owned())]),
            Err(Denial::CredentialAmbiguous)
        );
        assert_eq!(
            bearer(&cookies, &[TokenSource::Cookie("u".to_owned())]),
            Ok(Some(&b"b"[..]))
        );
    }

    #[test]
    fn a_dpop_token_comes_with_its_proof() {
        let authorization = [TokenSource::Authorization];
        let found = |list: &[(&str, &str)], sources: &[TokenSource]| {
            let headers = headers(list);
            bearer_or_dpop(&headers, sources).map(|found| {
                let found = found?;
                let token = String::from_utf8(found.token.to_vec()).unwrap();
                Some((token, found.proof.map(str::to_owned)))
            })
        };
        let some = |token: &str, proof: Option<&str>| {
            Ok(Some((token.to_owned(), proof.map(str::to_owned))))
        };
        let ambiguous = Err(Denial::CredentialAmbiguous);
        let t = ("authorization", "DPoP t");
        assert_eq!(
            found(&[t, ("dpop", "p")], &authorization),
            some("t", Some("p"))
        );
        assert_eq!(found(&[t], &authorization), some("t", Some("")));
        let lower = ("authorization", "dpop t");
        assert_eq!(found(&[lower], &authorization), some("t", Some("")));
        let two = [t, ("dpop", "p"), ("dpop", "p")];
        assert_eq!(found(&two, &authorization), ambiguous);
        assert_eq!(found(&[t, t], &authorization), ambiguous);
        let cookie = [
            TokenSource::Authorization,
            TokenSource::Cookie("c".to_owned()),
        ];
        assert_eq!(found(&[t, ("cookie", "c=u")], &cookie), ambiguous);
        assert_eq!(found(&[t], &cookie[1..]), Ok(None));
        // a proof beside a bearer token proves nothing and is not looked at
        let bearer = ("authorization", "Bearer t");
        assert_eq!(
            found(&[bearer, ("dpop", "p")], &authorization),
            some("t", None)
        );
    }

    #[test]
    fn a_cookie_beside_the_token_may_hold_any_bytes() {
        let mut headers = HeaderMap::new();
        let sources = [TokenSource::Cookie("t".to_owned())];
        let list = HeaderValue::from_bytes(b"theme=\xe4; t=abc ;tt=x").unwrap();
        headers.insert(header::COOKIE, list);
        assert_eq!(bearer(&headers, &sources), Ok(Some(&b"abc"[..])));
        let opaque = HeaderValue::from_bytes(b"t=\xe4").unwrap();
        headers.insert(header::COOKIE, opaque);
        assert_eq!(bearer(&headers, &sources), Err(Denial::TokenMalformed));
    }
}
