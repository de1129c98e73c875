//! Where the trail of a probe ends.

use std::net::IpAddr;

use crate::model::lookup::{self, Answer, Query};
use crate::model::{Family, Link, Namespace, NetnsName, World};
use crate::trace::{Ending, Header, Leg, Observation, Sight, Way};

/// The end of a trail: the last place where the packet was, and the World around it.
#[derive(Clone, Debug)]
pub struct Loss<'a> {
    /// What is.
    pub world: &'a World,
    /// What was seen.
    pub observation: &'a Observation,
    /// Which leg of the journey was lost: the request or the answer.
    pub leg: Leg,
    /// The last sight of it; none if it was never seen on any wire.
    pub last: Option<&'a Sight>,
    /// The namespace that had it last.
    pub netns: &'a Namespace,
    /// How far it got there.
    pub stage: Stage<'a>,
    /// Where it came from, as it reads at this place.
    pub source: Option<IpAddr>,
    /// Where it goes, as it reads at this place once translations of this namespace are taken into account.
    pub destination: IpAddr,
}

/// How far a packet got in the namespace that had it last.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'a> {
    /// It was made here and not seen to leave.
    Made,
    /// It came in by this interface and was not seen to leave.
    Entered(&'a Link),
    /// It left by this interface and was not seen to arrive.
    Left(&'a Link),
}

impl<'a> Loss<'a> {
    /// The ends of the trail, the first to be looked at first: where the last leg that was seen ends, and, where a
    /// request arrived that nothing was seen of afterwards, the answer that should have been made there.
    pub fn trail(world: &'a World, observation: &'a Observation) -> Vec<Self> {
        let journey = &observation.journey;
        // A reset is no answer: it tells of what became of the request.
        let answer = journey.of(Leg::Answer).rfind(|s| !s.header.reset).map(|sight| (Leg::Answer, sight));
        let last = answer.or_else(|| Some((Leg::Request, journey.furthest(Leg::Request)?)));
        let Some((leg, sight)) = last else { return Self::unsent(world, observation).into_iter().collect() };
        let Some(lost) = Self::after(world, observation, leg, sight) else { return Vec::new() };
        let owed = (leg == Leg::Request && lost.arrived()).then(|| lost.answer_owed(sight));
        [lost].into_iter().chain(owed).collect()
    }

    /// The answer that this request should have caused where it arrived.
    fn answer_owed(&self, request: &'a Sight) -> Self {
        Self {
            leg: Leg::Answer,
            last: None,
            stage: Stage::Made,
            source: Some(self.destination),
            destination: request.header.source,
            ..self.clone()
        }
    }

    /// The loss of a packet that was seen last by `sight`.
    fn after(world: &'a World, observation: &'a Observation, leg: Leg, sight: &'a Sight) -> Option<Self> {
        let netns = world.namespace(&sight.netns)?;
        let link = netns.link(sight.link)?;
        let stage = match sight.way {
            Way::In => Stage::Entered(link),
            Way::Out => Stage::Left(link),
        };
        Some(Self {
            world,
            observation,
            leg,
            last: Some(sight),
            netns,
            stage,
            source: Some(sight.header.source),
            destination: destination_here(observation, leg, sight),
        })
    }

    /// The loss of a packet that no wire saw.
    fn unsent(world: &'a World, observation: &'a Observation) -> Option<Self> {
        let netns = world.namespace(&observation.probe.from)?;
        let chosen = observation.identity.map(|i| i.source.ip()).filter(|ip| !ip.is_unspecified());
        Some(Self {
            world,
            observation,
            leg: Leg::Request,
            last: None,
            netns,
            stage: Stage::Made,
            source: chosen.or(observation.probe.source),
            destination: observation.probe.destination,
        })
    }

    /// The family of the packet.
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    /// The interface the packet came in by, if it came in.
    pub fn entered(&self) -> Option<&'a Link> {
        match self.stage {
            Stage::Entered(link) => Some(link),
            Stage::Made | Stage::Left(_) => None,
        }
    }

    /// The packet's header as it was seen last.
    pub fn header(&self) -> Option<&'a Header> {
        self.last.map(|s| &s.header)
    }

    /// What the routing tables say about the packet at this place.
    pub fn route(&self) -> Answer<'a> {
        lookup::look_up(self.netns, &self.query())
    }

    /// The question for the routing tables at this place.
    pub fn query(&self) -> Query {
        Query {
            source: self.source,
            entered: self.entered().map(|l| l.index),
            protocol: self.header().map_or(0, |h| h.protocol),
            port: self.header().and_then(|h| h.destination_port),
            ..Query::from_here(self.source, self.destination)
        }
    }

    /// The interface by which the packet left or should leave this namespace.
    pub fn way_out(&self) -> Option<&'a Link> {
        match self.stage {
            Stage::Left(link) => Some(link),
            Stage::Made | Stage::Entered(_) => self.netns.link(self.route().link()?),
        }
    }

    /// Whether the packet came in here and is for this namespace itself, so that it should be delivered.
    pub fn arrived(&self) -> bool {
        matches!(self.stage, Stage::Entered(_)) && self.route().is_local()
    }

    /// By how much a counter of this namespace moved.
    pub fn moved(&self, counter: &str) -> u64 {
        self.observation.moved(&self.netns.name, counter)
    }

    /// The error number with which the sender's own kernel refused the packet.
    pub fn refused_with(&self) -> Option<i32> {
        match (&self.observation.ending, self.stage) {
            (Ending::Refused { errno, .. }, Stage::Made) => Some(*errno),
            _ => None,
        }
    }

    /// This namespace's name.
    pub fn here(&self) -> &'a NetnsName {
        &self.netns.name
    }
}

/// Where a packet goes once the namespace that it came into has translated it back.
///
/// An answer is addressed to what the request's source was turned into; the namespace that turned it turns it back.
fn destination_here(observation: &Observation, leg: Leg, sight: &Sight) -> IpAddr {
    let header = &sight.header;
    if leg != Leg::Answer || sight.way == Way::Out {
        return header.destination;
    }
    match observation.journey.through(Leg::Request, &sight.netns) {
        Some((entered, left)) if left.header.source == header.destination => entered.header.source,
        _ => header.destination,
    }
}
