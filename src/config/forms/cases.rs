//! Forms of rule cases: a time, an expectation, a token.

use http::HeaderValue;

use super::Form;
use crate::clock::UnixTime;
use crate::config::cases::Expected;
use crate::config::error::did_you_mean;
use crate::reason::Denial;
use crate::secret::Secret;

impl Form for UnixTime {
    const FORMAT: &'static str = "time";
    const EXAMPLE: &'static str = "2026-11-22T03:00:00Z";
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_invalid| "not a time in UTC".to_owned())
    }
}

impl Form for Expected {
    const FORMAT: &'static str = "expectation";
    const EXAMPLE: &'static str = "deny:group_missing";
    fn read(text: &str) -> Result<Self, String> {
        if text == "allow" {
            return Ok(Self::Allow);
        }
        let Some(code) = text.strip_prefix("deny:") else {
            return Err(format!("{text:?} is neither `allow` nor `deny:REASON`"));
        };
        match Denial::REASONS.into_iter().find(|known| *known == code) {
            Some(reason) => Ok(Self::Deny(reason)),
            None => Err(match did_you_mean(code, Denial::REASONS.into_iter()) {
                (Some(_), question) => format!("{code:?} is no reason to deny: {question}"),
                (None, _) => format!("{code:?} is no reason to deny (docs/reason-codes.md)"),
            }),
        }
    }
}

/// A bearer token. Never repeated.
#[derive(Clone, Debug)]
pub(in crate::config) struct Token(pub(in crate::config) Secret);

impl Form for Token {
    const FORMAT: &'static str = "token";
    const EXAMPLE: &'static str = "eyJhbGciOi…";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() || HeaderValue::from_str(text).is_err() {
            return Err("a token that cannot stand in a header".to_owned());
        }
        Ok(Self(Secret::new(text.to_owned())))
    }
}
