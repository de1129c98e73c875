//! Nexthop objects: ways that stand for themselves and are shared by routes.
//!
//! The kernel writes the ways of such an object into each route that uses it, unless it was told not to
//! (`net.ipv4.nexthop_compat_mode`); then a route names the object's number only.

use std::collections::BTreeMap;

use nsgate_core::model::{LinkIndex, NextHop, NexthopKind, NexthopObject, Route, RouteKind};

use super::numbers::nexthop as n;
use crate::error::Error;
use crate::netlink::{Batch, Listing, Message, Socket};

/// All nexthop objects of the socket's namespace.
pub fn nexthop_objects(socket: &mut Socket) -> Result<Listing<NexthopObject>, Error> {
    let mut batch = Batch::new();
    batch.begin(n::GET, 0, &[0; 8]);
    socket.list(&mut batch, "nexthop objects", read)
}

/// Gives the routes that only name an object the ways of that object.
pub(super) fn fill_in(socket: &mut Socket, routes: &mut [Route]) -> Result<(), Error> {
    let wanting = |route: &Route| route.nexthop_object.is_some() && route.next_hops.is_empty();
    if !routes.iter().any(wanting) {
        return Ok(());
    }
    let objects = nexthop_objects(socket)?.items;
    let objects: BTreeMap<u32, NexthopKind> = objects.into_iter().map(|object| (object.id, object.kind)).collect();
    for route in routes.iter_mut().filter(|route| wanting(route)) {
        match route.nexthop_object.and_then(|id| objects.get(&id)) {
            Some(NexthopKind::Way(way)) => route.next_hops.push(way.clone()),
            Some(NexthopKind::Blackhole) => route.kind = RouteKind::Blackhole,
            Some(NexthopKind::Group(members)) => {
                for (id, weight) in members {
                    if let Some(NexthopKind::Way(way)) = objects.get(id) {
                        route.next_hops.push(NextHop { weight: *weight, ..way.clone() });
                    }
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// Reads one object.
pub(super) fn read(message: &Message<'_>) -> Option<NexthopObject> {
    let (header, attributes) = message.split::<8>()?;
    let id = attributes.find(n::ID)?.u32()?;
    let for_forwarding = attributes.find(n::FORWARDING).is_some();
    let object = |kind| Some(NexthopObject { id, kind, for_forwarding, protocol: header[2] });
    if attributes.find(n::BLACKHOLE).is_some() {
        return object(NexthopKind::Blackhole);
    }
    if let Some(group) = attributes.find(n::GROUP) {
        // `struct nexthop_grp`: a number, the low byte of the weight less one, the high byte.
        let member = |m: &[u8]| {
            let weight = u16::from_le_bytes([m[4], m[5]]).saturating_add(1);
            (u32::from_ne_bytes([m[0], m[1], m[2], m[3]]), weight)
        };
        return object(NexthopKind::Group(group.value.chunks_exact(8).map(member).collect()));
    }
    let flags = u32::from_ne_bytes(header[4..8].try_into().ok()?);
    let mut way = NextHop { weight: 1, ..NextHop::default() };
    super::route::set_hop_flags(&mut way, flags);
    way.link = attributes.find(n::OIF).and_then(|a| a.u32()).map(LinkIndex);
    way.gateway = attributes.find(n::GATEWAY).and_then(|a| a.address());
    object(NexthopKind::Way(way))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::perform;
    use crate::netlink::{Protocol, hostile};
    use crate::rtnetlink::{index_of, routes};
    use crate::sandbox::test;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(read);
    }

    /// Makes an object: `fill` says what it is.
    fn make(socket: &mut Socket, id: u32, family: i32, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        let new = n::GET - 2;
        batch.begin(new, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &[family as u8, 0, 3, 0, 0, 0, 0, 0]);
        batch.u32(n::ID, id);
        fill(&mut batch);
        assert_eq!(socket.send(&mut batch).unwrap().refused(), None);
    }

    fn route_over(socket: &mut Socket, destination: [u8; 4], id: u32) {
        let mut batch = Batch::new();
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        batch.begin(libc::RTM_NEWROUTE, flags, &[libc::AF_INET as u8, 32, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
        batch.address(libc::RTA_DST, destination.into());
        batch.u32(super::super::numbers::ROUTE_NEXTHOP_OBJECT, id);
        assert_eq!(socket.send(&mut batch).unwrap().refused(), None);
    }

    #[test]
    fn a_route_has_the_ways_of_its_object() {
        test(|| {
            for line in [
                "ip link add a type veth peer name b",
                "ip link set a up",
                "ip link set b up",
                "ip addr add 10.0.0.1/24 dev a",
            ] {
                perform(&line.parse().unwrap()).unwrap();
            }
            let mut socket = Socket::open(Protocol::Route).unwrap();
            let a = index_of(&mut socket, &"a".parse().unwrap()).unwrap();
            for (id, last) in [(1, 8), (2, 9)] {
                make(&mut socket, id, libc::AF_INET, |b| {
                    b.u32(n::OIF, a.0);
                    b.address(n::GATEWAY, [10, 0, 0, last].into());
                });
            }
            make(&mut socket, 3, libc::AF_UNSPEC, |b| {
                b.bytes(n::GROUP, &[1u32.to_ne_bytes(), [4, 0, 0, 0], 2u32.to_ne_bytes(), [0; 4]].concat());
            });
            make(&mut socket, 4, libc::AF_INET, |b| b.flag(n::BLACKHOLE));
            for id in [1, 3, 4] {
                route_over(&mut socket, [10, 9, 0, id], id.into());
            }
            let objects = nexthop_objects(&mut socket).unwrap().items;
            assert_eq!(objects[2].kind, NexthopKind::Group(vec![(1, 5), (2, 1)]));
            assert_eq!((objects[3].id, &objects[3].kind), (4, &NexthopKind::Blackhole));
            let with_the_kernels_help = routes(&mut socket).unwrap().items;
            std::fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0").unwrap();
            let without = routes(&mut socket).unwrap().items;
            assert_eq!(without, with_the_kernels_help);
            let ways = |last: u8| {
                let route = without.iter().find(|r| r.destination.addr() == std::net::IpAddr::from([10, 9, 0, last]));
                let route = route.unwrap();
                (route.kind, route.next_hops.iter().map(|h| h.weight).collect::<Vec<_>>())
            };
            assert_eq!(ways(1), (RouteKind::Unicast, vec![1]));
            assert_eq!(ways(3), (RouteKind::Unicast, vec![5, 1]));
            assert_eq!(ways(4), (RouteKind::Blackhole, vec![]));
        });
    }
}
