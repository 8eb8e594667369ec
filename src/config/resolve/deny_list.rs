//! `[deny_list]`: a file that can be read, and a set in a Redis there is.

use std::path::Path;
use std::time::Duration;

use super::super::deny_list::{self, DenyLists, SharedDenyList};
use super::super::error::KeyPath;
use super::super::raw::{self, Part};
use super::super::redis::Redis;
use super::Resolver;
use crate::authn::deny_list::DenyList;

/// `refresh` where none is stated.
const REFRESH: Duration = Duration::from_secs(5);
/// `max_stale` where none is stated.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

impl Resolver<'_> {
    pub(super) fn deny_lists(
        &mut self,
        raw: Part<raw::DenyList>,
        redis: Option<&Redis>,
    ) -> Option<DenyLists> {
        let path = KeyPath::of(&["deny_list"]);
        let raw = self.part(raw, &path)?;
        if raw.file.is_none() && raw.redis_key.is_none() && !self.mistakes.within(&path) {
            self.mistakes.push(
                &path,
                "nothing says where the list is",
                "write file = \"…\" or redis_key = \"…\", or remove the table",
            );
        }
        for (key, given) in [
            ("refresh", raw.refresh.is_some()),
            ("max_stale", raw.max_stale.is_some()),
        ] {
            if given && raw.redis_key.is_none() {
                let fix = format!("remove {key}, or add redis_key");
                let message = "only what is in Redis is read in turns: a file when it changes";
                self.mistakes.push(&path.key(key), message, fix);
            }
        }
        let file = match &raw.file {
            Some(file) => self.deny_file(file, &path.key("file"))?,
            None => DenyList::default(),
        };
        let shared = raw.redis_key.and_then(|key| {
            let Some(redis) = redis else {
                let fix = "add a table [redis], or write file = \"…\"";
                let message = "there is no [redis] to read it from";
                self.mistakes.push(&path.key("redis_key"), message, fix);
                return None;
            };
            Some(SharedDenyList {
                key: format!("{}{}", redis.prefix, key.0.0),
                refresh: raw.refresh.map_or(REFRESH, |refresh| refresh.0.0),
                max_stale: raw.max_stale.map_or(MAX_STALE, |stale| stale.0.0),
            })
        });
        Some(DenyLists {
            file,
            redis: shared,
        })
    }

    fn deny_file(&mut self, file: &Path, path: &KeyPath) -> Option<DenyList> {
        let text = self.text_file(file, path)?;
        let read = deny_list::denied(&file.display().to_string(), &text);
        self.beside(read, path)
    }
}
