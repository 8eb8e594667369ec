//! Planes and settings: addresses that fit together, limits, proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::raw::{self, Limits, Part};
use super::super::{
    Certificates, Client, Egress, ErrorFormat, Errors, ForwardAuth, Http2Limits, Ingress, Jwks,
    Listener, TokenEndpoint,
};
use super::{Known, Resolver};
use crate::authz::Route;
use crate::config::forms::{Positive, Size, Text};
use crate::request::forwarded::{ClientAddress, TrustedProxies};

/// All planes, resolved.
#[derive(Debug)]
pub(in crate::config) struct Planes {
    pub(in crate::config) ingress: Option<Ingress>,
    pub(in crate::config) forward_auth: Option<ForwardAuth>,
    pub(in crate::config) egress: Option<Egress>,
    pub(in crate::config) admin: Listener,
    pub(in crate::config) health: Listener,
}

impl Planes {
    /// Each listener with the name of its table.
    fn listeners(&self) -> impl Iterator<Item = (&'static str, &Listener)> {
        let Self {
            ingress,
            forward_auth,
            egress,
            admin,
            health,
        } = self;
        [
            ("ingress", ingress.as_ref().map(|plane| &plane.listener)),
            (
                "forward_auth",
                forward_auth.as_ref().map(|plane| &plane.listener),
            ),
            ("egress", egress.as_ref().map(|plane| &plane.listener)),
            ("admin", Some(admin)),
            ("health", Some(health)),
        ]
        .into_iter()
        .filter_map(|(name, listener)| Some((name, listener?)))
    }
}

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const REPLAY_BODY_BYTES: usize = 64 << 10;

/// The longest request target that hyper reads.
const LONGEST_URI: usize = 65_534;

fn listener(listen: Option<Text<SocketAddr>>, default: (IpAddr, u16), limits: &Limits) -> Listener {
    let listen = listen.map_or_else(|| default.into(), |listen| listen.0);
    let default = Listener::at(listen);
    let bytes = |size: &Option<Text<Size>>, default| {
        size.as_ref().map_or(default, |size| {
            usize::try_from(size.0.0).unwrap_or(usize::MAX)
        })
    };
    let time = |time: &Option<Text<Positive>>, default| time.as_ref().map_or(default, |t| t.0.0);
    Listener {
        listen,
        header_timeout: time(&limits.header_timeout, default.header_timeout),
        idle_timeout: time(&limits.idle_timeout, default.idle_timeout),
        max_header_bytes: bytes(&limits.max_header_bytes, default.max_header_bytes),
        max_headers: limits.max_headers.map_or(default.max_headers, usize::from),
        max_uri_bytes: bytes(&limits.max_uri_bytes, default.max_uri_bytes),
        max_body_bytes: limits.max_body_bytes.as_ref().map(|size| size.0.0),
        max_connections: limits
            .max_connections
            .map_or(default.max_connections, |count| {
                usize::try_from(count).unwrap_or(usize::MAX)
            }),
        max_connections_per_peer: limits.max_connections_per_peer,
        http2: Http2Limits {
            max_streams: limits
                .http2_max_streams
                .unwrap_or(default.http2.max_streams),
            max_resets: limits.http2_max_resets.unwrap_or(default.http2.max_resets),
            max_control_frames: limits
                .http2_max_control_frames
                .unwrap_or(default.http2.max_control_frames),
        },
        proxy_protocol: false,
        tls: None,
    }
}

impl Resolver<'_> {
    #[expect(clippy::too_many_arguments, reason = "one for each table")]
    pub(super) fn planes(
        &mut self,
        ingress: Part<raw::Ingress>,
        forward_auth: Option<Part<raw::ForwardAuth>>,
        egress: Option<Part<raw::Egress>>,
        admin: Part<raw::Admin>,
        health: Part<raw::Health>,
        routes: &[Route],
        has_targets: bool,
    ) -> Option<Planes> {
        let top = KeyPath::of;
        let starts_ingress = routes.iter().any(|route| route.forward.is_some());
        let planned = starts_ingress || forward_auth.is_some() || egress.is_some();
        if !planned && self.mistakes.found.is_empty() {
            self.mistakes.push(
                &KeyPath::default(),
                "nothing to do: no route has an upstream, and there is neither [forward_auth] nor [egress]",
                "write gatepost.toml with a route (docs/configuration.md), or set UPSTREAM_SERVICE=http://127.0.0.1:3000 or EGRESS_TARGETS=name=https://…",
            );
        }
        if has_targets && egress.is_none() {
            self.mistakes.push(
                &top(&["egress_targets"]),
                "there are egress targets, but egress does not listen",
                "add a table [egress]",
            );
        }
        let ingress = self.part(ingress, &top(&["ingress"]));
        let forward_auth = forward_auth.map(|part| self.part(part, &top(&["forward_auth"])));
        let egress = egress.map(|part| self.part(part, &top(&["egress"])));
        let admin = self.part(admin, &top(&["admin"]));
        let health = self.part(health, &top(&["health"]));

        let ingress = ingress.filter(|_raw| starts_ingress).map(|raw| {
            if raw.proxy_protocol && raw.trusted_proxies.is_empty() {
                self.mistakes.push(
                    &top(&["ingress", "proxy_protocol"]),
                    "nobody's PROXY header is believed: trusted_proxies is empty",
                    "name the load balancer's networks in trusted_proxies, or remove proxy_protocol",
                );
            }
            Ingress {
                listener: Listener {
                    proxy_protocol: raw.proxy_protocol,
                    tls: self.tls(raw.limits.tls.as_ref(), "ingress"),
                    ..listener(raw.listen, (ANYWHERE, 7400), &raw.limits)
                },
                trusted_proxies: trusted(&raw.trusted_proxies, raw.client_address),
                forwarded_header: raw.forwarded_header,
            }
        });
        let forward_auth = forward_auth.flatten().map(|raw| ForwardAuth {
            trusted_proxies: trusted(&raw.trusted_proxies.0, raw.client_address),
            listener: Listener {
                proxy_protocol: raw.proxy_protocol,
                tls: self.tls(raw.limits.tls.as_ref(), "forward_auth"),
                ..listener(raw.listen, (ANYWHERE, 7401), &raw.limits)
            },
        });
        let egress = egress.flatten().map(|raw| self.egress(raw));
        let admin = admin?;
        let admin = Listener {
            tls: self.tls(admin.limits.tls.as_ref(), "admin"),
            ..listener(admin.listen, (LOOPBACK, 7403), &admin.limits)
        };
        if !admin.listen.ip().is_loopback() {
            self.mistakes.push(
                &top(&["admin", "listen"]),
                "the admin listener stands on loopback only",
                "write 127.0.0.1 or [::1]",
            );
        }
        let health = health?;
        let health = Listener {
            tls: self.tls(health.limits.tls.as_ref(), "health"),
            ..listener(health.listen, (ANYWHERE, 7404), &health.limits)
        };
        let planes = Planes {
            ingress,
            forward_auth,
            egress,
            admin,
            health,
        };
        self.clashes(&planes);
        self.uris(&planes);
        Some(planes)
    }

    fn egress(&mut self, raw: raw::Egress) -> Egress {
        let listener = Listener {
            tls: self.tls(raw.limits.tls.as_ref(), "egress"),
            ..listener(raw.listen, (LOOPBACK, 7402), &raw.limits)
        };
        let path = KeyPath::of(&["egress", "listen"]);
        if !listener.listen.ip().is_loopback() {
            if raw.allow_non_loopback {
                self.warn(
                    &path,
                    "whoever reaches this address uses the app's credentials",
                );
            } else {
                self.mistakes.push(
                    &path,
                    "egress stands on loopback only: whoever reaches it uses the app's credentials",
                    "write 127.0.0.1 or [::1], or add allow_non_loopback = true",
                );
            }
        }
        Egress {
            listener,
            replay_body_bytes: raw.replay_body_bytes.map_or(REPLAY_BODY_BYTES, |size| {
                usize::try_from(size.0.0).unwrap_or(usize::MAX)
            }),
            token_endpoint: raw.token_endpoint.map(|raw| self.token_endpoint(raw)),
        }
    }

    fn token_endpoint(&mut self, raw: raw::TokenEndpoint) -> TokenEndpoint {
        let path = KeyPath::of(&["egress", "token_endpoint", "credentials"]);
        let credentials = raw::texts(&raw.credentials.0);
        for (number, name) in credentials.iter().enumerate() {
            self.declared("credentials", Known::Credential, name, &path.index(number));
        }
        TokenEndpoint {
            authorization_file: raw.authorization_file,
            credentials: credentials.into_iter().map(Arc::from).collect(),
        }
    }

    /// A limit that hyper's own stands before.
    fn uris(&mut self, planes: &Planes) {
        for (name, listener) in planes.listeners() {
            if listener.max_uri_bytes > LONGEST_URI {
                self.mistakes.push(
                    &KeyPath::of(&[name, "max_uri_bytes"]),
                    "longer targets than 65534 bytes are never read",
                    "write \"65534B\" or less",
                );
            }
        }
    }

    /// Two listeners on one address: only one could start.
    fn clashes(&mut self, planes: &Planes) {
        let listeners: Vec<(&str, SocketAddr)> = planes
            .listeners()
            .map(|(name, listener)| (name, listener.listen))
            .collect();
        for (at, (name, address)) in listeners.iter().enumerate() {
            for (other, taken) in listeners.iter().take(at) {
                if clash(*address, *taken) {
                    self.mistakes.push(
                        &KeyPath::of(&[name, "listen"]),
                        format!("{address} is taken by [{other}] ({taken})"),
                        "give each listener its own port",
                    );
                }
            }
        }
    }

    pub(super) fn jwks(&mut self, raw: Part<raw::Jwks>, readiness: raw::Readiness) -> Option<Jwks> {
        let path = KeyPath::of(&["jwks"]);
        let raw = self.part(raw, &path)?;
        if raw.max_stale.0.0 < raw.refresh_interval.0.0 {
            self.mistakes.push(
                &path.key("max_stale"),
                "shorter than refresh_interval: keys would be unusable between two fetches",
                "make max_stale several times refresh_interval",
            );
        }
        Some(Jwks {
            refresh_interval: raw.refresh_interval.0.0,
            max_stale: raw.max_stale.0.0,
            unknown_kid_cooldown: raw.unknown_kid_cooldown.0.0,
            fetch_timeout: raw.fetch_timeout.0.0,
            snapshot_dir: raw.snapshot_dir,
            readiness_strict: match readiness {
                raw::Readiness::Strict => true,
                raw::Readiness::Lenient => false,
            },
        })
    }

    pub(super) fn client(&mut self, raw: Part<raw::Client>) -> Option<Client> {
        let path = KeyPath::of(&["client"]);
        let raw = self.part(raw, &path)?;
        let extra_roots = match &raw.extra_ca_file {
            Some(file) => self.roots(file, &path.key("extra_ca_file"))?,
            None => Certificates::default(),
        };
        if raw.proxy.is_none() && !raw.no_proxy.is_empty() {
            self.mistakes.push(
                &path.key("no_proxy"),
                "there is no proxy to bypass",
                "add proxy, or remove no_proxy",
            );
        }
        Some(Client {
            proxy: raw.proxy.map(|url| url.0),
            no_proxy: raw::texts(&raw.no_proxy),
            extra_roots,
        })
    }
}

fn trusted(networks: &[Text<ipnet::IpNet>], client_address: raw::ClientAddress) -> TrustedProxies {
    let client_address = match client_address {
        raw::ClientAddress::XForwardedFor => ClientAddress::XForwardedFor,
        raw::ClientAddress::Forwarded => ClientAddress::Forwarded,
    };
    TrustedProxies::new(networks.iter().map(|network| network.0).collect()).naming(client_address)
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` takes the IPv4 side too, on most systems
    let covers =
        |wide: IpAddr, other: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

pub(super) fn errors(raw: raw::Errors) -> Errors {
    Errors {
        format: match raw.format {
            raw::Format::Problem => ErrorFormat::Problem,
            raw::Format::JsonApi => ErrorFormat::JsonApi,
            raw::Format::Simple => ErrorFormat::Simple,
            raw::Format::Detail => ErrorFormat::Detail,
        },
        expose_reason: raw.expose_reason,
        realm: raw.realm.0.0,
    }
}
