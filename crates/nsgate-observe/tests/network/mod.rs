//! The network that most tests probe.

use std::time::Duration;

use nsgate_kernel::netns::Netns;
use nsgate_kernel::{apply, settle};

/// ns_1, behind the gateway `host`, and what is beyond it.
const NETWORK: [&str; 24] = [
    "ip netns add ns_1",
    "ip netns add world",
    "ip link add veth3 type veth peer name veth2 netns ns_1",
    "ip link add eth2 type veth peer name w0 netns world",
    "ip addr add 1.1.1.3/24 dev veth3",
    "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
    "ip addr add 10.20.30.182/24 dev eth2",
    "ip -n world addr add 10.20.30.1/24 dev w0",
    "ip -n world addr add 114.114.114.114/32 dev w0",
    "ip addr add fd01::3/64 dev veth3 nodad",
    "ip -n ns_1 addr add fd01::2/64 dev veth2 nodad",
    "ip addr add fd30::182/64 dev eth2 nodad",
    "ip -n world addr add fd30::1/64 dev w0 nodad",
    "ip link set lo up",
    "ip -n ns_1 link set lo up",
    "ip link set veth3 up",
    "ip link set eth2 up",
    "ip -n ns_1 link set veth2 up",
    "ip -n world link set w0 up",
    "ip -n ns_1 route add default via 1.1.1.3",
    "ip -n ns_1 route add default via fd01::3",
    "ip -n world route add 1.1.1.0/24 via 10.20.30.182",
    "ip -n world route add fd01::/64 via fd30::182",
    "ip route add 114.114.114.114/32 via 10.20.30.1",
];
/// Makes the gateway one.
pub(crate) const FORWARDING: [&str; 2] =
    ["sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv6.conf.all.forwarding=1"];
const NAMESPACES: [&str; 3] = ["ns_1", "host", "world"];

pub(crate) fn perform(lines: &[&str]) {
    for line in lines {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

pub(crate) fn namespaces() -> [Netns; 3] {
    NAMESPACES.map(|name| Netns::open(&name.parse().unwrap()).unwrap())
}

/// Builds the network, then what these lines add, and waits until it carries packets.
pub(crate) fn build(lines: &[&str]) {
    perform(&NETWORK);
    perform(lines);
    assert_eq!(settle::settle(&namespaces(), Duration::from_secs(20)).unwrap(), []);
}
