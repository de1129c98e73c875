//! Addresses, routes, policy rules, neighbours and forwarding entries made, replaced and removed.

use nsgate_core::model::{Family, NeighbourState, RouteKind, Rule, RuleAction, Scope};
use nsgate_core::plan::{Change, Hop, NewAddress, NewForwarding, NewNeighbour, NewRoute};

use super::{Names, flags};
use crate::error::Error;
use crate::netlink::Batch;
use crate::rtnetlink::neighbour::state_number;
use crate::rtnetlink::numbers::{self as n, rule as r};
use crate::rtnetlink::route::{kind_number, scope_number};

pub(super) fn address(batch: &mut Batch, change: Change, new: &NewAddress, names: &Names<'_>) -> Result<(), Error> {
    let own = new.net.addr();
    let mut header = [0; 8];
    header[0] = n::family_number(Family::of(own));
    header[1] = new.net.prefix_len();
    header[3] = if own.is_loopback() { libc::RT_SCOPE_HOST } else { libc::RT_SCOPE_UNIVERSE };
    header[4..8].copy_from_slice(&names.link(&new.dev)?.0.to_ne_bytes());
    batch.begin(if change == Change::Delete { libc::RTM_DELADDR } else { libc::RTM_NEWADDR }, flags(change), &header);
    batch.address(libc::IFA_LOCAL, own);
    batch.address(libc::IFA_ADDRESS, new.peer.unwrap_or(own));
    if change == Change::Delete {
        return Ok(());
    }
    if let Some(broadcast) = new.broadcast {
        batch.address(libc::IFA_BROADCAST, broadcast);
    }
    let no_dad = if new.no_dad { libc::IFA_F_NODAD } else { 0 };
    let no_prefix_route = if new.no_prefix_route { libc::IFA_F_NOPREFIXROUTE } else { 0 };
    if no_dad | no_prefix_route != 0 {
        batch.u32(libc::IFA_FLAGS, no_dad | no_prefix_route);
    }
    if new.deprecated {
        // struct ifa_cacheinfo: preferred not at all, valid for ever; the two times are the kernel's to fill in.
        let lifetimes = [0, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat();
        batch.bytes(libc::IFA_CACHEINFO, &lifetimes);
    }
    if names.address_protocol != 0 {
        batch.u8(n::ADDRESS_PROTOCOL, names.address_protocol);
    }
    Ok(())
}

pub(super) fn route(batch: &mut Batch, change: Change, new: &NewRoute, names: &Names<'_>) -> Result<(), Error> {
    let devices = new.hops.iter().map(|hop| hop.dev.as_ref().map(|dev| names.link(dev).map(|i| i.0)).transpose());
    let devices = devices.collect::<Result<Vec<Option<u32>>, Error>>()?;
    let request = if change == Change::Delete { libc::RTM_DELROUTE } else { libc::RTM_NEWROUTE };
    batch.begin(request, flags(change), &route_header(change, new));
    // The header holds only the low byte of a table's number.
    batch.u32(libc::RTA_TABLE, new.table);
    if new.destination.prefix_len() > 0 {
        batch.address(libc::RTA_DST, new.destination.addr());
    }
    if new.metric != 0 {
        batch.u32(libc::RTA_PRIORITY, new.metric);
    }
    if let Some(source) = new.source {
        batch.address(libc::RTA_PREFSRC, source);
    }
    if let Some(mtu) = new.mtu {
        batch.nest(libc::RTA_METRICS, |b| b.u32(n::METRIC_MTU, mtu));
    }
    match (new.hops.as_slice(), devices.as_slice()) {
        ([hop], [device]) => {
            if let Some(device) = device {
                batch.u32(libc::RTA_OIF, *device);
            }
            gateway(batch, new.family(), hop);
        }
        ([], _) => {}
        (hops, devices) => batch.nest(libc::RTA_MULTIPATH, |b| {
            for (hop, device) in hops.iter().zip(devices) {
                write_hop(b, new.family(), hop, *device);
            }
        }),
    }
    Ok(())
}

/// `struct rtmsg`.
fn route_header(change: Change, new: &NewRoute) -> [u8; 12] {
    let on_link = matches!(new.hops.as_slice(), [hop] if hop.on_link);
    let mut header = [0; 12];
    header[0] = n::family_number(new.family());
    header[1] = new.destination.prefix_len();
    header[4] = u8::try_from(new.table).unwrap_or(libc::RT_TABLE_COMPAT);
    header[5] = new.protocol;
    header[6] = scope_number(new.effective_scope());
    header[7] = kind_number(new.kind);
    if change == Change::Delete {
        // What a removal does not name matches any, as `ip route del` has it.
        header[5] = if new.protocol == libc::RTPROT_BOOT { libc::RTPROT_UNSPEC } else { new.protocol };
        header[6] = scope_number(new.scope.unwrap_or(Scope::Nowhere));
        if new.kind == RouteKind::Unicast {
            header[7] = libc::RTN_UNSPEC;
        }
    }
    header[8..12].copy_from_slice(&if on_link { n::HOP_ON_LINK } else { 0 }.to_ne_bytes());
    header
}

/// `struct rtnexthop` with its gateway.
fn write_hop(batch: &mut Batch, family: Family, hop: &Hop, device: Option<u32>) {
    let mut inner = Batch::new();
    inner.begin(0, 0, &[]);
    gateway(&mut inner, family, hop);
    let attributes = inner.body();
    let mut header = [0; 8];
    header[0..2].copy_from_slice(&((8 + attributes.len()) as u16).to_ne_bytes());
    header[2] = if hop.on_link { n::HOP_ON_LINK as u8 } else { 0 };
    header[3] = hop.weight.saturating_sub(1).min(255) as u8;
    header[4..8].copy_from_slice(&device.unwrap_or(0).to_ne_bytes());
    batch.raw(&header);
    batch.raw(attributes);
}

fn gateway(batch: &mut Batch, family: Family, hop: &Hop) {
    let Some(via) = hop.via else { return };
    if Family::of(via) == family {
        batch.address(libc::RTA_GATEWAY, via);
        return;
    }
    let mut value = u16::from(n::family_number(Family::of(via))).to_ne_bytes().to_vec();
    match via {
        std::net::IpAddr::V4(v4) => value.extend_from_slice(&v4.octets()),
        std::net::IpAddr::V6(v6) => value.extend_from_slice(&v6.octets()),
    }
    batch.bytes(libc::RTA_VIA, &value);
}

pub(super) fn rule(batch: &mut Batch, change: Change, rule: &Rule) {
    let mut header = [0; 12];
    header[0] = n::family_number(rule.family);
    header[1] = rule.to.map_or(0, |net| net.prefix_len());
    header[2] = rule.from.map_or(0, |net| net.prefix_len());
    header[3] = rule.tos;
    header[7] = action_number(rule.action);
    header[8..12].copy_from_slice(&if rule.inverted { r::INVERTED } else { 0 }.to_ne_bytes());
    batch.begin(if change == Change::Delete { libc::RTM_DELRULE } else { libc::RTM_NEWRULE }, flags(change), &header);
    batch.u32(r::PRIORITY, rule.priority);
    match rule.action {
        RuleAction::Table(table) => batch.u32(r::TABLE, table),
        RuleAction::Goto(target) => batch.u32(r::GOTO, target),
        _ => {}
    }
    if let Some(from) = rule.from {
        batch.address(r::SOURCE, from.addr());
    }
    if let Some(to) = rule.to {
        batch.address(r::DESTINATION, to.addr());
    }
    conditions(batch, rule);
    if rule.made_by != 0 {
        batch.u8(r::MADE_BY, rule.made_by);
    }
}

fn conditions(batch: &mut Batch, rule: &Rule) {
    if let Some(iif) = &rule.iif {
        batch.text(r::IIF_NAME, iif.as_str());
    }
    if let Some(oif) = &rule.oif {
        batch.text(r::OIF_NAME, oif.as_str());
    }
    if let Some((mark, mask)) = rule.mark {
        batch.u32(r::MARK, mark);
        batch.u32(r::MARK_MASK, mask);
    }
    if let Some(protocol) = rule.protocol {
        batch.u8(r::TRANSPORT, protocol);
    }
    for (kind, ports) in [(r::SOURCE_PORTS, rule.source_ports), (r::DESTINATION_PORTS, rule.destination_ports)] {
        if let Some((first, last)) = ports {
            let [a, b] = first.to_ne_bytes();
            let [c, d] = last.to_ne_bytes();
            batch.bytes(kind, &[a, b, c, d]);
        }
    }
    if let Some((first, last)) = rule.users {
        batch.bytes(r::USERS, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
    }
    if rule.vrf {
        batch.u8(r::L3MDEV, 1);
    }
    if let Some(length) = rule.suppress_prefix_length {
        batch.u32(r::SUPPRESS_PREFIX_LENGTH, length);
    }
}

fn action_number(action: RuleAction) -> u8 {
    match action {
        RuleAction::Table(_) => r::TO_TABLE,
        RuleAction::Goto(_) => r::TO_RULE,
        RuleAction::Nop => r::NOTHING,
        RuleAction::Blackhole => r::BLACKHOLE,
        RuleAction::Unreachable => r::UNREACHABLE,
        RuleAction::Prohibit => r::PROHIBIT,
        RuleAction::Other(number) => number,
    }
}

pub(super) fn neighbour(batch: &mut Batch, change: Change, new: &NewNeighbour, names: &Names<'_>) -> Result<(), Error> {
    let state = if new.proxy { NeighbourState::None } else { new.state.unwrap_or(NeighbourState::Permanent) };
    let mut header = [0; 12];
    header[0] = n::family_number(Family::of(new.address));
    header[4..8].copy_from_slice(&names.link(&new.dev)?.0.to_ne_bytes());
    header[8..10].copy_from_slice(&state_number(state).to_ne_bytes());
    header[10] = if new.proxy { libc::NTF_PROXY } else { 0 };
    batch.begin(if change == Change::Delete { libc::RTM_DELNEIGH } else { libc::RTM_NEWNEIGH }, flags(change), &header);
    batch.address(libc::NDA_DST, new.address);
    if let Some(mac) = new.mac.filter(|_| change != Change::Delete) {
        batch.bytes(libc::NDA_LLADDR, &mac.0);
    }
    Ok(())
}

pub(super) fn forwarding(
    batch: &mut Batch,
    change: Change,
    new: &NewForwarding,
    names: &Names<'_>,
) -> Result<(), Error> {
    let of_bridge = new.remote.is_none();
    let state = if of_bridge { libc::NUD_NOARP } else { libc::NUD_PERMANENT };
    let mut header = [0; 12];
    header[0] = libc::AF_BRIDGE as u8;
    header[4..8].copy_from_slice(&names.link(&new.dev)?.0.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header[10] = if of_bridge { libc::NTF_MASTER } else { libc::NTF_SELF };
    batch.begin(if change == Change::Delete { libc::RTM_DELNEIGH } else { libc::RTM_NEWNEIGH }, flags(change), &header);
    batch.bytes(libc::NDA_LLADDR, &new.mac.0);
    if let Some(remote) = new.remote {
        batch.address(libc::NDA_DST, remote);
    }
    if let Some(vlan) = new.vlan {
        batch.u16(libc::NDA_VLAN, vlan);
    }
    Ok(())
}
