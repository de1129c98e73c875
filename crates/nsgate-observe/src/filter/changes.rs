//! Which news of connection tracking and of neighbours a socket takes: a busy gateway has thousands a second, of which
//! all but a few are of other people's connections.

use nsgate_core::trace::{Identity, ProbeKind};
use nsgate_packet::{Family, protocol};

use super::assembler::{Assembler, Instruction, Width};
use crate::numbers::{NOTE_ATTRIBUTE, NOTE_INNER_ATTRIBUTE};

/// Where the attributes of a message of netfilter begin: behind `struct nlmsghdr` and `struct nfgenmsg`.
const ATTRIBUTES: u32 = 20;
/// Where the family of a message about a neighbour stands: the first byte of `struct ndmsg`.
const NEIGHBOUR_FAMILY: u32 = 16;
/// The header of an attribute.
const ATTRIBUTE_HEADER: u32 = 4;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_PROTO`, and what stands in it.
const ORIGINAL: u32 = 1;
const TRANSPORT: u32 = 2;
const PROTOCOL: u32 = 1;
const PORTS: [u32; 2] = [2, 3];
/// The whole message.
const ALL: u32 = u32::MAX;

/// A filter for connections that may be the probe's: of its protocol, and from or to the port that it comes from.
///
/// Where a translation took even that port from it, its connection is found when the table is read afterwards.
pub(crate) fn of_connections(kind: ProbeKind, identity: &Identity) -> Vec<Instruction> {
    let own = match (kind, Family::of(identity.destination.ip())) {
        (ProbeKind::Icmp, Family::V4) => protocol::ICMP,
        (ProbeKind::Icmp, Family::V6) => protocol::ICMPV6,
        (ProbeKind::Tcp(_), _) => protocol::TCP,
        (ProbeKind::Udp(_), _) => protocol::UDP,
    };
    let mut out = Assembler::default();
    let (accept, reject, ours) = (out.label(), out.label(), out.label());
    let find = |out: &mut Assembler, inner, kind| {
        out.set_index(kind);
        out.load(Width::Byte, if inner { NOTE_INNER_ATTRIBUTE } else { NOTE_ATTRIBUTE });
        out.jump_if_one_of(&[0], reject);
    };
    out.load_number(ATTRIBUTES);
    find(&mut out, false, ORIGINAL);
    find(&mut out, true, TRANSPORT);
    out.store(0);
    find(&mut out, true, PROTOCOL);
    out.index_by_accumulator();
    out.load_indexed(Width::Byte, ATTRIBUTE_HEADER);
    out.jump_if_one_of(&[own.into()], ours);
    out.goto(reject);
    out.place(ours);
    let port = identity.source.port();
    if kind == ProbeKind::Icmp || port == 0 {
        out.goto(accept);
    }
    for attribute in PORTS {
        out.recall(0);
        find(&mut out, true, attribute);
        out.index_by_accumulator();
        out.load_indexed(Width::Half, ATTRIBUTE_HEADER);
        out.jump_if_one_of(&[port.into()], accept);
    }
    out.place(reject);
    out.keep(0);
    out.place(accept);
    out.keep(ALL);
    // A program that cannot be put together takes everything rather than too little.
    out.finish().unwrap_or_else(|| vec![super::keep(ALL)])
}

/// A filter for neighbours of the probe's family.
pub(crate) fn of_neighbours(identity: &Identity) -> Vec<Instruction> {
    let family = if identity.destination.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut out = Assembler::default();
    let accept = out.label();
    out.load(Width::Byte, NEIGHBOUR_FAMILY);
    out.jump_if_one_of(&[family as u32], accept);
    out.keep(0);
    out.place(accept);
    out.keep(ALL);
    out.finish().unwrap_or_else(|| vec![super::keep(ALL)])
}
