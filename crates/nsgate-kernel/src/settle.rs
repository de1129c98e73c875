//! Waiting until interfaces that were set up carry packets.
//!
//! The kernel readies an interface a moment after its other end came up, sometimes up to a second later, and loses
//! what is sent through it before; IPv6 addresses and neighbours are of no use until nobody was found to hold the same
//! address. A probe sent too early would blame the wrong thing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nsgate_core::model::{Address, Limit, Link, LinkIndex, NetnsName, OperState};

use crate::Error;
use crate::netlink::{Protocol, Socket};
use crate::netns::{self, Netns};
use crate::rtnetlink;

/// How long to wait between looks. A look takes a tenth of that.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until every interface of these namespaces that can carry packets does, but no longer than `limit`.
///
/// Gives what has not settled by then. An interface that is down, or has nothing connected, has settled.
pub fn settle<'a>(
    namespaces: impl IntoIterator<Item = &'a Netns> + Send,
    limit: Duration,
) -> Result<Vec<Limit>, Error> {
    let deadline = Instant::now() + limit;
    let mut waiting = Vec::new();
    for opened in netns::visit(namespaces, |netns| Ok((netns.name().clone(), Socket::open(Protocol::Route)?)))? {
        waiting.push(opened??);
    }
    loop {
        let mut unsettled = Vec::new();
        let mut still = Vec::new();
        for (name, mut socket) in waiting {
            let found = unsettled_in(&name, &mut socket)?;
            if !found.is_empty() {
                unsettled.extend(found);
                still.push((name, socket));
            }
        }
        if still.is_empty() || Instant::now() >= deadline {
            return Ok(unsettled);
        }
        waiting = still;
        sleep(PAUSE);
    }
}

/// What has not settled in the socket's namespace.
fn unsettled_in(netns: &NetnsName, socket: &mut Socket) -> Result<Vec<Limit>, Error> {
    let links: Vec<Link> = rtnetlink::links(socket)?.items.into_iter().map(|found| found.link).collect();
    let addresses = rtnetlink::addresses(socket)?.items;
    let limit = |what: String, why: &str| Limit { netns: Some(netns.clone()), what, why: why.into() };
    let mut unsettled: Vec<_> = links
        .iter()
        .filter(|link| is_between_states(link))
        .map(|link| limit(link.name.to_string(), "the kernel has not readied it yet"))
        .collect();
    let usable: BTreeSet<LinkIndex> = links.iter().filter(|link| link.usable()).map(|link| link.index).collect();
    unsettled.extend(
        tentative(&addresses)
            .filter(|(index, _)| usable.contains(index))
            .map(|(_, address)| limit(address.net.to_string(), "the kernel still looks for another holder of it")),
    );
    Ok(unsettled)
}

/// Whether the kernel has yet to act on what became of the interface's carrier.
fn is_between_states(link: &Link) -> bool {
    let ready = matches!(link.state, OperState::Up | OperState::Unknown);
    link.up && link.carrier != ready && link.state != OperState::Dormant
}

/// The addresses that cannot be used yet. Link-local ones count only beside others: where only IPv4 is used, nobody
/// waits for the addresses that IPv6 gives itself.
fn tentative(addresses: &[(LinkIndex, Address)]) -> impl Iterator<Item = &(LinkIndex, Address)> {
    let is_link_local = |address: &Address| match address.net.addr() {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let with_ipv6: BTreeSet<LinkIndex> = addresses
        .iter()
        .filter(|(_, address)| address.net.addr().is_ipv6() && !is_link_local(address))
        .map(|(index, _)| *index)
        .collect();
    addresses.iter().filter(move |(index, address)| {
        address.flags.tentative && !address.flags.duplicate && with_ipv6.contains(index)
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::apply::perform;
    use crate::sandbox::test;

    const LONG: Duration = Duration::from_secs(10);

    /// Does these steps, and gives the two namespaces they are about.
    fn build(lines: &[&str]) -> [Netns; 2] {
        for line in lines {
            perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        ["host", "blue"].map(|name| Netns::open(&name.parse().unwrap()).unwrap())
    }

    const WIRE: [&str; 3] =
        ["ip netns add blue", "ip link add v1 type veth peer name v2 netns blue", "ip link set v1 up"];

    /// Sends a datagram across, for which both ends must find each other first; a lost one is not sent again.
    fn crosses([here, there]: &[Netns; 2]) -> bool {
        let bind = |netns: &Netns, address: &str| netns.run(|| UdpSocket::bind((address, 0)).unwrap()).unwrap();
        let (from, to) = (bind(here, "10.0.0.1"), bind(there, "10.0.0.2"));
        // The kernel asks for a neighbour again after a second.
        to.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        from.send_to(b"here", to.local_addr().unwrap()).unwrap();
        to.recv(&mut [0; 4]).is_ok()
    }

    #[test]
    fn a_wire_carries_packets_once_it_has_settled() {
        test(|| {
            let both = build(
                &[&WIRE[..], &["ip addr add 10.0.0.1/24 dev v1", "ip -n blue addr add 10.0.0.2/24 dev v2"]].concat(),
            );
            assert_eq!(settle(&both, LONG).unwrap(), [], "an end without its peer up has settled");
            perform(&"ip -n blue link set v2 up".parse().unwrap()).unwrap();
            assert_eq!(settle(&both, LONG).unwrap(), []);
            assert!(crosses(&both));
        });
    }

    #[test]
    fn a_bridge_carries_packets_once_it_has_settled() {
        test(|| {
            let both = build(
                &[
                    &WIRE[..],
                    &[
                        "ip link add br0 type bridge",
                        "ip addr add 10.0.0.1/24 dev br0",
                        "ip link set br0 up",
                        "ip link set v1 master br0",
                        "ip -n blue addr add 10.0.0.2/24 dev v2",
                        "ip -n blue link set v2 up",
                    ],
                ]
                .concat(),
            );
            assert_eq!(settle(&both, LONG).unwrap(), []);
            assert!(crosses(&both));
        });
    }

    #[test]
    fn ipv6_addresses_are_waited_for() {
        test(|| {
            let both = build(
                &[&WIRE[..], &["ip -n blue addr add 2001:db8::2/64 dev v2", "ip -n blue link set v2 up"]].concat(),
            );
            let early = settle(&both, Duration::ZERO).unwrap();
            assert!(early.iter().any(|limit| limit.what == "2001:db8::2/64"), "{early:?}");
            assert_eq!(settle(&both, LONG).unwrap(), []);
            both[1].run(|| UdpSocket::bind("[2001:db8::2]:0").unwrap()).unwrap();
        });
    }
}
