//! The packet filter as text in nft's syntax.
//!
//! What stands here can be given back to `nft -f`, apart from what nft itself cannot take (extensions of xtables,
//! instructions that nsgate does not model), which is shown as such.

use super::{BaseChain, Rule, Set, TableFamily, names};

/// What stands behind a table's name: its flags and comment in braces, or nothing.
pub(super) fn table_block(dormant: bool, owned: bool, comment: Option<&str>) -> String {
    let mut parts = Vec::new();
    let flags: Vec<_> = [(dormant, "dormant"), (owned, "owner")].into_iter().filter(|f| f.0).map(|f| f.1).collect();
    if !flags.is_empty() {
        parts.push(format!("flags {}", flags.join(", ")));
    }
    parts.extend(comment.map(|c| format!("comment {}", quoted(c))));
    block(&parts)
}

/// What stands behind a chain's name when it is made.
pub(super) fn chain_block(family: TableFamily, base: Option<&BaseChain>, comment: Option<&str>) -> String {
    let mut parts: Vec<String> = base.map(|b| base_parts(family, b)).unwrap_or_default();
    parts.extend(comment.map(|c| format!("comment {}", quoted(c))));
    block(&parts)
}

/// A rule; its anonymous sets are looked for among `sets`.
pub fn rule(_family: TableFamily, _sets: &[Set], rule: &Rule) -> String {
    let mut text = rule.expressions.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>().join(" ");
    if let Some(comment) = &rule.comment {
        text.push_str(" comment ");
        text.push_str(&quoted(comment));
    }
    text
}

/// `set` or `map`.
pub(super) fn set_word(map: bool) -> &'static str {
    if map { "map" } else { "set" }
}

/// What stands behind a set's name when it is made.
pub(super) fn set_block(set: &Set) -> String {
    format!("{{ type {}; elements = {} }}", set.key_type, elements(set))
}

/// The elements of a set in braces.
pub(super) fn elements(set: &Set) -> String {
    format!("{:?}", set.elements)
}

/// A string in quotes. nft knows no escapes, so what cannot stand in its strings is shown as `_`.
pub(super) fn quoted(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c == '"' || c.is_control() { '_' } else { c }).collect();
    format!("\"{plain}\"")
}

fn base_parts(family: TableFamily, base: &BaseChain) -> Vec<String> {
    let devices = match &base.devices[..] {
        [] => String::new(),
        [one] => format!(" device {}", quoted(&one.to_string())),
        many => {
            let names: Vec<_> = many.iter().map(|d| quoted(&d.to_string())).collect();
            format!(" devices = {{ {} }}", names.join(", "))
        }
    };
    let priority = names::priority_text(family, base.hook, base.priority);
    let policy = if base.policy_drop { "drop" } else { "accept" };
    vec![format!("type {} hook {}{devices} priority {priority}", base.kind, base.hook), format!("policy {policy}")]
}

fn block(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!(" {{ {}; }}", parts.join("; ")) }
}
