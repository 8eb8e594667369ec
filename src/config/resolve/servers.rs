//! Servers: addresses, limits, TLS files that hold what they should.

use std::net::IpAddr;
use std::path::Path;

use rustls::RootCertStore;
use url::Host;

use super::super::error::KeyPath;
use super::super::forms::{Positive, Text};
use super::super::raw;
use super::super::{
    Certificates, ClientIdentity, Endpoint, Protocol, Server, ServerTls, is_link_local,
};
use super::Resolver;
use crate::certificate::{self, PemError};
use crate::secret::Secret;

impl Resolver<'_> {
    pub(super) fn server(&mut self, raw: raw::Server, path: &KeyPath) -> Server {
        let mut server = Server::at(raw.url.0);
        if let Some(addresses) = raw.addresses {
            server.endpoints = self.endpoints(&addresses.0, &server, path);
        }
        server.protocol = match raw.protocol {
            Some(raw::Protocol::Auto) | None => Protocol::Auto,
            Some(raw::Protocol::Http1) => Protocol::Http1,
            Some(raw::Protocol::Http2) => Protocol::Http2,
        };
        let time = |time: Option<Text<Positive>>| time.map(|time| time.0.0);
        server.read_timeout = time(raw.read_timeout);
        for (place, stated) in [
            (&mut server.connect_timeout, raw.connect_timeout),
            (&mut server.timeout, raw.timeout),
            (&mut server.idle_timeout, raw.idle_timeout),
            (&mut server.dns_refresh, raw.dns_refresh),
            (&mut server.eject_for, raw.eject_for),
        ] {
            *place = time(stated).unwrap_or(*place);
        }
        if let Some(most) = raw.max_connections {
            server.max_connections = usize::try_from(most).unwrap_or(usize::MAX);
        }
        server.max_failures = raw.max_failures.unwrap_or(server.max_failures);
        if let Some(tls) = raw.tls {
            let path = path.key("tls");
            if !server.is_tls() {
                self.mistakes.push(
                    &path,
                    "http:// is without TLS",
                    "write https:// in url, or remove tls",
                );
            }
            server.tls = self.server_tls(tls, &path);
        }
        server
    }

    /// Warns of link-local addresses that an egress target names itself.
    pub(super) fn link_local(&mut self, server: &Server, path: &KeyPath) {
        for endpoint in &server.endpoints {
            let address = match &endpoint.host {
                Host::Domain(_) => continue,
                Host::Ipv4(address) => IpAddr::from(*address),
                Host::Ipv6(address) => IpAddr::from(*address),
            };
            if is_link_local(address) {
                let message = format!(
                    "{address} is link-local, mostly the service that tells this machine its own credentials: the app may ask it through egress"
                );
                self.warn(path, message);
            }
        }
    }

    fn endpoints(
        &mut self,
        addresses: &[Text<super::super::forms::HostPort>],
        server: &Server,
        path: &KeyPath,
    ) -> Vec<Endpoint> {
        let mut endpoints = Vec::with_capacity(addresses.len());
        for (number, address) in addresses.iter().enumerate() {
            let endpoint = Endpoint {
                host: address.0.host.clone(),
                port: address
                    .0
                    .port
                    .or(server.url.port_or_known_default())
                    .unwrap_or_default(),
            };
            if endpoints.contains(&endpoint) {
                self.mistakes.push(
                    &path.key("addresses").index(number),
                    format!("{endpoint} is named twice"),
                    "name each address once",
                );
            } else {
                endpoints.push(endpoint);
            }
        }
        endpoints
    }

    pub(super) fn server_tls(&mut self, raw: raw::ServerTls, path: &KeyPath) -> ServerTls {
        let roots = raw
            .ca_file
            .and_then(|file| self.roots(&file, &path.key("ca_file")));
        let identity = match (raw.client_certificate_file, raw.client_key_file) {
            (Some(certificate), Some(key)) => self.identity_of(&certificate, &key, path),
            (Some(_), None) => self.half("client_key_file", path),
            (None, Some(_)) => self.half("client_certificate_file", path),
            (None, None) => None,
        };
        ServerTls {
            roots,
            identity,
            server_name: raw.server_name.map(|name| name.0.0),
        }
    }

    fn half(&mut self, missing: &str, path: &KeyPath) -> Option<ClientIdentity> {
        self.mistakes.push(
            &path.key(missing),
            "missing: a client certificate and its key go together",
            "name both files, or neither",
        );
        None
    }

    fn identity_of(
        &mut self,
        certificate: &Path,
        key: &Path,
        path: &KeyPath,
    ) -> Option<ClientIdentity> {
        let (certificate_at, key_at) = (
            path.key("client_certificate_file"),
            path.key("client_key_file"),
        );
        let chain = self.file(certificate, &certificate_at);
        let chain = chain.and_then(|pem| self.right(certificate::chain(&pem), &certificate_at));
        let pem = self.file(key, &key_at)?;
        let der = self.right(certificate::private_key(&pem), &key_at)?;
        let pair = certificate::certified_key(chain.clone()?, der).map(drop);
        self.right(pair, &key_at)?;
        Some(ClientIdentity {
            chain: Certificates(chain?),
            key: Secret::new(String::from_utf8(pem).ok()?),
        })
    }

    /// Roots from a PEM file, right to the last one.
    pub(super) fn roots(&mut self, file: &Path, path: &KeyPath) -> Option<Certificates> {
        let pem = self.file(file, path)?;
        let sound = certificate::add_roots(&mut RootCertStore::empty(), &pem);
        self.right(sound, path)?;
        certificate::chain(&pem).ok().map(Certificates)
    }

    /// What was read from a file; a mistake if that failed.
    pub(super) fn right<T>(&mut self, read: Result<T, PemError>, path: &KeyPath) -> Option<T> {
        read.map_err(|error| {
            let message = format!("the file {error}");
            self.mistakes.push(path, message, error.fix());
        })
        .ok()
    }
}
