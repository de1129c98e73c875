//! What the routing tables say to a rule that asks them (`fib`).
//!
//! Follows linux net/ipv4/netfilter/nft_fib_ipv4.c and its twin for IPv6, which differ in what they call a route that
//! leads nowhere.

use super::Subject;
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::FibResult;
use crate::model::{LinkIndex, RouteKind};

/// What a rule asks (NFTA_FIB_F_*).
const SOURCE: u32 = 1;
const MARK: u32 = 4;
const ENTERED: u32 = 8;
const LEAVES: u32 = 16;
const PRESENT: u32 = 32;

/// The answer, as the kernel leaves it in a register; none if it is not known.
pub(super) fn fib(subject: &Subject<'_>, result: FibResult, flags: u32) -> Option<Vec<u8>> {
    let ip = subject.ip()?;
    let asked = if flags & SOURCE != 0 { ip.source } else { ip.destination };
    let mark = if flags & MARK != 0 { subject.mark? } else { 0 };
    let answer = look_up(subject.netns, &Query { mark, ..Query::from_here(None, asked) });
    let device = match (flags & ENTERED != 0, flags & LEAVES != 0) {
        (true, _) => Some(subject.entered.as_ref()),
        (_, true) => Some(subject.leaves.as_ref()),
        _ => None,
    };
    let device = device.map(|device| device.map_or(0, |device| device.index));
    // NFT_FIB_RESULT_ADDRTYPE
    if result.0 == 3 {
        return Some(address_type(&answer, device, asked.is_ipv4()).to_ne_bytes().to_vec());
    }
    // What is delivered here leads by no interface.
    let unicast = answer.route().is_some_and(|route| route.kind == RouteKind::Unicast);
    let link = answer.link().filter(|link| unicast && device.is_none_or(|device| device == link.0));
    let index = link.map_or(0, |link| link.0);
    if flags & PRESENT != 0 {
        return Some(vec![u8::from(index != 0)]);
    }
    match result.0 {
        1 => Some(index.to_ne_bytes().to_vec()),
        2 => {
            let name = subject.netns.link(LinkIndex(index)).map_or(String::new(), |link| link.name.to_string());
            let mut bytes = name.into_bytes();
            bytes.resize(16, 0);
            Some(bytes)
        }
        _ => None,
    }
}

/// The type of an address (RTN_*), of those that the interface of this number has if one is asked about.
fn address_type(answer: &Answer<'_>, device: Option<u32>, v4: bool) -> u32 {
    const UNICAST: u32 = 1;
    const UNREACHABLE: u32 = 7;
    let elsewhere = device.is_some_and(|device| answer.link().is_none_or(|link| link.0 != device));
    match answer.route().map(|route| route.kind) {
        Some(RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast) if elsewhere => UNICAST,
        Some(RouteKind::Local) => 2,
        Some(RouteKind::Broadcast) => 3,
        Some(RouteKind::Anycast) => 4,
        Some(RouteKind::Multicast) => 5,
        // IPv4 looks at the local addresses alone.
        _ if v4 => UNICAST,
        Some(RouteKind::Blackhole) => 6,
        Some(RouteKind::Unreachable) | None => UNREACHABLE,
        Some(RouteKind::Prohibit) => 8,
        Some(_) => UNICAST,
    }
}
