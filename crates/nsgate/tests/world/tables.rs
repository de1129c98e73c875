//! Nexthop objects, neighbour tables, connection tracking and IPsec.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nsgate_core::model::conntrack::{Entry, Statistics};
use nsgate_core::model::{
    Family, LinkIndex, Namespace, NextHop, NexthopKind, NexthopObject, World, XfrmPolicy, XfrmState, XfrmTemplate,
    xfrm_protocol,
};
use nsgate_kernel::conntrack;
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::Netns;
use nsgate_packet::Flow;
use serde_json::Value;

use crate::debian::{Debian, has, number, or_dash, word};

pub(crate) fn our_nexthops(_: &World, namespace: &Namespace) -> Vec<String> {
    let name = |index: LinkIndex| namespace.link(index).map(|link| &link.name);
    let way = |hop: &NextHop| {
        format!("via {} dev {} onlink {}", or_dash(hop.gateway), or_dash(hop.link.and_then(name)), hop.on_link)
    };
    let row = |object: &NexthopObject| match &object.kind {
        NexthopKind::Way(hop) => format!("{} {} fdb {}", object.id, way(hop), object.for_forwarding),
        NexthopKind::Blackhole => format!("{} blackhole", object.id),
        NexthopKind::Group(members) => {
            let members: Vec<String> = members.iter().map(|(id, weight)| format!("{id},{weight}")).collect();
            format!("{} group {}", object.id, members.join("/"))
        }
    };
    namespace.nexthop_objects.iter().map(row).collect()
}

pub(crate) fn their_nexthops(debian: &Debian) -> Vec<String> {
    let member = |member: &Value| format!("{},{}", word(&member["id"]), number(&member["weight"], 1));
    let row = |object: &Value| {
        let id = word(&object["id"]);
        if object.get("blackhole").is_some() {
            return format!("{id} blackhole");
        }
        if let Some(group) = object["group"].as_array() {
            return format!("{id} group {}", group.iter().map(member).collect::<Vec<_>>().join("/"));
        }
        let gateway = word(&object["gateway"]);
        let on_link = has(&object["flags"], "onlink");
        format!("{id} via {gateway} dev {} onlink {on_link} fdb {}", word(&object["dev"]), object.get("fdb").is_some())
    };
    debian.objects("ip -j nexthop show").iter().map(row).collect()
}

/// How many entries the machine has changes by itself, from one moment to the next.
pub(crate) fn our_neighbour_tables(world: &World, _: &Namespace) -> Vec<String> {
    let name = |family| if family == Family::V4 { "arp_cache" } else { "ndisc_cache" };
    let tables = world.machine.neighbour_tables.iter();
    tables.map(|t| format!("{} {} {} {}", name(t.family), t.keep, t.soft_limit, t.hard_limit)).collect()
}

/// `inet arp_cache`, and further in `thresh1 128 thresh2 512 thresh3 1024 gc_int 30000`.
pub(crate) fn their_neighbour_tables(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for option in ["-4", "-6"] {
        for block in blocks(&debian.text(&format!("ip {option} ntable show"))) {
            let of = pairs(&block.join(" "));
            let name = block[0].split_whitespace().nth(1).unwrap_or("-");
            if let Some(keep) = of.get("thresh1") {
                rows.push(format!("{name} {keep} {} {}", of["thresh2"], of["thresh3"]));
            }
        }
    }
    rows
}

/// The entries, read as a trace reads those of its flow: a World holds none.
pub(crate) fn our_connections(_: &World, namespace: &Namespace) -> Vec<String> {
    let netns = Netns::open(&namespace.name).unwrap();
    let found = netns.run(|| conntrack::entries(&mut Socket::open(Protocol::Netfilter)?, |_| true)).unwrap();
    let flow = |f: &Flow| format!("{} {} > {} {}", f.source, f.source_port, f.destination, f.destination_port);
    let row = |e: &Entry| {
        format!("{} {} | {} mark {} zone {}", e.original.protocol, flow(&e.original), flow(&e.reply), e.mark, e.zone)
    };
    found.unwrap().items.iter().map(row).collect()
}

/// `tcp 6 431999 ESTABLISHED src=1.1.1.2 dst=… sport=… dport=… src=… … mark=0 use=1`.
pub(crate) fn their_connections(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for line in debian.text(&format!("conntrack -L -f {family}")).lines() {
            let protocol = line.split_whitespace().nth(1).unwrap();
            let fields = |name: &str| {
                let found = line.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                found.map(str::to_owned).collect::<Vec<_>>()
            };
            let (source, destination) = (fields("src"), fields("dst"));
            let (from, to, echo) = (fields("sport"), fields("dport"), fields("id"));
            let port = |ports: &[String], at: usize| ports.get(at).or(echo.get(at)).cloned().unwrap_or("0".into());
            let address = |text: &str| text.parse::<IpAddr>().unwrap();
            let flow = |at: usize| {
                let (source, destination) = (address(&source[at]), address(&destination[at]));
                format!("{source} {} > {destination} {}", port(&from, at), port(&to, at))
            };
            let one = |name| fields(name).first().cloned().unwrap_or("0".into());
            rows.push(format!("{protocol} {} | {} mark {} zone {}", flow(0), flow(1), one("mark"), one("zone")));
        }
    }
    rows
}

pub(crate) fn our_statistics(_: &World, namespace: &Namespace) -> Vec<String> {
    let Some(table) = &namespace.conntrack else { return Vec::new() };
    let row = |(cpu, s): (usize, &Statistics)| {
        format!(
            "cpu={cpu} found={} invalid={} insert={} insert_failed={} drop={} early_drop={} error={} \
             search_restart={} clash_resolve={} chaintoolong={}",
            s.found,
            s.invalid,
            s.insert,
            s.insert_failed,
            s.drop,
            s.early_drop,
            s.error,
            s.search_restart,
            s.clash_resolve,
            s.chain_too_long
        )
    };
    let entries = format!("entries {}", table.entries);
    table.processors.iter().enumerate().map(row).chain([entries]).collect()
}

pub(crate) fn their_statistics(debian: &Debian) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> = debian.text("conntrack -S").lines().map(words).collect();
    rows.push(format!("entries {}", debian.text("conntrack -C").trim()));
    rows
}

pub(crate) fn our_policies(_: &World, namespace: &Namespace) -> Vec<String> {
    let end = |end: Option<IpAddr>| or_dash(end);
    let template = |t: &XfrmTemplate| {
        let (source, destination) = (end(t.source), end(t.destination));
        format!("[{source} {destination} {} reqid {} mode {}]", xfrm_protocol(t.protocol), t.request, t.mode.name())
    };
    let row = |policy: &XfrmPolicy| {
        let selector = &policy.selector;
        let port = |port: Option<(u16, u16)>| or_dash(port.map(|(port, _)| port));
        format!(
            "{} > {} sport {} dport {} {} {} priority {} mark {} if_id {} {}",
            selector.source,
            selector.destination,
            port(selector.source_port),
            port(selector.destination_port),
            policy.direction.name(),
            if policy.refuses { "block" } else { "allow" },
            policy.priority,
            or_dash(policy.mark.map(|(mark, mask)| format!("{mark:#x}/{mask:#x}"))),
            or_dash(policy.interface.map(|interface| format!("{interface:#x}"))),
            policy.templates.iter().map(template).collect::<Vec<_>>().join(" ")
        )
    };
    namespace.xfrm.policies.iter().filter(|policy| !policy.of_socket).map(row).collect()
}

pub(crate) fn their_policies(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for block in blocks(&debian.text("ip xfrm policy")) {
        let (head, templates) = block.split_first().unwrap();
        let own: Vec<&String> = templates.iter().take_while(|line| !line.starts_with("tmpl")).collect();
        let all = format!("{head} {}", own.iter().map(|line| line.as_str()).collect::<Vec<_>>().join(" "));
        let of = pairs(&all);
        let get = |name: &str| of.get(name).cloned().unwrap_or("-".into());
        if !of.contains_key("dir") {
            continue;
        }
        let templates: Vec<String> = templates[own.len()..]
            .chunks(2)
            .map(|lines| {
                let of = pairs(&lines.join(" "));
                let end = |name: &str| match of[name].as_str() {
                    "0.0.0.0" | "::" => "-".to_owned(),
                    end => end.to_owned(),
                };
                format!("[{} {} {} reqid {} mode {}]", end("src"), end("dst"), of["proto"], of["reqid"], of["mode"])
            })
            .collect();
        rows.push(format!(
            "{} > {} sport {} dport {} {} {} priority {} mark {} if_id {} {}",
            get("src"),
            get("dst"),
            get("sport"),
            get("dport"),
            get("dir"),
            of.get("action").map_or("allow", String::as_str),
            get("priority"),
            get("mark"),
            get("if_id"),
            templates.join(" ")
        ));
    }
    rows
}

pub(crate) fn our_states(_: &World, namespace: &Namespace) -> Vec<String> {
    let row = |s: &XfrmState| {
        let protocol = xfrm_protocol(s.protocol);
        format!(
            "{} > {} {protocol} {:#010x} reqid {} mode {}",
            s.source,
            s.destination,
            s.spi,
            s.request,
            s.mode.name()
        )
    };
    namespace.xfrm.states.iter().map(row).collect()
}

pub(crate) fn their_states(debian: &Debian) -> Vec<String> {
    let row = |block: &Vec<String>| {
        let of = pairs(&block.join(" "));
        format!("{} > {} {} {} reqid {} mode {}", of["src"], of["dst"], of["proto"], of["spi"], of["reqid"], of["mode"])
    };
    blocks(&debian.text("ip xfrm state")).iter().map(row).collect()
}

/// What `ip xfrm` writes of each object: a line that begins it, and those that are further in.
fn blocks(text: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(char::is_whitespace) {
            blocks.push(Vec::new());
        }
        blocks.last_mut().unwrap().push(line.trim().to_owned());
    }
    blocks
}

/// Words and the values behind them; of a word that comes twice, the first.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "tmpl" && *word != "sel").collect();
    let mut pairs = BTreeMap::new();
    for pair in words.windows(2) {
        pairs.entry(pair[0].to_owned()).or_insert_with(|| pair[1].to_owned());
    }
    pairs
}
