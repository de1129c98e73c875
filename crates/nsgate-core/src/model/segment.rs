//! Who shares a wire: the interfaces that a frame can reach without being routed.
//!
//! Veth pairs, bridges with their ports and macvlan devices with their parent are followed through every namespace that
//! the World knows. Filters, VLANs and port states are not asked here: a segment is what is plugged together, not what
//! passes.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use super::{Link, LinkIndex, LinkKind, Namespace, NetnsName, Peer, World};

/// One interface with its namespace.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace.
    pub netns: &'a Namespace,
    /// The interface.
    pub link: &'a Link,
}

/// The interfaces that share a wire with one another.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// They, the one that was asked for first; bridges and their ports included.
    pub places: Vec<Place<'a>>,
    /// The wire leads on to where this World cannot see: hardware, a process, an unknown namespace.
    pub open: bool,
    /// For each place, in the same order, the place before it on the way from the first.
    before: Vec<usize>,
}

impl<'a> Segment<'a> {
    /// The segment that an interface is on.
    pub fn of(world: &'a World, netns: &'a Namespace, link: &'a Link) -> Self {
        let mut segment = Self { places: Vec::new(), open: false, before: Vec::new() };
        let mut seen: BTreeSet<(&NetnsName, LinkIndex)> = BTreeSet::new();
        let mut waiting = VecDeque::from([(Place { netns, link }, 0)]);
        while let Some((place, before)) = waiting.pop_front() {
            if !seen.insert((&place.netns.name, place.link.index)) {
                continue;
            }
            let here = segment.places.len();
            segment.places.push(place);
            segment.before.push(before);
            segment.open |= leads_out_of_sight(place);
            waiting.extend(next_to(world, place).into_iter().map(|next| (next, here)));
        }
        segment
    }

    /// The interfaces that a frame passes on its way from the first place to this one, both included; empty if this one
    /// is not on the segment.
    pub fn way_to(&self, netns: &NetnsName, link: LinkIndex) -> Vec<Place<'a>> {
        let end = self.places.iter().position(|p| p.netns.name == *netns && p.link.index == link);
        // Each place stands behind the one before it.
        let back = std::iter::successors(end, |here| self.before.get(*here).copied().filter(|before| before < here));
        let mut way: Vec<Place<'a>> = back.filter_map(|here| self.places.get(here).copied()).collect();
        way.reverse();
        way
    }

    /// Those that hold an address.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = Place<'a>> + '_ {
        self.places.iter().copied().filter(move |p| p.link.holds(address))
    }
}

/// Whether a frame sent here may go where the World cannot follow.
fn leads_out_of_sight(place: Place<'_>) -> bool {
    let out_of_sight =
        matches!(place.link.kind, LinkKind::Physical | LinkKind::Tun | LinkKind::Vxlan { .. } | LinkKind::Other(_));
    out_of_sight || matches!(place.link.peer, Peer::Hidden(_))
}

/// The interfaces that one step along the wire leads to.
fn next_to<'a>(world: &'a World, place: Place<'a>) -> Vec<Place<'a>> {
    let Place { netns, link } = place;
    let here = |link| Place { netns, link };
    let mut next: Vec<Place<'a>> = Vec::new();
    if matches!(link.kind, LinkKind::Veth | LinkKind::Macvlan { .. } | LinkKind::Vlan { .. }) {
        next.extend(world.peer(netns, link).map(|(netns, link)| Place { netns, link }));
    }
    if let Some(bridge) = link.master.and_then(|m| netns.link(m)).filter(|m| matches!(m.kind, LinkKind::Bridge(_))) {
        next.push(here(bridge));
    }
    if matches!(link.kind, LinkKind::Bridge(_)) {
        next.extend(netns.links.iter().filter(|l| l.master == Some(link.index)).map(here));
    }
    next.extend(stacked_on(world, place));
    next
}

/// The macvlan devices whose lower device this is.
fn stacked_on<'a>(world: &'a World, place: Place<'a>) -> impl Iterator<Item = Place<'a>> {
    world.namespaces.iter().flat_map(move |netns| {
        netns.links.iter().filter_map(move |link| {
            let stacked = matches!(link.kind, LinkKind::Macvlan { .. });
            let lower = stacked.then(|| world.peer(netns, link)).flatten()?;
            let same = lower.0.name == place.netns.name && lower.1.index == place.link.index;
            same.then_some(Place { netns, link })
        })
    })
}
