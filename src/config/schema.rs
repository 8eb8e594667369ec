//! The JSON Schema of the configuration: for editors (`gatepost schema`), and what
//! [`super::walk`] checks a file against.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::layers;
use super::raw::Raw;

/// The schema, whole: no `$ref`, no `null`, every table closed.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(generate);
    &SCHEMA
}

/// The schema of a file that is written like `T`.
pub(super) fn of<T: JsonSchema>(title: &str) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(tidy));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(title));
    schema.to_value()
}

fn generate() -> Value {
    let mut schema = of::<Raw>("Gatepost configuration");
    state_defaults(&mut schema, &layers::defaults());
    schema
}

/// TOML has no null, and an unknown key is a mistake.
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = object.get_mut(word) {
            branches.retain(|branch| branch.get("type") != Some(&json!("null")));
            if let [Value::Object(only)] = branches.as_slice() {
                let only = only.clone();
                object.remove(word);
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
    }
    if object.contains_key("properties") {
        object
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
}

/// Writes `config/default.toml`'s values into the schema: such a key is not required.
fn state_defaults(schema: &mut Value, defaults: &Value) {
    let (Some(schema), Some(defaults)) = (schema.as_object_mut(), defaults.as_object()) else {
        return;
    };
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|key| !key.as_str().is_some_and(|key| defaults.contains_key(key)));
        if required.is_empty() {
            schema.remove("required");
        }
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (key, value) in defaults {
        let Some(property) = properties.get_mut(key) else {
            continue;
        };
        if value.is_object() {
            state_defaults(property, value);
        } else if let Some(property) = property.as_object_mut() {
            property.insert("default".to_owned(), value.clone());
        }
    }
}

/// The schemas a value of this JSON type may have: the branches of `anyOf`/`oneOf`, or itself.
pub(super) fn branches(schema: &Map<String, Value>) -> Vec<&Map<String, Value>> {
    let inner = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    match inner.and_then(Value::as_array) {
        Some(branches) => branches
            .iter()
            .filter_map(Value::as_object)
            .flat_map(self::branches)
            .collect(),
        None => vec![schema],
    }
}

/// The values a schema without branches accepts by name.
pub(super) fn words(schema: &Map<String, Value>) -> Vec<&str> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(Value::String(word)), _) => vec![word],
        (_, Some(Value::Array(words))) => words.iter().filter_map(Value::as_str).collect(),
        _free => Vec::new(),
    }
}
