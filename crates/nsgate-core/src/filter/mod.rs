//! The packet filter at work: which rules one packet meets, which of them match, and what they decide.
//!
//! Rules are run as the kernel runs them, instruction by instruction ([`machine`]), over what is known of the packet
//! ([`Subject`]). What is not known or not modelled is neither true nor false: it is unknown, and so is every decision
//! that hangs on it.

mod chain;
mod fib;
mod ipset;
mod machine;
mod nearest;
mod subject;

pub use chain::{Decision, End, Step, Walk, walk};
pub use ipset::{Membership, membership};
pub use machine::{Action, Outcome, run};
pub use nearest::{Nearest, nearest, nearest_passed};
pub use subject::{Connection, Device, Layer, Subject};
