//! One short line for each packet, in tcpdump's spirit.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::{Arp, ArpOperation, Body, Family, Flow, Icmp, Ip, Packet, Transport, protocol};

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ether) = &self.ether {
            for vlan in ether.vlans.iter().flatten() {
                write!(f, "vlan {}, ", vlan.id())?;
            }
        }
        self.body.fmt(f)
    }
}

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Arp(arp) => arp.fmt(f),
            Body::Ip(ip) => ip.fmt(f),
            Body::Other { ethertype } => write!(f, "ethertype {ethertype:#06x}"),
            Body::Malformed => f.write_str("malformed"),
        }
    }
}

impl fmt::Display for Arp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            ArpOperation::Request => write!(f, "ARP, who has {} tell {}", self.target, self.sender),
            ArpOperation::Reply => write!(f, "ARP, {} is at {}", self.sender, self.sender_mac),
            ArpOperation::Other(number) => write!(f, "ARP, operation {number}"),
        }
    }
}

impl fmt::Display for Ip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.flow();
        write!(f, "{}: ", Ends(&flow))?;
        match self.transport() {
            Transport::Icmp(icmp) => write!(f, "{} {icmp}", icmp_name(self.family()))?,
            Transport::Tcp(tcp) => {
                write!(f, "TCP [{}], seq {}", tcp.flags, tcp.sequence)?;
                if tcp.flags.has(crate::TcpFlags::ACK) {
                    write!(f, ", ack {}", tcp.acknowledgement)?;
                }
                if let Some(mss) = tcp.mss() {
                    write!(f, ", mss {mss}")?;
                }
                let bytes = tcp.payload.len() + self.missing();
                if bytes > 0 {
                    write!(f, ", {bytes} bytes")?;
                }
            }
            Transport::Udp(udp) => write!(f, "UDP, {} bytes", udp.payload.len() + self.missing())?,
            Transport::Other | Transport::Cut => write!(f, "{}", ProtocolName(self.protocol))?,
        }
        if let Some(fragment) = self.fragment {
            write!(f, ", fragment at {}", fragment.offset)?;
            f.write_str(if fragment.more { ", more follow" } else { ", the last" })?;
        }
        write!(f, ", ttl {}", self.ttl)
    }
}

impl fmt::Display for Icmp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Icmp::Echo(echo) => {
                let kind = if echo.reply { "reply" } else { "request" };
                write!(f, "echo {kind}, id {}, seq {}", echo.id, echo.sequence)
            }
            Icmp::Error(error) => {
                f.write_str(error.words())?;
                if let Some(mtu) = error.mtu {
                    write!(f, ", mtu {mtu}")?;
                }
                about(f, error.quoted_packet())
            }
            Icmp::Redirect(redirect) => {
                write!(f, "redirect to {}", redirect.gateway)?;
                about(f, self.quoted_packet())
            }
            Icmp::Neighbour(neighbour) if !neighbour.advertisement => write!(f, "who has {}", neighbour.target),
            Icmp::Neighbour(neighbour) => {
                write!(f, "{} is here", neighbour.target)?;
                neighbour.link_address.map_or(Ok(()), |mac| write!(f, " at {mac}"))
            }
            Icmp::Router { advertisement: false } => f.write_str("router solicitation"),
            Icmp::Router { advertisement: true } => f.write_str("router advertisement"),
            Icmp::Other { icmp_type, code } => write!(f, "type {icmp_type} code {code}"),
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", ProtocolName(self.protocol), Ends(self))
    }
}

/// What an ICMP message is about.
fn about(f: &mut fmt::Formatter<'_>, quoted: Option<Ip<'_>>) -> fmt::Result {
    match quoted {
        Some(quoted) => write!(f, ", about {}", quoted.flow()),
        None => Ok(()),
    }
}

fn icmp_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ICMP",
        Family::V6 => "ICMPv6",
    }
}

/// `source > destination`, with ports where the protocol has them.
struct Ends<'a>(&'a Flow);

impl fmt::Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.0;
        let has_ports = matches!(flow.protocol, protocol::TCP | protocol::UDP) && flow.destination_port != 0;
        let end = |f: &mut fmt::Formatter<'_>, address: IpAddr, port| {
            if has_ports { write!(f, "{}", SocketAddr::new(address, port)) } else { write!(f, "{address}") }
        };
        end(f, flow.source, flow.source_port)?;
        f.write_str(" > ")?;
        end(f, flow.destination, flow.destination_port)
    }
}

struct ProtocolName(u8);

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            protocol::ICMP => f.write_str("ICMP"),
            protocol::ICMPV6 => f.write_str("ICMPv6"),
            protocol::TCP => f.write_str("TCP"),
            protocol::UDP => f.write_str("UDP"),
            other => write!(f, "protocol {other}"),
        }
    }
}
