//! What came of the cases, for people and for programs.

use std::io::{self, Write};

use serde_json::json;

use super::judge::Judged;
use crate::config::{ConfigError, ConfigErrors};

/// Every case that was judged, and what could not be.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) judged: Vec<Judged>,
    pub(super) errors: Vec<ConfigError>,
}

impl Report {
    /// How many cases are not as expected.
    pub(super) fn failed(&self) -> usize {
        let failed = self.judged.iter().filter(|one| !one.differences.is_empty());
        failed.count()
    }

    /// One line for each case that is not as expected or that shadow mode undoes, and the count; errors
    /// on `err`.
    pub(super) fn print_text(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        for one in &self.judged {
            if !one.differences.is_empty() || one.shadowed {
                writeln!(out, "{}", line(one))?;
            }
        }
        if !self.judged.is_empty() {
            let (all, failed) = (self.judged.len(), self.failed());
            writeln!(
                out,
                "{}: {} as expected, {failed} not",
                counted(all, "case"),
                all - failed
            )?;
        }
        if !self.errors.is_empty() {
            let errors = ConfigErrors(self.errors.clone());
            writeln!(err, "{errors}\n{}", counted(errors.0.len(), "error"))?;
        }
        Ok(())
    }

    /// One object.
    pub(super) fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        let failed = self.failed();
        let cases: Vec<_> = self
            .judged
            .iter()
            .map(|one| {
                json!({
                    "file": one.file,
                    "line": one.line,
                    "name": one.name,
                    "ok": one.differences.is_empty(),
                    "expected": one.expected.to_string(),
                    "decided": one.decided.to_string(),
                    "route": one.route,
                    "ground": one.ground,
                    "shadow": one.shadowed,
                    "differences": one.differences,
                })
            })
            .collect();
        let report = json!({
            "ok": failed == 0 && self.errors.is_empty(),
            "errors": self.errors,
            "passed": self.judged.len() - failed,
            "failed": failed,
            "cases": cases,
        });
        writeln!(out, "{report:#}")
    }
}

fn line(one: &Judged) -> String {
    let mut parts = vec![if one.differences.is_empty() {
        format!("{}, as expected", one.decided)
    } else {
        one.differences.join(", ")
    }];
    if let Some(route) = &one.route {
        parts.push(format!("route {route:?}"));
    }
    parts.push(one.ground.clone());
    if one.shadowed {
        parts.push("not enforced yet: the route is in shadow mode".to_owned());
    }
    format!(
        "{}:{}: {}: {}",
        one.file,
        one.line,
        one.name,
        parts.join("; ")
    )
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
