//! Each command as the requests that carry it out.

use nsgate_core::model::ruleset::{BaseChain, CmpOp, Command, Expression, MetaKey, Place, Rule, Set, TableId};

use super::super::numbers::{chain, message, rule, set, table};
use super::super::user_data;
use super::expression::{self, SetNames};
use super::header;
use crate::netlink::Batch;

/// Create if it is not there.
const CREATE: u16 = libc::NLM_F_CREATE as u16;
/// Behind the others, or behind the one that is named.
const APPEND: u16 = libc::NLM_F_APPEND as u16;
/// In place of the one that is named.
const REPLACE: u16 = libc::NLM_F_REPLACE as u16;

/// Writes commands into a batch.
pub(super) struct Writer<'a> {
    pub(super) batch: &'a mut Batch,
    /// The command that each request is for.
    owners: Vec<usize>,
    /// The command that is being written.
    place: usize,
    /// How many sets were made: the kernel tells new ones apart by a number of ours.
    pub(super) sets: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(batch: &'a mut Batch) -> Self {
        Self { batch, owners: Vec::new(), place: 0, sets: 0 }
    }

    /// The command that each request is for.
    pub(super) fn owners(self) -> Vec<usize> {
        self.owners
    }

    /// Opens a request.
    pub(super) fn begin(&mut self, kind: u16, flags: u16, family: u8) {
        self.owners.push(self.place);
        self.batch.begin(kind, flags, &header(family, 0));
    }

    pub(super) fn command(&mut self, place: usize, command: &Command) {
        self.place = place;
        let family = command.table().family.number();
        let id = command.table();
        match command {
            Command::AddTable { table, dormant, owned, comment } => {
                self.add_table(table, *dormant, *owned, comment.as_deref());
            }
            Command::DeleteTable { table } => {
                self.begin(message::DELETE_TABLE, 0, family);
                self.batch.text(table::NAME, &table.name);
            }
            Command::AddChain { name, base, comment, .. } => {
                self.add_chain(id, name, base.as_ref(), comment.as_deref());
            }
            Command::DeleteChain { name, .. } => {
                self.begin(message::DELETE_CHAIN, 0, family);
                self.batch.text(chain::TABLE, &id.name);
                self.batch.text(chain::NAME, name);
            }
            Command::FlushChain { name, .. } => {
                self.begin(message::DELETE_RULE, 0, family);
                self.batch.text(rule::TABLE, &id.name);
                self.batch.text(rule::CHAIN, name);
            }
            Command::AddSet { set, .. } => {
                let number = self.add_set(id, set, &set.name);
                self.add_elements(id, &set.name, Some(number), set);
            }
            Command::DeleteSet { name, .. } => {
                self.begin(message::DELETE_SET, 0, family);
                self.batch.text(set::TABLE, &id.name);
                self.batch.text(set::NAME, name);
            }
            Command::FlushSet { name, .. } => self.flush_set(id, name),
            Command::AddElements { set, .. } => self.add_elements(id, &set.name, None, set),
            Command::DeleteElements { set, .. } => self.delete_elements(id, set),
            Command::AddRule { chain, place, rule, sets, .. } => self.add_rule(id, chain, *place, rule, sets),
            Command::ReplaceRule { chain, handle, rule, sets, .. } => {
                let names = self.anonymous_sets(id, sets);
                self.rule(id, chain, CREATE | REPLACE, rule, &names);
                self.batch.be64(rule::HANDLE, *handle);
            }
            Command::DeleteRule { chain, handle, .. } => {
                self.begin(message::DELETE_RULE, 0, family);
                self.batch.text(rule::TABLE, &id.name);
                self.batch.text(rule::CHAIN, chain);
                self.batch.be64(rule::HANDLE, *handle);
            }
        }
    }

    fn add_table(&mut self, id: &TableId, dormant: bool, owned: bool, comment: Option<&str>) {
        self.begin(message::NEW_TABLE, CREATE, id.family.number());
        self.batch.text(table::NAME, &id.name);
        let flags = if dormant { table::FLAG_DORMANT } else { 0 } | if owned { table::FLAG_OWNER } else { 0 };
        self.batch.be32(table::FLAGS, flags);
        if let Some(comment) = comment {
            self.batch.bytes(table::USER_DATA, &user_data::comment(user_data::COMMENT, comment));
        }
    }

    fn add_chain(&mut self, id: &TableId, name: &str, base: Option<&BaseChain>, comment: Option<&str>) {
        self.begin(message::NEW_CHAIN, CREATE, id.family.number());
        self.batch.text(chain::TABLE, &id.name);
        self.batch.text(chain::NAME, name);
        if let Some(base) = base {
            self.batch.nest(chain::HOOK, |b| {
                b.be32(chain::HOOK_NUMBER, base.hook.number(id.family).unwrap_or(u32::MAX));
                b.be32(chain::HOOK_PRIORITY, base.priority as u32);
                match &base.devices[..] {
                    [] => {}
                    [one] => b.text(chain::HOOK_DEVICE, one.as_str()),
                    many => b.nest(chain::HOOK_DEVICES, |b| {
                        for device in many {
                            b.text(chain::DEVICE_NAME, device.as_str());
                        }
                    }),
                }
            });
            self.batch.text(chain::KIND, base.kind.name());
            self.batch.be32(chain::POLICY, u32::from(!base.policy_drop));
        }
        if let Some(comment) = comment {
            self.batch.bytes(chain::USER_DATA, &user_data::comment(user_data::COMMENT, comment));
        }
    }

    fn add_rule(&mut self, id: &TableId, chain: &str, place: Place, new: &Rule, sets: &[Set]) {
        let names = self.anonymous_sets(id, sets);
        let flags = match place {
            Place::End | Place::After(_) => CREATE | APPEND,
            Place::Start | Place::Before(_) => CREATE,
        };
        self.rule(id, chain, flags, new, &names);
        if let Place::Before(handle) | Place::After(handle) = place {
            self.batch.be64(rule::POSITION, handle);
        }
    }

    fn rule(&mut self, id: &TableId, chain: &str, flags: u16, new: &Rule, names: &SetNames) {
        self.begin(message::NEW_RULE, flags, id.family.number());
        self.batch.text(rule::TABLE, &id.name);
        self.batch.text(rule::CHAIN, chain);
        self.batch.nest(rule::EXPRESSIONS, |b| expression::write_all(b, &new.expressions, names));
        if let Some(protocol) = asked_of_extensions(&new.expressions) {
            self.batch.nest(rule::COMPATIBILITY, |b| {
                b.be32(rule::COMPATIBLE_PROTOCOL, protocol);
                b.be32(rule::COMPATIBLE_FLAGS, 0);
            });
        }
        if let Some(comment) = &new.comment {
            self.batch.bytes(rule::USER_DATA, &user_data::comment(user_data::COMMENT, comment));
        }
    }

    /// Makes the sets that a rule brings along; their names in the rule, with what the kernel knows them by.
    fn anonymous_sets(&mut self, id: &TableId, sets: &[Set]) -> SetNames {
        let mut names = SetNames::default();
        for set in sets {
            let pattern = if set.data.is_some() { "__map%d" } else { "__set%d" };
            let number = self.add_set(id, set, pattern);
            self.add_elements(id, pattern, Some(number), set);
            names.insert(&set.name, pattern, number);
        }
        names
    }
}

/// What a rule tells the extensions of xtables in it: the transport protocol that it has asked for (0: any), since some
/// of them refuse all others (`nft_match_init`). None where there are no extensions.
fn asked_of_extensions(expressions: &[Expression]) -> Option<u32> {
    /// NFT_META_L4PROTO.
    const TRANSPORT: u32 = 16;
    let extension = |e: &Expression| matches!(e, Expression::XtMatch { .. } | Expression::XtTarget { .. });
    expressions.iter().any(extension).then_some(())?;
    let protocol = expressions.windows(2).find_map(|pair| match pair {
        [Expression::Meta { key: MetaKey(TRANSPORT), .. }, Expression::Cmp { op: CmpOp::Eq, value, .. }] => {
            value.first().copied().map(u32::from)
        }
        _ => None,
    });
    Some(protocol.unwrap_or(0))
}
