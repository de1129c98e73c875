//! The kernel's messages themselves, for tests and fuzzers that change them before they are read.
//!
//! Messages become a table and its text just as those of the real kernel do; nothing here asks the kernel but
//! `payloads`, which has it answer first.

use nsgate_core::model::ruleset::value_type::ValueType;
use nsgate_core::model::ruleset::{Chain, Set, Table, TableFamily};

#[cfg(test)]
use super::super::numbers::message;
use super::{object, read_chain, read_rule, read_table, set};
use crate::netlink::Message;

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// Tables.
    Tables,
    /// Chains.
    Chains,
    /// Sets without their elements.
    Sets,
    /// Rules.
    Rules,
    /// The elements of a set.
    Elements,
    /// Named objects.
    Objects,
    /// Flow tables.
    FlowTables,
}

impl Asked {
    /// All of these.
    pub const ALL: [Self; 7] =
        [Self::Tables, Self::Chains, Self::Sets, Self::Rules, Self::Elements, Self::Objects, Self::FlowTables];
}

/// The messages that the kernel answers with.
#[cfg(test)]
pub(in super::super) fn payloads(socket: &mut crate::netlink::Socket, asked: Asked) -> Vec<Vec<u8>> {
    use super::request;
    use crate::netlink::Batch;
    let mut dump = |batch: &mut Batch| -> Vec<Vec<u8>> {
        socket.list(batch, "messages", |m| Some(m.payload.to_vec())).unwrap().items
    };
    match asked {
        Asked::Tables => dump(&mut request(message::GET_TABLE)),
        Asked::Chains => dump(&mut request(message::GET_CHAIN)),
        Asked::Sets => dump(&mut request(message::GET_SET)),
        Asked::Rules => dump(&mut request(message::GET_RULE)),
        Asked::Objects => dump(&mut request(message::GET_OBJECT)),
        Asked::FlowTables => dump(&mut request(message::GET_FLOW_TABLE)),
        Asked::Elements => {
            let sets = set::all(socket).unwrap().items;
            sets.iter()
                .flat_map(|(owner, of)| {
                    let mut batch = set::request_elements(owner, &of.name);
                    socket.list(&mut batch, "messages", |m| Some(m.payload.to_vec())).unwrap().items
                })
                .collect()
        }
    }
}

/// What messages say of a table of this family, as text. Elements go into the last set before them.
pub fn shown(family: TableFamily, messages: &[(Asked, &[u8])]) -> String {
    let mut table = Table { family, name: "t".into(), ..Table::default() };
    for (asked, payload) in messages {
        take(&mut table, *asked, &Message { kind: 0, flags: 0, sequence: 0, payload });
    }
    table.to_string()
}

fn take(table: &mut Table, asked: Asked, message: &Message<'_>) {
    match asked {
        Asked::Tables => {
            if let Some(read) = read_table(message) {
                table.comment = read.comment;
                table.dormant = read.dormant;
            }
        }
        Asked::Chains => table.chains.extend(read_chain(message).map(|(_, chain)| chain)),
        Asked::Sets => table.sets.extend(set::read(message).map(|(_, set)| set)),
        Asked::Objects => table.objects.extend(object::read(message).map(|(_, object)| object)),
        Asked::FlowTables => table.flow_tables.extend(object::read_flow_table(message).map(|(_, f)| f)),
        Asked::Rules => {
            let rules = read_rule(message).into_iter().map(|(_, _, rule)| rule).collect();
            table.chains.push(Chain { name: "c".into(), rules, ..Chain::default() });
        }
        Asked::Elements => {
            let elements = set::elements(message).unwrap_or_default();
            if table.sets.is_empty() {
                let types = [ValueType::Ipv4Address];
                table.sets.push(Set::map("s", &types, &types));
            }
            if let Some(set) = table.sets.last_mut() {
                set.elements = elements;
            }
        }
    }
}
