//! Rules as iptables-save writes them.
//!
//! The older engine's rules, and those that iptables-nft keeps in nftables, are shown to whoever knows iptables in its own
//! words, and can be given back to it.

use std::net::IpAddr;

use super::xt::{limit, log_to, quoted, spelled, tcp_flags};
use super::{Base, Bitwise, CmpOp, Data, Expression, Rule, TableFamily, Verdict};

/// The protocols that iptables calls by name.
const PROTOCOLS: [(u8, &str); 20] = [
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipencap"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (41, "ipv6"),
    (43, "ipv6-route"),
    (44, "ipv6-frag"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (88, "eigrp"),
    (89, "ospf"),
    (103, "pim"),
    (108, "ipcomp"),
    (112, "vrrp"),
    (132, "sctp"),
    (136, "udplite"),
];

/// A rule as iptables-save writes it: `-A FORWARD -s 1.1.1.0/24 -j ACCEPT`. None if something in it is not of iptables, or
/// an extension's parameters are not known.
pub fn iptables_line(family: TableFamily, chain: &str, rule: &Rule) -> Option<String> {
    let ipv6 = match family {
        TableFamily::Ip => false,
        TableFamily::Ip6 => true,
        _ => return None,
    };
    let mut line = Line { ipv6, ..Line::default() };
    let mut rest = &rule.expressions[..];
    while !rest.is_empty() {
        let taken = line.take(rest)?;
        rest = rest.get(taken..)?;
    }
    Some(format!("-A {}{}", word(chain), line.text()))
}

/// A name as a word of a line.
fn word(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '$' | '`'));
    if plain { name.to_owned() } else { quoted(name) }
}

/// The parts of a line.
#[derive(Default)]
struct Line {
    ipv6: bool,
    source: String,
    destination: String,
    entered: String,
    leaves: String,
    protocol: String,
    fragment: String,
    /// The protocol's name where it was asked for.
    transport: Option<&'static str>,
    /// The matches, each with its options.
    matches: Vec<(String, Vec<String>)>,
    target: String,
}

/// What is asked of a value: its bits, how it is compared, with what, and how many instructions that took.
struct Question<'a> {
    mask: Option<&'a [u8]>,
    inverted: bool,
    low: &'a [u8],
    high: &'a [u8],
    taken: usize,
}

impl Line {
    /// Takes what stands first; how many instructions that were.
    fn take(&mut self, rest: &[Expression]) -> Option<usize> {
        match rest.first()? {
            Expression::Meta { key, .. } => self.take_meta(key.0, &question(rest)?),
            Expression::Payload { base: Base::Network, offset, length, .. } => {
                self.take_header(*offset as usize, *length as usize, &question(rest)?)
            }
            Expression::Payload { base: Base::Transport, offset, length, .. } => {
                self.take_transport(*offset, *length, &question(rest)?)
            }
            Expression::Counter { .. } => Some(1),
            Expression::Limit { rate, unit, burst, bytes: false, over: false } => {
                let period = unit.checked_mul(10_000)?.checked_div(*rate)?;
                self.matches.push(("limit".into(), vec![limit(period, *burst)]));
                Some(1)
            }
            Expression::Log { prefix, group: Some(group), level: None, snaplen, threshold, .. } => {
                let prefix = prefix.as_deref().unwrap_or_default();
                let words = log_to(prefix, *group, *snaplen, threshold.unwrap_or(0));
                self.target = jump("NFLOG", &words);
                Some(1)
            }
            // NFT_META_NFTRACE.
            Expression::Immediate { to: Some(_), data: Data::Value(value) }
                if value == &[1] && matches!(rest.get(1), Some(Expression::MetaSet { key, .. }) if key.0 == 12) =>
            {
                self.target = " -j TRACE".into();
                Some(2)
            }
            Expression::Immediate { to: None, data: Data::Verdict(verdict) } => {
                self.target = match verdict {
                    Verdict::Accept => " -j ACCEPT".into(),
                    Verdict::Drop => " -j DROP".into(),
                    Verdict::Return => " -j RETURN".into(),
                    Verdict::Queue => " -j QUEUE".into(),
                    Verdict::Jump(chain) => format!(" -j {}", word(chain)),
                    Verdict::Goto(chain) => format!(" -g {}", word(chain)),
                    Verdict::Continue => String::new(),
                };
                Some(1)
            }
            extension => {
                let found = spelled(extension, self.ipv6)?;
                let is_target = extension.name() == "target";
                if is_target {
                    self.target = jump(&found.name, &found.words);
                } else {
                    self.matches
                        .push((found.name, Some(found.words).filter(|words| !words.is_empty()).into_iter().collect()));
                }
                Some(1)
            }
        }
    }

    /// Interfaces, the transport protocol and the mark (NFT_META_IIFNAME, _OIFNAME, _L4PROTO, _MARK).
    fn take_meta(&mut self, key: u32, asked: &Question<'_>) -> Option<usize> {
        let not = if asked.inverted { "! " } else { "" };
        match key {
            6 | 7 => {
                let end = asked.low.iter().position(|byte| *byte == 0);
                let name = String::from_utf8_lossy(&asked.low[..end.unwrap_or(asked.low.len())]).into_owned();
                let plus = if end.is_none() && asked.low.len() < 16 { "+" } else { "" };
                let (option, part) = if key == 6 { ("-i", &mut self.entered) } else { ("-o", &mut self.leaves) };
                *part = format!(" {not}{option} {}{plus}", word(&name));
            }
            16 => {
                let number = *asked.low.first()?;
                let found = PROTOCOLS.iter().find(|(protocol, _)| *protocol == number);
                self.transport = found.map(|(_, name)| *name).filter(|_| !asked.inverted);
                let name = match number {
                    // By its name in the list of protocols, which is not the one that it is asked for by.
                    135 => "mobility-header".to_owned(),
                    _ => found.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned()),
                };
                self.protocol = format!(" {not}-p {name}");
            }
            3 => {
                let number = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.try_into().ok()?));
                let mask = asked.mask.map_or(Some(u32::MAX), number)?;
                let value = number(asked.low)?;
                let mask = if mask == u32::MAX { String::new() } else { format!("/{mask:#x}") };
                self.matches.push(("mark".into(), vec![format!("{not}--mark {value:#x}{mask}")]));
            }
            _ => return None,
        }
        Some(asked.taken)
    }

    /// Addresses, and whether a packet is a later fragment.
    fn take_header(&mut self, offset: usize, length: usize, asked: &Question<'_>) -> Option<usize> {
        let (size, places) = if self.ipv6 { (16, [8, 24]) } else { (4, [12, 16]) };
        if (self.ipv6, offset, length) == (false, 6, 2) && asked.low == [0, 0] {
            self.fragment = if asked.inverted { " -f" } else { " ! -f" }.into();
            return Some(asked.taken);
        }
        let place = places.iter().position(|place| *place == offset).filter(|_| length <= size)?;
        let whole = |bytes: &[u8], fill: u8| {
            let mut bytes = bytes.to_vec();
            bytes.truncate(length);
            bytes.resize(length, fill);
            bytes.resize(size, 0);
            address(&bytes)
        };
        let (value, mask) = (whole(asked.low, 0)?, whole(asked.mask.unwrap_or(&vec![0xff; length]), 0xff)?);
        let not = if asked.inverted { "! " } else { "" };
        let (option, part) = if place == 0 { ("-s", &mut self.source) } else { ("-d", &mut self.destination) };
        let mask = prefix(mask).map_or_else(|| mask.to_string(), |length| length.to_string());
        *part = format!(" {not}{option} {value}/{mask}");
        Some(asked.taken)
    }

    /// Ports and flags, which iptables asks by an extension of the transport's name.
    fn take_transport(&mut self, offset: u32, length: u32, asked: &Question<'_>) -> Option<usize> {
        let name = self.transport?;
        let not = if asked.inverted { "! " } else { "" };
        let words = match (offset, length) {
            (0 | 2, 2) => {
                let port = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.try_into().ok()?));
                let (low, high) = (port(asked.low)?, port(asked.high)?);
                let ports = if low == high { low.to_string() } else { format!("{low}:{high}") };
                format!("{not}{} {ports}", if offset == 0 { "--sport" } else { "--dport" })
            }
            // Both ports at once.
            (0, 4) if asked.mask.is_none() && !asked.inverted && asked.low == asked.high => {
                let port = |at: usize| Some(u16::from_be_bytes(asked.low.get(at..at + 2)?.try_into().ok()?));
                format!("--sport {} --dport {}", port(0)?, port(2)?)
            }
            (13, 1) if name == "tcp" => {
                format!(
                    "{not}{}",
                    tcp_flags(asked.mask.map_or(Some(0xff), |m| m.first().copied())?, *asked.low.first()?)
                )
            }
            _ => return None,
        };
        match self.matches.last_mut().filter(|(last, _)| last == name) {
            Some((_, options)) => options.push(words),
            None => self.matches.push((name.to_owned(), vec![words])),
        }
        Some(asked.taken)
    }

    fn text(&self) -> String {
        let parts = [&self.source, &self.destination, &self.entered, &self.leaves, &self.protocol, &self.fragment];
        let mut text: String = parts.into_iter().map(String::as_str).collect();
        for (name, options) in &self.matches {
            text.extend([" -m ", name]);
            text.extend(options.iter().flat_map(|option| [" ", option]));
        }
        text + &self.target
    }
}

/// What a rule does by an extension.
fn jump(target: &str, options: &str) -> String {
    let between = if options.is_empty() { "" } else { " " };
    format!(" -j {target}{between}{options}")
}

/// What the instructions behind the first ask of the value that it loads.
fn question(rest: &[Expression]) -> Option<Question<'_>> {
    let (mask, at) = match rest.get(1)? {
        Expression::Bitwise { operation: Bitwise::Bool { mask, xor }, .. } if xor.iter().all(|byte| *byte == 0) => {
            (Some(&mask[..]), 2)
        }
        _ => (None, 1),
    };
    Some(match (rest.get(at)?, rest.get(at + 1)) {
        (
            Expression::Cmp { op: CmpOp::Gte, value: low, .. },
            Some(Expression::Cmp { op: CmpOp::Lte, value: high, .. }),
        ) => Question { mask, inverted: false, low, high, taken: at + 2 },
        (Expression::Cmp { op: op @ (CmpOp::Eq | CmpOp::Neq), value, .. }, _) => {
            Question { mask, inverted: *op == CmpOp::Neq, low: value, high: value, taken: at + 1 }
        }
        (Expression::Range { inverted, low, high, .. }, _) => {
            Question { mask, inverted: *inverted, low, high, taken: at + 1 }
        }
        _ => return None,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(bytes) {
        Ok(octets) => Some(octets.into()),
        Err(_) => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
    }
}

/// The length of a prefix that is written as a mask.
fn prefix(mask: IpAddr) -> Option<u32> {
    let number = match mask {
        IpAddr::V4(mask) => u128::from(u32::from(mask)) << 96,
        IpAddr::V6(mask) => u128::from(mask),
    };
    let length = number.leading_ones();
    (length == number.count_ones()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a rule that is written in nft's language.
    fn line(family: TableFamily, text: &str) -> Option<String> {
        let text = format!("table {family} filter {{ chain FORWARD {{ {text}\n }} }}");
        let ruleset = super::super::Ruleset::from_text(&text).unwrap();
        iptables_line(family, "FORWARD", &ruleset.tables[0].chains[0].rules[0])
    }

    #[track_caller]
    fn writes(text: &str, expected: &str) {
        assert_eq!(line(TableFamily::Ip, text).as_deref(), Some(expected));
    }

    #[test]
    fn what_iptables_keeps_in_instructions_is_spelled() {
        writes(
            "iifname \"veth*\" oifname != \"eth2\" ip saddr 1.1.1.0/24 ip daddr != 9.9.9.9 counter accept",
            "-A FORWARD -s 1.1.1.0/24 ! -d 9.9.9.9/32 -i veth+ ! -o eth2 -j ACCEPT",
        );
        writes("tcp sport 1-5 tcp dport != 80 drop", "-A FORWARD -p tcp -m tcp --sport 1:5 ! --dport 80 -j DROP");
        writes("udp sport 67 udp dport 68", "-A FORWARD -p udp -m udp --sport 67 --dport 68");
        writes("meta l4proto udp @th,0,32 0x430044", "-A FORWARD -p udp -m udp --sport 67 --dport 68");
        writes("tcp flags syn / fin,syn,rst,ack", "-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN");
        writes("meta l4proto 47 limit rate 5/minute return", "-A FORWARD -p gre -m limit --limit 5/min -j RETURN");
        writes(
            "meta mark & 0xff == 0x10 log prefix \"a b\" group 5",
            "-A FORWARD -m mark --mark 0x10/0xff -j NFLOG --nflog-prefix \"a b\" --nflog-group 5",
        );
        let six = line(TableFamily::Ip6, "ip6 saddr fd00::/64 udp dport 53 accept");
        assert_eq!(six.as_deref(), Some("-A FORWARD -s fd00::/64 -p udp -m udp --dport 53 -j ACCEPT"));
    }

    #[test]
    fn what_iptables_has_no_words_for_has_no_line() {
        assert_eq!(line(TableFamily::Ip, "ct state new accept"), None);
        assert_eq!(line(TableFamily::Ip, "tcp dport { 22, 80 } accept"), None);
        assert_eq!(line(TableFamily::Inet, "accept"), None);
        let unknown = Expression::XtMatch { name: "newer".into(), revision: 0, info: vec![0; 64] };
        let rule = Rule { handle: 0, expressions: vec![unknown], comment: None };
        assert_eq!(iptables_line(TableFamily::Ip, "FORWARD", &rule), None);
    }

    #[test]
    fn words_stay_words() {
        let comment = [&b"it's \"here\""[..], &[0; 245]].concat();
        let comment = Expression::XtMatch { name: "comment".into(), revision: 0, info: comment };
        let rule = Rule { handle: 0, expressions: vec![comment], comment: None };
        let line = iptables_line(TableFamily::Ip, "a chain", &rule);
        assert_eq!(line.as_deref(), Some("-A \"a chain\" -m comment --comment \"it\\'s \\\"here\\\"\""));
    }
}
