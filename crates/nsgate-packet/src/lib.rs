//! Bytes to headers and back.
//!
//! Pure: views over byte slices that never panic and never allocate; whatever is cut short reads as absent. IPv4 and
//! IPv6 are read by the same types. Numbers are in host order, addresses are those of the standard library.
//!
//! - [`Packet`] is a whole frame or packet; [`Packet::as_ip`] the IP packet in it, [`Ip::transport`] the segment in that;
//! - every one of them prints as one short line;
//! - [`build`] writes what the others read.
#![forbid(unsafe_code)]

pub mod build;
pub mod checksum;
pub mod dns;

mod arp;
mod display;
mod ethernet;
mod family;
mod field;
mod icmp;
mod ip;
mod mac;
mod packet;
mod tcp;
mod tunnel;
mod udp;

pub use arp::{Arp, ArpOperation};
pub use ethernet::{Ethernet, Vlan, ethertype};
pub use family::Family;
pub use icmp::{Echo, ErrorKind, Icmp, IcmpError, Neighbour, Redirect, error_words, icmp4, icmp6, is_error};
pub use ip::{Flow, Fragment, Ip, Transport, protocol};
pub use mac::{Mac, MacError};
pub use packet::{Body, Packet};
pub use tcp::{Tcp, TcpFlags};
pub use tunnel::{GENEVE_PORT, Tunnel, TunnelKind, VXLAN_PORTS};
pub use udp::Udp;
