//! The numbers by which one network namespace knows others: IFLA_LINK_NETNSID speaks in them.

use std::os::fd::{AsFd, AsRawFd};

use super::numbers as n;
use crate::error::Error;
use crate::netlink::{Batch, Socket};

/// The numbers by which the socket's namespace knows other ones, in their order; none for one that it has no number for.
pub fn netnsids(socket: &mut Socket, others: &[impl AsFd]) -> Result<Vec<Option<i32>>, Error> {
    let mut batch = Batch::new();
    for other in others {
        batch.begin(libc::RTM_GETNSID, 0, &[0; 4]);
        batch.u32(n::NETNS_DESCRIPTOR, other.as_fd().as_raw_fd() as u32);
    }
    let answers = socket.send(&mut batch)?;
    if let Some((_, refusal)) = answers.refused() {
        return Err(refusal.clone().error("find", "the number of a namespace"));
    }
    let mut numbers = vec![None; others.len()];
    for reply in &answers.replies {
        let number = reply.message().split::<4>().and_then(|(_, attributes)| attributes.find(n::NETNS_ID)?.i32());
        // The kernel says -1 for one without a number.
        numbers[reply.request] = number.filter(|number| *number >= 0);
    }
    Ok(numbers)
}
