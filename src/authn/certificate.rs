//! Client certificate → principal. The handshake verified it; here its names and dates are judged.

use crate::authn::principal::{self, Principal, PrincipalKind};
use crate::certificate::Certificate;
use crate::clock::UnixTime;
use crate::reason::Denial;

/// What stands for an issuer's name where a client certificate proved the principal: no
/// `[issuers.X]` table may have it on a gateway that accepts them.
pub const ISSUER: &str = "mtls";

/// The service a certificate names: its SPIFFE ID, else its subject. No leeway: `notAfter` is the
/// last moment.
pub fn principal(certificate: &Certificate, now: UnixTime) -> Result<Principal, Denial> {
    if certificate.has_expired(now) {
        return Err(Denial::TokenExpired);
    }
    if now < certificate.not_before {
        return Err(Denial::TokenNotYetValid);
    }
    let id = principal::identifier(name(certificate)?)?;
    Ok(Principal {
        client_id: Some(id.clone()),
        ..Principal::alone(PrincipalKind::Service, ISSUER, id)
    })
}

/// A certificate with a SPIFFE ID has that URI and no other (X509-SVID 2); one that has more is
/// nobody's, rather than its subject's.
fn name(certificate: &Certificate) -> Result<&str, Denial> {
    let is_spiffe = |uri: &String| {
        uri.get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
    };
    match certificate.uris.as_slice() {
        [uri] if is_spiffe(uri) => spiffe_id(uri).ok_or(Denial::SubjectInvalid),
        uris if uris.iter().any(is_spiffe) => Err(Denial::SubjectInvalid),
        _uris => Ok(&certificate.subject),
    }
}

/// A SPIFFE ID (SPIFFE-ID 2) that names a workload, in its one spelling.
fn spiffe_id(uri: &str) -> Option<&str> {
    let (trust_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
    let in_domain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let holds = !trust_domain.is_empty()
        && trust_domain.bytes().all(in_domain)
        && path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_segment));
    holds.then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Fingerprint;

    fn certificate(subject: &str, uris: &[&str]) -> Certificate {
        Certificate {
            subject: subject.to_owned(),
            uris: uris.iter().map(|&uri| uri.to_owned()).collect(),
            not_before: UnixTime(100),
            not_after: UnixTime(200),
            fingerprint: Fingerprint([7; 32]),
        }
    }

    #[test]
    fn a_certificate_names_a_service_by_its_spiffe_id_or_its_subject() {
        let long = format!("spiffe://example.org/{}", "a".repeat(240));
        let names = |subject: &str, uris: &[&str]| {
            principal(&certificate(subject, uris), UnixTime(150)).map(|proven| proven.user_id)
        };
        let id = "spiffe://example.org/ns/prod/sa/orders";
        for (subject, uris, expected) in [
            ("CN=orders", &[id][..], Ok(id)),
            ("", &[id], Ok(id)),
            (
                "CN=orders,O=Ex\\, Ample",
                &[],
                Ok("CN=orders,O=Ex\\, Ample"),
            ),
            ("CN=orders", &["https://orders.example/"], Ok("CN=orders")),
            // never the subject where a SPIFFE ID was meant
            ("CN=admin", &[id, "https://orders.example/"], Err(())),
            ("CN=admin", &[id, id], Err(())),
            ("CN=admin", &["spiffe://example.org"], Err(())),
            ("CN=admin", &["spiffe://example.org/"], Err(())),
            ("CN=admin", &["spiffe://example.org/a//b"], Err(())),
            ("CN=admin", &["spiffe://example.org/a/../b"], Err(())),
            ("CN=admin", &["spiffe://example.org/a?b"], Err(())),
            ("CN=admin", &["spiffe://example.org/%61"], Err(())),
            ("CN=admin", &["spiffe://Example.org/a"], Err(())),
            ("CN=admin", &["spiffe://example.org:1/a"], Err(())),
            ("CN=admin", &["spiffe:///a"], Err(())),
            ("CN=admin", &["SPIFFE://example.org/a"], Err(())),
            ("CN=admin", &[&long], Err(())),
            ("CN=a\u{85}b", &[], Err(())),
            ("", &[], Err(())),
        ] {
            let expected = expected
                .map(str::to_owned)
                .map_err(|()| Denial::SubjectInvalid);
            assert_eq!(names(subject, uris), expected, "{subject:?} {uris:?}");
        }
        let proven = principal(&certificate("", &[id]), UnixTime(150)).unwrap();
        assert_eq!(proven.kind, PrincipalKind::Service);
        assert_eq!(
            (&*proven.issuer, proven.client_id.as_deref()),
            (ISSUER, Some(id))
        );
        // no rule on them holds, not even that there are none
        for names in [proven.groups, proven.roles, proven.permissions] {
            assert_eq!(names, principal::Names::Unresolved);
        }
    }

    #[test]
    fn a_certificate_counts_from_its_first_moment_to_its_last() {
        for (now, expected) in [
            (99, Some(Denial::TokenNotYetValid)),
            (100, None),
            (200, None),
            (201, Some(Denial::TokenExpired)),
        ] {
            let judged = principal(&certificate("CN=orders", &[]), UnixTime(now));
            assert_eq!(judged.err(), expected, "{now}");
        }
    }
}
