//! `mtu-exceeded`: the packet is larger than an MTU on its way.
//!
//! A router that may not cut it says so (ICMP 3/4, packet too big); a wire's other end or a bridge port just drops it
//! (linux net/core/dev.c is_skb_forwardable, net/bridge/br_forward.c), without a counter that names the reason.

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::{Link, LinkKind, Namespace};
use crate::trace::{Ending, Leg};

/// The packet is larger than the MTU of the next interface.
pub(super) fn exceeded(loss: &Loss<'_>) -> Option<Verdict> {
    let length = loss.header()?.length;
    let (netns, link) = match loss.stage {
        Stage::Left(link) => loss.world.peer(loss.netns, link).filter(|_| link.kind == LinkKind::Veth)?,
        Stage::Entered(port) if port.master.is_some() => (loss.netns, port_too_small(loss, port, length)?),
        Stage::Entered(_) => (loss.netns, loss.way_out().filter(|_| told_too_big(loss))?),
        Stage::Made => return None,
    };
    if length <= link.mtu {
        return None;
    }
    let object = format!("mtu {} of {}", link.mtu, link.name);
    let summary =
        format!("the packet has {length} bytes, and {} of {} takes no more than {}", link.name, netns.name, link.mtu);
    let verdict = Verdict::new(Cause::MtuExceeded, Place::at(&netns.name, &link.name), object, summary)
        .shown_by(evidence::seen(loss.world, loss.last?, " and was not seen again"))
        .shown_by(
            Evidence::new(EvidenceKind::Link, &netns.name, format!("the MTU of {} is {}", link.name, link.mtu))
                .differs(format!("at least {length}"), link.mtu.to_string()),
        );
    let wanted = usual_mtu(loss).max(length);
    Some(verdict.mended_by(mend::mtu(netns, link, wanted)))
}

/// The MTU of the interface that the packet left by first: what its sender thinks the way can carry.
fn usual_mtu(loss: &Loss<'_>) -> u32 {
    let first = loss.observation.journey.of(loss.leg).next();
    first.and_then(|s| loss.world.namespace(&s.netns)?.link(s.link)).map_or(0, |l| l.mtu)
}

/// The port of a bridge that the packet should leave by, and is too large for.
fn port_too_small<'a>(loss: &Loss<'a>, entered: &Link, length: u32) -> Option<&'a Link> {
    let toward = |port: &&Link| {
        let segment = loss.world.peer(loss.netns, port);
        segment.is_some_and(|(_, end)| end.holds(loss.destination))
    };
    let ports = |n: &'a Namespace| n.links.iter().filter(|l| l.master == entered.master && l.index != entered.index);
    ports(loss.netns).filter(toward).find(|port| port.mtu < length)
}

/// Whether somebody said that the packet is too big.
fn told_too_big(loss: &Loss<'_>) -> bool {
    let fits = |icmp_type: u8, code: u8, v4: bool| if v4 { (icmp_type, code) == (3, 4) } else { icmp_type == 2 };
    let ended = matches!(&loss.observation.ending, Ending::IcmpError { from, icmp_type, code, .. } if fits(*icmp_type, *code, from.is_ipv4()));
    let refused = matches!(&loss.observation.ending, Ending::Refused { errno: 90, .. });
    ended
        || refused
        || loss.moved("Ip.FragFails") > 0
        || loss.moved("Ip6.FragFails") > 0
        || loss
            .observation
            .journey
            .of(Leg::Error)
            .any(|e| e.header.text.contains("too big") || e.header.text.contains("fragmentation"))
}
