//! Rulesets made up by chance, as text in nft's syntax.
//!
//! The values are few, and those of the packets, so that about every second condition holds.

use super::dice::Dice;

/// Which addresses the rules of a table can speak of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    V4,
    V6,
}

const SOURCES: [[&str; 4]; 2] =
    [["10.1.0.5", "10.1.0.6", "10.1.7.8", "10.1.200.1"], ["fd00:1::5", "fd00:1::6", "fd00:1::7:8", "fd00:1::c8:1"]];
const DESTINATIONS: [[&str; 4]; 2] = [
    ["198.51.100.1", "198.51.100.2", "10.1.0.1", "10.2.0.1"],
    ["2001:db8:100::1", "2001:db8:100::2", "fd00:1::1", "fd00:2::1"],
];
const NETWORKS: [[&str; 5]; 2] = [
    ["10.1.0.0/24", "10.1.6.0/23", "198.51.100.0/31", "198.51.100.2/31", "10.2.0.0/16"],
    ["fd00:1::/112", "fd00:1::7:0/112", "2001:db8:100::/127", "2001:db8:100::2/127", "fd00:2::/32"],
];
const RANGES: [[&str; 3]; 2] = [
    ["10.1.0.6-10.1.199.255", "198.51.100.2-198.51.100.9", "10.0.0.0-10.1.0.5"],
    ["fd00:1::6-fd00:1::c7:ffff", "2001:db8:100::2-2001:db8:100::9", "fd00::-fd00:1::5"],
];
const PORTS: [&str; 5] = ["53", "80", "443", "8080", "22"];
const PORT_RANGES: [&str; 4] = ["1-79", "81-442", "444-1023", "1024-32767"];
/// The families of tables.
const FAMILIES: [&str; 6] = ["ip", "ip", "ip6", "inet", "inet", "inet"];
/// Chains that can be jumped to; each only to those behind it.
const INNER: [&str; 3] = ["c0", "c1", "c2"];

/// The base chains: their names, kinds, hooks and priorities.
const BASES: [(&str, &str, &str, &[&str]); 9] = [
    ("pre", "filter", "prerouting", &["-300", "-150", "0", "50"]),
    ("fwd", "filter", "forward", &["-150", "0", "10"]),
    ("in", "filter", "input", &["-150", "0", "50"]),
    ("out", "filter", "output", &["-300", "-150", "0"]),
    ("post", "filter", "postrouting", &["-150", "0", "150"]),
    ("route", "route", "output", &["-150", "-1"]),
    ("dnat", "nat", "prerouting", &["-100", "-100", "-120", "20"]),
    ("odnat", "nat", "output", &["-100", "-50"]),
    ("snat", "nat", "postrouting", &["100", "100", "-160", "160"]),
];

/// A ruleset of one or two tables.
pub(crate) fn ruleset(dice: &mut Dice) -> String {
    let tables = 1 + usize::from(dice.chance(40));
    (0..tables).map(|number| table(dice, number)).collect()
}

fn table(dice: &mut Dice, number: usize) -> String {
    let family = dice.pick(&FAMILIES);
    let mut text = format!("table {family} t{number} {{\n");
    for speaks in [Speaks::V4, Speaks::V6] {
        if family != "ip" && speaks == Speaks::V6 || family != "ip6" && speaks == Speaks::V4 {
            text += &sets(dice, speaks);
        }
    }
    let ways =
        dice.some(&["80 : drop", "443 : accept", "53 : jump c1", "8080 : goto c2", "22 : return", "23 : continue"]);
    text +=
        &format!("  map ways {{\n    type inet_service : verdict\n    elements = {{ {} }}\n  }}\n", ways.join(", "));
    // A chain comes before those that jump to it.
    for at in (0..INNER.len()).rev() {
        text += &chain(dice, family, &format!("chain {}", INNER[at]), "", &INNER[at + 1..], Hook::Inner);
    }
    for (name, kind, hook, priorities) in dice.some(&BASES) {
        let policy = if kind != "nat" && dice.chance(15) { "drop" } else { "accept" };
        let base = format!("    type {kind} hook {hook} priority {}; policy {policy};\n", dice.pick(priorities));
        let inner: &[&str] = if kind == "nat" { &[] } else { &INNER };
        let hook = match (kind, hook) {
            ("nat", "postrouting") => Hook::TranslatesSource,
            ("nat", _) => Hook::TranslatesDestination,
            (_, "prerouting" | "output") if base.contains("priority -300") => Hook::Raw,
            (_, "prerouting") => Hook::Arrival,
            (_, "input" | "forward") => Hook::Refuses,
            _ => Hook::Other,
        };
        text += &chain(dice, family, &format!("chain {name}"), &base, inner, hook);
    }
    text + "}\n"
}

/// What can be done in a chain besides what can be done everywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Inner,
    Raw,
    Arrival,
    Refuses,
    Other,
    TranslatesSource,
    TranslatesDestination,
}

fn sets(dice: &mut Dice, speaks: Speaks) -> String {
    let (six, kind) = (usize::from(speaks == Speaks::V6), if speaks == Speaks::V6 { "ipv6_addr" } else { "ipv4_addr" });
    let mut text = String::new();
    let mut set = |what: &str, name: &str, of: &str, flags: &str, elements: &[String]| {
        text += &format!(
            "  {what} {name}{six} {{\n    type {of}\n{flags}    elements = {{ {} }}\n  }}\n",
            elements.join(", ")
        );
    };
    let owned = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let interval = "    flags interval\n";
    set("set", "hosts", kind, "", &owned([dice.some(&SOURCES[six]), dice.some(&DESTINATIONS[six])].concat()));
    set("set", "nets", kind, interval, &owned(dice.some(&NETWORKS[six])));
    set(
        "set",
        "ports",
        "inet_service",
        interval,
        &owned([dice.some(&PORTS), dice.some(&["81-442", "444-1023", "1024-8079", "9000-32767"])].concat()),
    );
    let pairs: Vec<String> =
        dice.some(&DESTINATIONS[six]).iter().map(|host| format!("{host} . {}", dice.pick(&PORTS))).collect();
    set("set", "pairs", &format!("{kind} . inet_service"), "", &pairs);
    let pairs: Vec<String> =
        dice.some(&NETWORKS[six]).iter().map(|net| format!("{net} . {}", dice.pick(&PORT_RANGES))).collect();
    set("set", "spans", &format!("{kind} . inet_service"), interval, &pairs);
    let marks: Vec<String> = dice
        .some(&SOURCES[six])
        .iter()
        .map(|host| format!("{host} : {}", dice.pick(&["0x1", "0x2", "0x30"])))
        .collect();
    set("map", "marks", &format!("{kind} : mark"), "", &marks);
    text
}

fn chain(dice: &mut Dice, family: &str, head: &str, base: &str, inner: &[&str], hook: Hook) -> String {
    let mut text = format!("  {head} {{\n{base}");
    for _ in 0..=dice.below(5) {
        text += &format!("    {}\n", rule(dice, family, inner, hook));
    }
    text + "  }\n"
}

fn rule(dice: &mut Dice, family: &str, inner: &[&str], hook: Hook) -> String {
    let speaks = match family {
        "ip" => Speaks::V4,
        "ip6" => Speaks::V6,
        _ if dice.chance(50) => Speaks::V4,
        _ => Speaks::V6,
    };
    let mut words: Vec<String> = Vec::new();
    // Two matches of different protocols in one rule are refused by nobody, but never hold.
    for _ in 0..dice.pick(&[0, 1, 1, 1, 2, 2, 3]) {
        let arrives = matches!(hook, Hook::Arrival | Hook::Refuses) && dice.chance(12);
        words.push(if arrives { of_arrival(dice) } else { condition(dice, speaks) });
    }
    if dice.chance(25) {
        words.push("counter".into());
    }
    if dice.chance(30) {
        words.push(change(dice, speaks, hook));
    }
    if dice.chance(8) {
        // What was changed before a condition stays changed.
        words.push(condition(dice, speaks));
    }
    let end = verdict(dice, speaks, family, inner, hook);
    if !end.is_empty() || words.is_empty() {
        words.push(if end.is_empty() { "continue".into() } else { end });
    }
    words.join(" ")
}

fn condition(dice: &mut Dice, speaks: Speaks) -> String {
    match dice.below(10) {
        0..=2 => of_addresses(dice, speaks),
        3..=4 => of_transport(dice, speaks),
        5 => of_header(dice, speaks),
        6..=7 => of_meta(dice),
        8 => of_connection(dice),
        _ => of_sets(dice, speaks),
    }
}

fn of_addresses(dice: &mut Dice, speaks: Speaks) -> String {
    let (word, six) = if speaks == Speaks::V6 { ("ip6", 1) } else { ("ip", 0) };
    let (side, pool) = if dice.chance(50) { ("saddr", SOURCES[six]) } else { ("daddr", DESTINATIONS[six]) };
    let not = if dice.chance(30) { "!= " } else { "" };
    let value = match dice.below(4) {
        0 => dice.pick(&pool).to_owned(),
        1 => dice.pick(&NETWORKS[six]).to_owned(),
        2 => dice.pick(&RANGES[six]).to_owned(),
        _ => format!("{{ {} }}", dice.some(&pool).join(", ")),
    };
    format!("{word} {side} {not}{value}")
}

fn of_transport(dice: &mut Dice, speaks: Speaks) -> String {
    let protocol = dice.pick(&["tcp", "tcp", "udp", "icmp", "th", "flags"]);
    let not = if dice.chance(25) { "!= " } else { "" };
    let ports = match dice.below(4) {
        0 => dice.pick(&PORTS).to_owned(),
        1 => dice.pick(&PORT_RANGES).to_owned(),
        _ => format!("{{ {} }}", dice.some(&PORTS).join(", ")),
    };
    match protocol {
        "icmp" if speaks == Speaks::V4 => dice
            .pick(&["icmp type echo-request", "icmp type { echo-reply, destination-unreachable }", "icmp code 0"])
            .into(),
        "icmp" => dice
            .pick(&["icmpv6 type echo-request", "icmpv6 type { echo-reply, destination-unreachable }", "icmpv6 code 0"])
            .into(),
        "th" => format!("meta l4proto {{ tcp, udp }} th dport {not}{ports}"),
        "flags" => dice
            .pick(&[
                "tcp flags syn",
                "tcp flags == syn",
                "tcp flags syn / fin,syn,rst,ack",
                "tcp flags != syn / syn,ack",
                "tcp flags ! fin",
                "tcp flags { syn, ack }",
                "tcp window > 1000",
                "tcp sequence < 1000000",
            ])
            .into(),
        protocol => {
            let side = if dice.chance(20) { ("sport", "1024-40000".to_owned()) } else { ("dport", ports) };
            format!("{protocol} {} {not}{}", side.0, side.1)
        }
    }
}

fn of_header(dice: &mut Dice, speaks: Speaks) -> String {
    let text = if speaks == Speaks::V4 {
        dice.pick(&[
            "ip protocol tcp",
            "ip protocol { udp, icmp }",
            "ip ttl 64",
            "ip ttl < 64",
            "ip ttl 63",
            "ip ttl != 63",
            "ip length > 50",
            "ip length 1-60",
            "ip dscp cs1",
            "ip dscp != cs0",
            "ip hdrlength 6",
            "ip version 4",
            "ip frag-off & 0x4000 != 0",
            "@nh,64,8 0x40",
            "@th,16,16 0x50",
            "ip saddr & 0.0.255.255 == 0.0.0.5",
        ])
    } else {
        dice.pick(&[
            "ip6 nexthdr tcp",
            "ip6 nexthdr { udp, ipv6-icmp }",
            "ip6 hoplimit 64",
            "ip6 hoplimit 63",
            "ip6 hoplimit < 64",
            "ip6 length > 50",
            "ip6 dscp cs1",
            "ip6 dscp != cs0",
            "ip6 version 6",
            "@nh,56,8 0x40",
            "@th,16,16 0x50",
        ])
    };
    text.into()
}

fn of_meta(dice: &mut Dice) -> String {
    dice.pick(&[
        "iifname \"a\"",
        "iifname \"c\"",
        "iifname != \"a\"",
        "oifname \"c\"",
        "oifname != \"c\"",
        "oifname \"c*\"",
        "iifname { \"a\", \"lo\" }",
        "oifname { \"a\", \"c\" }",
        "iif \"lo\"",
        "oif != \"lo\"",
        "iif != \"lo\"",
        "meta l4proto tcp",
        "meta l4proto != tcp",
        "meta l4proto { udp, icmp, ipv6-icmp }",
        "meta nfproto ipv4",
        "meta nfproto ipv6",
        "meta mark 0",
        "meta mark != 0",
        "meta mark 0x1",
        "meta mark & 0x3 == 0x1",
        "meta mark { 0x1, 0x2 }",
        "meta mark 1-5",
        "meta length > 60",
        "meta length 1-70",
        "meta protocol ip",
        "meta protocol ip6",
        "meta iiftype ether",
        "meta oiftype ether",
        "meta pkttype host",
        "meta skuid 0",
        "meta iifgroup 0",
        "meta oifgroup 0",
        "meta cpu 0",
        "numgen random mod 2 0",
        "limit rate 5/second",
        "fib daddr type local",
        "fib daddr type != local",
    ])
    .into()
}

/// What only chains may ask that packets come to from outside.
fn of_arrival(dice: &mut Dice) -> String {
    dice.pick(&[
        "fib daddr . iif type local",
        "fib saddr . iif oif missing",
        "fib saddr . iif oif exists",
        "fib saddr oif exists",
        "fib daddr oifname \"c\"",
        "fib daddr oif missing",
    ])
    .into()
}

fn of_connection(dice: &mut Dice) -> String {
    dice.pick(&[
        "ct state new",
        "ct state established,related",
        "ct state invalid",
        "ct state untracked",
        "ct state { new, established }",
        "ct state != new",
        "ct direction original",
        "ct direction reply",
        "ct mark 0",
        "ct mark 0x5",
        "ct mark != 0",
        "ct status dnat",
        "ct status snat",
        "ct status confirmed",
        "ct status seen-reply",
        "ct original ip saddr 10.1.0.5",
        "ct original ip daddr 198.51.100.1",
        "meta l4proto tcp ct original proto-dst 80",
        "ct zone 0",
    ])
    .into()
}

fn of_sets(dice: &mut Dice, speaks: Speaks) -> String {
    let (word, six) = if speaks == Speaks::V6 { ("ip6", 1) } else { ("ip", 0) };
    let not = if dice.chance(25) { "!= " } else { "" };
    let side = dice.pick(&["saddr", "daddr"]);
    match dice.below(5) {
        0 => format!("{word} {side} {not}@hosts{six}"),
        1 => format!("{word} {side} {not}@nets{six}"),
        2 => format!("tcp dport {not}@ports{six}"),
        3 => format!("{word} daddr . tcp dport {not}@pairs{six}"),
        _ => format!("{word} {side} . udp dport {not}@spans{six}"),
    }
}

/// What changes the packet or its connection.
fn change(dice: &mut Dice, speaks: Speaks, hook: Hook) -> String {
    let (word, six, hops) = if speaks == Speaks::V6 { ("ip6", 1, "hoplimit") } else { ("ip", 0, "ttl") };
    if hook == Hook::Raw && dice.chance(40) {
        return "notrack".into();
    }
    match dice.below(10) {
        0..=2 => dice.pick(&["meta mark set 0x1", "meta mark set 0x2", "meta mark set 0"]).into(),
        3 => "meta mark set meta mark | 0x30".into(),
        4 => format!("meta mark set {word} saddr map @marks{six}"),
        5 => "ct mark set 0x5".into(),
        6 => dice.pick(&["meta mark set ct mark", "ct mark set meta mark", "meta mark set numgen random mod 4"]).into(),
        7 => format!("{word} {hops} set {}", dice.pick(&["63", "5"])),
        8 => format!("{word} dscp set cs1"),
        _ => "tcp dport set 443".into(),
    }
}

fn verdict(dice: &mut Dice, speaks: Speaks, family: &str, inner: &[&str], hook: Hook) -> String {
    let inet = if family == "inet" { if speaks == Speaks::V6 { "ip6 " } else { "ip " } } else { "" };
    let new = |address: &str| format!("{inet}to {address}");
    match hook {
        Hook::TranslatesSource if dice.chance(70) => match (dice.below(3), speaks) {
            (0, _) => "masquerade".into(),
            (_, Speaks::V4) => format!("snat {}", new(dice.pick(&["10.2.0.1", "10.2.0.77"]))),
            (_, Speaks::V6) => format!("snat {}", new(dice.pick(&["fd00:2::1", "fd00:2::77"]))),
        },
        Hook::TranslatesDestination if dice.chance(70) => match (dice.below(4), speaks) {
            (0, _) => "meta l4proto { tcp, udp } redirect to :8080".into(),
            (1, Speaks::V4) => format!("meta l4proto tcp dnat {}", new("198.51.100.2:8080")),
            (_, Speaks::V4) => format!("dnat {}", new(dice.pick(&["198.51.100.2", "198.51.100.77", "10.2.0.1"]))),
            (1, Speaks::V6) => format!("meta l4proto tcp dnat {}", new("[2001:db8:100::2]:8080")),
            (_, Speaks::V6) => {
                format!("dnat {}", new(dice.pick(&["2001:db8:100::2", "2001:db8:100::77", "fd00:2::1"])))
            }
        },
        Hook::Refuses if dice.chance(6) => "reject".into(),
        _ => match dice.below(20) {
            0..=4 => "accept".into(),
            5..=7 => "drop".into(),
            8 => "return".into(),
            9..=11 if !inner.is_empty() => format!("jump {}", dice.pick(inner)),
            12 if !inner.is_empty() => format!("goto {}", dice.pick(inner)),
            13 if inner.len() == INNER.len() => "tcp dport vmap @ways".into(),
            14 if inner.len() == INNER.len() => {
                "meta l4proto vmap { tcp : jump c0, udp : continue, icmp : accept, ipv6-icmp : return }".into()
            }
            _ => String::new(),
        },
    }
}
