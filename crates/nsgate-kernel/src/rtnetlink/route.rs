//! Routes of all tables.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_core::model::{Family, LinkIndex, NextHop, Route, RouteKind, Scope};

use super::{nexthop, numbers as n};
use crate::error::Error;
use crate::netlink::{Attribute, Attributes, Batch, Listing, Message, Socket};

/// All routes of the socket's namespace: both families, all tables.
pub fn routes(socket: &mut Socket) -> Result<Listing<Route>, Error> {
    let mut of_family = |family| {
        let mut batch = Batch::new();
        let mut header = [0; 12];
        header[0] = n::family_number(family);
        batch.begin(libc::RTM_GETROUTE, 0, &header);
        socket.list(&mut batch, "routes", read)
    };
    let mut found = of_family(Family::V4)?.join(of_family(Family::V6)?);
    nexthop::fill_in(socket, &mut found.items)?;
    Ok(found)
}

/// Reads one route message.
pub(super) fn read(message: &Message<'_>) -> Option<Route> {
    let (header, attributes) = message.split::<12>()?;
    let [family, destination_length, source_length, tos, table, protocol, scope, kind, ..] = *header;
    let family = n::family_of(family)?;
    let flags = u32::from_ne_bytes(header[8..12].try_into().ok()?);
    let kind = route_kind(kind);
    let mut only = NextHop { weight: 1, ..NextHop::default() };
    set_hop_flags(&mut only, flags);
    let mut route = Route {
        table: u32::from(table),
        destination: IpNet::new(unspecified(family), destination_length).ok()?,
        from: None,
        tos,
        kind,
        scope: route_scope(scope),
        metric: 0,
        protocol,
        source: None,
        next_hops: Vec::new(),
        nexthop_object: None,
        mtu: None,
    };
    for attribute in attributes {
        match attribute.kind {
            libc::RTA_TABLE => route.table = attribute.u32()?,
            libc::RTA_DST => route.destination = IpNet::new(attribute.address()?, destination_length).ok()?,
            libc::RTA_SRC => route.from = Some(IpNet::new(attribute.address()?, source_length).ok()?),
            libc::RTA_PRIORITY => route.metric = attribute.u32()?,
            libc::RTA_PREFSRC => route.source = attribute.address(),
            libc::RTA_METRICS => route.mtu = attribute.nested().find(n::METRIC_MTU).and_then(|a| a.u32()),
            libc::RTA_MULTIPATH => route.next_hops = hops(attribute.value)?,
            n::ROUTE_NEXTHOP_OBJECT => route.nexthop_object = attribute.u32(),
            _ => read_hop(&mut only, &attribute),
        }
    }
    if refuses(kind) {
        // IPv6 names the loopback interface as the way of a route that refuses; nothing ever goes there.
        route.next_hops.clear();
    } else if route.next_hops.is_empty() && (only.link.is_some() || only.gateway.is_some()) {
        route.next_hops.push(only);
    }
    Some(route)
}

/// Reads RTA_MULTIPATH: `struct rtnexthop` with attributes, one after the other.
fn hops(mut bytes: &[u8]) -> Option<Vec<NextHop>> {
    let mut hops = Vec::new();
    while let Some(header) = bytes.first_chunk::<8>() {
        let length = u16::from_ne_bytes([header[0], header[1]]) as usize;
        let mut hop = NextHop {
            weight: u16::from(header[3]) + 1,
            link: Some(LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?))),
            ..NextHop::default()
        };
        set_hop_flags(&mut hop, u32::from(header[2]));
        for attribute in Attributes::new(bytes.get(8..length)?) {
            read_hop(&mut hop, &attribute);
        }
        hops.push(hop);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(hops)
}

fn read_hop(hop: &mut NextHop, attribute: &Attribute<'_>) {
    match attribute.kind {
        libc::RTA_OIF => hop.link = attribute.u32().map(LinkIndex),
        libc::RTA_GATEWAY => hop.gateway = attribute.address(),
        // RTA_VIA is a gateway of the other family, its family's number before it.
        libc::RTA_VIA => hop.gateway = attribute.value.get(2..).and_then(address),
        _ => {}
    }
}

pub(super) fn set_hop_flags(hop: &mut NextHop, flags: u32) {
    hop.dead = flags & n::HOP_DEAD != 0;
    hop.on_link = flags & n::HOP_ON_LINK != 0;
    hop.link_down = flags & n::HOP_LINK_DOWN != 0;
}

fn address(value: &[u8]) -> Option<IpAddr> {
    Attribute { kind: 0, value }.address()
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether a route of this kind loses the packet.
fn refuses(kind: RouteKind) -> bool {
    matches!(kind, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw)
}

/// The kinds of routes by the kernel's numbers (RTN_*).
const KINDS: [(u8, RouteKind); 9] = [
    (libc::RTN_UNICAST, RouteKind::Unicast),
    (libc::RTN_LOCAL, RouteKind::Local),
    (libc::RTN_BROADCAST, RouteKind::Broadcast),
    (libc::RTN_ANYCAST, RouteKind::Anycast),
    (libc::RTN_MULTICAST, RouteKind::Multicast),
    (libc::RTN_BLACKHOLE, RouteKind::Blackhole),
    (libc::RTN_UNREACHABLE, RouteKind::Unreachable),
    (libc::RTN_PROHIBIT, RouteKind::Prohibit),
    (libc::RTN_THROW, RouteKind::Throw),
];

/// The scopes by the kernel's numbers (RT_SCOPE_*).
const SCOPES: [(u8, Scope); 5] = [
    (libc::RT_SCOPE_UNIVERSE, Scope::Global),
    (libc::RT_SCOPE_SITE, Scope::Site),
    (libc::RT_SCOPE_LINK, Scope::Link),
    (libc::RT_SCOPE_HOST, Scope::Host),
    (libc::RT_SCOPE_NOWHERE, Scope::Nowhere),
];

fn route_kind(number: u8) -> RouteKind {
    KINDS.iter().find(|(n, _)| *n == number).map_or(RouteKind::Other(number), |(_, kind)| *kind)
}

fn route_scope(number: u8) -> Scope {
    SCOPES.iter().find(|(n, _)| *n == number).map_or(Scope::Other(number), |(_, scope)| *scope)
}

/// The kernel's number of a kind.
pub(super) fn kind_number(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Other(number) => number,
        known => KINDS.iter().find(|(_, k)| *k == known).map_or(libc::RTN_UNSPEC, |(number, _)| *number),
    }
}

/// The kernel's number of a scope.
pub(super) fn scope_number(scope: Scope) -> u8 {
    match scope {
        Scope::Other(number) => number,
        known => SCOPES.iter().find(|(_, s)| *s == known).map_or(libc::RT_SCOPE_UNIVERSE, |(number, _)| *number),
    }
}

#[cfg(test)]
mod tests {
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(super::read);
    }
}
