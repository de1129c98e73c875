//! A step as the line that an operator would type in a shell of the namespace nsgate was started in.

use std::fmt::{self, Display, Formatter, Write};
use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_packet::Flow;

use super::link::{LinkSetting, NewKind, NewLink, VethPeer, Vxlan};
use super::step::{Action, Change, Hop, NewAddress, NewForwarding, NewNeighbour, NewRoute, PROTOCOL_BOOT, Step};
use super::traffic_control::RootQueue;
use super::words::quoted;
use crate::model::{
    Family, LinkName, NeighbourState, NetnsName, RouteKind, Rule, RuleAction, Scope, TABLE_DEFAULT, TABLE_LOCAL,
    TABLE_MAIN,
};

/// The words that `ip link add` and `ip link set` take in the place of an interface name.
///
/// They may be abbreviated, so an interface whose name begins one of them is introduced by `dev` or `name`.
const LINK_WORDS: &[&str] = &[
    "address",
    "addrgenmode",
    "alias",
    "allmulticast",
    "arp",
    "brd",
    "broadcast",
    "carrier",
    "dev",
    "down",
    "dynamic",
    "group",
    "help",
    "index",
    "link",
    "link-netns",
    "link-netnsid",
    "master",
    "mode",
    "mtu",
    "multicast",
    "name",
    "netns",
    "nomaster",
    "numrxqueues",
    "numtxqueues",
    "parentdev",
    "promisc",
    "protodown",
    "qlen",
    "state",
    "trailers",
    "txqlen",
    "txqueuelen",
    "type",
    "up",
    "vf",
    "vrf",
    "xdp",
];

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let netns = &self.netns;
        match &self.action {
            Action::AddNetns(name) => write!(f, "{} netns add {}", Tool("ip", netns), quoted(name.as_str())),
            Action::DeleteNetns(name) => write!(f, "{} netns del {}", Tool("ip", netns), quoted(name.as_str())),
            Action::AddLink(link) => write!(f, "{} link add {link}", Tool("ip", netns)),
            Action::DeleteLink { name, .. } => {
                write!(f, "{} link del {}", Tool("ip", netns), Positional(name, "dev"))
            }
            Action::DeleteGroup(group) => write!(f, "{} link del group {group}", Tool("ip", netns)),
            Action::SetLink { name, setting, .. } => show_setting(f, netns, name, setting),
            Action::Address(change, address) => write!(f, "{} addr {change} {address}", Tool("ip", netns)),
            Action::Route(change, route) => {
                write!(f, "{}{} route {change} {route}", Tool("ip", netns), Six(route.family()))
            }
            Action::Rule(change, rule) => {
                write!(f, "{}{} rule {change} {}", Tool("ip", netns), Six(rule.family), RuleWords(rule))
            }
            Action::Neighbour(change, entry) => write!(f, "{} neigh {change} {entry}", Tool("ip", netns)),
            Action::Forwarding(change, entry) => write!(f, "{} fdb {change} {entry}", Tool("bridge", netns)),
            Action::SetQueue { dev, queue, .. } => {
                let (verb, dev) = (if *queue == RootQueue::Usual { "del" } else { "replace" }, quoted(dev.as_str()));
                write!(f, "{} qdisc {verb} dev {dev} root", Tool("tc", netns))?;
                if *queue == RootQueue::Usual { Ok(()) } else { write!(f, " {queue}") }
            }
            Action::DeleteFilter(old) => {
                write!(f, "{} filter del dev {} {old}", Tool("tc", netns), quoted(old.dev.as_str()))
            }
            Action::Policy(change, policy) => {
                let policy = if *change == Change::Delete { policy.key() } else { policy.clone() };
                write!(f, "{} xfrm policy {} {policy}", Tool("ip", netns), policy_verb(*change))
            }
            Action::Forget(flow) => show_connection(f, netns, flow),
            Action::ForgetFrom(source) => {
                let family = if source.is_ipv4() { "" } else { " -f ipv6" };
                write!(f, "{} -D{family} --orig-src {source}", Tool("conntrack", netns))
            }
            Action::Iptables(change, rule) => {
                let table = match rule.table.as_str() {
                    "filter" => String::new(),
                    table => format!("-t {} ", quoted(table)),
                };
                write!(f, "{} {table}{} {rule}", Tool(rule.program(), netns), change.words(&rule.chain))
            }
            Action::Nft { commands, .. } => {
                let lines = crate::model::ruleset::lines(commands);
                write!(f, "{} {}", Tool("nft", netns), quoted(&lines.join("; ")))
            }
            Action::Sysctl { name, value, .. } => {
                write!(f, "{} -w {}={}", Tool("sysctl", netns), quoted(name.as_str()), quoted(value))
            }
        }
    }
}

/// The verbs of `ip xfrm`, where `del` is short for nothing.
fn policy_verb(change: Change) -> &'static str {
    match change {
        Change::Add => "add",
        Change::Replace => "update",
        Change::Delete => "delete",
    }
}

fn show_connection(f: &mut Formatter<'_>, netns: &NetnsName, flow: &Flow) -> fmt::Result {
    let family = if flow.source.is_ipv4() { "" } else { " -f ipv6" };
    let protocol = if flow.protocol == 6 { "tcp" } else { "udp" };
    let Flow { source, destination, source_port, destination_port, .. } = flow;
    let ports = format!("--sport {source_port} --dport {destination_port}");
    let program = Tool("conntrack", netns);
    write!(f, "{program} -D{family} -p {protocol} --orig-src {source} --orig-dst {destination} {ports}")
}

/// A program, told to work in a namespace.
struct Tool<'a>(&'static str, &'a NetnsName);

impl Display for Tool<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(tool, netns) = self;
        if netns.is_host() {
            f.write_str(tool)
        } else if let Some(process) = netns.process() {
            write!(f, "nsenter -t {process} -n {tool}")
        } else if netns.is_path() {
            write!(f, "nsenter --net={} {tool}", quoted(netns.as_str()))
        } else if matches!(*tool, "ip" | "bridge" | "tc") {
            write!(f, "{tool} -n {}", quoted(netns.as_str()))
        } else {
            write!(f, "ip netns exec {} {tool}", quoted(netns.as_str()))
        }
    }
}

/// The option that chooses IPv6.
struct Six(Family);

impl Display for Six {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == Family::V6 { " -6" } else { "" })
    }
}

/// An interface name where no word introduces it, unless it could be taken for another word.
struct Positional<'a>(&'a LinkName, &'static str);

impl Display for Positional<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(name, introduction) = self;
        if LINK_WORDS.iter().any(|word| word.starts_with(name.as_str())) {
            write!(f, "{introduction} ")?;
        }
        f.write_str(&quoted(name.as_str()))
    }
}

/// A namespace as an argument: where a link is born or sent to.
///
/// The shell's own process number stands for the namespace nsgate was started in: it has no name of its own.
pub(super) fn netns_argument(netns: &NetnsName) -> String {
    if netns.is_host() {
        "$$".into()
    } else if let Some(process) = netns.process() {
        process.to_string()
    } else if netns.as_str().bytes().all(|b| b.is_ascii_digit()) {
        format!("/run/netns/{netns}")
    } else {
        quoted(netns.as_str()).into_owned()
    }
}

fn show_setting(f: &mut Formatter<'_>, netns: &NetnsName, name: &LinkName, setting: &LinkSetting) -> fmt::Result {
    let on = |yes: bool| if yes { "on" } else { "off" };
    let port = match setting {
        LinkSetting::Isolated(yes) => Some(("isolated", on(*yes))),
        LinkSetting::Hairpin(yes) => Some(("hairpin", on(*yes))),
        LinkSetting::Learning(yes) => Some(("learning", on(*yes))),
        LinkSetting::State(state) => Some(("state", state.name())),
        _ => None,
    };
    if let Some((word, value)) = port {
        return write!(f, "{} link set dev {} {word} {value}", Tool("bridge", netns), quoted(name.as_str()));
    }
    write!(f, "{} link set {} ", Tool("ip", netns), Positional(name, "dev"))?;
    match setting {
        LinkSetting::Up(true) => f.write_str("up"),
        LinkSetting::Up(false) => f.write_str("down"),
        LinkSetting::Master(Some(master)) => write!(f, "master {}", quoted(master.as_str())),
        LinkSetting::Master(None) => f.write_str("nomaster"),
        LinkSetting::Mtu(mtu) => write!(f, "mtu {mtu}"),
        LinkSetting::Mac(mac) => write!(f, "address {mac}"),
        LinkSetting::Alias(alias) => write!(f, "alias {}", quoted(alias.as_deref().unwrap_or_default())),
        LinkSetting::Arp(yes) => write!(f, "arp {}", on(*yes)),
        LinkSetting::Promiscuous(yes) => write!(f, "promisc {}", on(*yes)),
        LinkSetting::Group(group) => write!(f, "group {group}"),
        LinkSetting::Name(name) => write!(f, "name {}", quoted(name.as_str())),
        LinkSetting::Netns(netns) => write!(f, "netns {}", netns_argument(netns)),
        LinkSetting::LinkLocalAddress(yes) => write!(f, "addrgenmode {}", if *yes { "eui64" } else { "none" }),
        LinkSetting::NoXdp(mode) => write!(f, "{} off", mode.word()),
        LinkSetting::SpanningTree(yes) => write!(f, "type bridge stp_state {}", u8::from(*yes)),
        LinkSetting::VlanFiltering(yes) => write!(f, "type bridge vlan_filtering {}", u8::from(*yes)),
        LinkSetting::Isolated(_) | LinkSetting::Hairpin(_) | LinkSetting::Learning(_) | LinkSetting::State(_) => Ok(()),
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Add => "add",
            Change::Replace => "replace",
            Change::Delete => "del",
        })
    }
}

impl Display for NewLink {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind.parent().filter(|_| !matches!(self.kind, NewKind::Vxlan(_))) {
            Some(parent) => write!(f, "link {} name {}", quoted(parent.as_str()), quoted(self.name.as_str()))?,
            None => write!(f, "{}", Positional(&self.name, "name"))?,
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        show_group_and_queues(f, self.group, self.queues)?;
        write!(f, " type {}", self.kind.name())?;
        match &self.kind {
            NewKind::Veth(peer) => write!(f, " peer {peer}"),
            NewKind::Bridge { vlan_filtering, spanning_tree } => {
                f.write_str(if *vlan_filtering { " vlan_filtering 1" } else { "" })?;
                f.write_str(if *spanning_tree { " stp_state 1" } else { "" })
            }
            NewKind::Macvlan { mode, .. } => write!(f, " mode {}", mode.name()),
            NewKind::Vlan { id, .. } => write!(f, " id {id}"),
            NewKind::Vxlan(vxlan) => write!(f, "{vxlan}"),
            NewKind::Vrf { table } => write!(f, " table {table}"),
            NewKind::Dummy | NewKind::Ifb => Ok(()),
        }
    }
}

impl Display for VethPeer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "name {}", quoted(self.name.as_str()))?;
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        show_group_and_queues(f, self.group, self.queues)?;
        match &self.netns {
            Some(netns) => write!(f, " netns {}", netns_argument(netns)),
            None => Ok(()),
        }
    }
}

fn show_group_and_queues(f: &mut Formatter<'_>, group: u32, queues: Option<u32>) -> fmt::Result {
    if group != 0 {
        write!(f, " group {group}")?;
    }
    match queues {
        Some(queues) => write!(f, " numtxqueues {queues} numrxqueues {queues}"),
        None => Ok(()),
    }
}

impl Display for Vxlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, " id {}", self.id)?;
        if let Some(remote) = self.remote {
            write!(f, " {} {remote}", if remote.is_multicast() { "group" } else { "remote" })?;
        }
        if let Some(local) = self.local {
            write!(f, " local {local}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {}", quoted(dev.as_str()))?;
        }
        write!(f, " dstport {}{}", self.port, if self.learning { "" } else { " nolearning" })
    }
}

impl Display for NewAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(f, "{} peer {peer}/{}", self.net.addr(), self.net.prefix_len())?,
            None => write!(f, "{}", self.net)?,
        }
        if let Some(broadcast) = self.broadcast {
            write!(f, " broadcast {broadcast}")?;
        }
        write!(f, " dev {}", quoted(self.dev.as_str()))?;
        f.write_str(if self.no_dad { " nodad" } else { "" })?;
        f.write_str(if self.no_prefix_route { " noprefixroute" } else { "" })?;
        f.write_str(if self.deprecated { " preferred_lft 0" } else { "" })
    }
}

impl Display for NewRoute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", kind_word(self.kind))?;
        }
        f.write_str(&net_or(self.destination, "default"))?;
        let inline = matches!(self.hops.as_slice(), [hop] if hop.weight == 1);
        if inline {
            show_hop(f, &self.hops[0], self.family())?;
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", table_word(self.table))?;
        }
        if self.protocol != PROTOCOL_BOOT {
            write!(f, " proto {}", protocol_word(self.protocol))?;
        }
        if let Some(scope) = self.scope {
            write!(f, " scope {}", scope_word(scope))?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        for hop in self.hops.iter().filter(|_| !inline) {
            f.write_str(" nexthop")?;
            show_hop(f, hop, self.family())?;
            write!(f, " weight {}", hop.weight)?;
        }
        Ok(())
    }
}

fn show_hop(f: &mut Formatter<'_>, hop: &Hop, family: Family) -> fmt::Result {
    match hop.via {
        Some(via) if Family::of(via) == family => write!(f, " via {via}")?,
        Some(via @ IpAddr::V6(_)) => write!(f, " via inet6 {via}")?,
        Some(via) => write!(f, " via inet {via}")?,
        None => {}
    }
    if let Some(dev) = &hop.dev {
        write!(f, " dev {}", quoted(dev.as_str()))?;
    }
    f.write_str(if hop.on_link { " onlink" } else { "" })
}

/// A policy rule's words.
struct RuleWords<'a>(&'a Rule);

impl Display for RuleWords<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        f.write_str(if rule.inverted { "not " } else { "" })?;
        write!(f, "from {}", rule.from.map_or("all".into(), |net| net_or(net, "all")))?;
        if let Some(to) = rule.to {
            write!(f, " to {}", net_or(to, "all"))?;
        }
        if let Some(iif) = &rule.iif {
            write!(f, " iif {}", quoted(iif.as_str()))?;
        }
        if let Some(oif) = &rule.oif {
            write!(f, " oif {}", quoted(oif.as_str()))?;
        }
        match rule.mark {
            Some((mark, u32::MAX)) => write!(f, " fwmark {mark:#x}")?,
            Some((mark, mask)) => write!(f, " fwmark {mark:#x}/{mask:#x}")?,
            None => {}
        }
        if rule.tos != 0 {
            write!(f, " tos {:#x}", rule.tos)?;
        }
        if let Some(protocol) = rule.protocol {
            write!(f, " ipproto {protocol}")?;
        }
        for (word, range) in [("sport", rule.source_ports), ("dport", rule.destination_ports)] {
            match range {
                Some((first, last)) if first == last => write!(f, " {word} {first}")?,
                Some((first, last)) => write!(f, " {word} {first}-{last}")?,
                None => {}
            }
        }
        if let Some((first, last)) = rule.users {
            write!(f, " uidrange {first}-{last}")?;
        }
        write!(f, " priority {} ", rule.priority)?;
        show_rule_action(f, rule)?;
        if let Some(length) = rule.suppress_prefix_length {
            write!(f, " suppress_prefixlength {length}")?;
        }
        match rule.made_by {
            0 => Ok(()),
            protocol => write!(f, " protocol {}", protocol_word(protocol)),
        }
    }
}

fn show_rule_action(f: &mut Formatter<'_>, rule: &Rule) -> fmt::Result {
    match rule.action {
        RuleAction::Table(_) if rule.vrf => f.write_str("l3mdev"),
        RuleAction::Table(table) => write!(f, "lookup {}", table_word(table)),
        RuleAction::Goto(priority) => write!(f, "goto {priority}"),
        RuleAction::Nop => f.write_str("nop"),
        RuleAction::Blackhole => f.write_str("blackhole"),
        RuleAction::Unreachable => f.write_str("unreachable"),
        RuleAction::Prohibit => f.write_str("prohibit"),
        RuleAction::Other(number) => write!(f, "type {number}"),
    }
}

impl Display for NewForwarding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.mac, quoted(self.dev.as_str()))?;
        match self.remote {
            Some(remote) => write!(f, " dst {remote}")?,
            None => f.write_str(" master static")?,
        }
        self.vlan.map_or(Ok(()), |vlan| write!(f, " vlan {vlan}"))
    }
}

impl Display for NewNeighbour {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.proxy {
            f.write_str("proxy ")?;
        }
        write!(f, "{}", self.address)?;
        if let Some(mac) = self.mac {
            write!(f, " lladdr {mac}")?;
        }
        write!(f, " dev {}", quoted(self.dev.as_str()))?;
        match self.state {
            Some(state) => write!(f, " nud {}", state_word(state)),
            None => Ok(()),
        }
    }
}

/// The network, or this word for all addresses.
fn net_or(net: IpNet, all: &str) -> String {
    let mut text = String::new();
    if net.prefix_len() == 0 && net.addr().is_unspecified() {
        text.push_str(all);
    } else {
        // Writing to a string does not fail.
        let _ = write!(text, "{net}");
    }
    text
}

/// The kind of a route as `ip` calls it.
pub(super) fn kind_word(kind: RouteKind) -> String {
    match kind {
        RouteKind::Unicast => "unicast",
        RouteKind::Local => "local",
        RouteKind::Broadcast => "broadcast",
        RouteKind::Anycast => "anycast",
        RouteKind::Multicast => "multicast",
        RouteKind::Blackhole => "blackhole",
        RouteKind::Unreachable => "unreachable",
        RouteKind::Prohibit => "prohibit",
        RouteKind::Throw => "throw",
        RouteKind::Other(number) => return format!("type {number}"),
    }
    .into()
}

fn table_word(table: u32) -> String {
    match table {
        TABLE_LOCAL => "local".into(),
        TABLE_MAIN => "main".into(),
        TABLE_DEFAULT => "default".into(),
        number => number.to_string(),
    }
}

fn protocol_word(protocol: u8) -> String {
    match protocol {
        2 => "kernel".into(),
        3 => "boot".into(),
        4 => "static".into(),
        number => number.to_string(),
    }
}

fn scope_word(scope: Scope) -> String {
    match scope {
        Scope::Global => "global".into(),
        Scope::Site => "site".into(),
        Scope::Link => "link".into(),
        Scope::Host => "host".into(),
        Scope::Nowhere => "nowhere".into(),
        Scope::Other(number) => number.to_string(),
    }
}

/// The state of a neighbour as `ip` calls it.
pub(super) fn state_word(state: NeighbourState) -> &'static str {
    match state {
        NeighbourState::Incomplete => "incomplete",
        NeighbourState::Reachable => "reachable",
        NeighbourState::Stale => "stale",
        NeighbourState::Delay => "delay",
        NeighbourState::Probe => "probe",
        NeighbourState::Failed => "failed",
        NeighbourState::NoArp => "noarp",
        NeighbourState::Permanent => "permanent",
        NeighbourState::None => "none",
    }
}
