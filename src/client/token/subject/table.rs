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

    /// The value of this subject, which is now the last one used.
    pub(super) fn find_or_insert(&mut self, key: SubjectKey, new: impl FnOnce() -> V) -> V {
        self.uses += 1;
        if let Some((used, value)) = self.entries.get_mut(&key) {
            self.order.remove(used);
            *used = self.uses;
            self.order.insert(self.uses, key);
            return value.clone();
        }
        if self.entries.len() >= self.most
            && let Some((_used, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let value = new();
        self.entries.insert(key, (self.uses, value.clone()));
        self.order.insert(self.uses, key);
        value
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
