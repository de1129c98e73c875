//! Wires that lead out of a gateway: to a bridge of somebody else's, or to another gateway.

use std::net::IpAddr;

use super::floating::floating_on;
use super::routes::{End, everything, given, ours};
use super::wires::with_link_local;
use super::{Builder, Site};
use crate::model::{Family, LinkKind, LinkName, NetnsName};
use crate::plan::link::{NewKind, NewLink, VethPeer};
use crate::plan::mark::{self, Mark};
use crate::plan::step::{Action, NewRoute};
use crate::spec::{WantedGateway, WantedUplink, WantedWire, names};

impl<'a> Builder<'a> {
    /// The wires that lead out of a gateway, with addresses and routes at both ends.
    pub(super) fn uplinks(&mut self, site: Site<'a>) {
        for uplink in &site.gateway.uplinks {
            if let Some(wire) = &uplink.wire {
                self.uplink(site, &uplink.interface, wire);
                let ends = self.uplink_ends(site, uplink, wire);
                self.stray_routes(&ends);
                for end in &ends {
                    let there = self.standing(&end.netns, &end.dev);
                    self.addresses(&end.netns, there, &end.addresses);
                }
                self.missing_routes(&ends);
            }
        }
    }

    fn uplink(&mut self, site: Site<'a>, name: &LinkName, wire: &'a WantedWire) {
        let netns = &site.gateway.netns;
        let mark = uplink_mark(&self.wanted.instance, site.gateway, wire);
        let near = self.standing(netns, name);
        let far = self.standing(&wire.peer_netns, &wire.peer_interface);
        if near.is_none() {
            let mac = |end: &str| {
                let whole = format!("{} {end}", wire.to);
                Some(names::mac(&self.wanted.instance, &format!("@{}", site.gateway.name), Some(&whole)))
            };
            let peer = VethPeer {
                mac: mac("own"),
                mtu: Some(wire.mtu),
                group: mark::GROUP,
                ..VethPeer::new(name.clone(), Some(netns.clone()))
            };
            let new = NewLink {
                mac: mac("other"),
                mtu: Some(wire.mtu),
                group: mark::GROUP,
                ..NewLink::new(wire.peer_interface.clone(), NewKind::Veth(peer))
            };
            self.push(&wire.peer_netns, Action::AddLink(new));
            self.no_link_local(wire.mtu, &wire.peer_netns, &wire.peer_interface);
            self.no_link_local(wire.mtu, netns, name);
        }
        let there = far.and_then(|_| self.world.namespace(&wire.peer_netns));
        self.mark(&wire.peer_netns, there, &wire.peer_interface, &mark);
        self.mark(netns, near.map(|_| site.home), name, &mark);
        self.mtu(&wire.peer_netns, far, &wire.peer_interface, wire.mtu);
        self.mtu(netns, near, name, wire.mtu);
        self.master(&wire.peer_netns, far, &wire.peer_interface, wire.bridge.as_ref());
        self.up(&wire.peer_netns, far, &wire.peer_interface);
        self.up(netns, near, name);
    }

    /// What is wanted at both ends: the other end's first.
    fn uplink_ends(&self, site: Site<'a>, uplink: &WantedUplink, wire: &WantedWire) -> [End; 2] {
        let outer = self.wanted.gateways.iter().find(|gateway| gateway.netns == wire.peer_netns);
        let outer = outer.filter(|_| wire.bridge.is_none());
        let transit = outer.and_then(|outer| outer.transits.iter().find(|one| one.interface == wire.peer_interface));
        let behind = transit.into_iter().flat_map(|transit| &transit.behind);
        let mut back: Vec<NewRoute> =
            behind.map(|(net, by)| ours(NewRoute::through(*net, *by, wire.peer_interface.clone()))).collect();
        back.extend(outer.into_iter().flat_map(|outer| given(&outer.routes, &wire.peer_interface)));
        let default = |via: &IpAddr| {
            let route = NewRoute::through(everything(Family::of(*via)), *via, uplink.interface.clone());
            ours(NewRoute { metric: wire.metric, ..route })
        };
        let mut out: Vec<NewRoute> = wire.via.iter().map(default).collect();
        out.extend(given(&site.gateway.routes, &uplink.interface));
        let far = End {
            netns: wire.peer_netns.clone(),
            dev: wire.peer_interface.clone(),
            addresses: with_link_local(&wire.peer_interface, &wire.peer_addresses, false),
            routes: back,
        };
        let mut own = with_link_local(&uplink.interface, &wire.addresses, false);
        own.extend(floating_on(site.gateway, &uplink.interface).map(|(_, address)| address));
        let near =
            End { netns: site.gateway.netns.clone(), dev: uplink.interface.clone(), addresses: own, routes: out };
        [far, near]
    }

    /// The ends of the wires out of a gateway that stand as they are wanted.
    pub(super) fn standing_uplinks(&self, gateway: &WantedGateway) -> Vec<(NetnsName, LinkName)> {
        let mut ends = Vec::new();
        let Some(home) = self.world.namespace(&gateway.netns) else { return ends };
        for uplink in &gateway.uplinks {
            let Some(wire) = &uplink.wire else { continue };
            let mark = Some(uplink_mark(&self.wanted.instance, gateway, wire));
            let Some(near) = home.link_named(uplink.interface.as_str()) else { continue };
            let Some((there, far)) = self.world.peer(home, near) else { continue };
            let plugged = there.name == wire.peer_netns && far.name == wire.peer_interface;
            if plugged && near.kind == LinkKind::Veth && mark::of_link(near) == mark {
                ends.push((home.name.clone(), near.name.clone()));
                ends.push((there.name.clone(), far.name.clone()));
            }
        }
        ends
    }
}

/// The mark of a wire that leads out of a gateway.
fn uplink_mark(instance: &str, gateway: &WantedGateway, wire: &WantedWire) -> Mark {
    Mark::uplink(instance, &gateway.name, &wire.to)
}
