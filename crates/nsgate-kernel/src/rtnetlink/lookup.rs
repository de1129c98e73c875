//! How the kernel would route a packet, asked of the kernel.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_core::model::lookup::Query;
use nsgate_core::model::{Family, LinkIndex, RouteKind};
use rustix::io::Errno;

use super::numbers as n;
use super::route;
use crate::error::Error;
use crate::netlink::{Batch, Socket};

/// What the kernel would do with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is handed on, delivered here, or refused with an answer.
    pub kind: RouteKind,
    /// The table of the route that matched.
    pub table: Option<u32>,
    /// What the route that matched is for; none where the kernel does not say.
    pub destination: Option<IpNet>,
    /// The interface the packet leaves by.
    pub link: Option<LinkIndex>,
    /// The router it is handed to; none: the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// The source address that the kernel would choose.
    pub source: Option<IpAddr>,
}

/// Asks the kernel of the socket's namespace how it would route a packet: its decision, or the error number by which it
/// would refuse the packet.
///
/// A packet that came in by an interface is judged as one to be forwarded: the reverse-path filter (EXDEV), the
/// forwarding switch of the interface (EHOSTUNREACH, IPv4 only) and the policy rules count. ENETUNREACH says that no
/// route matches. Nothing is sent and no neighbour is resolved.
pub fn lookup(socket: &mut Socket, query: &Query) -> Result<Result<Decision, Errno>, Error> {
    let error = |why| Error::answer("look up the route to", query.destination.to_string(), why);
    // Asked twice at once: what becomes of the packet, and which entry of which table says so.
    let mut batch = Batch::new();
    write(&mut batch, query, 0);
    // IPv4 tells the table only if it is asked to; IPv6 always does, and refuses to be asked.
    let table = if query.destination.is_ipv4() { libc::RTM_F_LOOKUP_TABLE } else { 0 };
    write(&mut batch, query, table | libc::RTM_F_FIB_MATCH);
    let answers = socket.send(&mut batch)?;
    if let Err(refusal) = &answers.outcomes[0] {
        // That the interface is gone says nothing about the packet.
        return match refusal.errno {
            Errno::NODEV => Err(refusal.clone().error("look up the route to", query.destination.to_string())),
            errno => Ok(Err(errno)),
        };
    }
    let reply = |request| {
        let reply = answers.replies.iter().find(|reply| reply.request == request)?;
        route::read(&reply.message())
    };
    let decided = reply(0).ok_or_else(|| error("the kernel's answer cannot be understood"))?;
    let entry = reply(1);
    let hop = decided.next_hops.first();
    Ok(Ok(Decision {
        kind: decided.kind,
        table: entry.as_ref().map(|e| e.table),
        destination: entry.map(|e| e.destination),
        link: hop.and_then(|h| h.link),
        gateway: hop.and_then(|h| h.gateway),
        source: decided.source,
    }))
}

fn write(batch: &mut Batch, query: &Query, flags: u32) {
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let mut header = [0; 12];
    header[0] = n::family_number(Family::of(query.destination));
    header[1] = bits(query.destination);
    header[2] = query.source.map_or(0, bits);
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    batch.begin(libc::RTM_GETROUTE, 0, &header);
    batch.address(libc::RTA_DST, query.destination);
    if let Some(source) = query.source {
        batch.address(libc::RTA_SRC, source);
    }
    if let Some(link) = query.entered {
        batch.u32(libc::RTA_IIF, link.0);
    }
    if let Some(link) = query.wanted {
        batch.u32(libc::RTA_OIF, link.0);
    }
    if query.mark != 0 {
        batch.u32(libc::RTA_MARK, query.mark);
    }
    if query.protocol != 0 {
        batch.u8(n::ROUTE_TRANSPORT, query.protocol);
        if let Some(port) = query.port {
            batch.be16(n::ROUTE_DESTINATION_PORT, port);
        }
    }
}
