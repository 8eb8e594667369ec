//! What is wrong with a configuration, and where: file, line, column, key, fix.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::locate::Located;

/// Everything that is wrong, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The file, if it is in one.
    pub file: Option<String>,
    /// The environment variable, if it is in one.
    pub variable: Option<String>,
    /// Line in the file, from 1; `None` if there is no single one.
    pub line: Option<usize>,
    /// Column, from 1, in characters.
    pub column: Option<usize>,
    /// The key as a dotted path, `routes[2].require.groups`; empty for the whole file.
    pub key: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl ConfigError {
    /// The mistake with its place, without the fix.
    pub(super) fn what(&self) -> String {
        let mut place = Vec::new();
        if let Some(variable) = &self.variable {
            place.push(format!("environment variable {variable}"));
        } else if let Some(file) = &self.file {
            place.push(match (self.line, self.column) {
                (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
                _unknown => file.clone(),
            });
        }
        if !self.key.is_empty() {
            place.push(self.key.clone());
        }
        place.push(self.message.clone());
        place.join(": ")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  fix: {}", self.what(), self.fix)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// Where a value stands in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A key of a table.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

impl KeyPath {
    /// A path of table keys.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|&key| Step::Key(key.to_owned())).collect())
    }

    /// This path, one key further.
    pub(super) fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Key(key.to_owned()));
        path
    }

    /// This path, one element further.
    pub(super) fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Index(index));
        path
    }

    /// Whether this path is `other` or leads to it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    let bare = !key.is_empty()
                        && key
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
                    if bare {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A mistake before its line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where.
    pub(super) path: KeyPath,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) fix: String,
}

/// Mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    /// In the order they were found.
    pub(super) found: Vec<Mistake>,
    /// Keys whose value was dropped after a mistake: nothing further is said about them.
    pub(super) settled: Vec<KeyPath>,
}

impl Mistakes {
    /// Notes a mistake, unless the same key was already found wrong.
    pub(super) fn push(
        &mut self,
        path: &KeyPath,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        if self.settled.contains(path) {
            return;
        }
        let mistake = Mistake {
            path: path.clone(),
            message: message.into(),
            fix: fix.into(),
        };
        if !self.found.contains(&mistake) {
            self.found.push(mistake);
        }
    }

    /// The mistakes with their places, in the order of the file; those of the environment last.
    /// `variables` say which variable stands for a key, the last list first.
    pub(super) fn placed(
        self,
        file: Option<&str>,
        located: Option<&Located<'_>>,
        variables: &[&BTreeMap<KeyPath, String>],
    ) -> ConfigErrors {
        let mut errors: Vec<ConfigError> = self
            .found
            .into_iter()
            .map(|mistake| {
                let path = &mistake.path;
                let written = located.is_some_and(|file| file.holds(path));
                let said = variables.iter().rev();
                let variable = said
                    .clone()
                    .find_map(|variables| variable_of(variables, path))
                    // a table that only the environment knows
                    .or_else(|| said.flat_map(|all| all.iter()).find_map(|(below, variable)| {
                        (!written && path.contains(below) && !path.0.is_empty()).then(|| variable.clone())
                    }));
                let in_file = variable.is_none();
                let place = located
                    .filter(|_file| in_file)
                    .and_then(|located| located.place(&mistake.path));
                ConfigError {
                    file: file.filter(|_file| in_file).map(ToOwned::to_owned),
                    variable,
                    line: place.map(|(line, _)| line),
                    column: place.map(|(_, column)| column),
                    key: mistake.path.to_string(),
                    message: mistake.message,
                    fix: mistake.fix,
                }
            })
            .collect();
        errors.sort_by_key(|error| (error.variable.is_some(), error.line, error.column));
        ConfigErrors(errors)
    }

    /// Whether something at or below `path` was found wrong.
    pub(super) fn within(&self, path: &KeyPath) -> bool {
        self.found
            .iter()
            .any(|mistake| path.contains(&mistake.path))
    }
}

/// The variable that said this key, or the whole table above it.
fn variable_of(variables: &BTreeMap<KeyPath, String>, path: &KeyPath) -> Option<String> {
    variables
        .iter()
        .filter(|(known, _)| known.contains(path))
        .max_by_key(|(known, _)| known.0.len())
        .map(|(_, variable)| variable.clone())
}

/// `fix` for an unknown name: the nearest known one, or all of them.
pub(super) fn did_you_mean<'k>(
    unknown: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> (Option<&'k str>, String) {
    let wanted = unknown.to_ascii_lowercase();
    let nearest = known
        .clone()
        .map(|name| {
            (
                strsim::jaro_winkler(&wanted, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, name)) = nearest {
        return (Some(name), format!("did you mean `{name}`?"));
    }
    let all: Vec<&str> = known.collect();
    let fix = if all.is_empty() {
        "remove it".to_owned()
    } else {
        format!("known here: {}", all.join(", "))
    };
    (None, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_toml_would_be() {
        let path = KeyPath::of(&["routes"])
            .index(2)
            .key("require")
            .key("claims")
            .key("custom:plan");
        assert_eq!(
            path.to_string(),
            r#"routes[2].require.claims."custom:plan""#
        );
    }

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["upstream", "path", "hosts"];
        assert_eq!(
            did_you_mean("upstrem", known.into_iter()),
            (Some("upstream"), "did you mean `upstream`?".to_owned())
        );
        assert_eq!(
            did_you_mean("zzz", known.into_iter()),
            (None, "known here: upstream, path, hosts".to_owned())
        );
    }
}
