//! What interfaces count, and what their queues and traffic control's actions do: `link.eth2.tx_dropped`,
//! `qdisc.eth2.tbf.drops`, `action.veth3.mirred.overlimits`.

use std::collections::BTreeMap;

use nsgate_core::model::{LinkIndex, QueueCounts};
use nsgate_core::trace::Counters;
use rustix::net::netdevice::index_to_name;

use crate::error::Error;
use crate::netlink::{Protocol, Socket};
use crate::{rtnetlink, traffic_control};

/// Reads them in the namespace that the calling thread is in.
///
/// What counted nothing is not mentioned, so that few interfaces need to be asked for their names.
pub(super) fn read(counters: &mut Counters) -> Result<(), Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    let losses = rtnetlink::statistics(&mut socket)?.items;
    let qdiscs = traffic_control::qdiscs(&mut socket)?.items;
    let filters = traffic_control::filters(&mut socket, &qdiscs)?.items;
    let mut sums = Sums { socket: &socket, names: BTreeMap::new(), counters };
    for found in losses {
        for (counter, value) in found.counters {
            sums.add("link", found.link, counter, value);
        }
    }
    for qdisc in &qdiscs {
        sums.add_queue("qdisc", qdisc.link, qdisc.kind.name(), qdisc.counts);
    }
    for filter in &filters {
        for action in &filter.actions {
            sums.add_queue("action", filter.link, action.kind.name(), action.counts);
        }
    }
    Ok(())
}

/// Counters by the names of interfaces; several of one name are added up.
struct Sums<'a> {
    socket: &'a Socket,
    names: BTreeMap<LinkIndex, Option<String>>,
    counters: &'a mut Counters,
}

impl Sums<'_> {
    fn add_queue(&mut self, group: &str, link: LinkIndex, kind: &str, counts: QueueCounts) {
        for (counter, value) in [("drops", counts.drops), ("overlimits", counts.overlimits)] {
            self.add(group, link, &format!("{kind}.{counter}"), value.into());
        }
    }

    fn add(&mut self, group: &str, link: LinkIndex, counter: &str, value: u64) {
        if value == 0 {
            return;
        }
        let name = self.names.entry(link).or_insert_with(|| index_to_name(self.socket, link.0).ok());
        // An interface that went meanwhile has no name, and counts no more.
        let Some(name) = name else { return };
        let name = format!("{group}.{name}.{counter}");
        let sum = self.counters.get(&name).wrapping_add(value);
        self.counters.insert(name, sum);
    }
}
