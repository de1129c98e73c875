//! What is read in a namespace after the probe has ended: counters, and what it remembers of the probe.

use std::collections::BTreeSet;

use nsgate_core::model::conntrack::Entry;
use nsgate_core::model::lookup::Query;
use nsgate_core::model::ruleset::Table;
use nsgate_core::model::{Limit, LinkName, Neighbour, NetnsName};
use nsgate_core::trace::{
    ConnectionEvent, Counters, Identity, Journey, KernelRoute, Leg, Probe, RouteQuestion, Sighting, Way,
};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::{Error, conntrack, counters, legacy, rtnetlink};
use nsgate_packet::{Flow, Ip};

use super::limit;

/// What is to be read, and where.
pub(super) struct Questions {
    /// The flows of the probe and its answer, as they were seen anywhere.
    flows: BTreeSet<Flow>,
    /// The namespaces that the probe was seen in, or starts in.
    touched: BTreeSet<NetnsName>,
    /// The namespaces in which the older engine's rules count.
    pub(super) legacy: BTreeSet<NetnsName>,
    /// What the routing tables are asked.
    routes: Vec<RouteQuestion>,
    /// Whether routers tell the way.
    advertised: bool,
}

/// What was read.
#[derive(Default)]
pub(super) struct Afterwards {
    pub(super) counters: Counters,
    pub(super) legacy: Vec<Table>,
    pub(super) tracked: Vec<Entry>,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) routes: Vec<KernelRoute>,
    pub(super) routers_heard: Vec<(LinkName, u64)>,
    pub(super) limits: Vec<Limit>,
}

impl Questions {
    /// What a journey gives reason to ask.
    /// `flows` are those that the request is known to have been translated to.
    pub(super) fn of(
        probe: &Probe,
        identity: Option<&Identity>,
        journey: &Journey,
        sightings: &[Sighting],
        flows: BTreeSet<Flow>,
    ) -> Self {
        let ours: BTreeSet<_> = [Leg::Request, Leg::Answer]
            .into_iter()
            .flat_map(|leg| journey.of(leg))
            .map(|sight| (sight.time, &sight.netns, sight.link))
            .collect();
        let seen = sightings
            .iter()
            .filter(|sighting| ours.contains(&(sighting.time, &sighting.netns, sighting.link)))
            .filter_map(|sighting| sighting.packet().as_ip().map(|ip: Ip<'_>| ip.flow()));
        let flows = flows.into_iter().chain(seen).collect();
        let touched = journey.sights.iter().map(|sight| sight.netns.clone()).chain([probe.from.clone()]).collect();
        Self {
            flows,
            touched,
            legacy: BTreeSet::new(),
            routes: route_questions(probe, identity, journey),
            advertised: probe.destination.is_ipv6(),
        }
    }

    /// Reads in the namespace of the calling thread.
    pub(super) fn ask_here(&self, netns: &NetnsName) -> Afterwards {
        let mut found = Afterwards::default();
        let note = |limits: &mut Vec<Limit>, what, error: &Error| limits.push(limit(netns, what, error));
        match counters::read_here() {
            Ok(counters) => found.counters = counters,
            Err(error) => note(&mut found.limits, "counters", &error),
        }
        if self.legacy.contains(netns) {
            found.legacy = legacy::tables(true).tables;
        }
        if !self.touched.contains(netns) {
            return found;
        }
        // Looking through the table takes milliseconds, also where it is empty.
        if !found.counters.iter().any(|counter| counter == ("Conntrack.entries", 0)) {
            match self.tracked() {
                Ok(tracked) => found.tracked = tracked,
                Err(error) => note(&mut found.limits, "connection tracking", &error),
            }
        }
        if self.advertised {
            match counters::advertisements_here() {
                Ok(heard) => found.routers_heard = heard,
                Err(error) => note(&mut found.limits, "router advertisements", &error),
            }
        }
        if let Err(error) = self.ask_routing(netns, &mut found) {
            note(&mut found.limits, "neighbours and routes", &error);
        }
        found
    }

    fn tracked(&self) -> Result<Vec<Entry>, Error> {
        Ok(conntrack::entries(&mut Socket::open(Protocol::Netfilter)?, |entry| self.is_ours(entry))?.items)
    }

    /// Keeps what was told of the probe's own connection.
    pub(super) fn ours(&self, events: Vec<ConnectionEvent>) -> Vec<ConnectionEvent> {
        events.into_iter().filter(|event| self.is_ours(&event.entry)).collect()
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        let ways = [entry.original, entry.reply];
        ways.iter().any(|flow| self.flows.contains(flow) || self.flows.contains(&flow.reversed()))
    }

    fn ask_routing(&self, netns: &NetnsName, found: &mut Afterwards) -> Result<(), Error> {
        let mut socket = Socket::open(Protocol::Route)?;
        found.neighbours = rtnetlink::neighbours(&mut socket)?.items;
        for question in self.routes.iter().filter(|question| question.netns == *netns) {
            let answer = match rtnetlink::lookup(&mut socket, &question.query)? {
                Ok(decision) => Ok(decision.link),
                Err(errno) => Err(errno.raw_os_error()),
            };
            found.routes.push(KernelRoute { question: question.clone(), answer });
        }
        Ok(())
    }
}

/// The question at the start, and one for each interface by which the probe or its answer came in.
fn route_questions(probe: &Probe, identity: Option<&Identity>, journey: &Journey) -> Vec<RouteQuestion> {
    let source = identity.map(|identity| identity.source.ip()).filter(|address| !address.is_unspecified());
    let start = RouteQuestion {
        netns: probe.from.clone(),
        query: Query::from_here(source.or(probe.source), probe.destination),
    };
    let mut questions = vec![start];
    for leg in [Leg::Request, Leg::Answer] {
        for sight in journey.of(leg).filter(|sight| sight.way == Way::In) {
            let query = Query::passing(sight.header.source, sight.header.destination, sight.link);
            let question = RouteQuestion { netns: sight.netns.clone(), query };
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
    }
    questions
}
