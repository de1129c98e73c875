//! `ip route …` and `ip rule …`.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::cursor::{self, Cursor, ParseError};
use crate::model::{Family, RouteKind, Rule, RuleAction, Scope, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use crate::plan::step::{Hop, NewRoute};

const KINDS: [RouteKind; 9] = [
    RouteKind::Unicast,
    RouteKind::Local,
    RouteKind::Broadcast,
    RouteKind::Anycast,
    RouteKind::Multicast,
    RouteKind::Blackhole,
    RouteKind::Unreachable,
    RouteKind::Prohibit,
    RouteKind::Throw,
];

const SCOPES: [(&str, Scope); 5] = [
    ("global", Scope::Global),
    ("site", Scope::Site),
    ("link", Scope::Link),
    ("host", Scope::Host),
    ("nowhere", Scope::Nowhere),
];

/// The whole address space of a family.
fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    }
}

/// What follows `ip route add`, `replace` or `del`.
pub(super) fn route(words: &mut Cursor<'_>, six: bool) -> Result<NewRoute, ParseError> {
    let kind = KINDS.into_iter().find(|kind| words.peek() == Some(&super::super::show::kind_word(*kind)));
    if kind.is_some() {
        words.skip();
    }
    let destination = destination(words, six)?;
    let mut route = NewRoute {
        kind: kind.unwrap_or(RouteKind::Unicast),
        ..NewRoute::with_hops(everything(Family::V4), Vec::new())
    };
    let mut single: Option<Hop> = None;
    while let Some(word) = words.next() {
        match word {
            "table" => route.table = table(words)?,
            "proto" | "protocol" => route.protocol = protocol(words)?,
            "scope" => route.scope = Some(scope(words)?),
            "src" => route.source = Some(words.address("a source address")?),
            "metric" | "preference" | "priority" => route.metric = words.number("a metric")?,
            "mtu" => route.mtu = Some(words.number("an MTU in bytes")?),
            "nexthop" => route.hops.push(nexthop(words)?),
            _ if hop_word(words, word, single.get_or_insert_with(Hop::nowhere))? => {}
            _ => {
                let expected = "via, dev, onlink, table, proto, scope, src, metric, mtu or nexthop";
                return Err(words.unexpected(expected));
            }
        }
    }
    if single.is_some() && !route.hops.is_empty() {
        return Err(words.unexpected("either via and dev, or nexthop"));
    }
    route.hops.extend(single);
    route.destination = match destination {
        Some(net) => net.trunc(),
        // `default` is of the family of its router, as `ip` has it.
        None => everything(route.hops.iter().find_map(|hop| hop.via).map_or(Family::V4, Family::of)),
    };
    for via in route.hops.iter().filter_map(|hop| hop.via) {
        if route.family() == Family::V6 && Family::of(via) == Family::V4 {
            return Err(words.unexpected("an IPv6 router for an IPv6 destination"));
        }
    }
    Ok(route)
}

/// The destination; none for a `default` whose family nothing has said yet.
fn destination(words: &mut Cursor<'_>, six: bool) -> Result<Option<IpNet>, ParseError> {
    let expected = "a destination: default, or a network such as 10.0.0.0/24";
    if matches!(words.peek(), Some("default" | "all" | "any")) && !six {
        words.skip();
        // `via inet6` says that the router is of the other family than the destination.
        return Ok(words.ahead("via", "inet6").then(|| everything(Family::V4)));
    }
    let net = words.net(expected, Some(everything(Family::V6)))?;
    if six && Family::of(net.addr()) == Family::V4 {
        return Err(words.unexpected("an IPv6 destination after -6"));
    }
    Ok(Some(net))
}

impl Hop {
    fn nowhere() -> Self {
        Self { via: None, dev: None, on_link: false, weight: 1 }
    }
}

fn hop_word(words: &mut Cursor<'_>, word: &str, hop: &mut Hop) -> Result<bool, ParseError> {
    match word {
        "via" => {
            let family = match words.peek() {
                Some("inet") => Some(Family::V4),
                Some("inet6") => Some(Family::V6),
                _ => None,
            };
            if family.is_some() {
                words.skip();
            }
            let via: IpAddr = words.address("the router's address")?;
            if family.is_some_and(|family| family != Family::of(via)) {
                return Err(words.unexpected("an address of the family that was named"));
            }
            hop.via = Some(via);
        }
        "dev" | "oif" => hop.dev = Some(words.link_name()?),
        "onlink" => hop.on_link = true,
        _ => return Ok(false),
    }
    Ok(true)
}

fn nexthop(words: &mut Cursor<'_>) -> Result<Hop, ParseError> {
    let mut hop = Hop::nowhere();
    while let Some(word) = words.peek() {
        if word == "nexthop" {
            break;
        }
        words.skip();
        if word == "weight" {
            let weight: u16 = words.number("a weight")?;
            if !(1..=256).contains(&weight) {
                return Err(words.unexpected("a weight from 1 to 256"));
            }
            hop.weight = weight;
        } else if !hop_word(words, word, &mut hop)? {
            return Err(words.unexpected("via, dev, weight, onlink or nexthop"));
        }
    }
    Ok(hop)
}

fn table(words: &mut Cursor<'_>) -> Result<u32, ParseError> {
    let expected = "a table: a number, main, local or default";
    Ok(match words.take(expected)? {
        "main" => TABLE_MAIN,
        "local" => TABLE_LOCAL,
        "default" => TABLE_DEFAULT,
        word => cursor::number(word).filter(|table| *table != 0).ok_or_else(|| words.unexpected(expected))?,
    })
}

fn protocol(words: &mut Cursor<'_>) -> Result<u8, ParseError> {
    let expected = "a protocol: a number to 255, kernel, boot or static";
    Ok(match words.take(expected)? {
        "kernel" => 2,
        "boot" => 3,
        "static" => 4,
        word => cursor::number(word).ok_or_else(|| words.unexpected(expected))?,
    })
}

fn scope(words: &mut Cursor<'_>) -> Result<Scope, ParseError> {
    let expected = "a scope: global, site, link, host, nowhere or a number";
    let word = words.take(expected)?;
    if let Some((_, scope)) = SCOPES.into_iter().find(|(name, _)| *name == word) {
        return Ok(scope);
    }
    cursor::number(word).map(Scope::Other).ok_or_else(|| words.unexpected(expected))
}

/// What follows `ip rule add` or `del`.
pub(super) fn rule(words: &mut Cursor<'_>, six: bool) -> Result<Rule, ParseError> {
    let mut family = six.then_some(Family::V6);
    let mut rule = empty_rule();
    let (mut priority, mut action) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "not" => rule.inverted = true,
            "from" => rule.from = selector(words, &mut family)?,
            "to" => rule.to = selector(words, &mut family)?,
            "iif" | "dev" => rule.iif = Some(words.link_name()?),
            "oif" => rule.oif = Some(words.link_name()?),
            "fwmark" => rule.mark = Some(mark(words)?),
            "tos" | "dsfield" => rule.tos = words.number("a type of service")?,
            "ipproto" => rule.protocol = Some(words.number("a protocol number")?),
            "sport" => rule.source_ports = Some(range(words, "a port, or FIRST-LAST")?),
            "dport" => rule.destination_ports = Some(range(words, "a port, or FIRST-LAST")?),
            "uidrange" => rule.users = Some(range(words, "FIRST-LAST")?),
            "priority" | "pref" | "preference" | "order" => priority = Some(words.number("a priority")?),
            "suppress_prefixlength" => rule.suppress_prefix_length = Some(words.number("a prefix length")?),
            "protocol" | "proto" => rule.made_by = protocol(words)?,
            "l3mdev" => {
                rule.vrf = true;
                action = Some(RuleAction::Table(0));
            }
            _ => action = Some(rule_action(words, word)?),
        }
    }
    rule.family = family.unwrap_or(Family::V4);
    rule.priority = words.required(priority, "priority NUMBER")?;
    rule.action = words.required(action, "lookup TABLE or another action")?;
    Ok(rule)
}

fn empty_rule() -> Rule {
    Rule {
        family: Family::V4,
        priority: 0,
        inverted: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos: 0,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        users: None,
        vrf: false,
        suppress_prefix_length: None,
        action: RuleAction::Nop,
        made_by: 0,
    }
}

fn rule_action(words: &mut Cursor<'_>, word: &str) -> Result<RuleAction, ParseError> {
    Ok(match word {
        "lookup" | "table" => RuleAction::Table(table(words)?),
        "goto" => RuleAction::Goto(words.number("the priority of a later rule")?),
        "nop" => RuleAction::Nop,
        "blackhole" => RuleAction::Blackhole,
        "unreachable" => RuleAction::Unreachable,
        "prohibit" => RuleAction::Prohibit,
        _ => {
            let expected = "from, to, iif, oif, fwmark, ipproto, sport, dport, priority, lookup or another action";
            return Err(words.unexpected(expected));
        }
    })
}

/// `all`, or a network of the family that holds so far.
fn selector(words: &mut Cursor<'_>, family: &mut Option<Family>) -> Result<Option<IpNet>, ParseError> {
    let expected = "all, or a network such as 10.0.0.0/24";
    if matches!(words.peek(), Some("all" | "any" | "default")) {
        words.skip();
        return Ok(None);
    }
    let net = words.net(expected, None)?;
    if *family.get_or_insert(Family::of(net.addr())) != Family::of(net.addr()) {
        return Err(words.unexpected("a network of the same family"));
    }
    Ok(Some(net.trunc()).filter(|net| net.prefix_len() > 0))
}

fn mark(words: &mut Cursor<'_>) -> Result<(u32, u32), ParseError> {
    let expected = "a mark, or MARK/MASK";
    let word = words.take(expected)?;
    let (mark, mask) = word.split_once('/').unwrap_or((word, "0xffffffff"));
    match (cursor::number(mark), cursor::number(mask)) {
        (Some(mark), Some(mask)) => Ok((mark, mask)),
        _ => Err(words.unexpected(expected)),
    }
}

fn range<T: TryFrom<u64> + PartialOrd>(words: &mut Cursor<'_>, expected: &str) -> Result<(T, T), ParseError> {
    let word = words.take(expected)?;
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (cursor::number(first), cursor::number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(words.unexpected(expected)),
    }
}
