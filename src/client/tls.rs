//! TLS towards others: roots, the one crypto provider.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::certificate::add_roots;
use crate::config;

/// Installs aws-lc-rs as the process's provider for rustls. First thing in every command that
/// connects or listens, and in tests; calling it again changes nothing.
pub fn install_crypto_provider() {
    // an error says that a provider is installed already; only this function installs one
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        tracing::trace!("the rustls provider is installed already");
    }
}

/// Client TLS: the machine's roots (webpki-roots if it has none) plus `extra_ca_file`; TLS 1.2 up.
/// ALPN is left to the connector. Reads the disk: call it at start and on reload only.
pub fn client_config(client: &config::Client) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a system root certificate was left out");
    }
    // system stores hold oddities: what cannot be parsed is left out
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = &client.extra_ca_file {
        add_extra_roots(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Unlike the system store, a file the operator named must be right to the last certificate.
fn add_extra_roots(roots: &mut RootCertStore, path: &Path) -> io::Result<()> {
    let wrong = |why: String| {
        let message = format!("extra_ca_file {} {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let pem = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    add_roots(roots, &pem).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(content: &[u8]) -> (tempfile::TempDir, config::Client) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        let client = config::Client {
            extra_ca_file: Some(path),
            ..config::Client::default()
        };
        (folder, client)
    }

    #[test]
    fn the_provider_may_be_installed_twice() {
        install_crypto_provider();
        install_crypto_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }

    #[test]
    fn an_extra_ca_file_is_added() {
        let ca = rcgen::generate_simple_self_signed(vec!["ca.example".to_owned()]).unwrap();
        let (_folder, client) = extra(ca.cert.pem().as_bytes());
        client_config(&client).unwrap();
    }

    #[test]
    fn a_wrong_extra_ca_file_is_an_error_that_names_it() {
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for content in [&b""[..], b"no PEM here", broken] {
            let (_folder, client) = extra(content);
            let error = client_config(&client).unwrap_err().to_string();
            assert!(error.contains("ca.pem"), "{error}");
        }
        let missing = config::Client {
            extra_ca_file: Some("/nonexistent/ca.pem".into()),
            ..config::Client::default()
        };
        assert!(client_config(&missing).is_err());
    }
}
