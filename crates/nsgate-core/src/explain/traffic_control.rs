//! `qdisc-drop`, and `bpf-drop` where traffic control runs the program: what stands at an interface beside the packet
//! filter drops the packet.

use super::gate::{Culprit, Gate, gates};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend};
use crate::model::{FilterKind, Link, QdiscKind, TrafficFilter, U32Key};
use crate::plan::RootQueue;
use crate::trace::{DropReason, KernelEvent, KernelEventKind, Way};

/// The kernel itself says that traffic control dropped the probe.
pub(super) fn told(loss: &Loss<'_>) -> Option<Verdict> {
    gates(loss).iter().find_map(|gate| {
        let event = gate.event(loss)?;
        let of_queue = by_queue(event);
        let culprit = if of_queue { gate.queue(loss) } else { gate.filter(loss) }?;
        Some(verdict(loss, gate, culprit, gate.counter(loss, of_queue)))
    })
}

/// Whether a queueing discipline dropped it, rather than what filters at it.
fn by_queue(event: &KernelEvent) -> bool {
    let KernelEventKind::Dropped { reason: DropReason::Named(reason), .. } = &event.kind else { return false };
    reason.starts_with("QDISC_")
}

/// The filters on the packet's way in counted a drop meanwhile.
pub(super) fn on_ingress(loss: &Loss<'_>) -> Option<Verdict> {
    gates(loss).iter().filter(|gate| gate.way == Way::In).find_map(|gate| {
        let counter = gate.counter(loss, false)?;
        Some(verdict(loss, gate, gate.filter(loss)?, Some(counter)))
    })
}

/// A queue, or the filters on the packet's way out, counted a drop meanwhile, and the packet did not leave.
pub(super) fn on_egress(loss: &Loss<'_>) -> Option<Verdict> {
    gates(loss).iter().filter(|gate| gate.way == Way::Out).find_map(|gate| {
        if let Some(counter) = gate.counter(loss, false)
            && let Some(culprit) = gate.filter(loss)
        {
            return Some(verdict(loss, gate, culprit, Some(counter)));
        }
        let counter = gate.counter(loss, true)?;
        Some(verdict(loss, gate, gate.queue(loss)?, Some(counter)))
    })
}

/// A BPF program is attached where the packet came in and no IP packet was counted afterwards, or where it should leave.
pub(super) fn by_program(loss: &Loss<'_>) -> Option<Verdict> {
    let unheard = |gate: &&Gate<'_>| {
        let counter = if loss.destination.is_ipv4() { "Ip.InReceives" } else { "Ip6.InReceives" };
        gate.way == Way::Out || loss.observation.moved(&gate.netns.name, counter) == 0
    };
    gates(loss).iter().filter(unheard).find_map(|gate| match gate.filter(loss)? {
        culprit @ Culprit::Program(_) => Some(verdict(loss, gate, culprit, None)),
        _ => None,
    })
}

fn verdict(loss: &Loss<'_>, gate: &Gate<'_>, culprit: Culprit<'_>, counter: Option<String>) -> Verdict {
    let (netns, link) = (gate.netns, gate.link);
    let way = way(gate.way);
    let cause = match culprit {
        Culprit::Classifier(_) | Culprit::Program(_) => Cause::BpfDrop,
        Culprit::Filter(_) | Culprit::Redirect(..) | Culprit::Queue(_) => Cause::QdiscDrop,
    };
    let object = match culprit {
        Culprit::Classifier(filter) | Culprit::Filter(filter) => {
            format!("tc {way} {} on {}", filter_text(filter), link.name)
        }
        Culprit::Redirect(filter, target) => {
            format!("tc {way} {} on {}: mirred redirect to {} (down)", filter_text(filter), link.name, target.name)
        }
        Culprit::Program(program) => {
            let name = program.name.as_deref().map_or_else(|| format!("{}", program.id), str::to_owned);
            format!("{} program {name} on {}", program.place.name(), link.name)
        }
        Culprit::Queue(qdisc) => format!("qdisc {} on {}", queue_text(&qdisc.kind), link.name),
    };
    let summary = format!("{} is dropped in {} by the {object}", evidence::leg_name(loss.leg), netns.name);
    let mut verdict = Verdict::new(cause, Place::at(&netns.name, &link.name), object, summary);
    if let Some(counter) = counter {
        let moved = loss.observation.moved(&netns.name, &counter);
        let text = format!("{counter} rose by {moved} meanwhile");
        verdict =
            verdict.shown_by(Evidence::new(EvidenceKind::Counter, &netns.name, text).differs("0", moved.to_string()));
    }
    if let Some(entered) = loss.entered() {
        verdict = verdict.shown_by(evidence::came_no_further(loss, entered));
    }
    mended(verdict, loss, gate, culprit)
}

fn mended(verdict: Verdict, loss: &Loss<'_>, gate: &Gate<'_>, culprit: Culprit<'_>) -> Verdict {
    let (netns, link) = (gate.netns, gate.link);
    let noted = format!(
        "nsgate cannot put it back: note it first (tc filter show dev {} {}). It opens what the filter held back; an \
         agent that owns it attaches it again, so change its policy there.",
        link.name,
        way(gate.way)
    );
    match culprit {
        Culprit::Classifier(filter) | Culprit::Filter(filter) => {
            verdict.mended_by(mend::delete_filter(netns, link, filter)).advised(noted)
        }
        Culprit::Redirect(_, target) => {
            let state = evidence::link_state(netns, target);
            verdict.shown_by(state).mended_by(mend::link_up(netns, target))
        }
        Culprit::Program(_) => verdict.advised(
            "A program that was attached by a link goes only with its owner: find that (bpftool net, bpftool link) and \
             change its policy there.",
        ),
        Culprit::Queue(qdisc) => {
            let queue = larger(&qdisc.kind, link, loss.header().map_or(0, |header| header.length));
            let plan = mend::replace_queue(netns, link, qdisc, queue);
            match queue {
                RootQueue::Usual => verdict.mended_by(plan).advised(
                    "The kernel's own queue takes its place, and nothing is shaped there any more. Note what it was \
                     (tc qdisc show), and look for who sets it.",
                ),
                _ => verdict.mended_by(plan).advised("Look for who sets it: it may be set again at the next start."),
            }
        }
    }
}

/// The same queue with room for whole packets; where that cannot be said, the kernel's own.
fn larger(kind: &QdiscKind, link: &Link, length: u32) -> RootQueue {
    /// So many packets of the largest size fit at least.
    const PACKETS: u32 = 10;
    /// A link-layer header with a VLAN tag.
    const HEADER: u32 = 18;
    let room = (link.mtu.max(length).saturating_add(HEADER)).saturating_mul(PACKETS);
    match *kind {
        QdiscKind::Bfifo { limit } if limit < room => RootQueue::Bfifo { limit: room },
        QdiscKind::Pfifo { limit } if limit < PACKETS => RootQueue::Pfifo { limit: 1000 },
        QdiscKind::Tbf { rate, burst, limit } if burst < u64::from(room) => {
            RootQueue::Tbf { rate, burst: room, limit: limit.max(room) }
        }
        _ => RootQueue::Usual,
    }
}

fn filter_text(filter: &TrafficFilter) -> String {
    match &filter.kind {
        FilterKind::Bpf { name: Some(name), .. } => format!("bpf filter {name}"),
        FilterKind::U32 { keys } if keys.is_empty() => "u32 filter (all packets)".into(),
        FilterKind::U32 { keys } => {
            let key = |key: &U32Key| format!("{:08x}/{:08x} at {}", key.value, key.mask, key.offset);
            format!("u32 filter ({})", keys.iter().map(key).collect::<Vec<_>>().join(", "))
        }
        kind => format!("{} filter", kind.name()),
    }
}

fn queue_text(kind: &QdiscKind) -> String {
    match kind {
        QdiscKind::Bfifo { limit } => format!("bfifo limit {limit} bytes"),
        QdiscKind::Pfifo { limit } => format!("pfifo limit {limit} packets"),
        QdiscKind::Tbf { rate, burst, limit } => {
            format!("tbf rate {}bit burst {burst} limit {limit}", u128::from(*rate) * 8)
        }
        kind => kind.name().to_owned(),
    }
}

fn way(way: Way) -> &'static str {
    match way {
        Way::In => "ingress",
        Way::Out => "egress",
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, kernel_event};
    use crate::model::{
        ActionKind, FilterKind, Handle, Link, LinkIndex, Peer, Program, ProgramPlace, Qdisc, QdiscKind, QueueCounts,
        TrafficAction, TrafficFilter, TrafficVerdict, U32Key,
    };
    use crate::trace::{DropReason, KernelEventKind};

    fn queue(fixture: &mut Fixture, link: u32, parent: Handle, kind: QdiscKind) {
        let counts = QueueCounts::default();
        let qdisc = Qdisc { link: LinkIndex(link), handle: Handle(0x10_0000), parent, kind, counts };
        fixture.netns("host").qdiscs.push(qdisc);
    }

    /// A filter on what comes in at veth3, and what it does to what it picks.
    fn filter(fixture: &mut Fixture, kind: FilterKind, action: Option<(ActionKind, TrafficVerdict)>) {
        let counts = QueueCounts::default();
        let action = action.map(|(kind, verdict)| TrafficAction { kind, verdict: Some(verdict), counts });
        fixture.netns("host").traffic_filters.push(TrafficFilter {
            link: LinkIndex(2),
            parent: Handle::CLSACT_INGRESS,
            chain: 0,
            priority: 7,
            protocol: 0x0800,
            handle: 1,
            kind,
            class: None,
            actions: action.into_iter().collect(),
        });
    }

    fn to(last: u32) -> FilterKind {
        FilterKind::U32 { keys: vec![U32Key { offset: 16, mask: 0xffff_ffff, value: 0x7272_7200 + last }] }
    }

    #[test]
    fn the_filter_that_picks_the_packet_is_named_and_not_the_one_before() {
        let mut fixture = Fixture::lost_at_the_gateway();
        queue(&mut fixture, 2, Handle::INGRESS, QdiscKind::Clsact);
        filter(&mut fixture, to(7), Some((ActionKind::Gact, TrafficVerdict::Shot)));
        assert_ne!(fixture.verdict().0, "qdisc-drop", "nothing was counted");
        fixture.counted("host", "qdisc.veth3.clsact.drops");
        assert_ne!(fixture.verdict().0, "qdisc-drop", "the filter is for another destination");
        filter(&mut fixture, to(0x72), Some((ActionKind::Gact, TrafficVerdict::Shot)));
        fixture.netns("host").traffic_filters[1].priority = 8;
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("qdisc-drop", "host/veth3"));
        assert_eq!(object, "tc ingress u32 filter (72727272/ffffffff at 16) on veth3");
        assert_eq!(fixture.explained().fix.commands(), ["tc filter del dev veth3 ingress pref 8"]);
    }

    #[test]
    fn what_is_sent_by_an_interface_that_is_down_is_mended_there() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let mirror = Link {
            index: LinkIndex(9),
            name: "ifb0".parse().unwrap(),
            up: false,
            ..fixture.link("host", "eth2").clone()
        };
        fixture.netns("host").links.push(Link { addresses: Vec::new(), peer: Peer::None, ..mirror });
        queue(&mut fixture, 2, Handle::INGRESS, QdiscKind::Clsact);
        let redirect = ActionKind::Mirred { copy: false, ingress: false, link: LinkIndex(9) };
        filter(&mut fixture, FilterKind::U32 { keys: Vec::new() }, Some((redirect, TrafficVerdict::Stolen)));
        fixture.counted("host", "qdisc.veth3.clsact.drops");
        let verdict = fixture.explained();
        assert_eq!(verdict.cause.code(), "qdisc-drop");
        assert!(verdict.object.ends_with("mirred redirect to ifb0 (down)"), "{verdict:?}");
        assert_eq!(verdict.fix.commands(), ["ip link set ifb0 up"]);
    }

    #[test]
    fn the_queue_of_an_interface_that_a_filter_sends_packets_by() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let ifb = crate::model::Link {
            index: LinkIndex(9),
            name: "ifb0".parse().unwrap(),
            addresses: Vec::new(),
            ..fixture.link("host", "veth3").clone()
        };
        fixture.netns("host").links.push(ifb);
        queue(&mut fixture, 9, Handle::ROOT, QdiscKind::Tbf { rate: 1_000_000, burst: 1000, limit: 3000 });
        fixture.counted("host", "qdisc.ifb0.tbf.drops");
        assert_ne!(fixture.verdict().0, "qdisc-drop", "nothing leads the packet there");
        let redirect = ActionKind::Mirred { copy: false, ingress: false, link: LinkIndex(9) };
        filter(&mut fixture, FilterKind::U32 { keys: Vec::new() }, Some((redirect, TrafficVerdict::Stolen)));
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("qdisc-drop", "host/ifb0"));
        assert!(object.contains("tbf"), "{object}");
    }

    #[test]
    fn a_program_is_told_from_other_filters() {
        let mut fixture = Fixture::lost_at_the_gateway();
        queue(&mut fixture, 2, Handle::INGRESS, QdiscKind::Clsact);
        filter(&mut fixture, FilterKind::Bpf { name: Some("policy.o".into()), id: Some(3), direct: true }, None);
        fixture.counted("host", "qdisc.veth3.clsact.drops");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("bpf-drop", "host/veth3"));
        assert_eq!(object, "tc ingress bpf filter policy.o on veth3");
        // Of another protocol it picks nothing.
        fixture.netns("host").traffic_filters[0].protocol = 0x86dd;
        assert_ne!(fixture.verdict().0, "bpf-drop");
    }

    #[test]
    fn what_the_kernel_tells_needs_no_counter() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let place = ProgramPlace::TcxIngress;
        let program = Program { link: LinkIndex(2), place, id: 9, name: Some("guard".into()) };
        fixture.netns("host").programs.push(program);
        let reason = DropReason::Named("TC_INGRESS".into());
        fixture.observation.kernel = vec![kernel_event(KernelEventKind::Dropped { reason, symbol: None })];
        let (cause, place, object) = fixture.verdict();
        assert_eq!(
            (cause.as_str(), place.as_str(), object.as_str()),
            ("bpf-drop", "host/veth3", "tcx ingress program guard on veth3")
        );
        assert!(fixture.explained().fix.commands().is_empty());
        // Where the kernel tells nothing, it is likely as long as IP counted nothing.
        fixture.observation.kernel.clear();
        assert_eq!(fixture.verdict().0, "bpf-drop");
        fixture.counted("host", "Ip.InReceives");
        assert_ne!(fixture.verdict().0, "bpf-drop");
    }

    #[test]
    fn a_queue_without_room_for_the_packet() {
        let mut fixture = Fixture::lost_at_the_gateway();
        queue(&mut fixture, 3, Handle::ROOT, QdiscKind::Tbf { rate: 1_250_000, burst: 600, limit: 100_000 });
        assert_ne!(fixture.verdict().0, "qdisc-drop", "nothing was counted");
        fixture.counted("host", "qdisc.eth2.tbf.drops");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("qdisc-drop", "host/eth2"));
        assert_eq!(object, "qdisc tbf rate 10000000bit burst 600 limit 100000 on eth2");
        let fix = fixture.explained().fix;
        assert_eq!(fix.commands(), ["tc qdisc replace dev eth2 root tbf rate 10000000bit burst 15180 limit 100000"]);
        let undo = fix.inverse().commands();
        assert_eq!(undo, ["tc qdisc replace dev eth2 root tbf rate 10000000bit burst 600 limit 100000"]);
    }

    #[test]
    fn a_queue_that_cannot_be_mended_gives_way_to_the_kernels_own() {
        let mut fixture = Fixture::lost_at_the_gateway();
        queue(&mut fixture, 3, Handle::ROOT, QdiscKind::Other("netem".into()));
        fixture.counted("host", "qdisc.eth2.netem.drops");
        assert_eq!(fixture.explained().fix.commands(), ["tc qdisc del dev eth2 root"]);
    }
}
