//! Secrets: a value that cannot be printed, and where it comes from.

use std::fmt;
use std::path::PathBuf;

use url::Url;
use zeroize::Zeroizing;

/// A password, client secret, API key or token. `Debug` and `Display` show `***`; the memory is
/// wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a secret text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Every call site is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is kept; loaded on demand so that a rotated file is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `{ env = "NAME" }`
    Env(String),
    /// `{ file = "/run/secrets/x" }`: one trailing line break is not part of the secret
    File(PathBuf),
    /// `{ insecure_literal = "…" }`
    Literal(Secret),
    /// `{ aws_secret = "…" }`: on the network, `client::secrets` fetches it
    Aws(Box<AwsSecret>),
}

/// A secret in AWS Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSecret {
    /// Its ARN or name.
    pub id: String,
    /// The member that counts, where its text is a JSON object.
    pub json_key: Option<String>,
    /// The region it is in.
    pub region: String,
    /// Secrets Manager there.
    pub endpoint: Url,
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is unset or not UTF-8.
    #[error("environment variable {0} is not set")]
    Env(String),
    /// The variable or file holds nothing.
    #[error("the secret in {0} is empty")]
    Empty(String),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file as configured.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// AWS Secrets Manager does not give it now.
    #[error("cannot read the AWS secret {id}: {why}")]
    Aws {
        /// Its ARN or name.
        id: String,
        /// What was in the way.
        why: String,
        /// Whether it is away: it may be back at any moment.
        is_outage: bool,
    },
}

impl SecretError {
    /// Whether where it is kept is away: it may be back at any moment.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Aws { is_outage, .. } => *is_outage,
            Self::Env(_) | Self::Empty(_) | Self::File { .. } => false,
        }
    }
}

impl SecretSource {
    /// Loads a secret that is kept on this machine. Blocks on one small file read. One that is on the
    /// network is an error: `client::secrets` loads every kind.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of secrets in environment and files"
    )]
    pub fn load(&self) -> Result<Secret, SecretError> {
        let (text, from) = match self {
            Self::Env(name) => (
                Secret::new(std::env::var(name).map_err(|_unset| SecretError::Env(name.clone()))?),
                name.clone(),
            ),
            Self::File(path) => {
                let mut text =
                    std::fs::read_to_string(path).map_err(|source| SecretError::File {
                        path: path.clone(),
                        source,
                    })?;
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                (Secret::new(text), path.display().to_string())
            }
            Self::Literal(secret) => (secret.clone(), "insecure_literal".to_owned()),
            Self::Aws(secret) => {
                return Err(SecretError::Aws {
                    id: secret.id.clone(),
                    why: "it is not on this machine".to_owned(),
                    is_outage: false,
                });
            }
        };
        if text.expose().is_empty() {
            return Err(SecretError::Empty(from));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new("hunter2".to_owned());
        let source = SecretSource::Literal(secret.clone());
        for shown in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{source:#?}"),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_file_secret_loses_one_line_break_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "a b \n\r\n").unwrap();
        assert_eq!(
            SecretSource::File(path.clone()).load().unwrap().expose(),
            "a b \n"
        );
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            SecretSource::File(path).load(),
            Err(SecretError::Empty(_))
        ));
    }
}
