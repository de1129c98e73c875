//! Sets made here through the kernel's own interface, and by Debian's ipset.

use nsgate_core::filter::{Connection, Device, End, Layer, Subject, walk};
use nsgate_core::model::ruleset::{Data, Hook, Rule, TableFamily, Verdict, text};
use nsgate_core::model::{Namespace, NetnsName};
use nsgate_packet::{Tcp, TcpFlags, Transport, build};

use super::*;
use crate::netlink::hostile;
use crate::sandbox::test;
use crate::{legacy, nftables};

/// `IPSET_CMD_CREATE` and `IPSET_CMD_ADD`.
const CREATE: u16 = LIST - 5;
const ADD: u16 = LIST + 2;

/// Makes a set of addresses, and puts some in.
fn make(socket: &mut Socket, name: &str, members: &[&str]) {
    let begin = |batch: &mut Batch, command| {
        batch.begin(command, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &[libc::AF_INET as u8, 0, 0, 0]);
        batch.u8(message::PROTOCOL, VERSION);
        batch.text(message::NAME, name);
    };
    let mut batch = Batch::new();
    begin(&mut batch, CREATE);
    batch.text(message::TYPE, "hash:net");
    // IPSET_ATTR_REVISION.
    batch.u8(4, 0);
    batch.u8(message::FAMILY, 2);
    batch.nest(message::DATA, |_| {});
    for member in members {
        let net: IpNet = member.parse().unwrap();
        begin(&mut batch, ADD);
        batch.nest(message::DATA, |b| {
            b.nest(data::ADDRESS, |b| {
                let IpAddr::V4(address) = net.addr() else { panic!("{net}") };
                b.be32(1 | 0x4000, u32::from(address));
            });
            b.u8(data::PREFIX, net.prefix_len());
        });
    }
    assert_eq!(socket.send(&mut batch).unwrap().refused(), None);
}

/// A rule of iptables-nft that drops whatever set 0 holds the source of.
fn rule_with_a_set() -> Vec<Expression> {
    vec![
        Expression::XtMatch { name: "set".into(), revision: 1, info: vec![0, 0, 1, 2] },
        Expression::Immediate { to: None, data: Data::Verdict(Verdict::Drop) },
    ]
}

#[test]
fn no_bytes_do_harm() {
    hostile::try_on(|message| read_part(message).map(|part| part.members.len()));
}

#[test]
fn sets_that_rules_name_are_read_with_their_members() {
    test(|| {
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        make(&mut socket, "blocked", &["10.0.0.0/8", "192.0.2.7/32"]);
        make(&mut socket, "unrelated", &["10.0.0.0/8"]);
        let chain = "table ip filter { chain FORWARD { type filter hook forward priority 0; } }";
        let mut ruleset = Ruleset::from_text(chain).unwrap();
        assert_eq!(complete(&mut ruleset).len(), 0);
        assert_eq!(ruleset.ipsets, []);
        let expressions = rule_with_a_set();
        ruleset.tables[0].chains[0].rules.push(Rule { handle: 1, expressions, comment: None });
        assert_eq!(complete(&mut ruleset).len(), 0);
        let [set] = &ruleset.ipsets[..] else { panic!("{:?}", ruleset.ipsets) };
        assert_eq!((set.name.as_str(), set.kind.as_str(), set.index, set.family), ("blocked", "hash:net", Some(0), 2));
        let mut members: Vec<String> = set.members.iter().map(ToString::to_string).collect();
        members.sort();
        assert_eq!(members, ["10.0.0.0/8", "192.0.2.7"]);
        let shown = text::rule(TableFamily::Ip, &[], &ruleset.tables[0].chains[0].rules[0]);
        assert_eq!(shown, "xt match \"set\" ( --match-set blocked src ) drop");
    });
}

#[test]
fn a_set_that_is_gone_is_told() {
    test(|| {
        let mut ruleset = Ruleset::from_text("table ip filter { chain FORWARD { } }").unwrap();
        let expressions = rule_with_a_set();
        ruleset.tables[0].chains[0].rules.push(Rule { handle: 1, expressions, comment: None });
        let unread = complete(&mut ruleset);
        assert_eq!(unread.len(), 1);
        let shown = text::rule(TableFamily::Ip, &[], &ruleset.tables[0].chains[0].rules[0]);
        assert_eq!(shown, "xt match \"set\" ( --match-set #0 src ) drop");
    });
}

/// Types of sets, with members, and for each a question with what becomes of a SYN from 1.1.1.2:4000 to 9.9.9.9:80 that
/// comes in by veth3 and leaves by eth2, with the mark 7.
const SETS: [(&str, &[&str], &str, bool); 24] = [
    ("hash:ip", &["1.1.1.2"], "src", true),
    ("hash:ip", &["1.1.1.2"], "dst", false),
    ("hash:ip netmask 24", &["1.1.1.0"], "src", true),
    ("hash:net", &["9.9.0.0/16", "9.9.9.0/24 nomatch"], "dst", false),
    ("hash:net", &["9.9.0.0/16 nomatch", "9.9.9.9"], "dst", true),
    ("hash:net", &["0.0.0.0/1", "128.0.0.0/1"], "dst", true),
    ("hash:ip,port", &["9.9.9.9,tcp:80"], "dst,dst", true),
    ("hash:ip,port", &["9.9.9.9,udp:80"], "dst,dst", false),
    ("hash:ip,port", &["9.9.9.9,tcp:4000"], "dst,src", true),
    ("hash:net,port", &["9.9.9.0/24,tcp:79-81"], "dst,dst", true),
    ("hash:net,port", &["9.9.9.0/24,tcp:79-81"], "dst", false),
    ("hash:net,port", &["9.9.9.0/24,tcp:81-90"], "dst,dst", false),
    ("hash:ip,port,ip", &["1.1.1.2,tcp:80,9.9.9.9"], "src,dst,dst", true),
    ("hash:ip,port,net", &["1.1.1.2,tcp:80,9.9.8.0/23"], "src,dst,dst", true),
    ("hash:ip,port,net", &["1.1.1.2,tcp:80,9.9.8.0/24"], "src,dst,dst", false),
    ("hash:net,iface", &["1.1.1.0/24,veth3"], "src,src", true),
    ("hash:net,iface", &["1.1.1.0/24,veth3"], "src,dst", false),
    ("bitmap:ip range 1.1.1.0/24", &["1.1.1.2"], "src", true),
    ("bitmap:port range 0-1024", &["80"], "dst", true),
    ("bitmap:port range 0-1024", &["80"], "src", false),
    ("hash:ip timeout 300", &["1.1.1.2"], "src", true),
    ("hash:ip comment counters", &["1.1.1.2"], "src", true),
    ("list:set", &["inner"], "src", true),
    ("list:set", &["inner"], "dst", false),
];

fn debian(line: &str) {
    let mut words = line.split_whitespace();
    let status = std::process::Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{line}");
}

/// Whether the packet is dropped by the forward chain as it stands in the kernel; none if that is not known.
fn dropped() -> Option<bool> {
    let mut netns = Namespace::new(NetnsName::host(), 1);
    netns.ruleset = nftables::ruleset(&mut Socket::open(Protocol::Netfilter).unwrap()).unwrap().ruleset;
    netns.ruleset.legacy = legacy::tables(false).tables;
    assert_eq!(complete(&mut netns.ruleset).len(), 0);
    let tcp = Transport::Tcp(Tcp {
        source_port: 4000,
        destination_port: 80,
        sequence: 1,
        acknowledgement: 0,
        flags: TcpFlags::SYN,
        window: 100,
        options: &[],
        payload: &[],
    });
    let outer = build::Outer::new("1.1.1.2".parse().unwrap(), "9.9.9.9".parse().unwrap());
    let device = |index, name: &str| Some(Device { index, name: name.into(), group: 0, hardware: 1 });
    let subject = Subject {
        layer: Layer::Ip,
        netns: &netns,
        packet: build::ip(&outer, &tcp).unwrap(),
        ethernet: None,
        entered: device(2, "veth3"),
        leaves: device(3, "eth2"),
        mark: Some(7),
        connection: Connection::new_flow(),
    };
    match walk(&subject, Hook::Forward).end {
        End::Passed => Some(false),
        End::Lost(_) => Some(true),
        End::Unknown(_) => None,
    }
}

#[test]
#[ignore = "needs Debian's ipset and iptables; run by cargo xtask interop"]
fn sets_of_every_type_decide_as_their_members_say() {
    test(|| {
        debian("ipset create inner hash:ip");
        debian("ipset add inner 1.1.1.2");
        for (kind, members, directions, inside) in SETS {
            debian(&format!("ipset create tried {kind}"));
            for member in members {
                debian(&format!("ipset add tried {member}"));
            }
            for engine in ["iptables-nft", "iptables-legacy"] {
                for (not, expected) in [("", inside), ("! ", !inside)] {
                    debian(&format!("{engine} -A FORWARD -m set {not}--match-set tried {directions} -j DROP"));
                    assert_eq!(dropped(), Some(expected), "{engine} {kind} {members:?} {not}{directions}");
                    debian(&format!("{engine} -F FORWARD"));
                }
            }
            debian("ipset destroy tried");
        }
    });
}
