//! `service-overloaded`: the service listens, and its queue has no room for the packet.
//!
//! A full queue of finished connections drops what opens another one without a word (linux net/ipv4/tcp_input.c
//! tcp_conn_request), a full receive buffer drops datagrams (net/ipv4/udp.c).

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, told};
use crate::model::{Family, Listener, Transport};
use crate::trace::{Leg, ProbeKind};

/// Why the kernel drops such a packet.
const DROPPED: &[&str] = &["SOCKET_RCVBUFF", "SOCKET_BACKLOG", "TCP_LISTEN_OVERFLOW"];

/// The request arrived, and the socket that it is for has no room for it.
pub(super) fn full(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.leg != Leg::Request || !loss.arrived() {
        return None;
    }
    let (transport, port) = match loss.observation.probe.kind {
        ProbeKind::Tcp(port) => (Transport::Tcp, loss.header()?.destination_port.unwrap_or(port)),
        ProbeKind::Udp(port) => (Transport::Udp, loss.header()?.destination_port.unwrap_or(port)),
        ProbeKind::Icmp => return None,
    };
    let listener = listener(loss, transport, port)?;
    let mut shown: Vec<Evidence> =
        counted(loss, transport).into_iter().chain(told::dropped_for(loss, DROPPED)).collect();
    let over = match transport {
        // The kernel lets one more in than the limit says.
        Transport::Tcp => listener.queued > listener.queue_limit,
        Transport::Udp => false,
    };
    if shown.is_empty() && !over {
        return None;
    }
    let (name, unit) = match transport {
        Transport::Tcp => ("tcp", "connections wait to be accepted"),
        Transport::Udp => ("udp", "bytes wait to be read"),
    };
    let waiting = format!("{} {unit}, {} may", listener.queued, listener.queue_limit);
    shown.push(
        Evidence::new(EvidenceKind::Socket, loss.here(), format!("{name} port {port}: {waiting}"))
            .differs("room for one more", format!("{} of {}", listener.queued, listener.queue_limit)),
    );
    let object = format!("queue of {name} port {port} ({} of {})", listener.queued, listener.queue_limit);
    let summary = format!("the service on {name} port {port} of {} has no room for it: {waiting}", loss.here());
    let verdict = Verdict::new(Cause::ServiceOverloaded, Place::all_of(loss.here()), object, summary)
        .shown_by(evidence::seen(loss.world, loss.last?, " and was not taken"));
    Some(shown.into_iter().fold(verdict, Verdict::shown_by).advised(advice(transport)))
}

fn advice(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => {
            "The program does not accept connections as fast as they come, or hangs: look at it first (ss -lntp). A \
             longer queue needs net.core.somaxconn and the program's own backlog, and a restart."
        }
        Transport::Udp => {
            "The program does not read as fast as datagrams come, or hangs: look at it first (ss -lnump). A larger \
             buffer needs net.core.rmem_default or the program's own SO_RCVBUF, and a restart."
        }
    }
}

/// The socket that the packet is for: one bound to its very address comes before one for all.
fn listener<'a>(loss: &Loss<'a>, transport: Transport, port: u16) -> Option<&'a Listener> {
    let serves = |l: &&Listener| {
        let all = l.address.is_unspecified() && (l.address.is_ipv4() == loss.destination.is_ipv4() || !l.only_v6);
        l.transport == transport && l.port == port && (l.address == loss.destination || all)
    };
    loss.netns.listeners.iter().filter(serves).max_by_key(|l| l.address == loss.destination)
}

/// The counter of what the sockets of this namespace had no room for.
fn counted(loss: &Loss<'_>, transport: Transport) -> Option<Evidence> {
    let counters: &[&str] = match (transport, loss.family()) {
        (Transport::Tcp, _) => &["TcpExt.ListenOverflows"],
        (Transport::Udp, Family::V4) => &["Udp.RcvbufErrors"],
        (Transport::Udp, Family::V6) => &["Udp6.RcvbufErrors"],
    };
    counters.iter().find(|counter| loss.moved(counter) > 0).map(|counter| evidence::counted(loss, counter))
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{Listener, Transport};
    use crate::trace::{Leg, ProbeKind};

    fn waiting(kind: ProbeKind, transport: Transport, queued: u32, queue_limit: u32) -> Fixture {
        let mut fixture = Fixture::experiment().probing(kind);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        let listener = |address: &str, queued| Listener {
            transport,
            address: address.parse().unwrap(),
            port: kind.port().unwrap(),
            only_v6: false,
            link: None,
            control_group: None,
            queued,
            queue_limit,
        };
        fixture.netns("world").listeners = vec![listener("127.0.0.1", 0), listener("::", queued)];
        fixture
    }

    #[test]
    fn a_queue_of_connections_that_is_full() {
        let fixture = waiting(ProbeKind::Tcp(80), Transport::Tcp, 6, 5);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("service-overloaded", "world"));
        assert_eq!(object, "queue of tcp port 80 (6 of 5)");
        assert_ne!(waiting(ProbeKind::Tcp(80), Transport::Tcp, 5, 5).verdict().0, "service-overloaded");
    }

    #[test]
    fn a_buffer_that_is_full() {
        let mut fixture = waiting(ProbeKind::Udp(53), Transport::Udp, 2304, 2304);
        assert_ne!(fixture.verdict().0, "service-overloaded", "nobody says that this one found no room");
        fixture.counted("world", "Udp.RcvbufErrors");
        assert_eq!(fixture.verdict().0, "service-overloaded");
        // Somebody else's socket is full.
        fixture.netns("world").listeners.clear();
        assert_ne!(fixture.verdict().0, "service-overloaded");
    }
}
