//! Transactions and readings on the real kernel.

use nsgate_core::model::ruleset::{Ruleset, Table, TableFamily, parse};

use super::read::hostile::{self, Asked};
use super::*;
use crate::error::Kind;
use crate::netlink::{Protocol, Socket};
use crate::sandbox::test;

fn open() -> Socket {
    Socket::open(Protocol::Netfilter).unwrap()
}

fn run(socket: &mut Socket, text: &str) -> Result<(), crate::Error> {
    let known = ruleset(socket).unwrap().ruleset;
    commit(socket, &parse::commands(text, &known).unwrap_or_else(|e| panic!("{e}")), None)
}

/// What the kernel decides is left out: numbers, and the names of anonymous sets.
fn text(ruleset: &Ruleset) -> String {
    ruleset.to_string()
}

const EVERYTHING: &str = include_str!("../../tests/rulesets/everything.nft");

#[test]
fn what_is_written_reads_back() {
    test(|| {
        let mut socket = open();
        run(&mut socket, EVERYTHING).unwrap_or_else(|error| panic!("{error}"));
        let reading = ruleset(&mut socket).unwrap();
        assert!(reading.consistent);
        assert_eq!(reading.unread, 0);
        let wanted = Ruleset::from_text(EVERYTHING).unwrap();
        for (read, wanted) in reading.ruleset.tables.iter().zip(&wanted.tables) {
            for (read, wanted) in read.chains.iter().zip(&wanted.chains) {
                for (r, w) in read.rules.iter().zip(&wanted.rules) {
                    assert_eq!(unnamed(&r.expressions), unnamed(&w.expressions));
                }
            }
        }
        assert_eq!(text(&reading.ruleset), text(&wanted));
    });
}

/// Instructions without the names of anonymous sets.
fn unnamed(expressions: &[nsgate_core::model::ruleset::Expression]) -> String {
    let shown = format!("{expressions:?}");
    let mut parts = shown.split("\"__");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start_matches(|c: char| c.is_alphanumeric()))
}

#[test]
fn thousands_of_elements_go_in_one_transaction() {
    test(|| {
        let mut socket = open();
        let elements: Vec<_> =
            (0..6000u32).map(|n| format!("10.1.{}.{} : 10.2.{}.{}", n >> 8, n & 255, n >> 8, n & 255)).collect();
        let line = format!(
            "table ip t {{ map m {{ type ipv4_addr : ipv4_addr; elements = {{ {} }}; }}; }}",
            elements.join(", ")
        );
        run(&mut socket, &line).unwrap_or_else(|error| panic!("{error}"));
        let read = ruleset(&mut socket).unwrap().ruleset;
        assert_eq!(read.tables[0].sets[0].elements.len(), 6000);
        run(&mut socket, "delete element ip t m { 10.1.0.7 : 10.2.0.7 }").unwrap();
        assert_eq!(ruleset(&mut socket).unwrap().ruleset.tables[0].sets[0].elements.len(), 5999);
        run(&mut socket, "flush map ip t m").unwrap();
        assert_eq!(ruleset(&mut socket).unwrap().ruleset.tables[0].sets[0].elements.len(), 0);
    });
}

#[test]
fn a_transaction_that_fails_changes_nothing_and_says_where() {
    test(|| {
        let mut socket = open();
        run(&mut socket, "table ip t { chain c { } }").unwrap();
        let before = ruleset(&mut socket).unwrap().ruleset;
        let lines = "add chain ip t other\nadd rule ip t c jump nowhere\nadd rule ip t c accept";
        let error = run(&mut socket, lines).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "cannot do `nft add rule ip t c jump nowhere`: No such file or directory");
        assert_eq!(ruleset(&mut socket).unwrap().ruleset, before);
    });
}

#[test]
fn a_ruleset_that_has_changed_meanwhile_is_noticed() {
    test(|| {
        let mut socket = open();
        let generation = generation(&mut socket).unwrap();
        let commands = parse::commands("add table ip t", &Ruleset::default()).unwrap();
        commit(&mut socket, &commands, Some(generation)).unwrap();
        let error = commit(&mut socket, &commands, Some(generation)).unwrap_err();
        assert!(error.to_string().contains("changed by somebody else"), "{error}");
    });
}

#[test]
fn a_ruleset_that_changes_while_it_is_read_is_read_again() {
    test(|| {
        let (mut reader, mut writer) = (open(), open());
        let mut readings = 0;
        let reading = read::settled(&mut reader, |socket| {
            let reading = read::read_once(socket);
            readings += 1;
            if readings < 3 {
                run(&mut writer, &format!("add table ip t{readings}")).unwrap();
            }
            reading
        })
        .unwrap();
        assert_eq!((readings, reading.consistent), (3, true));
        assert_eq!(reading.ruleset.tables.len(), 2);
        assert_eq!(reading.ruleset.generation, generation(&mut open()).unwrap());
        let mut readings = 0;
        let restless = read::settled(&mut reader, |socket| {
            let reading = read::read_once(socket);
            readings += 1;
            run(&mut writer, &format!("add table ip6 t{readings}")).unwrap();
            reading
        })
        .unwrap();
        assert_eq!((readings, restless.consistent), (read::ATTEMPTS, false));
    });
}

#[test]
fn what_is_read_beside_a_writer_is_of_one_moment() {
    test(|| {
        run(&mut open(), "table ip t { chain c { } }").unwrap();
        let writer = std::thread::spawn(|| {
            let mut socket = open();
            let known = ruleset(&mut socket).unwrap().ruleset;
            for round in 0..60 {
                let rules = format!("add rule ip t c ip saddr {{ 1.1.1.1, 2.2.2.2 }} comment \"{round}\"\n").repeat(20);
                let commands = parse::commands(&format!("flush chain ip t c\n{rules}"), &known).unwrap();
                commit(&mut socket, &commands, None).unwrap();
            }
        });
        let mut socket = open();
        while !writer.is_finished() {
            let Ok(reading) = ruleset(&mut socket) else { continue };
            let table = &reading.ruleset.tables[0];
            let comments: Vec<_> = table.chains[0].rules.iter().map(|r| &r.comment).collect();
            if reading.consistent && !comments.is_empty() {
                assert_eq!((comments.len(), table.sets.len()), (20, 20));
                assert!(comments.iter().all(|c| *c == comments[0]), "{comments:?}");
                assert!(table.sets.iter().all(|s| s.elements.len() == 2));
            }
        }
        writer.join().unwrap();
        assert!(ruleset(&mut socket).unwrap().consistent);
    });
}

#[test]
fn rules_go_where_they_are_sent() {
    test(|| {
        let mut socket = open();
        run(&mut socket, "table inet t { chain c { tcp dport 1 accept\n tcp dport 2 accept\n } }").unwrap();
        let handle = |socket: &mut Socket, place: usize| {
            ruleset(socket).unwrap().ruleset.tables[0].chains[0].rules[place].handle
        };
        let second = handle(&mut socket, 1);
        run(&mut socket, &format!("insert rule inet t c handle {second} udp dport {{ 5, 6 }} drop")).unwrap();
        run(&mut socket, &format!("add rule inet t c handle {second} comment \"last\"")).unwrap();
        run(&mut socket, "insert rule inet t c notrack").unwrap();
        run(&mut socket, &format!("replace rule inet t c handle {second} tcp dport {{ 7, 8-9 }} accept")).unwrap();
        let rules = |socket: &mut Socket| {
            let read = ruleset(socket).unwrap().ruleset;
            let table: &Table = read.table(TableFamily::Inet, "t").unwrap();
            let show = |r| nsgate_core::model::ruleset::text::rule(table.family, &table.sets, r);
            table.chains[0].rules.iter().map(show).collect::<Vec<_>>()
        };
        let expected = [
            "notrack",
            "tcp dport 1 accept",
            "udp dport { 5, 6 } drop",
            "tcp dport { 7, 8-9 } accept",
            "comment \"last\"",
        ];
        assert_eq!(rules(&mut socket), expected);
        let first = handle(&mut socket, 0);
        run(&mut socket, &format!("delete rule inet t c handle {first}")).unwrap();
        assert_eq!(rules(&mut socket), expected[1..]);
        run(&mut socket, "flush chain inet t c").unwrap();
        assert_eq!(rules(&mut socket), [""; 0]);
        run(&mut socket, "delete chain inet t c\ndelete table inet t").unwrap();
        assert_eq!(ruleset(&mut socket).unwrap().ruleset.tables, []);
    });
}

#[test]
fn an_owned_table_goes_with_its_socket() {
    test(|| {
        let mut owner = open();
        run(&mut owner, "table inet t { flags owner; comment \"made here\"; }").unwrap();
        let mut other = open();
        let read = ruleset(&mut other).unwrap().ruleset;
        assert!(read.tables[0].owner.is_some());
        assert_eq!(read.tables[0].comment.as_deref(), Some("made here"));
        assert_eq!(run(&mut other, "delete table inet t").unwrap_err().kind(), Kind::NotPermitted);
        drop(owner);
        assert_eq!(ruleset(&mut other).unwrap().ruleset.tables, []);
    });
}

/// Rulesets as people and programs write them.
const RULESETS: [(&str, &str); 4] = [
    ("everything", EVERYTHING),
    ("home-router", include_str!("../../tests/rulesets/home-router.nft")),
    ("tenants", include_str!("../../tests/rulesets/tenants.nft")),
    ("frames", include_str!("../../tests/rulesets/frames.nft")),
];

#[test]
fn whole_rulesets_are_written_and_read() {
    test(|| {
        let mut socket = open();
        for (name, text) in RULESETS {
            run(&mut socket, text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let reading = ruleset(&mut socket).unwrap();
            assert_eq!(reading.ruleset.to_string(), Ruleset::from_text(text).unwrap().to_string(), "{name}");
            let gone = reading.ruleset.tables.iter().map(|t| format!("delete table {} {}", t.family, t.name));
            run(&mut socket, &gone.collect::<Vec<_>>().join("\n")).unwrap();
        }
    });
}

#[test]
#[ignore = "needs Debian's nft; run by cargo xtask interop"]
fn nft_and_nsgate_understand_each_other() {
    test(|| {
        let mut socket = open();
        let mut read = |what: &str| {
            let reading = ruleset(&mut socket).unwrap();
            assert_eq!((reading.unread, reading.consistent), (0, true), "{what}");
            let text = reading.ruleset.to_string();
            assert!(!text.contains(" [ "), "{what}: not understood:\n{text}");
            let tables = reading.ruleset.tables.iter();
            let gone: Vec<_> = tables.map(|t| format!("delete table {} {}", t.family, t.name)).collect();
            run(&mut socket, &gone.join("\n")).unwrap();
            text
        };
        for (name, text) in RULESETS {
            nft(text);
            let by_nft = read(name);
            run(&mut open(), text).unwrap_or_else(|error| panic!("{name}: {error}"));
            same(&read(name), &by_nft, &format!("{name}: nft and nsgate made different rulesets"));
            nft(&by_nft);
            same(&read(name), &by_nft, &format!("{name}: nft read nsgate's text differently"));
            run(&mut open(), &by_nft).unwrap_or_else(|error| panic!("{name}: {error}"));
            same(&read(name), &by_nft, &format!("{name}: nsgate read its own text differently"));
        }
    });
}

/// Compares line by line, which is easier to read when it fails.
#[track_caller]
fn same(left: &str, right: &str, what: &str) {
    for (left, right) in left.lines().zip(right.lines()) {
        assert_eq!(left, right, "{what}");
    }
    assert_eq!(left.len(), right.len(), "{what}");
}

/// Has Debian's nft carry out a text.
fn nft(text: &str) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_hostile_kernel_does_no_harm() {
    test(|| {
        let mut socket = open();
        for (_, text) in RULESETS {
            run(&mut socket, text).unwrap();
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        for kind in Asked::ALL {
            for payload in hostile::payloads(&mut socket, kind) {
                for _ in 0..200 {
                    let mut bytes = payload.clone();
                    for _ in 0..=random(2) {
                        let place = random(bytes.len());
                        bytes[place] = [0, 1, 0x7f, 0xff, random(256) as u8][random(5)];
                    }
                    bytes.truncate(payload.len() - if random(4) == 0 { random(payload.len()) } else { 0 });
                    let text = hostile::shown(TableFamily::Inet, &[(kind, &bytes)]);
                    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
                }
            }
        }
    });
}

/// Rules of iptables whose meaning nft's language has words for.
const IPTABLES: [&str; 34] = [
    "-t nat -A POSTROUTING -s 1.1.1.0/24 ! -o br0 -j MASQUERADE",
    "-t nat -A POSTROUTING -p tcp -o eth2 -j MASQUERADE --to-ports 1024-2048 --random",
    "-t nat -A POSTROUTING -s 1.1.1.2 -j SNAT --to-source 10.20.30.182",
    "-t nat -A POSTROUTING -p udp -j SNAT --to-source 10.20.30.182-10.20.30.190:1000-2000 --persistent",
    "-t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 1.1.1.2:80",
    "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j ACCEPT",
    "-t nat -A PREROUTING -p tcp --dport 53 -j REDIRECT --to-ports 5353",
    "-N DOCKER",
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -m conntrack ! --ctstate NEW,INVALID -j DROP",
    "-A FORWARD -m state --state NEW -j ACCEPT",
    "-A FORWARD -i veth+ -j DOCKER",
    "-A FORWARD -p tcp -m multiport --dports 80,443,1000:2000 -j ACCEPT",
    "-A FORWARD -p tcp -m tcp --tcp-flags SYN,ACK SYN -j ACCEPT",
    "-A FORWARD -p tcp --sport 1:100 --dport 22 -j ACCEPT",
    "-A FORWARD -p icmp --icmp-type 3/4 -j ACCEPT",
    "-A FORWARD -m mark --mark 0x10/0xff -j ACCEPT",
    "-A FORWARD -m connmark --mark 0x10/0xff -j ACCEPT",
    "-A FORWARD -m limit --limit 5/min --limit-burst 3 -j LOG --log-prefix abc --log-level debug",
    "-A FORWARD -j REJECT --reject-with icmp-host-prohibited",
    "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset",
    "-A OUTPUT -m owner --uid-owner 0 ! --gid-owner 0 -j ACCEPT",
    "-A FORWARD -m length --length 100:200 -j ACCEPT",
    "-A FORWARD -m ttl --ttl-lt 5 -j DROP",
    "-A FORWARD -m iprange --src-range 1.1.1.1-1.1.1.9 -j DROP",
    "-A FORWARD -m pkttype --pkt-type broadcast -j DROP",
    "-A FORWARD -m helper --helper ftp -j DROP",
    "-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "-t mangle -A PREROUTING -j MARK --set-xmark 0x10/0xff",
    "-t mangle -A PREROUTING -j CONNMARK --restore-mark",
    "-t mangle -A PREROUTING -j TTL --ttl-set 5",
    "-t raw -A PREROUTING -m rpfilter --invert -j DROP",
    "-t raw -A PREROUTING -p udp -j NOTRACK",
    "-t raw -A PREROUTING -j CT --zone 5",
];

#[test]
#[ignore = "needs Debian's nft and iptables; run by cargo xtask interop"]
fn rules_of_iptables_are_understood() {
    test(|| {
        for rule in IPTABLES {
            let status = std::process::Command::new("iptables-nft").args(rule.split(' ')).status().unwrap();
            assert!(status.success(), "{rule}");
        }
        let mut socket = open();
        let read = ruleset(&mut socket).unwrap().ruleset;
        let text = read.to_string();
        assert!(!text.contains("xt "), "not understood:\n{text}");
        let gone: Vec<_> = read.tables.iter().map(|t| format!("delete table {} {}", t.family, t.name)).collect();
        run(&mut socket, &gone.join("\n")).unwrap();
        nft(&text);
        same(&ruleset(&mut socket).unwrap().ruleset.to_string(), &text, "nft read nsgate's text differently");
    });
}
