//! What the kernel at hand may not have, in messages made by hand: every instruction is written and read again, and
//! flow tables, tunnels and objects of unknown kinds become text.

use nsgate_core::model::ruleset::{
    Base, Bitwise, CmpOp, CtKey, Data, Expression, FibResult, MetaKey, Nat, NatFlags, Register, RejectKind, Rule, Set,
    TableFamily, Verdict, text,
};

use super::numbers::{EXPRESSION_NAME, LIST_ELEMENT, flow_table, object};
use super::read::expressions;
use super::read::hostile::{Asked, shown};
use super::write::write_expressions;
use crate::netlink::{Batch, Messages};

const FIRST: Register = Register(0);
const SECOND: Register = Register(4);

/// Instructions that read.
fn loads() -> Vec<Expression> {
    let to = FIRST;
    let payload = Expression::Payload { to, base: Base::Network, offset: 12, length: 4 };
    vec![
        Expression::Meta { key: MetaKey(3), to },
        Expression::Ct { key: CtKey(8), to, direction: Some(1) },
        Expression::Fib { to, result: FibResult(3), flags: 9 },
        Expression::Route { key: 3, to },
        Expression::HeaderOption { to, kind: 1, number: 2, offset: 2, length: 2, present: false },
        Expression::HeaderOption { to, kind: 4, number: 5, offset: 0, length: 1, present: true },
        Expression::Number { to, random: true, modulus: 5, offset: 1 },
        Expression::Hash { to, from: Some((SECOND, 4)), modulus: 2, seed: Some(7), offset: 0 },
        Expression::Hash { to, from: None, modulus: 2, seed: None, offset: 3 },
        Expression::Immediate { to: Some(to), data: Data::Value(vec![1, 2, 3, 4]) },
        Expression::Socket { key: 3, to, level: Some(2) },
        Expression::Socket { key: 0, to, level: None },
        Expression::Fingerprint { to, ttl: 2, flags: 1 },
        Expression::Xfrm { key: 5, to, direction: 1, number: 2 },
        Expression::Tunnel { key: 1, to, mode: 2 },
        Expression::Inner { number: 0, kind: 1, flags: 15, header_length: 8, load: Box::new(payload.clone()) },
        payload,
    ]
}

/// Instructions that ask, change, or hand on.
fn uses() -> Vec<Expression> {
    let (from, to) = (FIRST, SECOND);
    let counter = Expression::Counter { packets: 1, bytes: 2 };
    let limit = Expression::Limit { rate: 1, unit: 60, burst: 2, bytes: true, over: true };
    let update = |each: Vec<Expression>| Expression::Update {
        set: "s".into(),
        operation: 1,
        key: from,
        data: Some(to),
        timeout: Some(5000),
        each,
        inverted: true,
    };
    vec![
        Expression::Cmp { from, op: CmpOp::Gte, value: vec![1] },
        Expression::Range { from, inverted: true, low: vec![1], high: vec![2] },
        Expression::Bitwise { from, to, length: 4, operation: Bitwise::ShiftLeft(3) },
        Expression::Bitwise { from, to, length: 4, operation: Bitwise::With(3, to) },
        Expression::Byteorder { from, to, to_host: true, length: 4, size: 4 },
        Expression::Lookup { set: "s".into(), from, to: Some(to), verdict: false, inverted: false },
        Expression::Lookup { set: "m".into(), from, to: None, verdict: true, inverted: false },
        Expression::ObjectMap { set: "o".into(), from },
        update(Vec::new()),
        update(vec![counter.clone()]),
        update(vec![counter.clone(), limit.clone()]),
        Expression::PayloadSet { from, base: Base::Transport, offset: 2, length: 2, checksum: (1, 16, 1) },
        Expression::HeaderOptionSet { from, kind: 1, number: 2, offset: 2, length: 2 },
        Expression::HeaderOptionReset { kind: 1, number: 4 },
        Expression::MetaSet { key: MetaKey(35), from },
        Expression::CtSet { key: CtKey(17), from, direction: Some(0) },
        Expression::Duplicate { address: Some(from), device: Some(to) },
        Expression::Forward { device: from, address: Some((to, 10)) },
        Expression::Forward { device: from, address: None },
        Expression::TransparentProxy { family: 2, address: Some(from), port: Some(to) },
        Expression::Masquerade { port: Some((from, to)), flags: NatFlags(16) },
        Expression::Redirect { port: Some((from, from)), flags: NatFlags(0) },
        Expression::Nat(Nat {
            source: true,
            family: 2,
            address: Some((from, to)),
            port: Some((to, to)),
            flags: NatFlags(3),
        }),
        counter,
        limit,
    ]
}

/// Instructions that decide, count or call.
fn ends() -> Vec<Expression> {
    vec![
        Expression::Immediate { to: None, data: Data::Verdict(Verdict::Goto("c".into())) },
        Expression::Reject(RejectKind::Icmpx(2)),
        Expression::Log {
            prefix: Some("p".into()),
            group: Some(3),
            level: None,
            snaplen: Some(9),
            threshold: Some(2),
            flags: 0,
        },
        Expression::Queue { number: 1, total: 3, flags: 1 },
        Expression::ConnectionLimit { count: 5, over: true },
        Expression::Quota { bytes: 9, used: 1, over: true },
        Expression::Object { kind: 3, name: "h".into() },
        Expression::Synproxy { mss: 1460, wscale: 7, flags: 15 },
        Expression::Last { used: Some(5000) },
        Expression::Last { used: None },
        Expression::FlowOffload { table: "f".into() },
        Expression::Notrack,
        Expression::XtMatch { name: "tcp".into(), revision: 0, info: vec![1; 20] },
        Expression::XtTarget { name: "LOG".into(), revision: 2, info: vec![3; 4] },
        Expression::Unknown { name: "tomorrow".into(), attributes: vec![8, 0, 1, 0, 0, 0, 0, 5] },
    ]
}

#[test]
fn every_instruction_is_written_and_read_again() {
    for expression in [loads(), uses(), ends()].concat() {
        let mut batch = Batch::new();
        batch.begin(0, 0, &[]);
        write_expressions(&mut batch, std::slice::from_ref(&expression));
        let message = Messages::new(batch.part(0, 1)).next().unwrap();
        let (_, attributes) = message.split::<0>().unwrap();
        assert_eq!(expressions(attributes), [expression]);
    }
}

#[test]
fn instructions_take_no_more_room_than_they_need() {
    let written = [loads(), uses()].concat();
    let mut batch = Batch::new();
    batch.begin(0, 0, &[]);
    write_expressions(&mut batch, &written);
    let message = Messages::new(batch.part(0, 1)).next().unwrap();
    let (_, attributes) = message.split::<0>().unwrap();
    let read = expressions(attributes);
    assert_eq!((read.len(), read.capacity()), (written.len(), written.len()));
}

#[track_caller]
fn reads(family: TableFamily, expressions: Vec<Expression>, expected: &str) {
    let rule = Rule { handle: 0, expressions, comment: None };
    assert_eq!(text::rule(family, &[Set::default()], &rule), expected);
}

#[test]
fn what_this_kernel_may_lack_has_its_words() {
    let inet = TableFamily::Inet;
    let to = FIRST;
    reads(inet, vec![Expression::FlowOffload { table: "fast".into() }], "flow add @fast");
    reads(inet, vec![Expression::Last { used: None }], "last");
    reads(inet, vec![Expression::Last { used: Some(61_000) }], "last used 1m1s");
    reads(inet, vec![Expression::Queue { number: 1, total: 3, flags: 3 }], "queue flags bypass,fanout to 1-3");
    let equals = |value: &[u8]| Expression::Cmp { from: to, op: CmpOp::Eq, value: value.to_vec() };
    let payload = Expression::Payload { to, base: Base::Network, offset: 12, length: 4 };
    let inner = Expression::Inner { number: 0, kind: 1, flags: 15, header_length: 8, load: Box::new(payload) };
    reads(inet, vec![inner, equals(&[1, 1, 1, 1])], "vxlan @nh,96,32 16843009");
    let tunnel = Expression::Tunnel { key: 1, to, mode: 0 };
    reads(inet, vec![tunnel, equals(&7u32.to_ne_bytes())], "tunnel id 7");
    let option = Expression::HeaderOption { to, kind: 4, number: 5, offset: 0, length: 1, present: true };
    reads(inet, vec![option, equals(&[1])], "dccp option 5 exists");
    let bridge = Expression::Meta { key: MetaKey(17), to };
    let name = [b"br0".to_vec(), vec![0; 13]].concat();
    reads(TableFamily::Bridge, vec![bridge, equals(&name)], "meta ibrname \"br0\"");
    let socket = Expression::Socket { key: 3, to, level: Some(2) };
    reads(inet, vec![socket, equals(&9u64.to_ne_bytes())], "socket cgroupv2 level 2 9");
    let unknown = Expression::Unknown { name: "tomorrow".into(), attributes: vec![1] };
    reads(inet, vec![unknown], "[ tomorrow ]");
}

/// A message of a table of this family, as the kernel would send it.
fn message(fill: impl FnOnce(&mut Batch)) -> Vec<u8> {
    let mut batch = Batch::new();
    batch.begin(0, 0, &[TableFamily::Inet.number(), 0, 0, 0]);
    batch.text(object::TABLE, "t");
    fill(&mut batch);
    Messages::new(batch.part(0, 1)).next().unwrap().payload.to_vec()
}

#[test]
fn flow_tables_become_text() {
    let read = message(|b| {
        b.text(flow_table::NAME, "fast");
        b.nest(flow_table::HOOK, |b| {
            b.be32(flow_table::HOOK_NUMBER, 0);
            b.be32(flow_table::HOOK_PRIORITY, 10);
            b.nest(flow_table::HOOK_DEVICES, |b| {
                b.text(LIST_ELEMENT, "eth0");
                b.text(LIST_ELEMENT, "eth1");
            });
        });
        b.be32(flow_table::FLAGS, 3);
    });
    let expected = "table inet t {\n\tflowtable fast {\n\t\thook ingress priority filter + 10\n\
        \t\tdevices = { \"eth0\", \"eth1\" }\n\t\tflags offload\n\t\tcounter\n\t}\n}\n";
    assert_eq!(shown(TableFamily::Inet, &[(Asked::FlowTables, &read)]), expected);
}

#[test]
fn tunnels_and_unknown_objects_become_text() {
    let tunnel = message(|b| {
        b.text(object::NAME, "wire");
        b.be32(object::KIND, object::TUNNEL);
        b.nest(object::DATA, |b| {
            b.be32(object::tunnel::ID, 10);
            b.nest(object::tunnel::IPV4, |b| {
                b.bytes(object::tunnel::SOURCE, &[192, 0, 2, 1]);
                b.bytes(object::tunnel::DESTINATION, &[192, 0, 2, 2]);
            });
            b.be16(object::tunnel::DESTINATION_PORT, 4789);
            b.u8(object::tunnel::TTL, 64);
        });
    });
    let other = message(|b| {
        b.text(object::NAME, "new");
        b.be32(object::KIND, 99);
        b.nest(object::DATA, |b| b.text(EXPRESSION_NAME, "x"));
    });
    let expected = "table inet t {\n\ttunnel wire {\n\t\tid 10\n\t\tip saddr 192.0.2.1\n\t\tip daddr 192.0.2.2\n\
        \t\tdport 4789\n\t\tttl 64\n\t}\n\n\t[ object 99 ] new {\n\t}\n}\n";
    assert_eq!(shown(TableFamily::Inet, &[(Asked::Objects, &tunnel), (Asked::Objects, &other)]), expected);
}
