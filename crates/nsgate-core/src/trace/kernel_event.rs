//! What the kernel told of one packet while it dealt with it: where it threw the packet away and why, where the packet
//! came to its end, and which places between the hooks of the packet filter it passed.
//!
//! The buffer is the kernel's address of the packet. It stays the same over the whole way, translations and virtual
//! wires included, but the kernel uses it for another packet as soon as this one is gone: the bytes decide, the buffer
//! only confirms.

use std::fmt;
use std::net::IpAddr;

use nsgate_packet::{Body, Packet};

use crate::model::ruleset::Hook;
use crate::model::{Family, LinkIndex, NetnsName};

/// One thing that the kernel did with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEvent {
    /// When, in nanoseconds of the kernel's real-time clock.
    pub time: u64,
    /// In which namespace; none where the kernel had detached the packet from any.
    pub netns: Option<NetnsName>,
    /// At which interface; none where the packet was at none, or at none any more.
    pub link: Option<LinkIndex>,
    /// What happened.
    pub kind: KernelEventKind,
    /// The kernel's address of the packet; 0 where there was no packet.
    pub buffer: u64,
    /// The packet's mark.
    pub mark: u32,
    /// To whom the frame was addressed, as the interface saw it.
    pub addressee: Addressee,
    /// What the packet is: an ethertype.
    pub ethertype: u16,
    /// The bytes that were kept, from the network header on.
    pub bytes: Vec<u8>,
    /// How long the kernel's buffer was, link-layer header included where it had one.
    pub length: u32,
}

/// What the kernel did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEventKind {
    /// It threw the packet away.
    Dropped {
        /// Why.
        reason: DropReason,
        /// The function that did it, where function names are known.
        symbol: Option<String>,
    },
    /// It was done with the packet, which came to a good end as far as this place can tell.
    Consumed {
        /// The function that did it, where function names are known.
        symbol: Option<String>,
    },
    /// The packet was given to the queue of an interface.
    Queued,
    /// The packet was given to the driver of an interface.
    Transmitted,
    /// The packet was taken in at an interface.
    Received,
    /// The packet came to a place between the hooks of the packet filter.
    Tap {
        /// The hook.
        hook: Hook,
        /// The place within the hook: what has a lower number saw the packet before.
        priority: i32,
        /// The family of the hook.
        family: Family,
    },
    /// An ICMP error is sent because of this packet (IPv4 only, the kernel tells no more).
    IcmpSent {
        /// Its type.
        icmp_type: u8,
        /// Its code.
        code: u8,
    },
    /// A TCP reset is sent because of this packet.
    ResetSent,
    /// A neighbour's state changes.
    Neighbour {
        /// Its address.
        address: IpAddr,
        /// Its state before, as the kernel's NUD_ bits.
        before: u8,
        /// Its state from now on.
        after: u8,
    },
}

/// Why the kernel threw a packet away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The running kernel's own name for it, without the common beginning: `NETFILTER_DROP`.
    Named(String),
    /// A number for which the running kernel tells no name.
    Number(u32),
    /// This kernel gives no reasons.
    NotTold,
}

/// To whom a frame was addressed (PACKET_HOST and its kin).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addressee {
    /// This machine.
    Host,
    /// Everybody on the link.
    Broadcast,
    /// A group.
    Multicast,
    /// Another machine: the IP layer throws it away.
    Other,
    /// It is on its way out.
    Outgoing,
    /// Something else.
    Unknown(u8),
}

impl KernelEvent {
    /// What the packet says.
    pub fn packet(&self) -> Packet<'_> {
        Packet { ether: None, body: Body::parse(self.ethertype, &self.bytes) }
    }

    /// Whether a packet was lost here. Some ways to throw a packet away are the normal end of a copy.
    pub fn is_loss(&self) -> bool {
        let KernelEventKind::Dropped { reason, symbol } = &self.kind else { return false };
        let Some(symbol) = symbol else { return true };
        !NORMAL_ENDS.iter().any(|(why, place)| symbol == place && why.is_none_or(|why| reason.is(why)))
    }

    /// Whether the packet is no more after this, well or badly.
    pub fn is_end(&self) -> bool {
        matches!(self.kind, KernelEventKind::Dropped { .. } | KernelEventKind::Consumed { .. })
    }
}

/// What happened to the packet that one of the events is about, from its beginning to its end, in the order of time.
///
/// `events` are in the order of time. A buffer that the kernel used for several packets, one after the other, is several
/// lives; so is a packet that the kernel copied.
pub fn life(events: &[KernelEvent], of: usize) -> Vec<&KernelEvent> {
    let Some(event) = events.get(of) else { return Vec::new() };
    let same = |other: &&KernelEvent| other.buffer == event.buffer && event.buffer != 0;
    let (before, after) = events.split_at(of);
    let mut life: Vec<&KernelEvent> = before.iter().rev().filter(same).take_while(|e| !e.is_end()).collect();
    life.reverse();
    life.push(event);
    if !event.is_end() {
        let rest: Vec<&KernelEvent> = after[1..].iter().filter(same).collect();
        let end = rest.iter().position(|e| e.is_end()).map_or(rest.len(), |end| end + 1);
        life.extend(&rest[..end]);
    }
    life
}

/// Drops that are no loss, as reason (none: any) and function.
const NORMAL_ENDS: [(Option<&str>, &str); 4] = [
    // The answer to an echo sent through a raw socket, which has its own copy of it already.
    (Some("NO_SOCKET"), "ping_rcv"),
    // An ICMP error that nobody read, in a socket that closes.
    (Some("QUEUE_PURGE"), "inet_sock_destruct"),
    // A report of who listens to a group.
    (Some("NOT_SPECIFIED"), "ip6_mc_input"),
    // A fragment of a packet that was put together; what becomes of the whole is told by itself.
    (None, "skb_release_data"),
];

impl DropReason {
    /// Whether it is the reason of this name.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, DropReason::Named(own) if own == name)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::Named(name) => f.pad(name),
            DropReason::Number(number) => write!(f, "reason {number}"),
            DropReason::NotTold => f.pad("no reason told"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(reason: &str, symbol: Option<&str>) -> KernelEvent {
        let reason = DropReason::Named(reason.into());
        KernelEvent {
            time: 0,
            netns: None,
            link: None,
            kind: KernelEventKind::Dropped { reason, symbol: symbol.map(Into::into) },
            buffer: 1,
            mark: 0,
            addressee: Addressee::Host,
            ethertype: 0x0800,
            bytes: vec![0x45],
            length: 1,
        }
    }

    #[test]
    fn a_copy_that_ends_is_no_loss() {
        assert!(!dropped("NO_SOCKET", Some("ping_rcv")).is_loss());
        assert!(dropped("NO_SOCKET", Some("__udp4_lib_rcv")).is_loss());
        assert!(dropped("NO_SOCKET", None).is_loss());
        assert!(!dropped("NOT_SPECIFIED", Some("skb_release_data")).is_loss());
        let consumed = KernelEventKind::Consumed { symbol: Some("icmp_rcv".into()) };
        assert!(!KernelEvent { kind: consumed, ..dropped("", None) }.is_loss());
    }

    #[test]
    fn a_buffer_that_is_used_again_is_another_packet() {
        let event = |time, buffer, kind| KernelEvent { time, kind, buffer, ..dropped("", None) };
        let consumed = || KernelEventKind::Consumed { symbol: None };
        let events = [
            event(1, 7, KernelEventKind::Queued),
            event(2, 7, consumed()),
            event(3, 7, KernelEventKind::Queued),
            event(4, 8, KernelEventKind::Queued),
            event(5, 7, consumed()),
            event(6, 7, KernelEventKind::Queued),
        ];
        let times = |of| life(&events, of).iter().map(|event| event.time).collect::<Vec<_>>();
        assert_eq!(times(0), [1, 2]);
        assert_eq!(times(2), [3, 5]);
        assert_eq!(times(4), [3, 5]);
        assert_eq!(times(3), [4]);
        assert_eq!(times(5), [6]);
        assert_eq!(times(6), [0; 0]);
    }

    #[test]
    fn the_packet_is_what_the_ethertype_says() {
        let event = dropped("QDISC_DROP", None);
        assert_eq!(event.packet().body, Body::Malformed);
        assert_eq!(KernelEvent { ethertype: 0x88cc, ..event }.packet().body, Body::Other { ethertype: 0x88cc });
    }
}
