//! What becomes of a tunnel's packets: a probe that went into a tunnel and did not come out of it was lost outside.
//!
//! The packet that carries it is a datagram of its own, with addresses of its own. It is asked about like any other packet
//! that is on its way; that nobody answers it is as it should be.

use super::tunnel::entrance;
use super::{Evidence, EvidenceKind, Loss, ORDER, Stage, Verdict, Whose::AnyPacket, evidence};

/// The packet that carries the probe is lost.
pub(super) fn lost(loss: &Loss<'_>) -> Option<Verdict> {
    let Stage::Left(link) = loss.stage else { return None };
    let (tunnel, unsent) = entrance(loss, link)?;
    let sight = loss.last?;
    let seen = loss.observation.of_carrier(sight);
    let outside = seen.or_else(|| Some(loss.observation.of_unsent_carrier(loss.here(), unsent?)))?;
    let trail = Loss::trail(loss.world, &outside);
    let lost = trail.first()?;
    let verdict = ORDER.iter().filter(|(whose, _)| *whose == AnyPacket).find_map(|(_, check)| check(lost))?;
    let carried = Evidence::new(
        EvidenceKind::Link,
        loss.here(),
        format!("{} sends what it carries to {} in UDP packets", tunnel.name, outside.probe.destination),
    );
    let summary = format!("outside the tunnel {}, {}", tunnel.name, verdict.summary);
    Some(Verdict { summary, ..verdict }.shown_by(evidence::seen(loss.world, sight, "")).shown_by(carried))
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Transport, Udp, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::model::{ForwardingEntry, ForwardingOrigin, LinkIndex, Mac};
    use crate::trace::{Leg, Sight};

    /// A request that went into the tunnel of `ns_1`; the packet that carries it was seen at these places.
    fn carried(places: &[&str]) -> Fixture {
        let mut fixture = Fixture::overlay();
        fixture.seen(Leg::Request, "10.200.0.2", "10.200.0.1", &["ns_1:vxlan10>"]);
        fixture.framed(("ns_1", "vxlan10"), Some(("host", "vxlan10")));
        fixture.netns("ns_1").forwarding.push(ForwardingEntry {
            link: LinkIndex(9),
            mac: Mac([2, 0, 0, 0, 10, 1]),
            bridge: None,
            vlan: None,
            remote: Some("1.1.1.3".parse().unwrap()),
            port: None,
            vni: None,
            via: None,
            nexthop_object: None,
            origin: ForwardingOrigin::Permanent,
        });
        let udp = Udp { source_port: 50000, destination_port: 4789, payload: &[0; 60] };
        let outer = build::Outer::new("1.1.1.2".parse().unwrap(), "1.1.1.3".parse().unwrap());
        let bytes = build::ip(&outer, &Transport::Udp(udp)).unwrap();
        let before = fixture.observation.journey.sights.len();
        fixture.seen(Leg::Request, "10.200.0.2", "10.200.0.1", places);
        let outside = fixture.observation.journey.sights.split_off(before);
        let carrier = |sight| Sight { bytes: bytes.clone(), tunnel: Some("VXLAN 10".into()), ..sight };
        fixture.observation.journey.carried = outside.into_iter().map(carrier).collect();
        fixture
    }

    fn filtered(fixture: &mut Fixture, netns: &str, hook: &str) {
        let chain = format!("chain c {{ type filter hook {hook} priority 0; policy accept; udp dport 4789 drop\n }}");
        fixture.netns(netns).ruleset = Ruleset::from_text(&format!("table inet fw {{ {chain} }}")).unwrap();
    }

    #[test]
    fn the_other_end_does_not_let_the_tunnel_in() {
        let mut fixture = carried(&["ns_1:veth2>", "host:veth3<"]);
        assert_ne!(fixture.verdict().0, "filter-drop");
        filtered(&mut fixture, "host", "input");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("filter-drop", "host"));
        assert!(object.contains("inet fw c: udp dport 4789 drop"), "{object}");
        assert!(fixture.explained().summary.starts_with("outside the tunnel vxlan10, "));
    }

    #[test]
    fn this_end_does_not_let_it_out() {
        let mut fixture = carried(&[]);
        filtered(&mut fixture, "ns_1", "output");
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("filter-drop", "ns_1"));
    }

    #[test]
    fn nobody_answers_for_the_next_hop_outside() {
        let mut fixture = carried(&[]);
        fixture.link("host", "veth3").up = false;
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.3", &["ns_1:veth2>"]);
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("link-down", "host/veth3"));
    }
}
