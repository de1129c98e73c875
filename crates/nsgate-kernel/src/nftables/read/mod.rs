//! The whole ruleset of a namespace.

mod expression;
#[cfg(any(test, feature = "testing"))]
pub mod hostile;
mod object;
mod set;

use std::collections::HashMap;

use nsgate_core::model::ruleset::{BaseChain, Chain, ChainKind, Hook, Rule, Ruleset, Table, TableFamily};
use rustix::io::Errno;

#[cfg(test)]
pub(super) use self::expression::all as expressions;
pub(super) use self::expression::verdict;
use super::numbers::{GENERATION, chain, message, rule, table};
use super::user_data;
use super::write::header;
use crate::error::Error;
use crate::netlink::{Attributes, Batch, Message, Socket};

/// How often a ruleset that changes while it is read is read again.
pub(super) const ATTEMPTS: usize = 8;

/// A ruleset, with what must be known about the reading.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The ruleset, the names of legacy tables left out.
    pub ruleset: Ruleset,
    /// How many objects could not be understood.
    pub unread: usize,
    /// Whether it is as it was at one moment; otherwise it kept changing.
    pub consistent: bool,
}

/// The table and chain that something belongs to.
type Owner = (TableFamily, String);

/// Reads the ruleset of the namespace of a [`Netfilter`](crate::netlink::Protocol::Netfilter) socket.
pub fn ruleset(socket: &mut Socket) -> Result<Reading, Error> {
    settled(socket, read_once)
}

/// Reads until nothing changes meanwhile; after some attempts what was read last, and that it kept changing.
pub(super) fn settled(
    socket: &mut Socket,
    mut read: impl FnMut(&mut Socket) -> Result<Reading, Error>,
) -> Result<Reading, Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let before = generation(socket)?;
        let mut reading = match read(socket) {
            Ok(reading) => reading,
            // A set went away between the list of sets and its elements.
            Err(error) if error.errno() == Some(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        reading.ruleset.generation = before;
        reading.consistent &= generation(socket)? == before;
        if reading.consistent {
            return Ok(reading);
        }
        last = Some(reading);
    }
    last.ok_or_else(|| Error::answer("read", "the packet filter", "it kept changing"))
}

/// The number of the ruleset as it is now; every transaction makes it another one.
pub fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let what = "the generation of the packet filter";
    let mut batch = Batch::new();
    batch.begin(message::GET_GENERATION, 0, &header(0, 0));
    let answers = socket.send(&mut batch)?;
    if let Some((_, refusal)) = answers.refused() {
        return Err(refusal.clone().error("read", what));
    }
    let reply = answers.replies.first().map(crate::netlink::Reply::message);
    let number = reply.and_then(|m| m.split::<4>()).and_then(|(_, attributes)| attributes.find(GENERATION)?.be32());
    number.ok_or_else(|| Error::answer("read", what, "the kernel did not tell it"))
}

pub(super) fn read_once(socket: &mut Socket) -> Result<Reading, Error> {
    let tables = socket.list(&mut request(message::GET_TABLE), "nftables tables", read_table)?;
    let chains = socket.list(&mut request(message::GET_CHAIN), "nftables chains", read_chain)?;
    let sets = set::all(socket)?;
    let rules = socket.list(&mut request(message::GET_RULE), "nftables rules", read_rule)?;
    let objects = socket.list(&mut request(message::GET_OBJECT), "nftables objects", object::read)?;
    let flow_tables = object::flow_tables(socket)?;
    let lists = [
        (tables.unread, tables.consistent),
        (chains.unread, chains.consistent),
        (sets.unread, sets.consistent),
        (rules.unread, rules.consistent),
        (objects.unread, objects.consistent),
        (flow_tables.unread, flow_tables.consistent),
    ];
    let (unread, consistent) = (lists.iter().map(|l| l.0).sum(), lists.iter().all(|l| l.1));
    let mut tables = Tables::new(tables.items);
    tables.fill(chains.items, |table, chain| table.chains.push(chain));
    tables.fill(sets.items, |table, set| table.sets.push(set));
    tables.fill(objects.items, |table, object| table.objects.push(object));
    tables.fill(flow_tables.items, |table, flow_table| table.flow_tables.push(flow_table));
    tables.fill_rules(rules.items);
    let ruleset = Ruleset { tables: tables.tables, ..Ruleset::default() };
    Ok(Reading { ruleset, unread, consistent })
}

/// A request for all objects of a kind, of every family.
fn request(kind: u16) -> Batch {
    let mut batch = Batch::new();
    batch.begin(kind, 0, &header(0, 0));
    batch
}

/// Tables that are filled with what belongs to them.
struct Tables {
    tables: Vec<Table>,
    places: HashMap<Owner, usize>,
}

impl Tables {
    fn new(tables: Vec<Table>) -> Self {
        let places = tables.iter().enumerate().map(|(place, t)| ((t.family, t.name.clone()), place)).collect();
        Self { tables, places }
    }

    fn fill<T>(&mut self, items: Vec<(Owner, T)>, put: impl Fn(&mut Table, T)) {
        for (owner, item) in items {
            if let Some(place) = self.places.get(&owner) {
                put(&mut self.tables[*place], item);
            }
        }
    }

    /// Rules come chain by chain; a look-up by name for each would take too long where there are thousands of chains.
    fn fill_rules(&mut self, rules: Vec<(Owner, String, Rule)>) {
        let mut chains: HashMap<(usize, String), usize> = HashMap::new();
        for (place, table) in self.tables.iter().enumerate() {
            chains.extend(table.chains.iter().enumerate().map(|(at, chain)| ((place, chain.name.clone()), at)));
        }
        for (owner, chain, rule) in rules {
            let Some(place) = self.places.get(&owner).copied() else { continue };
            if let Some(at) = chains.get(&(place, chain)) {
                self.tables[place].chains[*at].rules.push(rule);
            }
        }
    }
}

fn read_table(message: &Message<'_>) -> Option<Table> {
    let (header, attributes) = message.split::<4>()?;
    let flags = attributes.find(table::FLAGS).and_then(|a| a.be32()).unwrap_or(0);
    Some(Table {
        family: TableFamily::from_number(header[0])?,
        name: text(&attributes, table::NAME)?,
        handle: number(&attributes, table::HANDLE),
        dormant: flags & table::FLAG_DORMANT != 0,
        owner: attributes.find(table::OWNER).and_then(|a| a.be32()),
        persistent: flags & table::FLAG_PERSIST != 0,
        comment: comment(&attributes, table::USER_DATA, user_data::COMMENT),
        chains: Vec::new(),
        sets: Vec::new(),
        objects: Vec::new(),
        flow_tables: Vec::new(),
    })
}

fn read_chain(message: &Message<'_>) -> Option<(Owner, Chain)> {
    let (header, attributes) = message.split::<4>()?;
    let family = TableFamily::from_number(header[0])?;
    let base = match attributes.find(chain::HOOK) {
        Some(hook) => Some(base_chain(family, &attributes, &hook.nested())?),
        None => None,
    };
    let flags = attributes.find(chain::FLAGS).and_then(|a| a.be32()).unwrap_or(0);
    let read = Chain {
        offload: flags & chain::FLAG_OFFLOAD != 0,
        anonymous: flags & chain::FLAG_BINDING != 0,
        name: text(&attributes, chain::NAME)?,
        handle: number(&attributes, chain::HANDLE),
        base,
        comment: comment(&attributes, chain::USER_DATA, user_data::COMMENT),
        rules: Vec::new(),
    };
    Some(((family, text(&attributes, chain::TABLE)?), read))
}

fn base_chain(family: TableFamily, attributes: &Attributes<'_>, hook: &Attributes<'_>) -> Option<BaseChain> {
    let devices = hook.find(chain::HOOK_DEVICES).map(|d| d.nested()).unwrap_or_default();
    let mut devices: Vec<_> =
        devices.filter(|d| d.kind == chain::DEVICE_NAME).filter_map(|d| d.text()?.parse().ok()).collect();
    if devices.is_empty() {
        devices.extend(hook.find(chain::HOOK_DEVICE).and_then(|d| d.text()?.parse().ok()));
    }
    Some(BaseChain {
        kind: ChainKind::from_name(attributes.find(chain::KIND)?.text()?)?,
        hook: Hook::from_number(family, hook.find(chain::HOOK_NUMBER)?.be32()?)?,
        priority: hook.find(chain::HOOK_PRIORITY)?.be32()? as i32,
        policy_drop: attributes.find(chain::POLICY).and_then(|a| a.be32()) == Some(0),
        devices,
    })
}

fn read_rule(message: &Message<'_>) -> Option<(Owner, String, Rule)> {
    let (header, attributes) = message.split::<4>()?;
    let expressions = attributes.find(rule::EXPRESSIONS).map(|a| a.nested()).unwrap_or_default();
    let read = Rule {
        handle: number(&attributes, rule::HANDLE),
        expressions: expression::all(expressions),
        comment: comment(&attributes, rule::USER_DATA, user_data::COMMENT),
    };
    let owner = (TableFamily::from_number(header[0])?, text(&attributes, rule::TABLE)?);
    Some((owner, text(&attributes, rule::CHAIN)?, read))
}

fn text(attributes: &Attributes<'_>, kind: u16) -> Option<String> {
    attributes.find(kind)?.text().map(ToOwned::to_owned)
}

fn number(attributes: &Attributes<'_>, kind: u16) -> u64 {
    attributes.find(kind).and_then(|a| a.be64()).unwrap_or(0)
}

fn comment(attributes: &Attributes<'_>, kind: u16, user_data_kind: u8) -> Option<String> {
    user_data::read_comment(user_data_kind, attributes.find(kind)?.value)
}
