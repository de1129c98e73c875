//! The fields of one table: taken out one by one; what is left over is unknown.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{At, Diagnostic};

/// How alike two words must be for one to be offered in place of the other (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// The fields of one table that nobody has asked for yet.
pub(super) struct Fields<'a> {
    /// What the table is called in messages, such as `[network.blue]`.
    title: String,
    rest: Vec<Field<'a>>,
    asked: Vec<&'static str>,
}

/// One field.
pub(super) struct Field<'a> {
    /// Its key.
    pub(super) key: At<&'a str>,
    /// Its value.
    pub(super) value: &'a DeValue<'a>,
    /// The place of the value.
    pub(super) span: Range<usize>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(title: impl Into<String>, table: &'a DeTable<'a>) -> Self {
        let mut fields: Vec<Field<'a>> = table
            .iter()
            .map(|(key, value)| Field {
                key: At { value: key.get_ref().as_ref(), span: key.span() },
                value: value.get_ref(),
                span: value.span(),
            })
            .collect();
        fields.sort_by_key(|field| field.key.span.start);
        Self { title: title.into(), rest: fields, asked: Vec::new() }
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        let at = self.rest.iter().position(|field| field.key.value == key)?;
        Some(self.rest.remove(at))
    }

    /// Takes out all fields, where the keys are names.
    pub(super) fn take_all(&mut self) -> Vec<Field<'a>> {
        std::mem::take(&mut self.rest)
    }

    /// Takes out fields that this version does not know what to do with, and says so.
    pub(super) fn not_yet(&mut self, keys: &[&'static str], found: &mut Vec<Diagnostic>) {
        for key in keys {
            if let Some(field) = self.take(key) {
                let message = format!("'{key}' in {} is not supported yet", self.title);
                let hint = "leave it out: nothing of this file is applied while it stands there";
                found.push(Diagnostic::error(&field.key.span, message).label("not supported yet").hint(hint));
            }
        }
    }

    /// Complains about what is left.
    pub(super) fn finish(self, found: &mut Vec<Diagnostic>) {
        for field in &self.rest {
            let key = field.key.value;
            let error = Diagnostic::error(&field.key.span, format!("{} has no key '{key}'", self.title));
            let error = error.label("unknown key");
            found.push(match nearest(key, self.asked.iter().copied()) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error.hint(format!("the keys are: {}", self.asked.join(", "))),
            });
        }
    }
}

/// The word most like this one, if any is alike enough.
pub(super) fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let scored = words.map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}

impl<'a> Field<'a> {
    /// One of several values under a key.
    pub(super) fn item(key: &At<&'a str>, item: &'a Spanned<DeValue<'a>>) -> Self {
        Self { key: key.clone(), value: item.get_ref(), span: item.span() }
    }

    /// The value as a table.
    pub(super) fn table(&self, found: &mut Vec<Diagnostic>) -> Option<&'a DeTable<'a>> {
        match self.value {
            DeValue::Table(table) => Some(table),
            other => {
                found.push(wrong_type(&self.span, "a table", other));
                None
            }
        }
    }

    /// The tables of an array of them.
    pub(super) fn tables(&self, found: &mut Vec<Diagnostic>) -> Vec<At<&'a DeTable<'a>>> {
        let DeValue::Array(array) = self.value else {
            let error = wrong_type(&self.span, "an array of tables", self.value);
            found.push(error.hint(format!("write [[{}]]", self.key.value)));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(At { value: table, span: item.span() }),
                other => found.push(wrong_type(&item.span(), "a table", other)),
            }
        }
        tables
    }

    /// Whether the value is an array.
    pub(super) fn is_array(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// The value as true or false.
    pub(super) fn truth(&self, found: &mut Vec<Diagnostic>) -> Option<bool> {
        match self.value {
            DeValue::Boolean(truth) => Some(*truth),
            other => {
                found.push(wrong_type(&self.span, "true or false", other));
                None
            }
        }
    }

    /// The value as text.
    pub(super) fn text(&self, found: &mut Vec<Diagnostic>) -> Option<At<&'a str>> {
        match self.value {
            DeValue::String(text) => Some(At { value: text.as_ref(), span: self.span.clone() }),
            other => {
                found.push(wrong_type(&self.span, "a string", other));
                None
            }
        }
    }

    /// The value as a number.
    pub(super) fn number(&self, found: &mut Vec<Diagnostic>) -> Option<At<u32>> {
        let DeValue::Integer(number) = self.value else {
            found.push(wrong_type(&self.span, "a number", self.value));
            return None;
        };
        let digits: String = number.as_str().chars().filter(|c| *c != '_').collect();
        let value = u32::from_str_radix(&digits, number.radix()).ok();
        if value.is_none() {
            found
                .push(Diagnostic::error(&self.span, format!("{digits} is out of range")).label("from 0 to 4294967295"));
        }
        Some(At { value: value?, span: self.span.clone() })
    }

    /// The value as a name, refused in the words of its type.
    pub(super) fn name<T: FromStr<Err: Display>>(&self, found: &mut Vec<Diagnostic>) -> Option<At<T>> {
        name(&self.text(found)?, found)
    }

    /// The texts of an array.
    pub(super) fn texts(&self, found: &mut Vec<Diagnostic>) -> Vec<At<&'a str>> {
        let DeValue::Array(array) = self.value else {
            let error = wrong_type(&self.span, "an array of strings", self.value);
            found.push(match self.value {
                DeValue::String(text) => error.hint(format!("write [\"{text}\"]")),
                _ => error,
            });
            return Vec::new();
        };
        array.iter().filter_map(|item| item_text(item, found)).collect()
    }
}

fn item_text<'a>(item: &'a Spanned<DeValue<'a>>, found: &mut Vec<Diagnostic>) -> Option<At<&'a str>> {
    match item.get_ref() {
        DeValue::String(text) => Some(At { value: text.as_ref(), span: item.span() }),
        other => {
            found.push(wrong_type(&item.span(), "a string", other));
            None
        }
    }
}

/// Reads a text as some type.
pub(super) fn parse<T: FromStr>(
    text: &At<&str>,
    what: &str,
    example: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<At<T>> {
    let Ok(value) = text.value.parse() else {
        let error = Diagnostic::error(&text.span, format!("'{}' is not {what}", text.value));
        found.push(error.label(format!("expected {what}")).hint(format!("write it like {example}")));
        return None;
    };
    Some(At { value, span: text.span.clone() })
}

/// Reads a text as a name.
pub(super) fn name<T: FromStr<Err: Display>>(text: &At<&str>, found: &mut Vec<Diagnostic>) -> Option<At<T>> {
    match text.value.parse::<T>() {
        Ok(value) => Some(At { value, span: text.span.clone() }),
        Err(error) => {
            found.push(Diagnostic::error(&text.span, error.to_string()).label("not a name that Linux takes"));
            None
        }
    }
}

fn wrong_type(span: &Range<usize>, wanted: &str, value: &DeValue<'_>) -> Diagnostic {
    let there = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Diagnostic::error(span, format!("expected {wanted}, found {there}")).label(format!("expected {wanted}"))
}
