//! Certificates and keys: read from PEM files (RFC 7468), and what a certificate says of itself
//! (RFC 5280). Whether to believe it is rustls's to say.

mod pem;

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::clock::UnixTime;

pub use self::pem::{PemError, add_roots, certified_key, chain, private_key};

/// What a certificate says: names, dates, and the hash it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's distinguished name as RFC 4514 writes it (`CN=orders,O=Example`); may be empty.
    pub subject: String,
    /// The URIs among its alternative names, in their order.
    pub uris: Vec<String>,
    /// The first moment of its validity.
    pub not_before: UnixTime,
    /// The last moment of its validity.
    pub not_after: UnixTime,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
}

/// SHA-256 of a certificate in DER. Displayed as `openssl x509 -fingerprint -sha256` does, in lower
/// case without colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a certificate of RFC 5280: {0}")]
pub struct Unreadable(#[from] x509_cert::der::Error);

impl Certificate {
    /// Reads a certificate. Strict: what RFC 5280 does not allow is an error, and so are two
    /// extensions of alternative names.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, Unreadable> {
        let read = x509_cert::Certificate::from_der(der)?;
        let facts = read.tbs_certificate();
        let names = facts.get_extension::<SubjectAltName>()?;
        let uris = names
            .into_iter()
            .flat_map(|(_critical, names)| names.0)
            .filter_map(|name| match name {
                GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
                GeneralName::OtherName(_)
                | GeneralName::Rfc822Name(_)
                | GeneralName::DnsName(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EdiPartyName(_)
                | GeneralName::IpAddress(_)
                | GeneralName::RegisteredId(_) => None,
            })
            .collect();
        let at = |time: x509_cert::time::Time| UnixTime(time.to_unix_duration().as_secs());
        let validity = facts.validity();
        Ok(Self {
            subject: facts.subject().to_string(),
            uris,
            not_before: at(validity.not_before),
            not_after: at(validity.not_after),
            fingerprint: fingerprint(der),
        })
    }

    /// Whether it is still valid: `notAfter` is the last moment that counts (RFC 5280 4.1.2.5).
    #[must_use]
    pub fn has_expired(&self, now: UnixTime) -> bool {
        now > self.not_after
    }
}

fn fingerprint(der: &[u8]) -> Fingerprint {
    let sha = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(sha.as_ref()) {
        *to = *from;
    }
    Fingerprint(bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn made(params: &CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn names_dates_and_hash_are_read() {
        let mut params = CertificateParams::new(vec!["orders.example".to_owned()]).unwrap();
        for uri in ["spiffe://example.org/orders", "https://orders.example/"] {
            let uri = Ia5String::try_from(uri).unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Ex, Ample+");
        params
            .distinguished_name
            .push(DnType::CommonName, "#orders ");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let read = Certificate::read(&made(&params)).unwrap();
        assert_eq!(read.subject, r"CN=\#orders\ ,O=Ex\, Ample\+");
        assert_eq!(
            read.uris,
            ["spiffe://example.org/orders", "https://orders.example/"]
        );
        assert_eq!(read.not_before, UnixTime(1_577_836_800));
        assert_eq!(read.not_after, UnixTime(2_556_144_000));
        assert!(!read.has_expired(read.not_after));
        assert!(read.has_expired(read.not_after.plus(1)));
        let shown = read.fingerprint.to_string();
        assert_eq!(shown.len(), 64);
        assert!(shown.starts_with(&format!("{:02x}", read.fingerprint.0[0])));
    }

    #[test]
    fn a_certificate_without_names_is_read_and_a_doubtful_one_is_not() {
        let mut nameless = CertificateParams::default();
        nameless.distinguished_name = DistinguishedName::new();
        let nameless = Certificate::read(&made(&nameless)).unwrap();
        assert_eq!((&*nameless.subject, nameless.uris.len()), ("", 0));

        let content = b"\x30\x0b\x86\x09spiffe://";
        let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
        let mut once = CertificateParams::default();
        once.custom_extensions.push(names.clone());
        let read = Certificate::read(&made(&once)).unwrap();
        assert_eq!(read.uris, ["spiffe://"]);
        let mut twice = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        twice.custom_extensions.push(names);
        assert!(Certificate::read(&made(&twice)).is_err());
        assert!(Certificate::read(&CertificateDer::from(&b"\x30\x00"[..])).is_err());
    }
}
