//! `pass_through`: the caller's own token.

use std::sync::Arc;

use http::header;
use serde_json::{Value, json};

use crate::client::token::attached::Attachment;
use crate::client::token::source::Absent;
use crate::client::token::subject::Without;
use crate::client::token::{For, User};
use crate::clock::Clock;
use crate::request::headers::single;

/// Passes on the token that proved the user; without a user, what the app wrote itself.
#[derive(Debug)]
pub(super) struct PassThrough {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl PassThrough {
    pub(super) fn new(name: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        Self { name, clock }
    }

    /// Of a user it is the verified token, whatever the app's own `Authorization` says.
    pub(super) fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        if let Some(user) = call.user {
            return Ok(self.users(user)?);
        }
        let mut value = single(call.headers, &header::AUTHORIZATION)
            .map_err(|ambiguous| Absent::Ends(ambiguous.into()))?
            .ok_or(Absent::NoUser)?
            .clone();
        value.set_sensitive(true);
        Ok(Attachment::header(header::AUTHORIZATION, value, None))
    }

    fn users(&self, user: &User) -> Result<Attachment, Without> {
        let token = user.token.as_ref().ok_or(Without::Token)?;
        if token.expires_at() <= self.clock.now() {
            return Err(Without::Expired);
        }
        let until = Some(token.expires_at());
        let value = token.bearer().clone();
        Ok(Attachment::header(header::AUTHORIZATION, value, until))
    }

    pub(super) fn report(&self) -> Value {
        json!({ "name": &*self.name, "kind": "pass_through" })
    }
}
