//! The forwarding databases of bridges and VXLAN devices.

use nsgate_core::model::{ForwardingEntry, ForwardingOrigin, LinkIndex, Mac};

use super::numbers as n;
use crate::error::Error;
use crate::netlink::{Batch, Listing, Message, Socket};

/// All entries of the socket's namespace. Those that only say which addresses an interface itself listens to are left
/// out: they forward nothing.
pub fn forwarding(socket: &mut Socket) -> Result<Listing<ForwardingEntry>, Error> {
    let mut batch = Batch::new();
    let mut header = [0; 12];
    header[0] = libc::AF_BRIDGE as u8;
    batch.begin(libc::RTM_GETNEIGH, 0, &header);
    let forwards = |entry: &ForwardingEntry| entry.bridge.is_some() || entry.leads_to_a_remote_end();
    socket.list_of(&mut batch, "the forwarding database", read, forwards)
}

/// Reads one entry.
pub(super) fn read(message: &Message<'_>) -> Option<ForwardingEntry> {
    let (header, attributes) = message.split::<12>()?;
    let state = u16::from_ne_bytes([header[8], header[9]]);
    let number = |kind| attributes.find(kind).and_then(|a| a.u32());
    Some(ForwardingEntry {
        link: LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?)),
        mac: Mac(attributes.find(libc::NDA_LLADDR)?.array()?),
        bridge: number(n::NEIGHBOUR_MASTER).map(LinkIndex),
        vlan: attributes.find(libc::NDA_VLAN).and_then(|a| a.u16()),
        remote: attributes.find(libc::NDA_DST).and_then(|a| a.address()),
        port: attributes.find(libc::NDA_PORT).and_then(|a| a.be16()),
        vni: number(libc::NDA_VNI),
        via: number(libc::NDA_IFINDEX).map(LinkIndex),
        nexthop_object: number(n::NEIGHBOUR_NEXTHOP_OBJECT),
        origin: match state {
            state if state & libc::NUD_PERMANENT != 0 => ForwardingOrigin::Permanent,
            state if state & libc::NUD_NOARP != 0 => ForwardingOrigin::Static,
            _ => ForwardingOrigin::Learned,
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(super::read);
    }
}
