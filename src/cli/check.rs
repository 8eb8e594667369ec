//! `gatepost check`: the real loader and linter.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::authz::route::Mode;
use crate::config::{self, Config, ConfigErrors, Sources};

/// Arguments of `gatepost check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The file; without it ./gatepost.toml, then /etc/gatepost/gatepost.toml, then the
    /// environment alone
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How the outcome is printed.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Checks a configuration. Exit code 0 if it would start, with warnings or without; 1 if not.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let outcome = Sources::read(args.config.as_deref()).and_then(|sources| config::load(&sources));
    let written = match args.format {
        Format::Text => text(&mut io::stdout().lock(), &mut io::stderr().lock(), &outcome),
        Format::Json => as_json(&mut io::stdout().lock(), &outcome),
    };
    // an outcome nobody could read is no success
    if outcome.is_ok() && written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn text(
    out: &mut impl Write,
    err: &mut impl Write,
    outcome: &Result<Config, ConfigErrors>,
) -> io::Result<()> {
    let config = match outcome {
        Ok(config) => config,
        Err(errors) => {
            let count = errors.0.len();
            let noun = if count == 1 { "error" } else { "errors" };
            return writeln!(err, "{errors}\n{count} {noun}");
        }
    };
    for warning in &config.warnings {
        writeln!(out, "warning: {}: {}", warning.key, warning.message)?;
    }
    for line in planes(config) {
        writeln!(out, "{line}")?;
    }
    let names: Vec<&str> = config
        .issuers
        .iter()
        .map(|known| &*known.issuer.name)
        .collect();
    writeln!(
        out,
        "issuers: {}",
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    )?;
    let routes = config.routes.routes();
    writeln!(out, "routes: {}", routes.len())?;
    for route in routes {
        let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        writeln!(
            out,
            "  {}: {} {}{} -> {}{}",
            route.name,
            if methods.is_empty() {
                "*".to_owned()
            } else {
                methods.join(",")
            },
            hosts.join(","),
            route.pattern.text,
            route
                .forward
                .as_ref()
                .map_or("(forward auth only)", |forward| &forward.upstream),
            match route.mode() {
                Mode::Enforce => "",
                Mode::Shadow => " (shadow: refuses nobody)",
            },
        )?;
    }
    match config.warnings.len() {
        0 => writeln!(out, "ok"),
        1 => writeln!(out, "ok, 1 warning"),
        count => writeln!(out, "ok, {count} warnings"),
    }
}

fn as_json(out: &mut impl Write, outcome: &Result<Config, ConfigErrors>) -> io::Result<()> {
    let report = match outcome {
        Ok(config) => json!({
            "ok": true,
            "errors": [],
            "warnings": config
                .warnings
                .iter()
                .map(|warning| json!({ "key": warning.key, "message": warning.message }))
                .collect::<Vec<_>>(),
            "planes": planes(config),
            "issuers": config
                .issuers
                .iter()
                .map(|known| &*known.issuer.name)
                .collect::<Vec<_>>(),
            "routes": config
                .routes
                .routes()
                .iter()
                .map(|route| &*route.name)
                .collect::<Vec<_>>(),
            "config": config.redacted,
        }),
        Err(errors) => json!({ "ok": false, "errors": errors, "warnings": [] }),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

/// Each plane that would start, with its address.
fn planes(config: &Config) -> Vec<String> {
    config
        .listeners()
        .into_iter()
        .filter_map(|(name, listener)| Some(format!("{name}: {}", listener?.listen)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceFile;

    fn outcome(text: &str) -> Result<Config, ConfigErrors> {
        config::load(&Sources {
            file: Some(SourceFile {
                name: "gatepost.toml".to_owned(),
                path: None,
                text: text.to_owned(),
            }),
            ..Sources::default()
        })
    }

    const GOOD: &str = "\
[issuers.users]
kind = \"cognito\"
user_pool_id = \"us-east-1_ABC123DEF\"
client_ids = \"any\"
[upstreams.app]
url = \"http://127.0.0.1:3000\"
[[routes]]
path = \"/**\"
methods = [\"GET\"]
upstream = \"app\"
";

    #[test]
    fn a_good_file_is_ok_with_its_warnings_and_a_summary() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        text(&mut out, &mut err, &outcome(GOOD)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
warning: issuers.users.client_ids: \"any\": tokens issued for other applications are accepted
ingress: 0.0.0.0:7400
admin: 127.0.0.1:7403
health: 0.0.0.0:7404
issuers: users
routes: 1
  /**: GET */** -> app
ok, 1 warning
"
        );
        assert!(err.is_empty());
    }

    #[test]
    fn errors_are_the_same_for_people_and_programs() {
        let bad = outcome("[ingres]\n");
        let (mut out, mut err, mut object) = (Vec::new(), Vec::new(), Vec::new());
        text(&mut out, &mut err, &bad).unwrap();
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "gatepost.toml:1:1: ingres: unknown key\n  fix: did you mean `ingress`?\n1 error\n"
        );
        assert!(out.is_empty());
        as_json(&mut object, &bad).unwrap();
        let object: serde_json::Value = serde_json::from_slice(&object).unwrap();
        assert_eq!(object["ok"], false);
        assert_eq!(object["errors"][0]["line"], 1);
        assert_eq!(object["errors"][0]["key"], "ingres");
        assert_eq!(object["errors"][0]["fix"], "did you mean `ingress`?");
    }
}
