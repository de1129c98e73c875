//! `rp-filter`: the way back to the packet's source would not leave by the interface that it came in by.
//!
//! The larger of `net.ipv4.conf.all.rp_filter` and the interface's own value counts (linux ip-sysctl): 1 demands that the
//! best way back leaves by that very interface, 2 that there is any way back. ARP requests are held to it too. IPv6 has
//! no such switch.

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend};
use crate::model::lookup::{Query, look_up};
use crate::model::{Family, Link, Namespace, Setting, Sysctl};
use crate::trace::{Leg, Sight, Way};
use std::net::IpAddr;

const COUNTER: &str = "TcpExt.IPReversePathFilter";

/// The rp_filter sysctl drops the packet, or the question for a neighbour that goes before it.
pub(super) fn refused(loss: &Loss<'_>) -> Option<Verdict> {
    let (netns, entered, source, text) = match loss.entered() {
        Some(entered) if loss.moved(COUNTER) > 0 => {
            (loss.netns, entered, loss.source?, evidence::came_no_further(loss, entered))
        }
        Some(_) => return None,
        None => question_refused(loss)?,
    };
    let (switch, value) = in_force(netns, entered)?;
    let back = refuses(netns, entered, source, value)?;
    let summary = format!(
        "{} drops what comes in at {} from {source}: {switch} is {value}, and {back}",
        netns.name, entered.name
    );
    let mut verdict = Verdict::new(Cause::RpFilter, Place::at(&netns.name, &entered.name), switch.as_str(), summary)
        .shown_by(text)
        .shown_by(evidence::sysctl(netns, &switch, "0 or 2", value))
        .shown_by(Evidence::new(EvidenceKind::Route, &netns.name, back));
    if loss.moved(COUNTER) > 0 {
        verdict = verdict.shown_by(evidence::counted(loss, COUNTER));
    }
    let loose = if value == 1 && any_way_back(netns, source) { "2" } else { "0" };
    Some(verdict.mended_by(mend::reverse_path(netns, entered, loose)))
}

/// The value that counts for an interface, and the sysctl that it comes from.
fn in_force(netns: &Namespace, link: &Link) -> Option<(Sysctl, i64)> {
    let own = i64::from(link.setting(Family::V4, Setting::RpFilter)?);
    let all = netns.setting_of_all(Family::V4, Setting::RpFilter).unwrap_or(0);
    let switch = if all > own {
        Sysctl::of_all(Family::V4, "rp_filter")
    } else {
        evidence::name_of_setting(Family::V4, link, Setting::RpFilter)?
    };
    Some((switch, all.max(own)))
}

/// Why a packet from `source` is refused at `entered`; none if it is not.
fn refuses(netns: &Namespace, entered: &Link, source: IpAddr, value: i64) -> Option<String> {
    if Family::of(source) != Family::V4 || value == 0 {
        return None;
    }
    let back = look_up(netns, &Query::from_here(None, source));
    let by = back.link().and_then(|l| netns.link(l));
    match by {
        None => Some(format!("there is no way back to {source}")),
        Some(link) if value == 1 && link.index != entered.index => {
            Some(format!("the way back to {source} is by {}", link.name))
        }
        Some(_) => None,
    }
}

fn any_way_back(netns: &Namespace, source: IpAddr) -> bool {
    look_up(netns, &Query::from_here(None, source)).link().is_some()
}

/// A neighbour did not answer because it refuses the question's source.
fn question_refused<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link, IpAddr, Evidence)> {
    let question = Unresolved::of(loss)?.question?;
    let asked = |s: &&Sight| s.way == Way::In && s.header.destination == question.header.destination;
    let heard = loss.observation.journey.of(Leg::Question).find(asked)?;
    let netns = loss.world.namespace(&heard.netns)?;
    let link = netns.link(heard.link)?;
    netns.holder(heard.header.destination)?;
    let source = heard.header.source;
    refuses(netns, link, source, in_force(netns, link)?.1)?;
    Some((netns, link, source, evidence::seen(loss.world, heard, " without a reply")))
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, route};
    use crate::model::{Family, RouteKind, Setting, TABLE_MAIN};
    use crate::trace::Leg;

    /// The way back to the sender is by the uplink, but the packet comes in by veth3.
    fn asymmetric() -> Fixture {
        let mut fixture = Fixture::experiment();
        let back = route(TABLE_MAIN, "1.1.1.2/32", RouteKind::Unicast, Some(3), Some("10.20.30.1"));
        fixture.netns("host").routes.push(back);
        fixture
    }

    #[test]
    fn strict_on_the_interface() {
        let mut fixture = asymmetric();
        fixture.setting("host", "veth3", Family::V4, Setting::RpFilter, 1);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "TcpExt.IPReversePathFilter");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("rp-filter", "host/veth3"));
        assert_eq!(object, "net.ipv4.conf.veth3.rp_filter");
        assert_eq!(fixture.explained().fix.commands(), ["sysctl -w net.ipv4.conf.veth3.rp_filter=2"]);
    }

    #[test]
    fn strict_for_all_and_the_question_for_the_gateway_is_refused_already() {
        let mut fixture = asymmetric();
        fixture.sysctl("host", "net.ipv4.conf.all.rp_filter", "1");
        fixture.seen(Leg::Question, "1.1.1.2", "1.1.1.3", &["ns_1:veth2>", "host:veth3<"]);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("rp-filter", "host/veth3"));
        assert_eq!(object, "net.ipv4.conf.all.rp_filter");
    }

    #[test]
    fn loose_lets_an_asymmetric_source_pass() {
        let mut fixture = asymmetric();
        fixture.setting("host", "veth3", Family::V4, Setting::RpFilter, 2);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "TcpExt.IPReversePathFilter");
        assert_eq!(fixture.verdict().0, "uncertain");
    }
}
