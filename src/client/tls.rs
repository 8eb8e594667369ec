//! TLS towards others: roots, the one crypto provider.

use std::sync::Arc;

use crate::config;

/// Installs aws-lc-rs as the process's provider for rustls and `jsonwebtoken`. First thing in
/// `main` and in tests; calling it again changes nothing.
pub fn install_crypto_provider() {
    todo!("tls")
}

/// Client TLS: the machine's roots (webpki-roots if it has none) plus `extra_ca_file`; TLS 1.2 up.
pub fn client_config(_client: &config::Client) -> std::io::Result<Arc<rustls::ClientConfig>> {
    todo!("tls")
}
