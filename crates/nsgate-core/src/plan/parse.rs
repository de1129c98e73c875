//! A step from the line that an operator would type: a small, strict grammar.
//!
//! It takes what [`super::show`] writes and the abbreviations fingers know (`ip l s veth2 up`, `ip a a`, `ip r a`).
//! A line holds one step; what it does not understand it refuses, saying what it expected and where.

mod cursor;
mod iptables;
mod link;
mod route;
mod traffic_control;
mod xfrm;

use std::borrow::Cow;
use std::str::FromStr;

use cursor::Cursor;
pub use cursor::ParseError;

use super::step::{Action, Change, NewAddress, NewNeighbour, Step};
use crate::model::{LinkName, Namespace, NeighbourState, NetnsName, World, ruleset};

impl FromStr for Step {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, ParseError> {
        Step::read_in(line, &World::default())
    }
}

impl Step {
    /// Reads a line where these namespaces are: changes to a set of the packet filter need to know what it holds.
    pub fn read_in(line: &str, world: &World) -> Result<Self, ParseError> {
        let split = cursor::split(line)?;
        let mut words = Cursor::new(line, &split);
        let mut netns = NetnsName::host();
        let mut action = None;
        while action.is_none() {
            // `ip netns exec NAME` and `nsenter` only say where; a command follows them.
            action = match words.take("a command: ip, bridge, tc, sysctl, nft, iptables-nft or nsenter")? {
                "ip" => ip(&mut words, &mut netns)?,
                "bridge" => Some(bridge(&mut words, &mut netns)?),
                "tc" => {
                    in_netns(&mut words, &mut netns)?;
                    Some(traffic_control::tc(&mut words)?)
                }
                "sysctl" => Some(sysctl(&mut words)?),
                "conntrack" => Some(xfrm::connection(&mut words)?),
                "nft" => Some(nft(&mut words, world.namespace(&netns))?),
                "nsenter" => {
                    netns = nsenter(&mut words)?;
                    None
                }
                program => match iptables::PROGRAMS.into_iter().find(|(name, ..)| *name == program) {
                    Some((_, family, legacy)) => Some(iptables::iptables(&mut words, family, legacy)?),
                    None => return Err(words.unexpected("ip, bridge, tc, sysctl, nft, iptables-nft or nsenter")),
                },
            };
        }
        let action = words.required(action, "a command")?;
        words.finish()?;
        Ok(Step { netns, action })
    }
}

/// The objects of `ip` that have steps, in the order in which `ip` tries abbreviations.
const OBJECTS: [&str; 9] = ["address", "addr", "route", "rule", "neighbor", "neighbour", "link", "netns", "xfrm"];

/// What follows `ip`; none if it was `ip netns exec NAME`.
fn ip(words: &mut Cursor<'_>, netns: &mut NetnsName) -> Result<Option<Action>, ParseError> {
    let mut six = false;
    loop {
        match words.peek() {
            Some("-n" | "-netns") => {
                words.skip();
                *netns = words.netns_name()?;
            }
            Some("-6") => {
                words.skip();
                six = true;
            }
            Some("-4") => words.skip(),
            _ => break,
        }
    }
    let object = words.take("an object: netns, link, addr, route, rule or neigh")?;
    let object = OBJECTS.into_iter().find(|full| full.starts_with(object));
    match object {
        Some("address" | "addr") => {
            let change = change(words, &[Change::Add, Change::Replace, Change::Delete])?;
            Ok(Some(Action::Address(change, address(words)?)))
        }
        Some("route") => {
            let change = change(words, &[Change::Add, Change::Replace, Change::Delete])?;
            Ok(Some(Action::Route(change, route::route(words, six)?)))
        }
        Some("rule") => {
            let change = change(words, &[Change::Add, Change::Delete])?;
            Ok(Some(Action::Rule(change, route::rule(words, six)?)))
        }
        Some("neighbor" | "neighbour") => {
            let change = change(words, &[Change::Add, Change::Replace, Change::Delete])?;
            Ok(Some(Action::Neighbour(change, neighbour(words)?)))
        }
        Some("link") => link::link(words).map(Some),
        Some("xfrm") => {
            words.expect("policy")?;
            let change = match words.take("add, update or delete")? {
                "add" => Change::Add,
                "update" => Change::Replace,
                "delete" => Change::Delete,
                _ => return Err(words.unexpected("add, update or delete")),
            };
            xfrm::policy(words, change).map(Some)
        }
        Some("netns") => named_netns(words, netns),
        _ => Err(words.unexpected("netns, link, addr, route, rule or neigh")),
    }
}

fn named_netns(words: &mut Cursor<'_>, netns: &mut NetnsName) -> Result<Option<Action>, ParseError> {
    match words.take("add, del or exec")? {
        "add" | "a" => Ok(Some(Action::AddNetns(words.plain_netns()?))),
        "del" | "delete" | "d" => Ok(Some(Action::DeleteNetns(words.plain_netns()?))),
        "exec" | "e" => {
            *netns = words.netns_name()?;
            Ok(None)
        }
        _ => Err(words.unexpected("add, del or exec")),
    }
}

/// The verb of an object that comes and goes.
fn change(words: &mut Cursor<'_>, allowed: &[Change]) -> Result<Change, ParseError> {
    let expected = if allowed.contains(&Change::Replace) { "add, replace or del" } else { "add or del" };
    let change = match words.take(expected)? {
        "add" | "a" => Change::Add,
        "replace" | "rep" | "repl" => Change::Replace,
        "del" | "delete" | "d" => Change::Delete,
        _ => return Err(words.unexpected(expected)),
    };
    if allowed.contains(&change) { Ok(change) } else { Err(words.unexpected(expected)) }
}

fn nsenter(words: &mut Cursor<'_>) -> Result<NetnsName, ParseError> {
    let expected = "-t PID -n, or --net=PATH";
    let option = words.take(expected)?;
    if option == "-t" || option == "--target" {
        let process: u32 = words.number("a process number")?;
        if !matches!(words.take("-n")?, "-n" | "--net") {
            return Err(words.unexpected("-n"));
        }
        return format!("pid:{process}").parse().map_err(|error| words.refused(&error));
    }
    match option.strip_prefix("--net=") {
        Some(path) if path.starts_with('/') => path.parse().map_err(|error| words.refused(&error)),
        _ => Err(words.unexpected(expected)),
    }
}

/// The option that says where, if it is there.
fn in_netns(words: &mut Cursor<'_>, netns: &mut NetnsName) -> Result<(), ParseError> {
    if matches!(words.peek(), Some("-n" | "-netns")) {
        words.skip();
        *netns = words.netns_name()?;
    }
    Ok(())
}

fn bridge(words: &mut Cursor<'_>, netns: &mut NetnsName) -> Result<Action, ParseError> {
    in_netns(words, netns)?;
    match words.take("link set, or fdb")? {
        "link" => {
            words.expect("set")?;
            link::bridge_port(words)
        }
        "fdb" => {
            let change = change(words, &[Change::Add, Change::Delete])?;
            Ok(Action::Forwarding(change, link::forwarding(words)?))
        }
        _ => Err(words.unexpected("link set, or fdb")),
    }
}

fn sysctl(words: &mut Cursor<'_>) -> Result<Action, ParseError> {
    if matches!(words.peek(), Some("-w" | "--write")) {
        words.skip();
    }
    let word = words.take("NAME=VALUE")?;
    let Some((name, value)) = word.split_once('=') else { return Err(words.unexpected("NAME=VALUE")) };
    if value.contains(['\n', '\0']) {
        return Err(words.unexpected("a value of one line"));
    }
    let name = name.parse().map_err(|error| words.refused(&error))?;
    Ok(Action::Sysctl { name, value: value.into(), before: None })
}

/// The words that follow are one text to `nft`, however they are quoted.
fn nft(words: &mut Cursor<'_>, netns: Option<&Namespace>) -> Result<Action, ParseError> {
    let first = words.take("a change to the packet filter")?;
    let text = words.rest(first);
    let known = netns.map(|netns| Cow::Borrowed(&netns.ruleset)).unwrap_or_default();
    match ruleset::parse::commands(&text, &known) {
        Ok(commands) if commands.is_empty() => Err(words.unexpected("a change to the packet filter")),
        Ok(commands) => Ok(Action::Nft { commands, undo: None }),
        Err(error) => Err(ParseError { expected: error.expected, found: error.found, ..words.unexpected("") }),
    }
}

fn address(words: &mut Cursor<'_>) -> Result<NewAddress, ParseError> {
    let mut net = words.net("an address with its prefix length, such as 1.1.1.2/24", None)?;
    let mut dev: Option<LinkName> = None;
    let (mut peer, mut broadcast) = (None, None);
    let (mut no_dad, mut no_prefix_route, mut deprecated) = (false, false, false);
    while let Some(word) = words.next() {
        match word {
            "peer" | "remote" => {
                let far = words.net("the peer's address with its prefix length", None)?;
                peer = Some(far.addr());
                net = words.same_family(net, far)?;
            }
            "broadcast" | "brd" => broadcast = Some(words.address("a broadcast address")?),
            "dev" => dev = Some(words.link_name()?),
            "nodad" => no_dad = true,
            "noprefixroute" => no_prefix_route = true,
            "preferred_lft" => {
                words.expect("0")?;
                deprecated = true;
            }
            _ => return Err(words.unexpected("dev, peer, broadcast, nodad, noprefixroute or preferred_lft 0")),
        }
    }
    let dev = words.required(dev, "dev INTERFACE")?;
    Ok(NewAddress { dev, net, peer, broadcast, no_dad, no_prefix_route, deprecated })
}

fn neighbour(words: &mut Cursor<'_>) -> Result<NewNeighbour, ParseError> {
    let proxy = words.eat("proxy");
    let address = words.address("the neighbour's address")?;
    let (mut mac, mut dev, mut state) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "lladdr" => mac = Some(words.parsed("a link-layer address")?),
            "dev" => dev = Some(words.link_name()?),
            "nud" => state = Some(neighbour_state(words)?),
            _ => return Err(words.unexpected("lladdr, dev or nud")),
        }
    }
    let dev = words.required(dev, "dev INTERFACE")?;
    Ok(NewNeighbour { dev, address, mac, state, proxy })
}

fn neighbour_state(words: &mut Cursor<'_>) -> Result<NeighbourState, ParseError> {
    const STATES: [NeighbourState; 9] = [
        NeighbourState::Incomplete,
        NeighbourState::Reachable,
        NeighbourState::Stale,
        NeighbourState::Delay,
        NeighbourState::Probe,
        NeighbourState::Failed,
        NeighbourState::NoArp,
        NeighbourState::Permanent,
        NeighbourState::None,
    ];
    let expected = "a neighbour state, such as permanent";
    let word = words.take(expected)?;
    STATES.into_iter().find(|state| super::show::state_word(*state) == word).ok_or_else(|| words.unexpected(expected))
}
