//! AWS STS: a role for a token of the platform's, and a token that says which role we are.

use bytes::Bytes;
use url::form_urlencoded::Serializer;

use crate::client::aws::api::{AwsError, Call, Service, Signer, xml_text};
use crate::client::aws::sigv4::Scope;
use crate::client::aws::{AwsKeys, Issued, granted, instant};
use crate::client::token::{Endpoint, Granted, exp};
use crate::clock::UnixTime;
use crate::config::{WebIdentity, WebIdentityToken};
use crate::secret::Secret;

const SERVICE: Service = Service("AWS STS");

async fn ask(
    form: &[(&str, &str)],
    endpoint: &url::Url,
    through: &dyn Endpoint,
    signer: Option<Signer<'_>>,
) -> Result<Bytes, AwsError> {
    let body = Serializer::new(String::new())
        .append_pair("Version", "2011-06-15")
        .extend_pairs(form)
        .finish();
    let call = Call {
        service: SERVICE,
        endpoint,
        content_type: "application/x-www-form-urlencoded",
        target: None,
        body: body.into(),
    };
    call.send(through, signer).await
}

/// `AssumeRoleWithWebIdentity`: who holds the token gets the role's keys. Nothing is signed.
pub(super) async fn assume_role(
    role: &WebIdentity,
    token: &Secret,
    through: &dyn Endpoint,
) -> Result<Issued, AwsError> {
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("RoleArn", role.role_arn.as_str()),
        ("RoleSessionName", role.session_name.as_str()),
        ("WebIdentityToken", token.expose().trim()),
    ];
    let answer = ask(&form, &role.endpoint, through, None).await?;
    read_keys(&answer, &role.role_arn)
}

fn read_keys(answer: &[u8], role_arn: &str) -> Result<Issued, AwsError> {
    let text = |name| xml_text(answer, name);
    let until = text("Expiration").and_then(|text| instant(&text));
    let keys = text("AccessKeyId")
        .zip(text("SecretAccessKey"))
        .and_then(|(id, secret)| {
            let token = text("SessionToken")?;
            let role = Some(role_arn.to_owned());
            AwsKeys::new(id, Secret::new(secret), Some(Secret::new(token)), role)
        });
    Ok(Issued {
        keys: keys.ok_or_else(|| SERVICE.unusable("it holds no keys"))?,
        until: Some(until.ok_or_else(|| SERVICE.unusable("it does not say when the keys expire"))?),
    })
}

/// `GetWebIdentityToken`: a JWT of AWS's about the role whose keys sign, for an audience elsewhere.
pub(super) async fn web_identity_token(
    wanted: &WebIdentityToken,
    keys: &AwsKeys,
    through: &dyn Endpoint,
    now: UnixTime,
) -> Result<Granted<Secret>, AwsError> {
    let seconds = wanted.seconds.to_string();
    let form = [
        ("Action", "GetWebIdentityToken"),
        ("Audience.member.1", wanted.audience.as_str()),
        ("SigningAlgorithm", wanted.algorithm.as_str()),
        ("DurationSeconds", seconds.as_str()),
    ];
    let scope = Scope {
        region: &wanted.region,
        service: "sts",
    };
    let signer = Some((keys, scope, now));
    let answer = ask(&form, &wanted.endpoint, through, signer).await?;
    let (token, until) = read_token(&answer)?;
    granted(token, Some(until), now)
}

fn read_token(answer: &[u8]) -> Result<(Secret, UnixTime), AwsError> {
    let token = xml_text(answer, "WebIdentityToken")
        .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    let until = xml_text(answer, "Expiration").and_then(|text| instant(&text));
    let (token, until) = token
        .zip(until)
        .ok_or_else(|| SERVICE.unusable("it holds no token, or not until when"))?;
    // whom it is sent to looks at its `exp`
    let until = exp(&token).map_or(until, |exp| exp.min(until));
    Ok((Secret::new(token), until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<AssumeRoleWithWebIdentityResponse
        xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
        <Audience>sts.amazonaws.com</Audience><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId>
        <SecretAccessKey>a/b+c</SecretAccessKey><SessionToken>
        dG9rZW4=</SessionToken><Expiration>2026-11-22T13:00:00Z</Expiration></Credentials>
        </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"#;

    #[test]
    fn keys_are_read_whole_or_not_at_all() {
        let issued = read_keys(ANSWER.as_bytes(), "arn:aws:iam::1:role/r").unwrap();
        assert_eq!(issued.until, instant("2026-11-22T13:00:00Z"));
        let keys = issued.keys;
        assert_eq!(keys.access_key_id, "ASIAEXAMPLE");
        assert_eq!(keys.secret_access_key.expose(), "a/b+c");
        assert_eq!(keys.session_token.unwrap().expose(), "dG9rZW4=");
        assert_eq!(keys.role_arn.unwrap(), "arn:aws:iam::1:role/r");
        for gone in [
            "AccessKeyId",
            "SecretAccessKey",
            "SessionToken",
            "Expiration",
        ] {
            let answer = ANSWER.replace(gone, "Other");
            assert!(read_keys(answer.as_bytes(), "r").is_err(), "{gone}");
        }
        for odd in [
            "",
            "<a/>",
            "{}",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        ] {
            assert!(read_keys(odd.as_bytes(), "r").is_err(), "{odd}");
        }
    }

    #[test]
    fn a_token_is_read_with_its_end() {
        let answer = "<R><GetWebIdentityTokenResult><WebIdentityToken>e30.e30.c2ln\
                      </WebIdentityToken><Expiration>2026-11-22T13:00:00Z</Expiration>\
                      </GetWebIdentityTokenResult></R>";
        let (token, until) = read_token(answer.as_bytes()).unwrap();
        assert_eq!(token.expose(), "e30.e30.c2ln");
        assert_eq!(Some(until), instant("2026-11-22T13:00:00Z"));
        // {"exp":1700000000}
        let sooner = answer.replace("e30.e30", "e30.eyJleHAiOjE3MDAwMDAwMDB9");
        let (_, until) = read_token(sooner.as_bytes()).unwrap();
        assert_eq!(until, UnixTime(1_700_000_000), "the token says so");
        for (from, to) in [
            ("e30.e30", "e30 e30"),
            ("2026", "soon"),
            ("WebIdentityToken", "T"),
        ] {
            assert!(read_token(answer.replace(from, to).as_bytes()).is_err());
        }
    }
}
