//! `masquerade-no-address`: a rule masquerades by an interface that has no address of its own to give.
//!
//! The kernel takes an address of the interface the packet leaves by, else one of any other interface of the namespace
//! (linux net/ipv4/devinet.c inet_select_addr, net/ipv6/addrconf.c ipv6_dev_get_saddr); where there is none at all it
//! drops the packet (net/netfilter/nf_nat_masquerade.c). A borrowed one leads no answer back by that interface.

use super::passage::Passage;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, filter, readdress, told};
use crate::filter::Decision;
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::{Expression, Hook};
use crate::model::segment::Segment;
use crate::model::{Family, Link, LinkKind, Namespace};
use crate::trace::{Leg, planned_path};
use std::net::IpAddr;

/// Masquerade found no address, or borrowed one to which no answer finds its way.
pub(super) fn without_address(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.leg != Leg::Request {
        return None;
    }
    none_at_all(loss).or_else(|| borrowed(loss))
}

/// The packet is dropped by the rule itself.
fn none_at_all(loss: &Loss<'_>) -> Option<Verdict> {
    if matches!(loss.stage, Stage::Left(_)) {
        return None;
    }
    let passage = Passage::of(loss)?;
    let link = loss.netns.link(passage.route.as_ref()?.link()?)?;
    let told = told::dropped_by(loss).filter(|(hook, _)| *hook == Hook::Postrouting).map(|(_, decision)| decision);
    let would = || passage.at(Hook::Postrouting).and_then(|walk| walk.translated_by);
    let rule = told.or_else(would).filter(masquerades)?;
    let family = loss.family();
    if loss.netns.links.iter().any(|any| has_usable(any, family)) {
        return None;
    }
    let summary = format!(
        "'{}' of {} matches and has no address to write: neither {} nor any other interface has an {family} address",
        filter::object(&rule),
        loss.here(),
        link.name
    );
    let verdict = verdict(loss.netns, link, &rule, summary, loss);
    Some(
        loss.last
            .into_iter()
            .fold(verdict, |v, last| v.shown_by(evidence::seen(loss.world, last, " and was not seen again"))),
    )
}

/// The packet left with the address of another interface, and nobody beyond has a way back to that.
fn borrowed(loss: &Loss<'_>) -> Option<Verdict> {
    let family = loss.family();
    let turn = turns(loss.world, &loss.observation.journey, Leg::Request).into_iter().find(|turn| {
        let changed = turn.entered.zip(turn.left).is_some_and(|(e, l)| e.header.source != l.header.source);
        changed && turn.way_out().is_some_and(|link| !has_usable(link, family))
    })?;
    let (entered, left, link) = (turn.entered?, turn.left?, turn.way_out()?);
    let taken = left.header.source;
    let lender = turn.netns.holder(taken).filter(|lender| lender.index != link.index)?;
    let passage = Passage::of_request(turn.netns, entered, link)?;
    let rule = passage.at(Hook::Postrouting)?.translated_by.filter(masquerades)?;
    let why = no_way_back(loss, turn.netns, taken)?;
    let summary = format!(
        "{} has no {family} address of its own: '{}' of {} takes {taken} of {}, and {why}",
        link.name,
        filter::object(&rule),
        turn.netns.name,
        lender.name
    );
    Some(verdict(turn.netns, link, &rule, summary, loss).shown_by(evidence::seen(loss.world, left, "")))
}

/// Why no answer to a borrowed address comes back.
fn no_way_back(loss: &Loss<'_>, gateway: &Namespace, taken: IpAddr) -> Option<String> {
    if loss.arrived() {
        let back = look_up(loss.netns, &Query::from_here(Some(loss.destination), taken));
        let path = planned_path(loss.world, loss.here(), Some(loss.destination), taken);
        let home = path.last().is_some_and(|stop| stop.netns == gateway.name);
        let lost = !matches!(back, Answer::Found { .. }) || !home;
        return lost.then(|| format!("{} has no way back to that", loss.here()));
    }
    let Stage::Left(link) = loss.stage else { return None };
    let private = match taken {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    let hidden = Segment::of(loss.world, loss.netns, link).open;
    (hidden && private).then(|| format!("nobody beyond {} can answer that", link.name))
}

fn verdict(netns: &Namespace, link: &Link, rule: &Decision<'_>, summary: String, loss: &Loss<'_>) -> Verdict {
    let family = loss.family();
    let object = format!("{family} address of {} (missing); {}", link.name, filter::object(rule));
    let found = format!("{} has no {family} address", link.name);
    let beyond = loss.world.peer(netns, link).and_then(|(there, peer)| {
        let net = peer.addresses.iter().map(|a| a.net).find(|net| Family::of(net.addr()) == family)?;
        Some(format!(" The other end of its wire, {} of {}, is {net}.", peer.name, there.name))
    });
    Verdict::new(Cause::MasqueradeNoAddress, Place::at(&netns.name, &link.name), object, summary)
        .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, found).differs("an address", "none"))
        .shown_by(Evidence::new(EvidenceKind::Ruleset, &netns.name, filter::object(rule)))
        .mended_by(readdress::give(loss.world, netns, link, family))
        .advised(format!(
            "Give {} its address back (DHCP: networkctl renew {}), or translate to an address that is held: snat to \
             ADDRESS instead of masquerade.{}",
            link.name,
            link.name,
            beyond.unwrap_or_default()
        ))
}

fn masquerades(decision: &Decision<'_>) -> bool {
    let does = |e: &Expression| match e {
        Expression::Masquerade { .. } => true,
        Expression::XtTarget { name, .. } => name == "MASQUERADE",
        _ => false,
    };
    decision.rule.is_some_and(|rule| rule.expressions.iter().any(does))
}

/// Whether an interface has an address that others can answer to.
fn has_usable(link: &Link, family: Family) -> bool {
    link.addresses.iter().any(|address| match (address.net.addr(), family) {
        (IpAddr::V4(ip), Family::V4) => !ip.is_loopback(),
        (IpAddr::V6(ip), Family::V6) => {
            link.kind != LinkKind::Loopback && !ip.is_unicast_link_local() && !address.flags.tentative
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Echo, Icmp, Transport, build};

    use crate::explain::fixture::{Fixture, address, route};
    use crate::model::ruleset::Ruleset;
    use crate::model::{Family, RouteKind, TABLE_MAIN};
    use crate::trace::Leg;

    /// The uplink has lost its address, and all that leaves by it is masqueraded.
    fn unnumbered(mut fixture: Fixture) -> Fixture {
        let family = Family::of(fixture.observation.probe.destination);
        fixture.link("host", "eth2").addresses.retain(|a| Family::of(a.net.addr()) != family);
        let nat = "table inet nat { chain postrouting { type nat hook postrouting priority srcnat; policy accept;
            oifname \"eth2\" masquerade; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(nat).unwrap();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture
    }

    fn with_bytes(mut fixture: Fixture) -> Fixture {
        let echo = Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload: &[] });
        for sight in &mut fixture.observation.journey.sights {
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        fixture
    }

    #[test]
    fn there_is_no_address_at_all() {
        for mut fixture in [unnumbered(Fixture::experiment()), unnumbered(Fixture::experiment6())] {
            let family = Family::of(fixture.observation.probe.destination);
            assert_ne!(with_bytes(fixture.clone()).verdict().0, "masquerade-no-address", "one is borrowed");
            fixture.link("host", "veth3").addresses.retain(|a| Family::of(a.net.addr()) != family);
            let (cause, place, object) = with_bytes(fixture).verdict();
            assert_eq!((cause.as_str(), place.as_str()), ("masquerade-no-address", "host/eth2"));
            assert!(object.starts_with(&format!("{family} address of eth2 (missing)")), "{object}");
        }
    }

    #[test]
    fn a_borrowed_address_that_nobody_can_answer() {
        let mut fixture = unnumbered(Fixture::experiment6());
        fixture.seen(Leg::Request, "2001:db8:1::3", "2001:db8:114::114", &["host:eth2>", "world:w0<"]);
        let fixture = with_bytes(fixture);
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("masquerade-no-address", "host/eth2"));
        // Where the far end knows the way, borrowing does no harm.
        let mut known = fixture.clone();
        known.link("host", "eth2").addresses.push(address("fe80::182/64"));
        let back = route(TABLE_MAIN, "2001:db8:1::/64", RouteKind::Unicast, Some(2), Some("fe80::182"));
        known.netns("world").routes.push(back);
        assert_ne!(known.verdict().0, "masquerade-no-address");
    }
}
