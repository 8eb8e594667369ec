//! What `gatepost token` prints.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::client::aws::AwsKeys;
use crate::client::token::{Bearer, Granted, LifeFrom, peek};
use crate::clock::UnixTime;
use crate::config::{ClientAuthentication, FederatedAssertion, OAuthClient};
use crate::secret::Secret;

/// Lines of name and value.
pub(super) struct Table(pub(super) String);

impl Table {
    pub(super) fn new(name: &str) -> Self {
        let mut table = Self(String::new());
        table.row("credential", name);
        table
    }

    pub(super) fn row(&mut self, name: &str, value: &str) {
        // writing to a String cannot fail
        let _infallible = writeln!(self.0, "{name:<12} {value}");
    }

    pub(super) fn client(&mut self, client: &OAuthClient) {
        self.row("token_url", client.token_url.as_str());
        self.row("client_id", &client.client_id);
        let how = match &client.authentication {
            ClientAuthentication::SecretPost(_) => "client_secret_post",
            ClientAuthentication::SecretBasic(_) => "client_secret_basic",
            ClientAuthentication::PrivateKeyJwt(_) => "private_key_jwt",
            ClientAuthentication::Federated(FederatedAssertion::File(_)) => {
                "private_key_jwt, by somebody else's assertion"
            }
            ClientAuthentication::Federated(FederatedAssertion::AwsSts(_)) => {
                "private_key_jwt, by an assertion of AWS STS"
            }
            ClientAuthentication::None => "none",
        };
        self.row("auth_method", how);
    }

    /// Keys by their end and no more: none of them belongs on a screen.
    pub(super) fn keys(&mut self, granted: &Granted<AwsKeys>, now: UnixTime) {
        let keys = &granted.credential;
        self.row("access key", &format!("…{}", keys.last_four()));
        if let Some(role) = &keys.role_arn {
            // as JSON: somebody else chose the text
            self.row("role", &Value::from(role.as_str()).to_string());
        }
        match granted.life_from {
            LifeFrom::Unstated | LifeFrom::Endless => self.row("expires at", "not stated"),
            LifeFrom::ExpiresIn | LifeFrom::Exp | LifeFrom::Expiration | LifeFrom::Fleet { .. } => {
                let seconds = granted.life.as_secs();
                self.row("lifetime", &format!("{seconds} s (Expiration)"));
                self.row("expires at", &now.plus(seconds).to_string());
            }
        }
    }

    pub(super) fn granted(&mut self, granted: &Granted<Bearer>, now: UnixTime) {
        let seconds = granted.life.as_secs();
        let from = match granted.life_from {
            LifeFrom::ExpiresIn => "expires_in",
            LifeFrom::Exp => "the token's exp",
            LifeFrom::Expiration => "Expiration",
            LifeFrom::Unstated | LifeFrom::Endless => "not stated by the endpoint, assumed",
            LifeFrom::Fleet { .. } => "another sidecar",
        };
        self.row("token type", "Bearer");
        self.row("lifetime", &format!("{seconds} s ({from})"));
        self.row("expires at", &now.plus(seconds).to_string());
        match &granted.scope {
            // as JSON: the endpoint chose the text
            Some(scope) => self.row("scopes", &Value::from(scope.as_str()).to_string()),
            None => self.row("scopes", "not stated"),
        }
    }

    /// Header and claims of a JWT; the token itself only if it is to be shown.
    pub(super) fn token(&mut self, token: &Secret, show: bool) {
        match peek(token.expose()) {
            Some(jwt) => {
                self.row("format", "JWT");
                self.members(&jwt.header, &["alg", "kid"]);
                self.members(&jwt.claims, &["iss", "aud", "client_id", "scope", "exp"]);
            }
            None => self.row("format", "opaque"),
        }
        if show {
            self.row("token", token.expose());
        }
    }

    fn members(&mut self, object: &Map<String, Value>, names: &[&str]) {
        for name in names {
            if let Some(value) = object.get(*name) {
                let mut text = value.to_string();
                if let ("exp", Some(at)) = (*name, value.as_u64()) {
                    let _infallible = write!(text, " ({})", UnixTime(at));
                }
                self.row(name, &text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn granted() -> Granted<Bearer> {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let token = format!(
            "{}.{}.{}",
            part(r#"{"alg":"RS256","kid":"k\n1"}"#),
            part(
                r#"{"iss":"https://i.test","aud":["a"],"client_id":"c","exp":1700003600,"sub":"private"}"#
            ),
            part("signature")
        );
        Granted {
            credential: Bearer::new(Secret::new(token)).unwrap(),
            life: Duration::from_secs(3600),
            life_from: LifeFrom::ExpiresIn,
            scope: Some("a\u{1b}[2J b".to_owned()),
        }
    }

    fn table(show: bool) -> String {
        let mut table = Table::new("billing");
        let granted = granted();
        table.granted(&granted, UnixTime(1_700_000_000));
        table.token(granted.credential.token(), show);
        table.0
    }

    #[test]
    fn a_token_is_described_and_not_shown() {
        assert_eq!(
            table(false),
            "credential   billing\n\
             token type   Bearer\n\
             lifetime     3600 s (expires_in)\n\
             expires at   2023-11-14T23:13:20Z\n\
             scopes       \"a\\u001b[2J b\"\n\
             format       JWT\n\
             alg          \"RS256\"\n\
             kid          \"k\\n1\"\n\
             iss          \"https://i.test\"\n\
             aud          [\"a\"]\n\
             client_id    \"c\"\n\
             exp          1700003600 (2023-11-14T23:13:20Z)\n"
        );
        assert!(table(true).contains(granted().credential.token().expose()));
    }
}
