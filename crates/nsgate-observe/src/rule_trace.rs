//! Tracing the probe through the packet filter of one namespace.
//!
//! A table of ours marks the probe's own packets, before all other chains, so that the kernel tells what each rule makes
//! of them. The table belongs to our socket: nobody else can change it, and the kernel removes it when the socket is
//! closed, also when we are killed. It decides nothing: its chains accept everything.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use nsgate_core::model::NetnsName;
use nsgate_core::model::ruleset::{
    Base, BaseChain, ChainKind, CmpOp, Command, Data, Expression, Hook, MetaKey, Place, Register, Rule, TableFamily,
    TableId,
};
use nsgate_core::trace::{Filtered, Identity, ProbeKind, RuleEvent};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::nftables::{TRACE_GROUP, commit, trace_event};
use nsgate_kernel::{Error, Kind};
use nsgate_packet::protocol;

use crate::aside;

/// A trace of the probe through the packet filter of one namespace.
#[derive(Debug)]
pub(crate) struct RuleTrace {
    netns: NetnsName,
    /// Our tables: where frames come in, and where packets do.
    tables: Vec<TableId>,
    /// Owns the tables.
    owner: Socket,
    events: Socket,
    /// The headers of the packets by the kernel's number: it does not repeat them with every event.
    headers: HashMap<u32, Vec<u8>>,
    /// Whether some events were lost.
    lost: bool,
}

/// Before the packet filter puts fragments together (-400), and before all that people write.
const PRIORITY: i32 = -450;
/// `meta l4proto` and `meta nftrace`.
const PROTOCOL: MetaKey = MetaKey(16);
const TRACED: MetaKey = MetaKey(12);
/// Where the rules keep what they compare.
const REGISTER: Register = Register(0);

impl RuleTrace {
    /// Starts in the namespace of the calling thread.
    pub(crate) fn start(filtered: &Filtered, kind: ProbeKind, identity: &Identity) -> Result<Self, Error> {
        if filtered.legacy {
            refuse_to_write_logs(identity)?;
        }
        // Before the first packet can be marked.
        let mut events = Socket::open(Protocol::Netfilter)?;
        events.join(TRACE_GROUP)?;
        let mut owner = Socket::open(Protocol::Netfilter)?;
        let (tables, commands) = commands(filtered, kind, identity);
        commit(&mut owner, &commands, None)?;
        Ok(Self { netns: filtered.netns.clone(), tables, owner, events, headers: HashMap::new(), lost: false })
    }

    /// The namespace that is traced.
    pub(crate) fn netns(&self) -> &NetnsName {
        &self.netns
    }

    /// What happened since the last time, in order, without waiting.
    pub(crate) fn drain(&mut self) -> Vec<RuleEvent> {
        let Ok(events) = self.events.events() else {
            self.lost = true;
            return Vec::new();
        };
        self.lost |= events.lost;
        let mut told = Vec::new();
        for mut event in events.messages().filter_map(|message| trace_event(&message, &self.netns)) {
            let known = self.headers.entry(event.packet).or_default();
            if event.bytes.is_empty() {
                event.bytes.clone_from(known);
            } else {
                known.clone_from(&event.bytes);
            }
            if !self.tables.contains(&event.table) {
                told.push(event);
            }
        }
        told
    }

    /// Whether some events were lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost
    }

    /// Removes our tables. The sockets are closed without waiting, for which the kernel takes tens of milliseconds.
    pub(crate) fn stop(mut self) {
        let commands: Vec<Command> = self.tables.drain(..).map(|table| Command::DeleteTable { table }).collect();
        // Where it is refused, the tables go with the socket.
        let _ = commit(&mut self.owner, &commands, None);
        aside::close("a trace of rules", self);
    }
}

impl AsFd for RuleTrace {
    /// Polls as readable when there is something to drain.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// The older engine writes what it does with a traced packet to the kernel's log, if that log is written to at all:
/// usually it is for the machine's own namespace alone, which shows by a setting that no other has.
fn refuse_to_write_logs(identity: &Identity) -> Result<(), Error> {
    const ONLY_OF_THE_MACHINE: &str = "/proc/sys/net/netfilter/nf_log_all_netns";
    let logger = if identity.destination.is_ipv4() { "2" } else { "10" };
    let logger = std::fs::read_to_string(format!("/proc/sys/net/netfilter/nf_log/{logger}")).unwrap_or_default();
    let logs = !matches!(logger.trim(), "" | "NONE") && std::path::Path::new(ONLY_OF_THE_MACHINE).exists();
    if logs {
        let why = format!("iptables-legacy would write to the kernel's log, by {}", logger.trim());
        return Err(Error::explained(Kind::Refused, "trace", "the packet filter", why));
    }
    Ok(())
}

/// The tables, and what makes them.
fn commands(filtered: &Filtered, kind: ProbeKind, identity: &Identity) -> (Vec<TableId>, Vec<Command>) {
    let [a, b, c, d, ..] = identity.cookie;
    let name = format!("nsgate-trace-{:08x}", u32::from_be_bytes([a, b, c, d]));
    let devices = filtered.devices.as_slice();
    let mut hooks = vec![(TableFamily::Inet, Hook::Prerouting, &[][..]), (TableFamily::Inet, Hook::Output, &[])];
    if !devices.is_empty() {
        hooks.push((TableFamily::Netdev, Hook::Ingress, devices));
    }
    if filtered.bridged {
        hooks.extend([(TableFamily::Bridge, Hook::Prerouting, &[][..]), (TableFamily::Bridge, Hook::Output, &[])]);
    }
    if filtered.arp && identity.destination.is_ipv4() {
        hooks.extend([(TableFamily::Arp, Hook::Input, &[][..]), (TableFamily::Arp, Hook::Output, &[])]);
    }
    let rules = rules(kind, identity);
    let everything = Rule { handle: 0, expressions: marking().into(), comment: None };
    let (mut tables, mut commands) = (Vec::new(), Vec::new());
    for (family, hook, devices) in hooks {
        let table = TableId::new(family, name.clone());
        if !tables.contains(&table) {
            tables.push(table.clone());
            commands.push(Command::AddTable { table: table.clone(), dormant: false, owned: true, comment: None });
        }
        let base = BaseChain {
            kind: ChainKind::Filter,
            hook,
            priority: PRIORITY,
            policy_drop: false,
            devices: devices.to_vec(),
        };
        let chain = hook.name().to_owned();
        let new = Command::AddChain { table: table.clone(), name: chain.clone(), base: Some(base), comment: None };
        commands.push(new);
        let rules = match family {
            TableFamily::Arp => std::slice::from_ref(&everything),
            _ => &rules[..],
        };
        commands.extend(rules.iter().map(|rule| Command::AddRule {
            table: table.clone(),
            chain: chain.clone(),
            place: Place::End,
            rule: rule.clone(),
            sets: Vec::new(),
        }));
    }
    (tables, commands)
}

/// Rules that mark the probe, its answer, and the errors that quote it, by what no translation changes.
fn rules(kind: ProbeKind, identity: &Identity) -> Vec<Rule> {
    let (errors, header) = match identity.destination {
        std::net::SocketAddr::V4(_) => (protocol::ICMP, 20),
        std::net::SocketAddr::V6(_) => (protocol::ICMPV6, 40),
    };
    // Behind the header of the error: that of the packet that it quotes, then its transport header.
    let quoted = 8 + header;
    let cookie = |offset| at(offset, CmpOp::Eq, &identity.cookie);
    let numbers = |offset, first: u32| {
        let last = first.wrapping_add(identity.span);
        // Numbers that run over are too rare for rules of their own: the opening bears the first.
        let last = if last < first { first } else { last };
        let from = at(offset, CmpOp::Gte, &first.to_be_bytes());
        from.into_iter().chain(at(offset, CmpOp::Lte, &last.to_be_bytes())).collect()
    };
    let matches: Vec<(u8, Vec<Expression>)> = match kind {
        ProbeKind::Icmp => vec![(errors, cookie(8)), (errors, cookie(quoted + 8))],
        ProbeKind::Udp(_) => {
            // An answer need not carry the probe's own bytes.
            let ports = [identity.destination.port().to_be_bytes(), identity.source.port().to_be_bytes()];
            let answer = at(0, CmpOp::Eq, ports.as_flattened());
            vec![(protocol::UDP, cookie(8)), (protocol::UDP, answer), (errors, cookie(quoted + 8))]
        }
        ProbeKind::Tcp(_) => vec![
            (protocol::TCP, numbers(4, identity.sequence)),
            (protocol::TCP, numbers(8, identity.sequence.wrapping_add(1))),
            (errors, numbers(quoted + 4, identity.sequence)),
        ],
    };
    matches.into_iter().map(|(protocol, expressions)| mark(protocol, expressions)).collect()
}

/// A comparison of what stands in the transport header or behind it.
fn at(offset: u32, op: CmpOp, value: &[u8]) -> Vec<Expression> {
    let length = value.len() as u32;
    vec![
        Expression::Payload { to: REGISTER, base: Base::Transport, offset, length },
        Expression::Cmp { from: REGISTER, op, value: value.to_vec() },
    ]
}

/// A rule that marks packets of a protocol that are also as these instructions say.
fn mark(protocol: u8, expressions: Vec<Expression>) -> Rule {
    let mut all = vec![
        Expression::Meta { key: PROTOCOL, to: REGISTER },
        Expression::Cmp { from: REGISTER, op: CmpOp::Eq, value: vec![protocol] },
    ];
    all.extend(expressions);
    all.extend(marking());
    Rule { handle: 0, expressions: all, comment: None }
}

/// What marks a packet.
fn marking() -> [Expression; 2] {
    [
        Expression::Immediate { to: Some(REGISTER), data: Data::Value(vec![1]) },
        Expression::MetaSet { key: TRACED, from: REGISTER },
    ]
}
