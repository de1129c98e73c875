//! What is: the network namespaces of a machine with everything in them that decides a packet's fate.
//!
//! A [`World`] is read from the kernel by one snapshot, or from a file, and never changes afterwards.

pub mod conntrack;
mod link;
pub mod lookup;
mod neighbour;
mod netns;
mod route;
pub mod ruleset;
pub mod segment;
mod socket;
mod sysctl;
mod world;

pub use link::{Address, AddressFlags, Bridge, Link, LinkIndex, LinkKind, LinkName, OperState, Peer, Setting};
pub use neighbour::{Neighbour, NeighbourState};
pub use netns::{NameError, NetnsName};
pub use nsgate_packet::{Family, Mac};
pub use route::{NextHop, Route, RouteKind, Rule, RuleAction, Scope, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
pub use socket::{Listener, Transport};
pub use sysctl::{Sysctl, Sysctls};
pub use world::{Limit, Namespace, World};
