//! docs/reason-codes.md lists exactly the codes of `reason.rs`, with the statuses that are sent.

use std::collections::BTreeSet;
use std::time::Duration;

use gatepost::config::{ErrorFormat, Errors};
use gatepost::reason::{Denial, Failure};
use gatepost::server::respond::{Responder, status_of};
use http::{HeaderMap, HeaderValue, Method};

/// One value of every variant. The match makes a new variant fail to compile here, and its line
/// here makes it fail in the document.
macro_rules! every {
    ($name:ident: $type:ty { $($pattern:pat => $value:expr,)* }) => {
        fn $name() -> Vec<$type> {
            let _complete = |value: &$type| match value {
                $($pattern => (),)*
            };
            vec![$($value),*]
        }
    };
}

every!(denials: Denial {
    Denial::AlgorithmRefused => Denial::AlgorithmRefused,
    Denial::AudienceMismatch => Denial::AudienceMismatch,
    Denial::BodyTooLarge => Denial::BodyTooLarge,
    Denial::ClaimMismatch => Denial::ClaimMismatch,
    Denial::ClientRefused => Denial::ClientRefused,
    Denial::ConnectionLimit => Denial::ConnectionLimit,
    Denial::CredentialAmbiguous => Denial::CredentialAmbiguous,
    Denial::CredentialMissing => Denial::CredentialMissing,
    Denial::EgressTargetRefused => Denial::EgressTargetRefused,
    Denial::EgressUserUnavailable(_) => Denial::EgressUserUnavailable("why"),
    Denial::GroupMissing => Denial::GroupMissing,
    Denial::GroupsUnresolved => Denial::GroupsUnresolved,
    Denial::HeadersTooLarge => Denial::HeadersTooLarge,
    Denial::HostInvalid => Denial::HostInvalid,
    Denial::IssuerUnknown => Denial::IssuerUnknown,
    Denial::KeyUnknown => Denial::KeyUnknown,
    Denial::LockedOut { .. } => Denial::LockedOut { retry_after: LATER },
    Denial::LoginChallenge => Denial::LoginChallenge,
    Denial::MethodNotAllowed(_) => Denial::MethodNotAllowed(vec![Method::GET]),
    Denial::NoRoute => Denial::NoRoute,
    Denial::PasswordRefused => Denial::PasswordRefused,
    Denial::PathAmbiguous => Denial::PathAmbiguous,
    Denial::PeerUntrusted => Denial::PeerUntrusted,
    Denial::PermissionMissing => Denial::PermissionMissing,
    Denial::PrincipalKindRefused => Denial::PrincipalKindRefused,
    Denial::ProofInvalid => Denial::ProofInvalid,
    Denial::RateLimited { .. } => Denial::RateLimited { retry_after: LATER },
    Denial::RequestMalformed => Denial::RequestMalformed,
    Denial::RequestTimeout => Denial::RequestTimeout,
    Denial::RoleMissing => Denial::RoleMissing,
    Denial::ScopeMissing => Denial::ScopeMissing,
    Denial::SignatureInvalid => Denial::SignatureInvalid,
    Denial::SubjectInvalid => Denial::SubjectInvalid,
    Denial::TokenClaimMismatch => Denial::TokenClaimMismatch,
    Denial::TokenClientRefused => Denial::TokenClientRefused,
    Denial::TokenExpired => Denial::TokenExpired,
    Denial::TokenInactive => Denial::TokenInactive,
    Denial::TokenMalformed => Denial::TokenMalformed,
    Denial::TokenNotYetValid => Denial::TokenNotYetValid,
    Denial::TokenRevoked => Denial::TokenRevoked,
    Denial::TokenTooLarge => Denial::TokenTooLarge,
    Denial::TokenTypeRefused => Denial::TokenTypeRefused,
    Denial::TokenUseMismatch => Denial::TokenUseMismatch,
    Denial::UriTooLong => Denial::UriTooLong,
    Denial::UserRevoked => Denial::UserRevoked,
});

const LATER: Duration = Duration::from_secs(5);

every!(failures: Failure {
    Failure::EgressTokenUnavailable { .. } => Failure::EgressTokenUnavailable { retry_after: LATER },
    Failure::InternalError => Failure::InternalError,
    Failure::IssuerUnavailable { .. } => Failure::IssuerUnavailable { retry_after: LATER },
    Failure::KeysUnavailable { .. } => Failure::KeysUnavailable { retry_after: LATER },
    Failure::LoginUnavailable { .. } => Failure::LoginUnavailable { retry_after: LATER },
    Failure::LoginUnusable => Failure::LoginUnusable,
    Failure::MembershipsUnavailable { .. } => Failure::MembershipsUnavailable { retry_after: LATER },
    Failure::PasswordsUnavailable { .. } => Failure::PasswordsUnavailable { retry_after: LATER },
    Failure::RevocationsUnavailable { .. } => Failure::RevocationsUnavailable { retry_after: LATER },
    Failure::UpstreamOverloaded => Failure::UpstreamOverloaded,
    Failure::UpstreamProtocol => Failure::UpstreamProtocol,
    Failure::UpstreamTimeout => Failure::UpstreamTimeout,
    Failure::UpstreamUnreachable => Failure::UpstreamUnreachable,
});

/// `(code, status)` of each row of the table under this heading.
fn documented(heading: &str) -> Vec<(String, u16)> {
    include_str!("../../docs/reason-codes.md")
        .lines()
        .skip_while(|line| !line.starts_with(heading))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert!(cells.len() == 6 && cells.iter().skip(1).take(4).all(|cell| !cell.is_empty()));
            (
                cells[1].trim_matches('`').to_owned(),
                cells[2].parse().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_denial_is_documented_with_its_status() {
    let known: Vec<(String, u16)> = denials()
        .iter()
        .map(|denial| (denial.reason().to_owned(), status_of(denial).as_u16()))
        .collect();
    // the variants are in alphabetical order, the document is by code
    let by_code = |mut list: Vec<(String, u16)>| {
        list.sort();
        list
    };
    assert_eq!(by_code(documented("## Denials")), by_code(known));
}

#[test]
fn the_list_of_reasons_holds_each_once() {
    let all = denials();
    let known: BTreeSet<&str> = all.iter().map(Denial::reason).collect();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), Denial::REASONS);
}

#[test]
fn every_failure_is_documented_with_its_status() {
    let errors = Errors {
        format: ErrorFormat::Problem,
        expose_reason: false,
        realm: HeaderValue::from_static("gatepost"),
    };
    let responder = Responder::new(&errors, &Method::GET, &HeaderMap::new());
    let known: Vec<(String, u16)> = failures()
        .iter()
        .map(|failure| {
            let status = responder.fail(failure).status().as_u16();
            (failure.reason().to_owned(), status)
        })
        .collect();
    assert_eq!(documented("## Failures"), known);
}
