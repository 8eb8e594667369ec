//! Ten ports on loopback, and the dev config that names them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The base when none is asked for.
pub const DEFAULT_BASE: u16 = 7400;

/// The config, for [`DEFAULT_BASE`].
const CONFIG: &str = include_str!("../../../config/dev.toml");

/// What `config/dev.toml` writes before the last digit of each port.
const ADDRESS_STEM: &str = "127.0.0.1:740";

/// What listens, with its distance from the base port.
pub(crate) const LISTENERS: [(&str, u16); 7] = [
    ("ingress", 0),
    ("forward auth", 1),
    ("egress", 2),
    ("admin", 3),
    ("health", 4),
    ("issuer", 8),
    ("echo", 9),
];

/// The ports of one run: a base and the nine after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports(u16);

/// Why the ports cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// Somebody else listens there.
    #[error("port {port} ({listener}) is in use; choose others: gatepost dev --base-port N")]
    InUse {
        /// The port.
        port: u16,
        /// What should have listened there.
        listener: &'static str,
    },
    /// The ten ports would not fit below 65536.
    #[error("--base-port {0} is too high: the ten ports end at 65535")]
    TooHigh(u16),
    /// No run of free ports was found for `--base-port 0`.
    #[error(
        "found no ten free ports in a row on 127.0.0.1; choose some: gatepost dev --base-port N"
    )]
    NoneFree,
    /// The system refuses to listen.
    #[error("cannot listen on 127.0.0.1:{port} ({listener}): {source}")]
    Listen {
        /// The port.
        port: u16,
        /// What should have listened there.
        listener: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The two listeners that `dev` serves itself, already bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) issuer: TcpListener,
    pub(crate) echo: TcpListener,
}

impl Ports {
    /// These ten ports.
    pub(crate) fn new(base: u16) -> Result<Self, PortsError> {
        match base.checked_add(9) {
            Some(_last) => Ok(Self(base)),
            None => Err(PortsError::TooHigh(base)),
        }
    }

    /// Makes sure that nobody listens on any of them, and keeps the issuer's and the echo's.
    pub(crate) fn bind(self) -> Result<Bound, PortsError> {
        let mut bound = Vec::with_capacity(LISTENERS.len());
        for (listener, offset) in LISTENERS {
            let port = self.port(offset);
            bound.push(
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| {
                    if source.kind() == io::ErrorKind::AddrInUse {
                        return PortsError::InUse { port, listener };
                    }
                    PortsError::Listen {
                        port,
                        listener,
                        source,
                    }
                })?,
            );
        }
        // the planes bind theirs again themselves, from the config
        match (bound.pop(), bound.pop()) {
            (Some(echo), Some(issuer)) => Ok(Bound { issuer, echo }),
            _fewer => Err(PortsError::NoneFree),
        }
    }

    /// Finds ten free ports: `--base-port 0`.
    pub(crate) fn find_free() -> Result<(Self, Bound), PortsError> {
        for _attempt in 0..64 {
            // the system's choice is only the die: planes live below the range from which it takes
            // the ports of outgoing connections
            let die = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .map_err(|source| PortsError::Listen {
                    port: 0,
                    listener: "any",
                    source,
                })?
                .port();
            let ports = Self(10_000 + (die % 2_200) * 10);
            if let Ok(bound) = ports.bind() {
                return Ok((ports, bound));
            }
        }
        Err(PortsError::NoneFree)
    }

    /// The base.
    pub(crate) fn base(self) -> u16 {
        self.0
    }

    /// Scheme and authority of the listener at this distance from the base.
    pub(crate) fn origin(self, offset: u16) -> String {
        format!(
            "http://{}",
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.port(offset)))
        )
    }

    /// Scheme and authority of the issuer.
    pub(crate) fn issuer(self) -> String {
        self.origin(8)
    }

    /// `config/dev.toml` for these ports.
    pub(crate) fn config(self) -> String {
        let mut parts = CONFIG.split(ADDRESS_STEM);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (digit, rest) = part.split_at_checked(1).unwrap_or((part, ""));
            let offset = digit.parse().unwrap_or_default();
            text.push_str("127.0.0.1:");
            text.push_str(&self.port(offset).to_string());
            text.push_str(rest);
        }
        text
    }

    fn port(self, offset: u16) -> u16 {
        self.0.saturating_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_ports_are_those_of_the_file() {
        assert_eq!(Ports(DEFAULT_BASE).config(), CONFIG);
    }

    #[test]
    fn every_address_moves_with_the_base() {
        // 7401 overlaps the default ports: no address may be moved twice
        let moved = Ports(7401).config();
        for (line, was) in moved.lines().zip(CONFIG.lines()) {
            for (_listener, offset) in LISTENERS {
                let old = format!("127.0.0.1:{}", 7400 + offset);
                let new = format!("127.0.0.1:{}", 7401 + offset);
                assert_eq!(was.contains(&old), line.contains(&new), "{line}");
            }
        }
        assert!(moved.contains("\"http://127.0.0.1:7409/us-east-1_GatepostD\""));
    }

    #[test]
    fn a_port_in_use_is_named_with_the_fix() {
        let (ports, bound) = Ports::find_free().unwrap();
        drop(bound);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.port(2))).unwrap();
        let error = ports.bind().unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {} (egress)", ports.port(2)))
                && error.contains("--base-port"),
            "{error}"
        );
    }

    #[test]
    fn the_last_port_is_65535() {
        assert!(Ports::new(65_526).is_ok());
        assert!(matches!(Ports::new(65_527), Err(PortsError::TooHigh(_))));
    }
}
