//! What AWS's environment variables say, as its SDKs read them: the process's own keys, regions,
//! endpoints. They are read only where the configuration asks for them.

use std::path::PathBuf;

use url::{Host, Url};

use super::super::error::KeyPath;
use super::super::{AwsKeySource, ContainerEndpoint, WebIdentity, is_guarded, is_loopback};
use super::Resolver;
use crate::secret::{AwsSecret, SecretSource};

/// Where ECS keeps the task's keys.
const ECS: &str = "http://169.254.170.2";

/// Where plain http may ask for keys besides loopback: ECS, EKS Pod Identity.
const PLATFORM: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The domain of a partition's services, by how its regions begin; `amazonaws.com` is all others'.
const DOMAINS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
];

/// A service that we call ourselves.
#[derive(Clone, Copy)]
pub(super) enum AwsService {
    CognitoIdentity,
    CognitoUserPools,
    SecretsManager,
    Sts,
}

/// Places of the process's own keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum AwsPlace {
    Environment,
    TaskRole,
    WebIdentity,
}

impl Resolver<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    fn usual_region(&self) -> Option<&str> {
        let region = self.variable("AWS_REGION");
        region.or_else(|| self.variable("AWS_DEFAULT_REGION"))
    }

    /// The region written here, else `AWS_REGION`.
    pub(super) fn aws_region(&mut self, written: Option<&str>, path: &KeyPath) -> Option<String> {
        let found = written.or_else(|| self.usual_region());
        let Some(region) = found.map(str::to_owned) else {
            self.mistakes.push(
                path,
                "there is no AWS region",
                "write region = \"eu-west-1\", or set AWS_REGION",
            );
            return None;
        };
        if is_label(&region) {
            return Some(region);
        }
        self.mistakes.push(
            path,
            format!("{region:?} is no AWS region"),
            "write it as in \"eu-west-1\"",
        );
        None
    }

    /// Where a service is: `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, or its regional host.
    pub(super) fn aws_endpoint(
        &mut self,
        service: AwsService,
        region: Option<&str>,
        path: &KeyPath,
    ) -> Option<Url> {
        let (own, host) = match service {
            AwsService::CognitoIdentity => {
                ("AWS_ENDPOINT_URL_COGNITO_IDENTITY", "cognito-identity")
            }
            AwsService::CognitoUserPools => {
                ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "cognito-idp")
            }
            AwsService::SecretsManager => ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "secretsmanager"),
            AwsService::Sts => ("AWS_ENDPOINT_URL_STS", "sts"),
        };
        let ignored = self
            .variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let stated = [own, "AWS_ENDPOINT_URL"]
            .into_iter()
            .filter(|_name| !ignored)
            .find_map(|name| Some((name, self.variable(name)?.to_owned())));
        let Some((name, text)) = stated else {
            let text = match region {
                Some(region) => {
                    let domain = DOMAINS.iter().find(|(start, _)| region.starts_with(start));
                    let domain = domain.map_or("amazonaws.com", |(_, domain)| domain);
                    format!("https://{host}.{region}.{domain}/")
                }
                None => format!("https://{host}.amazonaws.com/"),
            };
            return Url::parse(&text).ok();
        };
        let url = Url::parse(&text).ok().filter(|url| {
            url.has_host() && is_guarded(url) && url.username().is_empty() && url.query().is_none()
        });
        if url.is_none() {
            self.mistakes.push(
                path,
                format!("{name} is no https:// URL"),
                format!("correct {name}, or remove it: then the region's own endpoint is asked"),
            );
        }
        url
    }

    /// The process's own keys: from the place asked for, else from the first of the environment, a
    /// web identity and the task role that the environment variables name, as SDKs have it.
    pub(super) fn aws_keys(
        &mut self,
        place: Option<AwsPlace>,
        path: &KeyPath,
    ) -> Option<AwsKeySource> {
        let places = match place {
            Some(place) => vec![place],
            None => vec![
                AwsPlace::Environment,
                AwsPlace::WebIdentity,
                AwsPlace::TaskRole,
            ],
        };
        let there = |resolver: &Self, place: AwsPlace| {
            let names: &[&str] = match place {
                AwsPlace::Environment => &["AWS_ACCESS_KEY_ID"],
                AwsPlace::WebIdentity => &["AWS_WEB_IDENTITY_TOKEN_FILE"],
                AwsPlace::TaskRole => &[
                    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                ],
            };
            names.iter().any(|name| resolver.variable(name).is_some())
        };
        let Some(place) = places.into_iter().find(|place| there(self, *place)) else {
            let (message, fix) = match place {
                Some(AwsPlace::Environment) => (
                    "the environment holds no AWS keys",
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                ),
                Some(AwsPlace::TaskRole) => (
                    "there is no task role: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and …_FULL_URI are \
                     not set",
                    "give the ECS task a task role, which sets them",
                ),
                Some(AwsPlace::WebIdentity) => (
                    "there is no web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set",
                    "annotate the Kubernetes service account with a role, which sets it",
                ),
                None => (
                    "this process has no AWS keys",
                    "run it under an ECS task role or an EKS service account with a role, or set \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                ),
            };
            self.mistakes.push(path, message, fix);
            return None;
        };
        match place {
            AwsPlace::Environment => self.environment_keys(path),
            AwsPlace::WebIdentity => self.web_identity(path).map(AwsKeySource::WebIdentity),
            AwsPlace::TaskRole => self.container(path).map(AwsKeySource::Container),
        }
    }

    fn environment_keys(&mut self, path: &KeyPath) -> Option<AwsKeySource> {
        if self.variable("AWS_SECRET_ACCESS_KEY").is_none() {
            self.mistakes.push(
                path,
                "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY",
                "set both, or neither",
            );
            return None;
        }
        let named = |name: &str| SecretSource::Env(name.to_owned());
        let token = "AWS_SESSION_TOKEN";
        Some(AwsKeySource::Kept {
            access_key_id: named("AWS_ACCESS_KEY_ID"),
            secret_access_key: named("AWS_SECRET_ACCESS_KEY"),
            session_token: self.variable(token).map(|_set| named(token)),
        })
    }

    fn web_identity(&mut self, path: &KeyPath) -> Option<WebIdentity> {
        let file = PathBuf::from(self.variable("AWS_WEB_IDENTITY_TOKEN_FILE")?);
        let Some(role_arn) = self.variable("AWS_ROLE_ARN").map(str::to_owned) else {
            self.mistakes.push(
                path,
                "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN",
                "set both, or neither",
            );
            return None;
        };
        let session_name = self.variable("AWS_ROLE_SESSION_NAME").unwrap_or("gatepost");
        let session_name = session_name.to_owned();
        // without a region SDKs ask the global endpoint
        let region = self
            .usual_region()
            .filter(|region| is_label(region))
            .map(str::to_owned);
        Some(WebIdentity {
            token: SecretSource::File(file),
            role_arn,
            session_name,
            endpoint: self.aws_endpoint(AwsService::Sts, region.as_deref(), path)?,
        })
    }

    fn container(&mut self, path: &KeyPath) -> Option<ContainerEndpoint> {
        let relative = self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let (name, text) = match relative {
            Some(relative) => (
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                format!("{ECS}/{}", relative.trim_start_matches('/')),
            ),
            None => (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")?
                    .to_owned(),
            ),
        };
        let Some(url) = Url::parse(&text).ok().filter(may_give_keys) else {
            self.mistakes.push(
                path,
                format!("{name} is no place that may be asked for keys"),
                "it must be https://, or plain http:// to loopback, 169.254.170.2, 169.254.170.23 or \
                 fd00:ec2::23",
            );
            return None;
        };
        let file = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        let token = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
        let authorization = match self.variable(file) {
            Some(file) => Some(SecretSource::File(PathBuf::from(file))),
            None => self
                .variable(token)
                .map(|_set| SecretSource::Env(token.to_owned())),
        };
        Some(ContainerEndpoint { url, authorization })
    }

    /// We call AWS ourselves, with the process's own keys: they come from one place for all such calls.
    pub(super) fn needs_own_keys(&mut self, path: &KeyPath) -> Option<()> {
        if self.aws.is_none() {
            self.aws = Some(self.aws_keys(None, path)?);
        }
        Some(())
    }

    /// `{ aws_secret = "…", json_key = "…" }`: it is fetched later, with the process's own keys.
    pub(super) fn aws_secret(
        &mut self,
        id: &str,
        json_key: Option<&str>,
        path: &KeyPath,
    ) -> Option<SecretSource> {
        let path = path.key("aws_secret");
        // arn:aws:secretsmanager:eu-west-1:123456789012:secret:name-AbCdEf
        let stated = match id.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "secretsmanager", region, _, "secret", _, ..] => Some((*region).to_owned()),
            ["arn", ..] => {
                self.mistakes.push(
                    &path,
                    "this ARN is not a secret's",
                    "write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, or the secret's name",
                );
                return None;
            }
            _name => None,
        };
        let region = self.aws_region(stated.as_deref(), &path);
        self.needs_own_keys(&path)?;
        let region = region?;
        let endpoint = self.aws_endpoint(AwsService::SecretsManager, Some(&region), &path)?;
        Some(SecretSource::Aws(Box::new(AwsSecret {
            id: id.to_owned(),
            json_key: json_key.map(str::to_owned),
            region,
            endpoint,
        })))
    }
}

/// A region or a service's signing name: part of a host name and of a signature.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whoever answers there gives keys, and is given `Authorization`.
fn may_give_keys(url: &Url) -> bool {
    let platform = match url.host() {
        Some(Host::Domain(_)) | None => false,
        Some(Host::Ipv4(address)) => PLATFORM.contains(&&*address.to_string()),
        Some(Host::Ipv6(address)) => PLATFORM.contains(&&*address.to_string()),
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(url) || platform,
        _other => false,
    }
}
