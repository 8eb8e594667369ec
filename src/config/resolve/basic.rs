//! `[basic]`: users that can be verified, and routes that ask for them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::super::error::KeyPath;
use super::super::raw::{self, Part};
use super::super::sql::Parameter;
use super::super::{Basic, BasicUsers, Lockout, SqlUsers};
use super::Resolver;
use crate::authn::credential::Kind;
use crate::authn::password::{ISSUER, UsersFile};
use crate::authz::Route;
use crate::authz::route::{Access, Authorization};

/// `cache` where none is stated.
const CACHE: Duration = Duration::from_secs(5 * 60);
/// `timeout` of `[basic.sql]` where none is stated.
const SQL_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than this is worth a second look.
const LONG_CACHE: Duration = Duration::from_secs(3600);
/// `max_entries` where none is stated.
const MAX_ENTRIES: usize = 10_000;
/// `[basic.lockout]` where none is stated.
const LOCKOUT: Lockout = Lockout {
    attempts: 10,
    window: Duration::from_secs(15 * 60),
    duration: Duration::from_secs(15 * 60),
};

impl Resolver<'_> {
    /// `realm` is that of `[errors]`.
    pub(super) fn basic_users(
        &mut self,
        raw: Part<raw::Passwords>,
        realm: Option<&HeaderValue>,
    ) -> Option<Basic> {
        let path = KeyPath::of(&["basic"]);
        let raw = self.part(raw, &path)?;
        let at = path.key("users_file");
        let users = match (&raw.users_file, &raw.sql) {
            (Some(file), None) => self.users_file(file, &at),
            (None, Some(sql)) => self.users_in_sql(sql, &path.key("sql")),
            (Some(_), Some(_)) => {
                let fix = "keep one of users_file and [basic.sql]";
                self.mistakes.push(&at, "users are in one place", fix);
                None
            }
            (None, None) => {
                let fix = "write users_file = \"/etc/gatepost/users\", or a table [basic.sql]";
                self.mistakes.push(&at, "there are no users", fix);
                None
            }
        };
        let cache = raw.cache.map_or(CACHE, |cache| cache.0.0);
        if cache > LONG_CACHE {
            self.warn(
                &path.key("cache"),
                "what memory of the right password a process has is kept for more than an hour",
            );
        }
        let realm = raw.realm.map(|realm| realm.0.0).or(realm.cloned())?;
        Some(Basic {
            users: users?,
            challenge: challenge(&realm)?,
            hash_threads: raw
                .hash_threads
                .and_then(|count| NonZeroUsize::new(count.into())),
            cache,
            max_entries: raw.max_entries.map_or(MAX_ENTRIES, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            }),
            lockout: lockout(&raw.lockout),
        })
    }

    fn users_in_sql(&mut self, raw: &raw::SqlUsers, path: &KeyPath) -> Option<BasicUsers> {
        let database = self.database(&raw.url, raw.max_connections, path)?;
        let at = path.key("password");
        let password = self.query(&raw.password, &database, &[Parameter::Name], &at)?;
        if !password.names(Parameter::Name) {
            let fix = "add `where name = :name`, with your own name of the column";
            self.mistakes.push(
                &at,
                "without :name everybody would have the same password",
                fix,
            );
            return None;
        }
        Some(BasicUsers::Sql(Box::new(SqlUsers {
            database,
            password,
            timeout: raw
                .timeout
                .as_ref()
                .map_or(SQL_TIMEOUT, |timeout| timeout.0.0),
        })))
    }

    fn users_file(&mut self, file: &Path, path: &KeyPath) -> Option<BasicUsers> {
        let content = self.file(file, path)?;
        let name = file.display();
        let Ok(text) = String::from_utf8(content) else {
            let message = format!("{name} is not UTF-8 text");
            self.mistakes
                .push(path, message, "write name:hash, one to a line");
            return None;
        };
        match UsersFile::parse(&text) {
            Ok(users) => {
                self.costs(&users, path);
                Some(BasicUsers::File(Arc::new(users)))
            }
            Err(faults) => {
                for fault in faults {
                    let message = format!("{name}, line {}: {}", fault.line, fault.message);
                    self.mistakes.push(path, message, fault.fix);
                }
                None
            }
        }
    }

    fn costs(&mut self, users: &UsersFile, path: &KeyPath) {
        if users.is_empty() {
            self.warn(path, "it has no users: nobody can pass by a password");
        }
        let costs = users.costs();
        for cost in costs.iter().filter(|cost| cost.is_low()) {
            let why = "who gets hold of the file finds weak passwords soon";
            self.warn(path, format!("hashes of {cost} are cheap: {why}"));
        }
        if let [one, other, ..] = costs.as_slice() {
            let why = "the time an answer takes tells which names there are";
            self.warn(
                path,
                format!("hashes cost differently ({one}, {other}): {why}"),
            );
        }
    }

    /// Routes that accept passwords need `[basic]`, and the name of its principals' issuer for it alone.
    pub(super) fn passwords(&mut self, routes: &[Route], keys: &[KeyPath], is_present: bool) {
        let accepts = |route: &Route| match &route.access {
            Access::Public => false,
            Access::Protected(asked) => asked.accepts.contains(&Kind::Basic),
        };
        let accepting: Vec<_> = routes
            .iter()
            .zip(keys)
            .filter(|(route, _)| accepts(route))
            .collect();
        for (route, key) in &accepting {
            if !is_present {
                self.mistakes.push(
                    &key.key("auth"),
                    "nobody can tell whether a password is right",
                    "add a table [basic] with users_file = \"…\", or remove \"basic\"",
                );
            }
            let forward = route.forward.as_ref();
            if forward.is_some_and(|forward| forward.authorization == Authorization::Forward) {
                let what = "passes users' passwords on to its upstream";
                let fix = "authorization = \"strip\" keeps them here";
                self.warn(
                    &key.key("authorization"),
                    format!("route {} {what}: {fix}", route.name),
                );
            }
        }
        if accepting.is_empty() && is_present {
            let path = KeyPath::of(&["basic"]);
            self.warn(
                &path,
                "no route accepts passwords: auth = [\"basic\"] on one does",
            );
        }
        if !accepting.is_empty() && self.names.issuers.iter().any(|name| name == ISSUER) {
            self.mistakes.push(
                &KeyPath::of(&["issuers", ISSUER]),
                "the name stands for passwords, which a route accepts",
                "give this issuer another name",
            );
        }
    }
}

pub(super) fn lockout(raw: &raw::Lockout) -> Lockout {
    Lockout {
        attempts: raw.attempts.unwrap_or(LOCKOUT.attempts),
        window: raw
            .window
            .as_ref()
            .map_or(LOCKOUT.window, |window| window.0.0),
        duration: raw
            .duration
            .as_ref()
            .map_or(LOCKOUT.duration, |duration| duration.0.0),
    }
}

/// A realm has no character that needs an escape.
fn challenge(realm: &HeaderValue) -> Option<HeaderValue> {
    let realm = realm.to_str().ok()?;
    HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")).ok()
}
