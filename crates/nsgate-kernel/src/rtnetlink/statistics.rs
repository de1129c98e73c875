//! What interfaces count of packets that they lost.

use nsgate_core::model::LinkIndex;

use crate::error::Error;
use crate::netlink::{Batch, Listing, Message, Socket};

/// `RTM_GETSTATS`.
const GET_STATISTICS: u16 = 94;
/// `IFLA_STATS_LINK_64`: a `struct rtnl_link_stats64`, and its bit in the request.
const LINK_64: u16 = 1;
const LINK_64_BIT: u32 = 1;

/// The counters that are taken, by their place in `struct rtnl_link_stats64`.
const FIELDS: [(usize, &str); 10] = [
    (4, "rx_errors"),
    (5, "tx_errors"),
    (6, "rx_dropped"),
    (7, "tx_dropped"),
    (10, "rx_length_errors"),
    (15, "rx_missed_errors"),
    (16, "tx_aborted_errors"),
    (17, "tx_carrier_errors"),
    (23, "rx_nohandler"),
    (24, "rx_otherhost_dropped"),
];

/// What one interface has counted, where it is not nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatistics {
    /// The interface.
    pub link: LinkIndex,
    /// The kernel's names of its counters, with their values.
    pub counters: Vec<(&'static str, u64)>,
}

/// The losses of all interfaces of the socket's namespace; those that lost nothing are left out.
pub fn statistics(socket: &mut Socket) -> Result<Listing<LinkStatistics>, Error> {
    let mut batch = Batch::new();
    let mut header = [0; 12];
    header[8..12].copy_from_slice(&LINK_64_BIT.to_ne_bytes());
    batch.begin(GET_STATISTICS, 0, &header);
    socket.list_of(&mut batch, "the counters of interfaces", read, |found| !found.counters.is_empty())
}

/// Reads one interface's counters. An older kernel's list is shorter.
pub(super) fn read(message: &Message<'_>) -> Option<LinkStatistics> {
    let (header, attributes) = message.split::<12>()?;
    let link = LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?));
    let values = attributes.find(LINK_64)?.value;
    let value = |place: usize| Some(u64::from_ne_bytes(values.get(place * 8..place * 8 + 8)?.try_into().ok()?));
    let counters = FIELDS.iter().filter_map(|(place, name)| Some((*name, value(*place)?)));
    Some(LinkStatistics { link, counters: counters.filter(|(_, value)| *value != 0).collect() })
}

#[cfg(test)]
mod tests {
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(super::read);
    }
}
