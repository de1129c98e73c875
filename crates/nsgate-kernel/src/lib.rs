//! The only door to Linux: network namespaces, netlink, nftables, sysctls, snapshots, sandboxes.

mod error;
pub mod netlink;
pub mod rtnetlink;
mod sys;

pub use error::{Error, Kind};
