//! Which statements put back what a header needs, and what statements teach about the packets behind them.
//!
//! `tcp dport 22` means "is it TCP, and is the port 22". Lowering adds the first question where nothing before has
//! settled it; lifting leaves it out exactly where lowering would add it.

use super::header::{Context, Dependency, ETHERTYPE_IP, ETHERTYPE_IP6, HeaderField, Protocol};
use super::selector::Selector;
use super::statement::{Part, Relation, Right, Statement, Value};
use super::{CtKey, MetaKey, RejectKind, TableFamily, header_option, value};

/// NFT_META_PROTOCOL, NFT_META_IIFTYPE, NFT_META_NFPROTO and NFT_META_L4PROTO.
const META_PROTOCOL: MetaKey = MetaKey(1);
const META_IIFTYPE: MetaKey = MetaKey(8);
const META_NFPROTO: MetaKey = MetaKey(15);
const META_L4PROTO: MetaKey = MetaKey(16);

/// NFT_CT_SRC_IP and NFT_CT_DST_IP, and the same of IPv6.
const CT_IP: [CtKey; 2] = [CtKey(19), CtKey(20)];
const CT_IP6: [CtKey; 2] = [CtKey(21), CtKey(22)];

/// Ethernet's number of VLAN tags.
const ETHERTYPE_VLAN: u16 = 0x8100;

impl Context {
    /// The questions that a statement needs before it, in order; notes that they were asked.
    pub(super) fn require(&mut self, statement: &Statement) -> Vec<Statement> {
        let mut questions = Vec::new();
        for protocol in protocols(statement) {
            for dependency in self.missing(protocol) {
                questions.push(self.question(dependency));
                self.learn(dependency);
            }
        }
        questions
    }

    /// The questions that settle that a protocol's header is there.
    pub(super) fn questions(&self, protocol: Protocol) -> Vec<Statement> {
        self.missing(protocol).into_iter().map(|d| self.question(d)).collect()
    }

    /// Takes note of what holds once a statement was passed.
    pub(super) fn pass(&mut self, statement: &Statement) {
        for protocol in protocols(statement) {
            for dependency in protocol.dependencies() {
                self.learn(*dependency);
            }
        }
        if let Some(answer) = answer(self.family, statement) {
            self.learn(answer);
        }
    }

    fn question(&self, dependency: Dependency) -> Statement {
        let (selector, number, length) = match (dependency, self.family) {
            (Dependency::Ether, _) => (Selector::Meta(META_IIFTYPE), 1, 2),
            (Dependency::Tagged, _) => {
                let field = HeaderField::named(Protocol::Ether, "type");
                (field.map_or(Selector::Meta(META_PROTOCOL), Selector::Header), ETHERTYPE_VLAN, 2)
            }
            (Dependency::Network(ETHERTYPE_IP), TableFamily::Inet) => (Selector::Meta(META_NFPROTO), 2, 1),
            (Dependency::Network(ETHERTYPE_IP6), TableFamily::Inet) => (Selector::Meta(META_NFPROTO), 10, 1),
            (Dependency::Network(number), _) => (Selector::Meta(META_PROTOCOL), number, 2),
            (Dependency::Transport(number), _) => (Selector::Meta(META_L4PROTO), u16::from(number), 1),
        };
        Statement::Match {
            left: vec![Part::plain(selector)],
            relation: Relation::EQUAL,
            right: Right::Value(number.to_be_bytes()[2 - length..].to_vec()),
        }
    }
}

/// The question that nft puts in front of a whole rule because of a statement further on, where a question about a
/// connection of the other family stands between: written out, nft would take the two for a contradiction.
pub(super) fn asked_in_front(family: TableFamily, statements: &[Statement]) -> Option<Statement> {
    if family != TableFamily::Inet {
        return None;
    }
    for (index, statement) in statements.iter().enumerate() {
        let (network, others) = match statement {
            Statement::Match { left, .. } if left.iter().any(reads_ipv6_header) => (ETHERTYPE_IP6, CT_IP),
            Statement::Reject(RejectKind::Icmp(_)) => (ETHERTYPE_IP, CT_IP6),
            _ if settles_network(family, statement) => return None,
            _ => continue,
        };
        let of_other = |statement: &Statement| match statement {
            Statement::Match { left, .. } => left.iter().any(|part| reads_connection(part, others)),
            _ => false,
        };
        let contradicts = statements[..index].iter().any(of_other);
        return contradicts.then(|| Context::new(family).question(Dependency::Network(network)));
    }
    None
}

/// One of IPv6's extension headers.
fn reads_ipv6_header(part: &Part) -> bool {
    matches!(part.selector, Selector::Option { kind: header_option::IPV6, .. })
}

fn reads_connection(part: &Part, keys: [CtKey; 2]) -> bool {
    matches!(part.selector, Selector::Ct(key, _) if keys.contains(&key))
}

fn settles_network(family: TableFamily, statement: &Statement) -> bool {
    let is_network = |dependency: &Dependency| matches!(dependency, Dependency::Network(_));
    let read = protocols(statement).into_iter().flat_map(Protocol::dependencies).any(is_network);
    read || answer(family, statement).as_ref().is_some_and(is_network)
}

/// What a statement settles by asking for a protocol.
fn answer(family: TableFamily, statement: &Statement) -> Option<Dependency> {
    let Statement::Match { left, relation: Relation::EQUAL, right: Right::Value(bytes) } = statement else {
        return None;
    };
    let [part] = &left[..] else { return None };
    part.is_plain().then_some(())?;
    let selector = &part.selector;
    let number = u16::try_from(value::number(bytes)?).ok()?;
    match selector {
        Selector::Meta(META_NFPROTO) if number == 2 => Some(Dependency::Network(ETHERTYPE_IP)),
        Selector::Meta(META_NFPROTO) if number == 10 => Some(Dependency::Network(ETHERTYPE_IP6)),
        Selector::Meta(META_IIFTYPE) if number == 1 => Some(Dependency::Ether),
        // In tables of both families nft asks for the family itself before it reads a header.
        Selector::Meta(META_PROTOCOL) if family == TableFamily::Inet => None,
        Selector::Meta(META_PROTOCOL) => Some(Dependency::Network(number)),
        Selector::Meta(META_L4PROTO) => Some(Dependency::Transport(u8::try_from(number).ok()?)),
        Selector::Header(field) => match (field.protocol, field.name) {
            (Protocol::Ether, "type") if number == ETHERTYPE_VLAN => Some(Dependency::Tagged),
            (Protocol::Ether | Protocol::Vlan, "type") => Some(Dependency::Network(number)),
            (Protocol::Ip, "protocol") | (Protocol::Ip6, "nexthdr") => {
                Some(Dependency::Transport(u8::try_from(number).ok()?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The protocols whose headers a statement reads or writes, in the order of its text.
fn protocols(statement: &Statement) -> Vec<Protocol> {
    let mut found = Vec::new();
    match statement {
        Statement::Match { left, .. } | Statement::VerdictMap { left, .. } => of_parts(left, &mut found),
        Statement::ObjectMap { key, .. } => of_parts(key, &mut found),
        Statement::Duplicate { address, device } => {
            for value in [address, device].into_iter().flatten() {
                of_value(value, &mut found);
            }
        }
        Statement::Forward { address, device } => {
            of_value(device, &mut found);
            if let Some((address, _)) = address {
                of_value(address, &mut found);
            }
        }
        Statement::Set { target, value } => {
            of_value(value, &mut found);
            of_selector(target, &mut found);
        }
        Statement::Nat { address, port, .. } | Statement::TransparentProxy { address, port, .. } => {
            for value in [address, port].into_iter().flatten() {
                of_value(value, &mut found);
            }
        }
        Statement::Masquerade { port: Some(port), .. } | Statement::Redirect { port: Some(port), .. } => {
            of_value(port, &mut found);
        }
        Statement::Update { key, data, .. } => {
            of_parts(key, &mut found);
            if let Some(data) = data {
                of_value(data, &mut found);
            }
        }
        _ => {}
    }
    found
}

fn of_value(value: &Value, found: &mut Vec<Protocol>) {
    match value {
        Value::Read(part) => of_selector(&part.selector, found),
        Value::Map { key, .. } => of_parts(key, found),
        Value::Constant(_) | Value::Range(..) | Value::SameMap => {}
    }
}

fn of_parts(parts: &[Part], found: &mut Vec<Protocol>) {
    for part in parts {
        of_selector(&part.selector, found);
    }
}

fn of_selector(selector: &Selector, found: &mut Vec<Protocol>) {
    match selector {
        Selector::Header(field) => found.push(field.protocol),
        Selector::Hash { of, .. } => of_parts(of, found),
        _ => {}
    }
}
