//! `xfrm-drop`: an IPsec policy refuses the packet, or has no state to send it by.
//!
//! A packet that is passed on meets the policies for forwarding and then those for the way out, one that is delivered
//! those for the way in (linux net/xfrm/xfrm_policy.c). What came in encrypted cannot be told from what came in the clear
//! by looking at it, so a policy that asks for encryption there is blamed only where the kernel counted so.

use std::net::IpAddr;

use super::passage::Passage;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend, told};
use crate::model::ruleset::Hook;
use crate::model::{Setting, XfrmDirection, XfrmPolicy, XfrmSelector, XfrmTemplate, xfrm_protocol};
use crate::plan::{NewPolicy, Plan};
use crate::trace::ProbeKind;

/// The first policy on the packet's way that does not let it pass.
pub(super) fn refused(loss: &Loss<'_>) -> Option<Verdict> {
    let directions: &[XfrmDirection] = match loss.stage {
        Stage::Left(_) => return None,
        Stage::Made => &[XfrmDirection::Out],
        Stage::Entered(_) if loss.arrived() => &[XfrmDirection::In],
        Stage::Entered(_) => &[XfrmDirection::Forward, XfrmDirection::Out],
    };
    directions.iter().filter(|direction| !passes_by(loss, **direction)).find_map(|direction| {
        ends(loss, *direction).into_iter().find_map(|packet| of_direction(loss, *direction, packet))
    })
}

/// Whether an interface is set to let packets pass by the policies.
fn passes_by(loss: &Loss<'_>, direction: XfrmDirection) -> bool {
    let (link, setting) = match direction {
        XfrmDirection::Out => (loss.way_out(), Setting::DisableXfrm),
        XfrmDirection::In | XfrmDirection::Forward => (loss.entered(), Setting::DisablePolicy),
    };
    link.and_then(|link| link.setting(loss.family(), setting)).is_some_and(|value| value > 0)
}

/// What a selector asks of a packet.
#[derive(Clone, Copy)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: (Option<u16>, Option<u16>),
    link: Option<crate::model::LinkIndex>,
}

/// The packet as the policies of a direction meet it: as it was routed, and, on its way out, as it was translated then.
fn ends(loss: &Loss<'_>, direction: XfrmDirection) -> Vec<Packet> {
    let Some(source) = loss.source else { return Vec::new() };
    let header = loss.header();
    let identity = loss.observation.identity;
    let link = match direction {
        XfrmDirection::Out => loss.way_out().map(|link| link.index),
        XfrmDirection::In | XfrmDirection::Forward => loss.entered().map(|link| link.index),
    };
    let probe = loss.observation.probe.kind;
    let packet = Packet {
        source,
        destination: loss.destination,
        protocol: header.map_or_else(|| number(probe, loss.destination), |header| header.protocol),
        ports: (
            header.map_or(identity.map(|i| i.source.port()), |header| header.source_port),
            header.map_or(probe.port(), |header| header.destination_port),
        ),
        link,
    };
    let translated = Passage::of(loss).and_then(|passage| {
        let ip = passage.at(Hook::Postrouting)?.after.ip()?;
        Some(Packet { source: ip.source, destination: ip.destination, ..packet })
    });
    let translated = translated.filter(|after| direction == XfrmDirection::Out && after.source != packet.source);
    [packet].into_iter().chain(translated).collect()
}

/// The probe's transport protocol by its number.
fn number(probe: ProbeKind, destination: IpAddr) -> u8 {
    match probe {
        ProbeKind::Icmp if destination.is_ipv4() => 1,
        ProbeKind::Icmp => 58,
        ProbeKind::Tcp(_) => 6,
        ProbeKind::Udp(_) => 17,
    }
}

fn of_direction(loss: &Loss<'_>, direction: XfrmDirection, packet: Packet) -> Option<Verdict> {
    let xfrm = &loss.netns.xfrm;
    let of_all = |policy: &&XfrmPolicy| {
        policy.direction == direction && !policy.of_socket && policy.interface.is_none() && marked_so(policy, 0)
    };
    let mut asked = xfrm.policies.iter().filter(of_all).filter(|policy| picks(&policy.selector, packet));
    let Some(policy) = asked.next() else {
        let by_default = xfrm.refused_by_default.contains(&direction).then(|| refused_by_default(loss, direction));
        return by_default;
    };
    if policy.refuses {
        return Some(refusal(loss, policy, "refuses what it picks", refusing_counter(direction)));
    }
    let required = policy.templates.iter().filter(|template| !template.optional);
    if direction == XfrmDirection::Out {
        let without = required.into_iter().find(|template| xfrm.states_for(template).next().is_none())?;
        let why = format!("has no state for {}", words(without));
        return Some(refusal(loss, policy, &why, "Xfrm.OutNoStates"));
    }
    // Whether it came in encrypted, the kernel knows.
    let template = required.into_iter().next()?;
    (loss.moved("Xfrm.InTmplMismatch") > 0 || told::dropped_for(loss, &["XFRM_POLICY"]).is_some()).then(|| {
        let why = format!("wants it encrypted ({}), and it came in the clear", words(template));
        refusal(loss, policy, &why, "Xfrm.InTmplMismatch")
    })
}

fn refusing_counter(direction: XfrmDirection) -> &'static str {
    match direction {
        XfrmDirection::Out => "Xfrm.OutPolBlock",
        XfrmDirection::In | XfrmDirection::Forward => "Xfrm.InPolBlock",
    }
}

fn refusal(loss: &Loss<'_>, policy: &XfrmPolicy, why: &str, counter: &str) -> Verdict {
    let selector = &policy.selector;
    let name = format!("src {} dst {} dir {}", selector.source, selector.destination, policy.direction.name());
    let object = format!("IPsec policy {name} priority {}", policy.priority);
    let summary = format!("the IPsec policy '{name}' of {} {why}", loss.here());
    let verdict = shown(loss, Verdict::new(Cause::XfrmDrop, Place::all_of(loss.here()), object, summary), counter)
        .shown_by(Evidence::new(EvidenceKind::Kernel, loss.here(), format!("the policy {why}")));
    if !policy.refuses {
        return verdict.advised(
            "Bring the tunnel up (swanctl --initiate --child NAME), or find out why it does not come up. Where this is \
             meant to go in the clear, or the policy was left behind, take it away: ip xfrm policy delete.",
        );
    }
    verdict
        .mended_by(let_pass(loss, policy))
        .advised("Somebody may have put the policy there on purpose: what it refused goes in the clear now. Ask first.")
}

/// Lets this one flow pass in front of the policy; one that nothing can come before is taken away.
fn let_pass(loss: &Loss<'_>, policy: &XfrmPolicy) -> Plan {
    let alone = |address| ipnet::IpNet::from(address);
    match (policy.priority.checked_sub(1), loss.source) {
        (Some(priority), Some(source)) => mend::add_policy(
            loss.netns,
            NewPolicy {
                source: alone(source),
                destination: alone(loss.destination),
                direction: policy.direction,
                priority,
                refuses: false,
                templates: Vec::new(),
            },
        ),
        _ => NewPolicy::of(policy).map(|policy| mend::delete_policy(loss.netns, policy)).unwrap_or_default(),
    }
}

fn refused_by_default(loss: &Loss<'_>, direction: XfrmDirection) -> Verdict {
    let name = direction.name();
    let object = format!("IPsec default policy of direction {name}: block");
    let summary = format!("{} refuses what no IPsec policy of direction {name} picks", loss.here());
    let counter = if direction == XfrmDirection::Out { "Xfrm.OutPolBlock" } else { "Xfrm.InNoPols" };
    let verdict = Verdict::new(Cause::XfrmDrop, Place::all_of(loss.here()), object, summary);
    shown(loss, verdict, counter).advised(format!(
        "Add a policy that lets it pass, or let all pass that has none: ip xfrm policy setdefault {name} accept"
    ))
}

fn shown(loss: &Loss<'_>, verdict: Verdict, counter: &str) -> Verdict {
    let counted = (loss.moved(counter) > 0).then(|| evidence::counted(loss, counter));
    let seen = loss.last.map(|last| evidence::seen(loss.world, last, " and was not seen again"));
    let words = evidence::sender_words(loss).filter(|_| matches!(loss.stage, Stage::Made));
    let sender = words.map(|words| Evidence::new(EvidenceKind::Sender, loss.here(), words));
    verdict.shown_by_all(seen.into_iter().chain(sender).chain(counted).chain(told::dropped_for(loss, &["XFRM_POLICY"])))
}

fn marked_so(policy: &XfrmPolicy, mark: u32) -> bool {
    policy.mark.is_none_or(|(value, mask)| mark & mask == value & mask)
}

fn picks(selector: &XfrmSelector, packet: Packet) -> bool {
    let port = |wanted: Option<(u16, u16)>, found: Option<u16>| match (wanted, found) {
        (None, _) => true,
        (Some((value, mask)), Some(found)) => found & mask == value & mask,
        (Some(_), None) => false,
    };
    selector.source.contains(&packet.source)
        && selector.destination.contains(&packet.destination)
        && (selector.protocol == 0 || selector.protocol == packet.protocol)
        && port(selector.source_port, packet.ports.0)
        && port(selector.destination_port, packet.ports.1)
        && selector.link.is_none_or(|link| packet.link == Some(link))
}

fn words(template: &XfrmTemplate) -> String {
    let end = |address: Option<IpAddr>| address.map_or_else(|| "any".to_owned(), |address| address.to_string());
    let (protocol, mode) = (xfrm_protocol(template.protocol), template.mode.name());
    format!("{protocol} {mode} {} > {}", end(template.source), end(template.destination))
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{Family, Setting, XfrmDirection};
    use crate::plan::{NewPolicy, Step, simulate};
    use crate::trace::Leg;

    fn with_policy(mut fixture: Fixture, netns: &str, line: &str) -> Fixture {
        let step: Step = format!("ip xfrm policy add {line}").parse().unwrap();
        let step = Step { netns: fixture.netns(netns).name.clone(), ..step };
        simulate::apply(&mut fixture.world, &step).unwrap();
        fixture
    }

    fn at_the_gateway() -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture
    }

    #[test]
    fn a_policy_that_blocks_what_is_passed_on() {
        for (fixture, line, mend) in [
            (
                at_the_gateway(),
                "src 1.1.1.0/24 dst 114.114.114.0/24 dir fwd priority 7 action block",
                "ip xfrm policy add src 1.1.1.2/32 dst 114.114.114.114/32 dir fwd priority 6",
            ),
            (
                at_the_gateway(),
                "src 1.1.1.0/24 dst 114.114.114.0/24 dir out action block",
                "ip xfrm policy delete src 1.1.1.0/24 dst 114.114.114.0/24 dir out",
            ),
        ] {
            let fixture = with_policy(fixture, "host", line);
            let (cause, place, object) = fixture.verdict();
            assert_eq!((cause.as_str(), place.as_str()), ("xfrm-drop", "host"));
            assert!(object.starts_with("IPsec policy src 1.1.1.0/24"), "{object}");
            assert_eq!(fixture.explained().fix.commands(), [mend]);
        }
        let mut exempt = with_policy(at_the_gateway(), "host", "src 1.1.1.0/24 dst 0.0.0.0/0 dir fwd action block");
        exempt.setting("host", "veth3", Family::V4, Setting::DisablePolicy, 1);
        assert_ne!(exempt.verdict().0, "xfrm-drop");
        let other = "src 1.1.2.0/24 dst 114.114.114.0/24 dir fwd action block";
        assert_ne!(with_policy(at_the_gateway(), "host", other).verdict().0, "xfrm-drop");
    }

    #[test]
    fn the_policy_of_the_smallest_priority_counts() {
        let block = "src 1.1.1.0/24 dst 114.114.114.0/24 dir fwd priority 7 action block";
        let allow = "src 1.1.1.2/32 dst 114.114.114.114/32 dir fwd priority 6";
        let fixture = with_policy(with_policy(at_the_gateway(), "host", block), "host", allow);
        assert_ne!(fixture.verdict().0, "xfrm-drop");
    }

    #[test]
    fn a_policy_without_a_state() {
        let tunnel = "tmpl src 10.20.30.182 dst 10.20.30.9 proto esp mode tunnel";
        let fixture = with_policy(at_the_gateway(), "host", &format!("src 1.1.1.0/24 dst 0.0.0.0/0 dir out {tunnel}"));
        let verdict = fixture.explained();
        assert_eq!(verdict.cause.code(), "xfrm-drop");
        assert!(verdict.summary.ends_with("has no state for esp tunnel 10.20.30.182 > 10.20.30.9"), "{verdict:?}");
        assert!(verdict.fix.is_empty());
        // Where it may be left out, the packet goes in the clear.
        let optional = format!("src 1.1.1.0/24 dst 0.0.0.0/0 dir out {tunnel} level use");
        assert_ne!(with_policy(at_the_gateway(), "host", &optional).verdict().0, "xfrm-drop");
    }

    #[test]
    fn what_comes_in_the_clear_is_refused_where_the_kernel_counted_so() {
        let mut arrived = Fixture::experiment6();
        arrived.request_seen(&["ns_1:veth2>", "host:veth3<", "host:eth2>"]);
        arrived.seen(Leg::Request, "2001:db8:1::2", "2001:db8:114::114", &["world:w0<"]);
        let line = "src 2001:db8:1::/64 dst 2001:db8:114::/64 dir in tmpl proto esp mode transport";
        let mut fixture = with_policy(arrived, "world", line);
        assert_ne!(fixture.verdict().0, "xfrm-drop");
        fixture.counted("world", "Xfrm.InTmplMismatch");
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("xfrm-drop", "world"));
    }

    #[test]
    fn what_no_policy_picks_may_be_refused_too() {
        let mut fixture = at_the_gateway();
        fixture.netns("host").xfrm.refused_by_default = vec![XfrmDirection::Forward];
        assert_eq!(fixture.verdict().2, "IPsec default policy of direction fwd: block");
        let line = "src 1.1.1.0/24 dst 0.0.0.0/0 dir fwd";
        assert_ne!(with_policy(fixture, "host", line).verdict().0, "xfrm-drop");
    }

    #[test]
    fn a_policy_of_ports_cannot_be_made_again() {
        let line = "src 1.1.1.0/24 dst 0.0.0.0/0 dir fwd";
        let mut fixture = with_policy(at_the_gateway(), "host", line);
        let policy = &mut fixture.netns("host").xfrm.policies[0];
        assert!(NewPolicy::of(policy).is_some());
        policy.selector.destination_port = Some((443, 0xffff));
        assert_eq!(NewPolicy::of(policy), None);
    }
}
