//! A file of users: `name:hash`, one to a line, as `htpasswd` writes it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::hash::{Cost, PasswordHash};
use crate::authn::principal;

/// The users of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct UsersFile {
    users: HashMap<String, Arc<PasswordHash>>,
    /// Of the most common cost.
    nobody: Arc<PasswordHash>,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong. Says nothing of what stands there but the name of a user.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl UsersFile {
    /// Reads a file. Empty lines and those that begin with `#` say nothing. Every fault at once.
    pub fn parse(text: &str) -> Result<Self, Vec<LineFault>> {
        let mut users: HashMap<String, Arc<PasswordHash>> = HashMap::new();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fault = |message: String, fix: &str| {
                let fix = fix.to_owned();
                let line = index + 1;
                faults.push(LineFault { line, message, fix });
            };
            let Some((name, stored)) = line.split_once(':') else {
                fault("no colon".to_owned(), "write name:hash");
                continue;
            };
            let Ok(name) = principal::identifier(name) else {
                let message =
                    "the name is empty, longer than 256 characters, or holds control characters";
                fault(message.to_owned(), "write name:hash");
                continue;
            };
            match (PasswordHash::parse(stored), users.entry(name)) {
                (Ok(hash), Entry::Vacant(place)) => {
                    place.insert(Arc::new(hash));
                }
                (Ok(_second), Entry::Occupied(known)) => {
                    let message = format!("{:?} stands here twice", known.key());
                    fault(message, "keep one line for each user");
                }
                (Err(why), known) => {
                    fault(format!("{:?}: {why}", known.key()), why.fix());
                }
            }
        }
        if faults.is_empty() {
            let nobody = Arc::new(PasswordHash::of_nobody(most_common(&users)));
            Ok(Self { users, nobody })
        } else {
            Err(faults)
        }
    }

    /// What is stored for a user. Names are compared byte for byte.
    #[must_use]
    pub fn find(&self, user: &str) -> Option<&Arc<PasswordHash>> {
        self.users.get(user)
    }

    /// What is verified for a name that is no user's.
    #[must_use]
    pub fn nobody(&self) -> &Arc<PasswordHash> {
        &self.nobody
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The costs in use, each once, in order.
    #[must_use]
    pub fn costs(&self) -> Vec<Cost> {
        let mut costs: Vec<Cost> = self.users.values().map(|hash| hash.cost()).collect();
        costs.sort_unstable();
        costs.dedup();
        costs
    }
}

fn most_common(users: &HashMap<String, Arc<PasswordHash>>) -> Cost {
    let mut counts: HashMap<Cost, usize> = HashMap::new();
    for hash in users.values() {
        *counts.entry(hash.cost()).or_default() += 1;
    }
    let most = counts
        .into_iter()
        .max_by_key(|(cost, count)| (*count, *cost));
    most.map_or(Cost::DEFAULT, |(cost, _count)| cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$05$SR/n2OSFhzteLZrbUJO/LeNh5ZbHghnD2GeboK43MfWZONmXaUGee";
    const ARGON2: &str =
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_file_has_one_user_to_a_line() {
        let text = format!("# staff\n\nada:{BCRYPT}\r\nAda:{ARGON2}\n bob:{BCRYPT}\n");
        let file = UsersFile::parse(&text).unwrap();
        assert_eq!(file.len(), 3);
        // exactly as written
        for (name, is_there) in [("ada", true), ("Ada", true), (" bob", true), ("bob", false)] {
            assert_eq!(file.find(name).is_some(), is_there, "{name:?}");
        }
        assert_eq!(file.nobody().cost(), Cost::Bcrypt { cost: 5 });
        assert_eq!(file.costs().len(), 2);
        assert_eq!(UsersFile::parse("").unwrap().nobody().cost(), Cost::DEFAULT);
    }

    #[test]
    fn each_bad_line_is_told_by_its_number_and_nothing_of_its_hash() {
        let text = format!(
            "ada:{BCRYPT}\nada:{BCRYPT}\nbob:hunter2\n:{BCRYPT}\nno colon\neve:$apr1$salt$hunter2\n\
             kim:{BCRYPT}:more\na\tb:{BCRYPT}\n"
        );
        let faults = UsersFile::parse(&text).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8]);
        let told: Vec<&str> = faults.iter().map(|fault| &*fault.message).collect();
        assert_eq!(told[0], "\"ada\" stands here twice");
        assert_eq!(told[1], "\"bob\": not a password hash");
        assert_eq!(told[4], "\"eve\": MD5 is not accepted");
        assert!(told.iter().all(|message| !message.contains("hunter2")));
        assert!(faults[1].fix.contains("htpasswd -B"), "{faults:?}");
    }
}
