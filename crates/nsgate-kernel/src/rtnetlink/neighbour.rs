//! Neighbours: ARP and neighbour discovery as one, with the addresses that are answered for (proxy).

use nsgate_core::model::{LinkIndex, Mac, Neighbour, NeighbourState, NeighbourTable, NetnsName};
use nsgate_core::trace::{Change, NeighbourEvent};

use super::numbers::{self, table};
use crate::error::Error;
use crate::netlink::{Batch, Listing, Message, Socket};

/// The offset of `ndm_flags` in `struct ndmsg`.
const FLAGS: usize = 10;

/// All neighbours of the socket's namespace and all proxy entries.
pub fn neighbours(socket: &mut Socket) -> Result<Listing<Neighbour>, Error> {
    let mut with_flags = |flags| {
        let mut batch = Batch::new();
        let mut header = [0; 12];
        header[FLAGS] = flags;
        batch.begin(libc::RTM_GETNEIGH, 0, &header);
        socket.list(&mut batch, "neighbours", read)
    };
    let mut found = with_flags(0)?.join(with_flags(libc::NTF_PROXY)?);
    // Multicast and broadcast addresses stand in the table without being anybody's neighbours.
    found.items.retain(|neighbour| neighbour.proxy || !neighbour.address.is_multicast());
    Ok(found)
}

/// The group that changes of neighbours are sent to (RTNLGRP_NEIGH).
pub const NEIGHBOUR_GROUP: u32 = 3;

/// Reads a message that came to a socket which has joined [`NEIGHBOUR_GROUP`] in a namespace; none if it is of another
/// kind, or makes no sense.
pub fn neighbour_event(message: &Message<'_>, netns: &NetnsName) -> Option<NeighbourEvent> {
    let change = match message.kind {
        libc::RTM_NEWNEIGH => Change::Updated,
        libc::RTM_DELNEIGH => Change::Gone,
        _ => return None,
    };
    Some(NeighbourEvent { netns: netns.clone(), change, neighbour: read(message)? })
}

/// The neighbour tables. They are the machine's: what is told is the same in every namespace, unlike the sysctls.
pub fn neighbour_tables(socket: &mut Socket) -> Result<Listing<NeighbourTable>, Error> {
    let mut batch = Batch::new();
    batch.begin(table::GET, 0, &[0; 4]);
    let found = socket.list(&mut batch, "neighbour tables", read_table)?;
    let table = |told| match told {
        Told::Table(table) => Some(table),
        Told::Otherwise => None,
    };
    let mut items: Vec<NeighbourTable> = found.items.into_iter().filter_map(table).collect();
    // Where there are many interfaces, the kernel tells a table again with each part of its answer.
    items.dedup_by_key(|table| table.family);
    Ok(Listing { items, unread: found.unread, consistent: found.consistent })
}

/// What one message about neighbour tables tells.
pub(super) enum Told {
    /// A table.
    Table(NeighbourTable),
    /// The settings of an interface, which come in messages of their own, or a table for what has no addresses.
    Otherwise,
}

/// Reads one message.
pub(super) fn read_table(message: &Message<'_>) -> Option<Told> {
    let (header, attributes) = message.split::<4>()?;
    let (Some(family), Some(config)) = (numbers::family_of(header[0]), attributes.find(table::CONFIG)) else {
        return Some(Told::Otherwise);
    };
    let limit = |kind| attributes.find(kind)?.u32();
    let refused = attributes.find(table::STATISTICS).and_then(|a| a.value.get(table::REFUSED..table::REFUSED + 8));
    Some(Told::Table(NeighbourTable {
        family,
        entries: u32::from_ne_bytes(config.value.get(4..8)?.try_into().ok()?),
        keep: limit(table::KEEP)?,
        soft_limit: limit(table::SOFT_LIMIT)?,
        hard_limit: limit(table::HARD_LIMIT)?,
        refused: refused.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes),
    }))
}

/// Reads one neighbour message.
pub(super) fn read(message: &Message<'_>) -> Option<Neighbour> {
    let (header, attributes) = message.split::<12>()?;
    numbers::family_of(header[0])?;
    let state = u16::from_ne_bytes([header[8], header[9]]);
    Some(Neighbour {
        link: LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?)),
        address: attributes.find(libc::NDA_DST)?.address()?,
        mac: attributes.find(libc::NDA_LLADDR).and_then(|a| a.array()).map(Mac),
        state: state_of(state),
        proxy: header[FLAGS] & libc::NTF_PROXY != 0,
    })
}

/// The states by the kernel's numbers (NUD_*).
const STATES: [(u16, NeighbourState); 8] = [
    (libc::NUD_INCOMPLETE, NeighbourState::Incomplete),
    (libc::NUD_REACHABLE, NeighbourState::Reachable),
    (libc::NUD_STALE, NeighbourState::Stale),
    (libc::NUD_DELAY, NeighbourState::Delay),
    (libc::NUD_PROBE, NeighbourState::Probe),
    (libc::NUD_FAILED, NeighbourState::Failed),
    (libc::NUD_NOARP, NeighbourState::NoArp),
    (libc::NUD_PERMANENT, NeighbourState::Permanent),
];

fn state_of(number: u16) -> NeighbourState {
    STATES.iter().find(|(n, _)| *n == number).map_or(NeighbourState::None, |(_, state)| *state)
}

/// The kernel's number of a state.
pub(super) fn state_number(state: NeighbourState) -> u16 {
    STATES.iter().find(|(_, s)| *s == state).map_or(libc::NUD_NONE, |(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(super::read);
        let netns = nsgate_core::model::NetnsName::host();
        hostile::try_on(|sent| {
            super::neighbour_event(&crate::netlink::Message { kind: libc::RTM_NEWNEIGH, ..*sent }, &netns)
        });
        hostile::try_on(super::read_table);
    }

    #[test]
    fn a_table_is_told_once_however_many_interfaces_there_are() {
        crate::sandbox::test(|| {
            for number in 0..30 {
                let line = format!("ip link add a{number} type veth peer name b{number}");
                crate::apply::perform(&line.parse().unwrap()).unwrap();
            }
            let mut socket = crate::netlink::Socket::open(crate::netlink::Protocol::Route).unwrap();
            let tables = super::neighbour_tables(&mut socket).unwrap().items;
            let families: Vec<_> = tables.iter().map(|table| table.family).collect();
            assert_eq!(families, nsgate_core::model::Family::BOTH, "{tables:?}");
        });
    }
}
