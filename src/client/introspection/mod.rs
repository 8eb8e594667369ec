//! Issuers that are asked about each token (RFC 7662, or an endpoint of one's own): one question for all who
//! have a token, a bounded number at once, nobody while it is known to be down.
//!
//! [`judge`] asks, [`book`] is what is remembered, [`question`] is one question and its answer.

mod book;
mod judge;
mod question;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::judge::Judge;
use crate::client::jwks::Background;
use crate::client::token::Endpoint;
use crate::clock::Clock;
use crate::config::{IssuerConfig, KeyLocation};
use crate::gate::{Boxed, Said, TokenJudge, TokenTag};
use crate::telemetry::Telemetry;

/// All issuers that are asked, by their number.
#[derive(Debug)]
pub struct Judges {
    judges: Vec<Option<Arc<Judge>>>,
    /// What this config's questions go through, once it is in force.
    endpoint: Arc<dyn Endpoint>,
}

impl Judges {
    /// Asks nobody yet. What is the same in `previous` keeps its answers, and asks as it did until
    /// [`Self::go_into_force`]. Reads the disk. Must be called inside the runtime that is to ask.
    pub fn start(
        issuers: &[IssuerConfig],
        endpoint: Arc<dyn Endpoint>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let judge = |config: &IssuerConfig| {
            let KeyLocation::Asked(definition) = &config.keys else {
                return None;
            };
            let name = &config.issuer.name;
            let judge = Judge::new(name, definition, &endpoint, clock, telemetry, background);
            let mut known = previous
                .into_iter()
                .flat_map(|old| old.judges.iter().flatten());
            let same = known.find(|known| known.is_same(&judge));
            Some(same.map_or_else(|| Arc::new(judge), Arc::clone))
        };
        Self {
            judges: issuers.iter().map(judge).collect(),
            endpoint,
        }
    }

    /// This config is in force: what is kept from the one before asks with its proxy and roots.
    pub fn go_into_force(&self) {
        for judge in self.judges.iter().flatten() {
            judge.ask_through(&self.endpoint);
        }
    }
}

impl TokenJudge for Judges {
    fn ask<'a>(&'a self, issuer: usize, tag: &'a TokenTag, token: &'a str) -> Boxed<'a, Said> {
        match self.judges.get(issuer) {
            Some(Some(judge)) => Box::pin(judge.ask(tag, token)),
            Some(None) | None => Box::pin(std::future::ready(Said::Unknown {
                retry_after: Duration::from_secs(1),
            })),
        }
    }

    fn edition(&self, issuer: usize) -> u64 {
        let judge = self.judges.get(issuer).and_then(Option::as_ref);
        judge.map_or(0, |judge| judge.edition)
    }
}
