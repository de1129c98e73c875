//! `link-down` and `no-carrier`: an interface on the way cannot carry packets.

use super::resolution::Unresolved;
use super::{Cause, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::lookup::Answer;
use crate::model::{Link, LinkKind, LinkName, Namespace, Peer};

/// An interface is administratively down: the one to bring up.
pub(super) fn down(loss: &Loss<'_>) -> Option<Verdict> {
    let (netns, link) = the_one_that_is_down(loss)?;
    let summary = format!("{} of {} is administratively down", link.name, netns.name);
    Some(
        Verdict::new(Cause::LinkDown, Place::at(&netns.name, &link.name), link.name.as_str(), summary)
            .shown_by(evidence::link_state(netns, link))
            .mended_by(mend::link_up(netns, link)),
    )
}

/// The interface that the packet should leave by, or its other end, cannot carry it.
pub(super) fn in_the_way(loss: &Loss<'_>) -> Option<Verdict> {
    let to_leave = loss.way_out().is_some() && !loss.arrived();
    if to_leave || loss.netns.holder(loss.destination).is_some() {
        down(loss).or_else(|| without_carrier(loss))
    } else {
        None
    }
}

/// The interface is up, but nothing is behind it: its peer or lower device is gone, down or out of sight.
pub(super) fn without_carrier(loss: &Loss<'_>) -> Option<Verdict> {
    let link = loss.way_out().filter(|l| l.up && !l.carrier)?;
    let lower = loss.world.peer(loss.netns, link);
    let behind = match (&link.kind, lower) {
        (LinkKind::Tun, _) => "no process has it open".to_string(),
        (_, Some((netns, lower))) if !lower.up => format!("{} of {}, below it, is down", lower.name, netns.name),
        (_, Some((netns, lower))) => format!("{} of {}, below it, has no carrier", lower.name, netns.name),
        (_, None) if link.peer == Peer::None => "nothing is connected to it".to_string(),
        (_, None) => "its other end is gone or out of sight".to_string(),
    };
    let summary = format!("{} of {} has no carrier: {behind}", link.name, loss.here());
    let object = format!("{} has no carrier", link.name);
    let mut verdict = Verdict::new(Cause::NoCarrier, Place::at(loss.here(), &link.name), object, summary)
        .shown_by(evidence::link_state(loss.netns, link));
    if let Some((netns, lower)) = lower {
        verdict = verdict.shown_by(evidence::link_state(netns, lower)).mended_by(mend::link_up(netns, lower));
    } else {
        verdict = verdict.advised("Plug in, start or make again what belongs behind the interface.");
    }
    Some(verdict)
}

/// The interface that keeps the packet from going on: the way out, its peer, the bridge it is a port of, or one that
/// took the route with it when it went down.
fn the_one_that_is_down<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link)> {
    let to_itself = loss.netns.holder(loss.destination).filter(|_| matches!(loss.stage, Stage::Made));
    if to_itself.is_some() {
        let loopback = loss.netns.link_named(LinkName::loopback().as_str()).filter(|l| !l.up);
        return loopback.map(|l| (loss.netns, l));
    }
    if let Some(bridge) = bridge_down_where_it_ended(loss) {
        return Some(bridge);
    }
    if let Some(found) = down_before_the_next_hop(loss) {
        return Some(found);
    }
    if let Some(link) = loss.way_out() {
        return down_here_or_there(loss, link);
    }
    (loss.route() == Answer::Missing).then(|| took_the_route_along(loss)).flatten()
}

/// The first interface that is down on the way that the question for the next hop should have taken to whoever holds it.
fn down_before_the_next_hop<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link)> {
    let unresolved = Unresolved::of(loss).filter(|unresolved| unresolved.link.carrier)?;
    let holder = unresolved.holders().next()?;
    let way = unresolved.segment.way_to(&holder.netns.name, holder.link.index);
    way.into_iter().find(|place| !place.link.up).map(|place| (place.netns, place.link))
}

/// A wire's own end, or its other end where that is no lower device but a peer.
fn down_here_or_there<'a>(loss: &Loss<'a>, link: &'a Link) -> Option<(&'a Namespace, &'a Link)> {
    if !link.up {
        return Some((loss.netns, link));
    }
    let (netns, peer) = loss.world.peer(loss.netns, link).filter(|_| link.kind == LinkKind::Veth)?;
    (!peer.up).then_some((netns, peer))
}

/// The packet, or the question for its next hop, came in at a port of a bridge that is down.
fn bridge_down_where_it_ended<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link)> {
    let (netns, port) = if let Some(port) = loss.entered() {
        (loss.netns, port)
    } else {
        let question = Unresolved::of(loss)?.question?;
        loss.world.peer(loss.netns, loss.netns.link(question.link)?)?
    };
    let bridge = netns.link(port.master?)?;
    (!bridge.up).then_some((netns, bridge))
}

/// The only interface that is down and holds addresses of the packet's family: its routes went with it.
fn took_the_route_along<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link)> {
    let family = loss.family();
    let of_family = |l: &&Link| l.addresses.iter().any(|a| crate::model::Family::of(a.net.addr()) == family);
    let mut candidates = loss.netns.links.iter().filter(|l| !l.up).filter(of_family);
    let link = candidates.next()?;
    candidates.next().is_none().then_some((loss.netns, link))
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{LinkIndex, Peer};
    use crate::trace::Leg;

    #[test]
    fn the_other_end_of_the_wire_is_down() {
        let mut fixture = Fixture::experiment();
        fixture.link("host", "veth3").up = false;
        fixture.link("ns_1", "veth2").carrier = false;
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("link-down", "host/veth3"));
        assert_eq!(fixture.explained().fix.commands(), ["ip link set veth3 up"]);
    }

    #[test]
    fn the_uplink_took_its_routes_along_when_it_went_down() {
        let mut fixture = Fixture::experiment();
        fixture.link("host", "eth2").up = false;
        fixture.netns("host").routes.retain(|r| r.next_hops.iter().all(|h| h.link != Some(LinkIndex(3))));
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "IpExt.InNoRoutes");
        assert_eq!(fixture.verdict().1, "host/eth2");
    }

    #[test]
    fn nothing_is_behind_the_uplink() {
        let mut fixture = Fixture::experiment();
        let uplink = fixture.link("host", "eth2");
        uplink.carrier = false;
        uplink.peer = Peer::Hidden(LinkIndex(9));
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("no-carrier", "host/eth2"));
        assert_eq!(object, "eth2 has no carrier");
    }

    #[test]
    fn loopback_is_down_for_a_packet_to_oneself() {
        let mut fixture = Fixture::experiment();
        fixture.observation.probe.destination = "1.1.1.2".parse().unwrap();
        fixture.link("ns_1", "lo").up = false;
        assert_eq!(fixture.verdict().1, "ns_1/lo");
    }

    #[test]
    fn a_question_that_ends_at_a_port_of_a_dead_bridge() {
        let mut fixture = Fixture::experiment();
        let mut bridge = fixture.link("host", "eth2").clone();
        bridge.index = LinkIndex(9);
        bridge.name = "br0".parse().unwrap();
        bridge.kind = crate::model::LinkKind::Bridge(crate::model::Bridge::default());
        bridge.up = false;
        fixture.netns("host").links.push(bridge);
        fixture.link("host", "veth3").master = Some(LinkIndex(9));
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.3", &["ns_1:veth2>", "host:veth3<"]);
        assert_eq!(fixture.verdict().1, "host/br0");
    }

    #[test]
    fn a_port_between_the_asker_and_the_next_hop_is_down() {
        let mut fixture = Fixture::lan();
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>", "host:veth3<"]);
        fixture.framed(("ns_1", "veth2"), None);
        assert_ne!(fixture.verdict().0, "link-down");
        fixture.link("ns_2", "veth2").up = false;
        assert_eq!(fixture.verdict().1, "ns_2/veth2", "the other end of the port");
        fixture.link("host", "veth4").up = false;
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("link-down", "host/veth4"));
    }
}
