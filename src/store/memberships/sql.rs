//! `kind = "sql"`: a database.

use std::io;
use std::sync::Arc;

use super::source::{LookUpError, Source};
use crate::authn::membership::{Sets, Subject};
use crate::authn::principal::Names;
use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::config::SqlMemberships;
use crate::config::sql::{Parameter, Query};
use crate::gate::Boxed;
use crate::store::sql::{Database, Fault, Values};

/// A database, and what it is asked.
#[derive(Debug)]
pub(super) struct Sql {
    definition: SqlMemberships,
    database: Arc<Database>,
}

impl Sql {
    /// Nobody is asked yet, nor connected to. Must be called inside the control runtime.
    pub(super) fn open(
        definition: &SqlMemberships,
        trust: &Trust,
        background: &Background,
    ) -> io::Result<Self> {
        Ok(Self {
            database: Database::open(&definition.database, trust, background)?,
            definition: definition.clone(),
        })
    }

    /// Whether a query can be asked about this subject: who has no tenant is not in nothing of theirs.
    fn applies(query: &Query, subject: &Subject<'_>) -> bool {
        query.needs.iter().all(|needed| match needed {
            Parameter::Tenant => subject.tenant.is_some(),
            Parameter::ClientId => subject.client_id.is_some(),
            Parameter::Issuer | Parameter::UserId | Parameter::Name => true,
        })
    }

    async fn ask(&self, subject: Subject<'_>) -> Result<Sets, LookUpError> {
        let values = Values {
            issuer: Some(subject.issuer.to_owned()),
            user_id: Some(subject.user_id.to_owned()),
            tenant: subject.tenant.map(str::to_owned),
            client_id: subject.client_id.map(str::to_owned),
            name: None,
        };
        let applies = |query: &&Query| Self::applies(query, &subject);
        let queries: Arc<[Query]> = self.definition.queries().filter(applies).cloned().collect();
        let deadline = self.definition.look_ups.timeout;
        let answers = self.database.ask(queries, values, deadline).await;
        let mut answers = answers.map_err(error)?.into_iter();
        let mut set = |query: &Option<Query>| match query.as_ref().filter(applies) {
            Some(_) => answers.next().map_or(Names::Unresolved, Names::Known),
            None => Names::Unresolved,
        };
        Ok(Sets {
            groups: set(&self.definition.groups),
            roles: set(&self.definition.roles),
            permissions: set(&self.definition.permissions),
        })
    }
}

fn error(fault: Fault) -> LookUpError {
    if fault.meets_everyone() {
        LookUpError::everyones(fault)
    } else if fault.meets_one() {
        LookUpError::of_one(fault)
    } else {
        LookUpError::unclear(fault)
    }
}

impl Source for Sql {
    type Answer = Sets;
    type With = ();

    /// Nobody need be asked where no query applies.
    fn unasked(&self, subject: &Subject<'_>) -> Option<Sets> {
        let mut queries = self.definition.queries();
        let none = !queries.any(|query| Self::applies(query, subject));
        none.then_some(Sets::UNKNOWN)
    }

    fn at_once(&self) -> usize {
        self.definition.database.max_connections
    }

    fn look_up<'l>(
        &'l self,
        subject: Subject<'l>,
        (): &'l (),
    ) -> Boxed<'l, Result<Sets, LookUpError>> {
        Box::pin(self.ask(subject))
    }
}
