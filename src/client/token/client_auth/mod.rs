//! How a token request authenticates its client (RFC 6749 2.3, RFC 7523 2.2).

mod own_key;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use self::own_key::OwnKey;
use crate::client::disk::blocking;
use crate::client::token::FetchError;
use crate::client::token::request::Endpoint;
use crate::clock::UnixTime;
use crate::config::{ClientAuthentication, FederatedAssertion, OAuthClient};
use crate::secret::{Secret, SecretSource};

/// `client_assertion_type` of RFC 7523 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client authenticates with, as last read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Means {
    Secret(Secret),
    Key(Arc<OwnKey>),
    Assertion(Secret),
    Nothing,
}

/// What a token request carries for it.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) form: Vec<(&'static str, Secret)>,
    pub(super) authorization: Option<HeaderValue>,
}

impl Means {
    /// What can be kept between requests, read at once. Blocks on small files; `None` if it cannot
    /// be had now, or is another for each request.
    pub(super) fn read_now(client: &OAuthClient) -> Option<Self> {
        match &client.authentication {
            ClientAuthentication::SecretPost(secret)
            | ClientAuthentication::SecretBasic(secret) => secret.load().ok().map(Self::Secret),
            ClientAuthentication::PrivateKeyJwt(definition) => OwnKey::read(definition)
                .ok()
                .map(|key| Self::Key(Arc::new(key))),
            ClientAuthentication::Federated(_) => None,
            ClientAuthentication::None => Some(Self::Nothing),
        }
    }

    /// The same without blocking the runtime, and for each kind of client. The token endpoint did not
    /// take what is in `refused`: a secret elsewhere, or an assertion that we had issued, is asked for anew.
    pub(super) async fn read(
        client: &OAuthClient,
        endpoint: &dyn Endpoint,
        refused: Option<&Self>,
    ) -> Result<Self, FetchError> {
        match &client.authentication {
            ClientAuthentication::SecretPost(secret)
            | ClientAuthentication::SecretBasic(secret) => {
                let refused = refused.and_then(Self::secret);
                let is_refused = |secret: &Secret| refused == Some(secret);
                Ok(Self::Secret(
                    endpoint.load(secret, Some(&is_refused)).await?,
                ))
            }
            ClientAuthentication::PrivateKeyJwt(definition) => {
                let definition = definition.clone();
                let key = blocking(move || OwnKey::read(&definition))
                    .await
                    .map_err(|ended| FetchError::Client(ended.to_string()))??;
                Ok(Self::Key(Arc::new(key)))
            }
            ClientAuthentication::Federated(FederatedAssertion::File(path)) => {
                let file = SecretSource::File(path.clone());
                Ok(Self::Assertion(endpoint.load(&file, None).await?))
            }
            ClientAuthentication::Federated(FederatedAssertion::AwsSts(wanted)) => {
                let refused = refused.and_then(Self::assertion);
                let token = endpoint.web_identity_token(wanted, refused).await?;
                Ok(Self::Assertion(token))
            }
            ClientAuthentication::None => Ok(Self::Nothing),
        }
    }

    fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Assertion(_) | Self::Key(_) | Self::Nothing => None,
        }
    }

    fn assertion(&self) -> Option<&Secret> {
        match self {
            Self::Assertion(assertion) => Some(assertion),
            Self::Secret(_) | Self::Key(_) | Self::Nothing => None,
        }
    }

    /// Whether it serves for the next request too, without being asked for again.
    pub(super) fn lasts(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Key(_) | Self::Nothing => true,
            Self::Assertion(_) => false,
        }
    }

    /// What goes into one token request of `client`.
    pub(super) fn prove(&self, client: &OAuthClient, now: UnixTime) -> Result<Proof, FetchError> {
        let id = || ("client_id", Secret::new(client.client_id.clone()));
        let asserted = |assertion: Secret| Proof {
            form: vec![
                id(),
                ("client_assertion_type", Secret::new(JWT_BEARER.to_owned())),
                ("client_assertion", assertion),
            ],
            authorization: None,
        };
        match (self, &client.authentication) {
            (Self::Secret(secret), ClientAuthentication::SecretBasic(_)) => Ok(Proof {
                form: Vec::new(),
                authorization: form_encoded_basic(&client.client_id, secret),
            }),
            (Self::Secret(secret), _) => Ok(Proof {
                form: vec![id(), ("client_secret", secret.clone())],
                authorization: None,
            }),
            (Self::Key(key), _) => {
                let audience = match &client.authentication {
                    ClientAuthentication::PrivateKeyJwt(definition) => {
                        definition.audience.as_deref()
                    }
                    ClientAuthentication::SecretPost(_)
                    | ClientAuthentication::SecretBasic(_)
                    | ClientAuthentication::Federated(_)
                    | ClientAuthentication::None => None,
                };
                let audience = audience.unwrap_or(client.token_url.as_str());
                key.assertion(&client.client_id, audience, now)
                    .map(asserted)
            }
            (Self::Assertion(assertion), _) => Ok(asserted(assertion.clone())),
            (Self::Nothing, _) => Ok(Proof {
                form: vec![id()],
                authorization: None,
            }),
        }
    }
}

/// RFC 6749 2.3.1: id and secret are form-encoded before they are joined.
fn form_encoded_basic(id: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut pair = Zeroizing::new(String::with_capacity(128));
    pair.extend(byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.expose().as_bytes()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    // base64 is always a header value
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
