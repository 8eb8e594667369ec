//! How a client authenticates at its token endpoint: in exactly one way.

use url::Url;
use zeroize::Zeroizing;

use super::super::super::error::KeyPath;
use super::super::super::raw::{self, AuthMethod};
use super::super::super::{ClientAuthentication, FederatedAssertion, PrivateKeyJwt};
use super::super::Resolver;
use crate::authn::signing::SigningKey;
use crate::certificate;

/// What authenticates a client, by the key that says so.
const WAYS: [&str; 4] = [
    "client_secret",
    "client_key_file",
    "client_assertion_file",
    "client_assertion_aws",
];

impl Resolver<'_> {
    pub(in super::super) fn client_authentication(
        &mut self,
        raw: &raw::OAuthClient,
        token_url: Option<&Url>,
        path: &KeyPath,
    ) -> Option<ClientAuthentication> {
        let stated = [
            raw.client_secret.is_some(),
            raw.client_key_file.is_some(),
            raw.client_assertion_file.is_some(),
            raw.client_assertion_aws.is_some(),
        ];
        let mut ways = WAYS.iter().zip(stated).filter(|(_, stated)| *stated);
        let way = ways.next().map(|(key, _)| *key);
        let mut sound = true;
        for (further, _) in ways {
            let message = match way {
                Some(way) => format!("{way} authenticates this client already"),
                None => continue,
            };
            self.mistakes
                .push(&path.key(further), message, "keep one of them");
            sound = false;
        }
        let way_fits = match (way, raw.auth_method) {
            (_, None)
            | (
                Some("client_secret"),
                Some(AuthMethod::ClientSecretPost | AuthMethod::ClientSecretBasic),
            )
            | (
                Some("client_key_file" | "client_assertion_file" | "client_assertion_aws"),
                Some(AuthMethod::PrivateKeyJwt),
            )
            | (None, Some(_)) => true,
            (Some(way), Some(method)) => {
                let message = format!("{} does not go with {way}", word(method));
                let fix = "remove auth_method: it follows from what authenticates the client";
                self.mistakes.push(&path.key("auth_method"), message, fix);
                false
            }
        };
        let parts_fit = self.parts_of_a_key(raw, path);
        if !(sound && way_fits && parts_fit) {
            return None;
        }
        if let Some(secret) = &raw.client_secret {
            let (secret, _) = self.secret(secret, &path.key("client_secret"))?;
            let in_body = match raw.auth_method {
                Some(AuthMethod::ClientSecretPost) => true,
                None => raw.domain.is_some() || token_url.is_some_and(wants_post),
                Some(
                    AuthMethod::ClientSecretBasic | AuthMethod::PrivateKeyJwt | AuthMethod::None,
                ) => false,
            };
            return Some(if in_body {
                ClientAuthentication::SecretPost(secret)
            } else {
                ClientAuthentication::SecretBasic(secret)
            });
        }
        if raw.client_key_file.is_some() {
            return self
                .private_key_jwt(raw, path)
                .map(ClientAuthentication::PrivateKeyJwt);
        }
        if let Some(file) = &raw.client_assertion_file {
            // its issuer changes it every few minutes: read for each request instead of watched
            return Some(ClientAuthentication::Federated(FederatedAssertion::File(
                file.clone(),
            )));
        }
        if let Some(wanted) = &raw.client_assertion_aws {
            let at = path.key("client_assertion_aws");
            let wanted = self.web_identity_token(wanted, token_url, &at)?;
            return Some(ClientAuthentication::Federated(FederatedAssertion::AwsSts(
                wanted,
            )));
        }
        if let Some(AuthMethod::None) = raw.auth_method {
            return Some(ClientAuthentication::None);
        }
        let said = |key: &&str| self.mistakes.settled.contains(&path.key(key));
        if !WAYS.iter().any(said) {
            self.mistakes.push(
                &path.key("client_secret"),
                "missing: nothing authenticates this client",
                "write client_secret = { env = \"NAME\" }, client_key_file, client_assertion_file or \
                 client_assertion_aws",
            );
        }
        None
    }

    /// Whether what belongs to a key has one.
    fn parts_of_a_key(&mut self, raw: &raw::OAuthClient, path: &KeyPath) -> bool {
        if raw.client_key_file.is_some() {
            return true;
        }
        let mut sound = true;
        for (key, stated) in [
            (
                "client_certificate_file",
                raw.client_certificate_file.is_some(),
            ),
            ("client_key_id", raw.client_key_id.is_some()),
            (
                "client_assertion_algorithm",
                raw.client_assertion_algorithm.is_some(),
            ),
            (
                "client_assertion_audience",
                raw.client_assertion_audience.is_some(),
            ),
        ] {
            if stated {
                self.mistakes.push(
                    &path.key(key),
                    "there is no key it could belong to",
                    "add client_key_file = \"…\", or remove this",
                );
                sound = false;
            }
        }
        sound
    }

    /// The key can sign as asked, and the certificate is its own.
    fn private_key_jwt(&mut self, raw: &raw::OAuthClient, path: &KeyPath) -> Option<PrivateKeyJwt> {
        let key_file = raw.client_key_file.as_ref()?;
        let key_at = path.key("client_key_file");
        let pem = self.file(key_file, &key_at).map(Zeroizing::new)?;
        let der = self.right(certificate::private_key(&pem), &key_at)?;
        let key = self.right(SigningKey::new(&der), &key_at)?;
        if let Some(file) = &raw.client_certificate_file {
            let at = path.key("client_certificate_file");
            let pem = self.file(file, &at)?;
            let chain = self.right(certificate::chain(&pem), &at)?;
            self.dates(chain.get(..1).unwrap_or_default(), &at);
            self.right(certificate::certified_key(chain, der), &at)?;
        }
        let algorithm = raw.client_assertion_algorithm.as_ref().map(|text| text.0);
        if let Some(wanted) = algorithm.filter(|wanted| !key.algorithms().contains(wanted)) {
            let able: Vec<_> = key.algorithms().iter().map(|able| able.as_str()).collect();
            self.mistakes.push(
                &path.key("client_assertion_algorithm"),
                format!("the key does not sign by {}", wanted.as_str()),
                format!("write one of {}, or remove this", able.join(", ")),
            );
            return None;
        }
        Some(PrivateKeyJwt {
            key_file: key_file.clone(),
            certificate_file: raw.client_certificate_file.clone(),
            key_id: raw.client_key_id.as_ref().map(|text| text.0.0.clone()),
            algorithm,
            audience: raw
                .client_assertion_audience
                .as_ref()
                .map(|text| text.0.0.clone()),
        })
    }
}

fn word(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::PrivateKeyJwt => "private_key_jwt",
        AuthMethod::None => "none",
    }
}

/// Cognito and Entra take the secret in the body; RFC 6749 2.3.1 prefers Basic for the others.
fn wants_post(token_url: &Url) -> bool {
    super::entra::is_entra(token_url)
        || token_url
            .host_str()
            .is_some_and(|host| host.ends_with(".amazoncognito.com"))
}
