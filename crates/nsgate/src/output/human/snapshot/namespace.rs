//! One namespace in a few lines: its interfaces with their addresses, where packets go, what may pass, who listens.

use std::fmt::Write;
use std::net::SocketAddr;

use nsgate_core::explain::owners;
use nsgate_core::model::ruleset::{ChainKind, Engine, Expression, IpSet, Rule, Ruleset, Table, text};
use nsgate_core::model::{
    Address, Family, Link, LinkKind, Listener, Namespace, NeighbourState, NextHop, Route, RouteKind, Setting,
    TABLE_LOCAL, TABLE_MAIN, Transport,
};

use super::{obstacles, printable};
use crate::output::human::{WIDTH, wrap_to};
use crate::output::style::{BAD, HEADING, paint};

/// How many rules, listeners or routes are shown in full.
const MOST: usize = 8;

/// The whole block.
pub(super) fn show(namespace: &Namespace) -> String {
    let mut text = format!("\n{}", paint(HEADING, namespace.title().as_str()));
    let names = [&namespace.name].into_iter().chain(&namespace.aliases);
    for alias in names.filter(|name| *name != namespace.title()) {
        let _ = write!(text, ", also {alias}");
    }
    text.push('\n');
    text += &interfaces(namespace);
    text += &field("processes", processes(namespace));
    text += &field("routes", routes(namespace));
    text += &field("rules", rules(namespace));
    text += &field("forwards", [forwarding(namespace)]);
    text += &field("unresolved", unresolved(namespace));
    text += &field("filter", filter(&namespace.ruleset));
    text += &field("ipsets", ipsets(&namespace.ruleset));
    text += &lines("translates", translations(&namespace.ruleset));
    text += &lines("queues", obstacles::queues(namespace));
    text += &lines("sorts", obstacles::filters(namespace));
    text += &lines("runs BPF", obstacles::programs(namespace));
    text += &lines("ipsec", obstacles::ipsec(namespace));
    text += &field("tracks", obstacles::tracking(namespace));
    text += &field("listens", listeners(&namespace.listeners));
    text
}

/// The processes of a namespace that is not nsgate's own: everything is in that one.
fn processes(namespace: &Namespace) -> Vec<String> {
    let processes = namespace.processes.iter().filter(|_| !namespace.name.is_host());
    processes.map(|process| format!("{} ({})", printable(&process.name), process.pid)).collect()
}

/// One row an interface; further addresses stand below the first.
fn interfaces(namespace: &Namespace) -> String {
    let width = namespace.links.iter().map(|link| link.name.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for link in &namespace.links {
        let state = state(link);
        let padding = " ".repeat(11_usize.saturating_sub(state.len()));
        let state = if link.usable() { state.to_owned() } else { paint(BAD, state) };
        let head = format!("  {:width$}  {state}{padding}", link.name.as_str());
        let addresses = link.addresses.iter().map(address).chain(mtu(link));
        text += &flow(&head, 2 + width + 2 + 11, addresses, " ");
    }
    text
}

fn state(link: &Link) -> &'static str {
    match (link.up, link.carrier) {
        (true, true) => "up",
        (true, false) => "no carrier",
        (false, _) => "down",
    }
}

fn address(address: &Address) -> String {
    let flags = &address.flags;
    let flag = match (flags.duplicate, flags.tentative, flags.deprecated) {
        (true, ..) => " (duplicate)",
        (_, true, _) => " (tentative)",
        (.., true) => " (deprecated)",
        _ => "",
    };
    match address.peer.filter(|peer| *peer != address.net.addr()) {
        Some(peer) => format!("{} peer {peer}{flag}", address.net),
        None => format!("{}{flag}", address.net),
    }
}

fn mtu(link: &Link) -> Option<String> {
    let usual = if link.kind == LinkKind::Loopback { 65536 } else { 1500 };
    (link.mtu != usual).then(|| format!("mtu {}", link.mtu))
}

/// The routes that were made by somebody, those of `main` first; how many more there are elsewhere.
fn routes(namespace: &Namespace) -> Vec<String> {
    let made = |route: &&Route| route.table != TABLE_LOCAL && !own_prefix(namespace, route);
    let made: Vec<&Route> = namespace.routes.iter().filter(made).collect();
    let mut main: Vec<&Route> = made.iter().copied().filter(|route| route.table == TABLE_MAIN).collect();
    main.sort_by_key(|route| (route.destination.prefix_len() != 0, route.destination));
    let mut lines: Vec<String> = main.iter().take(MOST).map(|route| self::route(namespace, route)).collect();
    lines.extend(more(main.len(), "main"));
    let mut others: Vec<u32> = made.iter().map(|route| route.table).filter(|table| *table != TABLE_MAIN).collect();
    others.sort_unstable();
    for table in others.chunk_by(|a, b| a == b) {
        lines.push(format!("{} in table {}", table.len(), table[0]));
    }
    lines
}

/// Whether a route only says that a prefix of the interface's own address is on the link, or is for groups.
fn own_prefix(namespace: &Namespace, route: &Route) -> bool {
    let [hop] = &route.next_hops[..] else { return false };
    let link = hop.link.and_then(|link| namespace.link(link));
    let holds = |link: &Link| link.addresses.iter().any(|a| a.net.trunc() == route.destination);
    let link_local = route.destination.to_string() == "fe80::/64";
    let group = route.kind == RouteKind::Multicast;
    hop.gateway.is_none() && route.table == TABLE_MAIN && (group || link_local || link.is_some_and(holds))
}

fn route(namespace: &Namespace, route: &Route) -> String {
    let destination = match route.destination.prefix_len() {
        0 if Family::of(route.destination.addr()) == Family::V4 => "default".to_owned(),
        0 => "default (IPv6)".to_owned(),
        _ => route.destination.to_string(),
    };
    let kind = match route.kind {
        RouteKind::Unicast => String::new(),
        other => format!("{} ", format!("{other:?}").to_lowercase()),
    };
    let hop = |hop: &NextHop| {
        let gateway = hop.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let link = hop.link.and_then(|link| namespace.link(link)).map(|link| format!(" dev {}", link.name));
        format!("{gateway}{}{}", link.unwrap_or_default(), if hop.dead { " (dead)" } else { "" })
    };
    let hops: Vec<String> = route.next_hops.iter().map(hop).collect();
    format!("{kind}{destination}{}", hops.join(" or"))
}

/// How many policy rules there are beside those that every namespace has.
fn rules(namespace: &Namespace) -> Option<String> {
    let standard = [0, 32766, 32767];
    let count = namespace.rules.iter().filter(|rule| !standard.contains(&rule.priority)).count();
    (count > 0).then(|| format!("{count} beside the standard ones"))
}

fn forwarding(namespace: &Namespace) -> String {
    let links: Vec<&Link> = namespace.links.iter().filter(|link| link.kind != LinkKind::Loopback).collect();
    let from = |family| {
        let setting = |link: &&&Link| match family {
            Family::V4 => link.setting(family, Setting::Forwarding) == Some(1),
            Family::V6 => link.setting(family, Setting::ForceForwarding) == Some(1),
        };
        let forwarding: Vec<&str> = links.iter().filter(setting).map(|link| link.name.as_str()).collect();
        let all = namespace.setting_of_all(family, Setting::Forwarding) == Some(1);
        match (&forwarding[..], family) {
            (_, Family::V6) if all => "all".to_owned(),
            ([], _) => "nothing".to_owned(),
            (some, _) if some.len() == links.len() => "all".to_owned(),
            (some, _) if some.len() > MOST => format!("what comes in by {} of {}", some.len(), links.len()),
            (some, _) => format!("what comes in by {}", some.join(" ")),
        }
    };
    format!("IPv4: {}; IPv6: {}", from(Family::V4), from(Family::V6))
}

/// Neighbours that never answered.
fn unresolved(namespace: &Namespace) -> Vec<String> {
    let lost = |state| matches!(state, NeighbourState::Failed | NeighbourState::Incomplete);
    let name = |link| namespace.link(link).map_or("?", |link| link.name.as_str());
    let lost: Vec<_> = namespace.neighbours.iter().filter(|n| lost(n.state) && !n.proxy).collect();
    let shown = lost.iter().take(MOST).map(|n| format!("{} dev {}", n.address, name(n.link)));
    shown.chain(more(lost.len(), "neighbours")).collect()
}

/// The tables, each with what it holds.
fn filter(ruleset: &Ruleset) -> Vec<String> {
    let table = |table: &Table| {
        let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        let dropping = table.chains.iter().filter(|chain| chain.base.as_ref().is_some_and(|base| base.policy_drop));
        let dropping: Vec<String> = dropping.map(|chain| printable(&chain.name)).collect();
        let policy = match &dropping[..] {
            [] => String::new(),
            names => format!(", drops by policy in {}", names.join(" ")),
        };
        let dormant = if table.dormant { ", dormant" } else { "" };
        let engine = match ruleset.engine(table) {
            Engine::Nft => String::new(),
            engine => format!(", {engine}"),
        };
        let owners = match &owners(table)[..] {
            [] => String::new(),
            some => format!(", by {}", some.join(" and ")),
        };
        format!(
            "{} {} ({rules} {}{policy}{dormant}{engine}{owners})",
            table.family,
            printable(&table.name),
            if rules == 1 { "rule" } else { "rules" }
        )
    };
    let unread = |name: &&String| !ruleset.legacy.iter().any(|t| format!("{} {}", t.family, t.name) == **name);
    let legacy = ruleset.legacy_tables.iter().filter(unread);
    let legacy = legacy.map(|name| format!("{} (of the older engine, not read)", printable(name)));
    ruleset.of_both_engines().map(table).chain(legacy).collect()
}

/// The sets of ipset that rules name, each with how much it holds.
fn ipsets(ruleset: &Ruleset) -> Vec<String> {
    let show = |set: &IpSet| {
        let count = set.members.len() as u64 + set.more;
        let members = if count == 1 { "member" } else { "members" };
        format!("{} {} ({count} {members})", printable(&set.name), printable(&set.kind))
    };
    let mut lines: Vec<String> = ruleset.ipsets.iter().take(MOST).map(show).collect();
    lines.extend(more(ruleset.ipsets.len(), "sets"));
    lines
}

/// The rules that translate, one a line.
fn translations(ruleset: &Ruleset) -> Vec<String> {
    let mut lines = Vec::new();
    for table in ruleset.of_both_engines() {
        let nat = |kind: Option<ChainKind>| kind.is_none_or(|kind| kind == ChainKind::Nat);
        for chain in table.chains.iter().filter(|chain| nat(chain.base.as_ref().map(|base| base.kind))) {
            let translating = chain.rules.iter().filter(|rule| rule.expressions.iter().any(translates));
            lines.extend(translating.map(|rule| printable(&text::rule(table.family, &table.sets, &gist(rule)))));
        }
    }
    let count = lines.len();
    lines.truncate(MOST);
    lines.extend(more(count, "rules"));
    lines
}

/// A rule without what it counts and what is noted on it.
fn gist(rule: &Rule) -> Rule {
    let told = |expression: &&Expression| match expression {
        Expression::Counter { .. } => false,
        Expression::XtMatch { name, .. } => name != "comment",
        _ => true,
    };
    let expressions = rule.expressions.iter().filter(told).cloned().collect();
    Rule { handle: rule.handle, expressions, comment: None }
}

fn translates(expression: &Expression) -> bool {
    match expression {
        Expression::Nat(_) | Expression::Masquerade { .. } | Expression::Redirect { .. } => true,
        Expression::XtTarget { name, .. } => ["SNAT", "DNAT", "MASQUERADE", "REDIRECT", "NETMAP"].contains(&&**name),
        _ => false,
    }
}

fn listeners(listeners: &[Listener]) -> Vec<String> {
    let show = |listener: &Listener| {
        let protocol = match listener.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        format!("{protocol} {}", SocketAddr::new(listener.address, listener.port))
    };
    let mut lines: Vec<String> = listeners.iter().map(show).collect();
    lines.sort();
    lines.dedup();
    let count = lines.len();
    lines.truncate(2 * MOST);
    lines.extend((count > 2 * MOST).then(|| format!("and {} more", count - 2 * MOST)));
    lines
}

fn more(count: usize, of: &str) -> Option<String> {
    (count > MOST).then(|| format!("and {} more {of}", count - MOST))
}

/// A named list, one item a line; what is too long for a line is continued further in.
fn lines(name: &str, items: impl IntoIterator<Item = String>) -> String {
    const INDENT: usize = 14;
    let mut text = String::new();
    for item in items {
        let mut head = if text.is_empty() { format!("  {name:10}  ") } else { " ".repeat(INDENT) };
        for line in wrap_to(WIDTH - INDENT - 2, &item, 0).lines() {
            let _ = writeln!(text, "{head}{line}");
            head = " ".repeat(INDENT + 2);
        }
    }
    text
}

/// A named list; nothing if it is empty.
pub(super) fn field(name: &str, items: impl IntoIterator<Item = String>) -> String {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return String::new();
    }
    flow(&format!("  {name:10}  "), 14, items, ", ")
}

/// A heading with items behind it, on as many lines as they need; `used` columns are taken by the heading.
fn flow(heading: &str, used: usize, items: impl IntoIterator<Item = String>, between: &str) -> String {
    let mut text = heading.to_owned();
    let mut column = used;
    for (number, item) in items.into_iter().enumerate() {
        let length = item.chars().count();
        if number > 0 {
            text += between.trim_end();
            column += between.len();
            if column + length + 1 > WIDTH {
                let _ = write!(text, "\n{}", " ".repeat(used));
                column = used;
            } else {
                text += &" ".repeat(between.len() - between.trim_end().len());
            }
        }
        text += &item;
        column += length;
    }
    format!("{}\n", text.trim_end())
}
