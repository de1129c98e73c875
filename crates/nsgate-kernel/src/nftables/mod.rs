//! nftables over netlink: the ruleset of a namespace, and transactions that change it.
//!
//! Both work on the namespace of a [`Netfilter`](crate::netlink::Protocol::Netfilter) socket. Reading needs
//! CAP_NET_ADMIN there too: the kernel shows the packet filter to nobody else.

mod key_source;
mod numbers;
mod read;
mod trace;
mod user_data;
mod write;

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod random_rulesets;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "testing"))]
pub use read::hostile;
pub use read::{Reading, generation, ruleset};
pub use trace::{TRACE_GROUP, trace_event};
pub use write::commit;
