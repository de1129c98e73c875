//! Links, addresses, routes, policy rules, neighbours: read as the model's types, written one message each.
//!
//! Reading functions take a socket that was opened in the namespace they shall look at. What cannot be understood is
//! counted in the [`Listing`](crate::netlink::Listing), never guessed.

mod address;
mod bridge;
mod forwarding;
mod link;
mod lookup;
mod neighbour;
mod netnsid;
mod nexthop;
mod numbers;
mod route;
mod rule;
mod statistics;
#[cfg(test)]
mod tests;
mod write;

pub use address::addresses;
pub use bridge::port_vlans;
pub use forwarding::forwarding;
pub use link::{FoundLink, index_of, links};
pub use lookup::{Decision, lookup};
pub use neighbour::{NEIGHBOUR_GROUP, neighbour_event, neighbour_tables, neighbours};
pub use netnsid::netnsids;
pub use nexthop::nexthop_objects;
pub use route::routes;
pub use rule::rules;
pub use statistics::{LinkStatistics, statistics};
pub use write::{Names, is_routing, links_needed, netns_needed, perform, write};

/// Reads any message as each of the objects; for fuzzing.
#[cfg(feature = "testing")]
pub fn read_any(message: &crate::netlink::Message<'_>) {
    let _ = (link::read(message), address::read(message), route::read(message), rule::read(message));
    let _ = (neighbour::read(message), neighbour::read_table(message), forwarding::read(message));
    let _ = (nexthop::read(message), statistics::read(message), bridge::read_vlans(message));
}
