//! Everything that was learned while one probe was under way.

use std::borrow::Cow;
use std::net::IpAddr;

use super::counters::Counters;
use super::{ConnectionEvent, Identity, Journey, KernelEvent, NeighbourEvent, Probe, RuleCount, RuleEvent};
use crate::model::conntrack::Entry;
use crate::model::lookup::Query;
use crate::model::{Limit, LinkIndex, LinkName, Neighbour, NetnsName};

/// What was learned of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What was sent.
    pub probe: Probe,
    /// How it is known again; none if the socket could not even be made ready.
    pub identity: Option<Identity>,
    /// How it ended for the sender.
    pub ending: Ending,
    /// What the interfaces saw.
    pub journey: Journey,
    /// What the kernel told of it, in the order of time; nothing where it was not asked or may not be.
    pub kernel: Vec<KernelEvent>,
    /// What the packet filters' own traces told of it, in order within each namespace.
    pub rules: Vec<RuleEvent>,
    /// Which rules of the older engine met packets meanwhile.
    pub counted: Vec<RuleCount>,
    /// What connection tracking told of the probe's connection, in order within each namespace.
    pub connections: Vec<ConnectionEvent>,
    /// What was told of the neighbours on its way, in order within each namespace.
    pub neighbour_changes: Vec<NeighbourEvent>,
    /// Which namespaces were watched, and how well.
    pub watched: Vec<Watched>,
    /// Connection-tracking entries of the probe's flow, by namespace, read afterwards.
    pub tracked: Vec<(NetnsName, Entry)>,
    /// Who opened most of the connections, where a connection-tracking table is full.
    pub crowds: Vec<Crowd>,
    /// Neighbour entries read afterwards.
    pub neighbours: Vec<(NetnsName, Neighbour)>,
    /// What the kernel answered when asked for a route afterwards.
    pub routes: Vec<KernelRoute>,
    /// Which attempt was answered, or how many were made in vain; the first one is 1.
    pub attempts: u16,
    /// When it was sent once more because no answer came, in nanoseconds of the kernel's real-time clock.
    pub repeated: Option<u64>,
    /// How long the sender waited for an answer, in milliseconds.
    pub waited: u64,
    /// From when until when everything watched.
    pub window: Window,
    /// What could not be observed.
    pub limits: Vec<Limit>,
}

/// Who opened most of the connections that a namespace tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// The namespace.
    pub netns: NetnsName,
    /// Who opened them.
    pub source: IpAddr,
    /// How many they are of a hundred.
    pub percent: u8,
}

/// How a probe ended for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer came.
    Answered,
    /// The kernel refused to send it.
    Refused {
        /// The call that failed.
        operation: &'static str,
        /// The error number (errno).
        errno: i32,
        /// The kernel's words for it.
        words: String,
    },
    /// The other end refused it: a TCP reset.
    Reset,
    /// The connection stood, but what was sent over it was not, or not wholly, answered.
    Unanswered {
        /// How many bytes the other end acknowledged.
        acknowledged: u32,
        /// How many bytes it sent back.
        received: u32,
    },
    /// An ICMP error came back.
    IcmpError {
        /// Who sent it.
        from: IpAddr,
        /// Its type.
        icmp_type: u8,
        /// Its code.
        code: u8,
        /// The MTU it tells, where it tells one.
        mtu: Option<u32>,
    },
    /// Nothing came.
    Silence,
}

/// A time from one moment to another, both in nanoseconds of the kernel's real-time clock.
///
/// What happened within it and was not seen did not come by where the watchers stand; of before and after they know
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// When the last watcher was in place.
    pub from: u64,
    /// When what they had seen was collected for the last time.
    pub until: u64,
}

/// A namespace that was watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Which.
    pub netns: NetnsName,
    /// How many frames its tap had to let go.
    pub lost: u64,
    /// Which counters moved meanwhile, and by how much.
    pub counters: Counters,
    /// The interfaces by which router advertisements ever came, and how many; read only where an IPv6 probe came to.
    pub routers_heard: Vec<(LinkName, u64)>,
}

/// A question for the kernel's own routing tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteQuestion {
    /// Where it is asked.
    pub netns: NetnsName,
    /// What is asked.
    pub query: Query,
}

/// What the kernel answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// The question.
    pub question: RouteQuestion,
    /// The interface to leave by, or the error number.
    pub answer: Result<Option<LinkIndex>, i32>,
}

impl Observation {
    /// The same as if it had been sent once, as far as its repetition showed nothing else; one that was answered is
    /// told whole.
    #[must_use]
    pub fn without_repetition(&self) -> Cow<'_, Self> {
        match self.repeated.filter(|_| self.ending != Ending::Answered) {
            None => Cow::Borrowed(self),
            Some(sent) => Cow::Owned(Self { journey: self.journey.clone().without_repetitions(sent), ..self.clone() }),
        }
    }

    /// By how much a counter of a namespace moved while the probe was under way.
    pub fn moved(&self, netns: &NetnsName, counter: &str) -> u64 {
        self.watched.iter().find(|w| w.netns == *netns).map_or(0, |w| w.counters.get(counter))
    }

    /// Whether a namespace was watched.
    pub fn watches(&self, netns: &NetnsName) -> bool {
        self.watched.iter().any(|w| w.netns == *netns)
    }
}
