//! Key paths back to lines: figment knows none, `toml_edit` keeps the spans.

use std::ops::Range;

use toml_edit::{ImDocument, Item, Value};

use super::error::{ConfigError, ConfigErrors, KeyPath, Step};

/// A parsed file, asked where its keys are.
#[derive(Debug)]
pub(super) struct Located<'t> {
    text: &'t str,
    document: ImDocument<&'t str>,
}

impl<'t> Located<'t> {
    /// Parses TOML.
    pub(super) fn parse(text: &'t str) -> Result<Self, Broken> {
        match ImDocument::parse(text) {
            Ok(document) => Ok(Self { text, document }),
            Err(error) => Err(Broken {
                message: error.message().trim().replace('\n', ", "),
                place: error.span().map(|span| line_column(text, span.start)),
            }),
        }
    }

    /// Whether the file has this key.
    pub(super) fn holds(&self, path: &KeyPath) -> bool {
        path.0
            .iter()
            .try_fold(Node::Item(self.document.as_item()), |node, step| {
                node.step(step).map(|(next, _)| next)
            })
            .is_some()
    }

    /// Line and column of a key, or of the nearest table above it that the file has.
    pub(super) fn place(&self, path: &KeyPath) -> Option<(usize, usize)> {
        let mut item = Node::Item(self.document.as_item());
        let mut place = None;
        for step in &path.0 {
            let Some((next, span)) = item.step(step) else {
                break;
            };
            item = next;
            place = span.or(place);
        }
        place.map(|span| line_column(self.text, span.start))
    }

    /// The keys of a top-level table, in the order of the file.
    pub(super) fn order(&self, table: &str) -> Vec<String> {
        self.document
            .get(table)
            .and_then(Item::as_table_like)
            .map(|table| table.iter().map(|(key, _)| key.to_owned()).collect())
            .unwrap_or_default()
    }
}

/// What is no TOML, and where.
#[derive(Debug)]
pub(super) struct Broken {
    message: String,
    /// Line and column.
    place: Option<(usize, usize)>,
}

impl Broken {
    /// The error, for the file of this name.
    pub(super) fn of(self, file: &str) -> ConfigErrors {
        ConfigErrors(vec![ConfigError {
            file: Some(file.to_owned()),
            variable: None,
            line: self.place.map(|(line, _)| line),
            column: self.place.map(|(_, column)| column),
            key: String::new(),
            message: format!("not TOML: {}", self.message),
            fix: "correct the syntax (https://toml.io)".to_owned(),
        }])
    }
}

#[derive(Clone, Copy)]
enum Node<'d> {
    Item(&'d Item),
    Value(&'d Value),
    Table(&'d toml_edit::Table),
}

impl<'d> Node<'d> {
    fn step(self, step: &Step) -> Option<(Self, Option<Range<usize>>)> {
        match step {
            Step::Key(key) => {
                let table: &'d dyn toml_edit::TableLike = match self {
                    Self::Item(item) => item.as_table_like()?,
                    Self::Value(value) => value.as_inline_table()?,
                    Self::Table(table) => table,
                };
                let (key, item) = table.get_key_value(key)?;
                // a table's header says more than its name inside the header
                let header = item.as_table().and_then(toml_edit::Table::span);
                Some((
                    Self::Item(item),
                    header.or_else(|| key.span()).or_else(|| item.span()),
                ))
            }
            Step::Index(index) => match self {
                Self::Item(Item::ArrayOfTables(list)) => {
                    let table = list.get(*index)?;
                    Some((Self::Table(table), table.span()))
                }
                Self::Item(Item::Value(value)) | Self::Value(value) => {
                    let value = value.as_array()?.get(*index)?;
                    Some((Self::Value(value), value.span()))
                }
                Self::Item(Item::None | Item::Table(_)) | Self::Table(_) => None,
            },
        }
    }
}

/// Line and column, from 1, of a byte offset.
fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_key_has_a_place() {
        let text = "\
[ingress]
listen = 1
[[routes]]
path = \"/a\"
[[routes]]
path = \"/b\"
require = { groups = [\"a\", \"ü\", \"c\"] }
  [routes.require2]
  x = 1
[issuers]
a.kind = \"jwt\"
";
        let located = Located::parse(text).unwrap();
        let routes = KeyPath::of(&["routes"]);
        for (path, place) in [
            (KeyPath::of(&["ingress", "listen"]), (2, 1)),
            (KeyPath::of(&["ingress", "absent"]), (1, 1)),
            (routes.index(0), (3, 1)),
            (routes.index(1).key("path"), (6, 1)),
            (routes.index(1).key("require").key("groups"), (7, 13)),
            (
                routes.index(1).key("require").key("groups").index(2),
                (7, 33),
            ),
            (routes.index(1).key("require2").key("x"), (9, 3)),
            (KeyPath::of(&["issuers", "a", "kind"]), (11, 3)),
        ] {
            assert_eq!(located.place(&path), Some(place), "{path}");
        }
        assert_eq!(located.place(&KeyPath::of(&["nowhere"])), None);
    }

    #[test]
    fn broken_toml_has_a_place() {
        let broken = Located::parse("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(broken.place, Some((2, 5)));
    }
}
