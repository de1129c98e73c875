//! A table as the kernel gives it: a head that says where chains begin, and rules one behind the other.
//!
//! A chain of its own begins with a rule whose target is called ERROR and carries the chain's name, and ends with one
//! that returns. A chain at a hook begins where the head says, and ends with the rule that is its policy.

use std::collections::HashMap;

use nsgate_core::model::ruleset::{BaseChain, Chain, ChainKind, Hook, Rule, Table, TableFamily, Verdict};

use super::entry::{Entry, Target};

/// The longest name of a table, with its closing zero.
const NAME: usize = 32;
/// The size of `struct ipt_getinfo`.
const HEAD: usize = 84;
/// How far into `struct ipt_get_entries` the rules begin.
const ENTRIES: usize = 40;

/// The hooks by their numbers (NF_INET_*).
const HOOKS: [(Hook, &str); 5] = [
    (Hook::Prerouting, "PREROUTING"),
    (Hook::Input, "INPUT"),
    (Hook::Forward, "FORWARD"),
    (Hook::Output, "OUTPUT"),
    (Hook::Postrouting, "POSTROUTING"),
];

/// What a table says of itself.
#[derive(Debug)]
pub(super) struct Head {
    valid: u32,
    /// Where the chain at each hook begins, in bytes from the first rule.
    begins: [u32; 5],
    /// Where the rule is that is its policy.
    policies: [u32; 5],
    /// How many bytes all rules take.
    pub(super) size: usize,
}

impl Head {
    /// Reads `struct ipt_getinfo`.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let five = |at: usize| Some([word(at)?, word(at + 4)?, word(at + 8)?, word(at + 12)?, word(at + 16)?]);
        Some(Self {
            valid: word(NAME)?,
            begins: five(NAME + 4)?,
            policies: five(NAME + 24)?,
            size: usize::try_from(word(NAME + 48)?).ok()?,
        })
    }

    /// The hook whose chain begins here.
    fn begins_at(&self, offset: usize) -> Option<usize> {
        (0..5).find(|hook| self.valid >> hook & 1 == 1 && self.begins[*hook] as usize == offset)
    }

    /// Whether the rule here is a policy.
    fn is_policy(&self, offset: usize) -> bool {
        (0..5).any(|hook| self.valid >> hook & 1 == 1 && self.policies[hook] as usize == offset)
    }
}

/// What asks for a table's head.
pub(super) fn head_request(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.truncate(NAME - 1);
    bytes.resize(HEAD, 0);
    bytes
}

/// What asks for a table's rules.
pub(super) fn entries_request(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = head_request(name);
    bytes[NAME..NAME + 4].copy_from_slice(&(size as u32).to_ne_bytes());
    bytes.resize(ENTRIES + size, 0);
    bytes[NAME + 4..].fill(0);
    bytes
}

/// The rules in the answer.
pub(super) fn entries(bytes: &[u8]) -> &[u8] {
    bytes.get(ENTRIES..).unwrap_or_default()
}

/// A table out of its head and rules.
pub(super) fn table(family: TableFamily, name: &str, head: &Head, bytes: &[u8]) -> Option<Table> {
    let entries = all(family, bytes)?;
    let names: HashMap<usize, String> =
        entries.iter().filter_map(|(_, e)| Some((e.end, e.target.chain_name()?.to_owned()))).collect();
    let mut chains: Vec<Chain> = Vec::new();
    for (offset, entry) in &entries {
        if let Some(name) = entry.target.chain_name() {
            chains.push(Chain { name: name.to_owned(), handle: 0, base: None, comment: None, rules: Vec::new() });
            continue;
        }
        if let Some(hook) = head.begins_at(*offset) {
            chains.push(chain_at(hook, name));
        }
        let Some(chain) = chains.last_mut() else { continue };
        if let (Some(base), true) = (&mut chain.base, head.is_policy(*offset)) {
            base.policy_drop = matches!(entry.target, Target::Verdict(Verdict::Drop));
        } else {
            let handle = chain.rules.len() as u64 + 1;
            chain.rules.push(Rule { handle, expressions: entry.expressions(&names)?, comment: None });
        }
    }
    for chain in chains.iter_mut().filter(|c| c.base.is_none()) {
        // The return at its end stands for the end.
        chain.rules.pop();
    }
    // The last rule of all only marks the end, as a chain of this name.
    chains.retain(|c| c.base.is_some() || c.name != "ERROR");
    Some(Table {
        family,
        name: name.to_owned(),
        handle: 0,
        dormant: false,
        owner: None,
        comment: None,
        chains,
        sets: Vec::new(),
    })
}

/// All rules, with their places.
fn all(family: TableFamily, bytes: &[u8]) -> Option<Vec<(usize, Entry)>> {
    let mut entries = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        let entry = Entry::read(family, bytes, offset)?;
        let end = entry.end;
        entries.push((offset, entry));
        offset = end;
    }
    Some(entries)
}

fn chain_at(hook: usize, table: &str) -> Chain {
    let (hook, name) = HOOKS[hook];
    let kind = if table == "nat" { ChainKind::Nat } else { ChainKind::Filter };
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    };
    let base = BaseChain { kind, hook, priority, policy_drop: false, devices: Vec::new() };
    Chain { name: name.to_owned(), handle: 0, base: Some(base), comment: None, rules: Vec::new() }
}
