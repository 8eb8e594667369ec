//! The least recently used gives way.

use std::collections::{BTreeMap, HashMap};

use crate::client::token::user::SubjectKey;

/// Those who must stay that are looked at, at most, for one that may go: everybody waits meanwhile.
const LOOK_AT: usize = 64;

/// Values by subject: at most `most`, and together at most so many bytes as they are said to take.
#[derive(Debug)]
pub(super) struct Table<V> {
    most: usize,
    most_bytes: usize,
    entries: HashMap<SubjectKey, Entry<V>>,
    /// By last use.
    order: BTreeMap<u64, SubjectKey>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    bytes: usize,
    value: V,
}

impl<V: Clone> Table<V> {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            most,
            most_bytes,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|entry| &entry.value)
    }

    /// The value of this subject, which is now the last one used. For a new one, of so many bytes, the
    /// least recently used that `may_go` gives way; `None` if there is none, or none is soon found.
    pub(super) fn find_or_insert(
        &mut self,
        key: SubjectKey,
        new: impl FnOnce() -> V,
        bytes: usize,
        may_go: impl Fn(&V) -> bool,
    ) -> Option<V> {
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(&key) {
            self.order.remove(&entry.used);
            entry.used = self.uses;
            self.order.insert(self.uses, key);
            return Some(entry.value.clone());
        }
        if !self.make_room(1, bytes, may_go) {
            return None;
        }
        let value = new();
        self.uses += 1;
        let entry = Entry {
            used: self.uses,
            bytes,
            value: value.clone(),
        };
        self.entries.insert(key, entry);
        self.order.insert(self.uses, key);
        self.bytes += bytes;
        Some(value)
    }

    /// The value of this subject takes so many bytes by now. Others give way for it.
    pub(super) fn weigh(&mut self, key: &SubjectKey, bytes: usize, may_go: impl Fn(&V) -> bool) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes) + bytes;
            entry.bytes = bytes;
            // those that may not go are fetching, and few answer at once
            self.make_room(0, 0, may_go);
        }
    }

    /// Makes the least recently used that `may_go` give way until there is room for so many more of so
    /// many bytes; whether there is. It does not look at all of them. Who must stay counts as used: the
    /// next search does not begin with them.
    fn make_room(&mut self, more: usize, bytes: usize, may_go: impl Fn(&V) -> bool) -> bool {
        let has_room = |table: &Self| {
            table.entries.len() + more <= table.most && table.bytes + bytes <= table.most_bytes
        };
        let mut stay = 0;
        while stay < LOOK_AT && !has_room(self) {
            let Some((_used, oldest)) = self.order.pop_first() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&oldest) else {
                continue;
            };
            if may_go(&entry.value) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                self.entries.remove(&oldest);
            } else {
                stay += 1;
                self.uses += 1;
                entry.used = self.uses;
                self.order.insert(self.uses, oldest);
            }
        }
        has_room(self)
    }

    /// Forgets all others.
    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        let (order, bytes) = (&mut self.order, &mut self.bytes);
        self.entries.retain(|_key, entry| {
            let keep = keep(&entry.value);
            if !keep {
                order.remove(&entry.used);
                *bytes = bytes.saturating_sub(entry.bytes);
            }
            keep
        });
        if self.entries.is_empty() {
            self.entries = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::client::token::user;
    use crate::clock::UnixTime;

    fn key(number: usize) -> SubjectKey {
        let user = user("ada", &number.to_string(), UnixTime(9));
        user.subject().unwrap().0
    }

    #[test]
    fn a_crowd_that_must_stay_is_not_gone_through_under_the_lock() {
        let most = 10 * LOOK_AT;
        let mut table = Table::new(most, usize::MAX);
        for number in 0..most {
            assert!(table.find_or_insert(key(number), || number, 1, |_| true) == Some(number));
        }
        // all but one are being fetched for
        let idle = most - 1;
        let looked = Cell::new(0);
        let may_go = |number: &usize| {
            looked.set(looked.get() + 1);
            *number == idle
        };
        let newcomer = most;
        let mut tries = 0;
        loop {
            looked.set(0);
            tries += 1;
            let found = table.find_or_insert(key(newcomer), || newcomer, 1, may_go);
            assert!(looked.get() <= LOOK_AT, "{}", looked.get());
            if found.is_some() {
                break;
            }
        }
        assert_eq!(tries, 10, "each search begins where the last one ended");
        assert_eq!((table.len(), table.bytes()), (most, most));
    }
}
