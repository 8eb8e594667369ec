//! Named values of a query, made the placeholders of its database.
//!
//! No parser of SQL: it tells apart what a `:name` may stand in (the statement) and what it may not
//! (literals, quoted names, comments), and leaves everything else to the database.

use std::sync::Arc;

use super::{Dialect, Parameter, Query};

/// Why a text or URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {fix}")]
pub struct Unfit {
    /// What is wrong with it.
    pub what: String,
    /// How to write it.
    pub fix: String,
}

impl Unfit {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

pub(super) fn read(text: &str, dialect: Dialect, known: &[Parameter]) -> Result<Query, Unfit> {
    if text.contains('\0') {
        return Err(Unfit::new("there is a NUL in it", "remove it"));
    }
    let mut reader = Reader {
        rest: text,
        dialect,
        known,
        text: String::with_capacity(text.len()),
        parameters: Vec::new(),
        has_begun: false,
        has_ended: false,
    };
    while !reader.rest.is_empty() {
        reader.step()?;
    }
    if !reader.has_begun {
        return Err(Unfit::new("there is no statement in it", ONE_SELECT));
    }
    let needs = reader.parameters.iter().copied();
    let needs = needs.filter(|parameter| !says_what_null_is(text, *parameter));
    Ok(Query {
        text: Arc::from(reader.text.trim()),
        needs: needs.collect(),
        parameters: reader.parameters.into(),
    })
}

/// Whether a query says somewhere what it makes of a parameter that is `NULL`: `:tenant is null`,
/// `coalesce(:tenant, …)`, `tenant is not distinct from :tenant`, `tenant <=> :tenant`.
fn says_what_null_is(text: &str, parameter: Parameter) -> bool {
    let text = text.to_ascii_lowercase();
    let name = format!(":{}", parameter.name());
    text.match_indices(&name).any(|(at, name)| {
        let (before, rest) = text.split_at_checked(at).unwrap_or_default();
        let before: String = before.split_whitespace().collect::<Vec<_>>().join(" ");
        let after = rest.strip_prefix(name).unwrap_or_default();
        // a cast
        let after = match after.strip_prefix("::") {
            Some(cast) => cast.trim_start_matches(is_of_word),
            None => after,
        };
        let after = after.trim_start();
        after.starts_with("is ")
            || [
                "coalesce(",
                "ifnull(",
                "<=>",
                "distinct from",
                " is",
                " is not",
            ]
            .iter()
            .any(|end| before.ends_with(end))
    })
}

const ONE_SELECT: &str = "write one `select`, or one `with … select`";

struct Reader<'q> {
    rest: &'q str,
    dialect: Dialect,
    known: &'q [Parameter],
    /// What the database will read.
    text: String,
    parameters: Vec<Parameter>,
    /// Whether the first word was read.
    has_begun: bool,
    /// Whether there was a semicolon.
    has_ended: bool,
}

impl<'q> Reader<'q> {
    /// Reads one blank, comment, literal, word, placeholder or other character.
    fn step(&mut self) -> Result<(), Unfit> {
        if let Some(length) = comment(self.rest, self.dialect)? {
            // a comment that is instructions to MySQL stays where it was
            self.copy(length);
            return Ok(());
        }
        let Some(first) = self.rest.chars().next() else {
            return Ok(());
        };
        if first.is_whitespace() {
            self.copy(first.len_utf8());
            return Ok(());
        }
        if first == ';' {
            self.has_ended = true;
            self.take(1);
            return Ok(());
        }
        if self.has_ended {
            return Err(Unfit::new("there are several statements in it", ONE_SELECT));
        }
        if let Some(length) = literal(self.rest, self.dialect)? {
            self.begin("")?;
            self.copy(length);
            return Ok(());
        }
        if is_start_of_word(first) || first.is_ascii_digit() {
            return self.word();
        }
        self.placeholder()?;
        if first != '(' {
            self.begin("")?;
        }
        let after = self.rest.split_at_checked(1).map_or("", |(_, after)| after);
        if first == ':' {
            if after.starts_with([':', '=']) {
                self.copy(2);
                return Ok(());
            }
            if after.starts_with(is_start_of_word) {
                return self.name();
            }
        }
        self.copy(first.len_utf8());
        Ok(())
    }

    /// A keyword, a name or a number; `e'…'` is a literal with backslashes in PostgreSQL.
    fn word(&mut self) -> Result<(), Unfit> {
        let dollar = !matches!(self.dialect, Dialect::Sqlite);
        let length = prefix(self.rest, |c| is_of_word(c) || (dollar && c == '$'));
        let (word, after) = self.rest.split_at_checked(length).unwrap_or_default();
        self.begin(word)?;
        self.copy(length);
        let escapes = matches!(self.dialect, Dialect::Postgres) && word.eq_ignore_ascii_case("e");
        if escapes && after.starts_with('\'') {
            let length = quoted(after, '\'', true)?;
            self.copy(length);
        }
        Ok(())
    }

    /// `:name`
    fn name(&mut self) -> Result<(), Unfit> {
        self.take(1);
        let name = self.take(prefix(self.rest, is_of_word));
        let known = self.known.iter().find(|known| known.name() == name);
        let Some(&parameter) = known else {
            let names: Vec<String> = self
                .known
                .iter()
                .map(|p| format!(":{}", p.name()))
                .collect();
            return Err(Unfit::new(
                format!("nothing is called :{name}"),
                format!(
                    "write {}; a colon that begins no name is followed by a blank",
                    names.join(", ")
                ),
            ));
        };
        match self.dialect {
            Dialect::Postgres => {
                let at = self.parameters.iter().position(|known| *known == parameter);
                let number = at.map_or(self.parameters.len() + 1, |at| at + 1);
                if at.is_none() {
                    self.parameters.push(parameter);
                }
                // flush to a word it would be part of it
                if self.text.ends_with(|c| is_of_word(c) || c == '$') {
                    self.text.push(' ');
                }
                self.text.push('$');
                self.text.push_str(&number.to_string());
            }
            Dialect::MySql | Dialect::Sqlite => {
                self.parameters.push(parameter);
                self.text.push('?');
            }
        }
        Ok(())
    }

    /// The database's own placeholders would be bound to what nobody named.
    fn placeholder(&self) -> Result<(), Unfit> {
        let mut chars = self.rest.chars();
        let found = match (chars.next(), chars.next()) {
            (Some('?'), _) => Some("?".to_owned()),
            (Some('$'), Some(next)) if next.is_ascii_digit() => Some(format!("${next}")),
            (Some(sign @ ('$' | '@')), Some(next))
                if matches!(self.dialect, Dialect::Sqlite) && is_of_word(next) =>
            {
                Some(format!("{sign}{next}…"))
            }
            _other => None,
        };
        let Some(found) = found else { return Ok(()) };
        let fix = if self.dialect == Dialect::Postgres && found == "?" {
            "write :user_id or another name; for the operator of jsonb write jsonb_exists(…)"
        } else {
            "write :user_id or another name"
        };
        Err(Unfit::new(
            format!("the placeholder {found} has no name"),
            fix,
        ))
    }

    /// The first word says what kind of statement it is.
    fn begin(&mut self, word: &str) -> Result<(), Unfit> {
        if self.has_begun {
            return Ok(());
        }
        self.has_begun = true;
        if ["select", "with"]
            .iter()
            .any(|first| word.eq_ignore_ascii_case(first))
        {
            return Ok(());
        }
        Err(Unfit::new("it is not a `select`", ONE_SELECT))
    }

    fn take(&mut self, length: usize) -> &'q str {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn copy(&mut self, length: usize) {
        let taken = self.take(length);
        self.text.push_str(taken);
    }
}

fn is_start_of_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes of its beginning are such characters.
fn prefix(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// The length of the comment a text begins with.
fn comment(text: &str, dialect: Dialect) -> Result<Option<usize>, Unfit> {
    let to_end_of_line = || Some(text.find('\n').unwrap_or(text.len()));
    if let Some(after) = text.strip_prefix("--") {
        // MySQL: `a--1` is a subtraction
        let is_comment = match dialect {
            Dialect::MySql => {
                after.is_empty() || after.starts_with(|c: char| c.is_ascii_whitespace())
            }
            Dialect::Postgres | Dialect::Sqlite => true,
        };
        return Ok(if is_comment { to_end_of_line() } else { None });
    }
    if text.starts_with('#') && dialect == Dialect::MySql {
        return Ok(to_end_of_line());
    }
    if !text.starts_with("/*") {
        return Ok(None);
    }
    let mut depth = 0_usize;
    let mut length = 0;
    while let Some(rest) = text.get(length..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") && (depth == 0 || dialect == Dialect::Postgres) {
            depth += 1;
            length += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            length += 2;
            if depth == 0 {
                return Ok(Some(length));
            }
        } else {
            length += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Err(Unfit::new("a comment in it has no end", "add `*/`"))
}

/// The length of the literal or quoted name a text begins with.
fn literal(text: &str, dialect: Dialect) -> Result<Option<usize>, Unfit> {
    let is_mysql = dialect == Dialect::MySql;
    let length = match text.chars().next() {
        Some('\'') => quoted(text, '\'', is_mysql)?,
        Some('"') => quoted(text, '"', is_mysql)?,
        Some('`') if dialect != Dialect::Postgres => quoted(text, '`', false)?,
        Some('[') if dialect == Dialect::Sqlite => match text.find(']') {
            Some(end) => end + 1,
            None => return Err(unended('[')),
        },
        Some('$') if dialect == Dialect::Postgres => match dollar_quoted(text)? {
            Some(length) => length,
            None => return Ok(None),
        },
        _other => return Ok(None),
    };
    Ok(Some(length))
}

/// To the closing quote; a doubled quote is one of the text, and so is one after a backslash if they
/// escape.
fn quoted(text: &str, quote: char, escapes: bool) -> Result<usize, Unfit> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Ok(at + 1);
        }
    }
    Err(unended(quote))
}

/// `$tag$…$tag$`; `None` if it is no such literal.
fn dollar_quoted(text: &str) -> Result<Option<usize>, Unfit> {
    let Some(after) = text.strip_prefix('$') else {
        return Ok(None);
    };
    let tag = prefix(after, is_of_word);
    let is_tag = !after.starts_with(|c: char| c.is_ascii_digit())
        && after.get(tag..).is_some_and(|rest| rest.starts_with('$'));
    let Some((open, inner)) = text.split_at_checked(tag + 2).filter(|_| is_tag) else {
        return Ok(None);
    };
    match inner.find(open) {
        Some(end) => Ok(Some(open.len() + end + open.len())),
        None => Err(unended('$')),
    }
}

fn unended(quote: char) -> Unfit {
    Unfit::new(
        format!("a {quote} in it is never closed"),
        "close it, or double it if it is part of the text",
    )
}

#[cfg(test)]
mod tests;
