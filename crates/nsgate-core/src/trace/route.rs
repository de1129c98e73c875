//! The way a packet should take, by what is configured: which namespaces and interfaces to watch.
//!
//! Translations are not followed here; a namespace that only a translated packet would reach is found because it is near.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::lookup::{Query, look_up};
use crate::model::segment::Segment;
use crate::model::{Link, LinkIndex, Namespace, NetnsName, World};

/// How many namespaces a packet may cross: more than any real path, less than a loop.
const LONGEST: usize = 32;

/// One namespace on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The namespace.
    pub netns: NetnsName,
    /// The interface the packet comes in by; none where it starts.
    pub entered: Option<LinkIndex>,
    /// The interface it leaves by; none where it ends.
    pub left: Option<LinkIndex>,
}

/// The way from a namespace to an address, as far as the World knows it.
pub fn planned_path(world: &World, from: &NetnsName, source: Option<IpAddr>, destination: IpAddr) -> Vec<Stop> {
    let mut path = Vec::new();
    let mut here = world.namespace(from).map(|netns| (netns, None));
    while let Some((netns, entered)) = here.take().filter(|_| path.len() < LONGEST) {
        let query = Query { source, entered, ..Query::from_here(source, destination) };
        let answer = look_up(netns, &query);
        let left = answer.link().filter(|_| !answer.is_local());
        path.push(Stop { netns: netns.name.clone(), entered, left });
        let next_hop = answer.gateway().unwrap_or(destination);
        here = left
            .and_then(|link| netns.link(link))
            .and_then(|link| across(world, netns, link, next_hop))
            .map(|(netns, link)| (netns, Some(link)));
    }
    path
}

/// The namespace and interface that a packet handed to `next_hop` over `link` arrives at.
fn across<'a>(
    world: &'a World,
    netns: &'a Namespace,
    link: &'a Link,
    next_hop: IpAddr,
) -> Option<(&'a Namespace, LinkIndex)> {
    let segment = Segment::of(world, netns, link);
    let elsewhere = |p: &crate::model::segment::Place<'a>| p.link.index != link.index || p.netns.name != netns.name;
    let place = segment.holders(next_hop).find(elsewhere)?;
    Some((place.netns, place.link.index))
}

/// The namespaces to watch: those on the way there and back, then those wired to them, nearest first, at most `most`.
/// Of the latter only those that are `met` by the probe, as far as that is known.
pub fn to_watch(world: &World, path: &[Stop], most: usize, met: impl Fn(&NetnsName) -> bool) -> Vec<NetnsName> {
    let mut chosen: Vec<NetnsName> = Vec::new();
    let mut known: BTreeSet<NetnsName> = BTreeSet::new();
    for stop in path {
        if known.insert(stop.netns.clone()) {
            chosen.push(stop.netns.clone());
        }
    }
    let mut next = 0;
    while next < chosen.len() && chosen.len() < most {
        let Some(netns) = world.namespace(&chosen[next]) else { break };
        for link in &netns.links {
            for (peer, _) in world.peer(netns, link).into_iter().chain(stacked(world, netns, link)) {
                if chosen.len() < most && met(&peer.name) && known.insert(peer.name.clone()) {
                    chosen.push(peer.name.clone());
                }
            }
        }
        next += 1;
    }
    chosen
}

/// The other interfaces on a stacked device's segment, which `peer` alone does not lead to.
fn stacked<'a>(world: &'a World, netns: &'a Namespace, link: &'a Link) -> Vec<(&'a Namespace, &'a Link)> {
    if !matches!(link.kind, crate::model::LinkKind::Physical) {
        return Vec::new();
    }
    Segment::of(world, netns, link).places.into_iter().map(|p| (p.netns, p.link)).collect()
}
