//! What is: the network namespaces of a machine with everything in them that decides a packet's fate.
//!
//! A [`World`] is read from the kernel by one snapshot, or from a file, and never changes afterwards.

mod bridge;
pub mod conntrack;
mod forwarding;
mod link;
pub mod lookup;
mod neighbour;
mod netns;
mod process;
mod program;
mod route;
pub mod ruleset;
pub mod saved;
pub mod segment;
mod socket;
mod sysctl;
mod traffic_control;
mod wire;
mod world;
mod xfrm;

pub use bridge::{Bridge, BridgePort, PortState, PortVlan};
pub use forwarding::{ForwardingEntry, ForwardingOrigin};
pub use link::{Address, AddressFlags, Link, LinkIndex, LinkKind, LinkName, LinkQueues, OperState, Peer, Setting};
pub use neighbour::{Neighbour, NeighbourState, NeighbourTable};
pub use netns::{Engine, NameError, NetnsName};
pub use nsgate_packet::{Family, Mac};
pub use process::Process;
pub use program::{AttachedProgram, MachinePlace, Program, ProgramPlace};
pub use route::{
    NextHop, NexthopKind, NexthopObject, Route, RouteKind, Rule, RuleAction, Scope, TABLE_DEFAULT, TABLE_LOCAL,
    TABLE_MAIN,
};
pub use socket::{Listener, Transport};
pub use sysctl::{Sysctl, Sysctls};
pub use traffic_control::{
    ActionKind, FilterKind, Handle, Qdisc, QdiscKind, QueueCounts, TrafficAction, TrafficClass, TrafficFilter,
    TrafficVerdict, U32Key,
};
pub use world::{Limit, Machine, Namespace, World};
pub use xfrm::{Xfrm, XfrmDirection, XfrmMode, XfrmPolicy, XfrmSelector, XfrmState, XfrmTemplate, xfrm_protocol};
