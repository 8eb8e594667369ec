//! Words: algorithms, names, log levels.

use url::Host;

use super::Form;
use crate::authn::issuer::Algorithm;

impl Form for Algorithm {
    const FORMAT: &'static str = "algorithm";
    const EXAMPLE: &'static str = "RS256";
    fn read(text: &str) -> Result<Self, String> {
        Self::from_name(text).ok_or_else(|| {
            format!(
                "{text:?} is none of {}",
                Self::ALL.map(Self::as_str).join(", ")
            )
        })
    }
}

/// A text with something in it, and no control characters.
#[derive(Clone, Debug)]
pub(in crate::config) struct NonEmpty(pub(in crate::config) String);

impl Form for NonEmpty {
    const FORMAT: &'static str = "non-empty";
    const EXAMPLE: &'static str = "name";
    fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A Cognito domain: its prefix (`acme`) or a whole host.
#[derive(Clone, Debug)]
pub(in crate::config) struct Domain(pub(in crate::config) String);

impl Form for Domain {
    const FORMAT: &'static str = "domain";
    const EXAMPLE: &'static str = "acme";
    fn read(text: &str) -> Result<Self, String> {
        match Host::parse(text) {
            Ok(Host::Domain(host)) => Ok(Self(host)),
            _other => Err("a domain is a prefix (`acme`) or a host, without scheme".to_owned()),
        }
    }
}

/// What is logged: a level, or directives such as `info,gatepost::client=debug`.
#[derive(Clone, Debug)]
pub(in crate::config) struct LogLevel(pub(in crate::config) String);

impl Form for LogLevel {
    const FORMAT: &'static str = "log-level";
    const EXAMPLE: &'static str = "info,gatepost::client=debug";
    // stricter than the filter itself, which takes a mistyped level for the name of a module
    fn read(text: &str) -> Result<Self, String> {
        for directive in text.split(',') {
            let (target, level) = directive.split_once('=').unwrap_or(("gatepost", directive));
            let target_holds = !target.is_empty()
                && target
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'));
            let level = level.to_ascii_lowercase();
            let levels = ["off", "error", "warn", "info", "debug", "trace"];
            if !target_holds || !levels.contains(&level.as_str()) {
                return Err(format!(
                    "{directive:?} is neither a level ({}) nor module=level",
                    levels.join(", ")
                ));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_level_is_not_taken_for_a_module() {
        for text in [
            "info",
            "WARN",
            "info,gatepost::client=debug",
            "off,hyper=trace",
        ] {
            assert!(LogLevel::read(text).is_ok(), "{text}");
        }
        for text in ["inof", "", "info,", "=debug", "gatepost=loud", "a b=info"] {
            assert!(LogLevel::read(text).is_err(), "{text}");
        }
    }
}
