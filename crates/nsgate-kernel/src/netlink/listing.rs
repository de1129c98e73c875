//! All objects of a kind, read one message each.

use super::{Batch, Message, Socket};
use crate::error::Error;

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

impl Socket {
    /// Asks for all objects of a kind, by the one request in `batch`, and reads each; `what` names them in an error.
    pub fn list<T>(
        &mut self,
        batch: &mut Batch,
        what: &'static str,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Listing<T>, Error> {
        let dump = self.dump(batch, what)?;
        let mut listing = Listing { items: Vec::new(), unread: 0, consistent: dump.consistent };
        for message in dump.messages() {
            match read(&message) {
                Some(item) => listing.items.push(item),
                None => listing.unread += 1,
            }
        }
        Ok(listing)
    }
}

impl<T> Listing<T> {
    /// Both listings as one: what is kept in a table for each family.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        self.unread += other.unread;
        self.consistent &= other.consistent;
        self
    }
}
