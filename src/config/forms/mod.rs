//! The forms a string can have: durations, sizes, URLs, patterns. Each is read once, while the
//! file is checked, so that a mistake is reported with its line.

mod amounts;
mod cases;
mod http;
mod origin;
mod redis;
mod token_type;
mod words;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use ::http::{HeaderName, Method};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use url::Url;

pub(super) use self::amounts::{Positive, Size};
pub(super) use self::cases::Token;
pub(super) use self::http::{
    CertificateName, HostHeader, HostPort, OptionalHeader, Realm, StripPrefix,
};
pub(super) use self::origin::Origin;
pub(super) use self::redis::{KeyId, KeyPrefix, RedisUrl};
pub(super) use self::token_type::TokenType;
pub(super) use self::words::{Domain, LogLevel, NonEmpty};

use crate::authn::credential::TokenSource;
use crate::authn::issuer::Algorithm;
use crate::authz::route::{HostPattern, PathPattern};
use crate::clock::UnixTime;
use crate::config::cases::Expected;
use crate::config::memberships::UrlTemplate;

/// A value written as a string of a certain form.
pub(super) trait Form: Sized {
    /// `format` in the schema.
    const FORMAT: &'static str;
    /// One well-formed value.
    const EXAMPLE: &'static str;
    /// Reads it; on error, what is wrong. The message must not repeat a text that may hold a secret.
    fn read(text: &str) -> Result<Self, String>;
}

/// A string of form `F`, as read.
#[derive(Clone, Debug)]
pub(super) struct Text<F>(pub(super) F);

impl<'de, F: Form> Deserialize<'de> for Text<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        F::read(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<F: Form> JsonSchema for Text<F> {
    fn schema_name() -> Cow<'static, str> {
        F::FORMAT.into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": F::FORMAT, "examples": [F::EXAMPLE] })
    }
}

/// What is wrong with a string of this `format`, and a well-formed example; `None` if it is fine.
pub(super) fn fault(format: &str, text: &str) -> Option<(String, &'static str)> {
    fn of<F: Form>(format: &str, text: &str) -> Option<(String, &'static str)> {
        if F::FORMAT != format {
            return None;
        }
        F::read(text).err().map(|message| (message, F::EXAMPLE))
    }
    [
        of::<Duration>,
        of::<Positive>,
        of::<Size>,
        of::<Url>,
        of::<SocketAddr>,
        of::<IpNet>,
        of::<HeaderName>,
        of::<OptionalHeader>,
        of::<Realm>,
        of::<HostHeader>,
        of::<HostPort>,
        of::<CertificateName>,
        of::<Method>,
        of::<Origin>,
        of::<HostPattern>,
        of::<PathPattern>,
        of::<TokenSource>,
        of::<Algorithm>,
        of::<NonEmpty>,
        of::<StripPrefix>,
        of::<Domain>,
        of::<TokenType>,
        of::<LogLevel>,
        of::<RedisUrl>,
        of::<KeyId>,
        of::<KeyPrefix>,
        of::<UnixTime>,
        of::<Expected>,
        of::<Token>,
        of::<UrlTemplate>,
    ]
    .into_iter()
    .find_map(|check| check(format, text))
}
