//! Links, addresses, routes, policy rules, neighbours: read as the model's types, written one message each.
//!
//! Reading functions take a socket that was opened in the namespace they shall look at. What cannot be understood is
//! counted in the [`Listing`], never guessed.

mod address;
mod link;
mod lookup;
mod neighbour;
mod netnsid;
mod numbers;
mod route;
mod rule;
#[cfg(test)]
mod tests;
mod write;

use crate::error::Error;
use crate::netlink::{Batch, Message, Socket};

pub use address::addresses;
pub use link::{FoundLink, index_of, links};
pub use lookup::{Decision, lookup};
pub use neighbour::neighbours;
pub use netnsid::netnsid;
pub use route::routes;
pub use rule::rules;
pub use write::{Names, is_routing, links_needed, netns_needed, perform, write};

/// All objects of a kind that a namespace has.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// The objects.
    pub items: Vec<T>,
    /// How many the kernel sent that could not be understood.
    pub unread: usize,
    /// Whether nothing changed while they were read.
    pub consistent: bool,
}

/// Asks for all objects of a kind and reads each.
fn list<T>(
    socket: &mut Socket,
    batch: &mut Batch,
    what: &'static str,
    read: impl Fn(&Message<'_>) -> Option<T>,
) -> Result<Listing<T>, Error> {
    let dump = socket.dump(batch, what)?;
    let mut listing = Listing { items: Vec::new(), unread: 0, consistent: dump.consistent };
    for message in dump.messages() {
        match read(&message) {
            Some(item) => listing.items.push(item),
            None => listing.unread += 1,
        }
    }
    Ok(listing)
}

impl<T> Listing<T> {
    /// Both listings as one: what is kept in a table for each family.
    fn join(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        self.unread += other.unread;
        self.consistent &= other.consistent;
        self
    }
}
