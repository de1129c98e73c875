//! Queueing disciplines, classes, filters and actions, read as the model's types.
//!
//! Queueing disciplines come for all interfaces at once. Classes and filters the kernel tells of one interface at a time,
//! so only those are asked for that can have any.

mod action;
mod filter;
mod numbers;
mod qdisc;
#[cfg(test)]
mod tests;

use nsgate_core::model::{Handle, LinkIndex, Qdisc, QdiscKind, TrafficClass, TrafficFilter};

use crate::error::Error;
use crate::netlink::{Listing, Socket};

pub use qdisc::qdiscs;

/// The classes of the interfaces whose queueing disciplines have some.
pub fn classes(socket: &mut Socket, qdiscs: &[Qdisc]) -> Result<Listing<TrafficClass>, Error> {
    // A token bucket has one class, to which nothing is sorted.
    let some = |kind: &QdiscKind| has_classes(kind) || matches!(kind, QdiscKind::Tbf { .. });
    let mut links: Vec<LinkIndex> = qdiscs.iter().filter(|q| some(&q.kind)).map(|q| q.link).collect();
    links.dedup();
    gather(links, |link| qdisc::classes(socket, link))
}

/// The filters at all places of these queueing disciplines where some can hang.
pub fn filters(socket: &mut Socket, qdiscs: &[Qdisc]) -> Result<Listing<TrafficFilter>, Error> {
    let places = qdiscs.iter().flat_map(|qdisc| {
        let places = match &qdisc.kind {
            QdiscKind::Clsact => vec![Handle::CLSACT_INGRESS, Handle::CLSACT_EGRESS],
            QdiscKind::Ingress => vec![qdisc.handle],
            kind if has_classes(kind) => vec![qdisc.handle],
            _ => Vec::new(),
        };
        places.into_iter().map(|place| (qdisc.link, place))
    });
    gather(places, |(link, place)| filter::filters(socket, link, place))
}

/// Whether packets can be sorted at such a queueing discipline. What is not known may have classes.
fn has_classes(kind: &QdiscKind) -> bool {
    match kind {
        QdiscKind::Htb { .. } => true,
        QdiscKind::Other(name) => {
            !matches!(name.as_str(), "pfifo_fast" | "mq" | "noop" | "netem" | "fq" | "codel" | "pfifo_head_drop")
        }
        _ => false,
    }
}

/// The listings of several places as one.
fn gather<P, T>(
    places: impl IntoIterator<Item = P>,
    mut list: impl FnMut(P) -> Result<Listing<T>, Error>,
) -> Result<Listing<T>, Error> {
    let nothing = Listing { items: Vec::new(), unread: 0, consistent: true };
    places.into_iter().try_fold(nothing, |all, place| Ok(all.join(list(place)?)))
}

/// Reads any message as each of the objects; for fuzzing.
#[cfg(feature = "testing")]
pub fn read_any(message: &crate::netlink::Message<'_>) {
    let _ = (qdisc::read(message), qdisc::read_class(message), filter::read(message));
}
