//! What the packet filter tells of the packets that a rule marked with `meta nftrace set 1`.
//!
//! The messages come to every socket that has joined [`TRACE_GROUP`] in the namespace.

use nsgate_core::model::ruleset::{TableFamily, TableId, Verdict};
use nsgate_core::model::{LinkIndex, NetnsName};
use nsgate_core::trace::{RuleEvent, RuleStep, TracedConnection};

use super::numbers::{data, message, trace};
use super::read;
use crate::netlink::{Attributes, Message};

/// The group that trace messages are sent to (NFNLGRP_NFTRACE).
pub const TRACE_GROUP: u32 = 9;

/// Reads a message of a namespace; none if it is of another kind, or makes no sense.
pub fn trace_event(message: &Message<'_>, netns: &NetnsName) -> Option<RuleEvent> {
    if message.kind != message::TRACE {
        return None;
    }
    let (header, attributes) = message.split::<4>()?;
    let text = |kind| attributes.find(kind)?.text();
    let step = match attributes.find(trace::KIND)?.be32()? {
        trace::RULE => RuleStep::Rule(attributes.find(trace::HANDLE)?.be64()?),
        trace::RETURN => RuleStep::Return,
        trace::POLICY => RuleStep::Policy,
        _ => return None,
    };
    let link = |kind| number(&attributes, kind).filter(|index| *index != 0).map(LinkIndex);
    let headers = [trace::NETWORK_HEADER, trace::TRANSPORT_HEADER];
    Some(RuleEvent {
        netns: netns.clone(),
        packet: number(&attributes, trace::ID)?,
        table: TableId::new(TableFamily::from_number(header[0])?, text(trace::TABLE)?),
        chain: text(trace::CHAIN)?.to_owned(),
        step,
        verdict: verdict(&attributes, step),
        entered: link(trace::ENTERED),
        left: link(trace::LEFT),
        mark: number(&attributes, trace::MARK).unwrap_or(0),
        bytes: headers.iter().filter_map(|kind| attributes.find(*kind)).flat_map(|a| a.value).copied().collect(),
        connection: connection(&attributes),
    })
}

/// A policy is told as a bare number, everything else as rules have it.
fn verdict(attributes: &Attributes<'_>, step: RuleStep) -> Option<Verdict> {
    if step != RuleStep::Policy {
        return read::verdict(&attributes.find(trace::VERDICT)?.nested());
    }
    match attributes.find(trace::POLICY_VERDICT)?.be32()? as i32 {
        data::DROP => Some(Verdict::Drop),
        data::ACCEPT => Some(Verdict::Accept),
        _ => None,
    }
}

fn connection(attributes: &Attributes<'_>) -> Option<TracedConnection> {
    Some(TracedConnection {
        id: number(attributes, trace::CONNECTION_ID)?,
        reply: attributes.find(trace::CONNECTION_DIRECTION).and_then(|a| a.u8()) == Some(1),
        state: number(attributes, trace::CONNECTION_STATE).unwrap_or(0),
        status: number(attributes, trace::CONNECTION_STATUS).unwrap_or(0),
    })
}

fn number(attributes: &Attributes<'_>, kind: u16) -> Option<u32> {
    attributes.find(kind)?.be32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        let netns = NetnsName::host();
        hostile::try_on(|sent| trace_event(&Message { kind: message::TRACE, ..*sent }, &netns));
    }
}
