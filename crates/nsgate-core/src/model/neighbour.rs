//! Who answers for which address on a link: the ARP and neighbour discovery tables as one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::wire::{family, text};
use super::{Family, LinkIndex, Mac};

/// One neighbour entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The interface behind which the neighbour is.
    pub link: LinkIndex,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address, once known.
    #[serde(with = "text::option")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub mac: Option<Mac>,
    /// How far it can be trusted.
    pub state: NeighbourState,
    /// Not a neighbour: an address that is answered for on the link (proxy ARP, proxy NDP).
    pub proxy: bool,
}

/// A neighbour table of the machine: all its namespaces share one for each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NeighbourTable {
    /// For which addresses.
    #[serde(with = "family")]
    #[cfg_attr(test, schemars(with = "super::wire::family::Word"))]
    pub family: Family,
    /// How many entries it has, those of all namespaces counted.
    pub entries: u32,
    /// `gc_thresh1`: so few are never thrown out.
    pub keep: u32,
    /// `gc_thresh2`: more are thrown out after five seconds.
    pub soft_limit: u32,
    /// `gc_thresh3`: no more are made.
    pub hard_limit: u32,
    /// How often an entry was refused because it was full.
    pub refused: u64,
}

impl NeighbourTable {
    /// Whether no more entries are made.
    pub fn is_full(&self) -> bool {
        self.entries >= self.hard_limit
    }
}

/// The state of a neighbour entry (NUD_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NeighbourState {
    /// Asked for, not answered yet.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Known, not confirmed lately.
    Stale,
    /// In use, to be confirmed.
    Delay,
    /// Being confirmed.
    Probe,
    /// Asked for and never answered.
    Failed,
    /// The interface does not resolve.
    NoArp,
    /// Entered by hand, for good.
    Permanent,
    /// Not in the table.
    None,
}

impl NeighbourState {
    /// Whether a packet can be sent by this entry.
    pub fn valid(self) -> bool {
        matches!(self, Self::Reachable | Self::Stale | Self::Delay | Self::Probe | Self::NoArp | Self::Permanent)
    }
}
