//! What is read in a namespace after the probe has ended: counters, and what it remembers of the probe.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nsgate_core::model::conntrack::Entry;
use nsgate_core::model::lookup::Query;
use nsgate_core::model::ruleset::Table;
use nsgate_core::model::{Limit, LinkName, Neighbour, NetnsName, Sysctl};
use nsgate_core::trace::{
    ConnectionEvent, Counters, Crowd, Identity, Journey, KernelRoute, Leg, Probe, RouteQuestion, Sighting, Way,
};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::{Error, conntrack, counters, legacy, rtnetlink, sysctl};
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
    /// Who opened most of the connections where the table is full, and how many they are of a hundred.
    pub(super) crowd: Option<(IpAddr, u8)>,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) routes: Vec<KernelRoute>,
    pub(super) routers_heard: Vec<(LinkName, u64)>,
    pub(super) limits: Vec<Limit>,
}

impl Afterwards {
    /// Who opened most of the connections, where the table is full.
    pub(super) fn crowd(&self, netns: &NetnsName) -> Option<Crowd> {
        self.crowd.map(|(source, percent)| Crowd { netns: netns.clone(), source, percent })
    }
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
        let entries = found.counters.get("Conntrack.entries");
        if !found.counters.iter().any(|counter| counter == ("Conntrack.entries", 0)) {
            match self.tracked(is_full(entries), &mut found.crowd) {
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

    /// The probe's own entries, and, where that is asked, who opened most of all.
    fn tracked(&self, counted: bool, crowd: &mut Option<(IpAddr, u8)>) -> Result<Vec<Entry>, Error> {
        let sources = RefCell::new(BTreeMap::<IpAddr, u64>::new());
        let keep = |entry: &Entry| {
            if counted {
                count(&mut sources.borrow_mut(), entry.original.source);
            }
            self.is_ours(entry)
        };
        let ours = conntrack::entries(&mut Socket::open(Protocol::Netfilter)?, keep)?.items;
        *crowd = most(&sources.into_inner());
        Ok(ours)
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

/// More different sources than this are not counted apart: none of them has many.
const MOST_SOURCES: usize = 1 << 16;

/// Whether a table of so many entries has no room, by the limit of the namespace that the calling thread is in.
fn is_full(entries: u64) -> bool {
    let limit = sysctl::read_here(&Sysctl::known("net.netfilter.nf_conntrack_max"));
    let limit: Option<u64> = limit.ok().and_then(|text| text.trim().parse().ok());
    limit.is_some_and(|limit| limit > 0 && entries >= limit - limit / 100)
}

fn count(sources: &mut BTreeMap<IpAddr, u64>, source: IpAddr) {
    let full = sources.len() >= MOST_SOURCES;
    match sources.get_mut(&source) {
        Some(entries) => *entries += 1,
        None if full => {}
        None => drop(sources.insert(source, 1)),
    }
}

/// The source with the most entries, and how many they are of a hundred.
fn most(sources: &BTreeMap<IpAddr, u64>) -> Option<(IpAddr, u8)> {
    let all: u64 = sources.values().sum();
    let (source, entries) = sources.iter().max_by_key(|(_, entries)| **entries)?;
    let percent = entries * 100 / all.max(1);
    Some((*source, u8::try_from(percent).unwrap_or(100)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_most_is_told_with_his_share() {
        let mut sources = BTreeMap::new();
        assert_eq!(most(&sources), None);
        for (address, times) in [("1.1.1.2", 1), ("2001:db8::2", 97), ("1.1.1.4", 2)] {
            (0..times).for_each(|_| count(&mut sources, address.parse().unwrap()));
        }
        assert_eq!(most(&sources), Some(("2001:db8::2".parse().unwrap(), 97)));
    }
}
