//! What connection tracking remembers in a namespace.

use std::net::IpAddr;

use nsgate_core::model::NetnsName;
use nsgate_core::model::conntrack::{Entry, Statistics, Table};
use nsgate_core::trace::{Change, ConnectionEvent};
use nsgate_packet::Flow;
use rustix::io::Errno;

use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// `IPCTNL_MSG_CT_GET`, of the subsystem for connection tracking.
const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
/// `IPCTNL_MSG_CT_GET_STATS_CPU`, `IPCTNL_MSG_CT_GET_STATS`.
const GET_OF_PROCESSORS: u16 = GET + 3;
const GET_TABLE: u16 = GET + 4;

/// `IPCTNL_MSG_CT_NEW`: an entry is new or has changed.
const NEW: u16 = GET - 1;
/// `IPCTNL_MSG_CT_DELETE`: an entry is gone.
const GONE: u16 = GET + 1;

/// `AF_INET`, `AF_INET6`, in the byte that netfilter has for them.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;

/// The groups that changes are sent to (NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY).
pub const CHANGE_GROUPS: [u32; 3] = [1, 2, 3];

/// `CTA_*`: attributes of an entry.
mod entry {
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOCOL: u16 = 4;
    pub(super) const TIMEOUT: u16 = 7;
    pub(super) const MARK: u16 = 8;
    pub(super) const ID: u16 = 12;
    pub(super) const ZONE: u16 = 18;
}

/// `CTA_STATS_*`: what a processor has counted, and `CTA_STATS_GLOBAL_*`: how full the table is.
mod statistics {
    pub(super) const FOUND: u16 = 2;
    pub(super) const INVALID: u16 = 4;
    pub(super) const INSERT: u16 = 8;
    pub(super) const INSERT_FAILED: u16 = 9;
    pub(super) const DROP: u16 = 10;
    pub(super) const EARLY_DROP: u16 = 11;
    pub(super) const ERROR: u16 = 12;
    pub(super) const SEARCH_RESTART: u16 = 13;
    pub(super) const CLASH_RESOLVE: u16 = 14;
    pub(super) const CHAIN_TOO_LONG: u16 = 15;
    pub(super) const ENTRIES: u16 = 1;
    pub(super) const LIMIT: u16 = 2;
}

/// `CTA_TUPLE_*`, `CTA_IP_*`, `CTA_PROTO_*`: attributes of one direction of a flow.
mod tuple {
    pub(super) const ADDRESSES: u16 = 1;
    pub(super) const V4_SOURCE: u16 = 1;
    pub(super) const V4_DESTINATION: u16 = 2;
    pub(super) const V6_SOURCE: u16 = 3;
    pub(super) const V6_DESTINATION: u16 = 4;
    pub(super) const TRANSPORT: u16 = 2;
    pub(super) const PROTOCOL: u16 = 1;
    pub(super) const SOURCE_PORT: u16 = 2;
    pub(super) const DESTINATION_PORT: u16 = 3;
    pub(super) const ECHO: u16 = 4;
    pub(super) const ECHO6: u16 = 7;
}

/// The entries worth keeping of the namespace of a [`Netfilter`](crate::netlink::Protocol::Netfilter) socket, both
/// families. A busy gateway has millions, of which most are nobody's concern.
pub fn entries(socket: &mut Socket, keep: impl Fn(&Entry) -> bool) -> Result<Listing<Entry>, Error> {
    let mut batch = Batch::new();
    batch.begin(GET, 0, &[0; 4]);
    socket.list_of(&mut batch, "connection-tracking entries", read, keep)
}

/// Reads a message that came to a socket which has joined [`CHANGE_GROUPS`] in a namespace; none if it is of another
/// kind, or makes no sense.
pub fn event(message: &Message<'_>, netns: &NetnsName) -> Option<ConnectionEvent> {
    let change = match message.kind {
        NEW if message.flags & libc::NLM_F_CREATE as u16 != 0 => Change::New,
        NEW => Change::Updated,
        GONE => Change::Gone,
        _ => return None,
    };
    let (_, attributes) = message.split::<4>()?;
    let id = attributes.find(entry::ID).and_then(|a| a.be32()).unwrap_or(0);
    Some(ConnectionEvent { netns: netns.clone(), change, id, entry: read(message)? })
}

/// How full the table of the socket's namespace is, and what is counted there.
pub fn table(socket: &mut Socket) -> Result<Table, Error> {
    let mut batch = Batch::new();
    batch.begin(GET_OF_PROCESSORS, 0, &[0; 4]);
    let processors = socket.list(&mut batch, "the statistics of connection tracking", read_statistics)?.items;
    let mut batch = Batch::new();
    batch.begin(GET_TABLE, 0, &[0; 4]);
    let answers = socket.send(&mut batch)?;
    if let Some((_, refusal)) = answers.refused() {
        return Err(refusal.clone().error("read", "the size of the connection-tracking table"));
    }
    let told = answers.replies.first().and_then(|reply| read_size(&reply.message()));
    let (entries, limit) = told.unwrap_or_default();
    Ok(Table { entries, limit, processors })
}

/// Reads any message as each of the objects; for fuzzing.
#[cfg(feature = "testing")]
pub fn read_any(message: &Message<'_>) {
    let _ = (read(message), read_size(message), read_statistics(message), event(message, &NetnsName::host()));
}

/// How many entries there are, and how many there may be.
fn read_size(message: &Message<'_>) -> Option<(u32, Option<u32>)> {
    let (_, attributes) = message.split::<4>()?;
    let number = |kind| attributes.find(kind).and_then(|a| a.be32());
    Some((number(statistics::ENTRIES)?, number(statistics::LIMIT)))
}

/// Reads what one processor has counted.
fn read_statistics(message: &Message<'_>) -> Option<Statistics> {
    let (_, attributes) = message.split::<4>()?;
    let count = |kind| attributes.find(kind).and_then(|a| a.be32()).unwrap_or(0);
    Some(Statistics {
        found: count(statistics::FOUND),
        invalid: count(statistics::INVALID),
        insert: count(statistics::INSERT),
        insert_failed: count(statistics::INSERT_FAILED),
        drop: count(statistics::DROP),
        early_drop: count(statistics::EARLY_DROP),
        error: count(statistics::ERROR),
        search_restart: count(statistics::SEARCH_RESTART),
        clash_resolve: count(statistics::CLASH_RESOLVE),
        chain_too_long: count(statistics::CHAIN_TOO_LONG),
    })
}

/// Reads one entry.
fn read(message: &Message<'_>) -> Option<Entry> {
    let (_, attributes) = message.split::<4>()?;
    let number = |kind| attributes.find(kind).and_then(|a| a.be32()).unwrap_or(0);
    Some(Entry {
        original: flow(&attributes.find(entry::ORIGINAL)?.nested())?,
        reply: flow(&attributes.find(entry::REPLY)?.nested())?,
        status: number(entry::STATUS),
        mark: number(entry::MARK),
        zone: attributes.find(entry::ZONE).and_then(|a| a.be16()).unwrap_or(0),
        timeout: number(entry::TIMEOUT),
        tcp_state: attributes.find(entry::PROTOCOL).and_then(|a| tcp_state(&a.nested())),
    })
}

/// The state within CTA_PROTOINFO_TCP (1), CTA_PROTOINFO_TCP_STATE (1).
fn tcp_state(protocol: &Attributes<'_>) -> Option<u8> {
    protocol.find(1)?.nested().find(1)?.u8()
}

fn flow(direction: &Attributes<'_>) -> Option<Flow> {
    let addresses = direction.find(tuple::ADDRESSES)?.nested();
    let transport = direction.find(tuple::TRANSPORT)?.nested();
    let address = |v4, v6| -> Option<IpAddr> { addresses.find(v4).or_else(|| addresses.find(v6))?.address() };
    // The identifier of an echo stands for both ports, as it does in the packets.
    let echo = transport.find(tuple::ECHO).or_else(|| transport.find(tuple::ECHO6)).and_then(|a| a.be16());
    let port = |kind| transport.find(kind).and_then(|a| a.be16()).or(echo).unwrap_or(0);
    Some(Flow {
        protocol: transport.find(tuple::PROTOCOL)?.u8()?,
        source: address(tuple::V4_SOURCE, tuple::V6_SOURCE)?,
        destination: address(tuple::V4_DESTINATION, tuple::V6_DESTINATION)?,
        source_port: port(tuple::SOURCE_PORT),
        destination_port: port(tuple::DESTINATION_PORT),
    })
}

/// Takes the entry of a flow of TCP or UDP away, given its first direction.
pub fn forget(socket: &mut Socket, flow: &Flow) -> Result<(), Error> {
    let mut batch = Batch::new();
    let family = if flow.source.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    batch.begin(GONE, 0, &[family, 0, 0, 0]);
    batch.nest(entry::ORIGINAL, |b| write_flow(b, *flow));
    match socket.send(&mut batch)?.refused() {
        Some((_, refusal)) => {
            let object = format!("the connection {} > {}", flow.source, flow.destination);
            Err(refusal.clone().error("forget", object))
        }
        None => Ok(()),
    }
}

/// Takes the entries away of all connections that an address opened, of TCP, UDP and echoes. What ended by itself
/// meanwhile is gone as well; what the kernel refuses to take away otherwise is an error.
pub fn forget_from(socket: &mut Socket, source: IpAddr) -> Result<(), Error> {
    let family = if source.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let found = entries(socket, |entry| entry.original.source == source)?.items;
    let mut batch = Batch::new();
    for Entry { original, zone, .. } in found.iter().filter(|entry| can_be_named(&entry.original)) {
        batch.begin(GONE, 0, &[family, 0, 0, 0]);
        batch.nest(entry::ORIGINAL, |b| write_flow(b, *original));
        if *zone != 0 {
            batch.be16(entry::ZONE, *zone);
        }
    }
    let answers = socket.send(&mut batch)?;
    let refused = answers.refusals().find(|refusal| refusal.errno != Errno::NOENT);
    refused.map_or(Ok(()), |refusal| Err(refusal.clone().error("forget", format!("the connections of {source}"))))
}

/// `IPPROTO_ICMP`, `IPPROTO_ICMPV6`.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Whether the addresses and numbers of a flow are all that its entry is found by.
fn can_be_named(flow: &Flow) -> bool {
    flow.has_ports() || matches!(flow.protocol, ICMP | ICMPV6)
}

fn write_flow(batch: &mut Batch, flow: Flow) {
    batch.nest(tuple::ADDRESSES, |b| {
        let v4 = flow.source.is_ipv4();
        b.address(if v4 { tuple::V4_SOURCE } else { tuple::V6_SOURCE }, flow.source);
        b.address(if v4 { tuple::V4_DESTINATION } else { tuple::V6_DESTINATION }, flow.destination);
    });
    batch.nest(tuple::TRANSPORT, |b| {
        b.u8(tuple::PROTOCOL, flow.protocol);
        match flow.protocol {
            ICMP | ICMPV6 => write_echo(b, flow),
            _ => {
                b.be16(tuple::SOURCE_PORT, flow.source_port);
                b.be16(tuple::DESTINATION_PORT, flow.destination_port);
            }
        }
    });
}

/// The first direction of an echo: its identifier, and the type and code of a request.
fn write_echo(batch: &mut Batch, flow: Flow) {
    let (identifier, request) = if flow.protocol == ICMP { (tuple::ECHO, 8) } else { (tuple::ECHO6, 128) };
    batch.be16(identifier, flow.source_port);
    // CTA_PROTO_ICMP_TYPE and _CODE, CTA_PROTO_ICMPV6_TYPE and _CODE follow the identifier's number.
    batch.u8(identifier + 1, request);
    batch.u8(identifier + 2, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Protocol, hostile};
    use crate::sandbox::test;

    /// Puts an entry for a flow of TCP or of echoes into the table.
    fn make(socket: &mut Socket, original: Flow, reply: Flow) {
        let mut batch = Batch::new();
        let family = if original.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        batch.begin(NEW, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &[family as u8, 0, 0, 0]);
        for (kind, flow) in [(entry::ORIGINAL, original), (entry::REPLY, reply)] {
            batch.nest(kind, |b| write(b, flow));
        }
        batch.be32(entry::TIMEOUT, 300);
        batch.be32(entry::MARK, 7);
        if original.protocol == 6 {
            batch.nest(entry::PROTOCOL, |b| b.nest(1, |b| b.u8(1, 3)));
        }
        assert_eq!(socket.send(&mut batch).unwrap().refused(), None);
    }

    fn write(batch: &mut Batch, flow: Flow) {
        if flow.protocol != 1 {
            return write_flow(batch, flow);
        }
        batch.nest(tuple::ADDRESSES, |b| {
            b.address(tuple::V4_SOURCE, flow.source);
            b.address(tuple::V4_DESTINATION, flow.destination);
        });
        batch.nest(tuple::TRANSPORT, |b| {
            b.u8(tuple::PROTOCOL, flow.protocol);
            b.be16(tuple::ECHO, flow.source_port);
            // The type and the code: an echo, or its reply.
            b.u8(5, if flow.source == IpAddr::from([1, 1, 1, 2]) { 8 } else { 0 });
            b.u8(6, 0);
        });
    }

    #[test]
    fn the_connections_of_one_source_are_forgotten_and_no_others() {
        test(|| {
            let mut socket = Socket::open(Protocol::Netfilter).unwrap();
            let flows = [
                flow_of(6, "1.1.1.2", 40000, "8.8.8.8", 53),
                flow_of(6, "1.1.1.2", 40001, "8.8.8.8", 53),
                flow_of(1, "1.1.1.2", 7, "8.8.8.8", 7),
                flow_of(6, "1.1.1.4", 40000, "8.8.8.8", 53),
            ];
            for flow in flows {
                make(&mut socket, flow, flow.reversed());
            }
            forget_from(&mut socket, "1.1.1.2".parse().unwrap()).unwrap();
            let left = entries(&mut socket, |_| true).unwrap().items;
            assert_eq!(left.iter().map(|entry| entry.original).collect::<Vec<_>>(), [flows[3]]);
            forget_from(&mut socket, "1.1.1.2".parse().unwrap()).unwrap();
        });
    }

    fn flow_of(protocol: u8, source: &str, source_port: u16, destination: &str, destination_port: u16) -> Flow {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Flow { protocol, source, destination, source_port, destination_port }
    }

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(read);
        hostile::try_on(|sent| event(&Message { kind: NEW, ..*sent }, &NetnsName::host()));
        hostile::try_on(read_size);
        hostile::try_on(read_statistics);
    }

    #[test]
    fn entries_of_both_families_read_back() {
        test(|| {
            let mut socket = Socket::open(Protocol::Netfilter).unwrap();
            assert_eq!(entries(&mut socket, |_| true).unwrap().items, []);
            let echo = flow_of(1, "1.1.1.2", 77, "114.114.114.114", 77);
            let translated = flow_of(1, "114.114.114.114", 77, "10.20.30.182", 77);
            let web = flow_of(6, "fd00::2", 40000, "fd01::9", 80);
            make(&mut socket, echo, translated);
            make(&mut socket, web, web.reversed());
            let found = entries(&mut socket, |_| true).unwrap();
            assert_eq!((found.items.len(), found.unread), (2, 0));
            let ping = found.items.iter().find(|e| e.original == echo).unwrap();
            assert_eq!((ping.reply, ping.mark, ping.zone, ping.tcp_state), (translated, 7, 0, None));
            assert!((298..=300).contains(&ping.timeout), "{ping:?}");
            let six = found.items.iter().find(|e| e.original == web).unwrap();
            let some = entries(&mut socket, |e| e.mark == 8 || e.original.protocol == 6).unwrap();
            assert_eq!(some.items.iter().map(|e| e.original).collect::<Vec<_>>(), [web]);
            assert_eq!((six.reply, six.tcp_state), (web.reversed(), Some(3)));
            assert_eq!(table(&mut socket).unwrap().entries, 2);
            forget(&mut socket, &web).unwrap();
            assert_eq!(entries(&mut socket, |_| true).unwrap().items.len(), 1);
            assert!(forget(&mut socket, &web).is_err(), "it is gone");
            let table = table(&mut socket).unwrap();
            assert_eq!(table.entries, 1);
            assert!(table.limit.unwrap() > 1000 && !table.processors.is_empty(), "{table:?}");
        });
    }
}
