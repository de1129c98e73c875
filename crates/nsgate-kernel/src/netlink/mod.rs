//! Netlink as bytes: what every subsystem (routing, nftables, conntrack, sock_diag, xfrm) shares.
//!
//! A [`Batch`] holds many requests in one buffer; a [`Socket`] sends it in one go and says for each request what
//! became of it, with the kernel's own words. [`Messages`] and [`Attributes`] read what comes back: they trust no
//! length and never panic. What the numbers mean is said by the module of each subsystem, never here.

mod attribute;
mod batch;
#[cfg(test)]
pub(crate) mod hostile;
mod listing;
mod socket;

pub use attribute::{Attribute, Attributes, Message, Messages};
pub use batch::Batch;
pub use listing::Listing;
#[cfg(feature = "testing")]
pub use socket::read_any;
pub use socket::{Answers, Dump, Events, Outcome, Protocol, Refusal, Reply, Socket};
