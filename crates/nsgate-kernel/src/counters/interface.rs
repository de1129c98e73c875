//! What interfaces count: `link.eth2.tx_dropped`.

use nsgate_core::trace::Counters;
use rustix::net::netdevice::index_to_name;

use crate::error::Error;
use crate::netlink::{Protocol, Socket};
use crate::rtnetlink;

/// Reads them in the namespace that the calling thread is in.
///
/// An interface that counted nothing is not mentioned, so that only the few others need to be asked for their names.
pub(super) fn read(counters: &mut Counters) -> Result<(), Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    for found in rtnetlink::statistics(&mut socket)?.items {
        // An interface that went meanwhile has no name, and counts no more.
        let Ok(name) = index_to_name(&socket, found.link.0) else { continue };
        for (counter, value) in found.counters {
            counters.insert(format!("link.{name}.{counter}"), value);
        }
    }
    Ok(())
}
