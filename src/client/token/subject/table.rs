//! The least recently used gives way.

use std::collections::{BTreeMap, HashMap};

use crate::client::token::user::SubjectKey;

/// At most `most` values, by subject.
#[derive(Debug)]
pub(super) struct Table<V> {
    most: usize,
    entries: HashMap<SubjectKey, (u64, V)>,
    /// By last use.
    order: BTreeMap<u64, SubjectKey>,
    uses: u64,
}

impl<V: Clone> Table<V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|(_used, value)| value)
    }

    /// The value of this subject, which is now the last one used. For a new one the least recently
    /// used that `may_go` gives way; `None` if there is none.
    pub(super) fn find_or_insert(
        &mut self,
        key: SubjectKey,
        new: impl FnOnce() -> V,
        may_go: impl Fn(&V) -> bool,
    ) -> Option<V> {
        self.uses += 1;
        if let Some((used, value)) = self.entries.get_mut(&key) {
            self.order.remove(used);
            *used = self.uses;
            self.order.insert(self.uses, key);
            return Some(value.clone());
        }
        if self.entries.len() >= self.most && !self.make_room(may_go) {
            return None;
        }
        let value = new();
        self.uses += 1;
        self.entries.insert(key, (self.uses, value.clone()));
        self.order.insert(self.uses, key);
        Some(value)
    }

    /// Who must stay counts as used: the next search does not begin with them.
    fn make_room(&mut self, may_go: impl Fn(&V) -> bool) -> bool {
        for _each in 0..self.entries.len() {
            let Some((_used, oldest)) = self.order.pop_first() else {
                return false;
            };
            let Some((used, value)) = self.entries.get_mut(&oldest) else {
                continue;
            };
            if may_go(value) {
                self.entries.remove(&oldest);
                return true;
            }
            self.uses += 1;
            *used = self.uses;
            self.order.insert(self.uses, oldest);
        }
        false
    }

    /// Forgets all others.
    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        let order = &mut self.order;
        self.entries.retain(|_key, (used, value)| {
            let keep = keep(value);
            if !keep {
                order.remove(used);
            }
            keep
        });
        if self.entries.is_empty() {
            self.entries = HashMap::new();
        }
    }
}
