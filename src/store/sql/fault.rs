//! Why a database gave no answer, in words that can be logged.

use std::io;

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use super::Values;

/// Most characters of what a database said.
const LONGEST: usize = 200;
/// A bound value shorter than this is part of too many words to be looked for.
const SHORTEST_VALUE: usize = 3;

/// Why there is no answer. Its text names neither URL nor password nor a bound value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing within the deadline.
    #[error("timeout")]
    Timeout,
    /// It cannot be reached, or the connection was lost.
    #[error("{0}")]
    Away(String),
    /// It answered with an error.
    #[error("the database answered {code}: {why}")]
    Database {
        /// SQLSTATE, or the number in MySQL, MariaDB or SQLite.
        code: String,
        /// In words.
        why: String,
    },
    /// It answered, with what is no list of names.
    #[error("{0}")]
    Answer(String),
    /// The process is going down.
    #[error("the process is going down")]
    Stopped,
}

impl Fault {
    /// Whether it would meet whoever asks: nobody is there, we are not let in, or the query does not fit
    /// the tables.
    #[must_use]
    pub fn meets_everyone(&self) -> bool {
        match self {
            Self::Away(_) | Self::Stopped => true,
            Self::Database { code, .. } => {
                is_about_the_statement(code)
                    || (known(code).is_some() && !is_about_time(code) && !is_about_a_value(code))
            }
            Self::Timeout | Self::Answer(_) => false,
        }
    }

    /// Whether it meets who was asked for, and nobody else.
    #[must_use]
    pub fn meets_one(&self) -> bool {
        match self {
            Self::Answer(_) => true,
            Self::Database { code, .. } => is_about_a_value(code),
            Self::Timeout | Self::Away(_) | Self::Stopped => false,
        }
    }

    pub(super) fn answer(why: impl Into<String>) -> Self {
        Self::Answer(why.into())
    }

    /// Whether it is about a statement prepared earlier, and one prepared anew may do: the tables changed
    /// since, or a pooler between us and the database has lost it.
    pub(super) fn is_about_a_kept_statement(&self) -> bool {
        match self {
            Self::Database { code, .. } => matches!(code.as_str(), "0A000" | "26000" | "1243"),
            Self::Timeout | Self::Away(_) | Self::Answer(_) | Self::Stopped => false,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an error of the library that may gain variants: what is not known is not repeated"
    )]
    pub(super) fn of(error: sqlx::Error, values: &Values) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::told(&*error, values),
            sqlx::Error::Io(error) => Self::Away(lost(&error)),
            sqlx::Error::Tls(error) => match error.downcast_ref::<io::Error>() {
                Some(error) => Self::Away(format!("TLS: {}", lost(error))),
                None => Self::Away(format!("TLS: {}", legible(&error.to_string()))),
            },
            sqlx::Error::Configuration(_) => {
                Self::Away("the URL, or a file it names, cannot be used".to_owned())
            }
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Self::Away("the connection was lost".to_owned())
            }
            sqlx::Error::Encode(_) => Self::answer("a value cannot be bound"),
            sqlx::Error::TypeNotFound { .. } => {
                Self::answer("a column has a type nobody knows: cast it to text")
            }
            _other => Self::answer("the answer cannot be read"),
        }
    }

    fn told(error: &dyn DatabaseError, values: &Values) -> Self {
        let code = match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => error.number().to_string(),
            None => error
                .code()
                .map_or_else(|| "an error".to_owned(), std::borrow::Cow::into_owned),
        };
        let why = match known(&code) {
            Some(why) => why.to_owned(),
            None if is_about_the_statement(&code) => masked(error.message(), values),
            None => "it does not answer this query".to_owned(),
        };
        let code = code.chars().filter(char::is_ascii_alphanumeric).collect();
        Self::Database { code, why }
    }
}

/// What codes mean whose messages may name users, hosts or values.
fn known(code: &str) -> Option<&'static str> {
    Some(match code {
        // PostgreSQL, appendix A
        "28P01" | "28000" | "1045" | "1698" => {
            "it refuses the user, the password or the way of connecting"
        }
        "3D000" | "1049" => "there is no database of this name",
        "42501" | "1044" | "1142" | "1143" => "the user may not read this",
        "53300" | "1040" | "1203" => "it has too many connections",
        "57014" | "1969" | "3024" | "9" => "the query took too long",
        "57P01" | "57P02" | "1053" => "it is shutting down",
        "57P03" => "it is starting",
        "25006" | "1792" | "8" => "the query writes: it must only read",
        "22021" => "a value holds a character the database cannot keep",
        "14" => "the file cannot be opened",
        "26" => "the file is no database",
        "5" => "the file is locked",
        "3159" => "it takes connections with TLS only",
        _other => return None,
    })
}

/// Codes of errors found in the text of a statement before anything was bound: unknown tables, columns,
/// functions, operators; syntax.
fn is_about_the_statement(code: &str) -> bool {
    code.starts_with("42") && code.len() == 5 // PostgreSQL: class 42
        || matches!(code, "1054" | "1064" | "1146" | "1305" | "1052") // MySQL
        || code == "1" // SQLite
}

/// The query took too long, or waited for somebody else's lock.
fn is_about_time(code: &str) -> bool {
    matches!(code, "57014" | "1969" | "3024" | "9" | "5")
}

/// What was bound cannot be what the query makes of it: a user id that is no uuid.
fn is_about_a_value(code: &str) -> bool {
    (code.starts_with("22") && code.len() == 5) // PostgreSQL: class 22
        || matches!(code, "1292" | "1366" | "1411") // MySQL
}

fn masked(message: &str, values: &Values) -> String {
    let mut message = message.to_owned();
    for value in values.all().filter(|value| value.len() >= SHORTEST_VALUE) {
        message = message.replace(value, "***");
    }
    legible(&message)
}

fn legible(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(one_line).take(LONGEST).collect()
}

fn lost(error: &io::Error) -> String {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(error) => format!("TLS: {}", legible(&error.to_string())),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_said_is_one_short_line_without_the_values() {
        let values = Values {
            user_id: Some("u-1234".to_owned()),
            tenant: Some("a".to_owned()),
            ..Values::default()
        };
        let said = masked(
            &format!(
                "function f(u-1234) does not exist\nu-1234{}",
                "x".repeat(500)
            ),
            &values,
        );
        assert!(
            said.starts_with("function f(***) does not exist ***xxx"),
            "{said}"
        );
        assert_eq!(said.chars().count(), LONGEST);
    }

    #[test]
    fn a_fault_says_whom_it_meets() {
        let database = |code: &str| Fault::Database {
            code: code.to_owned(),
            why: String::new(),
        };
        for (fault, everyone, one) in [
            (Fault::Away(String::new()), true, false),
            (Fault::Stopped, true, false),
            (Fault::Timeout, false, false),
            (Fault::answer("no text"), false, true),
            (database("28P01"), true, false),
            (database("1045"), true, false),
            (database("42703"), true, false),
            (database("1054"), true, false),
            (database("57P01"), true, false),
            // somebody's slow query, or everybody's
            (database("57014"), false, false),
            (database("9"), false, false),
            // a user id that cannot be cast
            (database("22P02"), false, true),
            (database("22021"), false, true),
            (database("1292"), false, true),
            (database("XX000"), false, false),
        ] {
            let meets = (fault.meets_everyone(), fault.meets_one());
            assert_eq!(meets, (everyone, one), "{fault:?}");
        }
    }

    #[test]
    fn no_error_of_the_library_brings_its_own_words() {
        let secret = || "postgres://u:hunter2@db".to_owned();
        for error in [
            sqlx::Error::Configuration(secret().into()),
            sqlx::Error::Protocol(secret()),
            sqlx::Error::Io(io::Error::other(secret())),
            sqlx::Error::Tls(Box::new(io::Error::other(secret()))),
            sqlx::Error::Encode(secret().into()),
            sqlx::Error::Decode(secret().into()),
            sqlx::Error::InvalidArgument(secret()),
            sqlx::Error::ColumnNotFound(secret()),
            sqlx::Error::TypeNotFound {
                type_name: secret(),
            },
        ] {
            let fault = Fault::of(error, &Values::default());
            assert!(
                !format!("{fault} {fault:?}").contains("hunter2"),
                "{fault:?}"
            );
        }
    }
}
