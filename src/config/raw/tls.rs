//! TLS as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// TLS of a listener. The files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Tls {
    /// The listener's certificate and those between it and its root, PEM.
    pub(in crate::config) certificate_file: PathBuf,
    /// Its private key, PEM, not encrypted.
    pub(in crate::config) key_file: PathBuf,
    /// Whose client certificates are accepted: roots, PEM. Without it clients are asked for none.
    pub(in crate::config) client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is let in. Required unless this says otherwise.
    pub(in crate::config) client_certificate: Option<ClientCertificate>,
    /// The oldest TLS that is spoken.
    #[serde(default)]
    pub(in crate::config) min_version: TlsVersion,
}

/// `client_certificate`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ClientCertificate {
    Required,
    Optional,
}

/// `min_version`
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}
