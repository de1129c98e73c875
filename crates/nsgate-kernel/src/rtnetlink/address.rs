//! The addresses of interfaces.

use ipnet::IpNet;
use nsgate_core::model::{Address, AddressFlags, LinkIndex};

use super::numbers as n;
use crate::error::Error;
use crate::netlink::{Batch, Listing, Message, Socket};

/// All addresses of the socket's namespace, each with its interface, in the kernel's order.
pub fn addresses(socket: &mut Socket) -> Result<Listing<(LinkIndex, Address)>, Error> {
    let mut batch = Batch::new();
    batch.begin(libc::RTM_GETADDR, 0, &[0; 8]);
    socket.list(&mut batch, "addresses", read)
}

/// Reads one address message.
pub(super) fn read(message: &Message<'_>) -> Option<(LinkIndex, Address)> {
    let (header, attributes) = message.split::<8>()?;
    let link = LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?));
    let mut flags = u32::from(header[2]);
    let (mut local, mut address, mut broadcast, mut protocol) = (None, None, None, 0);
    for attribute in attributes {
        match attribute.kind {
            libc::IFA_LOCAL => local = attribute.address(),
            libc::IFA_ADDRESS => address = attribute.address(),
            libc::IFA_BROADCAST => broadcast = attribute.address(),
            libc::IFA_FLAGS => flags = attribute.u32()?,
            n::ADDRESS_PROTOCOL => protocol = attribute.u8()?,
            _ => {}
        }
    }
    // IFA_ADDRESS is the other end's address where it differs from IFA_LOCAL; IPv6 leaves IFA_LOCAL out otherwise.
    let own = local.or(address)?;
    let has = |flag: u32| flags & flag != 0;
    let address = Address {
        net: IpNet::new(own, header[1]).ok()?,
        peer: address.filter(|other| *other != own),
        broadcast,
        flags: AddressFlags {
            tentative: has(libc::IFA_F_TENTATIVE),
            duplicate: has(libc::IFA_F_DADFAILED),
            no_dad: has(libc::IFA_F_NODAD),
            deprecated: has(libc::IFA_F_DEPRECATED),
            secondary: own.is_ipv4() && has(libc::IFA_F_SECONDARY),
            permanent: has(libc::IFA_F_PERMANENT),
            no_prefix_route: has(libc::IFA_F_NOPREFIXROUTE),
        },
        protocol,
    };
    Some((link, address))
}

#[cfg(test)]
mod tests {
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(super::read);
    }
}
