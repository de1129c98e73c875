//! A next hop that did not resolve: who was asked for, where, and who could have answered.

use std::net::IpAddr;

use super::{Loss, Stage};
use crate::model::lookup::Query;
use crate::model::segment::{Place as At, Segment};
use crate::model::{Link, Namespace, Neighbour, NeighbourState};
use crate::trace::{Leg, NeighbourEvent, Sight, Way};

/// A question for a next hop that nobody answered.
#[derive(Clone, Debug)]
pub(super) struct Unresolved<'a> {
    /// The namespace that asks.
    pub(super) netns: &'a Namespace,
    /// The interface it asks at.
    pub(super) link: &'a Link,
    /// The address it asks for.
    pub(super) asked: IpAddr,
    /// Whether that is a router; otherwise it is the destination itself.
    pub(super) router: bool,
    /// The question, where it was seen.
    pub(super) question: Option<&'a Sight>,
    /// The asker's neighbour entry, where it has one.
    pub(super) entry: Option<&'a Neighbour>,
    /// Whether the kernel told that it gave the neighbour up while the probe was under way.
    pub(super) given_up: bool,
    /// Who could hear it.
    pub(super) segment: Segment<'a>,
}

impl<'a> Unresolved<'a> {
    /// The next hop that a lost packet waits for in vain; none if it waits for nobody.
    pub(super) fn of(loss: &Loss<'a>) -> Option<Self> {
        if matches!(loss.stage, Stage::Left(_)) || loss.arrived() {
            return None;
        }
        let route = loss.route();
        let link = loss.netns.link(route.link()?)?;
        let asked = route.gateway().unwrap_or(loss.destination);
        let question = unanswered(loss, link, asked);
        let entry = entry(loss, link, asked);
        let told = told(loss, link, asked);
        if told.is_some_and(|event| event.neighbour.state == NeighbourState::Reachable) {
            return None;
        }
        let given_up = told.is_some_and(NeighbourEvent::is_failure);
        let in_vain =
            given_up || entry.is_some_and(|e| matches!(e.state, NeighbourState::Failed | NeighbourState::Incomplete));
        (question.is_some() || in_vain).then(|| Self {
            netns: loss.netns,
            link,
            asked,
            router: route.gateway().is_some(),
            question,
            entry,
            given_up,
            segment: Segment::of(loss.world, loss.netns, link),
        })
    }

    /// Those who hold the address and should have answered.
    pub(super) fn holders(&self) -> impl Iterator<Item = At<'a>> + '_ {
        self.others().filter(|p| p.link.holds(self.asked))
    }

    /// Everybody on the segment but the asker.
    pub(super) fn others(&self) -> impl Iterator<Item = At<'a>> + '_ {
        self.segment
            .places
            .iter()
            .copied()
            .filter(|p| p.netns.name != self.netns.name || p.link.index != self.link.index)
    }

    /// The question as it came in at a place.
    pub(super) fn heard_at(&self, loss: &Loss<'a>, place: At<'a>) -> Option<&'a Sight> {
        let here = |s: &&Sight| {
            s.way == Way::In
                && s.netns == place.netns.name
                && s.link == place.link.index
                && s.header.destination == self.asked
        };
        loss.observation.journey.of(Leg::Question).find(here)
    }

    /// The question for the routing tables of a place that would be asked on behalf of `address`.
    pub(super) fn query_at(place: At<'_>, address: IpAddr) -> Query {
        Query { entered: Some(place.link.index), ..Query::from_here(None, address) }
    }
}

/// The question as it went out, if no reply came back in.
fn unanswered<'a>(loss: &Loss<'a>, link: &Link, asked: IpAddr) -> Option<&'a Sight> {
    let journey = &loss.observation.journey;
    let here = |s: &&Sight| s.netns == loss.netns.name && s.link == link.index && s.header.destination == asked;
    let question = journey.of(Leg::Question).filter(here).find(|s| s.way == Way::Out)?;
    let told = journey.of(Leg::Reply).filter(here).any(|s| s.way == Way::In);
    (!told).then_some(question)
}

/// What was told of the neighbour last.
fn told<'a>(loss: &Loss<'a>, link: &Link, asked: IpAddr) -> Option<&'a NeighbourEvent> {
    let about = |event: &&NeighbourEvent| {
        let Neighbour { link: at, address, proxy, .. } = event.neighbour;
        event.netns == loss.netns.name && at == link.index && address == asked && !proxy
    };
    loss.observation.neighbour_changes.iter().rfind(about)
}

fn entry<'a>(loss: &Loss<'a>, link: &Link, asked: IpAddr) -> Option<&'a Neighbour> {
    let here = |e: &Neighbour| e.link == link.index && e.address == asked && !e.proxy;
    loss.observation.neighbours.iter().find(|(netns, e)| *netns == loss.netns.name && here(e)).map(|(_, e)| e)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, name};
    use super::*;
    use crate::trace::Change;

    /// `ns_1` asks for an address that nobody holds; this was told of it meanwhile.
    fn asking(told: &[(&str, NeighbourState)]) -> Fixture {
        let mut fixture = Fixture::lan();
        fixture.observation.probe.destination = "1.1.1.50".parse().unwrap();
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.50", &["ns_1:veth2>"]);
        let link = fixture.link("ns_1", "veth2").index;
        fixture.observation.neighbour_changes.extend(told.iter().map(|(address, state)| {
            let address = address.parse().unwrap();
            let neighbour = Neighbour { link, address, mac: None, state: *state, proxy: false };
            NeighbourEvent { netns: name("ns_1"), change: Change::Updated, neighbour }
        }));
        fixture
    }

    #[test]
    fn that_a_neighbour_was_given_up_is_evidence() {
        let shown = |told: &[(&str, NeighbourState)]| {
            let verdict = asking(told).explained();
            assert_eq!(
                (verdict.cause.to_string(), verdict.object),
                ("neighbour-failed".into(), "1.1.1.50 on veth2".into())
            );
            verdict.evidence.into_iter().map(|evidence| evidence.text).collect::<Vec<_>>()
        };
        let failed = shown(&[("1.1.1.50", NeighbourState::Incomplete), ("1.1.1.50", NeighbourState::Failed)]);
        assert!(failed.contains(&"1.1.1.50 on veth2 was given up meanwhile".to_owned()), "{failed:?}");
        let other = shown(&[("1.1.1.51", NeighbourState::Failed)]);
        assert_eq!(other.len(), failed.len() - 1, "{other:?}");
    }

    #[test]
    fn a_neighbour_that_was_told_to_be_there_is_not_waited_for() {
        let fixture = asking(&[("1.1.1.50", NeighbourState::Failed), ("1.1.1.50", NeighbourState::Reachable)]);
        assert_ne!(fixture.verdict().0, "neighbour-failed");
    }
}
