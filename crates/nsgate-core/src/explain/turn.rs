//! The journey namespace by namespace: by which interface a leg came in, and by which it left.

use std::net::IpAddr;

use crate::model::lookup::{Answer, Query, look_up};
use crate::model::segment::{Place as At, Segment};
use crate::model::{Link, Namespace, World};
use crate::trace::{Journey, Leg, Sight, Way};

/// A leg's passage through one namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    /// The namespace.
    pub(super) netns: &'a Namespace,
    /// How it came in; none where it was made.
    pub(super) entered: Option<&'a Sight>,
    /// How it left; none where it ended.
    pub(super) left: Option<&'a Sight>,
}

/// The passages of one leg, in the order of time.
pub(super) fn turns<'a>(world: &'a World, journey: &'a Journey, leg: Leg) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for sight in journey.of(leg) {
        let Some(netns) = world.namespace(&sight.netns) else { continue };
        let open = turns.last_mut().filter(|t| t.netns.name == netns.name);
        // What is routed is seen at a bridge and at its port: the bridge is what routes and rules know. Frames that are
        // only bridged are seen at ports alone: the first sight and the last count.
        let port_of =
            |port: &Sight, bridge: &Sight| netns.link(port.link).is_some_and(|l| l.master == Some(bridge.link));
        match (open, sight.way) {
            (Some(turn), Way::Out) if turn.left.is_some_and(|before| port_of(sight, before)) => {}
            (Some(turn), Way::Out) => turn.left = Some(sight),
            (Some(turn), Way::In) if turn.left.is_none() => {
                if turn.entered.is_some_and(|before| port_of(before, sight)) {
                    turn.entered = Some(sight);
                }
            }
            (_, Way::In) => turns.push(Turn { netns, entered: Some(sight), left: None }),
            (_, Way::Out) => turns.push(Turn { netns, entered: None, left: Some(sight) }),
        }
    }
    turns
}

impl<'a> Turn<'a> {
    /// The interface it left by.
    pub(super) fn way_out(&self) -> Option<&'a Link> {
        self.netns.link(self.left?.link)
    }

    /// The interface it came in by.
    pub(super) fn way_in(&self) -> Option<&'a Link> {
        self.netns.link(self.entered?.link)
    }

    /// What the routing tables here say of the packet as it left.
    pub(super) fn route(&self) -> Option<Answer<'a>> {
        let left = self.left?;
        let entered = self.entered.map(|s| s.link);
        // Sources are translated after the packet is routed, destinations before.
        let source = self.entered.unwrap_or(left).header.source;
        let query = Query { entered, ..Query::from_here(Some(source), left.header.destination) };
        Some(look_up(self.netns, &query))
    }

    /// The router or host that it was handed to.
    pub(super) fn next_hop(&self) -> Option<IpAddr> {
        Some(self.route()?.gateway().unwrap_or(self.left?.header.destination))
    }

    /// Those on the segment it left by who hold the next hop's address.
    pub(super) fn next_hop_holders(&self, world: &'a World) -> Vec<At<'a>> {
        let (Some(link), Some(next)) = (self.way_out(), self.next_hop()) else { return Vec::new() };
        let elsewhere = |p: &At<'a>| p.netns.name != self.netns.name || p.link.index != link.index;
        Segment::of(world, self.netns, link).holders(next).filter(elsewhere).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn what_is_routed_off_a_bridge_came_in_by_the_bridge_and_not_by_its_port() {
        let mut fixture = Fixture::lan();
        let places = ["ns_1:veth2>", "host:veth3<", "host:br0<", "host:br0>", "host:veth4>", "ns_2:veth2<"];
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.4", &places);
        let turns = turns(&fixture.world, &fixture.observation.journey, Leg::Request);
        let names: Vec<_> = turns
            .iter()
            .map(|turn| {
                let ways = [turn.way_in(), turn.way_out()].map(|link| link.map_or("", |link| link.name.as_str()));
                format!("{} {} {}", turn.netns.name, ways[0], ways[1])
            })
            .collect();
        assert_eq!(names, ["ns_1  veth2", "host br0 br0", "ns_2 veth2 "]);
    }

    #[test]
    fn what_is_only_bridged_came_in_by_one_port_and_left_by_another() {
        let mut fixture = Fixture::lan();
        let places = ["ns_1:veth2>", "host:veth3<", "host:veth4>", "ns_2:veth2<"];
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.4", &places);
        let turns = turns(&fixture.world, &fixture.observation.journey, Leg::Request);
        let host = &turns[1];
        let names = [host.way_in(), host.way_out()].map(|link| link.map(|link| link.name.as_str()));
        assert_eq!(names, [Some("veth3"), Some("veth4")]);
    }
}
