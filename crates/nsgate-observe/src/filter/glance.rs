//! A first glance at a frame, which lets almost all traffic go that has nothing to do with the probe.
//!
//! Loads from fixed places are done in place; each load behind an index calls a function of the kernel. So frames of the
//! usual form, whose headers lie where they always lie, are judged from there, by the same questions that are asked of
//! all others later. Whatever may belong to the journey, or is of another form, is left to what follows.

use nsgate_packet::{GENEVE_PORT, VXLAN_PORTS, ethertype, protocol};

use super::assembler::{Label, Width};
use super::{ETHERNET_HEADER, FRAGMENT, IPV6_HEADER, Interest, Place, Tunnels, Writer};
use crate::numbers::{ARPHRD_ETHER, ARPHRD_LOOPBACK, NOTE_HARDWARE_TYPE};

/// The first byte of an IPv4 header without options, and the length of that header.
const IPV4_PLAIN: u32 = 0x45;
const IPV4_HEADER: u32 = 20;

impl Writer {
    /// Lets a frame go if it shows at once that it does not belong to the journey; with all others the program goes on.
    pub(super) fn first_glance(&mut self, interest: &Interest, tunnels: &Tunnels) {
        let (ethernet, ipv6) = (self.out.label(), self.out.label());
        // Here to accept a frame is to look at it more closely, and so it is with tunnels.
        let tunnels = Tunnels { udp: self.accept, ..*tunnels };
        let [over_ipv4, over_ipv6] = interest.protocols();
        self.out.load(Width::Word, NOTE_HARDWARE_TYPE);
        self.out.jump_if_one_of(&[ARPHRD_ETHER.into(), ARPHRD_LOOPBACK.into()], ethernet);
        self.out.goto(self.accept);
        self.out.place(ethernet);
        self.out.load(Width::Half, 12);
        self.out.jump_if_one_of(&[ethertype::IPV6.into()], ipv6);
        self.out.jump_unless(ethertype::IPV4.into(), self.accept);
        self.out.load(Width::Byte, ETHERNET_HEADER);
        self.out.jump_unless(IPV4_PLAIN, self.accept);
        self.out.load(Width::Half, ETHERNET_HEADER + FRAGMENT.0);
        self.out.jump_if_any_bit(FRAGMENT.1, self.accept);
        self.out.load(Width::Byte, ETHERNET_HEADER + 9);
        self.glance_behind(ETHERNET_HEADER + IPV4_HEADER, over_ipv4, interest, &tunnels);
        self.out.place(ipv6);
        self.out.load(Width::Byte, ETHERNET_HEADER + 6);
        self.glance_behind(ETHERNET_HEADER + IPV6_HEADER, over_ipv6, interest, &tunnels);
        self.out.place(self.reject);
        self.out.keep(0);
        self.out.place(self.accept);
    }

    /// Looks at a transport header that begins at `start`; the accumulator holds its protocol.
    fn glance_behind(&mut self, start: u32, ours: u8, interest: &Interest, tunnels: &Tunnels) {
        let [tcp, udp] = [protocol::TCP, protocol::UDP].map(|protocol| (protocol, self.out.label()));
        for (protocol, label) in [tcp, udp] {
            self.out.jump_if_one_of(&[protocol.into()], label);
        }
        self.out.goto(self.accept);
        self.place = Place::Fixed(start);
        for (protocol, label) in [tcp, udp] {
            self.out.place(label);
            if protocol == ours {
                self.transport(interest, Some(tunnels));
            } else if protocol == protocol::UDP {
                self.load(Width::Half, 2);
                self.jump_if_tunnel(tunnels.udp);
            }
            self.out.goto(self.reject);
        }
        self.place = Place::Index;
    }

    fn jump_if_tunnel(&mut self, to: Label) {
        let ports: Vec<u32> = VXLAN_PORTS.into_iter().chain([GENEVE_PORT]).map(u32::from).collect();
        self.out.jump_if_one_of(&ports, to);
    }
}
