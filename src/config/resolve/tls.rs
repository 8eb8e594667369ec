//! TLS of a listener: files that can be used, and certificates that have not run out.

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::super::error::KeyPath;
use super::super::raw;
use super::super::{ClientCa, Tls, TlsVersion};
use super::Resolver;
use crate::certificate::{self, Certificate};

/// How long before a certificate runs out `check` begins to warn.
const NOTICE_SECONDS: u64 = 14 * 24 * 60 * 60;

impl Resolver<'_> {
    /// `None` for a listener without TLS, or if a mistake was noted.
    pub(super) fn tls(&mut self, raw: Option<&raw::Tls>, listener: &str) -> Option<Tls> {
        let raw = raw?;
        let path = KeyPath::of(&[listener, "tls"]);
        let (chain_at, key_at) = (path.key("certificate_file"), path.key("key_file"));
        let chain = self
            .file(&raw.certificate_file, &chain_at)
            .and_then(|pem| self.right(certificate::chain(&pem), &chain_at));
        let key = self
            .file(&raw.key_file, &key_at)
            .map(Zeroizing::new)
            .and_then(|pem| self.right(certificate::private_key(&pem), &key_at));
        if let Some([first, ..]) = chain.as_deref() {
            self.dates(std::slice::from_ref(first), &chain_at);
        }
        let pair = chain
            .zip(key)
            .and_then(|(chain, key)| self.right(certificate::certified_key(chain, key), &key_at));
        let client_ca = match &raw.client_ca_file {
            None => {
                if raw.client_certificate.is_some() {
                    self.mistakes.push(
                        &path.key("client_certificate"),
                        "nothing says whose certificates are accepted",
                        "add client_ca_file = \"…\", or remove client_certificate",
                    );
                }
                None
            }
            Some(file) => {
                let at = path.key("client_ca_file");
                let roots = self.roots(file, &at)?;
                self.dates(&roots.0, &at);
                Some(ClientCa {
                    file: file.clone(),
                    required: raw.client_certificate != Some(raw::ClientCertificate::Optional),
                })
            }
        };
        pair.map(|_usable| Tls {
            certificate_file: raw.certificate_file.clone(),
            key_file: raw.key_file.clone(),
            client_ca,
            min_version: match raw.min_version {
                raw::TlsVersion::V1_2 => TlsVersion::V1_2,
                raw::TlsVersion::V1_3 => TlsVersion::V1_3,
            },
        })
    }

    /// Warns of certificates whose time has not come, is over, or soon will be.
    pub(super) fn dates(&mut self, certificates: &[CertificateDer<'_>], path: &KeyPath) {
        let now = self.now;
        for certificate in certificates {
            let Ok(read) = Certificate::read(certificate) else {
                self.warn(path, "the dates of a certificate cannot be read");
                continue;
            };
            let what = format!("the certificate of {:?}", read.subject);
            if read.has_expired(now) {
                self.warn(path, format!("{what} expired on {}", read.not_after));
            } else if read.has_expired(now.plus(NOTICE_SECONDS)) {
                self.warn(path, format!("{what} expires on {}", read.not_after));
            }
            if now < read.not_before {
                self.warn(path, format!("{what} is valid from {}", read.not_before));
            }
        }
    }
}
