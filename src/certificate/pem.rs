//! PEM files (RFC 7468) that an operator named: right to the last block, or an error.

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// What is wrong with a PEM file. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// No block `CERTIFICATE`.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// No block `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// The key is protected by a passphrase.
    #[error("holds an encrypted private key, and nobody is there to type a passphrase")]
    EncryptedKey,
    /// The file is no PEM.
    #[error("is not PEM")]
    NotPem,
    /// A certificate cannot be read or used.
    #[error("certificate {number}: {why}")]
    Certificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What rustls says.
        why: String,
    },
    /// The key is of a kind, or of a form, that cannot be used.
    #[error("holds a private key that cannot be used: {0}")]
    Key(String),
    /// The key belongs to another certificate.
    #[error("holds the key of another certificate")]
    KeyOfAnother,
}

impl PemError {
    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NoCertificate => {
                "write -----BEGIN CERTIFICATE----- blocks (from DER: openssl x509 -inform der)"
            }
            Self::NoKey => "write one -----BEGIN PRIVATE KEY----- block",
            Self::EncryptedKey => {
                "decrypt it (openssl pkey -in FILE -out PLAIN), readable for this process only"
            }
            Self::NotPem => "write PEM blocks: -----BEGIN …----- to -----END …-----",
            Self::Certificate { .. } => "replace it, or leave it out",
            Self::Key(_) => "use an RSA key of 2048 bits or more, an ECDSA key or an Ed25519 key",
            Self::KeyOfAnother => {
                "name the key the first certificate was made for: both files are written as a pair"
            }
        }
    }
}

/// The certificates of a file, the end entity's first. Never empty.
pub fn chain(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let chain = CertificateDer::pem_slice_iter(file)
        .map(|certificate| certificate.map_err(|_broken| PemError::NotPem))
        .collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err(PemError::NoCertificate);
    }
    Ok(chain)
}

/// The first private key of a file (PKCS #8, PKCS #1 or SEC 1), not encrypted.
pub fn private_key(file: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(file).map_err(|error| {
        let says = |text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
        // PKCS #8, and the header lines of RFC 1421
        if says("-----BEGIN ENCRYPTED PRIVATE KEY-----") || says(",ENCRYPTED") {
            PemError::EncryptedKey
        } else if matches!(error, pem::Error::NoItemsFound) {
            PemError::NoKey
        } else {
            PemError::NotPem
        }
    })
}

/// A chain with its key, which must be that of the first certificate. For servers and clients.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, PemError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
        if let rustls::Error::InconsistentKeys(_) = error {
            PemError::KeyOfAnother
        } else if let rustls::Error::InvalidCertificate(why) = error {
            let why = why.to_string();
            PemError::Certificate { number: 1, why }
        } else {
            PemError::Key(error.to_string())
        }
    })
}

/// Adds every certificate of a file as a trusted root; at least one.
pub fn add_roots(roots: &mut RootCertStore, file: &[u8]) -> Result<(), PemError> {
    for (index, certificate) in chain(file)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let number = index + 1;
            let why = error.to_string();
            PemError::Certificate { number, why }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

    use super::*;

    fn pair() -> CertifiedKey<KeyPair> {
        generate_simple_self_signed(vec!["gatepost.example".to_owned()]).unwrap()
    }

    fn together(chain_file: &str, key_file: &str) -> Result<(), PemError> {
        certified_key(
            chain(chain_file.as_bytes())?,
            private_key(key_file.as_bytes())?,
        )
        .map(drop)
    }

    #[test]
    fn a_chain_and_its_key_are_read_from_two_files_or_one() {
        let (pair, above) = (pair(), pair());
        let (leaf, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        together(&leaf, &key).unwrap();
        let both = format!("{key}\nnotes in between\n{leaf}\n{}", above.cert.pem());
        together(&both, &both).unwrap();
        assert_eq!(chain(both.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let (pair, other) = (pair(), pair());
        let (leaf, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let cut = leaf.split("-----END").next().unwrap();
        for (chain, key, expected) in [
            ("", &*key, "holds no certificate in PEM form"),
            (&key, &key, "holds no certificate in PEM form"),
            (cut, &key, "is not PEM"),
            (broken, &key, "certificate 1: "),
            (&leaf, &leaf, "holds no private key in PEM form"),
            (&leaf, &encrypted, "holds an encrypted private key"),
            (&leaf, old, "holds an encrypted private key"),
            (&leaf, odd, "holds a private key that cannot be used"),
            (
                &leaf,
                &other.signing_key.serialize_pem(),
                "holds the key of another certificate",
            ),
        ] {
            let error = together(chain, key).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(!error.fix().is_empty());
        }
    }

    #[test]
    fn every_root_of_a_file_counts() {
        let (one, two) = (pair(), pair());
        let mut roots = RootCertStore::empty();
        add_roots(&mut roots, (one.cert.pem() + &two.cert.pem()).as_bytes()).unwrap();
        assert_eq!(roots.len(), 2);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = add_roots(&mut roots, (one.cert.pem() + broken).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("certificate 2: "), "{error}");
    }
}
