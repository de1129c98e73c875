//! Everything that a trace learned, for `nsgate trace --details --json`: the field `observation` of its document.
//!
//! Times are nanoseconds of the kernel's real-time clock, bytes are hexadecimal digits, two a byte. Numbers that need
//! more than 53 bits do not occur, but for times, which stay below 2^61.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nsgate_core::model::conntrack::Entry;
use nsgate_core::model::ruleset::Verdict;
use nsgate_core::model::{LinkIndex, Neighbour, NeighbourState, NetnsName, World};
use nsgate_core::trace::{
    ConnectionEvent, Ending, Identity, KernelEvent, KernelEventKind, KernelRoute, NeighbourEvent, Observation,
    RuleCount, RuleEvent, RuleStep, Sight, Watched,
};
use nsgate_packet::Flow;
use serde::Serialize;

use super::trace::{direction, hook};

/// Everything that was learned of one probe.
#[derive(Serialize)]
pub(crate) struct ObservationJson {
    /// From when until when everything watched.
    from: u64,
    until: u64,
    /// In milliseconds.
    waited: u64,
    identity: Option<IdentityJson>,
    ending: EndingJson,
    watched: Vec<WatchedJson>,
    sightings: Vec<SightingJson>,
    rules: Vec<RuleJson>,
    events: Vec<EventJson>,
    connections: Vec<ConnectionJson>,
    connection_changes: Vec<ChangeJson<ConnectionJson>>,
    neighbours: Vec<NeighbourJson>,
    neighbour_changes: Vec<ChangeJson<NeighbourJson>>,
    counted: Vec<CountedJson>,
    routes: Vec<RouteJson>,
}

/// By what the probe is known again.
#[derive(Serialize)]
struct IdentityJson {
    cookie: String,
    sequence: u32,
    source: String,
    destination: String,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum EndingJson {
    Answered,
    Refused { operation: &'static str, errno: i32, words: String },
    Reset,
    Unanswered { acknowledged: u32, received: u32 },
    IcmpError { from: String, r#type: u8, code: u8, mtu: Option<u32> },
    Silence,
}

#[derive(Serialize)]
struct WatchedJson {
    netns: String,
    /// Frames that the tap had to let go.
    lost: u64,
    /// By how much the counters moved that did.
    counters: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct SightingJson {
    time: u64,
    netns: String,
    dev: Option<String>,
    index: u32,
    hook: &'static str,
    direction: &'static str,
    /// From the network header on.
    length: u32,
    ethernet: Option<String>,
    bytes: String,
}

#[derive(Serialize)]
struct RuleJson {
    netns: String,
    /// The kernel's number of the packet within the namespace.
    packet: u32,
    family: &'static str,
    table: String,
    chain: String,
    step: &'static str,
    handle: Option<u64>,
    verdict: Option<&'static str>,
    /// The chain that a verdict leads to.
    to: Option<String>,
    entered: Option<String>,
    left: Option<String>,
    mark: u32,
    bytes: String,
}

#[derive(Serialize)]
struct EventJson {
    time: u64,
    netns: Option<String>,
    dev: Option<String>,
    kind: &'static str,
    reason: Option<String>,
    symbol: Option<String>,
    /// The place between hooks, or what else there is to say.
    detail: Option<String>,
    /// Tells packets apart that are there at the same time.
    buffer: String,
    mark: u32,
    bytes: String,
}

#[derive(Serialize)]
struct ConnectionJson {
    netns: String,
    original: FlowJson,
    reply: FlowJson,
    answered: bool,
    status: u32,
    mark: u32,
    zone: u16,
    timeout: u32,
}

/// Something that changed while the probe was under way, as it was from then on.
#[derive(Serialize)]
struct ChangeJson<T> {
    change: &'static str,
    entry: T,
}

/// A rule of the older engine that packets met, of anybody's.
#[derive(Serialize)]
struct CountedJson {
    netns: String,
    family: &'static str,
    table: String,
    chain: String,
    /// Its number within the chain, counted from 1.
    rule: u64,
    packets: u64,
}

#[derive(Serialize)]
struct FlowJson {
    protocol: u8,
    source: String,
    source_port: u16,
    destination: String,
    destination_port: u16,
}

#[derive(Serialize)]
struct NeighbourJson {
    netns: String,
    dev: Option<String>,
    address: String,
    mac: Option<String>,
    state: NeighbourState,
    proxy: bool,
}

#[derive(Serialize)]
struct RouteJson {
    netns: String,
    source: Option<String>,
    destination: String,
    entered: Option<String>,
    /// The interface to leave by.
    dev: Option<String>,
    errno: Option<i32>,
}

impl ObservationJson {
    /// Everything that was learned of one probe.
    pub(super) fn new(world: &World, observation: &Observation) -> Self {
        let names = Names(world);
        let all = observation.journey.everything();
        Self {
            from: observation.window.from,
            until: observation.window.until,
            waited: observation.waited,
            identity: observation.identity.as_ref().map(IdentityJson::from),
            ending: EndingJson::from(&observation.ending),
            watched: observation.watched.iter().map(WatchedJson::from).collect(),
            sightings: all.into_iter().map(|sight| SightingJson::new(names, sight)).collect(),
            rules: observation.rules.iter().map(|event| RuleJson::new(names, event)).collect(),
            events: observation.kernel.iter().map(|event| EventJson::new(names, event)).collect(),
            connections: observation.tracked.iter().map(|(netns, entry)| ConnectionJson::new(netns, entry)).collect(),
            connection_changes: observation.connections.iter().map(ChangeJson::from).collect(),
            neighbour_changes: observation
                .neighbour_changes
                .iter()
                .map(|event| ChangeJson::new(names, event))
                .collect(),
            counted: observation.counted.iter().map(CountedJson::from).collect(),
            neighbours: observation.neighbours.iter().map(|(n, entry)| NeighbourJson::new(names, n, entry)).collect(),
            routes: observation.routes.iter().map(|route| RouteJson::new(names, route)).collect(),
        }
    }
}

/// Names interfaces.
#[derive(Clone, Copy)]
struct Names<'a>(&'a World);

impl Names<'_> {
    fn of(self, netns: &NetnsName, link: LinkIndex) -> Option<String> {
        self.0.namespace(netns).and_then(|n| n.link(link)).map(|link| link.name.to_string())
    }
}

impl From<&Identity> for IdentityJson {
    fn from(identity: &Identity) -> Self {
        Self {
            cookie: hex(&identity.cookie),
            sequence: identity.sequence,
            source: identity.source.to_string(),
            destination: identity.destination.to_string(),
        }
    }
}

impl From<&Ending> for EndingJson {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::Answered => Self::Answered,
            Ending::Refused { operation, errno, words } => {
                Self::Refused { operation, errno: *errno, words: words.clone() }
            }
            Ending::Reset => Self::Reset,
            Ending::Unanswered { acknowledged, received } => {
                Self::Unanswered { acknowledged: *acknowledged, received: *received }
            }
            Ending::IcmpError { from, icmp_type, code, mtu } => {
                Self::IcmpError { from: from.to_string(), r#type: *icmp_type, code: *code, mtu: *mtu }
            }
            Ending::Silence => Self::Silence,
        }
    }
}

impl From<&Watched> for WatchedJson {
    fn from(watched: &Watched) -> Self {
        Self {
            netns: watched.netns.to_string(),
            lost: watched.lost,
            counters: watched.counters.iter().map(|(name, by)| (name.to_owned(), by)).collect(),
        }
    }
}

impl SightingJson {
    fn new(names: Names<'_>, sight: &Sight) -> Self {
        Self {
            time: sight.time,
            netns: sight.netns.to_string(),
            dev: names.of(&sight.netns, sight.link),
            index: sight.link.0,
            hook: hook(sight.way),
            direction: direction(sight.leg),
            length: sight.header.length,
            ethernet: sight.ethernet.as_deref().map(hex),
            bytes: hex(&sight.bytes),
        }
    }
}

impl RuleJson {
    fn new(names: Names<'_>, event: &RuleEvent) -> Self {
        let (step, handle) = match event.step {
            RuleStep::Rule(handle) => ("rule", Some(handle)),
            RuleStep::Return => ("return", None),
            RuleStep::Policy => ("policy", None),
        };
        let (verdict, to) = event.verdict.as_ref().map(verdict).unzip();
        Self {
            netns: event.netns.to_string(),
            packet: event.packet,
            family: event.table.family.name(),
            table: event.table.name.clone(),
            chain: event.chain.clone(),
            step,
            handle,
            verdict,
            to: to.flatten(),
            entered: event.entered.and_then(|link| names.of(&event.netns, link)),
            left: event.left.and_then(|link| names.of(&event.netns, link)),
            mark: event.mark,
            bytes: hex(&event.bytes),
        }
    }
}

/// A verdict's word, and the chain that it leads to.
fn verdict(verdict: &Verdict) -> (&'static str, Option<String>) {
    match verdict {
        Verdict::Accept => ("accept", None),
        Verdict::Drop => ("drop", None),
        Verdict::Continue => ("continue", None),
        Verdict::Return => ("return", None),
        Verdict::Jump(chain) => ("jump", Some(chain.clone())),
        Verdict::Goto(chain) => ("goto", Some(chain.clone())),
        Verdict::Queue => ("queue", None),
    }
}

impl EventJson {
    fn new(names: Names<'_>, event: &KernelEvent) -> Self {
        let (kind, reason, symbol, detail) = match &event.kind {
            KernelEventKind::Dropped { reason, symbol } => ("dropped", Some(reason.to_string()), symbol.clone(), None),
            KernelEventKind::Consumed { symbol } => ("consumed", None, symbol.clone(), None),
            KernelEventKind::Queued => ("queued", None, None, None),
            KernelEventKind::Transmitted => ("transmitted", None, None, None),
            KernelEventKind::Received => ("received", None, None, None),
            KernelEventKind::Tap { hook, priority, family } => {
                ("hook", None, None, Some(format!("{hook} priority {priority} ({family:?})").to_lowercase()))
            }
            KernelEventKind::IcmpSent { icmp_type, code } => {
                ("icmp-sent", None, None, Some(format!("type {icmp_type} code {code}")))
            }
            KernelEventKind::ResetSent => ("reset-sent", None, None, None),
            KernelEventKind::Neighbour { address, before, after } => {
                ("neighbour", None, None, Some(format!("{address} state {before:#x} to {after:#x}")))
            }
        };
        Self {
            time: event.time,
            netns: event.netns.as_ref().map(ToString::to_string),
            dev: event.netns.as_ref().zip(event.link).and_then(|(netns, link)| names.of(netns, link)),
            kind,
            reason,
            symbol,
            detail,
            buffer: format!("{:016x}", event.buffer),
            mark: event.mark,
            bytes: hex(&event.bytes),
        }
    }
}

impl ConnectionJson {
    fn new(netns: &NetnsName, entry: &Entry) -> Self {
        Self {
            netns: netns.to_string(),
            original: FlowJson::from(&entry.original),
            reply: FlowJson::from(&entry.reply),
            answered: entry.answered(),
            status: entry.status,
            mark: entry.mark,
            zone: entry.zone,
            timeout: entry.timeout,
        }
    }
}

impl From<&ConnectionEvent> for ChangeJson<ConnectionJson> {
    fn from(event: &ConnectionEvent) -> Self {
        Self { change: event.change.name(), entry: ConnectionJson::new(&event.netns, &event.entry) }
    }
}

impl ChangeJson<NeighbourJson> {
    fn new(names: Names<'_>, event: &NeighbourEvent) -> Self {
        Self { change: event.change.name(), entry: NeighbourJson::new(names, &event.netns, &event.neighbour) }
    }
}

impl From<&RuleCount> for CountedJson {
    fn from(count: &RuleCount) -> Self {
        Self {
            netns: count.netns.to_string(),
            family: count.table.family.name(),
            table: count.table.name.clone(),
            chain: count.chain.clone(),
            rule: count.rule,
            packets: count.packets,
        }
    }
}

impl From<&Flow> for FlowJson {
    fn from(flow: &Flow) -> Self {
        Self {
            protocol: flow.protocol,
            source: flow.source.to_string(),
            source_port: flow.source_port,
            destination: flow.destination.to_string(),
            destination_port: flow.destination_port,
        }
    }
}

impl NeighbourJson {
    fn new(names: Names<'_>, netns: &NetnsName, entry: &Neighbour) -> Self {
        Self {
            netns: netns.to_string(),
            dev: names.of(netns, entry.link),
            address: entry.address.to_string(),
            mac: entry.mac.map(|mac| mac.to_string()),
            state: entry.state,
            proxy: entry.proxy,
        }
    }
}

impl RouteJson {
    fn new(names: Names<'_>, route: &KernelRoute) -> Self {
        let question = &route.question;
        let name = |link| names.of(&question.netns, link);
        Self {
            netns: question.netns.to_string(),
            source: question.query.source.map(|address| address.to_string()),
            destination: question.query.destination.to_string(),
            entered: question.query.entered.and_then(name),
            dev: route.answer.ok().flatten().and_then(name),
            errno: route.answer.err(),
        }
    }
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
