//! Interfaces made, changed and removed.

use nsgate_core::model::{LinkIndex, LinkName};
use nsgate_core::plan::{Change, LinkSetting, NewKind, NewLink, VethPeer, Vxlan};

use super::{Names, flags};
use crate::error::Error;
use crate::netlink::Batch;
use crate::rtnetlink::numbers::{self as n, link_header};

pub(super) fn add(batch: &mut Batch, new: &NewLink, names: &Names<'_>) -> Result<(), Error> {
    let parent = new.kind.parent().map(|parent| names.link(parent)).transpose()?;
    let peer_netns = match &new.kind {
        NewKind::Veth(VethPeer { netns: Some(netns), .. }) => Some(names.netns(netns)?),
        _ => None,
    };
    let index = names.links.get(&new.name).map_or(0, |index| index.0);
    batch.begin(libc::RTM_NEWLINK, flags(Change::Add), &link_header(index, 0, 0));
    batch.text(libc::IFLA_IFNAME, new.name.as_str());
    end(batch, new.mtu, new.mac, new.group, new.queues);
    if let (Some(parent), NewKind::Macvlan { .. } | NewKind::Vlan { .. }) = (parent, &new.kind) {
        batch.u32(libc::IFLA_LINK, parent.0);
    }
    batch.nest(libc::IFLA_LINKINFO, |b| {
        b.text(libc::IFLA_INFO_KIND, new.kind.name());
        b.nest(libc::IFLA_INFO_DATA, |b| match &new.kind {
            NewKind::Veth(peer) => write_peer(b, peer, peer_netns, names),
            NewKind::Vxlan(vxlan) => write_vxlan(b, vxlan, parent),
            NewKind::Bridge { vlan_filtering, spanning_tree } => {
                // What is off is not mentioned: a kernel without VLAN filtering refuses even to be told so.
                if *vlan_filtering {
                    b.u8(n::BRIDGE_VLAN_FILTERING, 1);
                }
                b.u32(n::BRIDGE_STP_STATE, u32::from(*spanning_tree));
            }
            NewKind::Macvlan { mode, .. } => {
                let mode = n::MACVLAN_MODES.iter().find(|(_, name)| *name == mode.name());
                b.u32(n::MACVLAN_MODE, mode.map_or(0, |(number, _)| *number));
            }
            NewKind::Vlan { id, .. } => b.u16(n::VLAN_ID, *id),
            NewKind::Vrf { table } => b.u32(n::VRF_TABLE, *table),
            NewKind::Dummy | NewKind::Ifb => {}
        });
    });
    Ok(())
}

pub(super) fn delete(batch: &mut Batch, name: &LinkName) {
    batch.begin(libc::RTM_DELLINK, 0, &link_header(0, 0, 0));
    batch.text(libc::IFLA_IFNAME, name.as_str());
}

pub(super) fn delete_group(batch: &mut Batch, group: u32) {
    batch.begin(libc::RTM_DELLINK, 0, &link_header(0, 0, 0));
    batch.u32(libc::IFLA_GROUP, group);
}

pub(super) fn set(batch: &mut Batch, name: &LinkName, setting: &LinkSetting, names: &Names<'_>) -> Result<(), Error> {
    let of_name = |batch: &mut Batch, flags, change| {
        batch.begin(libc::RTM_NEWLINK, 0, &link_header(0, flags, change));
        batch.text(libc::IFLA_IFNAME, name.as_str());
    };
    let flag = |batch: &mut Batch, flag: i32, on: bool| {
        of_name(batch, if on { flag as u32 } else { 0 }, flag as u32);
    };
    match setting {
        LinkSetting::Up(up) => flag(batch, libc::IFF_UP, *up),
        LinkSetting::Arp(resolves) => flag(batch, libc::IFF_NOARP, !*resolves),
        LinkSetting::Promiscuous(on) => flag(batch, libc::IFF_PROMISC, *on),
        LinkSetting::Name(new) => {
            batch.begin(libc::RTM_NEWLINK, 0, &link_header(names.link(name)?.0, 0, 0));
            batch.text(libc::IFLA_IFNAME, new.as_str());
        }
        LinkSetting::Isolated(on) => set_port(batch, names.link(name)?, n::PORT_ISOLATED, u8::from(*on)),
        LinkSetting::Hairpin(on) => set_port(batch, names.link(name)?, n::PORT_HAIRPIN, u8::from(*on)),
        LinkSetting::Learning(on) => set_port(batch, names.link(name)?, n::PORT_LEARNING, u8::from(*on)),
        LinkSetting::State(state) => set_port(batch, names.link(name)?, n::PORT_STATE, state.number()),
        other => {
            of_name(batch, 0, 0);
            set_attribute(batch, other, names)?;
        }
    }
    Ok(())
}

/// Those settings that are one attribute of the link message.
fn set_attribute(batch: &mut Batch, setting: &LinkSetting, names: &Names<'_>) -> Result<(), Error> {
    match setting {
        LinkSetting::Master(None) => batch.u32(libc::IFLA_MASTER, 0),
        LinkSetting::Master(Some(master)) => batch.u32(libc::IFLA_MASTER, names.link(master)?.0),
        LinkSetting::Mtu(mtu) => batch.u32(libc::IFLA_MTU, *mtu),
        LinkSetting::Mac(mac) => batch.bytes(libc::IFLA_ADDRESS, &mac.0),
        // Without the closing zero: an empty value takes the alias away.
        LinkSetting::Alias(alias) => {
            batch.bytes(libc::IFLA_IFALIAS, alias.as_deref().unwrap_or_default().as_bytes());
        }
        LinkSetting::Group(group) => batch.u32(libc::IFLA_GROUP, *group),
        LinkSetting::Netns(netns) => batch.u32(libc::IFLA_NET_NS_FD, names.netns(netns)? as u32),
        LinkSetting::LinkLocalAddress(on) => batch.nest(libc::IFLA_AF_SPEC, |b| {
            b.nest(libc::AF_INET6 as u16, |b| {
                b.u8(n::INET6_ADDR_GEN_MODE, if *on { n::ADDR_GEN_EUI64 } else { n::ADDR_GEN_NONE });
            });
        }),
        LinkSetting::NoXdp(mode) => batch.nest(libc::IFLA_XDP, |b| {
            b.u32(n::XDP_FILE, u32::MAX);
            b.u32(n::XDP_FLAGS, n::XDP_MODES.iter().find(|(m, _)| m == mode).map_or(0, |(_, flag)| *flag));
        }),
        LinkSetting::SpanningTree(on) => batch.nest(libc::IFLA_LINKINFO, |b| {
            b.text(libc::IFLA_INFO_KIND, "bridge");
            b.nest(libc::IFLA_INFO_DATA, |b| b.u32(n::BRIDGE_STP_STATE, u32::from(*on)));
        }),
        LinkSetting::VlanFiltering(on) => batch.nest(libc::IFLA_LINKINFO, |b| {
            b.text(libc::IFLA_INFO_KIND, "bridge");
            b.nest(libc::IFLA_INFO_DATA, |b| b.u8(n::BRIDGE_VLAN_FILTERING, u8::from(*on)));
        }),
        _ => {}
    }
    Ok(())
}

/// A setting of a bridge port.
fn set_port(batch: &mut Batch, port: LinkIndex, setting: u16, value: u8) {
    let mut header = link_header(port.0, 0, 0);
    header[0] = libc::AF_BRIDGE as u8;
    batch.begin(libc::RTM_SETLINK, 0, &header);
    batch.nest(libc::IFLA_PROTINFO, |b| b.u8(setting, value));
}

/// What both ends of a wire, and any other new interface, can be given.
fn end(batch: &mut Batch, mtu: Option<u32>, mac: Option<nsgate_core::model::Mac>, group: u32, queues: Option<u32>) {
    if let Some(mtu) = mtu {
        batch.u32(libc::IFLA_MTU, mtu);
    }
    if let Some(mac) = mac {
        batch.bytes(libc::IFLA_ADDRESS, &mac.0);
    }
    if group != 0 {
        batch.u32(libc::IFLA_GROUP, group);
    }
    if let Some(queues) = queues {
        batch.u32(libc::IFLA_NUM_TX_QUEUES, queues);
        batch.u32(libc::IFLA_NUM_RX_QUEUES, queues);
    }
}

fn write_peer(batch: &mut Batch, peer: &VethPeer, netns: Option<i32>, names: &Names<'_>) {
    let made_here = names.links.get(&peer.name);
    let made_there = peer.netns.as_ref().and_then(|netns| names.peers.get(&(netns.clone(), peer.name.clone())));
    let index = if peer.netns.is_none() { made_here } else { made_there };
    batch.nest(n::VETH_PEER, |b| {
        b.raw(&link_header(index.map_or(0, |index| index.0), 0, 0));
        b.text(libc::IFLA_IFNAME, peer.name.as_str());
        end(b, peer.mtu, peer.mac, peer.group, peer.queues);
        if let Some(netns) = netns {
            b.u32(libc::IFLA_NET_NS_FD, netns as u32);
        }
    });
}

fn write_vxlan(batch: &mut Batch, vxlan: &Vxlan, device: Option<LinkIndex>) {
    batch.u32(n::VXLAN_ID, vxlan.id);
    if let Some(device) = device {
        batch.u32(n::VXLAN_LINK, device.0);
    }
    if let Some(remote) = vxlan.remote {
        batch.address(if remote.is_ipv4() { n::VXLAN_GROUP } else { n::VXLAN_GROUP6 }, remote);
    }
    if let Some(local) = vxlan.local {
        batch.address(if local.is_ipv4() { n::VXLAN_LOCAL } else { n::VXLAN_LOCAL6 }, local);
    }
    batch.be16(n::VXLAN_PORT, vxlan.port);
    batch.u8(n::VXLAN_LEARNING, u8::from(vxlan.learning));
}
