//! `address-missing`, `address-tentative`, `address-duplicate`, `ipv6-disabled`: an interface lacks an address that it
//! needs, cannot use it yet, or shares it with another host.

use std::net::IpAddr;

use super::passage::Passage;
use super::readdress::is_link_local;
use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, filter, mend, readdress};
use crate::filter::Decision;
use crate::model::ruleset::Hook;
use crate::model::segment::{Place as At, Segment};
use crate::model::{Address, Family, Link, Namespace, Setting};
use crate::trace::Leg;

/// Two hosts on one segment hold the address that the packet was for.
pub(super) fn duplicate(loss: &Loss<'_>) -> Option<Verdict> {
    if let Some((netns, link, address)) = senders(loss).and_then(|(n, l)| Some((n, l, failed_detection(loss, l)?))) {
        let another = readdress::replace(loss.world, netns, link, address.net, None);
        return Some(of_duplicate(netns, link, address.net.addr()).mended_by(another));
    }
    let asker = loss.world.namespace(&loss.observation.probe.from)?;
    let out = asker.link(crate::model::lookup::look_up(asker, &first_query(loss)).link()?)?;
    let next = crate::model::lookup::look_up(asker, &first_query(loss))
        .gateway()
        .unwrap_or(loss.observation.probe.destination);
    let segment = Segment::of(loss.world, asker, out);
    let holders: Vec<At<'_>> = segment.holders(next).filter(|p| p.netns.name != asker.name).collect();
    let [first, second] = holders.as_slice() else { return None };
    let intruder = if is_intruder(first, next) { first } else { second };
    if is_intruder(first, next) == is_intruder(second, next) {
        return None;
    }
    let mut verdict = of_duplicate(intruder.netns, intruder.link, next);
    // The asker goes on to send to the one that it heard of.
    let heard = |(netns, entry): &&(_, crate::model::Neighbour)| {
        *netns == asker.name && entry.link == out.index && entry.address == next && !entry.proxy
    };
    if let Some((_, entry)) = loss.observation.neighbours.iter().find(heard) {
        verdict.fix.steps.extend(mend::forget_neighbour(asker, out, entry).steps);
    }
    Some(verdict)
}

fn first_query(loss: &Loss<'_>) -> crate::model::lookup::Query {
    crate::model::lookup::Query::from_here(loss.observation.probe.source, loss.observation.probe.destination)
}

/// Of two holders, the one that has it besides an address of its own in the same network.
fn is_intruder(place: &At<'_>, address: IpAddr) -> bool {
    let mut own = place.link.addresses.iter().filter(|a| a.net.contains(&address));
    own.next().is_some_and(|a| a.net.addr() != address)
}

fn of_duplicate(netns: &Namespace, link: &Link, address: IpAddr) -> Verdict {
    let summary =
        format!("{} of {} holds {address}, which another host on the same segment holds too", link.name, netns.name);
    let text = format!("{address} on {} is held twice on this segment", link.name);
    let held = link.addresses.iter().find(|a| a.net.addr() == address);
    Verdict::new(
        Cause::AddressDuplicate,
        Place::at(&netns.name, &link.name),
        format!("{address} on {}", link.name),
        summary,
    )
    .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, text).differs("one holder", "two"))
    .mended_by(held.map(|a| mend::delete_address(netns, link, a.net)).unwrap_or_default())
    .advised("Give one of the two another address, and let the neighbours ask again.")
}

/// An IPv6 address is still under duplicate address detection.
pub(super) fn tentative(loss: &Loss<'_>) -> Option<Verdict> {
    let waiting = |a: &&Address| a.flags.tentative && !a.flags.duplicate;
    let own = senders(loss).and_then(|(netns, link)| {
        Some((netns, link, link.addresses.iter().filter(waiting).find(|a| same_scope(loss, a))?))
    });
    let (netns, link, address) = own.or_else(|| {
        let unresolved = Unresolved::of(loss)?;
        let place = unresolved.holders().next()?;
        let address = place.link.addresses.iter().filter(waiting).find(|a| a.net.addr() == unresolved.asked)?;
        Some((place.netns, place.link, address))
    })?;
    let address = address.net.addr();
    let object = format!("{address} on {} is tentative", link.name);
    let summary = format!("{address} on {} of {} is still under duplicate address detection", link.name, netns.name);
    Some(
        Verdict::new(Cause::AddressTentative, Place::at(&netns.name, &link.name), object, summary.clone())
            .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, summary).differs("usable", "tentative"))
            .mended_by(mend::without_detection(netns, link, address))
            .advised("Detection ends by itself after dad_transmits seconds; waiting is a mend too."),
    )
}

/// An interface lacks the address that the path needs.
pub(super) fn missing(loss: &Loss<'_>) -> Option<Verdict> {
    if let Some((netns, link)) = senders(loss) {
        let family = loss.family();
        let object = format!("{} has no usable {family} address", link.name);
        let summary = format!(
            "{} of {} has no {family} address that {} could answer to",
            link.name, netns.name, loss.observation.probe.destination
        );
        let found = loss.source.map_or("none".into(), |s| s.to_string());
        return Some(
            Verdict::new(Cause::AddressMissing, Place::at(&netns.name, &link.name), object, summary)
                .shown_by(
                    Evidence::new(EvidenceKind::Link, &netns.name, format!("the probe left with the source {found}"))
                        .differs("a global address", found),
                )
                .mended_by(readdress::give(loss.world, netns, link, family))
                .advised(format!("Give {} the address that is meant for it; the mend takes a free one.", link.name)),
        );
    }
    let unresolved = Unresolved::of(loss).filter(|u| u.router && u.holders().next().is_none() && !u.segment.open)?;
    // Where the whole family is off, its addresses are missing for that reason.
    let place = bare(&unresolved).filter(|place| !is_off(place.link, loss.family()))?;
    let (netns, link, asked) = (place.netns, place.link, unresolved.asked);
    let summary =
        format!("{} of {} does not hold {asked}, which {} sends to", link.name, netns.name, unresolved.netns.name);
    let own = unresolved.link.addresses.iter().find(|a| a.net.contains(&asked));
    let net = own.and_then(|a| ipnet::IpNet::new(asked, a.net.prefix_len()).ok());
    let mut verdict = Verdict::new(
        Cause::AddressMissing,
        Place::at(&netns.name, &link.name),
        format!("{asked} on {} (missing)", link.name),
        summary,
    )
    .shown_by(
        Evidence::new(EvidenceKind::Link, &netns.name, format!("{} does not hold {asked}", link.name))
            .differs(asked.to_string(), "none"),
    );
    if let Some(question) = unresolved.question {
        verdict = verdict.shown_by(evidence::seen(loss.world, question, " without a reply"));
    }
    Some(verdict.mended_by(net.map(|net| mend::add_address(netns, link, net)).unwrap_or_default()))
}

/// A published address is translated by a gateway that does not answer for it.
pub(super) fn published(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss)?;
    if loss.leg != Leg::Request || unresolved.router || unresolved.holders().next().is_some() {
        return None;
    }
    let asked = unresolved.asked;
    let (place, rule) = unresolved.others().filter(|place| place.link.master.is_none()).find_map(|place| {
        let passage = Passage::of_arrival(loss, place.netns, place.link)?;
        let walk = passage.at(Hook::Prerouting)?;
        let elsewhere = walk.after.ip().is_some_and(|ip| ip.destination != asked);
        // A rule for every address says nothing of this one.
        let names_it = |rule: &Decision<'_>| elsewhere && filter::object(rule).contains("daddr");
        Some((place, walk.translated_by.filter(names_it)?))
    })?;
    let (netns, link) = (place.netns, place.link);
    let summary = format!(
        "{} would translate {asked}, but does not answer for it on {}: nothing there holds the address",
        netns.name, link.name
    );
    let object = format!("{asked} on {} (missing)", link.name);
    let lacks = format!("{} does not hold {asked}", link.name);
    let mut verdict = Verdict::new(Cause::AddressMissing, Place::at(&netns.name, &link.name), object, summary)
        .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, lacks).differs(asked.to_string(), "none"))
        .shown_by(Evidence::new(EvidenceKind::Ruleset, &netns.name, filter::object(&rule)));
    if let Some(question) = unresolved.question {
        verdict = verdict.shown_by(evidence::seen(loss.world, question, " without a reply"));
    }
    let other_way = format!("Or have whoever asks route {asked} to an address of {}.", netns.name);
    Some(verdict.mended_by(mend::add_address(netns, link, asked.into())).advised(other_way))
}

/// IPv6 is switched off on an interface of the path, or its MTU is below what the family needs.
pub(super) fn family_disabled(loss: &Loss<'_>) -> Option<Verdict> {
    let family = loss.family();
    let own = loss.way_out().or_else(|| loss.entered()).map(|link| (loss.netns, link));
    let asked = Unresolved::of(loss);
    let others = asked.iter().flat_map(|u| u.others().collect::<Vec<_>>()).map(|p| (p.netns, p.link));
    let senders = loss.netns.links.iter().filter(|_| loss.last.is_none()).map(|l| (loss.netns, l));
    let (netns, link) = own.into_iter().chain(others).chain(senders).find(|(_, link)| is_off(link, family))?;
    let (object, text, fix) = if link.setting(family, Setting::DisableIpv6) == Some(1) {
        let switch = evidence::name_of_setting(family, link, Setting::DisableIpv6)?;
        (switch.to_string(), format!("{switch} is 1"), mend::sysctl(netns, &switch, "0", 1))
    } else {
        let least = least_mtu(family);
        (
            format!("mtu {} of {}", link.mtu, link.name),
            format!("the MTU of {} is {}, below {least}", link.name, link.mtu),
            mend::mtu(netns, link, least.max(1500)),
        )
    };
    let summary = format!("{family} is off on {} of {}: {text}", link.name, netns.name);
    Some(
        Verdict::new(Cause::Ipv6Disabled, Place::at(&netns.name, &link.name), object, summary)
            .shown_by(Evidence::new(EvidenceKind::Sysctl, &netns.name, text))
            .mended_by(fix)
            .advised("Addresses and routes of the family went when it was switched off; they must be made again."),
    )
}

fn is_off(link: &Link, family: Family) -> bool {
    let switched = link.setting(family, Setting::DisableIpv6) == Some(1);
    !matches!(link.kind, crate::model::LinkKind::Loopback) && (switched || link.mtu < least_mtu(family))
}

/// The smallest MTU with which a family works (RFC 791, RFC 8200).
fn least_mtu(family: Family) -> u32 {
    match family {
        Family::V4 => 68,
        Family::V6 => 1280,
    }
}

/// The sender's way out, if the sender had no usable source address for the destination.
fn senders<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link)> {
    let first = loss.observation.journey.of(Leg::Request).next();
    let source = first.map(|s| s.header.source).or_else(|| Some(loss.observation.identity?.source.ip()))?;
    let destination = loss.observation.probe.destination;
    let useless = source.is_unspecified() || (is_link_local(source) && !is_link_local(destination));
    let netns = loss.world.namespace(&loss.observation.probe.from)?;
    let way_out = crate::model::lookup::look_up(netns, &first_query(loss)).link();
    let link = first.map(|s| s.link).or(way_out)?;
    (useless && !destination.is_multicast()).then_some((netns, netns.link(link)?))
}

fn failed_detection<'a>(loss: &Loss<'_>, link: &'a Link) -> Option<&'a Address> {
    link.addresses.iter().filter(|a| a.flags.duplicate).find(|a| same_scope(loss, a))
}

fn same_scope(loss: &Loss<'_>, address: &Address) -> bool {
    Family::of(address.net.addr()) == loss.family() && !is_link_local(address.net.addr())
}

/// The one interface at the other end of the wire that holds no address of the network that is asked for.
fn bare<'a>(unresolved: &Unresolved<'a>) -> Option<At<'a>> {
    let net = unresolved.link.addresses.iter().map(|a| a.net).find(|n| n.contains(&unresolved.asked))?;
    let is_end = |p: &At<'a>| p.link.master.is_none() && p.link.up;
    let in_net = |p: &At<'a>| p.link.addresses.iter().any(|a| net.contains(&a.net.addr()));
    let mut candidates = unresolved.others().filter(|p| is_end(p) && !in_net(p));
    let place = candidates.next()?;
    candidates.next().is_none().then_some(place)
}
