//! How to get from what is to what is wanted: an ordered list of typed steps, and back.
//!
//! There is one way to change the kernel: a [`Step`]. It shows itself as the line an operator would type
//! ([`std::fmt::Display`]), reads such a line back ([`std::str::FromStr`]) and knows its inverse. Building, undoing,
//! repairing and mending are all lists of steps.

mod link;
mod parse;
#[cfg(test)]
mod round_trip;
mod show;
pub mod simulate;
mod step;
mod words;

pub use link::{LinkSetting, MacvlanMode, NewKind, NewLink, PortState, VethPeer, Vxlan};
pub use parse::ParseError;
pub use step::{Action, Change, Hop, NewAddress, NewNeighbour, NewRoute, Step};
