//! Queueing disciplines and their classes.

use nsgate_core::model::{Handle, LinkIndex, Qdisc, QdiscKind, QueueCounts, TrafficClass};

use super::numbers::{self as n, queue, statistics};
use crate::error::Error;
use crate::netlink::{Attribute, Attributes, Batch, Listing, Message, Socket};

/// The queueing disciplines of all interfaces of the socket's namespace, but for interfaces that have no queue at all.
pub fn qdiscs(socket: &mut Socket) -> Result<Listing<Qdisc>, Error> {
    let mut batch = Batch::new();
    batch.begin(libc::RTM_GETQDISC, 0, &header(0, 0));
    socket.list_of(&mut batch, "queueing disciplines", read, |qdisc| qdisc.kind != QdiscKind::Noqueue)
}

/// The classes of one interface.
pub(super) fn classes(socket: &mut Socket, link: LinkIndex) -> Result<Listing<TrafficClass>, Error> {
    let mut batch = Batch::new();
    batch.begin(n::GET_CLASS, 0, &header(link.0, 0));
    socket.list(&mut batch, "traffic classes", read_class)
}

/// `struct tcmsg`: an interface, and where to look on it.
pub(super) fn header(link: u32, parent: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header
}

/// A 32-bit number in bytes that may end before it.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// What a queue, a class or an action has counted: TCA_STATS2 or TCA_ACT_STATS.
pub(super) fn counts(attribute: Option<Attribute<'_>>) -> QueueCounts {
    let told = attribute.map(|a| a.nested()).unwrap_or_default();
    let part = |kind| told.find(kind).map(|a| a.value).unwrap_or_default();
    let (basic, queue) = (part(statistics::BASIC), part(statistics::QUEUE));
    let of_queue = |place: usize| number(queue, place * 4).unwrap_or(0);
    let packets = || number(basic, 8).map_or(0, u64::from);
    QueueCounts {
        bytes: basic.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
        packets: told.find(statistics::PACKETS_64).and_then(|a| a.u64()).unwrap_or_else(packets),
        drops: of_queue(2),
        overlimits: of_queue(4),
        requeues: of_queue(3),
        queued: of_queue(0),
        backlog: of_queue(1),
    }
}

/// Reads one queueing discipline.
pub(super) fn read(message: &Message<'_>) -> Option<Qdisc> {
    let (header, attributes) = message.split::<20>()?;
    let kind = attributes.find(libc::TCA_KIND)?.text()?;
    let options = attributes.find(libc::TCA_OPTIONS);
    Some(Qdisc {
        link: LinkIndex(number(header, 4)?),
        handle: Handle(number(header, 8)?),
        parent: Handle(number(header, 12)?),
        kind: qdisc_kind(kind, options).unwrap_or_else(|| QdiscKind::Other(kind.to_owned())),
        counts: counts(attributes.find(libc::TCA_STATS2)),
    })
}

/// The kind with its fields; none if it is not known, or its fields cannot be read.
fn qdisc_kind(kind: &str, options: Option<Attribute<'_>>) -> Option<QdiscKind> {
    let nested = || options.map(|o| o.nested()).unwrap_or_default();
    Some(match kind {
        "pfifo" => QdiscKind::Pfifo { limit: number(options?.value, 0)? },
        "bfifo" => QdiscKind::Bfifo { limit: number(options?.value, 0)? },
        "tbf" => tbf(&nested())?,
        "htb" => QdiscKind::Htb { default: number(nested().find(queue::HTB_INIT)?.value, 8)? },
        "fq_codel" => {
            let options = nested();
            let field = |kind| options.find(kind).and_then(|a| a.u32());
            QdiscKind::FqCodel { limit: field(queue::FQ_CODEL_LIMIT)?, target: field(queue::FQ_CODEL_TARGET)? }
        }
        "noqueue" => QdiscKind::Noqueue,
        "ingress" => QdiscKind::Ingress,
        "clsact" => QdiscKind::Clsact,
        _ => return None,
    })
}

/// `struct tc_tbf_qopt`: two rates of twelve bytes each (their last four are bytes a second), then limit and bucket. The
/// bucket is told as the time that it lasts at the rate.
fn tbf(options: &Attributes<'_>) -> Option<QdiscKind> {
    let told = options.find(queue::TBF_PARAMETERS)?.value;
    let rate = options.find(queue::TBF_RATE_64).and_then(|a| a.u64()).or(number(told, 8).map(u64::from))?;
    let ticks = u128::from(number(told, 28)?);
    let nanoseconds = ticks << n::TICK_SHIFT;
    let burst = u128::from(rate).saturating_mul(nanoseconds) / 1_000_000_000;
    Some(QdiscKind::Tbf { rate, burst: u64::try_from(burst).unwrap_or(u64::MAX), limit: number(told, 24)? })
}

/// Reads one class.
pub(super) fn read_class(message: &Message<'_>) -> Option<TrafficClass> {
    let (header, attributes) = message.split::<20>()?;
    let kind = attributes.find(libc::TCA_KIND)?.text()?;
    let options = attributes.find(libc::TCA_OPTIONS).map(|a| a.nested()).unwrap_or_default();
    let htb = options.find(queue::HTB_PARAMETERS).filter(|_| kind == "htb").map(|a| a.value);
    let rate = |kind, at| {
        let wide = options.find(kind).and_then(|a| a.u64());
        htb.and_then(|htb| wide.or_else(|| number(htb, at).map(u64::from)))
    };
    Some(TrafficClass {
        link: LinkIndex(number(header, 4)?),
        handle: Handle(number(header, 8)?),
        parent: Handle(number(header, 12)?),
        kind: kind.to_owned(),
        rate: rate(queue::HTB_RATE_64, 8),
        ceil: rate(queue::HTB_CEIL_64, 20),
        counts: counts(attributes.find(libc::TCA_STATS2)),
    })
}

#[cfg(test)]
mod hostile_bytes {
    use crate::netlink::hostile;

    #[test]
    fn do_no_harm() {
        hostile::try_on(super::read);
        hostile::try_on(super::read_class);
        for kind in ["pfifo", "tbf", "htb", "fq_codel"] {
            hostile::try_on(|message| {
                let options = message.split::<0>()?.1.next()?;
                super::qdisc_kind(kind, Some(options))
            });
        }
    }
}
