//! `router-advertisement-lost`: routers tell the way, and the interface that hears them is set not to listen.
//!
//! The kernel acts on a router advertisement if `accept_ra` of the interface is 2, or 1 and the interface does not forward
//! (ipv6_accept_ra of linux net/ipv6/ndisc.c).

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::lookup::Answer;
use crate::model::{Family, Link, Setting};

/// There is no route, and advertisements that would bring one come in by an interface that ignores them.
pub(super) fn ignored(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.family() != Family::V6 || matches!(loss.stage, Stage::Left(_)) || loss.route() != Answer::Missing {
        return None;
    }
    let watched = loss.observation.watched.iter().find(|watched| watched.netns == *loss.here())?;
    let (link, accepted, count) = watched.routers_heard.iter().find_map(|(name, count)| {
        let link = loss.netns.link_named(name.as_str())?;
        Some((link, ignores(link)?, *count))
    })?;
    let forwards = link.setting(Family::V6, Setting::Forwarding).is_some_and(|value| value > 0);
    let wanted = if forwards { "2" } else { "1" };
    let switch = evidence::name_of_setting(Family::V6, link, Setting::AcceptRa)?;
    let here = loss.here();
    let name = &link.name;
    let summary = format!(
        "{here} has no IPv6 route to {}: router advertisements come in at {name} and are ignored, because {switch} is \
         {accepted}",
        loss.destination
    );
    let heard = if count == 1 {
        "1 router advertisement has".to_owned()
    } else {
        format!("{count} router advertisements have")
    };
    let mut verdict = Verdict::new(Cause::RouterAdvertisementLost, Place::at(here, name), switch.as_str(), summary)
        .shown_by(
            Evidence::new(EvidenceKind::Route, here, format!("no route matches {}", loss.destination))
                .differs("a route", "none"),
        )
        .shown_by(evidence::sysctl(loss.netns, &switch, wanted, accepted))
        .shown_by(Evidence::new(EvidenceKind::Counter, here, format!("{heard} come in at {name}")));
    if forwards && let Some(switch) = evidence::name_of_setting(Family::V6, link, Setting::Forwarding) {
        verdict = verdict.shown_by(Evidence::new(
            EvidenceKind::Sysctl,
            here,
            format!("{switch} is 1, and a router listens to other routers only where accept_ra is 2"),
        ));
    }
    Some(verdict.mended_by(mend::sysctl(loss.netns, &switch, wanted, accepted)).advised(
        "The next advertisement brings the route back; routers send one every few minutes (`rdisc6` asks for one now). \
         The routers of that segment then decide on this host's default route.",
    ))
}

/// The value by which an interface ignores advertisements; none if it does not.
fn ignores(link: &Link) -> Option<i64> {
    let value = |setting| link.setting(Family::V6, setting).map(i64::from);
    let accepted = value(Setting::AcceptRa)?;
    let forwards = value(Setting::Forwarding)? > 0;
    (accepted == 0 || (accepted == 1 && forwards)).then_some(accepted)
}

#[cfg(test)]
mod tests {
    use crate::explain::explain;
    use crate::explain::fixture::Fixture;
    use crate::model::{Family, Setting};

    /// The gateway has no default route; advertisements came in by eth2, whose settings these are.
    fn heard(accepted: i32, forwards: i32) -> Fixture {
        let mut fixture = Fixture::experiment6();
        fixture.netns("host").routes.retain(|route| route.destination.prefix_len() != 0);
        fixture.setting("host", "eth2", Family::V6, Setting::AcceptRa, accepted);
        fixture.setting("host", "eth2", Family::V6, Setting::Forwarding, forwards);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "Ip6.InNoRoutes");
        fixture.observation.watched[0].routers_heard = vec![("eth2".parse().unwrap(), 4)];
        fixture
    }

    #[test]
    fn a_router_does_not_listen_to_routers_unless_told_to() {
        let fixture = heard(1, 1);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("router-advertisement-lost", "host/eth2"));
        assert_eq!(object, "net.ipv6.conf.eth2.accept_ra");
        let report = explain(&fixture.world, &fixture.observation);
        assert_eq!(report.verdict.fix.commands(), ["sysctl -w net.ipv6.conf.eth2.accept_ra=2"]);
        assert!(report.further.is_empty(), "the advertisements bring the route");
        assert_eq!(heard(2, 1).verdict().0, "route-missing", "it listens, and the advertisements bring no route");
        assert_eq!(heard(1, 0).verdict().0, "route-missing");
    }

    #[test]
    fn an_interface_that_listens_to_nobody() {
        for (forwards, mend) in [(0, "1"), (1, "2")] {
            let fixture = heard(0, forwards);
            assert_eq!(fixture.verdict().0, "router-advertisement-lost");
            let command = format!("sysctl -w net.ipv6.conf.eth2.accept_ra={mend}");
            assert_eq!(fixture.explained().fix.commands(), [command]);
        }
    }

    #[test]
    fn where_nobody_advertises_a_route_is_missing() {
        let mut fixture = heard(1, 1);
        fixture.observation.watched[0].routers_heard.clear();
        assert_eq!(fixture.verdict().0, "route-missing");
    }
}
