//! The only door to Linux: network namespaces, netlink, nftables, sysctls, snapshots, sandboxes.

pub mod apply;
mod bpf;
pub mod conntrack;
pub mod containers;
pub mod counters;
mod error;
pub mod exec;
pub mod ipset;
pub mod legacy;
pub mod netlink;
pub mod netns;
pub mod nftables;
pub mod privileges;
pub mod processes;
pub mod rtnetlink;
pub mod sandbox;
pub mod server;
pub mod settle;
pub mod snapshot;
pub mod sockets;
mod sys;
pub mod sysctl;
pub mod traffic_control;
pub mod xfrm;

#[cfg(feature = "testing")]
pub use bpf::looking_on;
pub use error::{Error, Kind};
