//! The loader as a whole: file and environment in, config or every mistake out.

mod alb;
mod aws;
mod basic;
mod cors;
mod credentials;
mod design;
mod graph;
mod issuers;
mod login;
mod mappings;
mod mistakes;
mod opaque;
mod redis;
mod reference;
mod servers;
mod start;
mod tls;
mod users;
mod warnings;

use super::*;
use crate::clock::UnixTime;

/// The smallest useful file (DESIGN §5.1).
const SMALLEST: &str = r#"
[issuers.users]
kind = "cognito"
user_pool_id = "us-east-1_ABC123DEF"
client_ids = ["1example23456789"]

[upstreams.app]
url = "http://127.0.0.1:3000"

[[routes]]
path = "/**"
upstream = "app"
"#;

fn sources(text: &str, environment: &[(&str, &str)]) -> Sources {
    Sources {
        file: (!text.is_empty()).then(|| SourceFile {
            name: "gatepost.toml".to_owned(),
            path: None,
            text: text.to_owned(),
        }),
        environment: environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        now: UnixTime(1_790_000_000),
    }
}

#[track_caller]
fn good(text: &str, environment: &[(&str, &str)]) -> Config {
    load(&sources(text, environment)).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn bad(text: &str, environment: &[(&str, &str)]) -> Vec<ConfigError> {
    load(&sources(text, environment))
        .map(|_config| ())
        .unwrap_err()
        .0
}

/// Errors as `line key: message`.
fn shown(errors: &[ConfigError]) -> Vec<String> {
    errors
        .iter()
        .map(|error| {
            let place = match (&error.variable, error.line) {
                (Some(variable), _) => variable.clone(),
                (None, Some(line)) => line.to_string(),
                (None, None) => "-".to_owned(),
            };
            format!("{place} {}: {}", error.key, error.message)
        })
        .collect()
}
