//! The wording of evidence, one function for each way of learning something.

use super::{Evidence, EvidenceKind, Loss};
use crate::model::{Family, Link, Namespace, NextHop, Route, RouteKind, Setting, Sysctl, TABLE_MAIN, World};
use crate::trace::{Ending, Leg, Observation, Sight, Way};

/// A frame was seen: `how` it was ("last seen", "without a reply").
pub(super) fn seen(world: &World, sight: &Sight, how: &str) -> Evidence {
    let way = match sight.way {
        Way::In => "came in at",
        Way::Out => "went out at",
    };
    let link = world.namespace(&sight.netns).and_then(|n| n.link(sight.link));
    let link = link.map_or_else(|| format!("interface {}", sight.link.0), |l| l.name.to_string());
    let text = format!("{} {way} {link}{how}: {}", leg_name(sight.leg), sight.header.text);
    Evidence::new(EvidenceKind::Sighting, &sight.netns, text)
}

/// The packet came in at an interface, and nothing of it was seen to leave.
pub(super) fn came_no_further(loss: &Loss<'_>, entered: &Link) -> Evidence {
    let text = format!("{} came in at {} and left by no interface", leg_name(loss.leg), entered.name);
    Evidence::new(EvidenceKind::Sighting, loss.here(), text)
}

/// A counter of the namespace moved while the probe was under way.
pub(super) fn counted(loss: &Loss<'_>, counter: &str) -> Evidence {
    let moved = loss.moved(counter);
    let meanwhile = match loss.observation.attempts {
        0 | 1 => "meanwhile".to_owned(),
        attempts => format!("while {attempts} packets were sent"),
    };
    Evidence::new(EvidenceKind::Counter, loss.here(), format!("{counter} rose by {moved} {meanwhile}"))
}

/// A kernel setting was read.
pub(super) fn sysctl(netns: &Namespace, name: &Sysctl, expected: &str, found: i64) -> Evidence {
    let text = format!("{name} is {found}");
    Evidence::new(EvidenceKind::Sysctl, &netns.name, text).differs(expected, found.to_string())
}

/// The setting of an interface by its sysctl name.
pub(super) fn name_of_setting(family: Family, link: &Link, setting: Setting) -> Option<Sysctl> {
    Some(Sysctl::of_link(family, &link.name, setting.name(family)?))
}

/// The state of an interface.
pub(super) fn link_state(netns: &Namespace, link: &Link) -> Evidence {
    let found = match (link.up, link.carrier) {
        (false, _) => "down",
        (true, false) => "up, no carrier",
        (true, true) => "up",
    };
    Evidence::new(EvidenceKind::Link, &netns.name, format!("{} is {found}", link.name)).differs("up", found)
}

/// A leg's name in a sentence.
pub(super) fn leg_name(leg: Leg) -> &'static str {
    match leg {
        Leg::Request => "the request",
        Leg::Answer => "the answer",
        Leg::Error => "an ICMP error",
        Leg::Redirect => "a redirect",
        Leg::Question => "a question for a neighbour",
        Leg::Reply => "a neighbour's reply",
    }
}

/// A route as `ip route` shows it.
pub(super) fn route_text(netns: &Namespace, route: &Route) -> String {
    let kind = match route.kind {
        RouteKind::Unicast => "",
        RouteKind::Local => "local ",
        RouteKind::Broadcast => "broadcast ",
        RouteKind::Anycast => "anycast ",
        RouteKind::Multicast => "multicast ",
        RouteKind::Blackhole => "blackhole ",
        RouteKind::Unreachable => "unreachable ",
        RouteKind::Prohibit => "prohibit ",
        RouteKind::Throw => "throw ",
        RouteKind::Other(_) => "unknown-type ",
    };
    let destination = match route.destination {
        net if net.prefix_len() == 0 => "default".to_string(),
        net if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        net => net.to_string(),
    };
    let hop = route.next_hops.first().map(|hop| hop_text(netns, hop)).unwrap_or_default();
    let table = match route.table {
        TABLE_MAIN => String::new(),
        table => format!(" table {table}"),
    };
    let metric = match route.metric {
        0 => String::new(),
        metric => format!(" metric {metric}"),
    };
    format!("{kind}{destination}{hop}{table}{metric}")
}

fn hop_text(netns: &Namespace, hop: &NextHop) -> String {
    let via = hop.gateway.map(|g| format!(" via {g}")).unwrap_or_default();
    let dev = hop.link.and_then(|l| netns.link(l)).map(|l| format!(" dev {}", l.name)).unwrap_or_default();
    via + &dev
}

/// A route is there.
pub(super) fn route(netns: &Namespace, route: &Route) -> Evidence {
    Evidence::new(EvidenceKind::Route, &netns.name, route_text(netns, route))
}

/// The connection stood, and how much of its data came through.
pub(super) fn stood(observation: &Observation) -> Evidence {
    let of = observation.probe.size;
    let text = match observation.ending {
        Ending::Unanswered { acknowledged, received } => format!(
            "the connection stood; {acknowledged} of the {of} bytes sent were acknowledged, {received} came back"
        ),
        _ => "the connection stood".to_owned(),
    };
    Evidence::new(EvidenceKind::Sender, &observation.probe.from, text)
}

/// What the sender's own system call returned, if it refused.
pub(super) fn sender_words(loss: &Loss<'_>) -> Option<String> {
    match &loss.observation.ending {
        Ending::Refused { operation, words, .. } => Some(format!("{operation} was refused: {words}")),
        _ => None,
    }
}
