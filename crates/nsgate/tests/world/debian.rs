//! Debian's programs, run in one namespace.

use std::env;
use std::process::Command;

use nsgate_core::model::NetnsName;
use serde_json::Value;

/// Where the programs are run.
pub(crate) struct Debian {
    netns: NetnsName,
}

impl Debian {
    /// In the namespace of this name.
    pub(crate) fn within(netns: &NetnsName) -> Self {
        Self { netns: netns.clone() }
    }

    /// What a program writes.
    pub(crate) fn text(&self, line: &str) -> String {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if !self.netns.is_host() {
            let file = format!("--net=/run/netns/{}", self.netns);
            words.splice(0..0, ["nsenter".to_owned(), file]);
        }
        let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
        let output = Command::new(&words[0]).args(&words[1..]).env("PATH", path).env("LC_ALL", "C").output();
        String::from_utf8(output.unwrap_or_else(|error| panic!("{words:?}: {error}")).stdout).unwrap()
    }

    /// The objects of the array that a program writes; none where it writes nothing.
    pub(crate) fn objects(&self, line: &str) -> Vec<Value> {
        let text = self.text(line);
        if text.trim().is_empty() {
            return Vec::new();
        }
        let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"));
        // Where nothing fits, ip writes empty objects.
        all.into_iter().filter(|object| object.as_object().is_some_and(|fields| !fields.is_empty())).collect()
    }

    /// The name of the interface of this number, by what ip says.
    pub(crate) fn namespace_of(&self, netnsid: &Value) -> Option<String> {
        let known = self.objects("ip -j netns list-id");
        known.iter().find(|known| known["nsid"] == *netnsid)?["name"].as_str().map(str::to_owned)
    }
}

/// A field as a word; `-` where there is none.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field as a number; this one where there is none. The programs write some numbers as text.
pub(crate) fn number(value: &Value, missing: u64) -> u64 {
    match value {
        Value::String(text) => {
            let digits = text.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16));
            digits.unwrap_or_else(|| text.parse()).unwrap_or_else(|_| panic!("{text} is no number"))
        }
        value => value.as_u64().unwrap_or(missing),
    }
}

/// Whether a list of words has this one.
pub(crate) fn has(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|value| value == word))
}

/// What there is, or `-`.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}
