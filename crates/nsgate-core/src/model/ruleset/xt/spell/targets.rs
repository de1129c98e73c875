//! Targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::info::Info;
use super::addresses::{address, bits, prefix};
use super::matches::quoted;
use super::{Words, names_of};

/// The events of connection tracking.
const EVENTS: [(u32, &str); 10] = [
    (1, "new"),
    (2, "related"),
    (4, "destroy"),
    (8, "reply"),
    (16, "assured"),
    (32, "protoinfo"),
    (64, "helper"),
    (128, "mark"),
    (256, "natseqinfo"),
    (512, "secmark"),
];

/// XT_CT_NOTRACK_ALIAS: what was asked for was NOTRACK.
const NOTRACK_ALIAS: u16 = 2;

/// The name by which a target was asked for, where it is another.
pub(super) fn alias(name: &str, revision: u32, info: &Info<'_>) -> Option<&'static str> {
    (name == "CT" && revision >= 1 && info.u16(0)? & NOTRACK_ALIAS != 0).then_some("NOTRACK")
}

/// Adds the parameters of a target; none if they are not known.
pub(super) fn spell(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    match (name, revision) {
        ("AUDIT", 0) => {
            let kind = ["accept", "drop", "reject"].get(usize::from(info.u8(0)?))?;
            words.add(format!("--type {kind}"))
        }
        ("CHECKSUM", 0) => {
            (info.u8(0)? == 1).then_some(())?;
            words.add("--checksum-fill")
        }
        ("CLASSIFY", 0) => {
            let class = info.u32(0)?;
            words.add(format!("--set-class {:04x}:{:04x}", class >> 16, class & 0xffff))
        }
        ("CONNMARK", 1 | 2) => connection_mark(revision, info, words),
        ("CONNSECMARK", 0) => words.add(["--save", "--restore"].get(usize::from(info.u8(0)?).checked_sub(1)?)?),
        ("CT", 0..=2) => connection(revision, info, words),
        ("NOTRACK" | "TRACE", 0) => Some(()),
        ("IDLETIMER", 0 | 1) => {
            words.add(format!("--timeout {} --label {}", info.u32(0)?, info.text(4, 28)?));
            if revision == 1 && info.u8(33)? != 0 {
                words.add("--alarm");
            }
            Some(())
        }
        ("LOG", 0) => log(info, words),
        ("MARK", 2) => words.add(format!("--set-xmark {:#x}/{:#x}", info.u32(0)?, info.u32(4)?)),
        ("NFLOG", 0) => packet_log(info, words),
        ("NFQUEUE", 0..=3) => queue(revision, info, words),
        ("REJECT", 0) => refusal(info, ipv6, words),
        ("SNAT" | "DNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP", _) => translation(name, revision, info, ipv6, words),
        _ => None,
    }
}

/// The same for those that write into the packet, send it elsewhere or copy it.
pub(super) fn spell_changes(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    match (name, revision) {
        ("DNPT" | "SNPT", 0) => {
            let [from, to] = [address(info, 0, true)?, address(info, 16, true)?];
            words.add(format!("--src-pfx {from}/{} --dst-pfx {to}/{}", info.u8(32)?, info.u8(33)?));
            Some(())
        }
        ("DSCP", 0) => words.add(format!("--set-dscp {:#04x}", info.u8(0)?)),
        ("ECN", 0) => ecn(info, words),
        ("SYNPROXY", 0) => syn_proxy(info, words),
        ("TCPMSS", 0) => match info.u16(0)? {
            u16::MAX => words.add("--clamp-mss-to-pmtu"),
            size => words.add(format!("--set-mss {size}")),
        },
        ("TCPOPTSTRIP", 0) => {
            let map = info.bytes(0, 32)?;
            let word = |place: usize| Some(u32::from_ne_bytes(map.get(4 * place..4 * place + 4)?.try_into().ok()?));
            let numbers = (0..256_usize).filter(|n| word(n / 32).is_some_and(|w| w >> (n % 32) & 1 == 1));
            let list: Vec<String> = numbers.map(|number| number.to_string()).collect();
            words.add(format!("--strip-options {}", list.join(",")))
        }
        ("TEE", 1) => {
            words.add(format!("--gateway {}", address(info, 0, ipv6)?));
            let link = info.text(16, 16)?;
            if !link.is_empty() {
                words.add(format!("--oif {link}"));
            }
            Some(())
        }
        ("TOS", 1) => {
            let (value, mask) = (info.u8(0)?, info.u8(1)?);
            words.add(format!("--set-tos {value:#04x}/{mask:#04x}"))
        }
        ("TPROXY", 1) => {
            words.add(format!("--on-port {} --on-ip {}", info.be16(24)?, address(info, 8, ipv6)?));
            words.add(format!("--tproxy-mark {:#x}/{:#x}", info.u32(4)?, info.u32(0)?))
        }
        ("TTL" | "HL", 0) => {
            let way = ["set", "inc", "dec"].get(usize::from(info.u8(0)?))?;
            words.add(format!("--{}-{way} {}", name.to_ascii_lowercase(), info.u8(1)?))
        }
        _ => None,
    }
}

/// `struct xt_connmark_tginfo1` and its successor.
fn connection_mark(revision: u32, info: &Info<'_>, words: &mut Words) -> Option<()> {
    let [mark, connection_mask, packet_mask] = [info.u32(0)?, info.u32(4)?, info.u32(8)?];
    let mode = info.u8(if revision == 1 { 12 } else { 14 })?;
    let _ = match mode {
        0 => words.add(format!("--set-xmark {mark:#x}/{connection_mask:#x}")),
        1 => words.add(format!("--save-mark --nfmask {packet_mask:#x} --ctmask {connection_mask:#x}")),
        2 => words.add(format!("--restore-mark --nfmask {packet_mask:#x} --ctmask {connection_mask:#x}")),
        _ => return None,
    };
    let (left, by) = if revision == 1 { (true, 0) } else { (info.u8(12)? == 0, info.u8(13)?) };
    if by != 0 {
        words.add(format!("--{}-shift-mark {by}", if left { "left" } else { "right" }));
    }
    Some(())
}

/// `struct xt_ct_target_info` and its successor.
fn connection(revision: u32, info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (flags, zone) = (info.u16(0)?, info.u16(2)?);
    if flags & NOTRACK_ALIAS != 0 && revision >= 1 {
        return Some(());
    }
    if flags & 1 != 0 {
        return words.add("--notrack");
    }
    let helper = info.text(12, 16)?;
    if !helper.is_empty() {
        words.add(format!("--helper {}", quoted(&helper)));
    }
    let timeout = if revision == 0 { String::new() } else { info.text(28, 32)? };
    if !timeout.is_empty() {
        words.add(format!("--timeout {}", quoted(&timeout)));
    }
    for (option, events) in [("--ctevents", info.u32(4)?), ("--expevents", info.u32(8)?)] {
        if events != 0 {
            words.add(format!("{option} {}", names_of(events, &EVENTS)));
        }
    }
    let option = match (flags & 4 != 0, flags & 8 != 0) {
        (true, false) => "--zone-orig",
        (false, true) => "--zone-reply",
        _ => "--zone",
    };
    if flags & 16 != 0 {
        words.add(format!("{option} mark"));
    } else if zone != 0 {
        words.add(format!("{option} {zone}"));
    }
    Some(())
}

/// `struct ipt_ECN_info`.
fn ecn(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (asked, bits) = (info.u8(0)?, info.u8(2)?);
    let (ece, cwr) = (bits & 1, bits >> 1 & 1);
    if asked == 0x30 && (ece, cwr) == (0, 0) {
        return words.add("--ecn-tcp-remove");
    }
    for (option, bit, value) in
        [("--ecn-tcp-ece", 0x10, ece), ("--ecn-tcp-cwr", 0x20, cwr), ("--ecn-ip-ect", 1, info.u8(1)?)]
    {
        if asked & bit != 0 {
            words.add(format!("{option} {value}"));
        }
    }
    Some(())
}

/// `struct ipt_log_info`.
fn log(info: &Info<'_>, words: &mut Words) -> Option<()> {
    const USUAL_LEVEL: u8 = 4;
    let (level, flags, prefix) = (info.u8(0)?, info.u8(1)?, info.text(2, 30)?);
    if !prefix.is_empty() {
        words.add(format!("--log-prefix {}", quoted(&prefix)));
    }
    if level != USUAL_LEVEL {
        words.add(format!("--log-level {level}"));
    }
    for (option, bit) in [
        ("--log-tcp-sequence", 1),
        ("--log-tcp-options", 2),
        ("--log-ip-options", 4),
        ("--log-uid", 8),
        ("--log-macdecode", 0x20),
    ] {
        if flags & bit != 0 {
            words.add(option);
        }
    }
    Some(())
}

/// `struct xt_nflog_info`.
fn packet_log(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (length, group, threshold, flags) = (info.u32(0)?, info.u16(4)?, info.u16(6)?, info.u16(8)?);
    words.add(log_to(&info.text(12, 64)?, group, (flags & 1 != 0).then_some(length), threshold));
    if flags & 1 == 0 && length != 0 {
        words.add(format!("--nflog-range {length}"));
    }
    Some(())
}

/// What goes to programs that listen on a group.
pub(in super::super::super) fn log_to(prefix: &str, group: u16, length: Option<u32>, threshold: u16) -> String {
    let mut words = Words::default();
    if !prefix.is_empty() {
        words.add(format!("--nflog-prefix {}", quoted(prefix)));
    }
    if group != 0 {
        words.add(format!("--nflog-group {group}"));
    }
    if let Some(length) = length {
        words.add(format!("--nflog-size {length}"));
    }
    if threshold != 0 {
        words.add(format!("--nflog-threshold {threshold}"));
    }
    words.text()
}

/// `struct xt_NFQ_info_v3` and its forerunners.
fn queue(revision: u32, info: &Info<'_>, words: &mut Words) -> Option<()> {
    let number = info.u16(0)?;
    let total = if revision == 0 { 1 } else { info.u16(2)?.max(1) };
    let flags = if revision < 2 { 0 } else { info.u16(4)? };
    words.add(match total {
        1 => format!("--queue-num {number}"),
        _ => format!("--queue-balance {number}:{}", u32::from(number) + u32::from(total) - 1),
    });
    for (option, bit) in [("--queue-bypass", 1), ("--queue-cpu-fanout", 2)] {
        if flags & bit != 0 {
            words.add(option);
        }
    }
    Some(())
}

/// `enum ipt_reject_with` and `enum ip6t_reject_with`.
fn refusal(info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    const V4: [&str; 9] = [
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-proto-unreachable",
        "icmp-port-unreachable",
        "echo-reply",
        "icmp-net-prohibited",
        "icmp-host-prohibited",
        "tcp-reset",
        "icmp-admin-prohibited",
    ];
    const V6: [&str; 9] = [
        "icmp6-no-route",
        "icmp6-adm-prohibited",
        "icmp6-not-neighbour",
        "icmp6-addr-unreachable",
        "icmp6-port-unreachable",
        "echo-reply",
        "tcp-reset",
        "icmp6-policy-fail",
        "icmp6-reject-route",
    ];
    let name = if ipv6 { V6 } else { V4 }.get(info.u32(0)? as usize).copied()?;
    words.add(format!("--reject-with {name}"))
}

/// NF_NAT_RANGE_*: which parts of a range hold, and how the new values are chosen.
mod range {
    pub(super) const ADDRESS: u32 = 1;
    pub(super) const PORT: u32 = 2;
    pub(super) const RANDOM: u32 = 4;
    pub(super) const PERSISTENT: u32 = 8;
    pub(super) const FULLY_RANDOM: u32 = 16;
    pub(super) const OFFSET: u32 = 32;
}

/// `struct nf_nat_ipv4_multi_range_compat`, or `struct nf_nat_range` and its successor.
fn translation(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    let older = !ipv6 && revision == 0;
    let [at, low, high, first, last] = if older { [4, 8, 12, 16, 18] } else { [0, 4, 20, 36, 38] };
    (!older || info.u32(0)? == 1).then_some(())?;
    let flags = info.u32(at)?;
    let ends = (address(info, low, ipv6)?, address(info, high, ipv6)?);
    if name == "NETMAP" {
        return words.add(format!("--to {}", network(ends)));
    }
    let port = if flags & range::PORT == 0 {
        String::new()
    } else {
        let (low, high) = (info.be16(first)?, info.be16(last)?);
        let more = if low == high { String::new() } else { format!("-{high}") };
        let base = if flags & range::OFFSET == 0 { String::new() } else { format!("/{}", info.be16(40)?) };
        format!("{low}{more}{base}")
    };
    if matches!(name, "MASQUERADE" | "REDIRECT") {
        if !port.is_empty() {
            words.add(format!("--to-ports {port}"));
        }
    } else {
        let option = if name == "SNAT" { "--to-source" } else { "--to-destination" };
        let to = if flags & range::ADDRESS == 0 {
            String::new()
        } else {
            let more = if ends.0 == ends.1 { String::new() } else { format!("-{}", ends.1) };
            let brackets = ipv6 && !port.is_empty();
            if brackets { format!("[{}{more}]", ends.0) } else { format!("{}{more}", ends.0) }
        };
        let port = if port.is_empty() { port } else { format!(":{port}") };
        if !to.is_empty() || !port.is_empty() {
            words.add(format!("{option} {to}{port}"));
        }
    }
    for (option, bit) in
        [("--random", range::RANDOM), ("--random-fully", range::FULLY_RANDOM), ("--persistent", range::PERSISTENT)]
    {
        if flags & bit != 0 {
            words.add(option);
        }
    }
    Some(())
}

/// The network whose addresses lie between two ends.
fn network((low, high): (IpAddr, IpAddr)) -> String {
    let mask: IpAddr = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => Ipv4Addr::from(!(u32::from(low) ^ u32::from(high))).into(),
        (IpAddr::V6(low), IpAddr::V6(high)) => Ipv6Addr::from(!(u128::from(low) ^ u128::from(high))).into(),
        _ => return low.to_string(),
    };
    match prefix(mask) {
        Some(length) if length == bits(low) => low.to_string(),
        Some(length) => format!("{low}/{length}"),
        None => format!("{low}/{mask}"),
    }
}

/// `struct nf_synproxy_info`.
fn syn_proxy(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (options, scale, size) = (info.u8(0)?, info.u8(1)?, info.u16(2)?);
    for (option, bit) in [
        ("--sack-perm".to_owned(), 4),
        ("--timestamp".to_owned(), 8),
        (format!("--wscale {scale}"), 2),
        (format!("--mss {size}"), 1),
        ("--ecn".to_owned(), 16),
    ] {
        if options & bit != 0 {
            words.add(option);
        }
    }
    Some(())
}
