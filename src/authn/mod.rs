//! Credential → principal. Pure: the caller brings the keys and the time.
//!
//! A bearer token walks [`credential`] (found in the request) → [`jws`] (split, header checked) →
//! [`jwk`] (key found, signature verified) → [`jwt`] (claims checked for its [`issuer`]) →
//! [`principal`], whose names the issuer's [`mapping`] reads. A client certificate comes verified:
//! [`certificate`] → [`principal`]. User name and password are read, and what is stored of the password
//! compared, in [`password`]. What a store says of the principal joins it by [`membership`]. What a load
//! balancer says of its user has a form of its own: [`alb`]. A token that only its issuer can judge comes with
//! its answer: [`opaque`].

pub mod alb;
pub mod certificate;
pub mod claims;
pub mod cognito;
pub mod credential;
pub mod deny_list;
pub mod entra;
pub mod issuer;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod mapping;
pub mod membership;
#[cfg(test)]
pub(crate) mod mint;
pub mod opaque;
pub mod password;
pub mod principal;
pub mod profile;
pub mod proof;
pub mod signing;

pub use self::issuer::Issuer;
pub use self::jwk::KeySet;
pub use self::jwt::VerifiedToken;
pub use self::mapping::Mapping;
pub use self::principal::{Principal, PrincipalKind};
