//! The layers: compiled-in `config/default.toml` → file → `GATEPOST__SECTION__KEY`.

use std::collections::BTreeMap;

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value;

use super::error::{KeyPath, Mistakes};
use super::schema::{self, schema};

/// Defaults and reference in one: every key is in it.
pub(super) const DEFAULT: &str = include_str!("../../config/default.toml");

/// Prefix of the environment names that are ours. Two underscores: Kubernetes injects
/// `GATEPOST_PORT` and the like.
pub(super) const PREFIX: &str = "GATEPOST__";

/// What the environment says: a tree of values, and which variable each came from.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) tree: Value,
    pub(super) variables: BTreeMap<KeyPath, String>,
}

/// The compiled-in defaults.
pub(super) fn defaults() -> Value {
    // the file is part of the binary, and a test loads it
    Figment::from(Toml::string(DEFAULT))
        .extract()
        .unwrap_or_default()
}

/// Merges the layers: tables key by key, everything else replaced whole.
pub(super) fn merge(file: &Layer<'_>, overrides: &Value) -> Result<Value, Box<figment::Error>> {
    let figment = Figment::from(Toml::string(DEFAULT));
    let figment = match file {
        Layer::Text(text) => figment.merge(Toml::string(text)),
        Layer::Tree(tree) => figment.merge(Tree("environment", tree)),
    };
    figment
        .merge(Tree("environment", overrides))
        .extract()
        .map_err(Box::new)
}

/// The middle layer: a file, or what the well-known environment names say.
#[derive(Debug)]
pub(super) enum Layer<'l> {
    /// TOML.
    Text(&'l str),
    /// Built.
    Tree(&'l Value),
}

/// A built tree as a figment provider.
struct Tree<'v>(&'static str, &'v Value);

impl Provider for Tree<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut data = Map::new();
        if let Some(tree) = self.1.as_object() {
            let mut dict = Dict::new();
            for (key, value) in tree {
                dict.insert(key.clone(), figment::value::Value::serialize(value)?);
            }
            data.insert(Profile::Default, dict);
        }
        Ok(data)
    }
}

/// Reads `GATEPOST__SECTION__KEY` variables. A value is taken as TOML where the schema wants
/// something else than a string, else as it stands: `12345` stays text for a text key.
pub(super) fn overrides(
    environment: &BTreeMap<String, String>,
    file: &Value,
    mistakes: &mut Mistakes,
) -> Overrides {
    let mut overrides = Overrides {
        tree: Value::Object(serde_json::Map::new()),
        variables: BTreeMap::new(),
    };
    for (name, text) in environment {
        let Some(keys) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let keys = keys.to_ascii_lowercase();
        let keys: Vec<&str> = keys.split("__").collect();
        let path = KeyPath::of(&keys);
        overrides.variables.insert(path.clone(), name.clone());
        if keys.iter().any(|key| key.is_empty()) {
            mistakes.push(
                &path,
                "not a key",
                "write GATEPOST__SECTION__KEY, two underscores between sections",
            );
            continue;
        }
        let schemas = schemas_at(&keys, file);
        let value = typed(text, &schemas);
        if keys.last() == Some(&"insecure_literal") || holds_literal(&value) {
            mistakes.push(
                &path,
                "a secret cannot stand in a GATEPOST__ variable itself",
                "put it in a variable of its own and write { env = \"NAME\" }",
            );
            mistakes.settled.push(path);
            continue;
        }
        insert(&mut overrides.tree, &keys, value);
    }
    overrides
}

fn holds_literal(value: &Value) -> bool {
    match value {
        Value::Object(table) => {
            table.contains_key("insecure_literal") || table.values().any(holds_literal)
        }
        Value::Array(list) => list.iter().any(holds_literal),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The schemas a key may have; several where tables of different kinds share it.
fn schemas_at(keys: &[&str], file: &Value) -> Vec<&'static serde_json::Map<String, Value>> {
    let mut schemas: Vec<_> = schema().as_object().into_iter().collect();
    let mut written = Some(file);
    for key in keys {
        written = written.and_then(|value| value.get(key));
        schemas = schemas
            .into_iter()
            .flat_map(schema::branches)
            .filter_map(|schema| {
                let properties = schema.get("properties").and_then(|all| all.get(key));
                properties
                    .or_else(|| schema.get("additionalProperties"))
                    .and_then(Value::as_object)
            })
            .collect();
        // a table of a stated kind has that kind's keys only
        if let Some(kind) = written.and_then(|value| value.get("kind")) {
            let of_kind: Vec<_> = schemas
                .iter()
                .flat_map(|schema| schema::branches(schema))
                .filter(|branch| {
                    branch
                        .get("properties")
                        .and_then(|all| all.get("kind"))
                        .is_some_and(|of| of.get("const") == Some(kind))
                })
                .collect();
            if !of_kind.is_empty() {
                schemas = of_kind;
            }
        }
    }
    schemas.into_iter().flat_map(schema::branches).collect()
}

/// The text as TOML if that has a type the key takes, else the text.
fn typed(text: &str, schemas: &[&serde_json::Map<String, Value>]) -> Value {
    let parsed = Figment::from(Toml::string(&format!("value = {text}")))
        .extract::<Value>()
        .ok()
        // a line break must not smuggle in a second key
        .filter(|parsed| parsed.as_object().is_some_and(|keys| keys.len() == 1))
        .and_then(|parsed| parsed.get("value").cloned());
    let takes = |value: &Value| {
        schemas
            .iter()
            .any(|schema| super::walk::has_type(value, schema))
    };
    match parsed {
        Some(value) if !value.is_string() && takes(&value) => value,
        // "quoted" in the environment means the same as unquoted
        Some(Value::String(inner)) => Value::String(inner),
        _other => Value::String(text.to_owned()),
    }
}

fn insert(tree: &mut Value, keys: &[&str], value: Value) {
    let Some((key, rest)) = keys.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(serde_json::Map::new());
    }
    if let Some(table) = tree.as_object_mut() {
        insert(
            table.entry((*key).to_owned()).or_insert(Value::Null),
            rest,
            value,
        );
    }
}
