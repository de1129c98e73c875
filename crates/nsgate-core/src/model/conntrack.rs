//! Connection tracking: what it remembers of a flow, how full its table is, and what it counts.

use nsgate_packet::Flow;
use serde::{Deserialize, Serialize};

/// The connection-tracking table of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ConntrackTable"))]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// How many entries there are.
    pub entries: u32,
    /// How many there may be; none where the kernel does not tell.
    pub limit: Option<u32>,
    /// What each processor has counted.
    pub processors: Vec<Statistics>,
}

/// What one processor has counted in connection tracking, by the kernel's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Look-ups that found an entry.
    pub found: u32,
    /// Packets that could not be told.
    pub invalid: u32,
    /// Entries made.
    pub insert: u32,
    /// Entries that could not be made: the same flow was there, or no translation was left.
    pub insert_failed: u32,
    /// Packets dropped because the table was full or an entry could not be made.
    pub drop: u32,
    /// Entries thrown out early to make room.
    pub early_drop: u32,
    /// ICMP errors about unknown flows, and the like.
    pub error: u32,
    /// Look-ups that had to begin again.
    pub search_restart: u32,
    /// Races of two packets of one flow that were settled.
    pub clash_resolve: u32,
    /// Entries that were not made because too many have the same hash.
    pub chain_too_long: u32,
}

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
