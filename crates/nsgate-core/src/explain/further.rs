//! What the packet would meet next, if what lost it were mended: the mend is done to the World, and the probe sent through
//! that World in thought, again and again.
//!
//! Only what configuration alone decides is told: nothing here was observed. Where a mend is not known, or what becomes of
//! the packet behind it, nothing is said.

use super::{Cause, EvidenceKind, Verdict, first_cause, onward};
use crate::model::World;
use crate::plan::simulate;
use crate::trace::Observation;

/// How many losses behind the first are told.
const MOST: usize = 3;

/// The losses behind a first one, in the order in which the packet would meet them.
pub(super) fn behind(world: &World, observation: &Observation, first: &Verdict) -> Vec<Verdict> {
    let mut mended = world.clone();
    let mut found: Vec<Verdict> = Vec::new();
    while found.len() < MOST {
        let last = found.last().unwrap_or(first);
        // The route that advertisements bring is theirs to tell.
        let foreseen = last.cause != Cause::RouterAdvertisementLost && !last.fix.is_empty();
        if !foreseen || simulate::apply_all(&mut mended, &last.fix.steps).is_err() {
            break;
        }
        let Some(next) = next(&mended, observation) else { break };
        let same =
            |known: &Verdict| (known.cause, &known.place, &known.object) == (next.cause, &next.place, &next.object);
        if same(first) || found.iter().any(same) {
            break;
        }
        found.push(next);
    }
    found
}

/// What would lose the probe in this World.
fn next(world: &World, observation: &Observation) -> Option<Verdict> {
    let imagined = onward::lost(world, observation)?;
    let mut verdict = first_cause(world, &imagined)?;
    verdict.evidence.retain(|evidence| is_configured(evidence.kind));
    Some(verdict)
}

/// Whether evidence of this kind is read rather than observed of a packet.
fn is_configured(kind: EvidenceKind) -> bool {
    use EvidenceKind as Kind;
    matches!(
        kind,
        Kind::Sysctl | Kind::Route | Kind::Rule | Kind::Link | Kind::Neighbour | Kind::Ruleset | Kind::Socket
    )
}

#[cfg(test)]
mod tests {
    use crate::explain::explain;
    use crate::explain::fixture::{Fixture, route};
    use crate::model::ruleset::Ruleset;
    use crate::model::{Family, Route, RouteKind, Setting, TABLE_MAIN};
    use crate::trace::{Leg, ProbeKind};
    use nsgate_packet::{Echo, Icmp, Transport, build};

    /// The gateway does not forward, which the probe met; the world knows the way back.
    fn not_forwarding(mut fixture: Fixture) -> Fixture {
        let family = Family::of(fixture.observation.probe.destination);
        fixture.sysctl("host", "net.ipv4.ip_forward", "0");
        fixture.sysctl("host", "net.ipv6.conf.all.forwarding", "0");
        for link in ["veth3", "eth2"] {
            fixture.setting("host", link, Family::V4, Setting::Forwarding, 0);
        }
        for (net, via) in [("1.1.1.0/24", "10.20.30.182"), ("2001:db8:1::/64", "2001:db8:20::182")] {
            let back = route(TABLE_MAIN, net, RouteKind::Unicast, Some(2), Some(via));
            fixture.netns("world").routes.push(back);
        }
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        let echo = Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload: &[0; 8] });
        for sight in &mut fixture.observation.journey.sights {
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        fixture.counted("host", if family == Family::V4 { "Ip.InAddrErrors" } else { "Ip6.InAddrErrors" });
        fixture
    }

    fn told(fixture: &Fixture) -> Vec<String> {
        let report = explain(&fixture.world, &fixture.observation);
        let told = |verdict: &crate::explain::Verdict| format!("{} at {}", verdict.cause, verdict.place.netns);
        [&report.verdict].into_iter().chain(&report.further).map(told).collect()
    }

    #[test]
    fn nothing_lies_behind_a_single_fault() {
        for fixture in [Fixture::experiment(), Fixture::experiment6()] {
            assert_eq!(told(&not_forwarding(fixture)), ["forwarding-disabled at host"]);
        }
    }

    #[test]
    fn the_second_and_the_third_fault_follow_in_the_packets_order() {
        for fixture in [Fixture::experiment(), Fixture::experiment6()] {
            let mut fixture = not_forwarding(fixture);
            // IPv6 routes have a metric of their own.
            let (blackhole, metric, ignore) = match Family::of(fixture.observation.probe.destination) {
                Family::V4 => ("114.114.114.0/24", 0, "net.ipv4.icmp_echo_ignore_all"),
                Family::V6 => ("2001:db8:114::/64", 1024, "net.ipv6.icmp.echo_ignore_all"),
            };
            fixture.sysctl("world", ignore, "1");
            assert_eq!(told(&fixture), ["forwarding-disabled at host", "echo-ignored at world"]);
            let route = route(TABLE_MAIN, blackhole, RouteKind::Blackhole, None, None);
            fixture.netns("host").routes.push(Route { metric, ..route });
            let all = ["forwarding-disabled at host", "route-blocking at host", "echo-ignored at world"];
            assert_eq!(told(&fixture), all);
        }
    }

    #[test]
    fn what_drops_the_answer_follows_too() {
        let mut fixture = not_forwarding(Fixture::experiment());
        let text = "table inet f { chain forward { type filter hook forward priority 0; policy accept;
            iifname \"eth2\" icmp type echo-reply drop; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(text).unwrap();
        assert_eq!(told(&fixture), ["forwarding-disabled at host", "filter-drop at host"]);
    }

    #[test]
    fn an_answer_that_is_not_translated_back_has_no_way() {
        let mut fixture = not_forwarding(Fixture::experiment());
        fixture.netns("world").routes.retain(|route| route.destination.to_string() != "1.1.1.0/24");
        assert_eq!(told(&fixture), ["forwarding-disabled at host", "snat-missing at host"]);
        let text = "table ip nat { chain p { type nat hook postrouting priority srcnat; policy accept;
            oifname \"eth2\" masquerade; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(text).unwrap();
        assert_eq!(told(&fixture), ["forwarding-disabled at host"]);
    }

    #[test]
    fn a_router_that_nobody_is_follows() {
        let mut fixture = not_forwarding(Fixture::experiment());
        fixture.link("world", "w0").addresses.retain(|a| a.net.addr().to_string() != "10.20.30.1");
        let next = &told(&fixture)[1..];
        assert_eq!(next, ["address-missing at world"]);
    }

    #[test]
    fn what_is_out_of_sight_is_not_guessed() {
        let mut fixture = not_forwarding(Fixture::experiment());
        fixture.sysctl("world", "net.ipv4.icmp_echo_ignore_all", "1");
        fixture.link("host", "eth2").peer = crate::model::Peer::None;
        fixture.link("host", "eth2").kind = crate::model::LinkKind::Physical;
        assert_eq!(told(&fixture), ["forwarding-disabled at host"]);
    }

    #[test]
    fn a_program_may_do_anything() {
        let mut fixture = not_forwarding(Fixture::experiment());
        fixture.sysctl("world", "net.ipv4.icmp_echo_ignore_all", "1");
        let program = crate::model::Program {
            link: crate::model::LinkIndex(2),
            place: crate::model::ProgramPlace::TcxIngress,
            id: 7,
            name: None,
        };
        fixture.netns("world").programs.push(program);
        assert_eq!(told(&fixture), ["forwarding-disabled at host"]);
    }

    #[test]
    fn a_closed_port_follows_and_an_open_one_does_not() {
        let mut fixture = not_forwarding(Fixture::experiment()).probing(ProbeKind::Tcp(80));
        fixture.observation.journey.sights.clear();
        fixture.seen(Leg::Request, "1.1.1.2", "114.114.114.114", &["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "Ip.InAddrErrors");
        fixture.sysctl("world", "net.ipv4.ip_forward", "0");
        assert_eq!(told(&fixture), ["forwarding-disabled at host", "service-closed at world"]);
        fixture.netns("world").listeners.push(crate::model::Listener {
            transport: crate::model::Transport::Tcp,
            address: "::".parse().unwrap(),
            port: 80,
            only_v6: false,
            link: None,
            control_group: None,
            queued: 0,
            queue_limit: 64,
        });
        assert_eq!(told(&fixture), ["forwarding-disabled at host"]);
    }
}
