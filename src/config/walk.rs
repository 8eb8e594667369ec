//! Checks a merged value against the schema, and goes on after a mistake: every unknown key, wrong
//! type, missing key and malformed value is found, and what is left can still be resolved.

use serde_json::{Map, Value};

use super::error::{KeyPath, Mistakes, Step, did_you_mean};
use super::forms;
use super::later;
use super::layers::defaults;
use super::schema::{branches, schema, words};

/// Checks a whole file against its schema. Returns it without what was found wrong; a bad element of a
/// list becomes null, so that the others keep their numbers.
pub(super) fn walk_by(schema: &Value, value: &Value, mistakes: &mut Mistakes) -> Value {
    let mut walk = Walk { mistakes };
    schema
        .as_object()
        .and_then(|schema| walk.value(value, schema, &KeyPath::default()))
        .unwrap_or(Value::Null)
}

/// The same for a configuration.
pub(super) fn walk(value: &Value, mistakes: &mut Mistakes) -> Value {
    let mut kept = walk_by(schema(), value, mistakes);
    // what was dropped whole must not hide mistakes elsewhere
    if let (Some(kept), Value::Object(defaults)) = (kept.as_object_mut(), defaults()) {
        for (key, value) in defaults {
            kept.entry(key).or_insert(value);
        }
    }
    kept
}

struct Walk<'m> {
    mistakes: &'m mut Mistakes,
}

impl Walk<'_> {
    /// The value as far as it is right; `None` if not at all.
    fn value(
        &mut self,
        value: &Value,
        schema: &Map<String, Value>,
        path: &KeyPath,
    ) -> Option<Value> {
        if let Some(what) = later::refused(path, value) {
            return self.wrong(
                path,
                format!("{what}: not available in this version"),
                "remove it",
            );
        }
        let all = branches(schema);
        let fitting: Vec<_> = all
            .iter()
            .copied()
            .filter(|branch| has_type(value, branch))
            .collect();
        if fitting.is_empty() && self.later_within(value, path) {
            return None;
        }
        match fitting.as_slice() {
            [] => self.wrong(
                path,
                format!("expected {}, found {}", expected(&all), found(value)),
                write_like(schema, &all),
            ),
            [one] => self.branch(value, one, path),
            several => self.choose(value, several, path),
        }
    }

    /// Whether a table that fits nowhere holds a key of a later capability; then that is reported.
    fn later_within(&mut self, value: &Value, path: &KeyPath) -> bool {
        let Some(table) = value.as_object() else {
            return false;
        };
        let mut found = false;
        for (key, value) in table {
            let at = path.key(key);
            if let Some(what) = later::refused(&at, value) {
                let message = format!("{what}: not available in this version");
                self.wrong(&at, message, "remove it");
                found = true;
            }
        }
        found
    }

    /// Chooses among branches of one type: by word, or by a table's `kind`.
    fn choose(
        &mut self,
        value: &Value,
        several: &[&Map<String, Value>],
        path: &KeyPath,
    ) -> Option<Value> {
        if value.is_string() {
            let fitting = several.iter().find(|branch| {
                let words = words(branch);
                words.is_empty() || value.as_str().is_some_and(|text| words.contains(&text))
            });
            if let Some(branch) = fitting {
                return self.branch(value, branch, path);
            }
            let known: Vec<&str> = several.iter().flat_map(|branch| words(branch)).collect();
            return self.unknown_word(value, &known, path);
        }
        let kind_of = |branch: &Map<String, Value>| {
            branch
                .get("properties")
                .and_then(|all| all.get("kind"))
                .and_then(|kind| kind.get("const"))
                .cloned()
        };
        let kinds: Vec<Value> = several
            .iter()
            .filter_map(|branch| kind_of(branch))
            .collect();
        let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
        let at = path.key("kind");
        match value.get("kind") {
            None => self.wrong(
                &at,
                "missing".to_owned(),
                format!("write kind = one of: {}", kinds.join(", ")),
            ),
            Some(kind) => {
                if let Some(what) = later::refused(&at, kind) {
                    return self.wrong(
                        &at,
                        format!("{what}: not available in this version"),
                        "remove this table",
                    );
                }
                match several
                    .iter()
                    .find(|branch| kind_of(branch).as_ref() == Some(kind))
                {
                    Some(branch) => self.branch(value, branch, path),
                    None => self.unknown_word(kind, &kinds, &at),
                }
            }
        }
    }

    fn branch(
        &mut self,
        value: &Value,
        schema: &Map<String, Value>,
        path: &KeyPath,
    ) -> Option<Value> {
        match value {
            Value::Object(table) => self.table(table, schema, path),
            Value::Array(list) => self.list(list, schema, path),
            Value::String(text) => self.text(text, schema, path),
            Value::Number(number) => {
                let bound = |word| schema.get(word).and_then(Value::as_f64);
                let number = number.as_f64().unwrap_or(f64::NAN);
                let low = bound("minimum").is_some_and(|least| number < least);
                if low || bound("maximum").is_some_and(|most| number > most) {
                    let least = bound("minimum").unwrap_or_default();
                    return self.wrong(
                        path,
                        "out of range".to_owned(),
                        format!("at least {least}"),
                    );
                }
                Some(value.clone())
            }
            Value::Bool(_) | Value::Null => Some(value.clone()),
        }
    }

    fn table(
        &mut self,
        table: &Map<String, Value>,
        schema: &Map<String, Value>,
        path: &KeyPath,
    ) -> Option<Value> {
        let none = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let others = schema
            .get("additionalProperties")
            .and_then(Value::as_object);
        // whatever stands in it
        if schema.get("additionalProperties") == Some(&Value::Bool(true)) {
            return Some(Value::Object(table.clone()));
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut kept = Map::new();
        for (key, value) in table {
            let at = path.key(key);
            if let Some(schema) = properties.get(key).and_then(Value::as_object).or(others) {
                if key.is_empty() {
                    self.wrong(&at, "a name is empty".to_owned(), "give it a name");
                } else if let Some(value) = self.value(value, schema, &at) {
                    kept.insert(key.clone(), value);
                }
            } else if let Some(what) = later::refused(&at, value) {
                let message = format!("{what}: not available in this version");
                self.wrong(&at, message, "remove it");
            } else {
                let (nearest, fix) = did_you_mean(key, properties.keys().map(String::as_str));
                self.wrong(&at, "unknown key".to_owned(), fix);
                // the key that was meant is not missing
                if let Some(nearest) = nearest.filter(|nearest| !table.contains_key(*nearest)) {
                    self.mistakes.settled.push(path.key(nearest));
                }
            }
        }
        for key in required {
            if !table.contains_key(key) {
                let example = properties.get(key).and_then(Value::as_object);
                let example = example.and_then(|schema| example_of(schema, &branches(schema)));
                let fix = example.map_or_else(
                    || format!("write {key} = …"),
                    |example| format!("write {key} = {example}"),
                );
                self.mistakes.push(&path.key(key), "missing", fix);
            }
        }
        // a key that was reported still was meant to ask something
        let bound = |word| {
            let counted = !self.mistakes.within(path);
            schema.get(word).filter(|_| counted).and_then(Value::as_u64)
        };
        let count = u64::try_from(table.len()).unwrap_or(u64::MAX);
        if bound("minProperties").is_some_and(|least| count < least) {
            return self.wrong(
                path,
                "an empty table asks nothing".to_owned(),
                "leave the key out, or write what is asked",
            );
        }
        if bound("maxProperties").is_some_and(|most| count > most) {
            let known: Vec<&str> = properties.keys().map(String::as_str).collect();
            return self.wrong(
                path,
                "one place only".to_owned(),
                format!("keep one of {}", known.join(", ")),
            );
        }
        Some(Value::Object(kept))
    }

    fn list(
        &mut self,
        list: &[Value],
        schema: &Map<String, Value>,
        path: &KeyPath,
    ) -> Option<Value> {
        if list.is_empty() && schema.get("minItems").is_some() {
            return self.wrong(
                path,
                "an empty list asks or grants nothing".to_owned(),
                "leave the key out, or name something",
            );
        }
        let items = schema.get("items").and_then(Value::as_object)?;
        let tables = branches(items)
            .iter()
            .any(|branch| branch.get("type").is_some_and(|name| name == "object"));
        let mut kept = Vec::with_capacity(list.len());
        for (at, value) in list.iter().enumerate() {
            let value = self.value(value, items, &path.index(at));
            if tables || value.is_some() {
                kept.push(value.unwrap_or(Value::Null));
            }
        }
        Some(Value::Array(kept))
    }

    fn text(&mut self, text: &str, schema: &Map<String, Value>, path: &KeyPath) -> Option<Value> {
        let value = Value::String(text.to_owned());
        let known = words(schema);
        if !known.is_empty() && !known.contains(&text) {
            return self.unknown_word(&value, &known, path);
        }
        let format = schema.get("format").and_then(Value::as_str);
        if let Some((message, example)) = format.and_then(|format| forms::fault(format, text)) {
            return self.wrong(path, message, format!("write it like \"{example}\""));
        }
        Some(value)
    }

    fn unknown_word(&mut self, value: &Value, known: &[&str], path: &KeyPath) -> Option<Value> {
        let text = value.as_str().unwrap_or_default();
        let (_, fix) = did_you_mean(text, known.iter().copied());
        self.wrong(path, format!("unknown value {value}"), fix)
    }

    fn wrong(&mut self, path: &KeyPath, message: String, fix: impl Into<String>) -> Option<Value> {
        self.mistakes.push(path, message, fix);
        self.mistakes.settled.push(path.clone());
        None
    }
}

/// Whether a value has the type a schema without branches asks for.
pub(super) fn has_type(value: &Value, schema: &Map<String, Value>) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        // without a type: an enum of words
        Some("string") | None => value.is_string(),
        Some(_other) => false,
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        // how figment hands a date on
        Value::Object(table) if table.contains_key("$__toml_private_datetime") => "a date",
        Value::Object(_) => "a table",
    }
}

fn expected(branches: &[&Map<String, Value>]) -> String {
    let mut names: Vec<String> = Vec::new();
    for branch in branches {
        let words = words(branch);
        let name = match branch.get("type").and_then(Value::as_str) {
            Some("object") => "a table".to_owned(),
            Some("array") => "a list".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("integer" | "number") => "a number".to_owned(),
            _string if words.len() == 1 => format!("{:?}", words.concat()),
            _string => "a string".to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// A well-formed value, as TOML.
fn example_of(schema: &Map<String, Value>, all: &[&Map<String, Value>]) -> Option<String> {
    let stated = |schema: &Map<String, Value>| {
        let examples = schema.get("examples").and_then(Value::as_array);
        examples.and_then(|list| list.first()).map(as_toml)
    };
    stated(schema).or_else(|| {
        all.iter().find_map(|branch| {
            stated(branch)
                .or_else(|| words(branch).first().map(|word| format!("\"{word}\"")))
                .or_else(|| {
                    let items = branch.get("items")?.as_object()?;
                    example_of(items, &branches(items)).map(|item| format!("[{item}]"))
                })
        })
    })
}

fn write_like(schema: &Map<String, Value>, all: &[&Map<String, Value>]) -> String {
    example_of(schema, all).map_or_else(
        || format!("write {}", expected(all)),
        |example| format!("write it like {example}"),
    )
}

fn as_toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let keys: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{key} = {}", as_toml(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.to_string()
        }
    }
}

/// The path as a pattern sees it: keys by name, every list index as `[]`.
pub(super) fn shape(path: &KeyPath) -> Vec<&str> {
    path.0
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Index(_) => "[]",
        })
        .collect()
}
