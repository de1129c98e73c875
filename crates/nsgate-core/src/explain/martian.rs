//! `source-martian`: the source address is one that the kernel refuses on that interface.
//!
//! IPv4 refuses sources from 127.0.0.0/8 (unless route_localnet), broadcast and multicast sources, and its own addresses
//! (unless accept_local), for packets and for ARP questions alike (linux net/ipv4/fib_frontend.c, route.c).

use std::net::{IpAddr, Ipv4Addr};

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend};
use crate::model::{Family, Link, Namespace, Setting};

/// The source is the receiver's own, from loopback, a broadcast address, or no address at all.
pub(super) fn refused(loss: &Loss<'_>) -> Option<Verdict> {
    let (netns, link, seen) = if let (Some(link), Some(last)) = (loss.entered(), loss.last) {
        (loss.netns, link, last)
    } else {
        let unresolved = Unresolved::of(loss)?;
        let holder = unresolved.holders().next()?;
        (holder.netns, holder.link, unresolved.heard_at(loss, holder)?)
    };
    let source = seen.header.source;
    let why = why(netns, link, source)?;
    let summary = format!("{} refuses the source {source} at {}: it is {why}", netns.name, link.name);
    let fix = if why == OWN { mend::delete_address_of(netns, source) } else { crate::plan::Plan::default() };
    Some(
        Verdict::new(Cause::SourceMartian, Place::at(&netns.name, &link.name), format!("{source}, {why}"), summary)
            .shown_by(evidence::seen(loss.world, seen, " and was refused"))
            .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, format!("{source} is {why}")))
            .mended_by(fix)
            .advised("Give the sender an address that is its own, and that is a host's in its network."),
    )
}

const OWN: &str = "an address of the receiver itself";

fn why(netns: &Namespace, link: &Link, source: IpAddr) -> Option<&'static str> {
    let IpAddr::V4(ip) = source else { return None };
    let on = |setting| {
        link.setting(Family::V4, setting).is_some_and(|v| v > 0)
            || netns.setting_of_all(Family::V4, setting).is_some_and(|v| v > 0)
    };
    if ip.is_loopback() && link.name.as_str() != "lo" {
        return (!on(Setting::RouteLocalnet)).then_some("from the loopback network");
    }
    if ip.is_broadcast() || ip.is_multicast() || is_broadcast_here(netns, ip) {
        return Some("a broadcast address");
    }
    if netns.holder(source).is_some() && link.name.as_str() != "lo" {
        return (!on(Setting::AcceptLocal)).then_some(OWN);
    }
    None
}

/// Whether an address is the broadcast address of a network of this namespace.
fn is_broadcast_here(netns: &Namespace, ip: Ipv4Addr) -> bool {
    let nets = netns.links.iter().flat_map(|l| &l.addresses).map(|a| a.net);
    nets.filter(|n| n.prefix_len() < 31).any(|n| n.broadcast() == IpAddr::V4(ip))
}
