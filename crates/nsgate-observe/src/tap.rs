//! A tap on every interface of one network namespace.
//!
//! A packet socket whose filter is attached before it is bound, so nothing else is ever queued, and whose frames come
//! through a ring shared with the kernel. The ring's stamps are taken as a frame passes the interface, without switching
//! on time stamps for the whole machine; so the stamps of taps in several namespaces can be put in one order.
//!
//! A tap changes nothing: no promiscuous mode, no rule, and it vanishes with its socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nsgate_core::model::{LinkIndex, NetnsName};
use nsgate_core::trace::{Sighting, Way};
use nsgate_kernel::Error;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::filter::Filter;
use crate::numbers::{ARPHRD_ETHER, ARPHRD_LOOPBACK};
use crate::sys::{self, Ring};

/// A tap on every interface of a namespace.
#[derive(Debug)]
pub struct Tap {
    netns: NetnsName,
    // Unmapped before the socket is closed.
    ring: Ring,
    socket: OwnedFd,
    slot: Vec<u8>,
    lost: u64,
}

/// Bytes of a slot: the kernel's header, what the filter keeps of a frame, and room for alignment.
const SLOT: usize = 1024;
/// How many frames wait before some are lost.
const SLOTS: usize = 512;
/// Slots come in blocks of whole pages, on machines with the largest pages too.
const BLOCK: usize = 1 << 16;

const _: () = assert!(BLOCK.is_multiple_of(SLOT) && (SLOT * SLOTS).is_multiple_of(BLOCK));
const _: () = assert!(SLOT >= crate::filter::KEPT as usize + 128);

impl Tap {
    /// Opens a tap in the namespace of the calling thread, to be called `netns` in what it sees.
    pub fn open(netns: &NetnsName, filter: &Filter) -> Result<Self, Error> {
        let failed = |errno| Error::new("watch the interfaces of", netns.as_str(), errno);
        // A socket of no protocol receives nothing until it is bound.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).map_err(failed)?;
        sys::attach_filter(socket.as_fd(), &filter.program).map_err(failed)?;
        let ring = make_ring(socket.as_fd()).map_err(failed)?;
        sys::bind_to_all_links(socket.as_fd()).map_err(failed)?;
        Ok(Self { netns: netns.clone(), ring, socket, slot: Vec::with_capacity(SLOT), lost: 0 })
    }

    /// Goes on with another filter, without a gap.
    pub fn refilter(&self, filter: &Filter) -> Result<(), Error> {
        sys::attach_filter(self.socket.as_fd(), &filter.program)
            .map_err(|errno| Error::new("change what is watched in", self.netns.as_str(), errno))
    }

    /// The namespace that is watched.
    pub fn netns(&self) -> &NetnsName {
        &self.netns
    }

    /// The next frame that was seen, without waiting. The socket polls as readable when there is one.
    pub fn sighting(&mut self) -> Option<Sighting> {
        while self.ring.take(&mut self.slot) {
            if let Some(sighting) = Slot(&self.slot).sighting(&self.netns) {
                return Some(sighting);
            }
        }
        None
    }

    /// How many frames had to be let go so far because too many waited.
    pub fn lost(&mut self) -> Result<u64, Error> {
        let mut counts = [0; 8];
        sys::get_option(self.socket.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut counts)
            .map_err(|errno| Error::new("count the frames lost in", self.netns.as_str(), errno))?;
        // Frames that passed the filter, then those of them that were lost; reading starts the counts anew.
        let [.., a, b, c, d] = counts;
        self.lost += u64::from(u32::from_ne_bytes([a, b, c, d]));
        Ok(self.lost)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn make_ring(socket: BorrowedFd<'_>) -> Result<Ring, Errno> {
    let version = libc::tpacket_versions::TPACKET_V2 as i32;
    sys::set_option(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version.to_ne_bytes())?;
    let request = [BLOCK, SLOT * SLOTS / BLOCK, SLOT, SLOTS].map(|number| (number as u32).to_ne_bytes());
    sys::set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, request.as_flattened())?;
    Ring::map(socket, SLOT, SLOTS)
}

/// One filled slot: `struct tpacket2_hdr`, `struct sockaddr_ll`, and the frame.
struct Slot<'a>(&'a [u8]);

impl Slot<'_> {
    /// The frame in it, with a VLAN tag that the kernel took off put back.
    fn sighting(&self, netns: &NetnsName) -> Option<Sighting> {
        let state = self.long(0)?;
        let (link_layer, network) = (usize::from(self.short(12)?), usize::from(self.short(14)?));
        let ethernet = matches!(self.short(40)?, ARPHRD_ETHER | ARPHRD_LOOPBACK);
        // Some tunnels have headers of their own, which are of no use here.
        let start = if ethernet { link_layer } else { network };
        let skipped = start.checked_sub(link_layer)? as u32;
        let kept = self.long(8)?.checked_sub(skipped)?;
        let mut frame = self.0.get(start..start + kept as usize)?.to_vec();
        let mut length = self.long(4)?.checked_sub(skipped)?;
        if ethernet && state & libc::TP_STATUS_VLAN_VALID != 0 && frame.len() >= 12 {
            let known = state & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            let protocol = if known { self.short(26)? } else { nsgate_packet::ethertype::VLAN };
            let tag = [protocol.to_be_bytes(), self.short(24)?.to_be_bytes()];
            frame.splice(12..12, tag.as_flattened().iter().copied());
            length += 4;
        }
        let way = if self.0.get(42)? == &libc::PACKET_OUTGOING { Way::Out } else { Way::In };
        let time = u64::from(self.long(16)?) * 1_000_000_000 + u64::from(self.long(20)?);
        Some(Sighting { time, netns: netns.clone(), link: LinkIndex(self.long(36)?), way, ethernet, frame, length })
    }

    fn short(&self, offset: usize) -> Option<u16> {
        self.0.get(offset..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    fn long(&self, offset: usize) -> Option<u32> {
        self.0.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot as the kernel fills it.
    fn slot(state: u32, hardware_type: u16, link_layer: u16, network: u16, frame: &[u8]) -> Vec<u8> {
        let mut slot = vec![0; SLOT];
        let mut put = |offset: usize, bytes: &[u8]| slot[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0, &state.to_ne_bytes());
        put(4, &1500u32.to_ne_bytes());
        put(8, &(frame.len() as u32).to_ne_bytes());
        put(12, &link_layer.to_ne_bytes());
        put(14, &network.to_ne_bytes());
        put(16, &3u32.to_ne_bytes());
        put(20, &7u32.to_ne_bytes());
        put(24, &100u16.to_ne_bytes());
        put(26, &0x88a8u16.to_ne_bytes());
        put(36, &9u32.to_ne_bytes());
        put(40, &hardware_type.to_ne_bytes());
        put(42, &[libc::PACKET_OUTGOING]);
        put(link_layer.into(), frame);
        slot
    }

    fn sighting(slot: &[u8]) -> Option<Sighting> {
        Slot(slot).sighting(&NetnsName::host())
    }

    #[test]
    fn a_tag_that_the_kernel_took_off_is_put_back() {
        let frame = [[1; 12].as_slice(), &[8, 0, 0x45]].concat();
        let seen = sighting(&slot(1, ARPHRD_ETHER, 66, 80, &frame)).unwrap();
        assert_eq!((seen.time, seen.link, seen.way), (3_000_000_007, LinkIndex(9), Way::Out));
        assert_eq!((seen.frame.as_slice(), seen.length, seen.ethernet), (&frame[..], 1500, true));

        let tagged = libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
        let seen = sighting(&slot(tagged, ARPHRD_ETHER, 66, 80, &frame)).unwrap();
        assert_eq!(seen.frame, [[1; 12].as_slice(), &[0x88, 0xa8, 0, 100, 8, 0, 0x45]].concat());
        assert_eq!(seen.length, 1504);
    }

    #[test]
    fn a_tunnel_header_is_left_out() {
        let seen = sighting(&slot(1, 778, 64, 88, &[[9; 24].as_slice(), &[0x45, 0]].concat())).unwrap();
        assert_eq!((seen.ethernet, seen.frame.as_slice(), seen.length), (false, &[0x45, 0][..], 1476));
    }

    #[test]
    fn offsets_outside_the_slot_are_nothing() {
        assert_eq!(sighting(&slot(1, 1, 66, 80, &[1; 14])[..70]), None);
        assert_eq!(sighting(&slot(1, 778, 88, 64, &[1; 14])), None);
        assert_eq!(sighting(&[]), None);
    }
}
