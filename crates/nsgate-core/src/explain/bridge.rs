//! `bridge-port-blocked`: a bridge keeps two of its ports, or what should be one, apart.

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence};
use crate::model::{Link, LinkKind, Namespace};

/// The interface that leads to the destination was never put into the bridge.
pub(super) fn detached(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss)?;
    if unresolved.holders().next().is_some() {
        return None;
    }
    let bridge = unresolved.segment.places.iter().find(|p| matches!(p.link.kind, LinkKind::Bridge(_)))?;
    let outer = |netns: &Namespace| {
        let held = |l: &&Link| l.holds(unresolved.asked);
        netns.links.iter().filter(held).find_map(|l| loss.world.peer(netns, l))
    };
    let alone = |l: &Link| l.master.is_none() && l.addresses.iter().all(|a| a.net.addr().is_ipv6());
    let (netns, port) =
        loss.world.namespaces.iter().filter_map(outer).find(|(n, l)| n.name == bridge.netns.name && alone(l))?;
    let summary = format!(
        "{} of {}, which leads to {}, is no port of {}",
        port.name, netns.name, unresolved.asked, bridge.link.name
    );
    let mut verdict = Verdict::new(
        Cause::BridgePortBlocked,
        Place::at(&netns.name, &port.name),
        format!("{} is not in {}", port.name, bridge.link.name),
        summary,
    )
    .shown_by(
        Evidence::new(EvidenceKind::Link, &netns.name, format!("{} has no master", port.name))
            .differs(bridge.link.name.to_string(), "none"),
    );
    if let Some(question) = unresolved.question {
        verdict = verdict.shown_by(evidence::seen(loss.world, question, " without a reply"));
    }
    let setting = crate::plan::LinkSetting::Master;
    Some(verdict.mended_by(super::mend::set_link(netns, port, setting(Some(bridge.link.name.clone())), setting(None))))
}
