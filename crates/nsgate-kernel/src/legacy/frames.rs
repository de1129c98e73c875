//! The tables of ebtables-legacy, whose rules stand in another form: a head for each chain, then its rules.
//!
//! The kernel is told by pointers where to put them. It lists the tables nowhere, and makes one that is asked for: which
//! there are is seen by what they have put at the hooks of bridges.

use std::collections::HashMap;
use std::os::fd::AsFd as _;

use nsgate_core::model::ruleset::{
    Base, BaseChain, Chain, ChainKind, CmpOp, Data, Expression, Hook, MetaKey, Rule, Table, TableFamily, Verdict,
};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::entry::{Bytes, REGISTER, equality, masked};
use super::{ATTEMPTS, LARGEST};
use crate::error::Error;
use crate::sys::{self, BRIDGE_REQUEST};

/// EBT_SO_GET_INFO.
const GET_HEAD: libc::c_int = 128;
/// The longest name, with its closing zero.
const NAME: usize = 32;
/// The sizes of `struct ebt_entries`, and of `struct ebt_entry` without its extensions.
const CHAIN: usize = 48;
const RULE: usize = 112;
/// The head of an extension: its name and revision, and its size.
const EXTENSION: usize = 32 + size_of::<usize>();
/// The size of a counter.
const COUNTER: usize = 16;

/// The hooks by their numbers (NF_BR_*). The last asks whether a frame is bridged at all, which is no verdict on it.
const HOOKS: [(Option<Hook>, &str); 6] = [
    (Some(Hook::Prerouting), "PREROUTING"),
    (Some(Hook::Input), "INPUT"),
    (Some(Hook::Forward), "FORWARD"),
    (Some(Hook::Output), "OUTPUT"),
    (Some(Hook::Postrouting), "POSTROUTING"),
    (None, "BROUTING"),
];

/// EBT_NOPROTO, EBT_802_3, EBT_SOURCEMAC and EBT_DESTMAC.
const ANY_PROTOCOL: u32 = 2;
const LENGTH_FIELD: u32 = 4;
const SOURCE: u32 = 8;
const DESTINATION: u32 = 16;
/// EBT_I*: what is turned into its opposite.
const NOT_PROTOCOL: u32 = 0x01;
const NOT_SOURCE: u32 = 0x08;
const NOT_DESTINATION: u32 = 0x10;

/// Names of interfaces: where they stand, what they are asked of (NFT_META_IIFNAME and so on), the bit that inverts.
const DEVICES: [(usize, u32, u32); 4] = [(10, 6, 0x02), (26, 17, 0x20), (42, 7, 0x04), (58, 18, 0x40)];

/// Reads a table, which must be there: asking for one that is not would make it.
pub(super) fn read(name: &str) -> Result<Table, Error> {
    let object = || format!("table bridge {name} of ebtables-legacy");
    let failed = |errno| Error::new("read", object(), errno);
    let unreadable = |why| Error::answer("read", object(), why);
    let socket = net::socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(net::ipproto::RAW))
        .map_err(failed)?;
    for _ in 0..ATTEMPTS {
        let mut request = [0; BRIDGE_REQUEST];
        let name = name.as_bytes();
        request[..name.len().min(NAME - 1)].copy_from_slice(&name[..name.len().min(NAME - 1)]);
        sys::get_socket_option(socket.as_fd(), libc::IPPROTO_IP, GET_HEAD, &mut request).map_err(failed)?;
        let head = Bytes(&request);
        let word = |at| head.u32(at).map_or(0, |word| word as usize);
        let (hooks, count, size) = (word(32), word(36), word(40));
        if size > LARGEST || count > LARGEST / COUNTER {
            return Err(unreadable("it is too large"));
        }
        let (mut rules, mut counters) = (vec![0; size], vec![0; count * COUNTER]);
        match sys::get_bridge_table(socket.as_fd(), &mut request, &mut rules, &mut counters) {
            Ok(()) => {
                let table = table(&String::from_utf8_lossy(name), hooks as u32, &rules, &counters);
                return table.ok_or_else(|| unreadable("its rules cannot be understood"));
            }
            // Its size has changed meanwhile.
            Err(Errno::AGAIN | Errno::INVAL) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(unreadable("it kept changing"))
}

/// A table out of its chains and rules; `hooks` has a bit for each hook at which it has a chain.
pub(super) fn table(name: &str, hooks: u32, bytes: &[u8], counters: &[u8]) -> Option<Table> {
    let all = Bytes(bytes);
    let mut places = (0..HOOKS.len()).filter(|hook| hooks >> hook & 1 == 1);
    let mut chains: Vec<(Chain, bool)> = Vec::new();
    let mut names = HashMap::new();
    let mut rules: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        // The first number of a rule is never 0.
        if all.u32(at)? == 0 {
            let own = all.text(at + 4, NAME)?;
            let drops = all.i32(at + 40)? == DROP;
            let base = places.next().and_then(|hook| base(name, hook));
            let name = base.as_ref().map_or(own, |(_, name)| (*name).to_owned());
            names.insert(at, name.clone());
            let base = base.and_then(|(base, _)| Some(BaseChain { policy_drop: drops, ..base? }));
            let handle = 0;
            chains.push((Chain { name, handle, base, ..Chain::default() }, drops));
            at += CHAIN;
        } else {
            rules.push((chains.len().checked_sub(1)?, at));
            at = at.checked_add(all.u32(at + 108)? as usize).filter(|next| *next >= at + RULE)?;
        }
    }
    for (number, (chain, at)) in rules.into_iter().enumerate() {
        let counter = Bytes(counters.get(number * COUNTER..)?);
        let counter = Expression::Counter { packets: counter.u64(0)?, bytes: counter.u64(8)? };
        let expressions = rule(&Bytes(bytes.get(at..)?), counter, &names)?;
        let rules = &mut chains[chain].0.rules;
        rules.push(Rule { handle: rules.len() as u64 + 1, expressions, comment: None });
    }
    for (chain, drops) in chains.iter_mut().filter(|(chain, _)| chain.base.is_none()) {
        // Chains of one's own have policies too; here they are the last rule.
        if *drops {
            let (handle, expressions) = (chain.rules.len() as u64 + 1, vec![decided(Verdict::Drop)]);
            chain.rules.push(Rule { handle, expressions, comment: None });
        }
    }
    let chains = chains.into_iter().map(|(chain, _)| chain).collect();
    let (family, name) = (TableFamily::Bridge, name.to_owned());
    Some(Table { family, name, chains, ..Table::default() })
}

/// Where a table's chain at a hook stands, and its name (NF_BR_PRI_*).
fn base(table: &str, hook: usize) -> Option<(Option<BaseChain>, &'static str)> {
    let (hook, name) = *HOOKS.get(hook)?;
    let priority = match (table, hook) {
        ("nat", Some(Hook::Prerouting)) => -300,
        ("nat", Some(Hook::Output)) => 100,
        ("nat", Some(Hook::Postrouting)) => 300,
        (_, Some(Hook::Output)) => 200,
        _ => -200,
    };
    let base =
        hook.map(|hook| BaseChain { kind: ChainKind::Filter, hook, priority, policy_drop: false, devices: Vec::new() });
    Some((base, name))
}

/// EBT_ACCEPT, EBT_DROP, EBT_CONTINUE and EBT_RETURN.
const ACCEPT: i32 = -1;
const DROP: i32 = -2;
const CONTINUE: i32 = -3;
const RETURN: i32 = -4;

/// A rule as instructions.
fn rule(bytes: &Bytes<'_>, counter: Expression, chains: &HashMap<usize, String>) -> Option<Vec<Expression>> {
    let mut expressions = header(bytes)?;
    let (watchers, target) = (bytes.u32(100)? as usize, bytes.u32(104)? as usize);
    let mut at = RULE;
    let mut watching = Vec::new();
    while at < target {
        let (name, revision, info) = extension(bytes, at)?;
        let next = at + EXTENSION + info.len();
        if at < watchers {
            expressions.push(Expression::XtMatch { name, revision, info });
        } else {
            watching.push(Expression::XtTarget { name, revision, info });
        }
        at = next;
    }
    expressions.extend(watching);
    expressions.push(counter);
    let (name, revision, info) = extension(bytes, target)?;
    expressions.push(if name == "standard" {
        match Bytes(&info).i32(0)? {
            ACCEPT => decided(Verdict::Accept),
            DROP => decided(Verdict::Drop),
            CONTINUE => decided(Verdict::Continue),
            RETURN => decided(Verdict::Return),
            place => decided(Verdict::Jump(chains.get(&usize::try_from(place).ok()?)?.clone())),
        }
    } else {
        Expression::XtTarget { name, revision, info }
    });
    Some(expressions)
}

fn decided(verdict: Verdict) -> Expression {
    Expression::Immediate { to: None, data: Data::Verdict(verdict) }
}

/// The name, revision and parameters of a match, watcher or target.
fn extension(bytes: &Bytes<'_>, at: usize) -> Option<(String, u32, Vec<u8>)> {
    let size = bytes.u32(at.checked_add(NAME)?)? as usize;
    let info = bytes.slice(at + EXTENSION, size)?.to_vec();
    Some((bytes.text(at, NAME - 1)?, u32::from(bytes.u8(at + NAME - 1)?), info))
}

/// The questions about interfaces, link-layer addresses and what the frame carries.
fn header(bytes: &Bytes<'_>) -> Option<Vec<Expression>> {
    let (asked, inverted) = (bytes.u32(0)?, bytes.u32(4)?);
    let mut questions = Vec::new();
    for (at, key, bit) in DEVICES {
        let name = bytes.slice(at, 16)?;
        // 1 stands for "whatever follows".
        let end = name.iter().position(|byte| *byte <= 1).unwrap_or(name.len());
        let alone = name.get(end) == Some(&0);
        let value = [&name[..end], if alone { &[0][..] } else { &[] }].concat();
        if end > 0 {
            questions.push(Expression::Meta { key: MetaKey(key), to: REGISTER });
            questions.push(Expression::Cmp { from: REGISTER, op: equality(inverted & bit != 0), value });
        }
    }
    for (place, at, flag, bit) in [(6, 74, SOURCE, NOT_SOURCE), (0, 86, DESTINATION, NOT_DESTINATION)] {
        if asked & flag != 0 {
            let (value, mask) = (bytes.slice(at, 6)?, bytes.slice(at + 6, 6)?);
            questions.extend(masked(Base::Link, place, mask, value, inverted & bit != 0));
        }
    }
    let not = inverted & NOT_PROTOCOL != 0;
    if asked & LENGTH_FIELD != 0 {
        // Smaller numbers are lengths.
        questions.push(Expression::Payload { to: REGISTER, base: Base::Link, offset: 12, length: 2 });
        let op = if not { CmpOp::Gte } else { CmpOp::Lt };
        questions.push(Expression::Cmp { from: REGISTER, op, value: vec![0x06, 0x00] });
    } else if asked & ANY_PROTOCOL == 0 {
        questions.extend(masked(Base::Link, 12, &[0xff; 2], bytes.slice(8, 2)?, not));
    }
    Some(questions)
}
