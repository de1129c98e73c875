//! Traffic control: the queueing disciplines of interfaces, their classes, and the filters and actions that packets meet
//! at them.
//!
//! What is known by its fields decides packets' fates often; anything else is kept by the kernel's name of its kind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LinkIndex;

/// The handle of a queueing discipline, of a class, or of a place where filters hang: `MAJOR:MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Handle(pub u32);

/// A queueing discipline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Qdisc {
    /// The interface.
    pub link: LinkIndex,
    /// Its own handle; 0 for what the kernel put there by itself.
    pub handle: Handle,
    /// What it hangs on: [`Handle::ROOT`], [`Handle::INGRESS`] or a class.
    pub parent: Handle,
    /// What it does.
    pub kind: QdiscKind,
    /// What it has counted.
    pub counts: QueueCounts,
}

/// What a queueing discipline does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum QdiscKind {
    /// Packets in order, so many at the most.
    Pfifo {
        /// The most packets that wait.
        limit: u32,
    },
    /// Packets in order, so many bytes at the most.
    Bfifo {
        /// The most bytes that wait.
        limit: u32,
    },
    /// A token bucket.
    Tbf {
        /// The rate in bytes a second.
        rate: u64,
        /// The bucket in bytes: no larger packet ever passes.
        burst: u64,
        /// The most bytes that wait.
        limit: u32,
    },
    /// A hierarchy of token buckets; its classes hold the rates.
    Htb {
        /// The minor number of the class for what no filter sorts; 0: it is not shaped.
        default: u32,
    },
    /// A fair queue with controlled delay.
    FqCodel {
        /// The most packets that wait.
        limit: u32,
        /// The delay that is aimed at, in microseconds.
        target: u32,
    },
    /// No queue: packets are sent at once.
    Noqueue,
    /// A place for filters on what comes in.
    Ingress,
    /// A place for filters on what comes in and on what goes out.
    Clsact,
    /// Any other, by the kernel's name of it.
    Other(String),
}

/// What a queue has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QueueCounts {
    /// Bytes that passed.
    pub bytes: u64,
    /// Packets that passed.
    pub packets: u64,
    /// Packets that were dropped.
    pub drops: u32,
    /// How often a packet had to wait for the rate.
    pub overlimits: u32,
    /// Packets that the interface would not take at once.
    pub requeues: u32,
    /// Packets that wait.
    pub queued: u32,
    /// Bytes that wait.
    pub backlog: u32,
}

/// A class of a queueing discipline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrafficClass {
    /// The interface.
    pub link: LinkIndex,
    /// Its handle.
    pub handle: Handle,
    /// The class above it, or [`Handle::ROOT`].
    pub parent: Handle,
    /// The kernel's name of its kind.
    pub kind: String,
    /// `htb`: the rate that it is sure of, in bytes a second.
    pub rate: Option<u64>,
    /// `htb`: the rate that it may borrow up to, in bytes a second.
    pub ceil: Option<u64>,
    /// What it has counted.
    pub counts: QueueCounts,
}

/// A filter: what it picks, and what is done to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrafficFilter {
    /// The interface.
    pub link: LinkIndex,
    /// Where it hangs: [`Handle::CLSACT_INGRESS`], [`Handle::CLSACT_EGRESS`], or a queueing discipline.
    pub parent: Handle,
    /// The chain; 0 is asked first.
    pub chain: u32,
    /// Its place: the smaller is asked first.
    pub priority: u16,
    /// The ethertype of packets that it is asked about; 3: all of them.
    pub protocol: u16,
    /// Its handle within its priority.
    pub handle: u32,
    /// What it picks.
    pub kind: FilterKind,
    /// The class that it sorts packets into.
    pub class: Option<Handle>,
    /// What is done to what it picks.
    pub actions: Vec<TrafficAction>,
}

/// What a filter picks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FilterKind {
    /// What a BPF program picks.
    Bpf {
        /// What the program was called when it was put there.
        name: Option<String>,
        /// The program's number; none for a classic one.
        id: Option<u32>,
        /// The program's answer is the verdict itself (direct action).
        direct: bool,
    },
    /// What has certain bits in certain places.
    U32 {
        /// The comparisons; none: everything is picked.
        keys: Vec<U32Key>,
    },
    /// What has certain header fields.
    Flower,
    /// Everything.
    Matchall,
    /// What an extended match picks.
    Basic,
    /// Any other, by the kernel's name of it.
    Other(String),
}

/// One comparison of a u32 filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct U32Key {
    /// Where the 32 bits stand, in bytes from the network header.
    pub offset: i32,
    /// Which of them count.
    pub mask: u32,
    /// What they must be.
    pub value: u32,
}

/// What is done to a packet that a filter picked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrafficAction {
    /// What is done.
    pub kind: ActionKind,
    /// What becomes of the packet then; none where the kernel's way of saying so is not known.
    pub verdict: Option<TrafficVerdict>,
    /// What it has counted.
    pub counts: QueueCounts,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ActionKind {
    /// Nothing but its verdict.
    Gact,
    /// Sends the packet, or a copy, by another interface.
    Mirred {
        /// A copy goes, and the packet goes on.
        copy: bool,
        /// It is as if it came in there; otherwise it leaves there.
        ingress: bool,
        /// The other interface.
        link: LinkIndex,
    },
    /// Runs a BPF program.
    Bpf {
        /// What the program was called when it was put there.
        name: Option<String>,
        /// The program's number; none for a classic one.
        id: Option<u32>,
    },
    /// Counts against a rate.
    Police {
        /// The rate in bytes a second.
        rate: u64,
        /// The bucket, in the kernel's ticks.
        burst: u32,
        /// The largest packet that conforms, in bytes.
        mtu: u32,
    },
    /// Any other, by the kernel's name of it.
    Other(String),
}

/// What traffic control decides about a packet (TC_ACT_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TrafficVerdict {
    /// As the classifier said.
    Unspecified,
    /// It goes on, and no further filter is asked.
    Ok,
    /// It is asked about again from the start.
    Reclassify,
    /// It is dropped.
    Shot,
    /// The next action is asked.
    Pipe,
    /// It is taken away, without counting as dropped.
    Stolen,
    /// The next filter is asked, or another chain, or the packet was given away.
    Other(i32),
}

impl Handle {
    /// What the queueing discipline of an interface itself hangs on (TC_H_ROOT).
    pub const ROOT: Self = Self(0xffff_ffff);
    /// What `ingress` and `clsact` hang on (TC_H_INGRESS).
    pub const INGRESS: Self = Self(0xffff_fff1);
    /// Where clsact's filters on what comes in hang.
    pub const CLSACT_INGRESS: Self = Self(0xffff_fff2);
    /// Where clsact's filters on what goes out hang.
    pub const CLSACT_EGRESS: Self = Self(0xffff_fff3);
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ROOT => f.pad("root"),
            Self::CLSACT_INGRESS | Self::INGRESS => f.pad("ingress"),
            Self::CLSACT_EGRESS => f.pad("egress"),
            Self(number) => match (number >> 16, number & 0xffff) {
                (major, 0) => write!(f, "{major:x}:"),
                (major, minor) => write!(f, "{major:x}:{minor:x}"),
            },
        }
    }
}

impl QdiscKind {
    /// The kernel's name of it.
    pub fn name(&self) -> &str {
        match self {
            Self::Pfifo { .. } => "pfifo",
            Self::Bfifo { .. } => "bfifo",
            Self::Tbf { .. } => "tbf",
            Self::Htb { .. } => "htb",
            Self::FqCodel { .. } => "fq_codel",
            Self::Noqueue => "noqueue",
            Self::Ingress => "ingress",
            Self::Clsact => "clsact",
            Self::Other(name) => name,
        }
    }
}

impl FilterKind {
    /// The kernel's name of it.
    pub fn name(&self) -> &str {
        match self {
            Self::Bpf { .. } => "bpf",
            Self::U32 { .. } => "u32",
            Self::Flower => "flower",
            Self::Matchall => "matchall",
            Self::Basic => "basic",
            Self::Other(name) => name,
        }
    }
}

impl ActionKind {
    /// The kernel's name of it.
    pub fn name(&self) -> &str {
        match self {
            Self::Gact => "gact",
            Self::Mirred { .. } => "mirred",
            Self::Bpf { .. } => "bpf",
            Self::Police { .. } => "police",
            Self::Other(name) => name,
        }
    }
}

impl TrafficFilter {
    /// Whether it is asked about what goes out, rather than about what comes in.
    pub fn on_egress(&self) -> bool {
        !matches!(self.parent, Handle::CLSACT_INGRESS | Handle::INGRESS | Handle(0xffff_0000))
    }
}

#[cfg(test)]
mod tests {
    use super::Handle;

    #[test]
    fn handles_read_as_tc_writes_them() {
        let shown =
            [Handle::ROOT, Handle::CLSACT_EGRESS, Handle(0x10_0000), Handle(0x8001_000a)].map(|h| h.to_string());
        assert_eq!(shown, ["root", "egress", "10:", "8001:a"]);
    }
}
