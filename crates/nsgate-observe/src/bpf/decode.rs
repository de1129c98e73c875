//! From what the programs wrote to what the rest of nsgate speaks of: names in place of numbers and addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use nsgate_core::model::ruleset::Hook;
use nsgate_core::model::{Family, LinkIndex, NetnsName};
use nsgate_core::trace::{Addressee, DropReason, KernelEvent, KernelEventKind};
use nsgate_kernel::netns::Netns;

use super::clock::Clock;
use super::record::{Kind, NO_REASON, Record};
use super::symbols;

/// Knows the names.
#[derive(Debug)]
pub(super) struct Decoder {
    reasons: HashMap<u32, String>,
    namespaces: HashMap<u32, NetnsName>,
    /// Functions by addresses that lie in them; those that were looked for and not found too.
    functions: HashMap<u64, Option<String>>,
    /// Which of the events that were added last happened where, and have no function's name yet.
    unnamed: Vec<(usize, u64)>,
    clock: Clock,
}

impl Decoder {
    pub(super) fn new(reasons: Vec<(u32, String)>, namespaces: &[&Netns], atomic_time: bool) -> Self {
        // Of several names of one namespace the first is used.
        let names = namespaces.iter().rev().map(|netns| (netns.inode() as u32, netns.name().clone()));
        Self {
            reasons: reasons.into_iter().collect(),
            namespaces: names.collect(),
            functions: HashMap::new(),
            unnamed: Vec::new(),
            clock: Clock::compare(atomic_time),
        }
    }

    /// Adds what a record tells.
    pub(super) fn add(&mut self, record: &Record<'_>, events: &mut Vec<KernelEvent>) {
        let Some(kind) = self.kind(record) else { return };
        let at_a_place = matches!(record.kind, Kind::Dropped | Kind::Consumed);
        if at_a_place && record.location != 0 && record.symbol.is_empty() {
            self.unnamed.push((events.len(), record.location));
        }
        events.push(KernelEvent {
            time: self.clock.real(record.time),
            netns: self.namespaces.get(&record.netns).cloned(),
            link: (record.link != 0).then_some(LinkIndex(record.link)),
            kind,
            buffer: if record.kind == Kind::Neighbour { 0 } else { record.buffer },
            mark: record.mark,
            addressee: addressee(record.addressee),
            ethertype: record.ethertype,
            bytes: if record.kind == Kind::Neighbour { Vec::new() } else { record.bytes.to_vec() },
            length: record.length,
        });
    }

    /// Fills in the names of the functions where these events happened, where the kernel did not tell them itself.
    pub(super) fn name_functions(&mut self, events: &mut [KernelEvent]) {
        let mut unknown: Vec<u64> = self.unnamed.iter().map(|(_, location)| *location).collect();
        unknown.retain(|location| !self.functions.contains_key(location));
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let names = symbols::functions(&unknown);
            self.functions.extend(unknown.into_iter().zip(names));
        }
        for (index, location) in self.unnamed.drain(..) {
            let name = self.functions.get(&location).cloned().flatten();
            if let Some(KernelEventKind::Dropped { symbol, .. } | KernelEventKind::Consumed { symbol }) =
                events.get_mut(index).map(|event| &mut event.kind)
            {
                *symbol = name;
            }
        }
    }

    fn kind(&self, record: &Record<'_>) -> Option<KernelEventKind> {
        let [second, first, ..] = record.detail.to_le_bytes();
        Some(match record.kind {
            Kind::Dropped => KernelEventKind::Dropped { reason: self.reason(record.detail), symbol: function(record) },
            Kind::Consumed => KernelEventKind::Consumed { symbol: function(record) },
            Kind::Queued => KernelEventKind::Queued,
            Kind::Transmitted => KernelEventKind::Transmitted,
            Kind::Received => KernelEventKind::Received,
            Kind::IcmpSent => KernelEventKind::IcmpSent { icmp_type: first, code: second },
            Kind::ResetSent => KernelEventKind::ResetSent,
            Kind::Neighbour => KernelEventKind::Neighbour { address: address(record)?, before: first, after: second },
            Kind::Tap => KernelEventKind::Tap {
                hook: hook(record.hook)?,
                priority: record.priority,
                family: family(record.family)?,
            },
        })
    }

    fn reason(&self, number: u32) -> DropReason {
        match self.reasons.get(&number) {
            _ if number == NO_REASON => DropReason::NotTold,
            Some(name) => DropReason::Named(name.clone()),
            None => DropReason::Number(number),
        }
    }
}

/// The name of the function where it happened, if the kernel told it: `nft_do_chain [nf_tables]` where it is a module's,
/// or the address where it knows none.
fn function(record: &Record<'_>) -> Option<String> {
    let name = std::str::from_utf8(record.symbol).ok()?.split(' ').next()?;
    (!name.is_empty() && !name.starts_with("0x")).then(|| name.to_owned())
}

/// The address of a neighbour.
fn address(record: &Record<'_>) -> Option<IpAddr> {
    Some(match family(record.family)? {
        Family::V4 => record.bytes.first_chunk::<4>().copied()?.into(),
        Family::V6 => record.bytes.first_chunk::<16>().copied()?.into(),
    })
}

/// The hook of a number (NF_INET_*).
fn hook(number: u8) -> Option<Hook> {
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting].get(usize::from(number)).copied()
}

/// The family of a number. Those of addresses are those of the packet filter.
fn family(number: u8) -> Option<Family> {
    match i32::from(number) {
        libc::NFPROTO_IPV4 => Some(Family::V4),
        libc::NFPROTO_IPV6 => Some(Family::V6),
        _ => None,
    }
}

/// To whom a frame was addressed (PACKET_HOST and its kin).
fn addressee(number: u8) -> Addressee {
    [Addressee::Host, Addressee::Broadcast, Addressee::Multicast, Addressee::Other, Addressee::Outgoing]
        .get(usize::from(number))
        .copied()
        .unwrap_or(Addressee::Unknown(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind) -> Record<'static> {
        Record {
            time: 5,
            buffer: 7,
            location: 0,
            detail: 2,
            priority: -399,
            netns: 1,
            link: 0,
            mark: 0,
            length: 84,
            ethertype: 0x0800,
            kind,
            hook: 2,
            family: 10,
            addressee: 3,
            symbol: b"nft_do_chain [nf_tables]",
            bytes: &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        }
    }

    fn decoded(record: &Record<'_>) -> Vec<KernelEvent> {
        let mut decoder = Decoder::new(vec![(2, "NETFILTER_DROP".into())], &[], true);
        let mut events = Vec::new();
        decoder.add(record, &mut events);
        decoder.name_functions(&mut events);
        events
    }

    #[test]
    fn names_stand_in_place_of_numbers() {
        let kinds = |record: &Record<'_>| decoded(record).into_iter().map(|event| event.kind).collect::<Vec<_>>();
        let dropped =
            |reason, symbol: Option<&str>| vec![KernelEventKind::Dropped { reason, symbol: symbol.map(Into::into) }];
        let reason = DropReason::Named("NETFILTER_DROP".into());
        assert_eq!(kinds(&record(Kind::Dropped)), dropped(reason.clone(), Some("nft_do_chain")));
        let unknown = Record { symbol: b"0xffffffffc0001234", detail: 99, ..record(Kind::Dropped) };
        assert_eq!(kinds(&unknown), dropped(DropReason::Number(99), None));
        let untold = Record { symbol: b"", detail: NO_REASON, ..record(Kind::Dropped) };
        assert_eq!(kinds(&untold), dropped(DropReason::NotTold, None));
        let tap = KernelEventKind::Tap { hook: Hook::Forward, priority: -399, family: Family::V6 };
        assert_eq!(kinds(&record(Kind::Tap)), [tap]);
        let icmp = Record { detail: 0x0304, ..record(Kind::IcmpSent) };
        assert_eq!(kinds(&icmp), [KernelEventKind::IcmpSent { icmp_type: 3, code: 4 }]);
    }

    #[test]
    fn a_neighbour_is_no_packet() {
        let events = decoded(&Record { detail: 0x0402, ..record(Kind::Neighbour) });
        let address = "fe80::1".parse().unwrap();
        assert_eq!(events[0].kind, KernelEventKind::Neighbour { address, before: 4, after: 2 });
        assert_eq!((events[0].buffer, events[0].bytes.len()), (0, 0));
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        assert_eq!(decoded(&Record { hook: 5, ..record(Kind::Tap) }), []);
        assert_eq!(decoded(&Record { family: 1, ..record(Kind::Tap) }), []);
        assert_eq!(decoded(&Record { bytes: &[1, 2, 3], ..record(Kind::Neighbour) }), []);
        let event = &decoded(&Record { addressee: 9, ..record(Kind::Queued) })[0];
        assert_eq!((event.addressee, event.link, &event.netns), (Addressee::Unknown(9), None, &None));
    }
}
