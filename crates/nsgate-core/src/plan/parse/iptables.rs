//! `iptables-nft -I FORWARD 2 -s … -j ACCEPT`: the rules that nsgate adds to tables of iptables.

use super::cursor::{Cursor, ParseError};
use crate::model::Family;
use crate::plan::iptables::{IptablesChange, IptablesRule, PacketKind};
use crate::plan::step::Action;

/// The programs that keep tables of iptables: whose family, and whether it is the older engine.
pub(super) const PROGRAMS: [(&str, Family, bool); 4] = [
    ("iptables-nft", Family::V4, false),
    ("ip6tables-nft", Family::V6, false),
    ("iptables-legacy", Family::V4, true),
    ("ip6tables-legacy", Family::V6, true),
];

/// What follows the program's name.
pub(super) fn iptables(words: &mut Cursor<'_>, family: Family, legacy: bool) -> Result<Action, ParseError> {
    let table = if words.eat("-t") { words.take("a table")? } else { "filter" };
    let verb = words.take("-I, -A or -D")?;
    let chain = words.take("a chain")?;
    let change = match verb {
        "-I" => {
            let numbered = words.peek().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            IptablesChange::Insert(if numbered { words.number("the number of a rule")? } else { 1 })
        }
        "-A" => IptablesChange::Append,
        "-D" => IptablesChange::Delete,
        _ => return Err(words.unexpected("-I, -A or -D")),
    };
    let mut rule = IptablesRule {
        family,
        legacy,
        table: table.into(),
        chain: chain.into(),
        source: None,
        destination: None,
        kind: None,
        comment: String::new(),
    };
    while let Some(word) = words.next() {
        match word {
            "-s" => rule.source = Some(words.address("a source address")?),
            "-d" => rule.destination = Some(words.address("a destination address")?),
            "-p" => rule.kind = Some(protocol(words, family)?),
            "-m" => extension(words, &mut rule)?,
            "-j" => {
                words.expect("ACCEPT")?;
                return Ok(Action::Iptables(change, rule));
            }
            _ => return Err(words.unexpected("-s, -d, -p, -m or -j ACCEPT")),
        }
    }
    words.required(None, "-j ACCEPT")
}

fn protocol(words: &mut Cursor<'_>, family: Family) -> Result<PacketKind, ParseError> {
    Ok(match (words.take("tcp, udp or icmp")?, family) {
        ("tcp", _) => {
            words.expect("--dport")?;
            PacketKind::Tcp(words.number("a port")?)
        }
        ("udp", _) => {
            words.expect("--dport")?;
            PacketKind::Udp(words.number("a port")?)
        }
        ("icmp", Family::V4) => {
            words.expect("--icmp-type")?;
            PacketKind::Icmp(words.number("a type")?)
        }
        ("ipv6-icmp" | "icmpv6", Family::V6) => {
            words.expect("--icmpv6-type")?;
            PacketKind::Icmp(words.number("a type")?)
        }
        _ => return Err(words.unexpected("tcp, udp or icmp")),
    })
}

fn extension(words: &mut Cursor<'_>, rule: &mut IptablesRule) -> Result<(), ParseError> {
    match words.take("conntrack or comment")? {
        "conntrack" => {
            words.expect("--ctstate")?;
            words.expect("ESTABLISHED,RELATED")?;
            rule.kind = Some(PacketKind::Established);
        }
        "comment" => {
            words.expect("--comment")?;
            words.take("a comment")?.clone_into(&mut rule.comment);
        }
        _ => return Err(words.unexpected("conntrack or comment")),
    }
    Ok(())
}
