use http_body_util::BodyExt as _;

use super::*;

const BARE: Option<&str> = Some(r#"Bearer realm="gate \"1\"""#);
const INVALID: Option<&str> = Some(r#"Bearer realm="gate \"1\"", error="invalid_token""#);
const PROOF: Option<&str> = Some(
    r#"DPoP realm="gate \"1\"", error="invalid_dpop_proof", algs="ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512""#,
);
const SCOPE: Option<&str> = Some(r#"Bearer realm="gate \"1\"", error="insufficient_scope""#);

/// Every denial with its status and challenge.
const ALL: &[(Denial, u16, Option<&str>)] = &[
    (Denial::AlgorithmRefused, 401, INVALID),
    (Denial::AudienceMismatch, 401, INVALID),
    (Denial::BodyTooLarge, 413, None),
    (Denial::ClaimMismatch, 403, None),
    (Denial::ClientRefused, 403, None),
    (Denial::ConnectionLimit, 429, None),
    (Denial::CredentialAmbiguous, 400, None),
    (Denial::CredentialMissing, 401, BARE),
    (Denial::EgressTargetRefused, 403, None),
    (Denial::EgressUserUnavailable("why"), 403, None),
    (Denial::GroupMissing, 403, None),
    (Denial::GroupsUnresolved, 403, None),
    (Denial::HeadersTooLarge, 431, None),
    (Denial::HostInvalid, 400, None),
    (Denial::IssuerUnknown, 401, INVALID),
    (Denial::KeyUnknown, 401, INVALID),
    (Denial::MethodNotAllowed(Vec::new()), 405, None),
    (Denial::NoRoute, 404, None),
    (Denial::PathAmbiguous, 400, None),
    (Denial::PeerUntrusted, 403, None),
    (Denial::PermissionMissing, 403, None),
    (Denial::PrincipalKindRefused, 403, None),
    (Denial::ProofInvalid, 401, PROOF),
    (Denial::RequestMalformed, 400, None),
    (Denial::RequestTimeout, 408, None),
    (Denial::RoleMissing, 403, None),
    (Denial::ScopeMissing, 403, SCOPE),
    (Denial::SignatureInvalid, 401, INVALID),
    (Denial::SubjectInvalid, 401, INVALID),
    (Denial::TokenClaimMismatch, 401, INVALID),
    (Denial::TokenClientRefused, 401, INVALID),
    (Denial::TokenExpired, 401, INVALID),
    (Denial::TokenMalformed, 401, INVALID),
    (Denial::TokenNotYetValid, 401, INVALID),
    (Denial::TokenRevoked, 401, INVALID),
    (Denial::UserRevoked, 403, None),
    (Denial::TokenTooLarge, 401, INVALID),
    (Denial::TokenTypeRefused, 401, INVALID),
    (Denial::TokenUseMismatch, 401, INVALID),
    (Denial::UriTooLong, 414, None),
];

fn errors(format: ErrorFormat, expose_reason: bool) -> Errors {
    Errors {
        format,
        expose_reason,
        realm: HeaderValue::from_static("gate \"1\""),
    }
}

fn accept(value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(value));
    headers
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn header_of(response: &Response<Body>, name: &HeaderName) -> Option<String> {
    let mut values = response.headers().get_all(name).iter();
    let value = values
        .next()
        .map(|value| value.to_str().unwrap().to_owned());
    assert!(values.next().is_none(), "{name} twice");
    value
}

#[test]
fn every_denial_has_its_status_and_challenge() {
    let errors = errors(ErrorFormat::Problem, false);
    let responder = Responder::new(&errors, &Method::GET, &HeaderMap::new());
    for (denial, status, challenge) in ALL {
        let response = responder.deny(denial);
        assert_eq!(response.status(), *status, "{denial}");
        assert_eq!(
            header_of(&response, &header::WWW_AUTHENTICATE).as_deref(),
            *challenge,
            "{denial}"
        );
        assert_eq!(
            header_of(&response, &header::CACHE_CONTROL).as_deref(),
            Some("no-store")
        );
    }
}

#[test]
fn a_failure_is_5xx_and_says_when_to_try_again() {
    let errors = errors(ErrorFormat::Problem, false);
    let responder = Responder::new(&errors, &Method::GET, &HeaderMap::new());
    let retry_after = Duration::from_millis(2500);
    for (failure, status, retry) in [
        (Failure::KeysUnavailable { retry_after }, 503, Some("3")),
        (
            Failure::EgressTokenUnavailable {
                retry_after: Duration::ZERO,
            },
            503,
            Some("1"),
        ),
        (
            Failure::RevocationsUnavailable { retry_after },
            503,
            Some("3"),
        ),
        (Failure::UpstreamUnreachable, 503, Some("1")),
        (Failure::UpstreamOverloaded, 503, Some("1")),
        (Failure::UpstreamProtocol, 502, Some("1")),
        (Failure::UpstreamTimeout, 504, Some("1")),
        (Failure::InternalError, 500, None),
    ] {
        let response = responder.fail(&failure);
        assert_eq!(response.status(), status, "{failure}");
        assert_eq!(
            header_of(&response, &header::RETRY_AFTER).as_deref(),
            retry,
            "{failure}"
        );
        assert_eq!(header_of(&response, &header::WWW_AUTHENTICATE), None);
    }
}

#[tokio::test]
async fn each_format_has_its_shape() {
    for (format, exposed, media_type, body) in [
        (
            ErrorFormat::Problem,
            true,
            "application/problem+json",
            r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"The credential does not permit this request.","error_code":"PERMISSION_DENIED","message":"The credential does not permit this request.","reason":"group_missing"}"#,
        ),
        (
            ErrorFormat::JsonApi,
            true,
            "application/vnd.api+json",
            r#"{"errors":[{"status":"403","code":"group_missing","title":"Forbidden","detail":"The credential does not permit this request."}]}"#,
        ),
        (
            ErrorFormat::Simple,
            false,
            "application/json",
            r#"{"error":"Insufficient permissions"}"#,
        ),
        (
            ErrorFormat::Detail,
            false,
            "application/json",
            r#"{"detail":"Insufficient permissions"}"#,
        ),
    ] {
        let errors = errors(format, exposed);
        let responder = Responder::new(&errors, &Method::GET, &HeaderMap::new());
        let response = responder.deny(&Denial::GroupMissing);
        assert_eq!(
            header_of(&response, &header::CONTENT_TYPE).as_deref(),
            Some(media_type)
        );
        assert_eq!(text(response).await, body);
    }
}

#[tokio::test]
async fn every_refusal_says_itself_in_every_format() {
    use ErrorFormat::{Detail, JsonApi, Problem, Simple};
    let retry_after = Duration::ZERO;
    let refusals = ALL
        .iter()
        .map(|(denial, _, _)| Refusal::from(denial.clone()))
        .chain(
            [
                Failure::EgressTokenUnavailable { retry_after },
                Failure::InternalError,
                Failure::KeysUnavailable { retry_after },
                Failure::RevocationsUnavailable { retry_after },
                Failure::UpstreamOverloaded,
                Failure::UpstreamProtocol,
                Failure::UpstreamTimeout,
                Failure::UpstreamUnreachable,
            ]
            .map(Refusal::from),
        );
    for refusal in refusals {
        let reason = match &refusal {
            Refusal::Denied(denial) => denial.reason(),
            Refusal::Failed(failure) => failure.reason(),
        };
        for (format, exposed) in [Problem, JsonApi, Simple, Detail]
            .into_iter()
            .flat_map(|format| [(format, false), (format, true)])
        {
            let errors = errors(format, exposed);
            let responder = Responder::new(&errors, &Method::GET, &HeaderMap::new());
            let response = responder.refuse(&refusal);
            let status = response.status();
            let text = text(response).await;
            let body: serde_json::Value = serde_json::from_str(&text).expect(&text);
            let (told, at) = match format {
                Problem => {
                    assert_eq!(body["status"], status.as_u16(), "{text}");
                    assert!(body["error_code"].is_string() && body["message"].is_string());
                    (&body["detail"], &body["reason"])
                }
                JsonApi => {
                    let error = &body["errors"][0];
                    assert_eq!(error["status"], status.as_str(), "{text}");
                    (&error["detail"], &error["code"])
                }
                Simple => (&body["error"], &body["reason"]),
                Detail => (&body["detail"], &body["reason"]),
            };
            assert!(told.is_string(), "{text}");
            assert_eq!(at.as_str(), exposed.then_some(reason), "{text}");
        }
    }
}

#[tokio::test]
async fn a_grpc_client_is_told_by_the_status_alone() {
    let errors = errors(ErrorFormat::Problem, true);
    for (content_type, is_grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=x", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let responder = Responder::new(&errors, &Method::POST, &headers);
        let response = responder.deny(&Denial::TokenExpired);
        assert_eq!(response.status(), 401);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
        for of_a_body in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
            assert_eq!(response.headers().contains_key(of_a_body), !is_grpc);
        }
        assert_eq!(text(response).await.is_empty(), is_grpc, "{content_type}");
    }
}

#[test]
fn accept_chooses_the_format() {
    use ErrorFormat::{Detail, JsonApi, Problem, Simple};
    for (value, configured, format) in [
        ("*/*", Simple, Simple),
        ("text/html, */*;q=0.1", Problem, Problem),
        ("application/json", Problem, Simple),
        ("application/json", Detail, Detail),
        ("Application/Problem+JSON; charset=utf-8", Simple, Problem),
        ("text/html, application/vnd.api+json", Simple, JsonApi),
        (
            "application/json;q=0, application/problem+json",
            Simple,
            Problem,
        ),
    ] {
        assert_eq!(accepted(&accept(value), configured), format, "{value}");
    }
}

#[tokio::test]
async fn head_gets_the_headers_without_the_body() {
    let errors = errors(ErrorFormat::Simple, false);
    let get = Responder::new(&errors, &Method::GET, &HeaderMap::new());
    let head = Responder::new(&errors, &Method::HEAD, &HeaderMap::new());
    let (get, head) = (get.deny(&Denial::NoRoute), head.deny(&Denial::NoRoute));
    assert_eq!(get.headers(), head.headers());
    assert_eq!(text(head).await, "");
    assert_eq!(text(get).await, r#"{"error":"Not found"}"#);
}

#[test]
fn a_405_lists_the_methods() {
    let errors = errors(ErrorFormat::Simple, false);
    let responder = Responder::new(&errors, &Method::GET, &HeaderMap::new());
    let response = responder.deny(&Denial::MethodNotAllowed(vec![Method::GET, Method::HEAD]));
    assert_eq!(
        header_of(&response, &header::ALLOW).as_deref(),
        Some("GET, HEAD")
    );
}
