//! What stands of each instance, by the marks alone.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::mark;
use crate::model::{Link, LinkName, Namespace, NetnsName, World};

/// What stands of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Its networks by name.
    pub networks: BTreeMap<String, StandingNetwork>,
    /// The namespaces that it made.
    pub namespaces: Vec<NetnsName>,
    /// Whether it has an nftables table in the gateway's namespace.
    pub translates: bool,
}

/// What stands of one network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandingNetwork {
    /// Its bridge.
    pub bridge: Option<LinkName>,
    /// Its members.
    pub members: Vec<StandingMember>,
}

/// What stands of one member.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingMember {
    /// Its namespace.
    pub netns: NetnsName,
    /// Its interface.
    pub interface: LinkName,
    /// The gateway's end of its wire, if it is there.
    pub gateway_interface: Option<LinkName>,
    /// Its addresses, those that its interface gave itself left out.
    pub addresses: Vec<IpNet>,
    /// Whether both ends of its wire are up.
    pub up: bool,
}

/// What stands of every instance, by its name.
pub fn inventory(world: &World) -> BTreeMap<String, Inventory> {
    let mut found: BTreeMap<String, Inventory> = BTreeMap::new();
    for instance in super::instances(world) {
        found.insert(instance, Inventory::default());
    }
    for netns in &world.namespaces {
        if let Some(mark) = mark::of_namespace(netns) {
            found.entry(mark.instance().into()).or_default().namespaces.push(netns.name.clone());
        }
        for instance in netns.ruleset.tables.iter().filter_map(mark::instance_of_table) {
            found.entry(instance.into()).or_default().translates = true;
        }
        for link in &netns.links {
            note(&mut found, world, netns, link);
        }
    }
    found
}

fn note(found: &mut BTreeMap<String, Inventory>, world: &World, netns: &Namespace, link: &Link) {
    let Some(mark) = mark::of_link(link) else { return };
    let Some(name) = mark.network_name() else { return };
    let network = found.entry(mark.instance().into()).or_default().networks.entry(name.into()).or_default();
    match mark.member_name() {
        None => network.bridge = Some(link.name.clone()),
        Some(member) if member == netns.name.as_str() => {
            let far = world.peer(netns, link).map(|(_, end)| end);
            network.members.push(StandingMember {
                netns: netns.name.clone(),
                interface: link.name.clone(),
                gateway_interface: far.map(|end| end.name.clone()),
                addresses: link.addresses.iter().map(|a| a.net).filter(|net| !link_local(*net)).collect(),
                up: link.usable() && far.is_some_and(Link::usable),
            });
        }
        // The gateway's end is told with the member's.
        Some(_) => {}
    }
}

fn link_local(net: IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}
