//! `filter-drop`: a rule or policy of the packet filter drops or refuses the packet.

use super::passage::Passage;
use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend, owner};
use crate::filter::{Connection, Decision, Device, End, Layer, Subject, walk};
use crate::model::ruleset::{Hook, text};
use crate::model::{LinkName, Namespace};
use crate::trace::{Leg, Sight, Way};

/// Dropped before it was routed: at the device, or at prerouting.
pub(super) fn before_routing(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let (hook, decision) = passage.lost().filter(|(hook, _)| matches!(hook, Hook::Ingress | Hook::Prerouting))?;
    Some(verdict(loss, &passage, hook, decision))
}

/// Dropped after it was routed: as it was delivered, passed on, made or sent.
pub(super) fn after_routing(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let (hook, decision) = passage.lost()?;
    Some(verdict(loss, &passage, hook, decision))
}

fn verdict(loss: &Loss<'_>, passage: &Passage<'_>, hook: Hook, decision: Decision<'_>) -> Verdict {
    let leg = evidence::leg_name(loss.leg);
    let object = object(&decision);
    let summary = format!("{leg} is dropped in {} by {}", loss.here(), sentence(&decision));
    let place = Place { netns: loss.here().clone(), link: device(passage, hook) };
    let mut verdict = Verdict::new(Cause::FilterDrop, place, object, summary);
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and was not seen again"));
    }
    verdict = verdict.shown_by(of_rule(loss.netns, &decision));
    let mend = passage.at(hook).map(|walk| mend::let_pass(loss.netns, hook, &decision, &walk.after));
    with_mend(verdict, mend, &decision)
}

/// With the rule that lets the packet pass, and how it is taken away again.
fn with_mend(verdict: Verdict, mend: Option<mend::LetPass>, decision: &Decision<'_>) -> Verdict {
    let owner = owner::of(decision.table, decision.chain)
        .map(|o| format!(" The rule looks like {o}'s: change it there, or it comes back."))
        .unwrap_or_default();
    match mend {
        Some(mend) => verdict
            .mended_by(mend.plan)
            .undone_by(mend.undo)
            .advised(format!("This lets this one flow pass, no more.{owner}")),
        None => verdict,
    }
}

/// A rule that drops questions for neighbours, or the replies to them.
pub(super) fn of_resolution(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss)?;
    let journey = &loss.observation.journey;
    let about = |s: &&Sight| s.header.destination == unresolved.asked && s.way == Way::In;
    let mut heard = journey.of(Leg::Question).filter(about).chain(journey.of(Leg::Reply).filter(about));
    heard.find_map(|sight| {
        let netns = loss.world.namespace(&sight.netns)?;
        let link = netns.link(sight.link)?;
        // Whoever does not hold the address is not expected to answer.
        let concerned = sight.leg == Leg::Reply || netns.holder(unresolved.asked).is_some();
        let (hook, decision) = dropped(netns, sight, &Device::from(link)).filter(|_| concerned)?;
        let summary = format!(
            "{} drops {} at {} by {}",
            netns.name,
            evidence::leg_name(sight.leg),
            link.name,
            sentence(&decision)
        );
        let place = Place { netns: netns.name.clone(), link: (hook == Hook::Ingress).then(|| link.name.clone()) };
        let verdict = Verdict::new(Cause::FilterDrop, place, object(&decision), summary)
            .shown_by(evidence::seen(loss.world, sight, ""))
            .shown_by(of_rule(netns, &decision));
        Some(verdict.mended_by(mend::delete_rule(netns, &decision)))
    })
}

/// Who drops a frame that asks for, or tells of, a neighbour, on its way into a namespace.
fn dropped<'a>(netns: &'a Namespace, sight: &Sight, device: &Device) -> Option<(Hook, Decision<'a>)> {
    let arp = sight.header.protocol == 0;
    let layer = if arp { Layer::Arp } else { Layer::Ip };
    let subject = |layer| Subject {
        layer,
        netns,
        packet: sight.bytes.clone(),
        ethernet: sight.ethernet.clone(),
        entered: Some(device.clone()),
        leaves: None,
        mark: Some(0),
        connection: Connection::default(),
    };
    let hooks: &[(Hook, Layer)] = if arp {
        &[(Hook::Ingress, Layer::Device), (Hook::Input, layer)]
    } else {
        &[(Hook::Ingress, Layer::Device), (Hook::Prerouting, layer), (Hook::Input, layer)]
    };
    hooks.iter().find_map(|(hook, layer)| match walk(&subject(*layer), *hook).end {
        End::Lost(decision) => Some((*hook, decision)),
        _ => None,
    })
}

/// The object at fault: the rule with its table and chain, or the policy.
pub(super) fn object(decision: &Decision<'_>) -> String {
    let Decision { table, chain, rule } = decision;
    let family = table.family.name();
    match rule {
        Some(rule) => format!(
            "{family} {} {}: {} (handle {})",
            table.name,
            chain.name,
            text::rule(table.family, &table.sets, rule),
            rule.handle
        ),
        None => format!("{family} {} {}: policy drop", table.name, chain.name),
    }
}

fn sentence(decision: &Decision<'_>) -> String {
    let Decision { table, chain, rule } = decision;
    let family = table.family.name();
    match rule {
        Some(rule) => format!(
            "the rule '{}' of chain {} in table {family} {}",
            text::rule(table.family, &table.sets, rule),
            chain.name,
            table.name
        ),
        None => format!("the policy of chain {} in table {family} {}: no rule accepts it", chain.name, table.name),
    }
}

/// The rule as evidence.
pub(super) fn of_rule(netns: &Namespace, decision: &Decision<'_>) -> Evidence {
    Evidence::new(EvidenceKind::Ruleset, &netns.name, object(decision)).differs("accept", "drop")
}

/// The interface that a device's hook belongs to.
fn device(passage: &Passage<'_>, hook: Hook) -> Option<LinkName> {
    let after = &passage.at(hook)?.after;
    let device = match hook {
        Hook::Ingress => after.entered.as_ref(),
        Hook::Egress => after.leaves.as_ref(),
        _ => None,
    };
    device?.name.parse().ok()
}
