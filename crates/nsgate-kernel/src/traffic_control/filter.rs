//! Filters: what they pick.

use nsgate_core::model::{FilterKind, Handle, LinkIndex, TrafficFilter, U32Key};

use super::action;
use super::numbers::filter as f;
use super::qdisc::{header, number};
use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// `struct tc_u32_sel` before its keys, and one key.
const SELECTOR: usize = 16;
const KEY: usize = 16;

/// The filters that hang at one place of an interface, in the order in which the kernel tells them: that of priority.
pub(super) fn filters(socket: &mut Socket, link: LinkIndex, place: Handle) -> Result<Listing<TrafficFilter>, Error> {
    let mut batch = Batch::new();
    batch.begin(libc::RTM_GETTFILTER, 0, &header(link.0, place.0));
    let found = socket.list(&mut batch, "traffic filters", read)?;
    // Beside each filter the kernel tells of what only keeps filters together: a priority by itself, a hash table.
    let filter = |told| match told {
        Told::Filter(filter) => Some(*filter),
        Told::Holder => None,
    };
    let items = found.items.into_iter().filter_map(filter).collect();
    Ok(Listing { items, unread: found.unread, consistent: found.consistent })
}

/// What one message tells of.
pub(super) enum Told {
    /// A filter.
    Filter(Box<TrafficFilter>),
    /// What only keeps filters together.
    Holder,
}

/// Reads one message.
pub(super) fn read(message: &Message<'_>) -> Option<Told> {
    let (header, attributes) = message.split::<20>()?;
    let (handle, information) = (number(header, 8)?, number(header, 16)?);
    let name = attributes.find(libc::TCA_KIND)?.text()?;
    let Some(options) = attributes.find(libc::TCA_OPTIONS).map(|a| a.nested()) else { return Some(Told::Holder) };
    let Some((kind, places)) = kind(name, &options) else { return Some(Told::Holder) };
    let mut actions = options.find(places.actions).map(|a| action::read(&a.nested())).unwrap_or_default();
    actions.extend(options.find(places.police).and_then(|a| action::read_police(&a.nested())));
    Some(Told::Filter(Box::new(TrafficFilter {
        link: LinkIndex(number(header, 4)?),
        parent: Handle(number(header, 12)?),
        chain: attributes.find(libc::TCA_CHAIN).and_then(|a| a.u32()).unwrap_or(0),
        priority: (information >> 16) as u16,
        protocol: u16::from_be(information as u16),
        handle,
        kind,
        class: options.find(places.class).and_then(|a| a.u32()).map(Handle),
        actions,
    })))
}

/// Under which numbers a filter's options have its class, its actions, and a policer in the old manner. 0: nowhere.
struct Places {
    class: u16,
    actions: u16,
    police: u16,
}

/// What the filter picks, and where the rest of it stands. None for a hash table.
fn kind(name: &str, options: &Attributes<'_>) -> Option<(FilterKind, Places)> {
    let at = |class, actions, police| Places { class, actions, police };
    Some(match name {
        "bpf" => {
            let flags = options.find(f::BPF_FLAGS).and_then(|a| a.u32()).unwrap_or(0);
            let name = options.find(f::BPF_NAME).and_then(|a| a.text()).map(str::to_owned);
            let id = options.find(f::BPF_ID).and_then(|a| a.u32());
            let kind = FilterKind::Bpf { name, id, direct: flags & f::BPF_DIRECT != 0 };
            (kind, at(f::BPF_CLASS, f::BPF_ACTIONS, f::BPF_POLICE))
        }
        "u32" => {
            let keys = keys(options.find(f::U32_SELECTOR)?.value);
            (FilterKind::U32 { keys }, at(f::CLASS, f::U32_ACTIONS, f::U32_POLICE))
        }
        "flower" => (FilterKind::Flower, at(f::CLASS, f::FLOWER_ACTIONS, 0)),
        "matchall" => (FilterKind::Matchall, at(f::CLASS, f::MATCHALL_ACTIONS, 0)),
        "basic" => (FilterKind::Basic, at(f::CLASS, f::BASIC_ACTIONS, f::BASIC_POLICE)),
        "fw" => (FilterKind::Other(name.to_owned()), at(f::CLASS, f::FW_ACTIONS, f::FW_POLICE)),
        // Where an unknown kind keeps its class and actions is not known either.
        _ => (FilterKind::Other(name.to_owned()), at(0, 0, 0)),
    })
}

/// The comparisons that tell packets apart: one without a mask holds for all.
fn keys(selector: &[u8]) -> Vec<U32Key> {
    let keys = selector.get(SELECTOR..).unwrap_or_default().chunks_exact(KEY);
    let big_endian = |key: &[u8], at| number(key, at).map(u32::from_be);
    keys.filter_map(|key| {
        let offset = number(key, 8)? as i32;
        Some(U32Key { offset, mask: big_endian(key, 0)?, value: big_endian(key, 4)? })
    })
    .filter(|key| key.mask != 0)
    .collect()
}

#[cfg(test)]
mod hostile_bytes {
    use crate::netlink::hostile;

    #[test]
    fn do_no_harm() {
        hostile::try_on(super::read);
        for kind in ["bpf", "u32", "flower", "fw", "nope"] {
            hostile::try_on(|message| super::kind(kind, &message.split::<4>()?.1).map(|(kind, _)| kind));
        }
    }
}
