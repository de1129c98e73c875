//! The kernel's messages themselves, for a test that changes them before they are read.

use nsgate_core::model::ruleset::value_type::ValueType;
use nsgate_core::model::ruleset::{Chain, Set, Table};

use super::super::numbers::message;
use super::{object, read_chain, read_rule, read_table, request, set};
use crate::netlink::{Batch, Message, Socket};

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Asked {
    Tables,
    Chains,
    Sets,
    Rules,
    Elements,
    Objects,
    FlowTables,
}

impl Asked {
    pub(in super::super) const ALL: [Self; 7] =
        [Self::Tables, Self::Chains, Self::Sets, Self::Rules, Self::Elements, Self::Objects, Self::FlowTables];
}

/// The messages that the kernel answers with.
pub(in super::super) fn payloads(socket: &mut Socket, asked: Asked) -> Vec<Vec<u8>> {
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

/// What a message says, as text.
pub(in super::super) fn shown(asked: Asked, payload: &[u8]) -> String {
    let message = Message { kind: 0, flags: 0, sequence: 0, payload };
    let mut table = Table { name: "t".into(), ..Table::default() };
    match asked {
        Asked::Tables => table = read_table(&message).unwrap_or(table),
        Asked::Chains => table.chains.extend(read_chain(&message).map(|(_, chain)| chain)),
        Asked::Sets => table.sets.extend(set::read(&message).map(|(_, set)| set)),
        Asked::Objects => table.objects.extend(object::read(&message).map(|(_, object)| object)),
        Asked::FlowTables => table.flow_tables.extend(object::read_flow_table(&message).map(|(_, f)| f)),
        Asked::Rules => {
            let rules = read_rule(&message).into_iter().map(|(_, _, rule)| rule).collect();
            table.chains.push(Chain { name: "c".into(), rules, ..Chain::default() });
        }
        Asked::Elements => {
            let elements = set::elements(&message).unwrap_or_default();
            let types = [ValueType::Ipv4Address];
            let mut set = Set::map("s", &types, &types);
            set.elements = elements;
            table.sets.push(set);
        }
    }
    table.to_string()
}
