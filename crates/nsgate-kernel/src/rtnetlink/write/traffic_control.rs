//! Queues replaced, filters removed.

use nsgate_core::model::LinkName;
use nsgate_core::plan::{Change, OldFilter, RootQueue};

use super::{Names, flags};
use crate::error::Error;
use crate::netlink::Batch;

/// `RTM_NEWQDISC`, `RTM_DELQDISC`, `RTM_DELTFILTER`.
const NEW_QDISC: u16 = 36;
const DELETE_QDISC: u16 = 37;
const DELETE_FILTER: u16 = 45;
/// `TC_H_ROOT`.
const ROOT: u32 = 0xffff_ffff;
/// `TCA_TBF_PARMS`, `TCA_TBF_RATE64`, `TCA_TBF_BURST`.
const TBF_PARAMETERS: u16 = 1;
const TBF_RATE_64: u16 = 4;
const TBF_BURST: u16 = 6;
/// `TC_LINKLAYER_ETHERNET`.
const ETHERNET: u8 = 1;

pub(super) fn queue(batch: &mut Batch, dev: &LinkName, queue: RootQueue, names: &Names<'_>) -> Result<(), Error> {
    let header = header(names.link(dev)?.0, ROOT, 0);
    let Some(kind) = queue.kind() else {
        batch.begin(DELETE_QDISC, 0, &header);
        return Ok(());
    };
    batch.begin(NEW_QDISC, flags(Change::Replace), &header);
    batch.text(libc::TCA_KIND, kind.name());
    match queue {
        RootQueue::Usual => {}
        RootQueue::Pfifo { limit } | RootQueue::Bfifo { limit } => batch.u32(libc::TCA_OPTIONS, limit),
        RootQueue::Tbf { rate, burst, limit } => batch.nest(libc::TCA_OPTIONS, |b| {
            let narrow = u32::try_from(rate).unwrap_or(u32::MAX);
            // `struct tc_tbf_qopt`: the rate, the peak rate, the limit, and two buckets that are told apart below.
            let mut parameters = [0; 36];
            parameters[1] = ETHERNET;
            parameters[8..12].copy_from_slice(&narrow.to_ne_bytes());
            parameters[24..28].copy_from_slice(&limit.to_ne_bytes());
            b.bytes(TBF_PARAMETERS, &parameters);
            b.u32(TBF_BURST, burst);
            if narrow == u32::MAX {
                b.u64(TBF_RATE_64, rate);
            }
        }),
    }
    Ok(())
}

pub(super) fn delete_filter(batch: &mut Batch, old: &OldFilter, names: &Names<'_>) -> Result<(), Error> {
    let information = u32::from(old.priority) << 16;
    // The kernel takes the root itself for the queueing discipline that stands there.
    let parent = if old.parent.0 == ROOT { 0 } else { old.parent.0 };
    batch.begin(DELETE_FILTER, 0, &header(names.link(&old.dev)?.0, parent, information));
    Ok(())
}

/// `struct tcmsg`.
fn header(link: u32, parent: u32, information: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header[16..20].copy_from_slice(&information.to_ne_bytes());
    header
}
