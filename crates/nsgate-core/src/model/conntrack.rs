//! What connection tracking remembers of a flow.

use nsgate_packet::Flow;

/// One entry of a namespace's connection-tracking table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The flow as its first packet came in.
    pub original: Flow,
    /// The flow by which the answer is expected; differs from the reversed original where addresses are translated.
    pub reply: Flow,
    /// The state bits (IPS_*).
    pub status: u32,
    /// The mark on the connection.
    pub mark: u32,
    /// The zone; entries of different zones do not know of one another.
    pub zone: u16,
    /// How many seconds it is kept if nothing comes.
    pub timeout: u32,
    /// The state of a TCP connection, by the kernel's number.
    pub tcp_state: Option<u8>,
}

/// IPS_SEEN_REPLY: packets went both ways.
const SEEN_REPLY: u32 = 1 << 1;
/// IPS_SRC_NAT: the source is translated.
const SOURCE_TRANSLATED: u32 = 1 << 4;
/// IPS_DST_NAT: the destination is translated.
const DESTINATION_TRANSLATED: u32 = 1 << 5;

impl Entry {
    /// Whether packets went both ways.
    pub fn answered(&self) -> bool {
        self.status & SEEN_REPLY != 0
    }

    /// Whether the source is translated.
    pub fn source_translated(&self) -> bool {
        self.status & SOURCE_TRANSLATED != 0
    }

    /// Whether the destination is translated.
    pub fn destination_translated(&self) -> bool {
        self.status & DESTINATION_TRANSLATED != 0
    }
}
