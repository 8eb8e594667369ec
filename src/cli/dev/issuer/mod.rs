//! The embedded issuer: discovery, JWK Set and token endpoint of a Cognito user pool, over plain
//! HTTP on loopback. Answers are a pure function of the request, the pool and the time.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::cli::dev::tokens::{
    APP, Client, LIFETIME, POOL_ID, Pool, SERVICE, SERVICE_SCOPES, USER_SCOPE, USERS,
};
use crate::clock::Clock;
use crate::request::headers::single;

/// The issuer's three endpoints.
#[derive(Debug)]
pub(super) struct Issuer {
    pool: Pool,
    clock: Arc<dyn Clock>,
    token_url: String,
}

/// Errors of a token endpoint (RFC 6749 5.2). Cognito sends all of them with status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    /// Ours: signing failed.
    ServerError,
}

impl Refusal {
    fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::ServerError => "server_error",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidRequest
            | Self::InvalidClient
            | Self::InvalidGrant
            | Self::InvalidScope
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType => StatusCode::BAD_REQUEST,
        }
    }
}

type Form = HashMap<String, String>;

impl Issuer {
    /// The issuer at `origin` (scheme and authority), with keys made now.
    pub(super) fn new(
        origin: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self {
            pool: Pool::generate(origin)?,
            clock,
            token_url: format!("{origin}/oauth2/token"),
        })
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Parts, body: &[u8]) -> Response<Bytes> {
        let jwks = format!("/{POOL_ID}/.well-known/jwks.json");
        let discovery = format!("/{POOL_ID}/.well-known/openid-configuration");
        let path = request.uri.path();
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        if path == "/oauth2/token" {
            if request.method != Method::POST {
                return not_allowed("POST");
            }
            return match self.token(request, body) {
                Ok(tokens) => respond(StatusCode::OK, &tokens),
                Err(refusal) => respond(refusal.status(), &json!({ "error": refusal.code() })),
            };
        }
        if path != jwks && path != discovery {
            return respond(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }));
        }
        if !reads {
            return not_allowed("GET, HEAD");
        }
        let document = if path == jwks {
            self.pool.jwks()
        } else {
            self.discovery()
        };
        respond(StatusCode::OK, &document)
    }

    fn discovery(&self) -> Value {
        json!({
            "issuer": self.pool.issuer(),
            "jwks_uri": format!("{}/.well-known/jwks.json", self.pool.issuer()),
            "token_endpoint": self.token_url,
            "grant_types_supported": ["client_credentials", "password"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": [],
            "scopes_supported": SERVICE_SCOPES,
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }

    fn token(&self, request: &Parts, body: &[u8]) -> Result<Value, Refusal> {
        let form = form(request, body)?;
        let client = client(request, &form)?;
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => self.client_credentials(client, &form),
            Some("password") => self.password(client, &form),
            Some(_other) => Err(Refusal::UnsupportedGrantType),
            None => Err(Refusal::InvalidRequest),
        }
    }

    /// RFC 6749 4.4
    fn client_credentials(&self, client: &Client, form: &Form) -> Result<Value, Refusal> {
        if client.secret.is_none() {
            return Err(Refusal::UnauthorizedClient);
        }
        let scope = match form.get("scope").filter(|scope| !scope.is_empty()) {
            Some(asked) if asked.split(' ').all(|one| SERVICE_SCOPES.contains(&one)) => {
                asked.clone()
            }
            Some(_unknown) => return Err(Refusal::InvalidScope),
            None => SERVICE_SCOPES.join(" "),
        };
        let token = self
            .pool
            .service_token(client, &scope, self.clock.now())
            .map_err(|_unspecified| Refusal::ServerError)?;
        Ok(json!({
            "access_token": token.expose(),
            "expires_in": LIFETIME,
            "token_type": "Bearer",
        }))
    }

    /// RFC 6749 4.3. Cognito itself has no such grant; its sign-in API answers with these tokens.
    fn password(&self, client: &Client, form: &Form) -> Result<Value, Refusal> {
        if client.secret.is_some() {
            return Err(Refusal::UnauthorizedClient);
        }
        let (Some(name), Some(password)) = (form.get("username"), form.get("password")) else {
            return Err(Refusal::InvalidRequest);
        };
        if form.get("scope").is_some_and(|scope| scope != USER_SCOPE) {
            return Err(Refusal::InvalidScope);
        }
        let user = USERS
            .iter()
            .find(|user| user.name == name && user.name == password)
            .ok_or(Refusal::InvalidGrant)?;
        let tokens = self
            .pool
            .user_tokens(user, self.clock.now())
            .map_err(|_unspecified| Refusal::ServerError)?;
        Ok(json!({
            "access_token": tokens.access.expose(),
            "id_token": tokens.id.expose(),
            "expires_in": LIFETIME,
            "token_type": "Bearer",
        }))
    }
}

/// The form of a token request: a parameter given twice is refused (RFC 6749 3.2).
fn form(request: &Parts, body: &[u8]) -> Result<Form, Refusal> {
    let kind = single(&request.headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        return Err(Refusal::InvalidRequest);
    }
    let mut form = Form::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Refusal::InvalidRequest);
        }
    }
    Ok(form)
}

/// Which client asks, proven by its secret if it has one: `Authorization: Basic` or the body, not
/// both (RFC 6749 2.3.1).
fn client(request: &Parts, form: &Form) -> Result<&'static Client, Refusal> {
    let basic = match single(&request.headers, &AUTHORIZATION) {
        Ok(value) => value,
        Err(_doubled) => return Err(Refusal::InvalidRequest),
    };
    let (id, secret) = match basic {
        Some(_value) if form.contains_key("client_secret") => return Err(Refusal::InvalidRequest),
        Some(value) => {
            let (id, secret) = basic_credentials(value).ok_or(Refusal::InvalidClient)?;
            (id, Some(secret))
        }
        None => (
            form.get("client_id")
                .cloned()
                .ok_or(Refusal::InvalidRequest)?,
            form.get("client_secret").cloned(),
        ),
    };
    [&APP, &SERVICE]
        .into_iter()
        .find(|client| client.id == id && client.secret == secret.as_deref())
        .ok_or(Refusal::InvalidClient)
}

/// Cognito reads raw base64 of `id:secret`; ours have no character that form-encoding changes.
fn basic_credentials(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn respond(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn not_allowed(allow: &'static str) -> Response<Bytes> {
    let mut response = respond(
        StatusCode::METHOD_NOT_ALLOWED,
        &json!({ "error": "method_not_allowed" }),
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

#[cfg(test)]
mod tests;
