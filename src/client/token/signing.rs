//! `kind = "aws"`: no header is written, the finished request is signed (Signature Version 4).

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;

use crate::client::aws::sigv4::{self, NotSigned, Payload, Scope};
use crate::client::aws::{AskingKeys, AskingPool, AwsKeys};
use crate::client::token::attached::Attachment;
use crate::client::token::request::Endpoint;
use crate::client::token::source::{Absent, Means, Nothing};
use crate::client::token::{Fetch, For, Grant, Lent, Setup, Subjects};
use crate::clock::Clock;
use crate::config::{AwsCredential, AwsKeySource, Freshness, IdentityPool};
use crate::reason::{Denial, Failure, Refusal};

/// Most users whose keys are kept at once.
const MOST_USERS: usize = 10_000;

/// The keys a request is signed with, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    definition: Arc<AwsCredential>,
    keys: Arc<AwsKeys>,
    clock: Arc<dyn Clock>,
    /// Whether nobody on the way to the target can change what is not signed.
    guarded: bool,
}

impl Signer {
    /// Signing with these keys while they are good. A signature is then good for minutes by itself.
    fn attached(
        definition: &Arc<AwsCredential>,
        lent: Lent<AwsKeys>,
        clock: &Arc<dyn Clock>,
        guarded: bool,
    ) -> Attachment {
        let signer = Self {
            definition: Arc::clone(definition),
            keys: lent.credential,
            clock: Arc::clone(clock),
            guarded,
        };
        Attachment::signature(signer, lent.until)
    }

    /// The same with other keys.
    fn with(&self, other: Lent<AwsKeys>) -> Attachment {
        Self::attached(&self.definition, other, &self.clock, self.guarded)
    }

    /// What it signs with.
    pub(super) fn into_keys(self) -> Arc<AwsKeys> {
        self.keys
    }

    /// Signs a finished head, each time by the moment it is.
    pub(super) fn sign(&self, head: &mut Parts, body: Option<&Bytes>) -> Result<(), Refusal> {
        let payload = match body {
            Some(bytes) => Payload::Whole(bytes),
            None => Payload::Streamed {
                guarded: self.guarded,
            },
        };
        let scope = Scope {
            region: &self.definition.region,
            service: &self.definition.service,
        };
        let signed = sigv4::sign(head, payload, &self.keys, scope, self.clock.now());
        signed.map_err(|why| match why {
            NotSigned::NotKept => Denial::BodyTooLarge.into(),
            NotSigned::SignedChunks => Denial::RequestMalformed.into(),
            NotSigned::Unwritable => Failure::InternalError.into(),
        })
    }
}

/// A source of our own keys, kept fresh.
#[derive(Debug)]
pub(super) struct Signing {
    definition: Arc<AwsCredential>,
    asking: Arc<AskingKeys>,
    grant: Arc<Grant<AwsKeys>>,
    /// What this world asks through, once it is in force.
    endpoint: Arc<dyn Endpoint>,
    clock: Arc<dyn Clock>,
}

impl Signing {
    /// Takes over what `previous` holds if it is the same, and leaves `previous` as it is.
    pub(super) fn start(
        name: Arc<str>,
        definition: &AwsCredential,
        source: &AwsKeySource,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let endpoint = Arc::clone(means.endpoint);
        // kept keys are read anew: a changed file means a reload
        let issued = !matches!(source, AwsKeySource::Kept { .. });
        let kept = previous.filter(|previous| issued && previous.asking.is_of(source));
        let (asking, grant) = if let Some(kept) = kept {
            (Arc::clone(&kept.asking), Arc::clone(&kept.grant))
        } else {
            let asking = Arc::new(AskingKeys::new(source.clone(), Arc::clone(&endpoint)));
            let grant = Grant::new(
                name,
                "aws",
                Freshness::default(),
                Arc::clone(&asking) as Arc<dyn Fetch<AwsKeys>>,
                Arc::clone(means.clock),
                Arc::clone(means.telemetry),
            );
            (asking, Arc::new(grant))
        };
        let drive = Arc::clone(&grant).drive(means.stop.clone());
        means.background.tasks.spawn(drive);
        Self {
            definition: Arc::new(definition.clone()),
            asking,
            grant,
            endpoint,
            clock: Arc::clone(means.clock),
        }
    }

    /// What was kept from the world before asks through this one's from now on.
    pub(super) fn go_into_force(&self) {
        self.asking.ask_through(Arc::clone(&self.endpoint));
    }

    pub(super) async fn attach(&self, call: &For<'_>) -> Result<Attachment, Nothing> {
        let lent = self.grant.find().await?;
        let guarded = call.guarded;
        Ok(Signer::attached(
            &self.definition,
            lent,
            &self.clock,
            guarded,
        ))
    }

    pub(super) async fn replace(&self, refused: &Attachment) -> Option<Attachment> {
        let refused = refused.signer()?;
        let is_refused = |keys: &AwsKeys| *keys == *refused.keys;
        let other = self.grant.replace(is_refused).await?;
        Some(refused.with(other))
    }

    pub(super) fn report(&self) -> Value {
        self.grant.report()
    }
}

/// The keys of users, from an identity pool.
#[derive(Debug)]
pub(super) struct PoolSigning {
    definition: Arc<AwsCredential>,
    pool: IdentityPool,
    subjects: Arc<Subjects<AwsKeys>>,
    clock: Arc<dyn Clock>,
}

impl PoolSigning {
    /// Keeps the keys of `previous` if they are the same pool's.
    pub(super) fn start(
        name: Arc<str>,
        definition: &AwsCredential,
        pool: &IdentityPool,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let asking = AskingPool::new(pool.clone(), Arc::clone(means.endpoint));
        let subjects = Subjects::new(Setup {
            name,
            kind: "aws",
            most: MOST_USERS,
            size: AwsKeys::size,
            freshness: Freshness::default(),
            fetch: Arc::new(asking),
            clock: means.clock,
            telemetry: means.telemetry,
            background: means.background,
        });
        // the live world asks as it did, whatever becomes of this one
        let subjects = match previous.filter(|previous| previous.pool == *pool) {
            Some(kept) => subjects.succeeding(&kept.subjects),
            None => subjects,
        };
        let subjects = Arc::new(subjects);
        let sweep = Arc::clone(&subjects).sweep(means.stop.clone());
        means.background.tasks.spawn(sweep);
        Self {
            definition: Arc::new(definition.clone()),
            pool: pool.clone(),
            subjects,
            clock: Arc::clone(means.clock),
        }
    }

    pub(super) async fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        let user = call.user.ok_or(Absent::NoUser)?;
        let lent = self.subjects.find(user).await?;
        let guarded = call.guarded;
        Ok(Signer::attached(
            &self.definition,
            lent,
            &self.clock,
            guarded,
        ))
    }

    pub(super) async fn replace(&self, refused: &Attachment, call: &For<'_>) -> Option<Attachment> {
        let refused = refused.signer()?;
        let is_refused = |keys: &AwsKeys| *keys == *refused.keys;
        let other = self.subjects.replace(call.user?, is_refused).await?;
        Some(refused.with(other))
    }

    pub(super) fn report(&self) -> Value {
        self.subjects.report()
    }
}
