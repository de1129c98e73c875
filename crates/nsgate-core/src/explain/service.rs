//! `service-closed`: the destination itself answers that nothing listens there.

use std::net::IpAddr;

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence};
use crate::model::lookup::{Query, look_up};
use crate::model::{Link, LinkKind, Listener, Namespace, Transport};
use crate::trace::{Ending, Leg, ProbeKind, Way};

/// The destination host refused the probe: a TCP reset, or "port unreachable".
pub(super) fn closed(loss: &Loss<'_>) -> Option<Verdict> {
    let refusal = refusal(loss)?;
    let request = loss.observation.journey.of(Leg::Request).rfind(|s| s.way == Way::In)?;
    let netns = loss.world.namespace(&request.netns)?;
    let asked = request.header.destination;
    let port = request.header.destination_port?;
    let holder = holder(netns, asked)?;
    if !asked.is_loopback() && may_be_published(loss, netns, port) {
        return None;
    }
    let kind = loss.observation.probe.kind.name();
    let (object, why) = match other_binding(netns, loss.observation.probe.kind, port) {
        Some(listener) => (
            format!("{kind} {port}: the service is bound to {} only", listener.address),
            format!("what listens on port {port} is bound to {} only", listener.address),
        ),
        None => {
            (format!("{kind} {port} on {asked}: nothing listens"), format!("nothing listens on {kind} port {port}"))
        }
    };
    let summary = format!("{} itself refused: {why}", netns.name);
    Some(
        Verdict::new(Cause::ServiceClosed, Place::at(&netns.name, &holder.name), object, summary)
            .shown_by(refusal)
            .shown_by(evidence::seen(loss.world, request, ""))
            .advised(format!("Start the service on {asked} port {port}, or bind it to that address.")),
    )
}

/// The interface that holds an address; every address of 127.0.0.0/8 is the loopback interface's.
fn holder(netns: &Namespace, address: IpAddr) -> Option<&Link> {
    let local = || look_up(netns, &Query::from_here(None, address)).is_local();
    let loopback = || netns.links.iter().find(|link| link.kind == LinkKind::Loopback).filter(|_| local());
    netns.holder(address).or_else(loopback)
}

/// The refusal that came back, if one came.
fn refusal(loss: &Loss<'_>) -> Option<Evidence> {
    let text = match &loss.observation.ending {
        Ending::Reset => "a TCP reset came back".to_string(),
        Ending::IcmpError { from, icmp_type, code, .. } if port_unreachable(*from, *icmp_type, *code) => {
            format!("'port unreachable' came back from {from}")
        }
        _ => return None,
    };
    Some(Evidence::new(EvidenceKind::Refusal, &loss.observation.probe.from, text))
}

/// Destination unreachable, port unreachable: type 3 code 3 (RFC 792), type 1 code 4 (RFC 4443).
fn port_unreachable(from: IpAddr, icmp_type: u8, code: u8) -> bool {
    if from.is_ipv4() { (icmp_type, code) == (3, 3) } else { (icmp_type, code) == (1, 4) }
}

/// Whether the refusing namespace is a gateway, and what was asked for may be meant to lead to a service inside.
fn may_be_published(loss: &Loss<'_>, gateway: &Namespace, port: u16) -> bool {
    let forwards = gateway.sysctls.number("net.ipv4.ip_forward") == Some(1)
        || gateway.sysctls.number("net.ipv6.conf.all.forwarding") == Some(1);
    let translates = gateway.ruleset.tables.iter().any(|t| {
        t.chains.iter().any(|c| {
            c.rules.iter().any(|r| {
                r.expressions.iter().any(|e| {
                    use crate::model::ruleset::Expression;
                    matches!(e, Expression::Nat(nat) if !nat.source) || matches!(e, Expression::Redirect { .. })
                })
            })
        })
    });
    let listens_inside = gateway.links.iter().filter_map(|l| loss.world.peer(gateway, l)).any(|(inside, _)| {
        inside.name != loss.observation.probe.from && inside.listeners.iter().any(|l| l.port == port)
    });
    forwards && (translates || listens_inside)
}

/// Whether whoever holds an address has something listening on the port, for other addresses only.
pub(super) fn bound_elsewhere(loss: &Loss<'_>, address: IpAddr, port: u16) -> bool {
    let holder = loss.world.namespaces.iter().find(|netns| netns.holder(address).is_some());
    holder.is_some_and(|netns| other_binding(netns, loss.observation.probe.kind, port).is_some())
}

/// A socket that listens on the port, but not where the probe asked.
fn other_binding(netns: &Namespace, kind: ProbeKind, port: u16) -> Option<&Listener> {
    let transport = match kind {
        ProbeKind::Icmp => return None,
        ProbeKind::Tcp(_) => Transport::Tcp,
        ProbeKind::Udp(_) => Transport::Udp,
    };
    netns.listeners.iter().find(|l| l.transport == transport && l.port == port)
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, route};
    use crate::model::{Listener, RouteKind, TABLE_LOCAL, Transport};
    use crate::trace::{Ending, Leg, ProbeKind};

    fn refused(kind: ProbeKind, ending: Ending) -> Fixture {
        let mut fixture = Fixture::experiment().probing(kind);
        fixture.sysctl("world", "net.ipv4.ip_forward", "0");
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        fixture.observation.ending = ending;
        fixture
    }

    #[test]
    fn a_reset_from_the_destination() {
        let fixture = refused(ProbeKind::Tcp(8080), Ending::Reset);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("service-closed", "world/lo"));
        assert_eq!(object, "tcp 8080 on 114.114.114.114: nothing listens");
    }

    #[test]
    fn port_unreachable_from_the_destination() {
        let from = "114.114.114.114".parse().unwrap();
        let fixture = refused(ProbeKind::Udp(53), Ending::IcmpError { from, icmp_type: 3, code: 3, mtu: None });
        assert_eq!(fixture.verdict().0, "service-closed");
    }

    #[test]
    fn the_service_is_bound_to_another_address() {
        let mut fixture = refused(ProbeKind::Tcp(80), Ending::Reset);
        fixture.netns("world").listeners.push(Listener {
            transport: Transport::Tcp,
            address: "127.0.0.1".parse().unwrap(),
            port: 80,
            only_v6: false,
            link: None,
            control_group: None,
            queued: 0,
            queue_limit: 64,
        });
        assert_eq!(fixture.verdict().2, "tcp 80: the service is bound to 127.0.0.1 only");
    }

    #[test]
    fn another_service_behind_a_router_does_not_make_its_closed_port_a_published_one() {
        let mut fixture = refused(ProbeKind::Tcp(8080), Ending::Reset);
        fixture.sysctl("world", "net.ipv4.ip_forward", "1");
        fixture.netns("host").listeners.push(Listener {
            transport: Transport::Tcp,
            address: "0.0.0.0".parse().unwrap(),
            port: 22,
            only_v6: false,
            link: None,
            control_group: None,
            queued: 0,
            queue_limit: 64,
        });
        assert_eq!(fixture.verdict().0, "service-closed");
    }

    #[test]
    fn every_loopback_address_is_here() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Udp(53));
        let local = route(TABLE_LOCAL, "127.0.0.0/8", RouteKind::Local, Some(1), None);
        fixture.netns("ns_1").routes.push(local);
        fixture.observation.probe.destination = "127.0.0.53".parse().unwrap();
        fixture.seen(Leg::Request, "127.0.0.1", "127.0.0.53", &["ns_1:lo>", "ns_1:lo<"]);
        let from = "127.0.0.53".parse().unwrap();
        fixture.observation.ending = Ending::IcmpError { from, icmp_type: 3, code: 3, mtu: None };
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("service-closed", "ns_1/lo"));
    }

    #[test]
    fn another_kind_of_refusal_is_not_a_closed_service() {
        let from = "114.114.114.114".parse().unwrap();
        let fixture = refused(ProbeKind::Udp(53), Ending::IcmpError { from, icmp_type: 3, code: 13, mtu: None });
        assert_ne!(fixture.verdict().0, "service-closed");
    }
}
