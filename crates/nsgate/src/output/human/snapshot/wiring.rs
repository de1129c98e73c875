//! Who is wired to whom, as a tree that begins at the host: interfaces, what hangs on them, and the namespaces that
//! their wires lead to. Every interface stands in it once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use nsgate_core::model::{Link, LinkIndex, LinkKind, Namespace, NetnsName, Peer, World};

use super::printable;

/// Branches deeper than this begin a tree of their own, so that lines stay short.
const DEEPEST: usize = 8;

/// An interface: its namespace's place in the World, and its own place in the namespace.
type Place = (usize, usize);

/// The tree of the whole World; one tree for each part that no known wire connects with the others.
pub(super) fn show(world: &World) -> String {
    let mut tree = Tree::new(world);
    let mut text = String::new();
    for root in 0..world.namespaces.len() {
        if tree.visited.insert(root) {
            let _ = writeln!(text, "  {}", world.namespaces[root].title());
            tree.branches(root, &tree.tops(root), "  ", 0, &mut text);
        }
    }
    text
}

struct Tree<'a> {
    world: &'a World,
    namespaces: BTreeMap<&'a NetnsName, usize>,
    links: BTreeMap<(usize, LinkIndex), usize>,
    /// What hangs on an interface: the ports of a bridge, the devices stacked on a lower one.
    hanging: BTreeMap<Place, Vec<Place>>,
    /// Those that hang on another.
    hung: BTreeSet<Place>,
    visited: BTreeSet<usize>,
    shown: BTreeSet<Place>,
}

impl<'a> Tree<'a> {
    fn new(world: &'a World) -> Self {
        let numbered = || world.namespaces.iter().enumerate();
        let mut namespaces = BTreeMap::new();
        for (place, namespace) in numbered().rev() {
            namespaces.extend(namespace.aliases.iter().map(|alias| (alias, place)));
            namespaces.insert(&namespace.name, place);
        }
        let links = numbered().flat_map(|(netns, namespace)| {
            namespace.links.iter().enumerate().map(move |(link, of)| ((netns, of.index), link))
        });
        let mut tree = Self {
            world,
            namespaces,
            links: links.collect(),
            hanging: BTreeMap::new(),
            hung: BTreeSet::new(),
            visited: BTreeSet::new(),
            shown: BTreeSet::new(),
        };
        let places =
            numbered().flat_map(|(netns, namespace)| (0..namespace.links.len()).map(move |link| (netns, link)));
        for place in places {
            if let Some(below) = tree.hangs_on(place) {
                tree.hanging.entry(below).or_default().push(place);
                tree.hung.insert(place);
            }
        }
        tree
    }

    /// The interfaces of a namespace that no other one holds.
    fn tops(&self, netns: usize) -> Vec<Place> {
        let links = self.world.namespaces[netns].links.iter().enumerate();
        let shown = links.filter(|(_, link)| link.kind != LinkKind::Loopback).map(|(place, _)| (netns, place));
        shown.filter(|place| !self.hung.contains(place)).collect()
    }

    /// Writes these interfaces, met in the namespace `home`, and whatever they lead to that was not shown yet.
    fn branches(&mut self, home: usize, places: &[Place], margin: &str, depth: usize, text: &mut String) {
        let fresh: Vec<Place> = places.iter().copied().filter(|place| self.claim(*place)).collect();
        for (at, place) in fresh.iter().enumerate() {
            let (fork, rail) = if at + 1 == fresh.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let _ = writeln!(text, "{margin}{fork}{}", self.row(home, *place));
            let margin = format!("{margin}{rail}");
            let hanging = self.hanging.get(place).cloned().unwrap_or_default();
            if depth == DEEPEST && !hanging.is_empty() {
                let _ = writeln!(text, "{margin}└─ …");
            } else if depth < DEEPEST {
                self.branches(place.0, &hanging, &margin, depth + 1, text);
                let there = self.far_end(*place).map_or(place.0, |far| far.0);
                if self.visited.insert(there) {
                    self.branches(there, &self.tops(there), &margin, depth + 1, text);
                }
            }
        }
    }

    /// Whether an interface has not been shown; from now on it has, and so has the other end of its wire.
    fn claim(&mut self, place: Place) -> bool {
        let fresh = self.shown.insert(place);
        self.shown.extend(self.far_end(place));
        fresh
    }

    /// One interface in words.
    fn row(&self, home: usize, place: Place) -> String {
        let link = self.link(place);
        let elsewhere = if place.0 == home { String::new() } else { format!(" in {}", self.netns(place).title()) };
        let kind = match &link.kind {
            LinkKind::Bridge(_) => " (bridge)".to_owned(),
            LinkKind::Macvlan { mode } => format!(" (macvlan, {})", printable(mode)),
            LinkKind::Vlan { id } => format!(" (VLAN {id})"),
            LinkKind::Vrf { table } => format!(" (VRF, table {table})"),
            LinkKind::Vxlan { vni, .. } => format!(" (VXLAN {vni})"),
            LinkKind::Other(kind) => format!(" ({})", printable(kind)),
            LinkKind::Loopback | LinkKind::Veth | LinkKind::Tun | LinkKind::Physical => String::new(),
        };
        format!("{}{elsewhere}{kind}{}", link.name, self.leads_to(place))
    }

    /// Where an interface leads, unless what stands around it in the tree says so.
    fn leads_to(&self, place: Place) -> String {
        let link = self.link(place);
        match (&link.kind, self.far_end(place)) {
            (_, Some(far)) if far.0 == place.0 => format!(" ── {}", self.link(far).name),
            (_, Some(far)) => {
                let bridge = self.link(far).master.and_then(|master| self.netns(far).link(master));
                let bridge = bridge.map(|bridge| format!(" on {}", bridge.name)).unwrap_or_default();
                format!(" ── {}{bridge} in {}", self.link(far).name, self.netns(far).title())
            }
            (LinkKind::Physical, _) => " ── outside".into(),
            (LinkKind::Tun, _) => match &link.process {
                Some(process) => format!(" ── {} ({})", printable(&process.name), process.pid),
                None => " ── a process".into(),
            },
            (LinkKind::Vxlan { remote: Some(remote), .. }, _) => format!(" ── {remote}"),
            (LinkKind::Veth, _) => " ── out of sight".into(),
            _ if matches!(link.peer, Peer::Hidden(_)) => ", on what is out of sight".into(),
            _ if link.master.is_some() => self.peer(place).map_or_else(String::new, |lower| {
                format!(", on {} in {}", self.link(lower).name, self.netns(lower).title())
            }),
            _ => String::new(),
        }
    }

    /// The other end of a wire.
    fn far_end(&self, place: Place) -> Option<Place> {
        self.peer(place).filter(|_| self.link(place).kind == LinkKind::Veth)
    }

    /// The interface that another one is a port of, or is stacked on.
    fn hangs_on(&self, place: Place) -> Option<Place> {
        let link = self.link(place);
        let below = match link.master.and_then(|master| self.find(place.0, master)) {
            None if link.kind == LinkKind::Veth => None,
            None => self.peer(place),
            master => master,
        };
        below.filter(|below| *below != place)
    }

    /// What an interface names as its other end or lower device.
    fn peer(&self, place: Place) -> Option<Place> {
        match &self.link(place).peer {
            Peer::Here(index) => self.find(place.0, *index),
            Peer::There(netns, index) => self.find(*self.namespaces.get(netns)?, *index),
            Peer::None | Peer::Hidden(_) => None,
        }
    }

    fn find(&self, netns: usize, link: LinkIndex) -> Option<Place> {
        self.links.get(&(netns, link)).map(|link| (netns, *link))
    }

    fn netns(&self, place: Place) -> &'a Namespace {
        &self.world.namespaces[place.0]
    }

    fn link(&self, place: Place) -> &'a Link {
        &self.netns(place).links[place.1]
    }
}
