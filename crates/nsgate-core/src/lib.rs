//! The thinking of nsgate.
//!
//! Everything here is pure: no file, socket, clock or environment; the same input gives the same output.
//!
//! - [`model`]: what is (a [`model::World`] of namespaces);
//! - [`spec`]: what is wanted, read from `nsgate.toml`;
//! - [`plan`]: how to get from one to the other, step by step, and back;
//! - [`resolve`]: how a namespace turns names into addresses;
//! - [`trace`]: what was seen of one probe;
//! - [`filter`]: the packet filter at work on one packet;
//! - [`explain`]: why it was lost, and what mends it.

pub mod explain;
pub mod filter;
pub mod model;
pub mod plan;
pub mod resolve;
pub mod spec;
pub mod trace;
