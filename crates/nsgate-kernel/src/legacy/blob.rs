//! A table as the kernel gives it: a head that says where chains begin, and rules one behind the other.
//!
//! A chain of its own begins with a rule whose target is called ERROR and carries the chain's name, and ends with one
//! that returns. A chain at a hook begins where the head says, and ends with the rule that is its policy.

use std::collections::HashMap;

use nsgate_core::model::ruleset::{BaseChain, Chain, ChainKind, Hook, Rule, Table, TableFamily, Verdict};

use super::entry::{Entry, Target};

/// The longest name of a table, with its closing zero.
const NAME: usize = 32;
/// The size of `struct ipt_getinfo`, the largest of its kind.
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
/// The hooks of ARP by their numbers (NF_ARP_*).
const ARP_HOOKS: [(Hook, &str); 3] = [(Hook::Input, "INPUT"), (Hook::Output, "OUTPUT"), (Hook::Forward, "FORWARD")];

fn hooks(family: TableFamily) -> &'static [(Hook, &'static str)] {
    if family == TableFamily::Arp { &ARP_HOOKS } else { &HOOKS }
}

/// What a table says of itself.
#[derive(Debug)]
pub(super) struct Head {
    valid: u32,
    /// Where the chain at each hook begins, in bytes from the first rule.
    begins: Vec<u32>,
    /// Where the rule is that is its policy.
    policies: Vec<u32>,
    /// How many bytes all rules take.
    pub(super) size: usize,
}

impl Head {
    /// Reads `struct ipt_getinfo` and its like for other families, which have other hooks.
    pub(super) fn read(family: TableFamily, bytes: &[u8]) -> Option<Self> {
        let count = hooks(family).len();
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let words = |at: usize| (0..count).map(|place| word(at + 4 * place)).collect::<Option<Vec<u32>>>();
        let places = NAME + 4;
        Some(Self {
            valid: word(NAME)?,
            begins: words(places)?,
            policies: words(places + 4 * count)?,
            // Between them stands how many rules there are.
            size: usize::try_from(word(places + 8 * count + 4)?).ok()?,
        })
    }

    /// The hook whose chain begins here.
    fn begins_at(&self, offset: usize) -> Option<usize> {
        let begins = |hook: &usize| self.begins[*hook] as usize == offset;
        (0..self.begins.len()).find(|hook| self.valid >> hook & 1 == 1 && begins(hook))
    }

    /// Whether the rule here is a policy.
    fn is_policy(&self, offset: usize) -> bool {
        let policy = |hook: usize| self.policies[hook] as usize == offset;
        (0..self.policies.len()).any(|hook| self.valid >> hook & 1 == 1 && policy(hook))
    }
}

/// What asks for a table's head: as long as the kernel wants it for the family.
pub(super) fn head_request(family: TableFamily, name: &str) -> Vec<u8> {
    let mut bytes = entries_request(name, 0);
    bytes.resize(HEAD, 0);
    bytes.truncate(NAME + 12 + 8 * hooks(family).len());
    bytes
}

/// What asks for a table's rules.
pub(super) fn entries_request(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.truncate(NAME - 1);
    bytes.resize(NAME, 0);
    bytes.extend((size as u32).to_ne_bytes());
    bytes.resize(ENTRIES + size, 0);
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
            chains.push(Chain { name: name.to_owned(), ..Chain::default() });
            continue;
        }
        if let Some(hook) = head.begins_at(*offset) {
            chains.push(chain_at(family, hook, name));
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
    Some(Table { family, name: name.to_owned(), chains, ..Table::default() })
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

fn chain_at(family: TableFamily, hook: usize, table: &str) -> Chain {
    let (hook, name) = hooks(family)[hook];
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
    Chain { name: name.to_owned(), base: Some(base), ..Chain::default() }
}
