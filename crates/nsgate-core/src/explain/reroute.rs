//! The mends of routes that lead astray: the route goes where another one leads on, or what was asked for gets a route of
//! its own, to a router that is seen to be there.

use std::net::IpAddr;

use ipnet::IpNet;

use super::mend;
use crate::model::lookup::{Query, look_up};
use crate::model::segment::{Place as At, Segment};
use crate::model::{Family, Link, Namespace, Route, Setting, World};
use crate::plan::{Action, Change, NewRoute, Plan, Step, simulate};
use crate::trace::planned_path;

/// Takes a route away, if another one then leads to a router that is there, or out of sight.
pub(super) fn without(world: &World, netns: &Namespace, route: &Route, destination: IpAddr) -> Plan {
    let plan = mend::delete_route(netns, route);
    let mut after = world.clone();
    if simulate::apply_all(&mut after, &plan.steps).is_err() {
        return Plan::default();
    }
    let leads_on = || {
        let netns = after.namespace(&netns.name)?;
        let answer = look_up(netns, &Query::from_here(None, destination));
        let (link, router) = (netns.link(answer.link()?)?, answer.gateway()?);
        let segment = Segment::of(&after, netns, link);
        (link.usable() && (segment.open || segment.holders(router).next().is_some())).then_some(())
    };
    leads_on().map(|()| plan).unwrap_or_default()
}

/// Gives one destination a route of its own, through a router on this link.
pub(super) fn through_router(world: &World, netns: &Namespace, link: &Link, destination: IpAddr) -> Plan {
    let Some(router) = router(world, netns, link, destination) else { return Plan::default() };
    add(netns, NewRoute::through(IpNet::from(destination), router, link.name.clone()))
}

/// Gives one destination a route of its own, straight onto this link.
pub(super) fn on_link(netns: &Namespace, link: &Link, destination: IpAddr) -> Plan {
    add(netns, NewRoute::on_link(IpNet::from(destination), link.name.clone()))
}

/// Gives one destination a route of its own to wherever somebody holds it: onto the wire that he is on, or through a
/// router that leads there.
pub(super) fn to_holder(world: &World, netns: &Namespace, destination: IpAddr) -> Plan {
    let ends = netns.links.iter().filter(|link| link.usable() && link.master.is_none() && link.name.as_str() != "lo");
    let elsewhere = |place: &At<'_>| place.netns.name != netns.name;
    let near = |link: &&Link| Segment::of(world, netns, link).holders(destination).any(|place| elsewhere(&place));
    let straight = ends.clone().filter(near).map(|link| on_link(netns, link, destination));
    let routed = ends.map(|link| through_router(world, netns, link, destination));
    let mut plans = straight.chain(routed).filter(|plan| reaches(world, netns, plan, destination));
    plans.next().unwrap_or_default()
}

/// Whether a plan leads packets from a namespace to somebody who holds their destination.
pub(super) fn reaches(world: &World, netns: &Namespace, plan: &Plan, destination: IpAddr) -> bool {
    let mut mended = world.clone();
    if plan.is_empty() || simulate::apply_all(&mut mended, &plan.steps).is_err() {
        return false;
    }
    let path = planned_path(&mended, &netns.name, None, destination);
    let end = path.last().and_then(|stop| mended.namespace(&stop.netns));
    end.is_some_and(|end| end.holder(destination).is_some())
}

fn add(netns: &Namespace, route: NewRoute) -> Plan {
    Plan::of(Step::new(&netns.name, Action::Route(Change::Add, route)))
}

/// The one router on a link that passes packets for this destination on, or holds it.
fn router(world: &World, netns: &Namespace, link: &Link, destination: IpAddr) -> Option<IpAddr> {
    let family = Family::of(destination);
    let own: Vec<IpNet> = link.addresses.iter().map(|a| a.net).filter(|net| Family::of(net.addr()) == family).collect();
    let passes_on = |place: &At<'_>| {
        let forwards = place.link.setting(family, Setting::Forwarding).is_some_and(|value| value > 0);
        let query = Query { entered: Some(place.link.index), ..Query::from_here(None, destination) };
        let answer = look_up(place.netns, &query);
        let leads = answer.is_local() || forwards && answer.link().is_some_and(|out| out != place.link.index);
        place.netns.name != netns.name && leads
    };
    let places = Segment::of(world, netns, link).places;
    let address = |place: &At<'_>| {
        let held = place.link.addresses.iter().map(|a| a.net.addr());
        held.into_iter().find(|held| own.iter().any(|net| net.contains(held)))
    };
    let mut routers: Vec<IpAddr> = places.iter().filter(|place| passes_on(place)).filter_map(address).collect();
    // Where several are there, the one that is used already.
    let used = |router: &IpAddr| {
        let hops = netns.routes.iter().flat_map(|route| &route.next_hops);
        hops.into_iter().any(|hop| hop.gateway == Some(*router) && hop.link == Some(link.index))
    };
    if routers.len() > 1 && routers.iter().any(used) {
        routers.retain(used);
    }
    routers.dedup();
    match routers[..] {
        [router] => Some(router),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::{Fixture, route};
    use crate::model::{RouteKind, TABLE_MAIN};

    const FAR: &str = "114.114.114.114";

    #[test]
    fn a_route_goes_only_where_another_leads_on() {
        let mut fixture = Fixture::experiment();
        let specific = route(TABLE_MAIN, "114.114.114.0/24", RouteKind::Unicast, Some(2), Some("1.1.1.9"));
        fixture.netns("host").routes.push(specific.clone());
        let host = fixture.netns("host").clone();
        let plan = without(&fixture.world, &host, &specific, FAR.parse().unwrap());
        assert_eq!(plan.commands(), ["ip route del 114.114.114.0/24 via 1.1.1.9 dev veth3"]);
        fixture.link("world", "w0").addresses.clear();
        assert!(without(&fixture.world, &host, &specific, FAR.parse().unwrap()).is_empty(), "nobody is there");
    }

    #[test]
    fn a_destination_is_reached_where_somebody_holds_it() {
        let mut fixture = Fixture::experiment();
        fixture.netns("host").routes.clear();
        let host = fixture.netns("host").clone();
        let to = |destination: &str| to_holder(&fixture.world, &host, destination.parse().unwrap()).commands();
        assert_eq!(to("1.1.1.2"), ["ip route add 1.1.1.2/32 dev veth3"]);
        assert!(to("7.7.7.7").is_empty());
        let fixture = Fixture::experiment();
        let host = fixture.world.namespace(&"host".parse().unwrap()).unwrap();
        let through = to_holder(&fixture.world, host, FAR.parse().unwrap());
        assert_eq!(through.commands(), ["ip route add 114.114.114.114/32 via 10.20.30.1 dev eth2"]);
    }

    #[test]
    fn one_destination_gets_a_way_of_its_own() {
        let mut fixture = Fixture::experiment();
        let (host, link) = (fixture.netns("host").clone(), fixture.link("host", "eth2").clone());
        let plan = through_router(&fixture.world, &host, &link, FAR.parse().unwrap());
        assert_eq!(plan.commands(), ["ip route add 114.114.114.114/32 via 10.20.30.1 dev eth2"]);
        let six = through_router(&fixture.world, &host, &link, "2001:db8:114::114".parse().unwrap());
        assert_eq!(six.commands(), ["ip -6 route add 2001:db8:114::114/128 via 2001:db8:20::1 dev eth2"]);
        let unknown = "7.7.7.7".parse().unwrap();
        assert!(through_router(&fixture.world, &host, &link, unknown).is_empty());
        let plan = on_link(&host, &link, "10.20.31.7".parse().unwrap());
        assert_eq!(plan.commands(), ["ip route add 10.20.31.7/32 dev eth2"]);
        fixture.link("world", "w0").addresses.clear();
        assert!(through_router(&fixture.world, &host, &link, FAR.parse().unwrap()).is_empty());
    }
}
