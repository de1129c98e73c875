//! The numbers by which one network namespace knows others: IFLA_LINK_NETNSID speaks in them.

use std::os::fd::{AsFd, AsRawFd};

use super::numbers as n;
use crate::error::Error;
use crate::netlink::{Batch, Socket};

/// The number by which the socket's namespace knows another one; none if it has none for it.
pub fn netnsid(socket: &mut Socket, netns: &impl AsFd) -> Result<Option<i32>, Error> {
    let mut batch = Batch::new();
    batch.begin(libc::RTM_GETNSID, 0, &[0; 4]);
    batch.u32(n::NETNS_DESCRIPTOR, netns.as_fd().as_raw_fd() as u32);
    let answers = socket.send(&mut batch)?;
    if let Some((_, refusal)) = answers.refused() {
        return Err(refusal.clone().error("find", "the number of a namespace"));
    }
    let number = answers.replies.iter().find_map(|r| r.message().split::<4>()?.1.find(n::NETNS_ID)?.i32());
    Ok(number.filter(|number| *number >= 0))
}
