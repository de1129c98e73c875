//! The types of values, as nft numbers and names them.
//!
//! A set carries the number of its key's type; a concatenation carries six bits for each of its parts. How a value of
//! a type reads is in [`value`](super::value).

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A decision.
    Verdict,
    /// A family of network protocols.
    NetworkFamily,
    /// A number.
    Integer,
    /// Text.
    Text,
    /// A link-layer address of any kind.
    LinkAddress,
    /// An IPv4 address.
    Ipv4Address,
    /// An IPv6 address.
    Ipv6Address,
    /// An Ethernet address.
    EtherAddress,
    /// The protocol that an Ethernet frame carries.
    EtherType,
    /// What an ARP packet asks or says.
    ArpOperation,
    /// The protocol that an IP packet carries.
    InetProtocol,
    /// A port.
    InetService,
    /// The type of an ICMP message.
    IcmpType,
    /// The flags of a TCP segment.
    TcpFlags,
    /// A span of time in milliseconds.
    Time,
    /// The mark of a packet or connection.
    Mark,
    /// The number of an interface.
    InterfaceIndex,
    /// The kind of hardware (ARPHRD_*).
    HardwareType,
    /// A routing realm.
    Realm,
    /// A class of a queueing discipline.
    ClassId,
    /// A user.
    User,
    /// A group.
    Group,
    /// How far a connection has come.
    CtState,
    /// A direction of a connection.
    CtDirection,
    /// What happened to a connection.
    CtStatus,
    /// The type of an ICMPv6 message.
    Icmp6Type,
    /// The labels of a connection.
    CtLabel,
    /// To whom a frame was sent.
    PacketType,
    /// The code of an ICMP message.
    IcmpCode,
    /// The code of an ICMPv6 message.
    Icmp6Code,
    /// The code of an ICMP message of either family.
    IcmpxCode,
    /// A group of interfaces.
    DeviceGroup,
    /// A class of service.
    Dscp,
    /// Congestion notification.
    Ecn,
    /// The kind of a route's destination.
    FibType,
    /// There or not.
    Existence,
    /// Events of a connection.
    CtEvent,
    /// The name of an interface.
    InterfaceName,
    /// The type of an IGMP message.
    IgmpType,
    /// A point in time in nanoseconds.
    Date,
    /// A time of day in seconds.
    Hour,
    /// A day of the week.
    Day,
    /// A control group.
    Cgroup,
    /// The type of a mobility message.
    MobilityType,
    /// The type of a DCCP packet.
    DccpType,
}

/// In which order the bytes of a number stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// The most significant byte first.
    Network,
    /// As the machine keeps its numbers.
    Host,
    /// It is no number: text.
    Text,
}

/// What is known of a value: its type, its length in bytes and the order of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Its type.
    pub value_type: ValueType,
    /// Its length in bytes.
    pub length: usize,
    /// The order of its bytes.
    pub order: Order,
}

/// Each type with nft's number and name, its length in bytes and the order of these.
const TYPES: &[(ValueType, u32, &str, usize, Order)] = {
    use Order::{Host, Network, Text};
    use ValueType as T;
    &[
        (T::Verdict, 1, "verdict", 4, Host),
        (T::NetworkFamily, 2, "nf_proto", 1, Host),
        (T::Integer, 4, "integer", 4, Network),
        (T::Text, 5, "string", 16, Text),
        (T::LinkAddress, 6, "ll_addr", 6, Network),
        (T::Ipv4Address, 7, "ipv4_addr", 4, Network),
        (T::Ipv6Address, 8, "ipv6_addr", 16, Network),
        (T::EtherAddress, 9, "ether_addr", 6, Network),
        (T::EtherType, 10, "ether_type", 2, Network),
        (T::ArpOperation, 11, "arp_op", 2, Network),
        (T::InetProtocol, 12, "inet_proto", 1, Network),
        (T::InetService, 13, "inet_service", 2, Network),
        (T::IcmpType, 14, "icmp_type", 1, Network),
        (T::TcpFlags, 15, "tcp_flag", 1, Network),
        (T::DccpType, 16, "dccp_pkttype", 1, Network),
        (T::MobilityType, 17, "mh_type", 1, Network),
        (T::Time, 18, "time", 8, Host),
        (T::Mark, 19, "mark", 4, Host),
        (T::InterfaceIndex, 20, "iface_index", 4, Host),
        (T::HardwareType, 21, "iface_type", 2, Host),
        (T::Realm, 22, "realm", 4, Host),
        (T::ClassId, 23, "classid", 4, Host),
        (T::User, 24, "uid", 4, Host),
        (T::Group, 25, "gid", 4, Host),
        (T::CtState, 26, "ct_state", 4, Host),
        (T::CtDirection, 27, "ct_dir", 1, Host),
        (T::CtStatus, 28, "ct_status", 4, Host),
        (T::Icmp6Type, 29, "icmpv6_type", 1, Network),
        (T::CtLabel, 30, "ct_label", 16, Host),
        (T::PacketType, 31, "pkt_type", 1, Host),
        (T::IcmpCode, 32, "icmp_code", 1, Network),
        (T::Icmp6Code, 33, "icmpv6_code", 1, Network),
        (T::IcmpxCode, 34, "icmpx_code", 1, Network),
        (T::DeviceGroup, 35, "devgroup", 4, Host),
        (T::Dscp, 36, "dscp", 1, Network),
        (T::Ecn, 37, "ecn", 1, Network),
        (T::FibType, 38, "fib_addrtype", 4, Host),
        (T::Existence, 39, "boolean", 1, Host),
        (T::CtEvent, 40, "ct_event", 4, Host),
        (T::InterfaceName, 41, "ifname", 16, Text),
        (T::IgmpType, 42, "igmp_type", 1, Network),
        (T::Date, 43, "time", 8, Host),
        (T::Hour, 44, "hour", 4, Host),
        (T::Day, 45, "day", 1, Host),
        (T::Cgroup, 46, "cgroupsv2", 8, Host),
    ]
};

/// How many bits of a concatenation's number stand for one part.
const PART_BITS: u32 = 6;

impl ValueType {
    /// nft's number.
    pub fn number(self) -> u32 {
        self.entry().1
    }

    /// nft's name.
    pub fn name(self) -> &'static str {
        self.entry().2
    }

    /// The type of this number; none for concatenations.
    pub fn from_number(number: u32) -> Option<Self> {
        TYPES.iter().find(|t| t.1 == number).map(|t| t.0)
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|t| t.2 == name).map(|t| t.0)
    }

    /// What is known of its values when nothing else says their length and order.
    pub fn kind(self) -> Kind {
        let (value_type, _, _, length, order) = *self.entry();
        Kind { value_type, length, order }
    }

    /// Whether its values are sets of flags, of which any may be asked for.
    pub fn is_flags(self) -> bool {
        matches!(self, Self::CtState | Self::CtStatus | Self::TcpFlags | Self::CtLabel | Self::CtEvent)
    }

    fn entry(self) -> &'static (Self, u32, &'static str, usize, Order) {
        TYPES.iter().find(|t| t.0 == self).unwrap_or(&TYPES[0])
    }
}

impl Kind {
    /// A number of this length in network order.
    pub fn integer(length: usize) -> Self {
        Self { value_type: ValueType::Integer, length, order: Order::Network }
    }

    /// The same value with its bytes in network order.
    #[must_use]
    pub fn in_network_order(self) -> Self {
        let order = if self.order == Order::Host { Order::Network } else { self.order };
        Self { order, ..self }
    }

    /// How many bytes it takes as a part of a concatenation: whole registers.
    pub fn padded(self) -> usize {
        self.length.next_multiple_of(4)
    }

    /// Whether its bytes stand in the other order than on the wire, on this machine.
    pub fn is_turned(self) -> bool {
        self.order == Order::Host && cfg!(target_endian = "little") && self.length > 1
    }

    /// The value with the most significant byte first (or back again: it is the same turn).
    pub fn turned(self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if self.is_turned() {
            bytes.reverse();
        }
        bytes
    }
}

/// The number of a type or concatenation.
pub fn type_number(kinds: &[Kind]) -> u32 {
    kinds.iter().fold(0, |number, kind| (number << PART_BITS) | kind.value_type.number())
}

/// The parts that a set's key type stands for; none if there is a type among them that is not known.
pub fn parts(mut number: u32, length: usize) -> Option<Vec<Kind>> {
    let mut kinds = Vec::new();
    if let Some(single) = ValueType::from_number(number) {
        let kind = single.kind();
        let known = !matches!(single, ValueType::Integer | ValueType::Text) || length == 0;
        return Some(vec![if known { kind } else { Kind { length, ..kind } }]);
    }
    while number > 0 {
        kinds.insert(0, ValueType::from_number(number & ((1 << PART_BITS) - 1))?.kind());
        number >>= PART_BITS;
    }
    (!kinds.is_empty()).then_some(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (value_type, number, name, ..) in TYPES {
            assert_eq!(ValueType::from_number(*number), Some(*value_type));
            if *value_type != ValueType::Date {
                assert_eq!(ValueType::from_name(name), Some(*value_type));
            }
        }
    }

    #[test]
    fn concatenations_carry_six_bits_a_part() {
        let kinds = [ValueType::Ipv4Address.kind(), ValueType::InetService.kind()];
        assert_eq!(type_number(&kinds), 7 * 64 + 13);
        assert_eq!(parts(7 * 64 + 13, 8), Some(kinds.to_vec()));
        assert_eq!(parts(0, 4), None);
        assert_eq!(parts(63, 4), None);
    }
}
