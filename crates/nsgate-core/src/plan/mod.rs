//! How to get from what is to what is wanted: an ordered list of typed steps, and back.
//!
//! There is one way to change the kernel: a [`Step`]. It shows itself as the line an operator would type
//! ([`std::fmt::Display`]), reads such a line back ([`std::str::FromStr`]) and knows its inverse. Building, undoing,
//! repairing and mending are all lists of steps.

mod compile;
mod inventory;
mod iptables;
mod link;
pub mod mark;
mod parse;
mod remove;
#[cfg(test)]
mod round_trip;
mod show;
pub mod simulate;
mod state;
mod step;
mod traffic_control;
mod words;
mod xfrm;

pub use compile::{CompileError, Compiled, compile};
pub use inventory::{Inventory, StandingMember, StandingNetwork, inventory};
pub use iptables::{IptablesChange, IptablesRule, PacketKind, kept_by_iptables};
pub use link::{LinkSetting, MacvlanMode, NewKind, NewLink, VethPeer, Vxlan, XdpMode};
pub use parse::ParseError;
pub use remove::{instances, remove};
pub use state::{State, StateError};
pub use step::{Action, Change, Hop, NewAddress, NewForwarding, NewNeighbour, NewRoute, Step};
pub use traffic_control::{OldFilter, RootQueue};
pub use xfrm::NewPolicy;

/// An ordered list of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The steps, first to last.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan of one step.
    pub fn of(step: Step) -> Self {
        Self { steps: vec![step] }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The plan that takes this one back, last step first; what has no way back is left out.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self { steps: self.steps.iter().rev().filter_map(Step::inverse).collect() }
    }

    /// The lines an operator would type.
    pub fn commands(&self) -> Vec<String> {
        self.steps.iter().map(Step::to_string).collect()
    }
}
