//! Source translation: one table of ours, with static rules and sets keyed by subnet.
//!
//! However many networks there are, a packet meets four rules, all of them only on the way out by the uplink and only for
//! our subnets; what changes with a network is an element. Everything that differs goes in one transaction.

use std::fmt::Write;

use ipnet::IpNet;

use super::{Builder, CompileError, Site};
use crate::model::Family;
use crate::model::ruleset::{Command, Element, Ruleset, Set, Table, TableId, parse};
use crate::plan::mark;
use crate::plan::step::Action;
use crate::spec::{SourceNat, WantedGateway, WantedUplink};

impl Builder<'_> {
    /// The table of one gateway, as far as it differs.
    pub(super) fn filter(&mut self, site: Site<'_>) -> Result<(), CompileError> {
        let id = mark::table(&self.wanted.instance);
        let there = site.home.ruleset.table(id.family, &id.name);
        let wanted = made(site.gateway, &id)?;
        if let Some((commands, undo)) = difference(&id, there, wanted.as_ref()) {
            self.push(&site.gateway.netns, Action::Nft { commands, undo: Some(undo) });
        }
        Ok(())
    }
}

/// The wanted table: how it is made, and what it then is; none if nothing is translated.
fn made(gateway: &WantedGateway, id: &TableId) -> Result<Option<(Vec<Command>, Table)>, CompileError> {
    let (Some(text), Some(first)) = (text(gateway, id), gateway.uplinks.first()) else { return Ok(None) };
    // Every other name in it was checked when the file was read.
    let unfit = || CompileError::Uplink(first.interface.clone());
    let commands = commands(&text).ok_or_else(unfit)?;
    let mut ruleset = Ruleset::default();
    ruleset.apply(&commands).map_err(|_| unfit())?;
    let table = ruleset.tables.pop().ok_or_else(unfit)?;
    Ok(Some((commands, table)))
}

/// What leads from one table to the other, and back; none if they are the same.
fn difference(
    id: &TableId,
    there: Option<&Table>,
    wanted: Option<&(Vec<Command>, Table)>,
) -> Option<(Vec<Command>, Vec<Command>)> {
    let delete = Command::DeleteTable { table: id.clone() };
    match (there, wanted) {
        (None, None) => None,
        (None, Some((make, _))) => Some((make.clone(), vec![delete])),
        (Some(there), None) => Some((vec![delete], commands(&there.to_string())?)),
        (Some(there), Some((_, wanted))) if skeleton(there) == skeleton(wanted) => elements(id, there, wanted),
        (Some(there), Some((make, _))) => {
            let again = commands(&there.to_string())?;
            Some(([vec![delete.clone()], make.clone()].concat(), [vec![delete], again].concat()))
        }
    }
}

fn commands(text: &str) -> Option<Vec<Command>> {
    parse::commands(text, &Ruleset::default()).ok()
}

/// The table without its elements, as text: handles and the order of sets do not count.
fn skeleton(table: &Table) -> String {
    let mut bare = table.clone();
    bare.sets.sort_by(|a, b| a.name.cmp(&b.name));
    for set in &mut bare.sets {
        set.elements.clear();
    }
    bare.to_string()
}

/// The elements that come and go, and the same the other way round.
fn elements(id: &TableId, there: &Table, wanted: &Table) -> Option<(Vec<Command>, Vec<Command>)> {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    for set in &wanted.sets {
        let old = there.set(&set.name)?;
        let gone = missing(old, set);
        let new = missing(set, old);
        let part = |elements: Vec<Element>| (!elements.is_empty()).then(|| Set { elements, ..set.clone() });
        let delete = |set: Set| Command::DeleteElements { table: id.clone(), set };
        let add = |set: Set| Command::AddElements { table: id.clone(), set };
        forth.extend(part(gone.clone()).map(delete).into_iter().chain(part(new.clone()).map(add)));
        back.extend(part(new).map(delete).into_iter().chain(part(gone).map(add)));
    }
    (!forth.is_empty()).then_some((forth, back))
}

/// The elements of a set that another one does not have in the same form.
fn missing(set: &Set, from: &Set) -> Vec<Element> {
    let has = from.entries();
    let lacking = set.entries().into_iter().filter(|entry| !has.contains(entry));
    lacking.flat_map(|entry| crate::model::ruleset::elements_of_range(entry.low, &entry.high, entry.element)).collect()
}

/// The table in nft's syntax; none if nothing is translated.
fn text(gateway: &WantedGateway, id: &TableId) -> Option<String> {
    if translated(gateway).all(|(_, _, nat)| *nat == SourceNat::None) {
        return None;
    }
    let mut text = format!("table {id} {{\n");
    for family in Family::BOTH {
        let (version, kind, _) = words(family);
        let fixed = elements_text(&translations(gateway, family, true));
        let masked = elements_text(&translations(gateway, family, false));
        // Writing to a string does not fail.
        let _ = writeln!(text, "map snat{version} {{ type {kind} : {kind}; flags interval; {fixed} }}");
        let _ = writeln!(text, "set masquerade{version} {{ type {kind}; flags interval; {masked} }}");
    }
    text += "chain postrouting {\ntype nat hook postrouting priority srcnat; policy accept;\n";
    let by = |uplink: &WantedUplink| Family::BOTH.map(|family| (uplink.interface.clone(), family));
    for (uplink, family) in gateway.uplinks.iter().flat_map(by) {
        let (version, _, protocol) = words(family);
        let _ = writeln!(text, "oifname \"{uplink}\" snat {protocol} to {protocol} saddr map @snat{version}");
        let _ = writeln!(text, "oifname \"{uplink}\" {protocol} saddr @masquerade{version} masquerade");
    }
    text += "}\n}\n";
    Some(text)
}

/// The family's number in names, its address type, and its word for headers.
fn words(family: Family) -> (&'static str, &'static str, &'static str) {
    match family {
        Family::V4 => ("4", "ipv4_addr", "ip"),
        Family::V6 => ("6", "ipv6_addr", "ip6"),
    }
}

/// Whose subnets leave by a gateway, and how they are translated: its networks', and those of gateways behind it.
fn translated(gateway: &WantedGateway) -> impl Iterator<Item = (String, Vec<IpNet>, &SourceNat)> {
    let networks = gateway.networks.iter().map(|one| (one.name.clone(), one.subnets.clone(), &one.source_nat));
    let transits = gateway.transits.iter().map(|one| {
        let behind = one.behind.iter().map(|(net, _)| *net);
        (format!("@{}", one.gateway), one.subnets.iter().copied().chain(behind).collect(), &one.source_nat)
    });
    networks.chain(transits)
}

/// The subnets of a family that are translated, each as an element: to a fixed address, or masqueraded.
fn translations(gateway: &WantedGateway, family: Family, fixed: bool) -> Vec<String> {
    let mut elements = Vec::new();
    for (owner, subnets, source_nat) in translated(gateway) {
        let target = match (source_nat, fixed) {
            (SourceNat::Fixed(addresses), true) => {
                let address = addresses.iter().find(|at| Family::of(at.value) == family);
                let Some(at) = address else { continue };
                format!(" : {}", at.value)
            }
            (SourceNat::Masquerade, false) => String::new(),
            _ => continue,
        };
        let subnets = subnets.into_iter().filter(|net| Family::of(net.addr()) == family);
        elements.extend(subnets.map(|net| format!("{net} comment \"{owner}\"{target}")));
    }
    elements
}

fn elements_text(elements: &[String]) -> String {
    if elements.is_empty() { String::new() } else { format!("elements = {{ {} }}", elements.join(", ")) }
}
