//! Commands and whole tables.

use super::super::names;
use super::super::text::{self, OBJECTS, object_type};
use super::super::value::read_duration;
use super::super::value_type::{Kind, ValueType};
use super::super::{BaseChain, ChainKind, Command, Hook, Place, Ruleset, Set, SetData, TableFamily, TableId};
use super::action;
use super::elements::{self, DataKind};
use super::expression;
use super::lexer::{Cursor, Token};
use super::statement::RuleParser;
use super::{NewRule, ParseError};

/// Reads a list of commands.
pub(super) struct Commands<'a, 'text> {
    /// The sets that exist, with their tables.
    sets: Vec<(TableId, Set)>,
    list: Vec<Command>,
    cursor: &'a mut Cursor<'text>,
}

/// What a chain's block says besides rules.
#[derive(Default)]
struct ChainHead {
    base: Option<BaseChain>,
    comment: Option<String>,
}

impl<'a, 'text> Commands<'a, 'text> {
    pub(super) fn new(known: &Ruleset, cursor: &'a mut Cursor<'text>) -> Self {
        let head = |set: &Set| Set { elements: Vec::new(), ..set.clone() };
        let of_table = |t: &super::super::Table| {
            let id = TableId::new(t.family, &t.name);
            t.sets.iter().map(|s| (id.clone(), head(s))).collect::<Vec<_>>()
        };
        Self { sets: known.tables.iter().flat_map(of_table).collect(), list: Vec::new(), cursor }
    }

    /// Reads them all.
    pub(super) fn all(mut self) -> Result<Vec<Command>, ParseError> {
        loop {
            self.cursor.skip_ends();
            if self.cursor.peek().is_none() {
                return Ok(self.list);
            }
            self.command()?;
            if !matches!(self.cursor.peek(), None | Some(Token::End)) {
                return Err(self.cursor.error("the end of the command"));
            }
        }
    }

    fn command(&mut self) -> Result<(), ParseError> {
        let expected = "'table', 'add', 'insert', 'replace', 'delete' or 'flush'";
        let Some(word) = self.cursor.peek_word().map(ToOwned::to_owned) else {
            return Err(self.cursor.error(expected));
        };
        if word == "table" {
            self.cursor.advance();
            return self.table();
        }
        self.cursor.advance();
        match word.as_str() {
            "add" | "create" => self.add(),
            "insert" => {
                self.cursor.keyword("rule")?;
                self.rule(true)
            }
            "replace" => self.replace(),
            "delete" => self.delete(),
            "flush" => self.flush(),
            _ => {
                self.cursor.back_to(self.cursor.position() - 1);
                Err(self.cursor.error(expected))
            }
        }
    }

    fn add(&mut self) -> Result<(), ParseError> {
        match self.object()?.as_str() {
            "table" => self.table(),
            "chain" => {
                let table = self.table_id()?;
                let name = self.cursor.word("the name of a chain")?;
                let head = if self.cursor.take_sign("{") {
                    self.chain_block(&table, &name, true)?
                } else {
                    ChainHead::default()
                };
                self.list.push(Command::AddChain { table, name, base: head.base, comment: head.comment });
                Ok(())
            }
            "rule" => self.rule(false),
            word @ ("set" | "map") => {
                let is_map = word == "map";
                let table = self.table_id()?;
                let name = self.cursor.word("the name of a set")?;
                self.set(table, name, is_map)
            }
            _ => {
                let (table, set) = self.named_elements()?;
                self.list.push(Command::AddElements { table, set });
                Ok(())
            }
        }
    }

    fn delete(&mut self) -> Result<(), ParseError> {
        let object = self.object()?;
        let table = self.table_id()?;
        let command = match object.as_str() {
            "table" => Command::DeleteTable { table },
            "chain" => Command::DeleteChain { table, name: self.cursor.word("the name of a chain")? },
            "rule" => {
                let chain = self.cursor.word("the name of a chain")?;
                self.cursor.keyword("handle")?;
                Command::DeleteRule { table, chain, handle: self.cursor.number("the number of a rule")? }
            }
            word @ ("set" | "map") => {
                let map = word == "map";
                Command::DeleteSet { table, name: self.cursor.word("the name of a set")?, map }
            }
            _ => {
                let set = self.elements_of(&table)?;
                Command::DeleteElements { table, set }
            }
        };
        self.list.push(command);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParseError> {
        let word = self.cursor.word_as("'chain', 'set' or 'map'", |word| {
            matches!(word, "chain" | "set" | "map").then(|| word.to_owned())
        })?;
        let table = self.table_id()?;
        let name = self.cursor.word("a name")?;
        self.list.push(match word.as_str() {
            "chain" => Command::FlushChain { table, name },
            _ => Command::FlushSet { table, name, map: word == "map" },
        });
        Ok(())
    }

    fn replace(&mut self) -> Result<(), ParseError> {
        self.cursor.keyword("rule")?;
        let table = self.table_id()?;
        let chain = self.cursor.word("the name of a chain")?;
        self.cursor.keyword("handle")?;
        let handle = self.cursor.number("the number of a rule")?;
        let NewRule { rule, sets } = self.new_rule(&table)?;
        self.list.push(Command::ReplaceRule { table, chain, handle, rule, sets });
        Ok(())
    }

    fn object(&mut self) -> Result<String, ParseError> {
        self.cursor.word_as("'table', 'chain', 'rule', 'set', 'map' or 'element'", |word| {
            matches!(word, "table" | "chain" | "rule" | "set" | "map" | "element").then(|| word.to_owned())
        })
    }

    fn table_id(&mut self) -> Result<TableId, ParseError> {
        let family = self.cursor.peek_word().and_then(TableFamily::from_name);
        if family.is_some() {
            self.cursor.advance();
        }
        let name = self.cursor.word("the name of a table")?;
        Ok(TableId::new(family.unwrap_or(TableFamily::Ip), name))
    }

    fn rule(&mut self, insert: bool) -> Result<(), ParseError> {
        let table = self.table_id()?;
        let chain = self.cursor.word("the name of a chain")?;
        let beside = if self.cursor.take_word("handle") || self.cursor.take_word("position") {
            Some(self.cursor.number("the number of a rule")?)
        } else {
            None
        };
        let place = match (insert, beside) {
            (false, None) => Place::End,
            (true, None) => Place::Start,
            (false, Some(handle)) => Place::After(handle),
            (true, Some(handle)) => Place::Before(handle),
        };
        let NewRule { rule, sets } = self.new_rule(&table)?;
        self.list.push(Command::AddRule { table, chain, place, rule, sets });
        Ok(())
    }

    fn new_rule(&mut self, table: &TableId) -> Result<NewRule, ParseError> {
        let named: Vec<Set> = self.sets.iter().filter(|(t, _)| t == table).map(|(_, s)| s.clone()).collect();
        RuleParser::new(table.family, &named, self.cursor).rule()
    }

    /// Reads a table with what stands in its braces, if there are any.
    fn table(&mut self) -> Result<(), ParseError> {
        let table = self.table_id()?;
        let index = self.list.len();
        let (mut dormant, mut owned, mut comment) = (false, false, None);
        let head = |dormant, owned, comment| Command::AddTable { table: table.clone(), dormant, owned, comment };
        self.list.push(head(false, false, None));
        if !self.cursor.take_sign("{") {
            return Ok(());
        }
        // Rules and verdict maps may lead to chains that stand behind them, so chains come first and rules last.
        let (mut chains, mut rules) = (Vec::new(), Vec::new());
        loop {
            self.cursor.skip_ends();
            if self.cursor.take_sign("}") {
                break;
            }
            let expected = "'chain', 'set', 'map', 'flags', 'comment' or '}'";
            match self.cursor.word(expected)?.as_str() {
                "flags" => loop {
                    match self.cursor.word("'dormant' or 'owner'")?.as_str() {
                        "dormant" => dormant = true,
                        "owner" => owned = true,
                        _ => return Err(self.wrong("'dormant' or 'owner'")),
                    }
                    if !self.cursor.take_sign(",") {
                        break;
                    }
                },
                "comment" => comment = Some(self.cursor.text("a comment in quotes")?),
                "chain" => chains.push(self.table_chain(&table, &mut rules)?),
                word @ ("set" | "map") => {
                    let is_map = word == "map";
                    let name = self.cursor.word("the name of a set")?;
                    self.set(table.clone(), name, is_map)?;
                }
                _ => return Err(self.wrong(expected)),
            }
        }
        self.list[index] = head(dormant, owned, comment);
        let sets = self.list.split_off(index + 1);
        self.list.extend(chains);
        self.list.extend(sets);
        self.list.extend(rules);
        Ok(())
    }

    fn table_chain(&mut self, table: &TableId, rules: &mut Vec<Command>) -> Result<Command, ParseError> {
        let name = self.cursor.word("the name of a chain")?;
        self.cursor.sign("{")?;
        let before = self.list.len();
        let head = self.chain_block(table, &name, false)?;
        rules.extend(self.list.split_off(before));
        Ok(Command::AddChain { table: table.clone(), name, base: head.base, comment: head.comment })
    }

    /// Reads a chain's block behind its brace; its rules become commands.
    fn chain_block(&mut self, table: &TableId, chain: &str, head_only: bool) -> Result<ChainHead, ParseError> {
        let mut head = ChainHead::default();
        loop {
            self.cursor.skip_ends();
            if self.cursor.take_sign("}") {
                return Ok(head);
            }
            match self.cursor.peek_word() {
                Some("type") => {
                    self.cursor.advance();
                    head.base = Some(self.base_chain(table.family)?);
                }
                Some("policy") => {
                    self.cursor.advance();
                    let drop = self.cursor.word_as("'accept' or 'drop'", |word| match word {
                        "accept" => Some(false),
                        "drop" => Some(true),
                        _ => None,
                    })?;
                    let Some(base) = &mut head.base else {
                        return Err(self.wrong("a type, hook and priority before the policy"));
                    };
                    base.policy_drop = drop;
                }
                Some("comment") => {
                    self.cursor.advance();
                    head.comment = Some(self.cursor.text("a comment in quotes")?);
                }
                _ if head_only => return Err(self.cursor.error("'type', 'policy', 'comment' or '}'")),
                _ => {
                    let NewRule { rule, sets } = self.new_rule(table)?;
                    let (table, chain) = (table.clone(), chain.to_owned());
                    self.list.push(Command::AddRule { table, chain, place: Place::End, rule, sets });
                }
            }
        }
    }

    fn base_chain(&mut self, family: TableFamily) -> Result<BaseChain, ParseError> {
        let kind = self.cursor.word_as("'filter', 'nat' or 'route'", ChainKind::from_name)?;
        self.cursor.keyword("hook")?;
        let hook = self
            .cursor
            .word_as("a hook of this family", |w| Hook::from_name(w).filter(|h| h.number(family).is_some()))?;
        let mut devices = Vec::new();
        if self.cursor.take_word("device") {
            devices.push(self.device()?);
        } else if self.cursor.take_word("devices") {
            self.cursor.sign("=")?;
            self.cursor.sign("{")?;
            loop {
                devices.push(self.device()?);
                if !self.cursor.take_sign(",") {
                    break;
                }
            }
            self.cursor.sign("}")?;
        }
        self.cursor.keyword("priority")?;
        let priority = self.priority(family, hook)?;
        Ok(BaseChain { kind, hook, priority, policy_drop: false, devices })
    }

    fn device(&mut self) -> Result<super::super::LinkName, ParseError> {
        let name = self.cursor.text("the name of a device")?;
        name.parse().map_err(|_| self.wrong("a valid name of a device"))
    }

    fn priority(&mut self, family: TableFamily, hook: Hook) -> Result<i32, ParseError> {
        let expected = "a priority: a number, or a word such as 'srcnat' with a number added";
        let minus = self.cursor.take_sign("-");
        if let Some(number) = self.cursor.peek_word().and_then(|w| w.parse::<i64>().ok()) {
            let number =
                i32::try_from(if minus { -number } else { number }).map_err(|_| self.cursor.error(expected))?;
            self.cursor.advance();
            return Ok(number);
        }
        let base = self.cursor.word_as(expected, |word| names::priority_number(family, hook, word))?;
        let sign = match self.cursor.peek() {
            Some(Token::Sign("+")) => 1,
            Some(Token::Sign("-")) => -1,
            _ => return Ok(base),
        };
        self.cursor.advance();
        let distance: i32 = self.cursor.number("a number")?;
        Ok(base.saturating_add(distance.saturating_mul(sign)))
    }

    /// Reads a set's block and notes the set.
    fn set(&mut self, table: TableId, name: String, is_map: bool) -> Result<(), ParseError> {
        self.cursor.sign("{")?;
        let mut set = Set { name, ..Set::default() };
        let mut kinds: Option<Vec<Kind>> = None;
        loop {
            self.cursor.skip_ends();
            if self.cursor.take_sign("}") {
                break;
            }
            match self.cursor.word("'type', 'flags', 'elements' or '}'")?.as_str() {
                "type" => {
                    let (key, data) = self.types(is_map)?;
                    let types: Vec<ValueType> = key.iter().map(|k| k.value_type).collect();
                    set = Set { data, name: set.name, ..Set::new("", &types) };
                    kinds = Some(key);
                }
                "typeof" if !is_map => {
                    let source = expression::operand(self.cursor, 0)?;
                    let key: Vec<Kind> = source.iter().map(|part| part.kind().unwrap_or(Kind::integer(4))).collect();
                    let key_source = Some(text::operand(&source));
                    set = Set { name: set.name, key_source, ..elements::keyed_by(&key) };
                    kinds = Some(key);
                }
                "flags" => self.set_flags(&mut set)?,
                "timeout" => {
                    set.timeout = true;
                    set.default_timeout = Some(self.cursor.word_as("a time such as 30s", read_duration)?);
                }
                "size" => set.size = Some(self.cursor.number("a number of elements")?),
                "policy" => set.small = self.cursor.word("'memory' or 'performance'")? == "memory",
                "gc-interval" => {
                    set.clearing_interval = Some(self.cursor.word_as("a time such as 30s", read_duration)?);
                }
                "auto-merge" => set.merges = true,
                "counter" | "limit" | "quota" | "ct" | "last" => {
                    self.cursor.back_to(self.cursor.position() - 1);
                    let Some(each) = action::plain(self.cursor)? else {
                        return Err(self.cursor.error("what is done for each element"));
                    };
                    set.each.push(each);
                }
                "comment" => set.comment = Some(self.cursor.text("a comment in quotes")?),
                "elements" => {
                    self.cursor.sign("=")?;
                    let Some(kinds) = &kinds else { return Err(self.wrong("the type before the elements")) };
                    let written = elements::braced(self.cursor, kinds, &DataKind::of(&set))?;
                    set.elements = elements::kept(kinds, set.interval, written);
                }
                _ => return Err(self.wrong("'type', 'flags', 'timeout', 'size', 'comment', 'elements' or '}'")),
            }
        }
        if kinds.is_none() {
            return Err(self.cursor.error("the set's type"));
        }
        self.sets.push((table.clone(), Set { elements: Vec::new(), ..set.clone() }));
        self.list.push(Command::AddSet { table, set });
        Ok(())
    }

    fn set_flags(&mut self, set: &mut Set) -> Result<(), ParseError> {
        loop {
            match self.cursor.word("'constant', 'interval', 'dynamic' or 'timeout'")?.as_str() {
                "constant" => set.constant = true,
                "interval" => set.interval = true,
                "dynamic" => set.dynamic = true,
                "timeout" => set.timeout = true,
                _ => return Err(self.wrong("'constant', 'interval', 'dynamic' or 'timeout'")),
            }
            if !self.cursor.take_sign(",") {
                return Ok(());
            }
        }
    }

    /// Reads the types of a set's keys and of what a map leads to.
    fn types(&mut self, is_map: bool) -> Result<(Vec<Kind>, Option<SetData>), ParseError> {
        let key = self.concatenated_types()?;
        if !is_map {
            return Ok((key, None));
        }
        self.cursor.sign(":")?;
        if self.cursor.take_word("verdict") {
            return Ok((key, Some(SetData::Verdict)));
        }
        let start = self.cursor.position();
        for (kind, _) in OBJECTS {
            if object_type(kind).split(' ').all(|word| self.cursor.take_word(word)) {
                return Ok((key, Some(SetData::Object(kind))));
            }
            self.cursor.back_to(start);
        }
        let ranges = self.cursor.take_word("interval");
        let types: Vec<ValueType> = self.concatenated_types()?.iter().map(|k| k.value_type).collect();
        let data = match Set::map("", &[], &types).data {
            Some(SetData::Value { data_type, length }) if ranges => {
                Some(SetData::Value { data_type, length: 2 * length })
            }
            data => data,
        };
        Ok((key, data))
    }

    fn concatenated_types(&mut self) -> Result<Vec<Kind>, ParseError> {
        /// More do not fit in the number of a type.
        const MOST: usize = 5;
        let mut kinds = Vec::new();
        loop {
            let named = |word: &str| ValueType::from_name(word).filter(|t| *t != ValueType::Verdict);
            kinds.push(self.cursor.word_as("a type such as ipv4_addr", named)?.kind());
            if !self.cursor.take_sign(".") {
                return Ok(kinds);
            }
            if kinds.len() == MOST {
                return Err(self.cursor.error("no more than five types"));
            }
        }
    }

    fn named_elements(&mut self) -> Result<(TableId, Set), ParseError> {
        let table = self.table_id()?;
        let set = self.elements_of(&table)?;
        Ok((table, set))
    }

    /// Reads elements for a set that is known.
    fn elements_of(&mut self, table: &TableId) -> Result<Set, ParseError> {
        let name = self.cursor.word("the name of a set")?;
        let known = self.sets.iter().find(|(t, s)| t == table && s.name == name).map(|(_, s)| s.clone());
        let Some(mut set) = known else { return Err(self.wrong("a set that exists")) };
        let kinds: Vec<Kind> = Set { interval: false, ..set.clone() }.key_kinds();
        let written = elements::braced(self.cursor, &kinds, &DataKind::of(&set))?;
        set.elements = elements::kept(&kinds, set.interval, written);
        Ok(set)
    }

    /// An error at the word that was just taken.
    fn wrong(&mut self, expected: &str) -> ParseError {
        self.cursor.back_to(self.cursor.position() - 1);
        self.cursor.error(expected)
    }
}
