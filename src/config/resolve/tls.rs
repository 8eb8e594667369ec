//! TLS of a listener: files that can be used, and certificates that have not run out.

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::super::error::KeyPath;
use super::super::raw;
use super::super::{ClientCa, Tls, TlsVersion};
use super::{Planes, Resolver};
use crate::authn::certificate::ISSUER;
use crate::authn::credential::Kind;
use crate::authz::Route;
use crate::authz::route::Access;
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
    fn dates(&mut self, certificates: &[CertificateDer<'_>], path: &KeyPath) {
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

    /// A route that accepts client certificates needs a listener that asks for them, and their
    /// issuer's name for itself.
    pub(super) fn client_certificates(
        &mut self,
        routes: &[Route],
        keys: &[KeyPath],
        planes: &Planes,
    ) {
        let asks = planes
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.listener.tls.as_ref())
            .is_some_and(|tls| tls.client_ca.is_some());
        let tls = KeyPath::of(&["ingress", "tls"]);
        let mut accepted = false;
        for (route, key) in routes.iter().zip(keys) {
            let accepts = match &route.access {
                Access::Public => false,
                Access::Protected(asked) => asked.accepts.contains(&Kind::Mtls),
            };
            accepted |= accepts;
            if !accepts || self.mistakes.within(&tls) {
                continue;
            }
            if route.forward.is_none() {
                self.mistakes.push(
                    &key.key("auth"),
                    "without an upstream no client certificate is ever seen: forward auth is asked by a proxy, with the proxy's own",
                    "add upstream = \"…\", or remove \"mtls\"",
                );
            } else if !asks {
                self.mistakes.push(
                    &key.key("auth"),
                    "no client can show a certificate: ingress does not ask for any",
                    "add client_ca_file to [ingress] tls, or remove \"mtls\"",
                );
            }
        }
        if accepted && self.names.issuers.iter().any(|name| name == ISSUER) {
            self.mistakes.push(
                &KeyPath::of(&["issuers", ISSUER]),
                "the name stands for client certificates, which a route accepts",
                "give this issuer another name",
            );
        }
    }
}
