//! The cause codes: public interface, so a code never changes its meaning.

use std::fmt;
use std::str::FromStr;

/// One root cause: the single thing an operator changes to make the packet arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// An interface is administratively down: the one to bring up, even if it is the peer of the one that lost the packet.
    LinkDown,
    /// The interface is up but nothing is behind it: its peer or lower device is gone or out of sight.
    NoCarrier,
    /// An interface lacks the address that the path needs (a published or translated address that nobody answers for included).
    AddressMissing,
    /// Two hosts on one segment hold the same address (IPv6 duplicate address detection failed included).
    AddressDuplicate,
    /// An IPv6 address is still under duplicate address detection.
    AddressTentative,
    /// IPv6 (or IPv4) is switched off on an interface, by sysctl or by an MTU below the protocol's minimum.
    Ipv6Disabled,
    /// A prefix length or on-link route makes a remote address look local, or a local one remote.
    PrefixWrong,
    /// No route to the destination (no default route, say).
    RouteMissing,
    /// A route exists but leads to a gateway or interface where the packet is lost; the next hop there does resolve.
    RouteWrong,
    /// A blackhole, unreachable, prohibit or throw route is hit.
    RouteBlocking,
    /// A routing-policy rule (ip rule, fwmark, VRF), or the lack of one, sends the packet to a table that loses it.
    RulePolicy,
    /// The next hop does not resolve: nobody holds that address there, or its host will not answer (arp_ignore, NOARP, proxy ARP/NDP off or without the entry), and nothing more specific explains it.
    NeighbourFailed,
    /// The sender's neighbour entry holds the wrong link-layer address (a static or stale one).
    NeighbourWrong,
    /// The neighbour table is at gc_thresh3.
    NeighbourTableFull,
    /// A packet-filter rule or chain policy drops or rejects it: nftables, iptables (nft or legacy), netdev/ingress, bridge and arp family; rules that check the reverse path (fib, rpfilter) and rules that eat ARP or ND included.
    FilterDrop,
    /// An XDP, tc or cgroup BPF program drops it.
    BpfDrop,
    /// A queueing discipline, or a tc filter or action other than BPF, drops it.
    QdiscDrop,
    /// A Linux security module or packet label refuses it.
    SecurityDrop,
    /// An IPsec policy has no state to send it by, or refuses it.
    XfrmDrop,
    /// The packet is larger than an MTU on the path (a veth peer's included), may not be fragmented, and the sender does not learn of it.
    MtuExceeded,
    /// Fragments are dropped, or cannot be put together again in time.
    FragmentLost,
    /// A checksum is wrong on arrival (offload faults through tunnels and bridges).
    ChecksumBad,
    /// TTL or hop limit reaches zero; a routing loop too, with the route that closes the loop as the object.
    TtlExpired,
    /// The source address is one the kernel refuses on that interface (own address, loopback, broadcast, zero).
    SourceMartian,
    /// The frame arrives for another link-layer address and is ignored, though the sender's entry was right (a changed or rewritten address).
    MacMismatch,
    /// A bridge port is detached, not forwarding, isolated, in the wrong VLAN, or its forwarding entry leads elsewhere; the same for a macvlan mode that keeps two ends apart.
    BridgePortBlocked,
    /// A VXLAN (or other overlay) has no remote or forwarding entry for the peer, or a wrong one (address, VNI, port).
    TunnelUnresolved,
    /// A listen queue or receive buffer is full.
    ServiceOverloaded,
    /// IP forwarding is off: globally, for the incoming interface (IPv4), or for IPv6.
    ForwardingDisabled,
    /// The rp_filter sysctl (the larger of all and the interface's) drops it.
    RpFilter,
    /// IPv6 forwarding was switched on and the uplink therefore ignores router advertisements (accept_ra is not 2).
    RouterAdvertisementLost,
    /// Traffic is translated to 127.0.0.0/8 while route_localnet is off.
    LocalnetUnrouted,
    /// Bridged traffic is passed to the IP packet filter (bridge-nf-call-iptables) and dropped there.
    BridgeFiltered,
    /// Nothing translates the source, so it leaves unchanged and a hop outside the operator's networks has no way back.
    SnatMissing,
    /// A translation rule exists but does not match: wrong source, interface, protocol, or it is shadowed by an earlier rule.
    SnatMismatch,
    /// The source becomes an address the gateway does not hold, so the answer never comes back to it.
    SnatAddressWrong,
    /// No free port or mapping is left in the translation range.
    SnatExhausted,
    /// A translation that should not happen (between own networks, into a tunnel) breaks the answer or a filter.
    SnatUnwanted,
    /// Masquerade on an interface that has no usable address: the rule matches, then drops.
    MasqueradeNoAddress,
    /// Nothing translates the published address or port, although the service listens inside.
    DnatMissing,
    /// A destination-translation rule exists but does not match, or is shadowed.
    DnatMismatch,
    /// The translation leads to an address or port where the service is not.
    DnatTargetWrong,
    /// A host reaches its own network's published address, and the answer bypasses the gateway (or the bridge port refuses to send back).
    HairpinMissing,
    /// The connection-tracking table is full.
    ConntrackFull,
    /// An old connection-tracking entry keeps the old (or no) translation.
    ConntrackStale,
    /// Connection tracking calls the packet invalid or untracked, and a rule drops it or NAT passes it by (asymmetric path, notrack, TCP window).
    ConntrackInvalid,
    /// The destination host answers that nothing listens there, or the service is bound to another address, family or namespace (the object says so).
    ServiceClosed,
    /// The destination is configured not to answer echo requests.
    EchoIgnored,
    /// The destination, or a hop beyond, has no way back to the source, within the operator's own networks.
    ReturnRouteMissing,
    /// The answer takes another way back than the request came and is lost there, and no more specific code names the loss.
    ReturnPathAsymmetric,
    /// The packet left this machine correctly and nothing came back, or a refusal came from beyond (the object quotes it): the cause is not visible from here.
    UpstreamSilent,
    /// The name could not be resolved: the namespace's resolver is missing or cannot be reached (the inner cause is a further finding).
    ResolverUnreachable,
    /// The probe and its answer both arrived.
    Delivered,
    /// The tool itself lacks a capability, or an object it was told to look at is not there; it says which.
    NotPermitted,
    /// Observation incomplete or a part not modelled: what was seen, what is missing, what to try.
    Uncertain,
}

/// The text is no cause code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a cause code")]
pub struct UnknownCause(pub String);

impl Cause {
    /// Every cause, in the order of the catalogue.
    pub const ALL: [Cause; 55] = [
        Cause::LinkDown,
        Cause::NoCarrier,
        Cause::AddressMissing,
        Cause::AddressDuplicate,
        Cause::AddressTentative,
        Cause::Ipv6Disabled,
        Cause::PrefixWrong,
        Cause::RouteMissing,
        Cause::RouteWrong,
        Cause::RouteBlocking,
        Cause::RulePolicy,
        Cause::NeighbourFailed,
        Cause::NeighbourWrong,
        Cause::NeighbourTableFull,
        Cause::FilterDrop,
        Cause::BpfDrop,
        Cause::QdiscDrop,
        Cause::SecurityDrop,
        Cause::XfrmDrop,
        Cause::MtuExceeded,
        Cause::FragmentLost,
        Cause::ChecksumBad,
        Cause::TtlExpired,
        Cause::SourceMartian,
        Cause::MacMismatch,
        Cause::BridgePortBlocked,
        Cause::TunnelUnresolved,
        Cause::ServiceOverloaded,
        Cause::ForwardingDisabled,
        Cause::RpFilter,
        Cause::RouterAdvertisementLost,
        Cause::LocalnetUnrouted,
        Cause::BridgeFiltered,
        Cause::SnatMissing,
        Cause::SnatMismatch,
        Cause::SnatAddressWrong,
        Cause::SnatExhausted,
        Cause::SnatUnwanted,
        Cause::MasqueradeNoAddress,
        Cause::DnatMissing,
        Cause::DnatMismatch,
        Cause::DnatTargetWrong,
        Cause::HairpinMissing,
        Cause::ConntrackFull,
        Cause::ConntrackStale,
        Cause::ConntrackInvalid,
        Cause::ServiceClosed,
        Cause::EchoIgnored,
        Cause::ReturnRouteMissing,
        Cause::ReturnPathAsymmetric,
        Cause::UpstreamSilent,
        Cause::ResolverUnreachable,
        Cause::Delivered,
        Cause::NotPermitted,
        Cause::Uncertain,
    ];

    /// The code as it stands in output and in file names.
    pub fn code(self) -> &'static str {
        match self {
            Cause::LinkDown => "link-down",
            Cause::NoCarrier => "no-carrier",
            Cause::AddressMissing => "address-missing",
            Cause::AddressDuplicate => "address-duplicate",
            Cause::AddressTentative => "address-tentative",
            Cause::Ipv6Disabled => "ipv6-disabled",
            Cause::PrefixWrong => "prefix-wrong",
            Cause::RouteMissing => "route-missing",
            Cause::RouteWrong => "route-wrong",
            Cause::RouteBlocking => "route-blocking",
            Cause::RulePolicy => "rule-policy",
            Cause::NeighbourFailed => "neighbour-failed",
            Cause::NeighbourWrong => "neighbour-wrong",
            Cause::NeighbourTableFull => "neighbour-table-full",
            Cause::FilterDrop => "filter-drop",
            Cause::BpfDrop => "bpf-drop",
            Cause::QdiscDrop => "qdisc-drop",
            Cause::SecurityDrop => "security-drop",
            Cause::XfrmDrop => "xfrm-drop",
            Cause::MtuExceeded => "mtu-exceeded",
            Cause::FragmentLost => "fragment-lost",
            Cause::ChecksumBad => "checksum-bad",
            Cause::TtlExpired => "ttl-expired",
            Cause::SourceMartian => "source-martian",
            Cause::MacMismatch => "mac-mismatch",
            Cause::BridgePortBlocked => "bridge-port-blocked",
            Cause::TunnelUnresolved => "tunnel-unresolved",
            Cause::ServiceOverloaded => "service-overloaded",
            Cause::ForwardingDisabled => "forwarding-disabled",
            Cause::RpFilter => "rp-filter",
            Cause::RouterAdvertisementLost => "router-advertisement-lost",
            Cause::LocalnetUnrouted => "localnet-unrouted",
            Cause::BridgeFiltered => "bridge-filtered",
            Cause::SnatMissing => "snat-missing",
            Cause::SnatMismatch => "snat-mismatch",
            Cause::SnatAddressWrong => "snat-address-wrong",
            Cause::SnatExhausted => "snat-exhausted",
            Cause::SnatUnwanted => "snat-unwanted",
            Cause::MasqueradeNoAddress => "masquerade-no-address",
            Cause::DnatMissing => "dnat-missing",
            Cause::DnatMismatch => "dnat-mismatch",
            Cause::DnatTargetWrong => "dnat-target-wrong",
            Cause::HairpinMissing => "hairpin-missing",
            Cause::ConntrackFull => "conntrack-full",
            Cause::ConntrackStale => "conntrack-stale",
            Cause::ConntrackInvalid => "conntrack-invalid",
            Cause::ServiceClosed => "service-closed",
            Cause::EchoIgnored => "echo-ignored",
            Cause::ReturnRouteMissing => "return-route-missing",
            Cause::ReturnPathAsymmetric => "return-path-asymmetric",
            Cause::UpstreamSilent => "upstream-silent",
            Cause::ResolverUnreachable => "resolver-unreachable",
            Cause::Delivered => "delivered",
            Cause::NotPermitted => "not-permitted",
            Cause::Uncertain => "uncertain",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, UnknownCause> {
        Self::ALL.into_iter().find(|c| c.code() == text).ok_or_else(|| UnknownCause(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for cause in Cause::ALL {
            assert_eq!(cause.code().parse(), Ok(cause));
        }
        assert!("no-such-code".parse::<Cause>().is_err());
    }
}
