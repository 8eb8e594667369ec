//! Every way we know of to make a credential travel to a host that is not its target's. None works:
//! each trick is refused, or ends at the target it names, with that target's own credential.

mod http1;
mod http2;
mod replies;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost::config::{CredentialKind, EgressTarget, Endpoint};
use gatepost::secret::{Secret, SecretSource};
use http::HeaderName;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Host;

use super::{Running, source, target};
use crate::attack::recorder::{Heard, Recorder};

/// Where a trick ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// With this status, nothing sent.
    Refused(u16),
    /// At this target, with this target of the request line.
    At(Name, &'static str),
}

/// The targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// `http://127.0.0.1:PORT/base`, with a token.
    Billing,
    /// `http://127.0.0.1:PORT`, with a key in `x-key`.
    Plain,
    /// `http://api.internal.example:8080`, with a token.
    Named,
}

/// A server that is no target: not even a connection may reach it.
struct Evil {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Evil {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let mut server = JoinSet::new();
        server.spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            address,
            connections,
            _server: server,
        }
    }

    fn saw_nothing(&self) -> Result<(), String> {
        match self.connections.load(Ordering::SeqCst) {
            0 => Ok(()),
            count => Err(format!("evil saw {count} connections")),
        }
    }
}

/// A key in this header.
fn key(header: &'static str, value: &str) -> CredentialKind {
    CredentialKind::ApiKey {
        header: HeaderName::from_static(header),
        scheme: None,
        value: SecretSource::Literal(Secret::new(value.to_owned())),
    }
}

/// Three targets, each with a credential of its own, and who is none.
struct Scene {
    gatepost: Running,
    targets: [(Name, Recorder); 3],
    evil: Evil,
}

impl Scene {
    async fn new() -> Self {
        let evil = Evil::start().await;
        let targets = [
            (Name::Billing, Recorder::start().await),
            (Name::Plain, Recorder::start().await),
            (Name::Named, Recorder::start().await),
        ];
        let [billing, plain, named] = targets.each_ref().map(|(_name, at)| at.address);
        let secret = |name: &str| SecretSource::Literal(Secret::new(format!("s3cret-{name}")));
        let key = key("x-key", "s3cret-plain");
        let token = |name| CredentialKind::StaticToken {
            token: secret(name),
        };
        let at = |mut target: EgressTarget, address: std::net::SocketAddr| {
            target.server.endpoints = vec![Endpoint {
                host: Host::Ipv4([127, 0, 0, 1].into()),
                port: address.port(),
            }];
            target
        };
        let config = vec![
            target("billing", &format!("http://{billing}/base"), &["billing"]),
            target("plain", &format!("http://{plain}"), &["plain"]),
            at(
                target("named", "http://api.internal.example:8080", &["named"]),
                named,
            ),
            // one that only TLS reaches: whoever asks for it in plain HTTP would reach this
            at(
                target("secure", "https://secure.internal.example", &["billing"]),
                evil.address,
            ),
        ];
        let sources = vec![
            source("billing", token("billing")),
            source("plain", key),
            source("named", token("named")),
        ];
        Self {
            gatepost: Running::start(sources, config).await,
            targets,
            evil,
        }
    }

    fn recorder(&self, name: Name) -> &Recorder {
        let mut targets = self.targets.iter();
        &targets.find(|(other, _)| *other == name).unwrap().1
    }

    /// The addresses, where a trick needs them: `OWN`, `EVIL`, `BILLING`, `PLAIN`.
    fn filled(&self, text: &str) -> String {
        let address = |name| self.recorder(name).address.to_string();
        text.replace("OWN", &self.gatepost.at.to_string())
            .replace("EVIL", &self.evil.address.to_string())
            .replace("BILLING", &address(Name::Billing))
            .replace("PLAIN", &address(Name::Plain))
    }

    /// How many requests each target has heard.
    fn heard(&self) -> [usize; 3] {
        self.targets.each_ref().map(|(_, at)| at.heard().len())
    }

    /// What a trick did went to the target it named, with that target's credential and no other, and
    /// nothing went anywhere else. `Err`: where it went instead.
    fn check(&self, before: [usize; 3], ends: Ends) -> Result<(), String> {
        self.evil.saw_nothing()?;
        for ((name, recorder), before) in self.targets.iter().zip(before) {
            if let Some(ambiguous) = recorder.ambiguous().first() {
                return Err(format!("{name:?} was asked {ambiguous}"));
            }
            let heard = recorder.heard();
            let expected = match ends {
                Ends::At(at, _path) if at == *name => before + 1,
                Ends::At(..) | Ends::Refused(_) => before,
            };
            if heard.len() != expected {
                return Err(format!("{name:?} heard {:?}", heard.get(before..)));
            }
            if let (Ends::At(_at, path), Some(last)) = (ends, heard.get(before)) {
                if last.target != self.filled(path) {
                    return Err(format!("{name:?} was asked for {}", last.target));
                }
                self.carries_its_own(*name, last)?;
            }
        }
        Ok(())
    }

    fn carries_its_own(&self, name: Name, heard: &Heard) -> Result<(), String> {
        let address = self.recorder(name).address.to_string();
        let (host, token, key) = match name {
            Name::Billing => (&*address, "Bearer s3cret-billing", ""),
            Name::Plain => (&*address, "", "s3cret-plain"),
            Name::Named => ("api.internal.example:8080", "Bearer s3cret-named", ""),
        };
        let own = heard.folded("host") == [host]
            && heard.folded("authorization").concat() == token
            && heard.folded("x-key").concat() == key;
        // what would move it behind the target's own gateway
        let moved = heard
            .fields
            .iter()
            .chain(&heard.trailers)
            .any(|(field, value)| {
                let about =
                    ["referer", "destination", "x-link", "cookie"].contains(&field.as_str());
                !about && (value.contains(&self.evil.address.to_string()) || value.contains("evil"))
            });
        if own && !moved {
            Ok(())
        } else {
            Err(format!("{name:?} was told {heard:?}"))
        }
    }
}
