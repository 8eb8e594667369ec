//! What `[redis]` is written with.

use url::{Host, Url};

use super::Form;

/// Where Redis is: scheme, host, port, database.
#[derive(Clone, Debug)]
pub(in crate::config) struct RedisUrl {
    pub(in crate::config) tls: bool,
    pub(in crate::config) host: Host,
    pub(in crate::config) port: u16,
    pub(in crate::config) database: u32,
}

impl Form for RedisUrl {
    const FORMAT: &'static str = "redis-url";
    const EXAMPLE: &'static str = "rediss://cache.internal.example:6379/0";
    fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _other => return Err("the scheme is neither redis nor rediss (TLS)".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "holds a user or a password: they stand in the keys `username` and `password`, \
                 the password as { env = \"NAME\" } or { file = \"…\" }"
                    .to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a query or fragment says nothing here".to_owned());
        }
        // the host of a scheme that is not the web's was not parsed further
        let host = match url.host() {
            Some(Host::Domain(name)) => {
                Host::parse(name).map_err(|_error| "not a host".to_owned())?
            }
            Some(Host::Ipv4(address)) => Host::Ipv4(address),
            Some(Host::Ipv6(address)) => Host::Ipv6(address),
            None => return Err("there is no host".to_owned()),
        };
        let path = url.path().trim_start_matches('/');
        let database = match path {
            "" => 0,
            number => number
                .parse()
                .map_err(|_error| "the path is not the number of a database".to_owned())?,
        };
        Ok(Self {
            tls,
            host,
            port: url.port().unwrap_or(6379),
            database,
        })
    }
}

/// The name of a sealing key.
#[derive(Clone, Debug)]
pub(in crate::config) struct KeyId(pub(in crate::config) String);

impl Form for KeyId {
    const FORMAT: &'static str = "key-id";
    const EXAMPLE: &'static str = "2026-11";
    fn read(text: &str) -> Result<Self, String> {
        let legible = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(legible) {
            return Err("not 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// What the names of keys in Redis begin with. Braces would say what a cluster hashes.
#[derive(Clone, Debug)]
pub(in crate::config) struct KeyPrefix(pub(in crate::config) String);

impl Form for KeyPrefix {
    const FORMAT: &'static str = "key-prefix";
    const EXAMPLE: &'static str = "gatepost:";
    fn read(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(plain) {
            return Err("not 1 to 128 visible ASCII characters without braces".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_url_is_scheme_host_port_and_database_and_repeats_no_secret() {
        for (text, shown) in [
            ("redis://127.0.0.1", "false 127.0.0.1 6379 0"),
            ("redis://127.1:7000/", "false 127.0.0.1 7000 0"),
            ("rediss://Cache.Example:6380/3", "true cache.example 6380 3"),
            ("redis://[::1]/1", "false [::1] 6379 1"),
        ] {
            let url = RedisUrl::read(text).unwrap();
            let found = format!("{} {} {} {}", url.tls, url.host, url.port, url.database);
            assert_eq!(found, shown, "{text}");
        }
        for text in [
            "http://cache",
            "unix:///run/redis.sock",
            "redis://",
            "redis:cache",
            "redis://:hunter2@cache",
            "redis://hunter2@cache",
            "redis://cache/hunter2",
            "redis://cache/-1",
            "redis://cache?password=hunter2",
            "redis://cache#hunter2",
            "cache:6379",
        ] {
            let message = RedisUrl::read(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{text}: {message}");
        }
    }

    #[test]
    fn names_in_redis_are_legible_and_leave_the_hash_tag_to_us() {
        for text in ["a", "2026-11", "A_b.c"] {
            assert!(KeyId::read(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "ä", "a/b", &"a".repeat(65)] {
            assert!(KeyId::read(text).is_err(), "{text}");
        }
        for text in ["gatepost:", "team/a-"] {
            assert!(KeyPrefix::read(text).is_ok(), "{text}");
        }
        for text in ["", "a{b", "a}", "a b", &"a".repeat(129)] {
            assert!(KeyPrefix::read(text).is_err(), "{text}");
        }
    }
}
