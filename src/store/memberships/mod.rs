//! Stores of memberships: groups, roles and permissions that are kept outside the credential.
//!
//! A file is read with the configuration. Any other store is a [`source`] behind an [`engine`].

pub mod engine;
pub mod source;

mod graph;
mod http;
mod kept;
mod service;
#[cfg(feature = "sql")]
mod sql;
mod userinfo;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use self::engine::Engine;
use self::graph::Graph;
use self::http::Http;
use self::userinfo::Profiles;
use crate::authn::membership::{Members, Sets, Subject};
use crate::client::jwks::Background;
use crate::client::outgoing::Outgoing;
use crate::client::tls::Trust;
use crate::client::token::Credentials;
use crate::clock::Clock;
use crate::config::{IssuerConfig, MembershipKind, MembershipStore};
use crate::gate::{self, Boxed, Told};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::MembershipMetrics;

/// What stores are built with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// Whose certificates databases are believed by.
    pub trust: &'m Trust,
    /// The client of `http` stores: no name leads it to a link-local address.
    pub outgoing: &'m Outgoing,
    /// Their credentials.
    pub credentials: &'m Arc<Credentials>,
    /// Wall time.
    pub clock: &'m Arc<dyn Clock>,
    /// Log and metrics.
    pub telemetry: &'m Arc<Telemetry>,
    /// Where look-ups run.
    pub background: &'m Background,
}

/// All `[memberships.X]`, in the order of the configuration, and the profiles of issuers.
#[derive(Debug)]
pub struct Stores {
    listed: Vec<Store>,
    profiles: Profiles,
    /// What is said of whom no file names.
    nothing: Arc<Sets>,
    telemetry: Arc<Telemetry>,
}

/// One store.
#[derive(Debug)]
struct Store {
    name: Arc<str>,
    definition: MembershipKind,
    kind: Kind,
    metrics: MembershipMetrics,
}

#[derive(Debug)]
enum Kind {
    File(Arc<Members>),
    Asked(Arc<Engine<source::Memberships>>),
}

impl Stores {
    /// Nobody is asked yet. What a store of the same definition in `previous` knows is kept. Must be called
    /// inside the control runtime.
    pub fn start(
        stores: &[MembershipStore],
        issuers: &[IssuerConfig],
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        Ok(Self {
            listed: stores
                .iter()
                .map(|store| Store::start(store, means, previous))
                .collect::<io::Result<_>>()?,
            profiles: Profiles::start(issuers, means, previous.map(|old| &old.profiles)),
            nothing: previous.map_or_else(|| Arc::new(Sets::NONE), |old| Arc::clone(&old.nothing)),
            telemetry: Arc::clone(means.telemetry),
        })
    }

    /// These are in force: the metrics tell of no others.
    pub fn go_into_force(&self) {
        let names: BTreeSet<Arc<str>> = self
            .listed
            .iter()
            .map(|store| Arc::clone(&store.name))
            .chain(self.profiles.names())
            .collect();
        self.telemetry.metrics.memberships_in_force(&names);
        for store in &self.listed {
            if let Kind::Asked(engine) = &store.kind {
                store.metrics.entries(engine.len());
            }
        }
        self.profiles.count();
    }
}

impl Store {
    fn start(
        store: &MembershipStore,
        means: &Means<'_>,
        previous: Option<&Stores>,
    ) -> io::Result<Self> {
        let metrics = means.telemetry.metrics.memberships(&store.name);
        let mut known = previous.into_iter().flat_map(|old| &old.listed);
        let known = known.find(|old| old.name == store.name && old.definition == store.kind);
        let asked = |source: Arc<source::Memberships>, look_ups| {
            let counted = metrics.clone();
            let engine = Engine::new(&store.name, look_ups, source, counted, means.background);
            Kind::Asked(Arc::new(match known.map(|known| &known.kind) {
                Some(Kind::Asked(known)) => engine.succeeding(known),
                Some(Kind::File(_)) | None => engine,
            }))
        };
        let kind = match &store.kind {
            MembershipKind::File { members, .. } => Kind::File(Arc::clone(members)),
            MembershipKind::Graph(graph) => {
                asked(Arc::new(Graph::new(graph, means)), graph.look_ups)
            }
            MembershipKind::Http(http) => asked(Arc::new(Http::new(http, means)), http.look_ups),
            #[cfg(feature = "sql")]
            MembershipKind::Sql(sql) => asked(
                Arc::new(sql::Sql::open(sql, means.trust, means.background)?),
                sql.look_ups,
            ),
            // the config says so
            #[cfg(not(feature = "sql"))]
            MembershipKind::Sql(_) => return Err(io::Error::other("built without SQL")),
        };
        Ok(Self {
            name: Arc::clone(&store.name),
            definition: store.kind.clone(),
            kind,
            metrics,
        })
    }
}

impl gate::Memberships for Stores {
    fn find(&self, store: usize, subject: &Subject<'_>) -> Option<Told> {
        let store = self.listed.get(store)?;
        let told = match &store.kind {
            Kind::File(members) => Told {
                sets: Arc::clone(members.find(subject).unwrap_or(&self.nothing)),
                how: gate::Learnt::Cached,
            },
            Kind::Asked(engine) => {
                let known = engine.find(subject)?;
                Told {
                    sets: known.answer,
                    how: known.how,
                }
            }
        };
        store.metrics.answered(Some(told.how.as_str()));
        Some(told)
    }

    fn ask<'a>(&'a self, store: usize, subject: Subject<'a>) -> Boxed<'a, Result<Told, Duration>> {
        Box::pin(async move {
            let Some(asked) = self.listed.get(store) else {
                return Err(Duration::from_secs(1));
            };
            let engine = match &asked.kind {
                Kind::Asked(engine) => engine,
                // answered without waiting
                Kind::File(_) => return self.find(store, &subject).ok_or(Duration::ZERO),
            };
            let known = engine.ask(subject, || ()).await;
            let how = known.as_ref().ok().map(|known| known.how.as_str());
            asked.metrics.answered(how);
            known.map(|known| Told {
                sets: known.answer,
                how: known.how,
            })
        })
    }
}
