//! Named objects and flow tables.

use std::net::IpAddr;

use nsgate_core::model::ruleset::{FlowTable, Hook, Object, ObjectKind, TableFamily, Tunnel};
use rustix::io::Errno;

use super::super::numbers::object::tunnel;
use super::super::numbers::{chain, flow_table, message, object};
use super::super::user_data;
use super::{Owner, comment, expression, number, request, text};
use crate::error::Error;
use crate::netlink::{Attributes, Listing, Message, Socket};

/// Reads an object.
pub(super) fn read(message: &Message<'_>) -> Option<(Owner, Object)> {
    let (header, attributes) = message.split::<4>()?;
    let kind = attributes.find(object::KIND)?.be32()?;
    let data = attributes.find(object::DATA);
    let bytes = data.map_or(&[][..], |a| a.value);
    let read = Object {
        name: text(&attributes, object::NAME)?,
        handle: number(&attributes, object::HANDLE),
        kind: object_kind(kind, &Attributes::new(bytes))
            .unwrap_or_else(|| ObjectKind::Unknown { number: kind, attributes: bytes.to_vec() }),
        comment: comment(&attributes, object::USER_DATA, user_data::COMMENT),
    };
    Some(((TableFamily::from_number(header[0])?, text(&attributes, object::TABLE)?), read))
}

/// Reads all flow tables; a kernel without them has none.
pub(super) fn flow_tables(socket: &mut Socket) -> Result<Listing<(Owner, FlowTable)>, Error> {
    match socket.list(&mut request(message::GET_FLOW_TABLE), "nftables flow tables", read_flow_table) {
        Err(error) if matches!(error.errno(), Some(Errno::OPNOTSUPP | Errno::INVAL)) => {
            Ok(Listing { items: Vec::new(), unread: 0, consistent: true })
        }
        answer => answer,
    }
}

/// Reads a flow table.
pub(super) fn read_flow_table(message: &Message<'_>) -> Option<(Owner, FlowTable)> {
    let (header, attributes) = message.split::<4>()?;
    let family = TableFamily::from_number(header[0])?;
    let hook = attributes.find(flow_table::HOOK)?.nested();
    let flags = attributes.find(flow_table::FLAGS).and_then(|a| a.be32()).unwrap_or(0);
    let devices = hook.find(flow_table::HOOK_DEVICES).map(|d| d.nested()).unwrap_or_default();
    // The hook is counted as those of devices are, whatever the family of the table.
    let place = hook.find(flow_table::HOOK_NUMBER)?.be32()?;
    let read = FlowTable {
        name: text(&attributes, flow_table::NAME)?,
        handle: number(&attributes, flow_table::HANDLE),
        hook: Hook::from_number(TableFamily::Netdev, place)?,
        priority: hook.find(flow_table::HOOK_PRIORITY)?.be32()? as i32,
        devices: devices.filter(|d| d.kind == chain::DEVICE_NAME).filter_map(|d| d.text()?.parse().ok()).collect(),
        offload: flags & flow_table::FLAG_OFFLOAD != 0,
        counts: flags & flow_table::FLAG_COUNTER != 0,
    };
    Some(((family, text(&attributes, flow_table::TABLE)?), read))
}

/// What an object is; none if its attributes are not all there.
fn object_kind(kind: u32, attributes: &Attributes<'_>) -> Option<ObjectKind> {
    let stateful = |name| expression::named(name, attributes).map(ObjectKind::Stateful);
    let small = |kind| attributes.find(kind).and_then(|a| a.be16());
    let byte = |kind| attributes.find(kind).and_then(|a| a.u8());
    Some(match kind {
        object::COUNTER => stateful("counter")?,
        object::QUOTA => stateful("quota")?,
        object::LIMIT => stateful("limit")?,
        object::CONNECTION_LIMIT => stateful("connlimit")?,
        object::SYNPROXY => stateful("synproxy")?,
        object::CT_HELPER => {
            ObjectKind::CtHelper { helper: text(attributes, 1)?, network: small(2).unwrap_or(0), transport: byte(3)? }
        }
        object::CT_TIMEOUT => ObjectKind::CtTimeout {
            network: small(1).unwrap_or(0),
            transport: byte(2)?,
            seconds: attributes.find(3)?.nested().filter_map(|a| Some((a.kind, a.be32()?))).collect(),
        },
        object::CT_EXPECTATION => ObjectKind::CtExpectation {
            network: small(1).unwrap_or(0),
            transport: byte(2)?,
            port: small(3)?,
            // The one number here that the kernel keeps in its own byte order.
            timeout: attributes.find(4)?.u32()?,
            size: byte(5)?,
        },
        object::SECMARK => ObjectKind::Secmark { context: text(attributes, 1)? },
        object::TUNNEL => ObjectKind::Tunnel(read_tunnel(attributes)?),
        _ => return None,
    })
}

fn read_tunnel(attributes: &Attributes<'_>) -> Option<Tunnel> {
    let v4 = attributes.find(tunnel::IPV4).map(|a| a.nested()).unwrap_or_default();
    let v6 = attributes.find(tunnel::IPV6).map(|a| a.nested()).unwrap_or_default();
    let address = |kind| -> Option<IpAddr> { v4.find(kind).or_else(|| v6.find(kind))?.address() };
    let port = |kind| attributes.find(kind).and_then(|a| a.be16()).filter(|port| *port != 0);
    let byte = |kind| attributes.find(kind).and_then(|a| a.u8()).unwrap_or(0);
    Some(Tunnel {
        id: attributes.find(tunnel::ID)?.be32()?,
        source: address(tunnel::SOURCE),
        destination: address(tunnel::DESTINATION),
        source_port: port(tunnel::SOURCE_PORT),
        destination_port: port(tunnel::DESTINATION_PORT),
        tos: byte(tunnel::TOS),
        ttl: byte(tunnel::TTL),
        flags: attributes.find(tunnel::FLAGS).and_then(|a| a.be32()).unwrap_or(0),
        options: attributes.find(tunnel::OPTIONS).map_or(Vec::new(), |a| a.value.to_vec()),
    })
}
