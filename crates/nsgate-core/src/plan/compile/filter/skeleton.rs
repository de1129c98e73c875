//! A table in the making: sets and maps with their elements, and chains with their rules, as nft writes them.

use std::fmt::Write;

use crate::model::ruleset::TableId;

/// A table in the making.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    sets: String,
    chains: Vec<Chain>,
}

#[derive(Debug)]
struct Chain {
    name: String,
    /// Where it hooks in; none: other chains lead to it.
    hook: Option<&'static str>,
    rules: Vec<String>,
}

impl Skeleton {
    /// A set, of this type in nft's words. With `interval`, its elements may be ranges.
    pub(super) fn set(&mut self, name: &str, of: &str, interval: bool, elements: &[String]) {
        self.container("set", name, of, interval, elements);
    }

    /// A map, from one type to another.
    pub(super) fn map(&mut self, name: &str, of: &str, interval: bool, elements: &[String]) {
        self.container("map", name, of, interval, elements);
    }

    fn container(&mut self, word: &str, name: &str, of: &str, interval: bool, elements: &[String]) {
        let flags = if interval { "flags interval; " } else { "" };
        let list =
            if elements.is_empty() { String::new() } else { format!("elements = {{ {} }}", elements.join(", ")) };
        // Writing to a string does not fail.
        let _ = writeln!(self.sets, "{word} {name} {{ type {of}; {flags}{list} }}");
    }

    /// A chain that other chains lead to.
    pub(super) fn chain(&mut self, name: &str, rules: Vec<String>) {
        self.chains.push(Chain { name: name.into(), hook: None, rules });
    }

    /// Adds rules to a chain of a hook; the hook is in nft's words: `nat hook postrouting priority srcnat`.
    pub(super) fn hooked(&mut self, name: &str, hook: &'static str, rules: impl IntoIterator<Item = String>) {
        let at = self.chains.iter().position(|chain| chain.name == name).unwrap_or_else(|| {
            self.chains.push(Chain { name: name.into(), hook: Some(hook), rules: Vec::new() });
            self.chains.len() - 1
        });
        self.chains[at].rules.extend(rules);
    }

    /// The table in nft's syntax; none if it has no rule. Chains that others lead to come first.
    pub(super) fn text(mut self, id: &TableId) -> Option<String> {
        if self.chains.is_empty() {
            return None;
        }
        self.chains.sort_by_key(|chain| chain.hook.is_some());
        let mut text = format!("table {id} {{\n{}", self.sets);
        for chain in &self.chains {
            let _ = writeln!(text, "chain {} {{", chain.name);
            if let Some(hook) = chain.hook {
                let _ = writeln!(text, "type {hook}; policy accept;");
            }
            for rule in &chain.rules {
                let _ = writeln!(text, "{rule}");
            }
            text += "}\n";
        }
        text += "}\n";
        Some(text)
    }
}

/// One element, with whose it is.
pub(super) fn element(key: &str, owner: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("{key} comment \"{owner}\" : {value}"),
        None => format!("{key} comment \"{owner}\""),
    }
}
