//! The World: every namespace that was looked at.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::conntrack::Table;
use super::ruleset::Ruleset;
use super::{
    AttachedProgram, Family, ForwardingEntry, Link, LinkIndex, Listener, Neighbour, NeighbourTable, NetnsName,
    NexthopObject, Peer, Process, Program, Qdisc, Route, Rule, Setting, Sysctls, TrafficClass, TrafficFilter, Xfrm,
};

/// What is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct World {
    /// The namespaces, `host` first.
    pub namespaces: Vec<Namespace>,
    /// What belongs to the machine rather than to one of them.
    pub machine: Machine,
    /// What could not be read, and what that costs.
    pub limits: Vec<Limit>,
}

/// What all namespaces of a machine share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its neighbour tables, one a family.
    pub neighbour_tables: Vec<NeighbourTable>,
    /// BPF programs that may decide about packets and are attached to something else than an interface.
    pub programs: Vec<AttachedProgram>,
    /// The control group that nsgate itself runs in, as a path below the root of the unified hierarchy.
    pub control_group: Option<String>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The namespace it concerns; none: all of them.
    pub netns: Option<NetnsName>,
    /// What could not be read or watched.
    pub what: String,
    /// Why not, in the kernel's words where it has any.
    pub why: String,
}

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// What it is called.
    pub name: NetnsName,
    /// What else it is called: a namespace may have several names.
    pub aliases: Vec<NetnsName>,
    /// The inode number of the namespace: two names with one inode mean one namespace.
    pub inode: u64,
    /// The processes that are in it, where they were looked for: the smallest numbers, and not all of very many.
    pub processes: Vec<Process>,
    /// Its interfaces.
    pub links: Vec<Link>,
    /// Its routes of both families and all tables.
    pub routes: Vec<Route>,
    /// Its policy rules of both families, in the order they are asked.
    pub rules: Vec<Rule>,
    /// Its nexthop objects, which routes and forwarding entries name by number.
    pub nexthop_objects: Vec<NexthopObject>,
    /// Its neighbours and proxy entries.
    pub neighbours: Vec<Neighbour>,
    /// The forwarding databases of its bridges and VXLAN devices.
    pub forwarding: Vec<ForwardingEntry>,
    /// The queueing disciplines of its interfaces, but for interfaces that have no queue at all.
    pub qdiscs: Vec<Qdisc>,
    /// The classes of those that have classes.
    pub traffic_classes: Vec<TrafficClass>,
    /// Traffic control's filters, in the order of each place.
    pub traffic_filters: Vec<TrafficFilter>,
    /// BPF programs on its interfaces, those of traffic control's filters excepted.
    pub programs: Vec<Program>,
    /// Its kernel settings, those of single interfaces excepted (they stand in the links).
    pub sysctls: Sysctls,
    /// Its packet filter.
    pub ruleset: Ruleset,
    /// Its connection tracking; none where it is not loaded.
    pub conntrack: Option<Table>,
    /// Its IPsec policies and states.
    pub xfrm: Xfrm,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
}

impl World {
    /// The namespace of this name, which may be one of several that it has.
    pub fn namespace(&self, name: &NetnsName) -> Option<&Namespace> {
        self.namespaces.iter().find(|n| n.name == *name || n.aliases.contains(name))
    }

    /// What people call the namespace of this name.
    pub fn title<'a>(&'a self, name: &'a NetnsName) -> &'a NetnsName {
        self.namespace(name).map_or(name, Namespace::title)
    }

    /// The namespace and interface at the other end of a wire, if both are known.
    pub fn peer(&self, netns: &Namespace, link: &Link) -> Option<(&Namespace, &Link)> {
        let (there, index) = match &link.peer {
            Peer::Here(index) => (self.namespace(&netns.name)?, *index),
            Peer::There(name, index) => (self.namespace(name)?, *index),
            Peer::None | Peer::Hidden(_) => return None,
        };
        Some((there, there.link(index)?))
    }
}

impl Namespace {
    /// An empty namespace of this name, to be filled.
    pub fn new(name: NetnsName, inode: u64) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            inode,
            processes: Vec::new(),
            links: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            nexthop_objects: Vec::new(),
            neighbours: Vec::new(),
            forwarding: Vec::new(),
            qdiscs: Vec::new(),
            traffic_classes: Vec::new(),
            traffic_filters: Vec::new(),
            programs: Vec::new(),
            sysctls: Sysctls::default(),
            ruleset: Ruleset::default(),
            conntrack: None,
            xfrm: Xfrm::default(),
            listeners: Vec::new(),
        }
    }

    /// What people call it: a container's name says more than a number, or than a name that a machine made up.
    pub fn title(&self) -> &NetnsName {
        let of_container = self.aliases.iter().find(|alias| alias.container().is_some());
        of_container.filter(|_| !self.name.is_host() && !self.name.is_chosen()).unwrap_or(&self.name)
    }

    /// The interface of this number.
    pub fn link(&self, index: LinkIndex) -> Option<&Link> {
        self.links.iter().find(|l| l.index == index)
    }

    /// The interface of this name.
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|l| l.name.as_str() == name)
    }

    /// The interface that holds this address.
    pub fn holder(&self, address: IpAddr) -> Option<&Link> {
        self.links.iter().find(|l| l.holds(address))
    }

    /// The value of a setting for all interfaces (`net.ipv4.conf.all.*`).
    pub fn setting_of_all(&self, family: Family, setting: Setting) -> Option<i64> {
        let name = super::Sysctl::of_all(family, setting.name(family)?);
        self.sysctls.number(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_called_by_its_name_unless_somebody_named_its_namespace() {
        let uuid = "3ebd6a47-a205-549e-cf05-a65e4281dbff";
        let (made_up, other) = (format!("netns-{uuid}"), format!("cni-{uuid}"));
        for (name, title) in [
            (&*made_up, "podman:web"),
            (&*other, "podman:web"),
            (uuid, "podman:web"),
            ("pid:7", "podman:web"),
            ("/run/docker/netns/5e1f", "podman:web"),
            ("blue", "blue"),
            ("host", "host"),
            ("netns-3ebd6a47-a205-549e-cf05-a65e4281dbfg", "netns-3ebd6a47-a205-549e-cf05-a65e4281dbfg"),
        ] {
            let mut world = World::default();
            let mut netns = Namespace::new(name.parse().unwrap(), 1);
            assert_eq!(netns.title().as_str(), name, "no other name is known");
            netns.aliases = vec!["/run/netns/x".parse().unwrap(), "podman:web".parse().unwrap()];
            world.namespaces.push(netns);
            for asked in [name, "podman:web"] {
                assert_eq!(world.title(&asked.parse().unwrap()).as_str(), title);
            }
        }
    }
}
