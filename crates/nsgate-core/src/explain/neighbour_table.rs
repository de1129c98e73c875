//! `neighbour-table-full`: no entry can be made for the next hop, because the machine's table has no room.

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, told};
use crate::model::{Family, NeighbourTable};

/// `ENOBUFS`: what a sender gets whose neighbour found no room.
const NO_BUFFERS: i32 = 105;

/// The next hop has no entry, and the table for its family takes no more.
pub(super) fn full(loss: &Loss<'_>) -> Option<Verdict> {
    if matches!(loss.stage, Stage::Left(_)) || loss.arrived() {
        return None;
    }
    let route = loss.route();
    let link = loss.netns.link(route.link()?)?;
    let next = route.gateway().unwrap_or(loss.destination);
    let family = Family::of(next);
    let known = |(netns, entry): &(crate::model::NetnsName, crate::model::Neighbour)| {
        netns == loss.here() && entry.link == link.index && entry.address == next && !entry.proxy
    };
    if loss.observation.neighbours.iter().any(known) {
        return None;
    }
    let table = loss.world.machine.neighbour_tables.iter().find(|table| table.family == family);
    let shown = told::dropped_for(loss, &["NEIGH_CREATEFAIL"])
        .or_else(|| refused(loss).filter(|_| table.is_some_and(NeighbourTable::is_full)))?;
    let word = if family == Family::V4 { "ipv4" } else { "ipv6" };
    let limit = format!("net.{word}.neigh.default.gc_thresh3");
    let room = table.map_or_else(String::new, |t| format!(" ({} of {})", t.entries, t.hard_limit));
    let summary = format!(
        "{next} gets no neighbour entry on {} of {}: the machine's {family} neighbour table is full{room}",
        link.name,
        loss.here()
    );
    let mut verdict =
        Verdict::new(Cause::NeighbourTableFull, Place::at(loss.here(), &link.name), format!("{limit}{room}"), summary)
            .shown_by(shown);
    if let Some(table) = table {
        let text = format!("the {family} neighbour table has {} entries", table.entries);
        let counted = Evidence::new(EvidenceKind::Neighbour, loss.here(), text)
            .differs(format!("fewer than {}", table.hard_limit), table.entries.to_string());
        verdict = verdict.shown_by(counted);
    }
    let more = table.map_or(8192, |table| table.hard_limit.saturating_mul(4));
    Some(verdict.advised(format!(
        "The table is one for all namespaces, and its limits can be set in the machine's first namespace alone: \
         sysctl -w {limit}={more}. Find out who fills it (ip neigh show nud failed)."
    )))
}

/// The sender's own system call found no room.
fn refused(loss: &Loss<'_>) -> Option<Evidence> {
    let words = evidence::sender_words(loss)?;
    (loss.refused_with() == Some(NO_BUFFERS)).then(|| Evidence::new(EvidenceKind::Sender, loss.here(), words))
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, name};
    use crate::model::{Family, LinkIndex, Neighbour, NeighbourState, NeighbourTable};
    use crate::trace::{Addressee, DropReason, Ending, KernelEvent, KernelEventKind};

    fn table(family: Family, entries: u32) -> NeighbourTable {
        NeighbourTable { family, entries, keep: 128, soft_limit: 512, hard_limit: 1024, refused: 3 }
    }

    #[test]
    fn a_sender_that_gets_no_room() {
        for mut fixture in [Fixture::experiment(), Fixture::experiment6()] {
            let family = Family::of(fixture.observation.probe.destination);
            let words = "No buffer space available".to_owned();
            fixture.observation.ending = Ending::Refused { operation: "send", errno: 105, words };
            fixture.world.machine.neighbour_tables = vec![table(family, 700)];
            assert_ne!(fixture.verdict().0, "neighbour-table-full");
            fixture.world.machine.neighbour_tables = vec![table(family, 1024)];
            let (cause, place, object) = fixture.verdict();
            assert_eq!((cause.as_str(), place.as_str()), ("neighbour-table-full", "ns_1/veth2"));
            assert!(object.ends_with("gc_thresh3 (1024 of 1024)"), "{object}");
        }
    }

    #[test]
    fn a_gateway_whose_kernel_says_so() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        let reason = DropReason::Named("NEIGH_CREATEFAIL".into());
        let echo = [0x45, 0, 0, 84, 0, 0, 0, 0, 63, 1, 0, 0, 1, 1, 1, 2, 114, 114, 114, 114, 8, 0, 0, 0, 0, 7, 0, 1];
        fixture.observation.kernel = vec![KernelEvent {
            time: 0,
            netns: Some(name("host")),
            link: None,
            kind: KernelEventKind::Dropped { reason, symbol: None },
            buffer: 1,
            mark: 0,
            addressee: Addressee::Host,
            ethertype: 0x0800,
            bytes: echo.into(),
            length: 98,
        }];
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("neighbour-table-full", "host/eth2"));
        // An entry that is there was made: it is not the room that is missing.
        let entry = Neighbour {
            link: LinkIndex(3),
            address: "10.20.30.1".parse().unwrap(),
            mac: None,
            state: NeighbourState::Failed,
            proxy: false,
        };
        fixture.observation.neighbours = vec![(name("host"), entry)];
        assert_ne!(fixture.verdict().0, "neighbour-table-full");
    }
}
