//! What the packet filter's own trace told of the probe: which rule or policy it met, and what that decided.
//!
//! The kernel numbers the packets that it traces; the number is only good within one namespace.

use nsgate_packet::{Body, Packet, ethertype};

use crate::model::ruleset::{Expression, Hook, Rule, Table, TableFamily, TableId, Verdict};
use crate::model::{LinkIndex, LinkName, NetnsName, World};

/// One rule, policy or end of a chain that a packet met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEvent {
    /// In which namespace.
    pub netns: NetnsName,
    /// The kernel's number of the packet.
    pub packet: u32,
    /// The table.
    pub table: TableId,
    /// The chain.
    pub chain: String,
    /// Who decided.
    pub step: RuleStep,
    /// What was decided; none where it is nothing that nsgate knows.
    pub verdict: Option<Verdict>,
    /// The interface that the packet came in by.
    pub entered: Option<LinkIndex>,
    /// The interface that it leaves by.
    pub left: Option<LinkIndex>,
    /// The packet's mark.
    pub mark: u32,
    /// Its network and transport headers, as they were where the chain was entered, or at an earlier one.
    pub bytes: Vec<u8>,
    /// What connection tracking thinks of it, where the kernel tells (Linux 6.16 and later).
    pub connection: Option<TracedConnection>,
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleStep {
    /// The rule of this handle.
    Rule(u64),
    /// The end of a chain that was called.
    Return,
    /// The policy of a base chain.
    Policy,
}

/// The connection that a traced packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedConnection {
    /// The kernel's number for it.
    pub id: u32,
    /// Whether the packet goes the way of the answers.
    pub reply: bool,
    /// The state as rules ask for it (a bit of `ct state`).
    pub state: u32,
    /// Its status (IPS_*).
    pub status: u32,
}

/// A namespace whose packet filter has chains, so that there is something to trace or to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The namespace.
    pub netns: NetnsName,
    /// The interfaces that have chains where frames come in.
    pub devices: Vec<LinkName>,
    /// Whether there are chains for bridged frames.
    pub bridged: bool,
    /// Whether there are chains for ARP.
    pub arp: bool,
    /// Whether nftables has any chains at all.
    pub nftables: bool,
    /// Whether there are tables of the older engine, whose doings no trace tells.
    pub legacy: bool,
}

impl RuleEvent {
    /// Whether the packet ended here.
    pub fn is_loss(&self) -> bool {
        self.verdict == Some(Verdict::Drop)
    }

    /// What the packet said, as far as its headers were told.
    pub fn packet(&self) -> Packet<'_> {
        if self.bytes.first().is_some_and(|first| matches!(first >> 4, 4 | 6)) {
            return Packet::ip(&self.bytes);
        }
        Packet { ether: None, body: Body::parse(ethertype::ARP, &self.bytes) }
    }
}

/// Which of these namespaces have a packet filter.
pub fn to_trace(world: &World, namespaces: &[NetnsName]) -> Vec<Filtered> {
    let mut filtered: Vec<Filtered> = Vec::new();
    for netns in namespaces.iter().filter_map(|name| world.namespace(name)) {
        let tables = netns.ruleset.tables.iter();
        let bases = || {
            let chains = tables.clone().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
            chains.filter_map(|(table, chain)| Some((table.family, chain.base.as_ref()?)))
        };
        let ingress = bases().filter(|(_, base)| base.hook == Hook::Ingress).flat_map(|(_, base)| &base.devices);
        let mut devices: Vec<LinkName> =
            ingress.filter(|name| netns.links.iter().any(|link| link.name == **name)).cloned().collect();
        devices.sort();
        devices.dedup();
        let found = Filtered {
            netns: netns.name.clone(),
            devices,
            bridged: bases().any(|(family, _)| family == TableFamily::Bridge),
            arp: bases().any(|(family, _)| family == TableFamily::Arp),
            nftables: bases().next().is_some(),
            legacy: !netns.ruleset.legacy_tables.is_empty(),
        };
        if (found.nftables || found.legacy) && filtered.iter().all(|other| other.netns != netns.name) {
            filtered.push(found);
        }
    }
    filtered
}

/// A rule or policy of the older engine that packets met while the probe was under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCount {
    /// In which namespace.
    pub netns: NetnsName,
    /// The table.
    pub table: TableId,
    /// The chain.
    pub chain: String,
    /// The rule, by its number within the chain, counted from 1.
    pub rule: u64,
    /// How many packets, of anybody's.
    pub packets: u64,
}

/// What was counted between two readings of the same tables. Rules that were changed in between count nothing.
pub fn counted(netns: &NetnsName, before: &[Table], after: &[Table]) -> Vec<RuleCount> {
    let mut counts = Vec::new();
    for (old, new) in before.iter().zip(after).filter(|(old, new)| (old.family, &old.name) == (new.family, &new.name)) {
        for (old_chain, chain) in old.chains.iter().zip(&new.chains).filter(|(old, new)| old.name == new.name) {
            for (old_rule, rule) in old_chain.rules.iter().zip(&chain.rules) {
                let (Some(earlier), Some(now)) = (packets(old_rule), packets(rule)) else { continue };
                if now > earlier && old_rule.handle == rule.handle {
                    counts.push(RuleCount {
                        netns: netns.clone(),
                        table: TableId::new(new.family, new.name.clone()),
                        chain: chain.name.clone(),
                        rule: rule.handle,
                        packets: now - earlier,
                    });
                }
            }
        }
    }
    counts
}

/// What a rule has counted.
fn packets(rule: &Rule) -> Option<u64> {
    rule.expressions.iter().find_map(|expression| match expression {
        Expression::Counter { packets, .. } => Some(*packets),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::{Fixture, name};
    use crate::model::ruleset::Ruleset;

    #[test]
    fn every_family_that_has_chains_is_traced() {
        let mut fixture = Fixture::experiment();
        let text = "table bridge b { chain c { type filter hook forward priority 0; policy accept; } }
            table arp a { chain c { type filter hook input priority 0; policy accept; } }
            table netdev n { chain c { type filter hook ingress device \"veth3\" priority 0; policy accept; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(text).unwrap();
        fixture.netns("world").ruleset.legacy_tables = vec!["ip filter".into()];
        let found = to_trace(&fixture.world, &["host", "ns_1", "world", "host"].map(name));
        let all = found.iter().map(|f| (f.netns.as_str(), f.nftables, f.legacy, f.bridged, f.arp)).collect::<Vec<_>>();
        assert_eq!(all, [("host", true, false, true, true), ("world", false, true, false, false)]);
        assert_eq!(found[0].devices.iter().map(LinkName::as_str).collect::<Vec<_>>(), ["veth3"]);
    }

    #[test]
    fn a_rule_that_counted_is_found_by_its_place() {
        let read = |packets: [u64; 2]| {
            let [first, second] = packets.map(|packets| format!("counter packets {packets} bytes 0"));
            let text = format!("table ip filter {{ chain FORWARD {{ {first} accept; {second} drop; }} }}");
            let mut tables = Ruleset::from_text(&text).unwrap().tables;
            for (place, rule) in tables[0].chains[0].rules.iter_mut().enumerate() {
                rule.handle = place as u64 + 1;
            }
            tables
        };
        let counts = counted(&name("host"), &read([7, 1]), &read([7, 3]));
        assert_eq!(
            counts.iter().map(|c| (c.chain.as_str(), c.rule, c.packets)).collect::<Vec<_>>(),
            [("FORWARD", 2, 2)]
        );
        assert_eq!(counted(&name("host"), &read([7, 1]), &[]), []);
        assert_eq!(counted(&name("host"), &read([7, 9]), &read([0, 3])), [], "counters that were set back");
    }
}
