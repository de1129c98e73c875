//! Which route a packet takes: the kernel's own search, over a [`Namespace`] that was read.
//!
//! Policy rules are asked in order; each leads to a table; in a table the longest prefix wins, then the smallest metric
//! (linux net/core/fib_rules.c, net/ipv4/fib_trie.c, net/ipv6/route.c). What the search cannot know (the user of a
//! socket, a type of service) is taken as "any".

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Family, Link, LinkIndex, LinkKind, Namespace, NextHop, Route, RouteKind, Rule, RuleAction, Setting, TABLE_LOCAL,
};

/// What is asked of the routing tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Where the packet comes from; none where the kernel has yet to choose.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: IpAddr,
    /// The interface it came in by; none for a packet made here.
    pub entered: Option<LinkIndex>,
    /// The interface the sender asked for.
    pub wanted: Option<LinkIndex>,
    /// The packet's mark.
    pub mark: u32,
    /// The transport protocol by its number; 0: not asked by protocol.
    pub protocol: u8,
    /// The transport's destination port.
    pub port: Option<u16>,
}

/// What the routing tables answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<'a> {
    /// A way on, or delivery here.
    Found {
        /// The rule that led there.
        rule: &'a Rule,
        /// The route.
        route: &'a Route,
        /// The way it gives; none for routes that need none (delivery here).
        hop: Option<&'a NextHop>,
    },
    /// A route that refuses.
    Blocked {
        /// The rule that led there.
        rule: &'a Rule,
        /// The route.
        route: &'a Route,
    },
    /// A policy rule that refuses.
    Ruled(&'a Rule),
    /// Nothing.
    Missing,
}

impl Query {
    /// The question for a packet from here to `destination`.
    pub fn from_here(source: Option<IpAddr>, destination: IpAddr) -> Self {
        Self { source, destination, entered: None, wanted: None, mark: 0, protocol: 0, port: None }
    }

    /// The question for a packet that came in by `entered`.
    pub fn passing(source: IpAddr, destination: IpAddr, entered: LinkIndex) -> Self {
        Self { entered: Some(entered), ..Self::from_here(Some(source), destination) }
    }

    fn family(&self) -> Family {
        Family::of(self.destination)
    }
}

impl<'a> Answer<'a> {
    /// Whether the packet is delivered in this very namespace.
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            Answer::Found { route, .. }
                if matches!(route.kind, RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast)
        )
    }

    /// The interface the packet leaves by.
    pub fn link(&self) -> Option<LinkIndex> {
        match self {
            Answer::Found { hop, .. } => hop.and_then(|h| h.link),
            _ => None,
        }
    }

    /// The router that the packet is handed to; none where the destination is on the link, or nothing was found.
    pub fn gateway(&self) -> Option<IpAddr> {
        match self {
            Answer::Found { hop, .. } => hop.and_then(|h| h.gateway),
            _ => None,
        }
    }

    /// The route that decided.
    pub fn route(&self) -> Option<&'a Route> {
        match self {
            Answer::Found { route, .. } | Answer::Blocked { route, .. } => Some(route),
            _ => None,
        }
    }
}

/// Asks the routing tables of `netns` where a packet goes.
pub fn look_up<'a>(netns: &'a Namespace, query: &Query) -> Answer<'a> {
    let mut least = 0;
    let rules: Vec<&Rule> = netns.rules.iter().filter(|r| r.family == query.family()).collect();
    for rule in &rules {
        if rule.priority < least || matches(netns, rule, query) == rule.inverted {
            continue;
        }
        match rule.action {
            RuleAction::Blackhole | RuleAction::Unreachable | RuleAction::Prohibit => return Answer::Ruled(rule),
            RuleAction::Goto(priority) => least = priority,
            RuleAction::Nop | RuleAction::Other(_) => {}
            RuleAction::Table(table) => {
                let table = if rule.vrf { vrf_table(netns, query) } else { Some(table) };
                if let Some(answer) = table.and_then(|t| in_table(netns, rule, t, query)) {
                    return answer;
                }
            }
        }
    }
    Answer::Missing
}

/// Whether a rule's conditions hold for the packet; `inverted` is left to the caller.
fn matches(netns: &Namespace, rule: &Rule, query: &Query) -> bool {
    let named = |index: Option<LinkIndex>| index.and_then(|i| netns.link(i)).map(|l| &l.name);
    let within = |net: Option<IpNet>, address: Option<IpAddr>| match (net, address) {
        (None, _) => true,
        (Some(net), Some(address)) => net.contains(&address),
        (Some(net), None) => net.prefix_len() == 0,
    };
    let entered = match &rule.iif {
        None => true,
        Some(name) if name.as_str() == "lo" => query.entered.is_none(),
        Some(name) => named(query.entered) == Some(name),
    };
    within(rule.from, query.source)
        && within(rule.to, Some(query.destination))
        && entered
        && rule.oif.as_ref().is_none_or(|name| named(query.wanted) == Some(name))
        && rule.mark.is_none_or(|(mark, mask)| query.mark & mask == mark)
        && rule.protocol.is_none_or(|p| p == query.protocol)
        && rule.destination_ports.is_none_or(|(low, high)| query.port.is_some_and(|p| (low..=high).contains(&p)))
        && (!rule.vrf || vrf_table(netns, query).is_some())
}

/// The table of the VRF that the packet's interface belongs to.
fn vrf_table(netns: &Namespace, query: &Query) -> Option<u32> {
    let link = netns.link(query.entered.or(query.wanted)?)?;
    let domain = if matches!(link.kind, LinkKind::Vrf { .. }) { link } else { netns.link(link.master?)? };
    match domain.kind {
        LinkKind::Vrf { table } => Some(table),
        _ => None,
    }
}

/// The best route of one table; none if the search goes on with the next rule.
fn in_table<'a>(netns: &'a Namespace, rule: &'a Rule, table: u32, query: &Query) -> Option<Answer<'a>> {
    let route = netns
        .routes
        .iter()
        .filter(|r| r.table == table && r.tos == 0 && r.destination.contains(&query.destination))
        .filter(|r| r.from.is_none_or(|from| query.source.is_some_and(|s| from.contains(&s))))
        .filter(|r| r.next_hops.is_empty() || hop(netns, r, query).is_some())
        .min_by_key(|r| (u8::MAX - r.destination.prefix_len(), r.metric))?;
    let suppressed = |longest| u32::from(route.destination.prefix_len()) <= longest;
    if rule.suppress_prefix_length.is_some_and(suppressed) {
        return None;
    }
    match route.kind {
        RouteKind::Throw => None,
        RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit => Some(Answer::Blocked { rule, route }),
        _ => Some(Answer::Found { rule, route, hop: hop(netns, route, query) }),
    }
}

/// The first way of a route that can be used.
fn hop<'a>(netns: &Namespace, route: &'a Route, query: &Query) -> Option<&'a NextHop> {
    let usable = |hop: &&NextHop| {
        let link = hop.link.and_then(|l| netns.link(l));
        let left_out = hop.link_down && link.is_some_and(|l| ignores_link_down(netns, l, query.family()));
        let wanted = query.wanted.is_none() || route.table == TABLE_LOCAL || query.wanted == hop.link;
        !hop.dead && !left_out && wanted
    };
    route.next_hops.iter().find(usable)
}

/// Whether routes over a link without carrier are passed over (`ignore_routes_with_linkdown`).
fn ignores_link_down(netns: &Namespace, link: &Link, family: Family) -> bool {
    let setting = Setting::IgnoreRoutesWithLinkdown;
    link.setting(family, setting).is_some_and(|v| v > 0)
        || (family == Family::V4 && netns.setting_of_all(family, setting).is_some_and(|v| v > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Scope, TABLE_MAIN};

    fn rule(priority: u32, action: RuleAction) -> Rule {
        Rule {
            family: Family::V4,
            priority,
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
            action,
            made_by: 0,
        }
    }

    fn route(table: u32, destination: &str, kind: RouteKind, metric: u32, link: Option<u32>) -> Route {
        let next_hops =
            link.map(|l| NextHop { link: Some(LinkIndex(l)), weight: 1, ..NextHop::default() }).into_iter().collect();
        Route {
            table,
            destination: destination.parse().unwrap(),
            from: None,
            tos: 0,
            kind,
            scope: Scope::Global,
            metric,
            protocol: 3,
            source: None,
            next_hops,
            nexthop_object: None,
            mtu: None,
        }
    }

    fn netns(rules: Vec<Rule>, routes: Vec<Route>) -> Namespace {
        let mut netns = Namespace::new("ns_1".parse().unwrap(), 1);
        netns.rules = rules;
        netns.routes = routes;
        netns
    }

    fn ask(destination: &str) -> Query {
        Query::from_here(Some("1.1.1.2".parse().unwrap()), destination.parse().unwrap())
    }

    #[test]
    fn the_longest_prefix_wins_then_the_smallest_metric() {
        let main = vec![rule(32766, RuleAction::Table(TABLE_MAIN))];
        let routes = vec![
            route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Unicast, 100, Some(2)),
            route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Unicast, 0, Some(3)),
            route(TABLE_MAIN, "10.0.0.0/8", RouteKind::Unicast, 500, Some(4)),
        ];
        let ns = netns(main, routes);
        assert_eq!(look_up(&ns, &ask("8.8.8.8")).link(), Some(LinkIndex(3)));
        assert_eq!(look_up(&ns, &ask("10.2.3.4")).link(), Some(LinkIndex(4)));
    }

    #[test]
    fn a_throw_route_sends_the_search_on() {
        let rules = vec![rule(100, RuleAction::Table(7)), rule(32766, RuleAction::Table(TABLE_MAIN))];
        let routes = vec![
            route(7, "0.0.0.0/0", RouteKind::Throw, 0, None),
            route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Blackhole, 0, None),
        ];
        let ns = netns(rules, routes);
        assert!(matches!(look_up(&ns, &ask("8.8.8.8")), Answer::Blocked { rule, .. } if rule.priority == 32766));
    }

    #[test]
    fn a_rule_by_mark_is_asked_only_for_its_mark() {
        let mut marked = rule(100, RuleAction::Prohibit);
        marked.mark = Some((1, u32::MAX));
        let ns = netns(vec![marked], vec![]);
        assert_eq!(look_up(&ns, &ask("8.8.8.8")), Answer::Missing);
        let query = Query { mark: 1, ..ask("8.8.8.8") };
        assert!(matches!(look_up(&ns, &query), Answer::Ruled(_)));
    }

    #[test]
    fn suppressed_prefixes_and_dead_hops_are_passed_over() {
        let mut suppress = rule(10, RuleAction::Table(TABLE_MAIN));
        suppress.suppress_prefix_length = Some(0);
        let mut dead = route(TABLE_MAIN, "8.0.0.0/8", RouteKind::Unicast, 0, Some(2));
        dead.next_hops[0].dead = true;
        let routes = vec![route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Unicast, 0, Some(3)), dead];
        let ns = netns(vec![suppress], routes.clone());
        assert_eq!(look_up(&ns, &ask("8.8.8.8")), Answer::Missing);
        let ns = netns(vec![rule(10, RuleAction::Table(TABLE_MAIN))], routes);
        assert_eq!(look_up(&ns, &ask("8.8.8.8")).link(), Some(LinkIndex(3)));
    }
}
