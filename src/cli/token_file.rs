//! `--token-file`: a bearer token that stands in a file, or on standard input.

use std::io::Read as _;
use std::path::Path;

use http::HeaderValue;

use crate::secret::{Secret, SecretSource};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenFileError {
    #[error("cannot read the token: {0}")]
    Unread(String),
    #[error("the token cannot stand in a header")]
    NoHeader,
}

/// `Authorization` with the token in this file (`-`: standard input).
pub(super) fn authorization(path: &Path) -> Result<HeaderValue, TokenFileError> {
    let token = read(path)?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_invalid| TokenFileError::NoHeader)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The token in this file (`-`: standard input).
pub(super) fn read(path: &Path) -> Result<Secret, TokenFileError> {
    let token = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| TokenFileError::Unread(error.to_string()))?;
        Secret::new(text)
    } else {
        SecretSource::File(path.to_owned())
            .load()
            .map_err(|error| TokenFileError::Unread(error.to_string()))?
    };
    Ok(Secret::new(token.expose().trim().to_owned()))
}
