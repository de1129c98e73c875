//! All objects of a kind, read one message each.

use super::socket::FIRST_TYPE;
use super::{Batch, Message, Messages, Socket};
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
        self.list_of(batch, what, read, |_| true)
    }

    /// The same of which only some are kept: what is not never takes memory, however much there is.
    pub fn list_of<T>(
        &mut self,
        batch: &mut Batch,
        what: &'static str,
        read: impl Fn(&Message<'_>) -> Option<T>,
        keep: impl Fn(&T) -> bool,
    ) -> Result<Listing<T>, Error> {
        let take = |(items, unread): &mut (Vec<T>, usize), datagram: &[u8]| {
            for message in Messages::new(datagram).filter(|message| message.kind >= FIRST_TYPE) {
                match read(&message) {
                    Some(item) if keep(&item) => items.push(item),
                    Some(_) => {}
                    None => *unread += 1,
                }
            }
        };
        let ((items, unread), consistent) = self.gather(batch, what, take)?;
        Ok(Listing { items, unread, consistent })
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
