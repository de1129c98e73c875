//! As much of JSON Schema as the schemas in `docs/reference` use. A word that is not known here is an error, so that a
//! schema cannot say more than is checked.

use serde_json::{Map, Value};

/// What is wrong with a document, a line each: where, and what.
pub(crate) fn breaches(schema: &Value, document: &Value) -> Vec<String> {
    let mut check = Check { root: schema, breaches: Vec::new() };
    check.value(schema, document, "");
    check.breaches
}

struct Check<'a> {
    root: &'a Value,
    breaches: Vec<String>,
}

/// Words that hold nothing to be checked.
const PROSE: [&str; 5] = ["$schema", "$defs", "title", "description", "format"];

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value, at: &str) {
        let words = schema.as_object().unwrap_or_else(|| panic!("a schema is an object: {schema}"));
        for (word, operand) in words {
            match word.as_str() {
                "$ref" => self.value(self.definition(operand), value, at),
                "type" => self.hold(is_of(operand, value), at, || format!("is no {operand}: {value}")),
                "const" => self.hold(value == operand, at, || format!("is not {operand}: {value}")),
                "enum" => {
                    let one = operand.as_array().is_some_and(|all| all.contains(value));
                    self.hold(one, at, || format!("is none of {operand}: {value}"));
                }
                "minimum" => {
                    let enough = value.as_i64().is_none_or(|number| Some(number) >= operand.as_i64());
                    self.hold(enough, at, || format!("is below {operand}: {value}"));
                }
                "maximum" => {
                    let fits = value.as_i64().is_none_or(|number| Some(number) <= operand.as_i64());
                    self.hold(fits, at, || format!("is above {operand}: {value}"));
                }
                "pattern" => {
                    let fits = value.as_str().is_none_or(|text| fits(operand.as_str().expect("a pattern"), text));
                    self.hold(fits, at, || format!("is not like {operand}: {value}"));
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(operand, item, &format!("{at}/{index}"));
                    }
                }
                "anyOf" | "oneOf" => {
                    let fitting = self.fitting(operand, value, at);
                    let enough = if word == "oneOf" { fitting == Ok(1) } else { fitting.is_ok() };
                    self.hold(enough, at, || format!("is none of {word}: {}", fitting.err().unwrap_or_default()));
                }
                "prefixItems" => {
                    let schemas = operand.as_array().into_iter().flatten();
                    for (index, (schema, item)) in schemas.zip(value.as_array().into_iter().flatten()).enumerate() {
                        self.value(schema, item, &format!("{at}/{index}"));
                    }
                }
                "minItems" | "maxItems" => {
                    let length = value.as_array().map_or(operand.as_u64(), |items| Some(items.len() as u64));
                    let fits = if word == "minItems" { length >= operand.as_u64() } else { length <= operand.as_u64() };
                    self.hold(fits, at, || format!("has not {word} {operand}: {value}"));
                }
                "required" => {
                    for name in operand.as_array().into_iter().flatten().filter_map(Value::as_str) {
                        let there = value.as_object().is_none_or(|fields| fields.contains_key(name));
                        self.hold(there, at, || format!("has no {name}"));
                    }
                }
                "properties" | "additionalProperties" => {}
                word => assert!(PROSE.contains(&word), "the schema says {word}, which is not checked"),
            }
        }
        if let Some(fields) = value.as_object() {
            self.fields(words, fields, at);
        }
    }

    /// How many of these schemas a value is as; if none, what is wrong by the one that it comes closest to.
    fn fitting(&self, schemas: &'a Value, value: &Value, at: &str) -> Result<usize, String> {
        let found = schemas.as_array().into_iter().flatten().map(|schema| {
            let mut check = Check { root: self.root, breaches: Vec::new() };
            check.value(schema, value, at);
            check.breaches
        });
        let (right, wrong): (Vec<_>, Vec<_>) = found.partition(Vec::is_empty);
        // What goes wrong deep inside went right on the way there.
        let closest = wrong.into_iter().max_by_key(|breaches| breaches.iter().map(String::len).max());
        if right.is_empty() { Err(closest.unwrap_or_default().join("; ")) } else { Ok(right.len()) }
    }

    fn fields(&mut self, words: &'a Map<String, Value>, fields: &Map<String, Value>, at: &str) {
        for (name, field) in fields {
            let known = words.get("properties").and_then(|properties| properties.get(name));
            match known.or_else(|| words.get("additionalProperties")) {
                Some(Value::Bool(false)) => self.hold(false, at, || format!("has {name}, which nobody knows")),
                Some(schema) => self.value(schema, field, &format!("{at}/{name}")),
                None => {}
            }
        }
    }

    fn definition(&self, reference: &Value) -> &'a Value {
        let path = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference within the schema");
        self.root.pointer(path).unwrap_or_else(|| panic!("the schema has no {path}"))
    }

    fn hold(&mut self, holds: bool, at: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.breaches.push(format!("{at} {}", what()));
        }
    }
}

/// Whether a value is of a type, or of one of several.
fn is_of(types: &Value, value: &Value) -> bool {
    match types {
        Value::Array(types) => types.iter().any(|one| is_of(one, value)),
        Value::String(name) => match name.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            name => panic!("no type {name}"),
        },
        other => panic!("no type {other}"),
    }
}

/// The patterns that occur, each with what it means.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^([0-9a-f]{2})*$" => {
            text.len().is_multiple_of(2) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }
        "^[a-z0-9]+(-[a-z0-9]+)*$" => {
            let word = |word: &str| !word.is_empty() && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z'));
            text.split('-').all(word)
        }
        pattern => panic!("the pattern {pattern} is not known"),
    }
}
