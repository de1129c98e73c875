//! What the packet filter's own trace told of the probe: which rule or policy it met, and what that decided.
//!
//! The kernel numbers the packets that it traces; the number is only good within one namespace.

use nsgate_packet::Packet;

use crate::model::ruleset::{Hook, TableId, Verdict};
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

/// A namespace whose packet filter has chains, so that there is something to trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The namespace.
    pub netns: NetnsName,
    /// The interfaces that have chains where frames come in.
    pub devices: Vec<LinkName>,
}

impl RuleEvent {
    /// Whether the packet ended here.
    pub fn is_loss(&self) -> bool {
        self.verdict == Some(Verdict::Drop)
    }

    /// What the packet said, as far as its headers were told.
    pub fn packet(&self) -> Packet<'_> {
        Packet::ip(&self.bytes)
    }
}

/// Which of these namespaces have a packet filter that can be traced.
///
/// Where tables of the older engine stand too, the kernel would write what they do with a traced packet to its log; there
/// nothing is traced.
pub fn to_trace(world: &World, namespaces: &[NetnsName]) -> Vec<Filtered> {
    let known = namespaces.iter().filter_map(|name| world.namespace(name));
    let mut filtered = Vec::new();
    for netns in known.filter(|netns| netns.ruleset.legacy_tables.is_empty()) {
        let bases = netns.ruleset.tables.iter().flat_map(|table| &table.chains).filter_map(|chain| chain.base.as_ref());
        let mut devices: Vec<LinkName> = Vec::new();
        let mut any = false;
        for base in bases {
            any = true;
            if base.hook == Hook::Ingress {
                devices
                    .extend(base.devices.iter().filter(|name| netns.links.iter().any(|l| l.name == **name)).cloned());
            }
        }
        devices.sort();
        devices.dedup();
        if any && filtered.iter().all(|other: &Filtered| other.netns != netns.name) {
            filtered.push(Filtered { netns: netns.name.clone(), devices });
        }
    }
    filtered
}
