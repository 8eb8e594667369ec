//! A TOML file beside the configuration, read as it is: every mistake at once, each with its line.

use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde_json::Value;

use super::error::{KeyPath, Mistakes};
use super::locate::Located;
use super::{ConfigErrors, walk};

/// Reads a file of this name against its schema. `resolve` is given what of it is right, and where it
/// stands.
pub(super) fn read<T>(
    name: &str,
    text: &str,
    schema: &Value,
    resolve: impl FnOnce(Value, &Located<'_>, &mut Mistakes) -> T,
) -> Result<T, ConfigErrors> {
    let located = Located::parse(text).map_err(|broken| broken.of(name))?;
    let mut mistakes = Mistakes::default();
    let resolved = match Figment::from(Toml::string(text)).extract::<Value>() {
        Ok(written) => {
            let clean = walk::walk_by(schema, &written, &mut mistakes);
            Some(resolve(clean, &located, &mut mistakes))
        }
        Err(error) => {
            let fix = "write dates as strings, and keep numbers within 64 bits";
            mistakes.push(&KeyPath::default(), error.to_string(), fix);
            None
        }
    };
    match resolved {
        Some(resolved) if mistakes.found.is_empty() => Ok(resolved),
        _wrong => Err(mistakes.placed(Some(name), Some(&located), &[])),
    }
}
