//! A source whose token is kept fresh: a grant together with what asks for it.

use std::sync::Arc;

use serde_json::Value;

use crate::client::token::attached::Attachment;
use crate::client::token::fleet::{Label, Shared, Store};
use crate::client::token::request::Endpoint;
use crate::client::token::source::{Means, Nothing};
use crate::client::token::{Bearer, Fetch, Grant};
use crate::config::Freshness;

/// What asks for tokens, and may be kept by the next world.
pub(super) trait Asks: Fetch<Bearer> + Sized + 'static {
    /// `kind` in the configuration.
    const KIND: &'static str;

    /// How long its tokens are used.
    fn freshness(&self) -> Freshness;

    /// Whether `next` would ask for the same tokens, by the same secrets.
    fn is_same(&self, next: &Self) -> bool;

    /// Asks through this one from now on.
    fn ask_through(&self, endpoint: &Arc<dyn Endpoint>);

    /// What a fleet calls its tokens by; `None`: they are not shared.
    fn label(&self, _name: &Arc<str>) -> Option<Label> {
        None
    }

    /// Takes over what another definition of this source has learnt.
    fn inherit(&self, _previous: &Self) {}

    /// Whether it has learnt what a restart would need and could not write it down.
    fn is_unsaved(&self) -> bool {
        false
    }
}

/// A grant together with what asks for it.
#[derive(Debug)]
pub(super) struct Granting<A> {
    asking: Arc<A>,
    /// Stands between them, if tokens are shared.
    shared: Option<Arc<Shared<Bearer>>>,
    grant: Arc<Grant<Bearer>>,
    /// What this world asks and shares through, once it is in force.
    endpoint: Arc<dyn Endpoint>,
    store: Option<Arc<dyn Store>>,
}

impl<A: Asks> Granting<A> {
    /// Takes over the token of `previous` if it is the same source, and leaves `previous` as it is.
    pub(super) fn start(
        name: Arc<str>,
        asking: A,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let kept = previous.filter(|previous| previous.asking.is_same(&asking));
        let endpoint = Arc::clone(means.endpoint);
        let store = means.store.cloned();
        let granting = if let Some(kept) = kept {
            Self {
                asking: Arc::clone(&kept.asking),
                shared: kept.shared.clone(),
                grant: Arc::clone(&kept.grant),
                endpoint,
                store,
            }
        } else {
            if let Some(previous) = previous {
                asking.inherit(&previous.asking);
            }
            let asking = Arc::new(asking);
            let own: Arc<dyn Fetch<Bearer>> = Arc::<A>::clone(&asking);
            let shared = asking.label(&name).map(|label| {
                let clock = Arc::clone(means.clock);
                let (own, freshness) = (Arc::clone(&own), asking.freshness());
                Arc::new(Shared::new(label, freshness, own, means.store, clock))
            });
            let fetch: Arc<dyn Fetch<Bearer>> = match &shared {
                Some(shared) => Arc::<Shared<Bearer>>::clone(shared),
                None => own,
            };
            let grant = Grant::new(
                name,
                A::KIND,
                asking.freshness(),
                fetch,
                Arc::clone(means.clock),
                Arc::clone(means.telemetry),
            );
            Self {
                asking,
                shared,
                grant: Arc::new(grant),
                endpoint,
                store,
            }
        };
        let drive = Arc::clone(&granting.grant).drive(means.stop.clone());
        means.background.tasks.spawn(drive);
        granting
    }

    /// What was kept from the world before asks and shares through this one's from now on.
    pub(super) fn go_into_force(&self) {
        self.asking.ask_through(&self.endpoint);
        if let Some(shared) = &self.shared {
            shared.share_through(self.store.as_ref());
        }
    }

    pub(super) async fn attach(&self) -> Result<Attachment, Nothing> {
        Ok(Attachment::bearer(&self.grant.find().await?))
    }

    pub(super) async fn replace(&self, refused: &Attachment) -> Option<Attachment> {
        let is_refused = |token: &Bearer| refused.is_header(token.header());
        let other = self.grant.replace(is_refused).await?;
        Some(Attachment::bearer(&other))
    }

    /// What `/status` shows of it.
    pub(super) fn report(&self) -> Value {
        let mut report = self.grant.report();
        let is_shared = |shared: &Arc<Shared<Bearer>>| shared.is_shared();
        if let Some(report) = report.as_object_mut() {
            let is_shared = self.shared.as_ref().is_some_and(is_shared);
            report.insert("shared".to_owned(), is_shared.into());
            if self.asking.is_unsaved() {
                report.insert("state_file_is_behind".to_owned(), true.into());
            }
        }
        report
    }

    pub(super) fn grant(&self) -> &Arc<Grant<Bearer>> {
        &self.grant
    }
}
