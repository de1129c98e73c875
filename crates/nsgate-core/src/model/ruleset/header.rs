//! The fields of protocol headers that nft has names for, and what must hold for a header to be where it is read.

use super::value_type::{Kind, Order, ValueType};
use super::{Base, TableFamily};

/// A protocol whose header rules can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Ethernet.
    Ether,
    /// The tag of a VLAN.
    Vlan,
    /// ARP.
    Arp,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ICMP.
    Icmp,
    /// ICMPv6.
    Icmp6,
    /// IGMP.
    Igmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
    /// SCTP.
    Sctp,
    /// DCCP.
    Dccp,
    /// IPsec's encapsulation.
    Esp,
    /// IPsec's authentication.
    Ah,
    /// IP payload compression.
    Comp,
    /// Any transport that begins with two ports.
    Transport,
}

/// One field of a header.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderField {
    /// The protocol it belongs to.
    pub protocol: Protocol,
    /// nft's name of it.
    pub name: &'static str,
    /// How far into the header, in bits.
    pub offset: u32,
    /// How many bits.
    pub bits: u32,
    /// The type of its values.
    pub value_type: ValueType,
}

/// What a rule already knows of the protocols of the packets that reach the next of its statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// The family of the table.
    pub(super) family: TableFamily,
    /// The frame is known to be Ethernet's.
    pub(super) ether: bool,
    /// It is known to carry a VLAN tag.
    pub(super) tagged: bool,
    /// The network protocol, by Ethernet's number.
    pub(super) network: Option<u16>,
    /// The transport protocol, by IP's number.
    pub(super) transport: Option<u8>,
}

/// What must be asked before a header can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependency {
    /// The frame is Ethernet's.
    Ether,
    /// The frame has a VLAN tag.
    Tagged,
    /// The network protocol, by Ethernet's number.
    Network(u16),
    /// The transport protocol, by IP's number.
    Transport(u8),
}

/// Ethernet's numbers of the network protocols.
pub(super) const ETHERTYPE_IP: u16 = 0x0800;
/// The same for IPv6.
pub(super) const ETHERTYPE_IP6: u16 = 0x86dd;
/// The same for ARP.
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;

impl Protocol {
    const ALL: [Self; 17] = [
        Self::Ether,
        Self::Vlan,
        Self::Arp,
        Self::Ip,
        Self::Ip6,
        Self::Icmp,
        Self::Icmp6,
        Self::Igmp,
        Self::Tcp,
        Self::Udp,
        Self::UdpLite,
        Self::Sctp,
        Self::Dccp,
        Self::Esp,
        Self::Ah,
        Self::Comp,
        Self::Transport,
    ];

    /// nft's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ether => "ether",
            Self::Vlan => "vlan",
            Self::Arp => "arp",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Icmp => "icmp",
            Self::Icmp6 => "icmpv6",
            Self::Igmp => "igmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::UdpLite => "udplite",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
            Self::Esp => "esp",
            Self::Ah => "ah",
            Self::Comp => "comp",
            Self::Transport => "th",
        }
    }

    /// The protocol of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.word() == word)
    }

    /// Where its header begins.
    pub fn base(self) -> Base {
        match self {
            Self::Ether | Self::Vlan => Base::Link,
            Self::Arp | Self::Ip | Self::Ip6 => Base::Network,
            _ => Base::Transport,
        }
    }

    /// What must hold for its header to be there.
    pub(super) fn dependencies(self) -> &'static [Dependency] {
        use Dependency::{Ether, Network, Tagged, Transport};
        match self {
            Self::Transport => &[],
            Self::Ether => &[Ether],
            Self::Vlan => &[Ether, Tagged],
            Self::Arp => &[Network(ETHERTYPE_ARP)],
            Self::Ip => &[Network(ETHERTYPE_IP)],
            Self::Ip6 => &[Network(ETHERTYPE_IP6)],
            Self::Icmp => &[Network(ETHERTYPE_IP), Transport(1)],
            Self::Igmp => &[Network(ETHERTYPE_IP), Transport(2)],
            Self::Icmp6 => &[Network(ETHERTYPE_IP6), Transport(58)],
            Self::Tcp => &[Transport(6)],
            Self::Udp => &[Transport(17)],
            Self::Dccp => &[Transport(33)],
            Self::Esp => &[Transport(50)],
            Self::Ah => &[Transport(51)],
            Self::Comp => &[Transport(108)],
            Self::Sctp => &[Transport(132)],
            Self::UdpLite => &[Transport(136)],
        }
    }
}

impl HeaderField {
    /// The field of this name.
    pub fn named(protocol: Protocol, name: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|f| f.protocol == protocol && f.name == name)
    }

    /// What is known of its values.
    pub fn kind(&self) -> Kind {
        Kind { value_type: self.value_type, length: self.bits.div_ceil(8) as usize, order: Order::Network }
    }

    /// The bytes that hold it: offset and length.
    pub fn bytes(&self) -> (u32, u32) {
        let first = self.offset / 8;
        (first, (self.offset + self.bits).div_ceil(8) - first)
    }

    /// Its bits within these bytes, and how far they are from the last one; none if it fills the bytes.
    pub fn mask(&self) -> Option<(Vec<u8>, u32)> {
        mask_within(self.offset, self.bits)
    }
}

impl Context {
    /// What is known before the first statement.
    pub(super) fn new(family: TableFamily) -> Self {
        let network = own_network(family);
        let ether = family == TableFamily::Bridge;
        Self { family, ether, tagged: false, network, transport: None }
    }

    /// Whether only IPv6 packets come here.
    pub(super) fn in_ipv6(&self) -> bool {
        own_network(self.family).or(self.network) == Some(ETHERTYPE_IP6)
    }

    /// What of a protocol's dependencies is not known yet.
    pub(super) fn missing(&self, protocol: Protocol) -> Vec<Dependency> {
        protocol.dependencies().iter().copied().filter(|d| !self.holds(*d)).collect()
    }

    /// Takes note of something that was asked.
    pub(super) fn learn(&mut self, dependency: Dependency) {
        match dependency {
            Dependency::Ether => self.ether = true,
            Dependency::Tagged => self.tagged = true,
            Dependency::Network(number) => self.network = Some(number),
            Dependency::Transport(number) => self.transport = Some(number),
        }
    }

    /// The named field at this place of the packet, where what is known so far says which protocol is there.
    pub(super) fn field_at(&self, base: Base, offset: u32, bits: u32) -> Option<&'static HeaderField> {
        self.protocols(base)
            .iter()
            .find_map(|p| FIELDS.iter().find(|f| f.protocol == *p && f.offset == offset && f.bits == bits))
    }

    /// The named field that begins at this place of the packet; where several do, the widest within `bits`.
    pub(super) fn field_from(&self, base: Base, offset: u32, bits: u32) -> Option<&'static HeaderField> {
        let of = |p: &Protocol| {
            FIELDS.iter().filter(|f| f.protocol == *p && f.offset == offset && f.bits <= bits).max_by_key(|f| f.bits)
        };
        self.protocols(base).iter().find_map(of)
    }

    /// The field that begins at this place and is wider than `bits`: its first bytes alone were read.
    pub(super) fn wider_field_from(&self, base: Base, offset: u32, bits: u32) -> Option<&'static HeaderField> {
        let of = |p: &Protocol| FIELDS.iter().find(|f| f.protocol == *p && f.offset == offset && f.bits > bits);
        self.protocols(base).iter().find_map(of)
    }

    fn holds(&self, dependency: Dependency) -> bool {
        match dependency {
            Dependency::Ether => self.ether,
            Dependency::Tagged => self.tagged,
            // What the table's family says holds, whatever a rule asks for besides.
            Dependency::Network(number) => self.network == Some(number) || own_network(self.family) == Some(number),
            Dependency::Transport(number) => self.transport == Some(number),
        }
    }

    /// The protocols whose header may begin here.
    fn protocols(&self, base: Base) -> Vec<Protocol> {
        let without_ports = self.transport.is_some_and(|number| [1, 2, 50, 51, 58, 108].contains(&number));
        let fits = |p: &Protocol| match p {
            Protocol::Transport if without_ports => false,
            // nft has no other header in a table of ARP, whatever a rule asks for.
            p if self.family == TableFamily::Arp && !matches!(p, Protocol::Arp | Protocol::Ether) => false,
            p => p.base() == base && p.dependencies().iter().all(|d| self.holds(*d)),
        };
        let mut protocols: Vec<Protocol> = Protocol::ALL.into_iter().filter(fits).collect();
        if let Some(own) = own_network(self.family) {
            protocols.sort_by_key(|p| !p.dependencies().contains(&Dependency::Network(own)));
        }
        protocols
    }
}

/// The network protocol of all packets that tables of this family see, by Ethernet's number.
fn own_network(family: TableFamily) -> Option<u16> {
    match family {
        TableFamily::Ip => Some(ETHERTYPE_IP),
        TableFamily::Ip6 => Some(ETHERTYPE_IP6),
        TableFamily::Arp => Some(ETHERTYPE_ARP),
        TableFamily::Inet | TableFamily::Bridge | TableFamily::Netdev => None,
    }
}

/// The bits of a field within the bytes that hold it, and how far they are from the last one; none if it fills them.
pub(super) fn mask_within(offset: u32, bits: u32) -> Option<(Vec<u8>, u32)> {
    if offset.is_multiple_of(8) && bits.is_multiple_of(8) {
        return None;
    }
    let end = offset.checked_add(bits)?;
    let length = end.div_ceil(8) - offset / 8;
    let shift = length * 8 - offset % 8 - bits;
    let whole = 1u64.checked_shl(bits)?.wrapping_sub(1).checked_shl(shift)?;
    Some((whole.to_be_bytes().get(8usize.checked_sub(length as usize)?..)?.to_vec(), shift))
}

/// nft's word for a place that bits without a name are counted from.
pub(super) fn base_word(base: Base) -> &'static str {
    match base {
        Base::Link => "ll",
        Base::Network => "nh",
        Base::Transport => "th",
        Base::Inner => "ih",
    }
}

const fn field(protocol: Protocol, name: &'static str, offset: u32, bits: u32, value_type: ValueType) -> HeaderField {
    HeaderField { protocol, name, offset, bits, value_type }
}

/// Every field that has a name. Where two begin at the same place the first is taken for a bare value.
const FIELDS: &[HeaderField] = {
    use Protocol as P;
    use ValueType as T;
    &[
        field(P::Ether, "daddr", 0, 48, T::EtherAddress),
        field(P::Ether, "saddr", 48, 48, T::EtherAddress),
        field(P::Ether, "type", 96, 16, T::EtherType),
        field(P::Vlan, "pcp", 112, 3, T::Integer),
        field(P::Vlan, "dei", 115, 1, T::Integer),
        field(P::Vlan, "id", 116, 12, T::Integer),
        field(P::Vlan, "type", 128, 16, T::EtherType),
        field(P::Arp, "htype", 0, 16, T::Integer),
        field(P::Arp, "ptype", 16, 16, T::EtherType),
        field(P::Arp, "hlen", 32, 8, T::Integer),
        field(P::Arp, "plen", 40, 8, T::Integer),
        field(P::Arp, "operation", 48, 16, T::ArpOperation),
        field(P::Arp, "saddr ether", 64, 48, T::EtherAddress),
        field(P::Arp, "saddr ip", 112, 32, T::Ipv4Address),
        field(P::Arp, "daddr ether", 144, 48, T::EtherAddress),
        field(P::Arp, "daddr ip", 192, 32, T::Ipv4Address),
        field(P::Ip, "version", 0, 4, T::Integer),
        field(P::Ip, "hdrlength", 4, 4, T::Integer),
        field(P::Ip, "dscp", 8, 6, T::Dscp),
        field(P::Ip, "ecn", 14, 2, T::Ecn),
        field(P::Ip, "length", 16, 16, T::Integer),
        field(P::Ip, "id", 32, 16, T::Integer),
        field(P::Ip, "frag-off", 48, 16, T::Integer),
        field(P::Ip, "ttl", 64, 8, T::Integer),
        field(P::Ip, "protocol", 72, 8, T::InetProtocol),
        field(P::Ip, "checksum", 80, 16, T::Integer),
        field(P::Ip, "saddr", 96, 32, T::Ipv4Address),
        field(P::Ip, "daddr", 128, 32, T::Ipv4Address),
        field(P::Ip6, "version", 0, 4, T::Integer),
        field(P::Ip6, "dscp", 4, 6, T::Dscp),
        field(P::Ip6, "ecn", 10, 2, T::Ecn),
        field(P::Ip6, "flowlabel", 12, 20, T::Integer),
        field(P::Ip6, "length", 32, 16, T::Integer),
        field(P::Ip6, "nexthdr", 48, 8, T::InetProtocol),
        field(P::Ip6, "hoplimit", 56, 8, T::Integer),
        field(P::Ip6, "saddr", 64, 128, T::Ipv6Address),
        field(P::Ip6, "daddr", 192, 128, T::Ipv6Address),
        field(P::Icmp, "type", 0, 8, T::IcmpType),
        field(P::Icmp, "code", 8, 8, T::IcmpCode),
        field(P::Icmp, "checksum", 16, 16, T::Integer),
        field(P::Icmp6, "type", 0, 8, T::Icmp6Type),
        field(P::Icmp6, "code", 8, 8, T::Icmp6Code),
        field(P::Icmp6, "checksum", 16, 16, T::Integer),
        field(P::Igmp, "type", 0, 8, T::IgmpType),
        field(P::Igmp, "mrt", 8, 8, T::Integer),
        field(P::Igmp, "checksum", 16, 16, T::Integer),
        field(P::Igmp, "group", 32, 32, T::Ipv4Address),
        field(P::Tcp, "sport", 0, 16, T::InetService),
        field(P::Tcp, "dport", 16, 16, T::InetService),
        field(P::Tcp, "sequence", 32, 32, T::Integer),
        field(P::Tcp, "ackseq", 64, 32, T::Integer),
        field(P::Tcp, "doff", 96, 4, T::Integer),
        field(P::Tcp, "reserved", 100, 4, T::Integer),
        field(P::Tcp, "flags", 104, 8, T::TcpFlags),
        field(P::Tcp, "window", 112, 16, T::Integer),
        field(P::Tcp, "checksum", 128, 16, T::Integer),
        field(P::Tcp, "urgptr", 144, 16, T::Integer),
        field(P::Udp, "sport", 0, 16, T::InetService),
        field(P::Udp, "dport", 16, 16, T::InetService),
        field(P::Udp, "length", 32, 16, T::Integer),
        field(P::Udp, "checksum", 48, 16, T::Integer),
        field(P::UdpLite, "sport", 0, 16, T::InetService),
        field(P::UdpLite, "dport", 16, 16, T::InetService),
        field(P::UdpLite, "csumcov", 32, 16, T::Integer),
        field(P::UdpLite, "checksum", 48, 16, T::Integer),
        field(P::Sctp, "sport", 0, 16, T::InetService),
        field(P::Sctp, "dport", 16, 16, T::InetService),
        field(P::Sctp, "vtag", 32, 32, T::Integer),
        field(P::Sctp, "checksum", 64, 32, T::Integer),
        field(P::Dccp, "sport", 0, 16, T::InetService),
        field(P::Dccp, "dport", 16, 16, T::InetService),
        field(P::Dccp, "type", 67, 4, T::DccpType),
        field(P::Esp, "spi", 0, 32, T::Integer),
        field(P::Esp, "sequence", 32, 32, T::Integer),
        field(P::Ah, "nexthdr", 0, 8, T::InetProtocol),
        field(P::Ah, "hdrlength", 8, 8, T::Integer),
        field(P::Ah, "reserved", 16, 16, T::Integer),
        field(P::Ah, "spi", 32, 32, T::Integer),
        field(P::Ah, "sequence", 64, 32, T::Integer),
        field(P::Comp, "nexthdr", 0, 8, T::InetProtocol),
        field(P::Comp, "flags", 8, 8, T::Integer),
        field(P::Comp, "cpi", 16, 16, T::Integer),
        field(P::Transport, "sport", 0, 16, T::InetService),
        field(P::Transport, "dport", 16, 16, T::InetService),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_within_bytes_are_found() {
        let dscp = HeaderField::named(Protocol::Ip6, "dscp").unwrap();
        assert_eq!(dscp.bytes(), (0, 2));
        assert_eq!(dscp.mask(), Some((vec![0x0f, 0xc0], 6)));
        let flow = HeaderField::named(Protocol::Ip6, "flowlabel").unwrap();
        assert_eq!(flow.bytes(), (1, 3));
        assert_eq!(flow.mask(), Some((vec![0x0f, 0xff, 0xff], 0)));
        assert_eq!(HeaderField::named(Protocol::Ip, "saddr").unwrap().mask(), None);
    }

    #[test]
    fn a_field_has_its_name_only_where_its_protocol_is_known() {
        let mut context = Context::new(TableFamily::Inet);
        assert_eq!(context.field_at(Base::Network, 96, 32), None);
        assert_eq!(context.field_at(Base::Transport, 16, 16).map(|f| f.protocol), Some(Protocol::Transport));
        context.learn(Dependency::Network(ETHERTYPE_IP));
        context.learn(Dependency::Transport(6));
        assert_eq!(context.field_at(Base::Network, 96, 32).map(|f| f.name), Some("saddr"));
        assert_eq!(context.field_at(Base::Transport, 16, 16).map(|f| f.protocol), Some(Protocol::Tcp));
        assert_eq!(context.missing(Protocol::Icmp6), [Dependency::Network(ETHERTYPE_IP6), Dependency::Transport(58)]);
    }
}
