//! `bridge-port-blocked`: a bridge keeps two of its ports, or what should be one, apart.

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::segment::{Place as At, Segment};
use crate::model::{
    Bridge, BridgePort, Family, ForwardingEntry, ForwardingOrigin, Link, LinkKind, Mac, Namespace, PortState,
};
use crate::plan::{LinkSetting, Plan};
use crate::trace::{Leg, Sight, Way};

/// The interface that leads to the destination was never put into the bridge.
pub(super) fn detached(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss)?;
    if unresolved.holders().next().is_some() {
        return None;
    }
    let bridge = unresolved.segment.places.iter().find(|p| matches!(p.link.kind, LinkKind::Bridge(_)))?;
    let outer = |netns: &Namespace| {
        let held = |l: &&Link| l.holds(unresolved.asked);
        netns.links.iter().filter(held).find_map(|l| loss.world.peer(netns, l))
    };
    let alone = |l: &Link| l.master.is_none() && l.addresses.iter().all(|a| a.net.addr().is_ipv6());
    let (netns, port) =
        loss.world.namespaces.iter().filter_map(outer).find(|(n, l)| n.name == bridge.netns.name && alone(l))?;
    let summary = format!(
        "{} of {}, which leads to {}, is no port of {}",
        port.name, netns.name, unresolved.asked, bridge.link.name
    );
    let mut verdict = Verdict::new(
        Cause::BridgePortBlocked,
        Place::at(&netns.name, &port.name),
        format!("{} is not in {}", port.name, bridge.link.name),
        summary,
    )
    .shown_by(
        Evidence::new(EvidenceKind::Link, &netns.name, format!("{} has no master", port.name))
            .differs(bridge.link.name.to_string(), "none"),
    );
    if let Some(question) = unresolved.question {
        verdict = verdict.shown_by(evidence::seen(loss.world, question, " without a reply"));
    }
    let setting = LinkSetting::Master;
    Some(verdict.mended_by(mend::set_link(netns, port, setting(Some(bridge.link.name.clone())), setting(None))))
}

/// A port, or the database of who is behind which, keeps a frame from one port to another. The same for interfaces that
/// share a lower device, where their mode keeps them apart.
pub(super) fn blocked(loss: &Loss<'_>) -> Option<Verdict> {
    let frame = Frame::of(loss)?;
    let mut unpassed = (0..frame.way.len()).filter(|at| !frame.passed(loss, *at));
    let fault =
        unpassed.find_map(|at| crossing(&frame, at).and_then(|c| c.fault(&frame)).or_else(|| apart(&frame, at)))?;
    let summary = format!("{} keeps back what {} sent: {}", fault.netns.name, frame.sender(), fault.why);
    let evidence = Evidence::new(EvidenceKind::Link, &fault.netns.name, fault.why.clone());
    Some(
        Verdict::new(Cause::BridgePortBlocked, Place::at(&fault.netns.name, &fault.link.name), fault.object, summary)
            .shown_by(evidence.differs(fault.expected, fault.found))
            .shown_by(evidence::seen(loss.world, frame.sight, " and did not come out at the other side"))
            .mended_by(fault.fix)
            .advised(fault.advice),
    )
}

/// A frame that should have crossed a segment.
struct Frame<'a> {
    /// Its last sight.
    sight: &'a Sight,
    /// Who sent it.
    source: Option<Mac>,
    /// Whom it is for; none: everybody.
    destination: Option<Mac>,
    /// What it should have passed, from where it was seen to whom it is for.
    way: Vec<At<'a>>,
}

impl<'a> Frame<'a> {
    /// The frame that was lost: the packet's, or that of the question for its next hop, or of the reply.
    fn of(loss: &Loss<'a>) -> Option<Self> {
        if let Some(unresolved) = Unresolved::of(loss) {
            let holder = unresolved.holders().next()?;
            let mut way = unresolved.segment.way_to(&holder.netns.name, holder.link.index);
            let sight = unresolved.question?;
            let (source, destination) = sight.header.macs?;
            let frame =
                Self { sight, source: Some(source), destination: Some(destination).filter(|m| !m.is_group()), way };
            let Some(heard) = unresolved.heard_at(loss, holder) else { return Some(frame) };
            way = frame.way.into_iter().rev().collect();
            return Some(Self { sight: heard, source: holder.link.mac, destination: Some(source), way });
        }
        let sight = loss.last.filter(|_| !matches!(loss.stage, Stage::Made))?;
        let (source, destination) = sight.header.macs?;
        let segment = Segment::of(loss.world, loss.netns, loss.netns.link(sight.link)?);
        let is_end = |p: &&At<'a>| p.link.mac == Some(destination) && p.link.master.is_none();
        let end = segment.places.iter().find(is_end).copied()?;
        let way = segment.way_to(&end.netns.name, end.link.index);
        Some(Self { sight, source: Some(source), destination: Some(destination), way })
    }

    /// Whether the frame was seen to leave the place behind this one.
    fn passed(&self, loss: &Loss<'_>, at: usize) -> bool {
        let Some(next) = self.way.get(at + 1) else { return false };
        let same = |s: &&Sight| {
            s.leg == self.sight.leg
                && (s.netns == next.netns.name && s.link == next.link.index && s.way == Way::Out)
                && s.header.destination == self.sight.header.destination
        };
        loss.observation.journey.sights.iter().any(|s| same(&s))
    }

    /// The name of whoever sent it, for a sentence.
    fn sender(&self) -> String {
        self.way.first().map_or_else(String::new, |place| format!("{} of {}", place.link.name, place.netns.name))
    }
}

/// What is wrong, and what mends it.
struct Fault<'a> {
    netns: &'a Namespace,
    link: &'a Link,
    object: String,
    why: String,
    expected: String,
    found: String,
    fix: Plan,
    advice: String,
}

/// A frame's way through one bridge.
struct Crossing<'a> {
    netns: &'a Namespace,
    bridge: &'a Link,
    kind: Bridge,
    /// The port it comes in by; none where the bridge itself sends it.
    entered: Option<(&'a Link, &'a BridgePort)>,
    /// The port it leaves by; none where it is for the bridge itself.
    left: Option<(&'a Link, &'a BridgePort)>,
}

/// The way through the bridge that stands at this place of the frame's way, if it is one.
fn crossing<'a>(frame: &Frame<'a>, at: usize) -> Option<Crossing<'a>> {
    let place = frame.way.get(at)?;
    let LinkKind::Bridge(kind) = place.link.kind else { return None };
    let port = |place: Option<&At<'a>>| place.and_then(|p| Some((p.link, p.link.port.as_ref()?)));
    let entered = port(at.checked_sub(1).and_then(|before| frame.way.get(before)));
    Some(Crossing { netns: place.netns, bridge: place.link, kind, entered, left: port(frame.way.get(at + 1)) })
}

impl<'a> Crossing<'a> {
    fn fault(&self, frame: &Frame<'_>) -> Option<Fault<'a>> {
        let ports = [self.entered, self.left];
        ports
            .into_iter()
            .flatten()
            .find_map(|(link, port)| self.state(link, port))
            .or_else(|| self.isolated())
            .or_else(|| self.locked(frame))
            .or_else(|| self.vlan())
            .or_else(|| self.led_elsewhere(frame))
            .or_else(|| self.not_flooded(frame))
    }

    /// A fault of a port, still without a mend.
    fn fault_of(&self, link: &'a Link, object: String, why: String) -> Fault<'a> {
        Fault {
            netns: self.netns,
            link,
            object,
            why,
            expected: String::new(),
            found: String::new(),
            fix: Plan::default(),
            advice: String::new(),
        }
    }

    fn state(&self, link: &'a Link, port: &BridgePort) -> Option<Fault<'a>> {
        if port.state == PortState::Forwarding {
            return None;
        }
        let (state, bridge) = (port.state.name(), &self.bridge.name);
        let by = if self.kind.spanning_tree { " (stp_state 1)" } else { "" };
        let object = format!("port {} of {bridge}, state {state}{by}", link.name);
        let why = format!("port {} of {bridge} is {state}{by}", link.name);
        let forwards = LinkSetting::State(PortState::Forwarding);
        let mut fix = Plan::default();
        if self.kind.spanning_tree {
            let setting = LinkSetting::SpanningTree;
            fix.steps.extend(mend::set_link(self.netns, self.bridge, setting(false), setting(true)).steps);
        }
        fix.steps.extend(mend::set_link(self.netns, link, forwards, LinkSetting::State(port.state)).steps);
        let advice = match (self.kind.spanning_tree, port.state) {
            (true, PortState::Listening | PortState::Learning) => {
                "The port forwards by itself after twice the bridge's forward_delay: waiting is a mend too. Without the \
                 spanning tree protocol nothing keeps a loop between bridges from filling the network."
            }
            (true, _) => {
                "The protocol blocks a port where it sees a loop: look for a second way between the bridges before you \
                 switch it off."
            }
            (false, _) => "Nothing but an operator or a daemon puts a port into this state; find out who did.",
        };
        let fault = self.fault_of(link, object, why);
        Some(Fault { expected: "forwarding".into(), found: state.into(), fix, advice: advice.into(), ..fault })
    }

    fn isolated(&self) -> Option<Fault<'a>> {
        let ((entered, from), (left, to)) = (self.entered?, self.left?);
        if !from.isolated || !to.isolated {
            return None;
        }
        let object = format!("ports {} and {} of {}, isolated", entered.name, left.name, self.bridge.name);
        let why = format!("{} and {} are both isolated: they reach only ports that are not", entered.name, left.name);
        let setting = LinkSetting::Isolated;
        let fix = mend::set_link(self.netns, left, setting(false), setting(true));
        let advice = format!("{} is then reached by every port of {}.", left.name, self.bridge.name);
        let fault = self.fault_of(left, object, why);
        Some(Fault { expected: "one of them not isolated".into(), found: "both isolated".into(), fix, advice, ..fault })
    }

    fn locked(&self, frame: &Frame<'_>) -> Option<Fault<'a>> {
        let (link, port) = self.entered?;
        let source = frame.source?;
        let known = self.entries(source).any(|e| e.link == link.index && e.origin != ForwardingOrigin::Permanent);
        if !port.locked || known {
            return None;
        }
        let object = format!("port {} of {}, locked", link.name, self.bridge.name);
        let why = format!("port {} is locked and has no forwarding entry for {source}", link.name);
        let advice = format!("Let {source} in: bridge fdb add {source} dev {} master static.", link.name);
        let fix = mend::add_forwarding(self.netns, link, source, None);
        let fault = self.fault_of(link, object, why);
        Some(Fault { expected: format!("an entry for {source}"), found: "none".into(), fix, advice, ..fault })
    }

    /// Frames without a tag belong to the VLAN of the port they come in by, and leave only by ports that are in it.
    fn vlan(&self) -> Option<Fault<'a>> {
        if !self.kind.vlan_filtering {
            return None;
        }
        let (link, port) = self.entered?;
        let bridge = &self.bridge.name;
        let Some(vlan) = port.pvid() else {
            let object = format!("port {} of {bridge}, no VLAN for untagged frames", link.name);
            let why = format!("port {} of {bridge} refuses frames without a tag: it has no PVID", link.name);
            let advice = format!("Give it one: bridge vlan add dev {} vid NUMBER pvid untagged.", link.name);
            let fault = self.fault_of(link, object, why);
            return Some(Fault { expected: "a PVID".into(), found: "none".into(), advice, ..fault });
        };
        let (link, port) = self.left?;
        if port.in_vlan(vlan) {
            return None;
        }
        let object = format!("port {} of {bridge}, not in VLAN {vlan}", link.name);
        let why = format!("the frame belongs to VLAN {vlan}, and port {} of {bridge} is not in it", link.name);
        let advice = format!("Put it in: bridge vlan add dev {} vid {vlan} pvid untagged.", link.name);
        let fault = self.fault_of(link, object, why);
        Some(Fault { expected: format!("VLAN {vlan}"), found: "other VLANs".into(), advice, ..fault })
    }

    /// An entry that an operator made sends the frame to another port.
    fn led_elsewhere(&self, frame: &Frame<'_>) -> Option<Fault<'a>> {
        let destination = frame.destination?;
        let (left, _) = self.left?;
        let entry = self.entries(destination).find(|e| e.link != left.index)?;
        if self.entries(destination).any(|e| e.link == left.index) {
            return None;
        }
        let wrong = self.netns.link(entry.link)?;
        let object = format!("forwarding entry {destination} of {}, at {}", self.bridge.name, wrong.name);
        let why =
            format!("{} has {destination} behind {}, and it is behind {}", self.bridge.name, wrong.name, left.name);
        let fix = match entry.origin {
            ForwardingOrigin::Permanent => Plan::default(),
            _ => mend::delete_forwarding(self.netns, wrong, entry),
        };
        let advice = "The bridge then learns anew who is where.".into();
        let fault = self.fault_of(wrong, object, why);
        Some(Fault { expected: left.name.to_string(), found: wrong.name.to_string(), fix, advice, ..fault })
    }

    /// The bridge does not know who is where, and the port is not to get what is for somebody unknown.
    fn not_flooded(&self, frame: &Frame<'_>) -> Option<Fault<'a>> {
        let (link, port) = self.left?;
        let (flag, flooded) = match frame.destination {
            Some(destination) if self.entries(destination).next().is_some() => return None,
            Some(_) => ("flood", port.unicast_flood),
            None if frame.family() == Family::V4 => ("bcast_flood", port.broadcast_flood),
            None => ("mcast_flood", port.multicast_flood),
        };
        let suppressed = port.neighbour_suppress && frame.sight.leg == Leg::Question;
        let flag = if flooded && suppressed { "neigh_suppress" } else { flag };
        if flooded && !suppressed {
            return None;
        }
        let value = if flooded { "on" } else { "off" };
        let object = format!("port {} of {}, {flag} {value}", link.name, self.bridge.name);
        let why =
            format!("port {} of {} has {flag} {value}, and nothing says who is behind it", link.name, self.bridge.name);
        let other = if flooded { "off" } else { "on" };
        let advice = format!("bridge link set dev {} {flag} {other}", link.name);
        let fault = self.fault_of(link, object, why);
        Some(Fault { expected: other.into(), found: value.into(), advice, ..fault })
    }

    /// What the bridge's database has for an address.
    fn entries(&self, mac: Mac) -> impl Iterator<Item = &'a ForwardingEntry> {
        let (netns, bridge) = (self.netns, self.bridge.index);
        netns.forwarding.iter().filter(move |e| e.bridge == Some(bridge) && e.mac == mac)
    }
}

impl Frame<'_> {
    fn family(&self) -> Family {
        Family::of(self.sight.header.destination)
    }
}

/// Interfaces stacked on one lower device that their mode keeps apart, from each other or from that device.
fn apart<'a>(frame: &Frame<'a>, at: usize) -> Option<Fault<'a>> {
    let mode = |place: &At<'a>| match &place.link.kind {
        LinkKind::Macvlan { mode } => Some(mode.clone()),
        _ => None,
    };
    let stacked = |place: Option<&At<'a>>| place.and_then(|p| Some((*p, mode(p)?)));
    let lower = frame.way.get(at).filter(|p| mode(p).is_none())?;
    let before = stacked(at.checked_sub(1).and_then(|before| frame.way.get(before)));
    let after = stacked(frame.way.get(at + 1));
    let (place, mode) = match (before, after) {
        (Some(one), Some(other)) => [one, other].into_iter().find(|(_, mode)| mode != "bridge")?,
        (Some(one), None) if at + 1 == frame.way.len() => one,
        (None, Some(other)) if at == 0 => other,
        _ => return None,
    };
    let link = place.link;
    let why = format!("{} is a macvlan in mode {mode} on {}", link.name, lower.link.name);
    Some(Fault {
        netns: place.netns,
        link,
        object: format!("macvlan {} on {}, mode {mode}", link.name, lower.link.name),
        why,
        expected: "mode bridge, towards another macvlan".into(),
        found: format!("mode {mode}"),
        fix: Plan::default(),
        advice: "Macvlan interfaces of one lower device reach each other in mode bridge only, and never the device \
                 itself: give whoever uses that device a macvlan of its own, or use a bridge."
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{BridgePort, ForwardingEntry, ForwardingOrigin, LinkKind, PortState, PortVlan};
    use crate::trace::Leg;

    /// A question from `ns_1` for `ns_2` that came in at the one port and did not leave by the other.
    fn unanswered() -> Fixture {
        let mut fixture = Fixture::lan();
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>", "host:veth3<"]);
        fixture.framed(("ns_1", "veth2"), None);
        fixture
    }

    fn port<'a>(fixture: &'a mut Fixture, link: &str) -> &'a mut BridgePort {
        fixture.link("host", link).port.as_mut().unwrap()
    }

    fn bridge(fixture: &mut Fixture) -> &mut crate::model::Bridge {
        match &mut fixture.link("host", "br0").kind {
            LinkKind::Bridge(bridge) => bridge,
            other => panic!("{other:?}"),
        }
    }

    fn blames(fixture: &Fixture, place: &str, object: &str) {
        let found = fixture.verdict();
        assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), ("bridge-port-blocked", place, object));
    }

    #[test]
    fn a_healthy_bridge_is_not_blamed() {
        assert_ne!(unanswered().verdict().0, "bridge-port-blocked");
    }

    #[test]
    fn isolated_ports_do_not_reach_each_other() {
        let mut fixture = unanswered();
        port(&mut fixture, "veth4").isolated = true;
        assert_ne!(fixture.verdict().0, "bridge-port-blocked");
        port(&mut fixture, "veth3").isolated = true;
        blames(&fixture, "host/veth4", "ports veth3 and veth4 of br0, isolated");
        assert_eq!(fixture.explained().fix.commands(), ["bridge link set dev veth4 isolated off"]);
    }

    #[test]
    fn a_port_that_does_not_forward() {
        let mut fixture = unanswered();
        port(&mut fixture, "veth4").state = PortState::Disabled;
        blames(&fixture, "host/veth4", "port veth4 of br0, state disabled");
        assert_eq!(fixture.explained().fix.commands(), ["bridge link set dev veth4 state forwarding"]);
        port(&mut fixture, "veth4").state = PortState::Listening;
        bridge(&mut fixture).spanning_tree = true;
        blames(&fixture, "host/veth4", "port veth4 of br0, state listening (stp_state 1)");
        assert_eq!(fixture.explained().fix.commands()[0], "ip link set br0 type bridge stp_state 0");
    }

    #[test]
    fn what_came_out_at_the_other_side_was_not_blocked() {
        let mut fixture = unanswered();
        port(&mut fixture, "veth4").state = PortState::Disabled;
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.4", &["host:veth4>"]);
        assert_ne!(fixture.verdict().0, "bridge-port-blocked");
    }

    #[test]
    fn ports_of_different_vlans() {
        let mut fixture = unanswered();
        bridge(&mut fixture).vlan_filtering = true;
        let vlan = |number| vec![PortVlan { first: number, last: number, pvid: true, untagged: true }];
        port(&mut fixture, "veth3").vlans = vlan(10);
        port(&mut fixture, "veth4").vlans = vlan(10);
        assert_ne!(fixture.verdict().0, "bridge-port-blocked");
        port(&mut fixture, "veth4").vlans = vlan(20);
        blames(&fixture, "host/veth4", "port veth4 of br0, not in VLAN 10");
        port(&mut fixture, "veth3").vlans[0].pvid = false;
        blames(&fixture, "host/veth3", "port veth3 of br0, no VLAN for untagged frames");
    }

    #[test]
    fn a_question_that_is_not_flooded() {
        let mut fixture = unanswered();
        port(&mut fixture, "veth4").broadcast_flood = false;
        blames(&fixture, "host/veth4", "port veth4 of br0, bcast_flood off");
    }

    #[test]
    fn a_packet_that_is_led_to_another_port() {
        let mut fixture = Fixture::lan();
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>", "host:veth3<"]);
        fixture.framed(("ns_1", "veth2"), Some(("ns_2", "veth2")));
        assert_ne!(fixture.verdict().0, "bridge-port-blocked");
        let mac = fixture.link("ns_2", "veth2").mac.unwrap();
        let (veth3, br0) = (fixture.link("host", "veth3").index, fixture.link("host", "br0").index);
        fixture.netns("host").forwarding.push(ForwardingEntry {
            link: veth3,
            mac,
            bridge: Some(br0),
            vlan: None,
            remote: None,
            port: None,
            vni: None,
            via: None,
            nexthop_object: None,
            origin: ForwardingOrigin::Static,
        });
        blames(&fixture, "host/veth3", &format!("forwarding entry {mac} of br0, at veth3"));
        let command = format!("bridge fdb del {mac} dev veth3 master static");
        assert_eq!(fixture.explained().fix.commands(), [command]);
    }

    #[test]
    fn a_locked_port_lets_nobody_in_that_it_does_not_know() {
        let mut fixture = unanswered();
        port(&mut fixture, "veth3").locked = true;
        blames(&fixture, "host/veth3", "port veth3 of br0, locked");
    }
}
