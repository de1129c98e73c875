//! One sight of one frame at one interface.

use nsgate_packet::Packet;

use crate::model::{LinkIndex, NetnsName};

/// One frame, seen at one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When, in nanoseconds of the kernel's real-time clock.
    pub time: u64,
    /// In which namespace.
    pub netns: NetnsName,
    /// At which interface.
    pub link: LinkIndex,
    /// Whether it came in or went out there.
    pub way: Way,
    /// Whether the frame begins with an Ethernet header; otherwise with the IP header.
    pub ethernet: bool,
    /// The bytes that were kept.
    pub frame: Vec<u8>,
    /// How long the frame was.
    pub length: u32,
}

/// Which way a frame passes an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// It comes in from the wire.
    In,
    /// It goes out to the wire.
    Out,
}

impl Sighting {
    /// What the frame says.
    pub fn packet(&self) -> Packet<'_> {
        if self.ethernet { Packet::ethernet(&self.frame) } else { Packet::ip(&self.frame) }
    }
}
