//! `filter-drop`: a rule or policy of the packet filter drops or refuses the packet.

use super::passage::Passage;
use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend, owner, told};
use crate::filter::{Connection, Decision, Device, End, Layer, Subject, walk};
use crate::model::ruleset::{Hook, text};
use crate::model::{Link, LinkName, Namespace};
use crate::trace::{Leg, Sight, Way};

/// Dropped before it was routed: at the device, or at prerouting.
pub(super) fn before_routing(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let (hook, decision) = lost(loss, &passage)?;
    if !matches!(hook, Hook::Ingress | Hook::Prerouting) {
        return None;
    }
    Some(verdict(loss, &passage, hook, decision))
}

/// Dropped after it was routed: as it was delivered, passed on, made or sent.
pub(super) fn after_routing(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let (hook, decision) = lost(loss, &passage)?;
    Some(verdict(loss, &passage, hook, decision))
}

/// Who drops the packet: as the packet filter's own trace told, or else as its rules would have it.
fn lost<'a>(loss: &Loss<'a>, passage: &Passage<'a>) -> Option<(Hook, Decision<'a>)> {
    told::dropped_by(loss).or_else(|| passage.lost())
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

/// A rule that drops frames between two ports of a bridge: of the bridge family, or of the IP filter that bridged
/// packets are handed to.
pub(super) fn across_a_bridge(loss: &Loss<'_>) -> Option<Verdict> {
    let port = loss.entered()?;
    let bridge = loss.netns.link(port.master?)?;
    let last = loss.last?;
    let subject = |layer, device: &Link| Subject {
        layer,
        netns: loss.netns,
        packet: last.bytes.clone(),
        ethernet: last.ethernet.clone(),
        entered: Some(Device::from(device)),
        leaves: out_port(loss, port).map(Device::from),
        mark: Some(0),
        connection: Connection::new_flow(),
    };
    let lost = |layer, device, hook| match walk(&subject(layer, device), hook).end {
        End::Lost(decision) => Some(decision),
        _ => None,
    };
    let by_bridge = [Hook::Prerouting, Hook::Forward].into_iter().find_map(|hook| lost(Layer::Bridged, port, hook));
    let (cause, object, decision) = if let Some(decision) = by_bridge {
        (Cause::FilterDrop, object(&decision), decision)
    } else {
        let switch = if loss.destination.is_ipv4() {
            "net.bridge.bridge-nf-call-iptables"
        } else {
            "net.bridge.bridge-nf-call-ip6tables"
        };
        loss.netns.sysctls.number(switch).filter(|v| *v == 1)?;
        (Cause::BridgeFiltered, switch.to_string(), lost(Layer::Ip, bridge, Hook::Forward)?)
    };
    let summary =
        format!("a frame that crosses {} of {} is dropped by {}", bridge.name, loss.here(), sentence(&decision));
    let verdict = Verdict::new(cause, Place::all_of(loss.here()), object.clone(), summary)
        .shown_by(evidence::seen(loss.world, last, " and was not seen again"))
        .shown_by(of_rule(loss.netns, &decision));
    Some(match cause {
        Cause::BridgeFiltered => {
            let switch = object.parse().ok()?;
            verdict
                .shown_by(evidence::sysctl(loss.netns, &switch, "0", 1))
                .mended_by(mend::sysctl(loss.netns, &switch, "0", 1))
                .advised("Bridged packets then pass no IP filter; some container engines count on it.")
        }
        _ => verdict.mended_by(mend::delete_rule(loss.netns, &decision)),
    })
}

/// The port of the same bridge behind which the destination is.
fn out_port<'a>(loss: &Loss<'a>, entered: &Link) -> Option<&'a Link> {
    let ports = loss.netns.links.iter().filter(|l| l.master == entered.master && l.index != entered.index);
    ports.into_iter().find(|port| loss.world.peer(loss.netns, port).is_some_and(|(_, end)| end.holds(loss.destination)))
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
