//! `[redis]`: keys that can seal, and no password in the clear.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use url::Host;
use zeroize::Zeroizing;

use super::super::error::KeyPath;
use super::super::raw::{self, Part};
use super::super::{Endpoint, Redis, SEALING_KEY_BYTES, SealingKey, is_loopback_host};
use super::Resolver;
use crate::secret::Secret;

/// `timeout` where none is stated.
const TIMEOUT: Duration = Duration::from_millis(250);
/// Most it may be: a request without a token waits for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5);

impl Resolver<'_> {
    pub(super) fn redis(&mut self, raw: Part<raw::Redis>) -> Option<Redis> {
        let path = KeyPath::of(&["redis"]);
        if cfg!(not(feature = "redis")) {
            self.mistakes.push(
                &path,
                "this gatepost was built without Redis",
                "use a build with the feature `redis`, or remove the table",
            );
            return None;
        }
        let raw = self.part(raw, &path)?;
        let url = raw.url.0;
        let password = raw
            .password
            .and_then(|password| self.secret_here(&password, &path.key("password")))
            .map(|(_source, secret)| secret);
        self.in_the_clear(
            &url.host,
            url.tls,
            password.is_some(),
            raw.insecure_plaintext,
        );
        if raw.username.is_some() && password.is_none() {
            self.mistakes.push(
                &path.key("username"),
                "a user without a password",
                "add password = { file = \"…\" }, or remove username",
            );
        }
        if raw.tls.is_some() && !url.tls {
            self.mistakes.push(
                &path.key("tls"),
                "redis:// is without TLS",
                "write rediss:// in url, or remove tls",
            );
        }
        let server_tls = raw
            .tls
            .map(|tls| self.server_tls(tls, &path.key("tls")))
            .unwrap_or_default();
        let tls = if url.tls {
            let name = match &server_tls.server_name {
                Some(name) => name.clone(),
                None => self.certificate_name(&url.host, &path.key("url"))?,
            };
            Some((server_tls, name))
        } else {
            None
        };
        let timeout = raw.timeout.map_or(TIMEOUT, |timeout| timeout.0.0);
        if timeout > LONGEST_TIMEOUT {
            self.mistakes.push(
                &path.key("timeout"),
                "longer than 5 s: a request without a token would wait for it",
                "write it like \"250ms\"",
            );
        }
        Some(Redis {
            endpoint: Endpoint {
                host: url.host,
                port: url.port,
            },
            tls,
            database: url.database,
            username: raw.username.map(|name| name.0.0),
            password,
            sealing_keys: self.sealing_keys(&raw.sealing_keys.0, &path.key("sealing_keys")),
            prefix: raw
                .prefix
                .map_or_else(|| "gatepost:".to_owned(), |prefix| prefix.0.0),
            timeout,
        })
    }

    /// Tokens are sealed, whoever listens; a password is not.
    fn in_the_clear(&mut self, host: &Host, tls: bool, password: bool, insecure: bool) {
        let path = KeyPath::of(&["redis", "url"]);
        if tls || is_loopback_host(host) {
            return;
        }
        if password && !insecure {
            self.mistakes.push(
                &path,
                "redis:// to another host carries the password in the clear",
                "write rediss://, or add insecure_plaintext = true to this table",
            );
        } else {
            self.warn(
                &path,
                "redis:// to another host: whoever is on the way can read and change all but the sealed tokens",
            );
        }
    }

    fn certificate_name(&mut self, host: &Host, path: &KeyPath) -> Option<ServerName<'static>> {
        match host {
            Host::Domain(name) => match ServerName::try_from(name.clone()) {
                Ok(name) => Some(name),
                Err(_error) => {
                    self.mistakes.push(
                        path,
                        "the host is not a name TLS can verify",
                        "add server_name to [redis.tls]",
                    );
                    None
                }
            },
            Host::Ipv4(address) => Some(ServerName::IpAddress((*address).into())),
            Host::Ipv6(address) => Some(ServerName::IpAddress((*address).into())),
        }
    }

    fn sealing_keys(&mut self, raw: &[raw::SealingKey], path: &KeyPath) -> Vec<SealingKey> {
        let mut keys: Vec<SealingKey> = Vec::with_capacity(raw.len());
        for (index, raw) in raw.iter().enumerate() {
            let path = path.index(index);
            let id = raw.id.0.0.as_str();
            if keys.iter().any(|known| &*known.id == id) {
                self.mistakes.push(
                    &path.key("id"),
                    format!("{id:?} names another sealing key already"),
                    "give each key its own id",
                );
            }
            let at = path.key("secret");
            let Some((_source, secret)) = self.secret_here(&raw.secret, &at) else {
                continue;
            };
            match key_bytes(&secret) {
                Some(bytes) => keys.push(SealingKey {
                    id: Arc::from(id),
                    bytes,
                }),
                None => self.mistakes.push(
                    &at,
                    "the secret is not 32 bytes in base64",
                    "make one with `openssl rand -base64 32`",
                ),
            }
        }
        keys
    }
}

fn key_bytes(secret: &Secret) -> Option<Zeroizing<[u8; SEALING_KEY_BYTES]>> {
    let decoded = Zeroizing::new(STANDARD.decode(secret.expose().trim()).ok()?);
    let mut bytes = Zeroizing::new([0; SEALING_KEY_BYTES]);
    if decoded.len() != bytes.len() {
        return None;
    }
    bytes.copy_from_slice(&decoded);
    Some(bytes)
}
