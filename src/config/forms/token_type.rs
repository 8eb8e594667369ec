//! Kinds of tokens (RFC 8693 3).

use url::Url;

use super::Form;

/// `access_token`, `id_token`, `jwt` and the others of RFC 8693 3, or a URI; held as a URI.
#[derive(Clone, Debug)]
pub(in crate::config) struct TokenType(pub(in crate::config) String);

/// The names that RFC 8693 3 registers.
const NAMES: [&str; 6] = [
    "access_token",
    "id_token",
    "jwt",
    "refresh_token",
    "saml1",
    "saml2",
];

impl Form for TokenType {
    const FORMAT: &'static str = "token-type";
    const EXAMPLE: &'static str = "access_token";
    fn read(text: &str) -> Result<Self, String> {
        if NAMES.contains(&text) {
            return Ok(Self(format!("urn:ietf:params:oauth:token-type:{text}")));
        }
        match Url::parse(text) {
            Ok(_uri) => Ok(Self(text.to_owned())),
            Err(_word) => Err(format!(
                "{text:?} is neither a URI nor one of {}",
                NAMES.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_type_is_a_registered_name_or_a_uri() {
        let uri = |text| TokenType::read(text).map(|kind| kind.0);
        let jwt = "urn:ietf:params:oauth:token-type:jwt";
        assert_eq!(uri("jwt").as_deref(), Ok(jwt));
        assert_eq!(uri(jwt).as_deref(), Ok(jwt));
        assert_eq!(uri("urn:acme:t").as_deref(), Ok("urn:acme:t"));
        assert!(uri("acces_token").is_err());
    }
}
