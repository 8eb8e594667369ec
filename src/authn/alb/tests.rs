use base64::engine::general_purpose::{URL_SAFE as PADDED, URL_SAFE_NO_PAD as UNPADDED};
use http::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::authn::issuer::{Accepted, ClaimMap};
use crate::authn::mapping::Mapping;
use crate::authn::mint::SigningKey;
use crate::authn::principal::PrincipalKind;
use crate::authn::proof::Bound;
use crate::steps::Transcript;

const KID: &str = "c0ffee00-1111-2222-3333-444455556666";
const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/edge/50dc6c495c0c9188";
const ISS: &str = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC123DEF";
const END: u64 = 1_800_000_000;

fn issuer() -> Issuer {
    Issuer {
        name: Arc::from("edge"),
        accepted_iss: vec![ISS.to_owned()],
        algorithms: vec![Algorithm::ES256],
        leeway: 60,
        max_token_age: None,
        required_claims: vec![],
        claims: ClaimMap::alb(),
        mapping: Mapping::default(),
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        preset: Preset::Alb {
            signers: vec![SIGNER.to_owned()],
            client_ids: Accepted::OneOf(vec!["client".to_owned()]),
            access_token: None,
        },
    }
}

fn header() -> Value {
    json!({
        "alg": "ES256", "typ": "JWT", "kid": KID, "signer": SIGNER, "iss": ISS, "client": "client",
        "exp": END,
    })
}

fn payload() -> Value {
    json!({"sub": "ada", "email": "ada@example.com", "iss": ISS, "exp": END})
}

/// `value` with these members added or replaced; `null` removes one.
fn with(mut value: Value, more: &Value) -> Value {
    for (name, member) in more.as_object().unwrap() {
        if member.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = member.clone();
        }
    }
    value
}

fn signed(key: &SigningKey, base64: &GeneralPurpose, header: &Value, payload: &Value) -> String {
    let part = |json: &Value| base64.encode(json.to_string());
    let input = format!("{}.{}", part(header), part(payload));
    let signature = base64.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn keys(key: &SigningKey) -> KeySet {
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(key.spki())
    );
    let id = Arc::from(KID);
    KeySet::from_pems([(&id, pem.as_bytes())].into_iter(), &[Algorithm::ES256]).unwrap()
}

/// As the gate does it, at a moment before [`END`].
fn judged(text: &str, keys: &KeySet, issuer: &Issuer) -> Result<VerifiedToken, Denial> {
    let statement = Statement::parse(text)?;
    if !statement.is_of(issuer, &mut ()) {
        return Err(Denial::IssuerUnknown);
    }
    statement.is_worth_a_key(issuer, UnixTime(END - 1))?;
    let token = statement.verify(issuer, keys, &mut Transcript::default())?;
    token.judge(issuer, UnixTime(END - 1), &mut ())?;
    Ok(token)
}

#[test]
fn a_statement_names_its_user_whether_its_parts_are_padded_or_not() {
    let key = SigningKey::new(Algorithm::ES256);
    for base64 in [PADDED, UNPADDED] {
        let text = signed(&key, &base64, &header(), &payload());
        let token = judged(&text, &keys(&key), &issuer()).unwrap();
        let user = &token.principal;
        assert_eq!((&*user.issuer, user.user_id.as_str()), ("edge", "ada"));
        assert_eq!(user.kind, PrincipalKind::User);
        assert_eq!(user.client_id.as_deref(), Some("client"));
        assert_eq!(user.email.as_deref(), Some("ada@example.com"));
        assert_eq!(user.groups, Names::Unresolved);
        assert_eq!(user.roles, Names::Unresolved);
        assert_eq!(user.permissions, Names::Unresolved);
        assert_eq!(token.expires_at, UnixTime(END));
        assert_eq!(token.key_id.as_deref(), Some(KID));
    }
}

#[test]
fn groups_are_known_where_the_table_says_in_which_claim_they_stand() {
    let key = SigningKey::new(Algorithm::ES256);
    let mut issuer = issuer();
    issuer.claims.groups = ClaimMap::generic().groups;
    let payload = with(payload(), &json!({"groups": ["ops"]}));
    let text = signed(&key, &PADDED, &header(), &payload);
    let token = judged(&text, &keys(&key), &issuer).unwrap();
    assert_eq!(token.principal.groups, Names::Known(vec!["ops".to_owned()]));
    assert_eq!(token.principal.roles, Names::Unresolved);
}

#[test]
fn the_earlier_end_of_header_and_payload_counts() {
    let key = SigningKey::new(Algorithm::ES256);
    for (in_header, in_payload, end) in [
        (END + 9, json!(END), END),
        (END, json!(END + 9), END),
        (END, Value::Null, END),
    ] {
        let text = signed(
            &key,
            &PADDED,
            &with(header(), &json!({"exp": in_header})),
            &with(payload(), &json!({"exp": in_payload})),
        );
        let token = judged(&text, &keys(&key), &issuer()).unwrap();
        assert_eq!(token.expires_at, UnixTime(end));
    }
}

#[test]
fn every_other_header_is_refused_for_what_is_wrong_with_it() {
    let key = SigningKey::new(Algorithm::ES256);
    let keys = keys(&key);
    let long = "f".repeat(37);
    for (change, expected) in [
        (json!({"alg": "none"}), Denial::AlgorithmRefused),
        (json!({"alg": "HS256"}), Denial::AlgorithmRefused),
        (json!({"alg": "RS256"}), Denial::AlgorithmRefused),
        (json!({"alg": "ES384"}), Denial::AlgorithmRefused),
        (json!({"alg": null}), Denial::AlgorithmRefused),
        (json!({"crit": ["exp"]}), Denial::TokenMalformed),
        (json!({"typ": "dpop+jwt"}), Denial::TokenTypeRefused),
        (json!({"b64": false}), Denial::TokenMalformed),
        (json!({"kid": null}), Denial::KeyUnknown),
        (json!({"kid": ""}), Denial::KeyUnknown),
        (json!({"kid": 1}), Denial::KeyUnknown),
        (json!({"kid": "../../etc/passwd"}), Denial::KeyUnknown),
        (
            json!({"kid": "../ffee00-1111-2222-3333-444455556666"}),
            Denial::KeyUnknown,
        ),
        (json!({"kid": long}), Denial::KeyUnknown),
        (
            json!({"kid": "00000000-1111-2222-3333-444455556666"}),
            Denial::KeyUnknown,
        ),
        (json!({"signer": null}), Denial::IssuerUnknown),
        (json!({"signer": [SIGNER]}), Denial::IssuerUnknown),
        (
            json!({"signer": SIGNER.replace("edge", "evil")}),
            Denial::IssuerUnknown,
        ),
        (
            json!({"signer": format!("{SIGNER}0")}),
            Denial::IssuerUnknown,
        ),
        (json!({"iss": null}), Denial::IssuerUnknown),
        (json!({"iss": format!("{ISS}/")}), Denial::IssuerUnknown),
        (json!({"client": null}), Denial::TokenClientRefused),
        (json!({"client": "other"}), Denial::TokenClientRefused),
        (json!({"client": ["client"]}), Denial::TokenClientRefused),
        (json!({"exp": null}), Denial::TokenMalformed),
        (json!({"exp": END.to_string()}), Denial::TokenMalformed),
        (json!({"exp": END - 61}), Denial::TokenExpired),
    ] {
        let text = signed(&key, &PADDED, &with(header(), &change), &payload());
        let denied = judged(&text, &keys, &issuer()).unwrap_err();
        assert_eq!(denied, expected, "{change}");
    }
}

#[test]
fn every_other_payload_is_refused_for_what_is_wrong_with_it() {
    let key = SigningKey::new(Algorithm::ES256);
    let keys = keys(&key);
    for (change, expected) in [
        (json!({"iss": null}), Denial::IssuerUnknown),
        (
            json!({"iss": "https://other.example"}),
            Denial::IssuerUnknown,
        ),
        (json!({"sub": null}), Denial::SubjectInvalid),
        (json!({"sub": "a\u{0}"}), Denial::SubjectInvalid),
        (json!({"exp": END - 61}), Denial::TokenExpired),
        (json!({"exp": "soon"}), Denial::TokenMalformed),
        (json!({"nbf": END + 600}), Denial::TokenNotYetValid),
        (json!({"cnf": {"jkt": "x"}}), Denial::TokenTypeRefused),
    ] {
        let text = signed(&key, &PADDED, &header(), &with(payload(), &change));
        let denied = judged(&text, &keys, &issuer()).unwrap_err();
        assert_eq!(denied, expected, "{change}");
    }
}

#[test]
fn a_changed_statement_is_not_the_signed_one() {
    let key = SigningKey::new(Algorithm::ES256);
    let keys = keys(&key);
    let text = signed(&key, &PADDED, &header(), &payload());
    assert!(judged(&text, &keys, &issuer()).is_ok());
    let (input, signature) = text.rsplit_once('.').unwrap();
    let (head, _) = input.split_once('.').unwrap();
    let swapped = PADDED.encode(with(payload(), &json!({"sub": "bob"})).to_string());
    let stripped = text.replace('=', "");
    assert_ne!(stripped, text, "there is padding to strip");
    for (bad, expected) in [
        (
            format!("{head}.{swapped}.{signature}"),
            Denial::SignatureInvalid,
        ),
        (stripped, Denial::SignatureInvalid),
        (format!("{input}."), Denial::SignatureInvalid),
        (
            format!("{input}.{}", signature.split_at(40).0),
            Denial::SignatureInvalid,
        ),
        (format!("{text}="), Denial::TokenMalformed),
        (format!("{input}=.{signature}"), Denial::TokenMalformed),
        (format!("{text}.{signature}"), Denial::TokenMalformed),
        (input.to_owned(), Denial::TokenMalformed),
        (String::new(), Denial::TokenMalformed),
        (
            format!("{text}{}", "A".repeat(20_000)),
            Denial::TokenTooLarge,
        ),
    ] {
        assert_eq!(
            judged(&bad, &keys, &issuer()).unwrap_err(),
            expected,
            "{bad}"
        );
    }
    let other = signed(
        &SigningKey::new(Algorithm::ES256),
        &PADDED,
        &header(),
        &payload(),
    );
    let denied = judged(&other, &keys, &issuer()).unwrap_err();
    assert_eq!(denied, Denial::SignatureInvalid);
}

#[test]
fn an_access_token_speaks_for_its_own_subject_only() {
    let key = SigningKey::new(Algorithm::ES256);
    let text = signed(&key, &PADDED, &header(), &payload());
    let user = judged(&text, &keys(&key), &issuer()).unwrap().principal;
    let mut access = (*user).clone();
    access.groups = Names::Known(vec!["ops".to_owned()]);
    access.scopes = vec!["read".to_owned()];
    access.tenant_id = Some("t".to_owned());
    access.email = None;
    let both = merged(&user, &access).unwrap();
    assert_eq!(both.groups, access.groups);
    assert_eq!(both.scopes, access.scopes);
    assert_eq!(both.tenant_id, access.tenant_id);
    assert_eq!(both.email, user.email);
    for claims in [json!({"sub": "bob"}), json!({})] {
        access.claims = Claims::parse(claims.to_string()).unwrap();
        assert_eq!(merged(&user, &access), None, "{claims}");
    }
    assert!(is_subject(&user, b"ada"));
    for other in ["bob", "ad", "adaa", "", "ADA"] {
        assert!(!is_subject(&user, other.as_bytes()), "{other}");
    }
}

#[test]
fn one_header_twice_is_ambiguous_and_the_others_alone_are_nothing() {
    let mut headers = HeaderMap::new();
    headers.insert(IDENTITY, HeaderValue::from_static("ada"));
    headers.insert(ACCESS_TOKEN, HeaderValue::from_static("t"));
    assert!(Presented::find(&headers).unwrap().is_none());
    headers.insert(DATA, HeaderValue::from_static("d"));
    let presented = Presented::find(&headers).unwrap().unwrap();
    assert_eq!(presented.identity, Some(&b"ada"[..]));
    for name in [DATA, IDENTITY, ACCESS_TOKEN] {
        let mut twice = headers.clone();
        twice.append(&name, HeaderValue::from_static("d"));
        let denied = Presented::find(&twice).unwrap_err();
        assert_eq!(denied, Denial::CredentialAmbiguous, "{name}");
    }
}

#[test]
fn only_what_was_verified_passes_and_in_the_usual_spelling() {
    let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).unwrap();
    let data = Verified {
        data: true,
        access_token: false,
    };
    let none = Verified::default();
    assert!(data.holds(&DATA) && data.holds(&IDENTITY) && !data.holds(&ACCESS_TOKEN));
    for other in ["x_amzn_oidc_data", "x-amzn-oidc-other", "x-amzn-oidc-"] {
        assert!(!data.holds(&name(other)), "{other}");
    }
    for name in [DATA, IDENTITY, ACCESS_TOKEN] {
        assert!(!none.holds(&name), "{name}");
    }
}

#[test]
fn keys_are_where_the_region_has_them() {
    for (region, url) in [
        (
            "us-east-1",
            Some("https://public-keys.auth.elb.us-east-1.amazonaws.com"),
        ),
        (
            "us-gov-west-1",
            Some("https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1"),
        ),
        (
            "cn-north-1",
            Some("https://s3.cn-north-1.amazonaws.com.cn/aws-elb-public-keys-prod-cn-north-1"),
        ),
        ("", None),
        ("us", None),
        ("us-east-1.evil.example/", None),
        ("us-east-1#", None),
        ("US-EAST-1", None),
        ("us--1", None),
    ] {
        assert_eq!(keys_url(region).as_deref(), url, "{region}");
    }
    assert_eq!(arn_region(SIGNER), Some("us-east-1"));
    for bad in [
        "",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/edge/50dc6c495c0c9188",
        "arn:aws:elasticloadbalancing:us-east-1:12345678901:loadbalancer/app/edge/50dc6c495c0c9188",
        "arn:aws:elasticloadbalancing::123456789012:loadbalancer/app/edge/50dc6c495c0c9188",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/edge",
        "arn:aws:iam:us-east-1:123456789012:loadbalancer/app/edge/50dc6c495c0c9188",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/*/50dc6c495c0c9188",
    ] {
        assert_eq!(arn_region(bad), None, "{bad}");
    }
}
