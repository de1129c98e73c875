//! The places of traffic control that a packet meets at an interface: filters and programs on its way in, filters,
//! programs and queues on its way out. What comes in is seen by a capture before it meets them, what goes out after.

use super::resolution::Unresolved;
use super::{Loss, Stage, told};
use crate::model::{
    ActionKind, FilterKind, Link, LinkKind, Namespace, Program, Qdisc, QdiscKind, TrafficFilter, TrafficVerdict, U32Key,
};
use crate::trace::{DropReason, KernelEvent, KernelEventKind, Way};

/// The ethertype by which a filter is asked about every packet (ETH_P_ALL).
const ALL: u16 = 3;

/// One such place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate<'a> {
    pub(super) netns: &'a Namespace,
    pub(super) link: &'a Link,
    pub(super) way: Way,
}

/// What drops a packet at such a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Culprit<'a> {
    /// A BPF program that a filter of traffic control runs.
    Classifier(&'a TrafficFilter),
    /// A BPF program that is attached to the interface itself.
    Program(&'a Program),
    /// A filter that has what it picks dropped.
    Filter(&'a TrafficFilter),
    /// A filter that sends what it picks by an interface that is down.
    Redirect(&'a TrafficFilter, &'a Link),
    /// A queueing discipline.
    Queue(&'a Qdisc),
}

/// The places that the lost packet met, or would have met, after it was seen last.
pub(super) fn gates<'a>(loss: &Loss<'a>) -> Vec<Gate<'a>> {
    let netns = loss.netns;
    let gate = |way| move |link| Gate { netns, link, way };
    let mut gates = Vec::new();
    gates.extend(loss.entered().map(gate(Way::In)));
    let out: Vec<&Link> = match loss.stage {
        Stage::Left(link) => below(netns, link),
        Stage::Entered(_) | Stage::Made => {
            let bridge = loss.entered().and_then(|link| netns.link(link.master?));
            let out = loss.way_out().into_iter().chain(bridge.filter(|link| matches!(link.kind, LinkKind::Bridge(_))));
            out.flat_map(|link| [vec![link], below(netns, link)].concat()).collect()
        }
    };
    gates.extend(out.into_iter().map(gate(Way::Out)));
    let redirected: Vec<Gate<'a>> = gates.iter().flat_map(Gate::redirects).collect();
    gates.extend(redirected);
    // Whoever asks for the next hop meets what stands at the other end of the wire.
    let asked = Unresolved::of(loss).and_then(|of| loss.world.peer(of.netns, of.link));
    gates.extend(asked.map(|(netns, link)| Gate { netns, link, way: Way::In }));
    gates
}

/// The interfaces that carry what leaves by another one: the ports of a bridge, the lower device of a stacked one.
fn below<'a>(netns: &'a Namespace, link: &Link) -> Vec<&'a Link> {
    match (&link.kind, &link.peer) {
        (LinkKind::Bridge(_), _) => netns.links.iter().filter(|port| port.master == Some(link.index)).collect(),
        (kind, crate::model::Peer::Here(lower)) if *kind != LinkKind::Veth => netns.link(*lower).into_iter().collect(),
        _ => Vec::new(),
    }
}

impl<'a> Gate<'a> {
    /// The places that filters here send packets to, which pass them as what leaves there, and come back (an ifb).
    fn redirects(&self) -> Vec<Gate<'a>> {
        let here =
            |filter: &&TrafficFilter| filter.link == self.link.index && filter.on_egress() == (self.way == Way::Out);
        let actions = self.netns.traffic_filters.iter().filter(here).flat_map(|filter| &filter.actions);
        let targets = actions.filter_map(|action| match action.kind {
            ActionKind::Mirred { copy: false, ingress: false, link } => self.netns.link(link).filter(|link| link.up),
            _ => None,
        });
        targets.map(|link| Gate { netns: self.netns, link, way: Way::Out }).collect()
    }

    /// What the kernel told of a drop of the probe here by traffic control.
    pub(super) fn event(&self, loss: &Loss<'a>) -> Option<&'a KernelEvent> {
        let here = |event: &&KernelEvent| {
            event.netns.as_ref() == Some(&self.netns.name)
                && event.link.is_none_or(|link| link == self.link.index)
                && told::is_loss_of_probe(loss.observation, event)
        };
        loss.observation.kernel.iter().filter(here).find(|event| self.is_reason(event))
    }

    fn is_reason(&self, event: &KernelEvent) -> bool {
        let KernelEventKind::Dropped { reason: DropReason::Named(reason), .. } = &event.kind else { return false };
        match self.way {
            Way::In => reason == "TC_INGRESS",
            Way::Out => reason == "TC_EGRESS" || reason.starts_with("QDISC_"),
        }
    }

    /// A counter of traffic control here that moved, by its name: of a queue, or of what filters have dropped.
    pub(super) fn counter(&self, loss: &Loss<'_>, of_queue: bool) -> Option<String> {
        let qdiscs = self.netns.qdiscs.iter().filter(|qdisc| qdisc.link == self.link.index);
        let names = qdiscs.filter(|qdisc| is_queue(qdisc) == of_queue).map(|qdisc| qdisc.kind.name());
        let mut counters = names.map(|name| format!("qdisc.{}.{name}.drops", self.link.name));
        counters.find(|counter| loss.observation.moved(&self.netns.name, counter) > 0)
    }

    /// The queue whose drops were counted.
    pub(super) fn queue(&self, loss: &Loss<'_>) -> Option<Culprit<'a>> {
        if self.way == Way::In {
            return None;
        }
        let counted = |qdisc: &&Qdisc| {
            let counter = format!("qdisc.{}.{}.drops", self.link.name, qdisc.kind.name());
            qdisc.link == self.link.index && is_queue(qdisc) && loss.observation.moved(&self.netns.name, &counter) > 0
        };
        self.netns.qdiscs.iter().find(counted).map(Culprit::Queue)
    }

    /// The filter, or the program, that drops a packet here: the first that picks it or may pick it.
    pub(super) fn filter(&self, loss: &Loss<'a>) -> Option<Culprit<'a>> {
        let here =
            |filter: &&TrafficFilter| filter.link == self.link.index && filter.on_egress() == (self.way == Way::Out);
        let filters = self.netns.traffic_filters.iter().filter(here);
        let mut asked = filters.filter(|filter| self.may_pick(loss, filter));
        let found = asked.find_map(|filter| self.drops(filter));
        let program = |program: &&Program| {
            program.link == self.link.index
                && !program.place.is_xdp()
                && program.place.on_egress() == (self.way == Way::Out)
        };
        let program = self.netns.programs.iter().find(program).map(Culprit::Program);
        // What the filters drop, their queueing discipline counts.
        if self.counter(loss, false).is_some() { found.or(program) } else { program.or(found) }
    }

    /// Whether a filter picks the lost packet, or may do so.
    fn may_pick(&self, loss: &Loss<'_>, filter: &TrafficFilter) -> bool {
        let resolving = !std::ptr::eq(self.netns, loss.netns);
        let ethertype = match loss.family() {
            _ if resolving => ALL,
            crate::model::Family::V4 => 0x0800,
            crate::model::Family::V6 => 0x86dd,
        };
        if filter.protocol != ALL && ethertype != ALL && filter.protocol != ethertype {
            return false;
        }
        // On its way out the packet may have been rewritten since it was seen.
        let seen = loss.last.filter(|_| self.way == Way::In && !resolving);
        match (&filter.kind, seen) {
            (FilterKind::U32 { keys }, Some(sight)) => keys.iter().all(|key| fits(key, &sight.bytes).unwrap_or(true)),
            _ => true,
        }
    }

    /// What a filter does to what it picks, where that is a drop.
    fn drops(&self, filter: &'a TrafficFilter) -> Option<Culprit<'a>> {
        if matches!(filter.kind, FilterKind::Bpf { direct: true, .. }) {
            return Some(Culprit::Classifier(filter));
        }
        filter.actions.iter().find_map(|action| match &action.kind {
            ActionKind::Bpf { .. } => Some(Culprit::Classifier(filter)),
            ActionKind::Mirred { copy: false, link, .. } => {
                let target = self.netns.link(*link).filter(|link| !link.up)?;
                Some(Culprit::Redirect(filter, target))
            }
            ActionKind::Police { .. } => Some(Culprit::Filter(filter)),
            _ => (action.verdict == Some(TrafficVerdict::Shot)).then_some(Culprit::Filter(filter)),
        })
    }
}

/// Whether a queueing discipline holds packets, rather than being a place for filters.
fn is_queue(qdisc: &Qdisc) -> bool {
    !matches!(qdisc.kind, QdiscKind::Clsact | QdiscKind::Ingress)
}

/// Whether a comparison holds for these bytes; none where they do not reach so far.
fn fits(key: &U32Key, bytes: &[u8]) -> Option<bool> {
    let at = usize::try_from(key.offset).ok()?;
    let word = u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?);
    Some(word & key.mask == key.value & key.mask)
}
