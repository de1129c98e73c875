//! `source-martian`: the source address is one that the kernel refuses on that interface.
//!
//! IPv4 refuses sources from 127.0.0.0/8 (unless route_localnet), broadcast and multicast sources, and its own addresses
//! (unless accept_local), for packets and for ARP questions alike (linux net/ipv4/fib_frontend.c, route.c).

use std::net::{IpAddr, Ipv4Addr};

use super::resolution::Unresolved;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend, readdress};
use crate::model::segment::Segment;
use crate::model::{Family, Link, Namespace, Setting};
use crate::plan::Plan;

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
    let (fix, advice) = fix(loss, netns, link, source, why);
    Some(
        Verdict::new(Cause::SourceMartian, Place::at(&netns.name, &link.name), format!("{source}, {why}"), summary)
            .shown_by(evidence::seen(loss.world, seen, " and was refused"))
            .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, format!("{source} is {why}")))
            .mended_by(fix)
            .advised(advice),
    )
}

/// What gives the packet a source that is not refused, and a word on it.
fn fix(loss: &Loss<'_>, netns: &Namespace, link: &Link, source: IpAddr, why: &str) -> (Plan, &'static str) {
    match why {
        OWN => (
            mend::delete_address_of(netns, source),
            "If the address is the receiver's by right, it is the sender that needs another one.",
        ),
        LOOPBACK => (
            translated(loss, source),
            "What leaves with an address of 127.0.0.0/8 cannot be answered: the mend translates it to the sender's own.",
        ),
        _ => (
            readdressed(loss, netns, link, source),
            "Give the sender an address that is a host's in its network; whoever knows it by the old one must learn it.",
        ),
    }
}

/// Translates the source where the packet was let out with it.
fn translated(loss: &Loss<'_>, source: IpAddr) -> Plan {
    let turns = turns(loss.world, &loss.observation.journey, loss.leg);
    let out = turns.iter().find(|turn| turn.left.is_some_and(|left| left.header.source == source));
    out.and_then(|turn| Some(mend::masquerade(turn.netns, turn.way_out()?, source))).unwrap_or_default()
}

/// Gives whoever has the address another one of the receiver's network.
fn readdressed(loss: &Loss<'_>, netns: &Namespace, link: &Link, source: IpAddr) -> Plan {
    // Whoever asked for this very source wants to know of it, not of another one.
    if loss.observation.probe.source == Some(source) {
        return Plan::default();
    }
    let segment = Segment::of(loss.world, netns, link);
    let Some(holder) = segment.holders(source).find(|place| place.netns.name != netns.name) else {
        return Plan::default();
    };
    let old = holder.link.addresses.iter().find(|a| a.net.addr() == source).map(|a| a.net);
    // The network as the receiver has it: the one that the address cannot be a host's in.
    let own = netns.links.iter().flat_map(|l| &l.addresses).map(|a| a.net).find(|net| net.contains(&source));
    old.map(|old| readdress::replace(loss.world, holder.netns, holder.link, old, own)).unwrap_or_default()
}

const OWN: &str = "an address of the receiver itself";
const LOOPBACK: &str = "from the loopback network";

fn why(netns: &Namespace, link: &Link, source: IpAddr) -> Option<&'static str> {
    let IpAddr::V4(ip) = source else { return None };
    let on = |setting| {
        link.setting(Family::V4, setting).is_some_and(|v| v > 0)
            || netns.setting_of_all(Family::V4, setting).is_some_and(|v| v > 0)
    };
    if ip.is_loopback() && link.name.as_str() != "lo" {
        return (!on(Setting::RouteLocalnet)).then_some(LOOPBACK);
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
