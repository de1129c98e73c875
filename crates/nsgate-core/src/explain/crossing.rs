//! `bridge-filtered`, and `filter-drop` of the bridge family: a rule drops a frame between two ports of a bridge.
//!
//! The frame is that of the packet, or of the question for its next hop. Where `bridge-nf-call-iptables` is on, a bridge
//! hands IP packets to the IP filter too, which takes the bridge for the interface on both sides (linux
//! net/bridge/br_netfilter_hooks.c).

use super::resolution::Unresolved;
use super::{Cause, Loss, Place, Verdict, evidence, filter, mend, told};
use crate::filter::{Connection, Decision, Device, End, Layer, Subject, walk};
use crate::model::ruleset::Hook;
use crate::model::{Family, Link, LinkKind, Namespace};
use crate::trace::{Leg, Sight, Way};

/// A rule drops the frame on its way from one port to the other: one of the bridge family, or one of the IP filter.
pub(super) fn dropped(loss: &Loss<'_>) -> Option<Verdict> {
    let crossing = Crossing::of_packet(loss).or_else(|| Crossing::of_question(loss))?;
    let Crossing { netns, bridge, sight, .. } = crossing;
    let traced = || told::dropped_by_bridge(loss).filter(|_| sight.leg != Leg::Question);
    let (cause, object, decision) = if let Some(decision) = traced().or_else(|| crossing.by_bridge_family()) {
        (Cause::FilterDrop, filter::object(&decision), decision)
    } else {
        let switch = crossing.switch()?;
        (Cause::BridgeFiltered, switch.to_string(), crossing.by_ip_filter()?)
    };
    let summary =
        format!("a frame that crosses {} of {} is dropped by {}", bridge.name, netns.name, filter::sentence(&decision));
    let verdict = Verdict::new(cause, Place::all_of(&netns.name), object.clone(), summary)
        .shown_by(evidence::seen(loss.world, sight, " and was not seen again"))
        .shown_by(filter::of_rule(netns, &decision));
    Some(match cause {
        Cause::BridgeFiltered => {
            let switch = object.parse().ok()?;
            verdict
                .shown_by(evidence::sysctl(netns, &switch, "0", 1))
                .mended_by(mend::sysctl(netns, &switch, "0", 1))
                .advised("Bridged packets then pass no IP filter; some container engines count on it.")
        }
        _ => verdict.mended_by(mend::delete_rule(netns, &decision)),
    })
}

/// A frame on its way through a bridge.
struct Crossing<'a> {
    netns: &'a Namespace,
    bridge: &'a Link,
    /// The port that it came in by.
    port: &'a Link,
    /// The port behind which it should come out, where that can be told.
    out: Option<&'a Link>,
    /// It, as it came in.
    sight: &'a Sight,
}

impl<'a> Crossing<'a> {
    fn of_packet(loss: &Loss<'a>) -> Option<Self> {
        let port = loss.entered()?;
        let bridge = loss.netns.link(port.master?)?;
        let toward =
            |port: &&Link| loss.world.peer(loss.netns, port).is_some_and(|(_, end)| end.holds(loss.destination));
        let mut others = loss.netns.links.iter().filter(|l| l.master == port.master && l.index != port.index);
        Some(Self { netns: loss.netns, bridge, port, out: others.find(toward), sight: loss.last? })
    }

    /// The question for the next hop came in by the one port and did not leave by the other.
    fn of_question(loss: &Loss<'a>) -> Option<Self> {
        let unresolved = Unresolved::of(loss)?;
        let holder = unresolved.holders().next()?;
        let way = unresolved.segment.way_to(&holder.netns.name, holder.link.index);
        let seen = |netns: &Namespace, link: &Link, way| {
            let here = move |s: &&'a Sight| {
                s.netns == netns.name
                    && s.link == link.index
                    && s.way == way
                    && s.header.destination == unresolved.asked
            };
            loss.observation.journey.of(Leg::Question).find(here)
        };
        way.windows(3).find_map(|three| {
            let [port, bridge, out] = three else { return None };
            let sight = seen(port.netns, port.link, Way::In)?;
            let crosses = matches!(bridge.link.kind, LinkKind::Bridge(_))
                && port.link.master == Some(bridge.link.index)
                && out.link.master == Some(bridge.link.index)
                && seen(out.netns, out.link, Way::Out).is_none();
            crosses.then_some(Self {
                netns: bridge.netns,
                bridge: bridge.link,
                port: port.link,
                out: Some(out.link),
                sight,
            })
        })
    }

    fn by_bridge_family(&self) -> Option<Decision<'a>> {
        let (entered, leaves) = (Some(self.port), self.out);
        self.lost(Layer::Bridged, &[(Hook::Prerouting, entered, None), (Hook::Forward, entered, leaves)])
    }

    fn by_ip_filter(&self) -> Option<Decision<'a>> {
        let bridge = Some(self.bridge);
        let hooks =
            [(Hook::Prerouting, bridge, None), (Hook::Forward, bridge, bridge), (Hook::Postrouting, None, bridge)];
        self.lost(Layer::Ip, &hooks)
    }

    /// The switch that hands frames of this family to the IP filter, if it is on; ARP is not concerned.
    fn switch(&self) -> Option<&'static str> {
        let arp = self.sight.leg == Leg::Question && self.sight.header.protocol == 0;
        let switch = match Family::of(self.sight.header.destination) {
            Family::V4 => "net.bridge.bridge-nf-call-iptables",
            Family::V6 => "net.bridge.bridge-nf-call-ip6tables",
        };
        self.netns.sysctls.number(switch).filter(|value| *value == 1 && !arp).map(|_| switch)
    }

    /// Who drops it at these hooks, each with the interfaces that it has there.
    fn lost(&self, layer: Layer, hooks: &[(Hook, Option<&Link>, Option<&Link>)]) -> Option<Decision<'a>> {
        hooks.iter().find_map(|(hook, entered, leaves)| {
            let subject = Subject {
                layer,
                netns: self.netns,
                packet: self.sight.bytes.clone(),
                ethernet: self.sight.ethernet.clone(),
                entered: entered.map(Device::from),
                leaves: leaves.map(Device::from),
                mark: Some(0),
                connection: Connection::new_flow(),
            };
            match walk(&subject, *hook).end {
                End::Lost(decision) => Some(decision),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Echo, Icmp, Transport, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::trace::Leg;

    /// An echo request from one port of the bridge to the other, which did not come out there.
    fn crossing(rules: &str) -> Fixture {
        let mut fixture = Fixture::lan();
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>", "host:veth3<"]);
        fixture.framed(("ns_1", "veth2"), Some(("ns_2", "veth2")));
        let echo = Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload: &[] });
        for sight in &mut fixture.observation.journey.sights {
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        fixture.netns("host").ruleset = Ruleset::from_text(rules).unwrap();
        fixture.sysctl("host", "net.bridge.bridge-nf-call-iptables", "1");
        fixture
    }

    #[test]
    fn the_ip_filter_takes_the_bridge_for_the_interface_on_both_sides() {
        let drops = |rule: &str| {
            let chain = "chain f { type filter hook forward priority 0; policy drop;";
            crossing(&format!("table ip filter {{ {chain} {rule}\n }} }}"))
        };
        let mut fixture = drops("iifname \"br9\" accept");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("bridge-filtered", "host"));
        assert_eq!(object, "net.bridge.bridge-nf-call-iptables");
        fixture.sysctl("host", "net.bridge.bridge-nf-call-iptables", "0");
        assert_ne!(fixture.verdict().0, "bridge-filtered");
        let accepted = drops("iifname \"br0\" oifname \"br0\" accept");
        assert_ne!(accepted.verdict().0, "bridge-filtered", "neither of the ports is the way out");
    }

    #[test]
    fn what_is_dropped_before_the_bridge_decides_where_it_goes() {
        let rules = "table ip raw { chain p { type filter hook prerouting priority -300; iifname \"br0\" drop\n } }";
        assert_eq!(crossing(rules).verdict().0, "bridge-filtered");
    }

    #[test]
    fn a_question_for_a_neighbour_is_dropped_by_a_rule_of_the_bridge() {
        let mut fixture = Fixture::lan();
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>", "host:veth3<"]);
        fixture.framed(("ns_1", "veth2"), None);
        for sight in &mut fixture.observation.journey.sights {
            let (from, _) = sight.header.macs.unwrap();
            sight.ethernet = Some([&[255; 6], &from.0[..], &[8, 6]].concat());
            sight.bytes = vec![0, 1, 8, 0, 6, 4, 0, 1];
        }
        let rules = "table bridge b { chain f { type filter hook forward priority 0; ether type arp drop\n } }";
        fixture.netns("host").ruleset = Ruleset::from_text(rules).unwrap();
        fixture.sysctl("host", "net.bridge.bridge-nf-call-iptables", "1");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("filter-drop", "host"));
        assert!(object.contains("bridge b f: ether type arp drop"), "{object}");
        let ours = &mut fixture;
        ours.seen(Leg::Question, "1.1.1.2", "1.1.1.4", &["host:veth4>"]);
        assert_ne!(ours.verdict().0, "filter-drop", "it did come out");
    }
}
