//! TLS towards others: roots, the one crypto provider.

use std::io;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use crate::certificate;
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

/// Whose certificates are believed: the machine's roots (webpki-roots if it has none) plus
/// `extra_ca_file`, unless a server's own table names others.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    extra: config::Certificates,
}

/// The machine's roots count as the same for as long as the process lives.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.extra == other.extra
    }
}

impl Eq for Trust {}

impl Trust {
    /// Reads the machine's roots from disk: call it at start and on reload only.
    pub fn new(client: &config::Client) -> io::Result<Self> {
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
        add(&mut roots, &client.extra_roots)?;
        Ok(Self {
            roots: Arc::new(roots),
            extra: client.extra_roots.clone(),
        })
    }

    /// `extra_ca_file`.
    #[must_use]
    pub fn extra(&self) -> &config::Certificates {
        &self.extra
    }

    /// TLS 1.2 or 1.3 towards a server with these settings. ALPN is left to whoever connects.
    pub fn client_config(&self, server: &config::ServerTls) -> io::Result<ClientConfig> {
        let roots = match &server.roots {
            None => Arc::clone(&self.roots),
            Some(certificates) => {
                let mut roots = RootCertStore::empty();
                add(&mut roots, certificates)?;
                Arc::new(roots)
            }
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let Some(identity) = &server.identity else {
            return Ok(config.with_no_client_auth());
        };
        let key = certificate::private_key(identity.key.expose().as_bytes());
        config
            .with_client_auth_cert(identity.chain.0.clone(), key.map_err(io::Error::other)?)
            .map_err(io::Error::other)
    }
}

/// Unlike the system store, roots the operator named must be right to the last one.
fn add(roots: &mut RootCertStore, certificates: &config::Certificates) -> io::Result<()> {
    for certificate in &certificates.0 {
        roots.add(certificate.clone()).map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_may_be_installed_twice() {
        install_crypto_provider();
        install_crypto_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }

    #[test]
    fn what_is_no_root_is_never_believed() {
        let client = config::Client {
            extra_roots: config::Certificates(vec![b"no DER".to_vec().into()]),
            ..config::Client::default()
        };
        assert!(Trust::new(&client).is_err());
    }
}
