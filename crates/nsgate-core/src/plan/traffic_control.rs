//! Queues of interfaces, and the filters of traffic control that are taken away.

use std::fmt::{self, Display, Formatter};

use crate::model::{Handle, LinkName, QdiscKind};

/// The queueing discipline that stands at an interface's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootQueue {
    /// What the kernel puts there by itself.
    Usual,
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
        burst: u32,
        /// The most bytes that wait.
        limit: u32,
    },
}

/// All filters of one priority at one place, to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldFilter {
    /// The interface.
    pub dev: LinkName,
    /// Where they hang: clsact's ingress or egress, or a queueing discipline.
    pub parent: Handle,
    /// Their priority; 0: the filters of all priorities.
    pub priority: u16,
}

impl RootQueue {
    /// The queue that was read, if it is one of those that can be made again.
    pub fn of(kind: &QdiscKind) -> Option<Self> {
        Some(match *kind {
            QdiscKind::Pfifo { limit } => Self::Pfifo { limit },
            QdiscKind::Bfifo { limit } => Self::Bfifo { limit },
            QdiscKind::Tbf { rate, burst, limit } => Self::Tbf { rate, burst: u32::try_from(burst).ok()?, limit },
            _ => return None,
        })
    }

    /// The queue as it is read; none for the kernel's own.
    pub fn kind(&self) -> Option<QdiscKind> {
        Some(match *self {
            Self::Usual => return None,
            Self::Pfifo { limit } => QdiscKind::Pfifo { limit },
            Self::Bfifo { limit } => QdiscKind::Bfifo { limit },
            Self::Tbf { rate, burst, limit } => QdiscKind::Tbf { rate, burst: burst.into(), limit },
        })
    }
}

impl Display for RootQueue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Usual => Ok(()),
            Self::Pfifo { limit } => write!(f, "pfifo limit {limit}"),
            Self::Bfifo { limit } => write!(f, "bfifo limit {limit}"),
            Self::Tbf { rate, burst, limit } => {
                write!(f, "tbf rate {}bit burst {burst} limit {limit}", u128::from(rate) * 8)
            }
        }
    }
}

impl Display for OldFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.parent {
            Handle::CLSACT_INGRESS | Handle::CLSACT_EGRESS | Handle::ROOT => write!(f, "{}", self.parent)?,
            Handle(number) => write!(f, "parent {:x}:{:x}", number >> 16, number & 0xffff)?,
        }
        match self.priority {
            0 => Ok(()),
            priority => write!(f, " pref {priority}"),
        }
    }
}
