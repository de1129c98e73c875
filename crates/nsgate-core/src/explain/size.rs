//! `mtu-exceeded`: the packet is larger than an MTU on its way.
//!
//! A router that may not cut it says so (ICMP 3/4, packet too big); a wire's other end or a bridge port just drops it
//! (linux net/core/dev.c is_skb_forwardable, net/bridge/br_forward.c), without a counter that names the reason.

use std::fmt::Write as _;

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, filter, mend, too_big};
use crate::model::{Link, LinkKind, Namespace};
use crate::plan::Plan;
use crate::trace::{Ending, Header, Leg, Sight};

/// The packet is larger than the MTU of the next interface.
pub(super) fn exceeded(loss: &Loss<'_>) -> Option<Verdict> {
    if let Stage::Made = loss.stage {
        return refused_to_sender(loss);
    }
    let length = length(loss)?;
    let (netns, link) = match loss.stage {
        Stage::Left(link) => loss.world.peer(loss.netns, link).filter(|_| link.kind == LinkKind::Veth)?,
        Stage::Entered(port) if port.master.is_some() => (loss.netns, port_too_small(loss, port, length)?),
        Stage::Entered(_) => (loss.netns, loss.way_out().filter(|_| told_too_big(loss))?),
        Stage::Made => return None,
    };
    if length <= link.mtu {
        return None;
    }
    let eaten = too_big::eaten(loss, link);
    let mut object = format!("mtu {} of {}", link.mtu, link.name);
    let mut summary =
        format!("the packet has {length} bytes, and {} of {} takes no more than {}", link.name, netns.name, link.mtu);
    if let Some(eaten) = &eaten {
        let _ = write!(object, "; its sender is not told: {}", eaten.object());
        let _ = write!(summary, "; {} keeps that from its sender", eaten.netns.name);
    }
    let verdict = Verdict::new(Cause::MtuExceeded, Place::at(&netns.name, &link.name), object, summary)
        .shown_by(evidence::seen(loss.world, loss.last?, " and was not seen again"))
        .shown_by(
            Evidence::new(EvidenceKind::Link, &netns.name, format!("the MTU of {} is {}", link.name, link.mtu))
                .differs(format!("at least {length}"), link.mtu.to_string()),
        );
    Some(match eaten {
        Some(eaten) => verdict
            .shown_by(filter::of_rule(eaten.netns, &eaten.decision))
            .mended_by(eaten.mend.plan)
            .undone_by(eaten.mend.undo)
            .advised("This lets the ICMP errors pass that tell senders how large their packets may be."),
        None => verdict.mended_by(larger_or_smaller(loss, netns, link, length)),
    })
}

/// The sender's own kernel would not send it whole, and may not cut it.
fn refused_to_sender(loss: &Loss<'_>) -> Option<Verdict> {
    /// EMSGSIZE.
    const TOO_LONG: i32 = 90;
    // The header of an echo or a datagram, and the shortest one of IP.
    let headers = if loss.destination.is_ipv4() { 8 + 20 } else { 8 + 40 };
    let (netns, size) = (loss.netns, loss.observation.probe.size);
    let too_long = |link: &&Link| loss.refused_with() == Some(TOO_LONG) && size.saturating_add(headers) > link.mtu;
    let link = loss.way_out().filter(too_long)?;
    let object = format!("mtu {} of {}", link.mtu, link.name);
    let summary = format!(
        "a probe that carries {size} bytes and may not be cut does not fit into {} of {}, which takes packets of {}",
        link.name, netns.name, link.mtu
    );
    Some(
        Verdict::new(Cause::MtuExceeded, Place::at(&netns.name, &link.name), object, summary)
            .shown_by(Evidence::new(EvidenceKind::Sender, &netns.name, evidence::sender_words(loss)?))
            .shown_by(Evidence::new(
                EvidenceKind::Link,
                &netns.name,
                format!("the MTU of {} is {}", link.name, link.mtu),
            ))
            .advised("Send less at once, or let the packet be cut (without --dont-fragment)."),
    )
}

/// The packet's length. What an interface is to cut later passes in one piece that is larger than any of its segments;
/// these are as large as the smallest interface lets them be that the piece has passed.
fn length(loss: &Loss<'_>) -> Option<u32> {
    let length = loss.header()?.length;
    let mtu = |sight: &Sight| Some(loss.world.namespace(&sight.netns)?.link(sight.link)?.mtu);
    let passed = loss.observation.journey.of(loss.leg).filter_map(mtu).filter(|_| loss.header().is_some_and(is_stream));
    Some(passed.fold(length, u32::min))
}

fn is_stream(header: &Header) -> bool {
    header.segment.is_some_and(|segment| segment.length > 0)
}

/// A larger MTU at both ends of a wire that can be seen whole; otherwise smaller packets from their sender, for nobody
/// knows what lies behind the interface.
fn larger_or_smaller(loss: &Loss<'_>, netns: &Namespace, link: &Link, length: u32) -> Plan {
    let wanted = usual_mtu(loss).max(length);
    let Some((there, peer)) = loss.world.peer(netns, link) else {
        let sender = loss.observation.journey.of(loss.leg).next();
        let first = sender.and_then(|s| loss.world.namespace(&s.netns)).zip(sender);
        return first.and_then(|(n, s)| Some(mend::mtu(n, n.link(s.link)?, link.mtu))).unwrap_or_default();
    };
    let mut plan = mend::mtu(netns, link, wanted);
    if peer.mtu < wanted {
        plan.steps.extend(mend::mtu(there, peer, wanted).steps);
    }
    plan
}

/// The MTU of the interface that the packet left by first: what its sender thinks the way can carry.
fn usual_mtu(loss: &Loss<'_>) -> u32 {
    let first = loss.observation.journey.of(loss.leg).next();
    first.and_then(|s| loss.world.namespace(&s.netns)?.link(s.link)).map_or(0, |l| l.mtu)
}

/// The port of a bridge that the packet should leave by, and is too large for.
fn port_too_small<'a>(loss: &Loss<'a>, entered: &Link, length: u32) -> Option<&'a Link> {
    let destination = loss.header().and_then(|header| header.macs).map(|(_, to)| to);
    let known = |port: &Link| {
        destination.is_some_and(|mac| loss.netns.forwarding.iter().any(|e| e.mac == mac && e.link == port.index))
    };
    let dropped = |port: &Link| loss.moved(&format!("link.{}.tx_dropped", port.name)) > 0;
    let toward = |port: &&Link| {
        let segment = loss.world.peer(loss.netns, port);
        segment.is_some_and(|(_, end)| end.holds(loss.destination)) || known(port) || dropped(port)
    };
    let ports = |n: &'a Namespace| n.links.iter().filter(|l| l.master == entered.master && l.index != entered.index);
    ports(loss.netns).filter(toward).find(|port| port.mtu < length)
}

/// Whether somebody said that the packet is too big.
fn told_too_big(loss: &Loss<'_>) -> bool {
    let fits = |icmp_type: u8, code: u8, v4: bool| if v4 { (icmp_type, code) == (3, 4) } else { icmp_type == 2 };
    let ended = matches!(&loss.observation.ending, Ending::IcmpError { from, icmp_type, code, .. } if fits(*icmp_type, *code, from.is_ipv4()));
    let refused = matches!(&loss.observation.ending, Ending::Refused { errno: 90, .. });
    ended
        || refused
        || loss.moved("Ip.FragFails") > 0
        || loss.moved("Ip6.FragFails") > 0
        || loss
            .observation
            .journey
            .of(Leg::Error)
            .any(|e| e.header.text.contains("too big") || e.header.text.contains("fragmentation"))
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Tcp, TcpFlags, Transport, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::model::{ForwardingEntry, ForwardingOrigin, LinkKind, Peer};
    use crate::trace::{Ending, Leg, ProbeKind, Segment};

    /// A connection whose data came to the gateway and is too large for its uplink.
    fn blocked(mut fixture: Fixture, length: u32) -> Fixture {
        fixture.link("host", "eth2").mtu = 1400;
        let (source, destination) =
            (fixture.observation.identity.unwrap().source, fixture.observation.probe.destination);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<", "ns_1:veth2>", "host:veth3<"]);
        let tcp = Tcp {
            source_port: 40000,
            destination_port: 80,
            sequence: 1,
            acknowledgement: 1,
            flags: TcpFlags::ACK,
            window: 100,
            options: &[],
            payload: &[7; 1000],
        };
        let bytes = build::ip(&build::Outer::new(source.ip(), destination), &Transport::Tcp(tcp)).unwrap();
        for (sight, offset) in fixture.observation.journey.sights.iter_mut().zip([0, 0, 1400, 1400]) {
            sight.bytes = bytes.clone();
            sight.header.length = length;
            sight.header.segment = Some(Segment { offset, length: 1400, acknowledged: 0 });
        }
        fixture.observation.probe.size = 2800;
        fixture.observation.ending = Ending::Unanswered { acknowledged: 0, received: 0 };
        let counter = if destination.is_ipv4() { "Ip.FragFails" } else { "Ip6.FragFails" };
        fixture.counted("host", counter);
        fixture
    }

    fn connection() -> Fixture {
        Fixture::experiment().probing(ProbeKind::Tcp(80))
    }

    fn filtered(fixture: &mut Fixture, netns: &str, text: &str) {
        fixture.netns(netns).ruleset = Ruleset::from_text(text).unwrap();
    }

    #[test]
    fn data_that_is_lost_after_a_good_opening() {
        let (cause, place, object) = blocked(connection(), 1500).verdict();
        assert_eq!(
            (cause.as_str(), place.as_str(), object.as_str()),
            ("mtu-exceeded", "host/eth2", "mtu 1400 of eth2")
        );
        let evidence = blocked(connection(), 1500).explained().evidence;
        let stood = "the connection stood; 0 of the 2800 bytes sent were acknowledged, 0 came back";
        assert_eq!(evidence.last().unwrap().text, stood);
    }

    #[test]
    fn a_large_piece_is_as_large_as_its_segments() {
        let mut fixture = blocked(connection(), 2840);
        assert_eq!(fixture.verdict().0, "mtu-exceeded");
        fixture.link("ns_1", "veth2").mtu = 1400;
        assert_ne!(fixture.verdict().0, "mtu-exceeded");
    }

    #[test]
    fn who_keeps_the_error_from_the_sender_is_named_in_both_families() {
        let rule = "icmp type destination-unreachable drop";
        let mut fixture = blocked(connection(), 1500);
        let chain = "chain output { type filter hook output priority 0; policy accept;";
        filtered(&mut fixture, "host", &format!("table ip filter {{ {chain} {rule}\n }} }}"));
        assert!(fixture.verdict().2.contains("ip filter output: icmp type destination-unreachable drop"));
        let fix = fixture.explained().fix.commands().join("; ");
        assert!(fix.contains("icmp type destination-unreachable accept") && !fix.contains("established"), "{fix}");

        let mut fixture = blocked(Fixture::experiment6().probing(ProbeKind::Tcp(80)), 1500);
        let chain = "chain input { type filter hook input priority 0; policy accept;";
        filtered(&mut fixture, "ns_1", &format!("table inet f {{ {chain} icmpv6 type packet-too-big drop\n }} }}"));
        let verdict = fixture.explained();
        assert_eq!((verdict.place.netns.as_str(), verdict.cause.code()), ("host", "mtu-exceeded"));
        assert!(verdict.object.contains("inet f input: icmpv6 type packet-too-big drop"), "{}", verdict.object);
        let fix = verdict.fix.commands().join("; ");
        assert!(
            fix.starts_with("ip netns exec ns_1 nft") && fix.contains("icmpv6 type packet-too-big accept"),
            "{fix}"
        );
    }

    #[test]
    fn both_ends_of_a_wire_are_made_larger_or_else_the_sender_sends_less() {
        let mut fixture = blocked(connection(), 1500);
        fixture.link("world", "w0").mtu = 1400;
        let commands = fixture.explained().fix.commands();
        assert_eq!(commands, ["ip link set eth2 mtu 1500", "ip -n world link set w0 mtu 1500"]);
        let uplink = fixture.link("host", "eth2");
        (uplink.kind, uplink.peer) = (LinkKind::Physical, Peer::None);
        assert_eq!(fixture.explained().fix.commands(), ["ip -n ns_1 link set veth2 mtu 1400"]);
    }

    #[test]
    fn a_port_of_a_bridge_behind_which_nobody_is_seen() {
        let mut fixture = Fixture::lan();
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>", "host:veth3<"]);
        fixture.framed(("ns_1", "veth2"), Some(("ns_2", "veth2")));
        for sight in &mut fixture.observation.journey.sights {
            sight.header.length = 1500;
        }
        let mac = fixture.link("ns_2", "veth2").mac.unwrap();
        let port = fixture.link("host", "veth4");
        let (link, kind) = (port.index, LinkKind::Vxlan { vni: 7, remote: None, local: None, port: 4789 });
        (port.mtu, port.kind, port.peer) = (1450, kind, Peer::None);
        fixture.world.namespaces.retain(|netns| netns.name.as_str() != "ns_2");
        assert_ne!(fixture.verdict().0, "mtu-exceeded", "nothing says that it is behind that port");
        fixture.netns("host").forwarding.push(ForwardingEntry {
            link,
            mac,
            bridge: None,
            vlan: None,
            remote: Some("10.9.9.9".parse().unwrap()),
            port: None,
            vni: None,
            via: None,
            nexthop_object: None,
            origin: ForwardingOrigin::Permanent,
        });
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("mtu-exceeded", "host/veth4"));
        assert_eq!(object, "mtu 1450 of veth4");
    }

    #[test]
    fn what_the_senders_own_interface_does_not_take() {
        for mut fixture in [Fixture::experiment(), Fixture::experiment6()] {
            let words = "Message too long".to_owned();
            fixture.observation.ending = Ending::Refused { operation: "send", errno: 90, words };
            fixture.observation.probe.size = 1473;
            let (cause, place, object) = fixture.verdict();
            assert_eq!((cause.as_str(), place.as_str()), ("mtu-exceeded", "ns_1/veth2"));
            assert_eq!(object, "mtu 1500 of veth2");
            fixture.observation.probe.size = 1400;
            assert_ne!(fixture.verdict().0, "mtu-exceeded", "it would fit");
        }
    }

    #[test]
    fn what_fits_is_not_too_large() {
        let mut fixture = Fixture::experiment();
        fixture.link("host", "eth2").mtu = 1400;
        fixture.seen(Leg::Request, "1.1.1.2", "114.114.114.114", &["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "Ip.FragFails");
        assert_ne!(fixture.verdict().0, "mtu-exceeded");
    }
}
