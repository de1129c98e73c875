//! The statements of a rule.

use super::super::context::asked_in_front;
use super::super::expression::{CmpOp, Expression};
use super::super::header::Context;
use super::super::lower::{NAT_PREFIX, lower};
use super::super::selector::Selector;
use super::super::statement::{Part, Relation, Right, Statement, Value};
use super::super::value_type::{Kind, Order, ValueType};
use super::super::{Rule, Set, TableFamily};
use super::action;
use super::elements::{self, DataKind};
use super::expression::{self, Written};
use super::lexer::{Cursor, Token};
use super::{NewRule, ParseError};

/// Reads a rule.
pub(super) struct RuleParser<'a, 'text> {
    family: TableFamily,
    /// The named sets of the table.
    named: &'a [Set],
    /// The anonymous sets made so far.
    made: Vec<Set>,
    context: Context,
    statements: Vec<Statement>,
    cursor: &'a mut Cursor<'text>,
}

impl<'a, 'text> RuleParser<'a, 'text> {
    pub(super) fn new(family: TableFamily, named: &'a [Set], cursor: &'a mut Cursor<'text>) -> Self {
        Self { family, named, made: Vec::new(), context: Context::new(family), statements: Vec::new(), cursor }
    }

    /// Reads up to the end of the rule.
    pub(super) fn rule(mut self) -> Result<NewRule, ParseError> {
        let mut comment = None;
        while !self.cursor.at_stop() {
            if self.cursor.take_word("comment") {
                comment = Some(self.cursor.text("a comment in quotes")?);
                if !self.cursor.at_stop() {
                    return Err(self.cursor.error("the end of the rule behind its comment"));
                }
                break;
            }
            let statement = self.statement()?;
            self.add(statement);
        }
        if self.statements.is_empty() && comment.is_none() {
            return Err(self.cursor.error("a rule"));
        }
        if let Some(question) = asked_in_front(self.family, &self.statements) {
            self.statements.insert(0, question);
        }
        let expressions = lower(self.family, &self.statements);
        Ok(NewRule { rule: Rule { handle: 0, expressions, comment }, sets: self.made })
    }

    fn add(&mut self, statement: Statement) {
        self.context.require(&statement);
        self.context.pass(&statement);
        self.statements.push(statement);
    }

    fn statement(&mut self) -> Result<Statement, ParseError> {
        if let Some(verdict) = action::verdict(self.cursor)? {
            return Ok(Statement::Verdict(verdict));
        }
        if let Some(expression) = action::plain(self.cursor)? {
            return Ok(Statement::Plain(expression));
        }
        let Some(word) = self.cursor.peek_word().map(ToOwned::to_owned) else { return self.asked() };
        let second_is_set = matches!(self.cursor.peek_second(), Some(Token::Sign("@")));
        match word.as_str() {
            "snat" | "dnat" => {
                self.cursor.advance();
                self.nat(word == "snat")
            }
            "masquerade" | "redirect" => {
                self.cursor.advance();
                let port = if self.cursor.take_word("to") { self.target(None)?.1 } else { None };
                let flags = action::nat_flags(self.cursor)?;
                Ok(match word.as_str() {
                    "masquerade" => Statement::Masquerade { port, flags },
                    _ => Statement::Redirect { port, flags },
                })
            }
            "tproxy" => {
                self.cursor.advance();
                let family = self.nat_family().map_or(0, |f| f);
                self.cursor.keyword("to")?;
                let (address, port) = self.target((family == 10).then_some(10))?;
                let by_table =
                    if matches!(self.family, TableFamily::Ip | TableFamily::Ip6) { self.family.number() } else { 0 };
                let family = if family == 0 { by_table } else { family };
                Ok(Statement::TransparentProxy { family, address, port })
            }
            "dup" => {
                self.cursor.advance();
                self.duplicate()
            }
            "fwd" => {
                self.cursor.advance();
                self.forward()
            }
            "reject" => {
                self.cursor.advance();
                self.reject()
            }
            "add" | "update" | "delete" if second_is_set => {
                self.cursor.advance();
                self.update(&word)
            }
            _ => self.asked(),
        }
    }

    /// Reads a match, a verdict map or the setting of something.
    fn asked(&mut self) -> Result<Statement, ParseError> {
        let mut left = expression::operand(self.cursor, 0)?;
        if self.cursor.take_word("vmap") {
            let map = self.set(&mut left, &DataKind::Verdict)?;
            return Ok(Statement::VerdictMap { left, map });
        }
        if let ([part], true) = (&left[..], self.cursor.peek_word() == Some("set"))
            && part.is_plain()
        {
            let target = part.selector.clone();
            self.cursor.advance();
            let Some(kind) = target.kind() else { return Err(self.cursor.error("something that can be set")) };
            let value = self.value(kind)?;
            return Ok(Statement::Set { target, value });
        }
        self.relation(left)
    }

    fn relation(&mut self, mut left: Vec<Part>) -> Result<Statement, ParseError> {
        let signs = [
            ("==", CmpOp::Eq),
            ("!=", CmpOp::Neq),
            ("<=", CmpOp::Lte),
            (">=", CmpOp::Gte),
            ("<", CmpOp::Lt),
            (">", CmpOp::Gt),
        ];
        let op = signs.into_iter().find(|(sign, _)| self.cursor.take_sign(sign)).map(|(_, op)| op);
        let none_of = op.is_none() && self.cursor.take_sign("!");
        let relation = Relation::Compare(op.unwrap_or(CmpOp::Eq));
        let is_set = matches!(self.cursor.peek(), Some(Token::Sign("@" | "{")));
        if is_set && !none_of && matches!(relation, Relation::EQUAL | Relation::UNEQUAL) {
            let set = self.set(&mut left, &DataKind::None)?;
            return Ok(Statement::Match { left, relation, right: Right::Set(set) });
        }
        let [part] = &mut left[..] else { return Err(self.cursor.error("a set: '@NAME' or '{ ... }'")) };
        let Some(kind) = part.selector.kind() else { return Err(self.cursor.error("a set")) };
        let flags = kind.value_type.is_flags();
        if flags && part.bits.is_none() && relation_takes_flags(op) {
            let bits = self.flags(kind)?;
            if self.cursor.take_sign("/") {
                let mask = self.flags(kind)?;
                part.bits = Some((mask, vec![0; kind.length]));
                return Ok(Statement::Match { left, relation, right: Right::Value(bits) });
            }
            let relation = match op {
                None if none_of => Relation::NoFlag,
                None => Relation::AnyFlag,
                Some(_) => relation,
            };
            return Ok(Statement::Match { left, relation, right: Right::Value(bits) });
        }
        let right = if flags { Written::One(self.flags(kind)?) } else { expression::written(self.cursor, kind)? };
        let is_equality = matches!(relation, Relation::EQUAL | Relation::UNEQUAL);
        let right = match right {
            Written::One(bytes) => Right::Value(bytes),
            Written::Range(low, high) if is_equality => Right::Range(low, high),
            Written::Prefix(bytes, length) if is_equality => Right::Prefix(bytes, length),
            _ => return Err(self.cursor.error("'==' or '!=' before a range")),
        };
        if !is_equality || matches!(right, Right::Range(..)) {
            part.turned = part.needs_turning();
        }
        Ok(simplified(left, relation, right))
    }

    /// Reads flags with commas or bars between them.
    fn flags(&mut self, kind: Kind) -> Result<Vec<u8>, ParseError> {
        let mut bits = expression::bit_operand(self.cursor, kind)?;
        while self.cursor.take_sign("|") {
            let more = expression::bit_operand(self.cursor, kind)?;
            bits = bits.iter().zip(more).map(|(a, b)| a | b).collect();
        }
        Ok(bits)
    }

    /// Reads a set's name, or elements that become an anonymous set, for keys as they are on the left.
    fn set(&mut self, left: &mut [Part], data: &DataKind) -> Result<String, ParseError> {
        if self.cursor.take_sign("@") {
            let name = self.cursor.word("the name of a set")?;
            if self.named.iter().any(|s| s.name == name && s.interval) {
                turn(left);
            }
            return Ok(name);
        }
        let narrow = left.iter().any(|p| p.selector.mask().is_some() && !matches!(p.selector, Selector::Raw { .. }));
        if narrow {
            return Err(self.cursor.error("one value: sets of fields narrower than a byte are not supported"));
        }
        let kinds: Vec<Kind> = left.iter().map(|p| p.selector.kind().unwrap_or(Kind::integer(4))).collect();
        let written = elements::braced(self.cursor, &kinds, data)?;
        let word = if matches!(data, DataKind::None) { "set" } else { "map" };
        let name = format!("__{word}{}", self.made.len());
        let set = elements::anonymous(name.clone(), &kinds, data, written);
        if set.elements.is_empty() {
            return Err(self.cursor.error("elements in the set before this"));
        }
        if set.interval {
            turn(left);
        }
        self.made.push(set);
        Ok(name)
    }

    /// Reads what something of this kind is set to.
    fn value(&mut self, kind: Kind) -> Result<Value, ParseError> {
        let start = self.cursor.position();
        let constant = expression::flags(self.cursor, kind);
        if let Ok(bytes) = constant {
            return Ok(Value::Constant(bytes));
        }
        self.cursor.back_to(start);
        if !self.begins_expression() {
            return Err(constant.err().unwrap_or_else(|| self.cursor.error("a value")));
        }
        self.computed(kind, false)
    }

    /// Reads an expression, and the map that it is looked up in if there is one. Where something is translated the map
    /// may have an address and a port for it.
    fn computed(&mut self, kind: Kind, translation: bool) -> Result<Value, ParseError> {
        let mut key = expression::operand(self.cursor, 0)?;
        if self.cursor.take_word("map") {
            let data = if translation && self.cursor.data_is_concatenated() {
                DataKind::Value(vec![kind, ValueType::InetService.kind()])
            } else if translation && self.cursor.data_is_ranged() {
                DataKind::Ranges(kind)
            } else {
                DataKind::Value(vec![kind])
            };
            let map = self.set(&mut key, &data)?;
            let ranges = matches!(self.map_data(&map), Some(DataKind::Ranges(_)));
            return Ok(Value::Map { key, map, ranges });
        }
        match <[Part; 1]>::try_from(key) {
            Ok([mut part]) => {
                part.turned = part.needs_turning() && kind.order == Order::Network;
                Ok(Value::Read(part))
            }
            Err(_) => Err(self.cursor.error("'map'")),
        }
    }

    fn begins_expression(&mut self) -> bool {
        let start = self.cursor.position();
        let found = expression::selector(self.cursor, 0).is_ok();
        self.cursor.back_to(start);
        found
    }

    fn nat_family(&mut self) -> Option<u8> {
        if self.cursor.take_word("ip") {
            Some(2)
        } else if self.cursor.take_word("ip6") {
            Some(10)
        } else {
            None
        }
    }

    fn nat(&mut self, source: bool) -> Result<Statement, ParseError> {
        let word = self.nat_family();
        let prefix = self.cursor.take_word("prefix");
        self.cursor.keyword("to")?;
        let by_table = matches!(self.family, TableFamily::Ip | TableFamily::Ip6).then(|| self.family.number());
        let (address, port) = self.target(word.or(by_table))?;
        let written = match &address {
            Some(Value::Constant(bytes) | Value::Range(bytes, _)) => Some(if bytes.len() == 16 { 10 } else { 2 }),
            _ => None,
        };
        let family = match &address {
            None => None,
            Some(_) => match word.or(by_table).or(written) {
                Some(family) => Some(family),
                None => return Err(self.cursor.error("'ip' or 'ip6' before 'to'")),
            },
        };
        let flags = action::nat_flags(self.cursor)? | if prefix { NAT_PREFIX } else { 0 };
        Ok(Statement::Nat { source, family, address, port, flags })
    }

    /// Reads where a copy goes: in a table of a device to an interface, elsewhere to a host.
    fn duplicate(&mut self) -> Result<Statement, ParseError> {
        self.cursor.keyword("to")?;
        if self.family == TableFamily::Netdev {
            let device = Some(self.value(ValueType::InterfaceIndex.kind())?);
            return Ok(Statement::Duplicate { address: None, device });
        }
        let address = self.target(Some(self.family.number()))?.0;
        let device = self.cursor.take_word("device");
        let device = if device { Some(self.value(ValueType::InterfaceIndex.kind())?) } else { None };
        Ok(Statement::Duplicate { address, device })
    }

    fn forward(&mut self) -> Result<Statement, ParseError> {
        let family = self.nat_family();
        self.cursor.keyword("to")?;
        let Some(family) = family else {
            return Ok(Statement::Forward { address: None, device: self.value(ValueType::InterfaceIndex.kind())? });
        };
        let Some(address) = self.target(Some(family))?.0 else { return Err(self.cursor.error("an address")) };
        self.cursor.keyword("device")?;
        Ok(Statement::Forward {
            address: Some((address, family)),
            device: self.value(ValueType::InterfaceIndex.kind())?,
        })
    }

    /// Reads `ADDRESS`, `ADDRESS:PORT`, `:PORT` or an expression in place of either.
    fn target(&mut self, family: Option<u8>) -> Result<(Option<Value>, Option<Value>), ParseError> {
        let expected = "an address, ':PORT' or an expression";
        if self.cursor.take_sign(":") {
            return Ok((None, Some(self.value(ValueType::InetService.kind())?)));
        }
        if self.cursor.take_sign("[") {
            let kind = ValueType::Ipv6Address.kind();
            let low = expression::one(self.cursor, kind)?;
            self.cursor.sign("]")?;
            let address = if self.cursor.take_sign("-") {
                self.cursor.sign("[")?;
                let high = expression::one(self.cursor, kind)?;
                self.cursor.sign("]")?;
                Value::Range(low, high)
            } else {
                Value::Constant(low)
            };
            return Ok((Some(address), self.port_behind()?));
        }
        let Some(Token::Word(word)) = self.cursor.peek().cloned() else { return Err(self.cursor.error(expected)) };
        if let Some(port) = word.strip_prefix(':').filter(|p| !p.starts_with(':')) {
            let Some(port) = ends(ValueType::InetService, port) else { return Err(self.cursor.error("a port")) };
            self.cursor.advance();
            return Ok((None, Some(port)));
        }
        let (address, port) = match word.split_once(':') {
            Some((address, port)) if !port.contains(':') => (address, Some(port)),
            _ => (word.as_str(), None),
        };
        let address = [ValueType::Ipv4Address, ValueType::Ipv6Address].iter().find_map(|t| ends(*t, address));
        if let Some(address) = address {
            let port = match port.map(|p| ends(ValueType::InetService, p)) {
                Some(None) => return Err(self.cursor.error("a port behind the colon")),
                Some(port) => port,
                None => None,
            };
            self.cursor.advance();
            let port = if port.is_none() { self.port_behind()? } else { port };
            return Ok((Some(address), port));
        }
        if !self.begins_expression() {
            return Err(self.cursor.error(expected));
        }
        let wide = family == Some(10);
        let address_kind = if wide { ValueType::Ipv6Address } else { ValueType::Ipv4Address }.kind();
        let address = self.computed(address_kind, true)?;
        let has_port = matches!(&address, Value::Map { map, .. } if self.leads_to_port(map));
        let port = if has_port { Some(Value::SameMap) } else { self.port_behind()? };
        Ok((Some(address), port))
    }

    /// Whether a map's data has a port behind the address.
    fn leads_to_port(&self, map: &str) -> bool {
        matches!(self.map_data(map), Some(DataKind::Value(kinds)) if kinds.len() == 2)
    }

    fn map_data(&self, map: &str) -> Option<DataKind> {
        self.named.iter().chain(&self.made).find(|s| s.name == map).map(DataKind::of)
    }

    fn port_behind(&mut self) -> Result<Option<Value>, ParseError> {
        let kind = ValueType::InetService.kind();
        if let Some(Token::Word(word)) = self.cursor.peek()
            && let Some(port) = word.strip_prefix(':')
            && let Some(port) = ends(ValueType::InetService, port)
        {
            self.cursor.advance();
            return Ok(Some(port));
        }
        if !self.cursor.take_sign(":") {
            return Ok(None);
        }
        if let Some(port) = self.cursor.peek_word().and_then(|word| ends(ValueType::InetService, word)) {
            self.cursor.advance();
            return Ok(Some(port));
        }
        self.value(kind).map(Some)
    }

    /// What a refusal requires is asked in front of it: here the text alone tells.
    fn reject(&mut self) -> Result<Statement, ParseError> {
        let (kind, protocol) = action::reject(self.cursor, self.family)?;
        if let Some(protocol) = protocol {
            // nft asks before everything else that the rule does.
            let questions = self.context.questions(protocol);
            for question in &questions {
                self.context.pass(question);
            }
            self.statements.splice(0..0, questions);
        }
        Ok(Statement::Reject(kind))
    }

    fn update(&mut self, word: &str) -> Result<Statement, ParseError> {
        self.cursor.sign("@")?;
        let set = self.cursor.word("the name of a set")?;
        self.cursor.sign("{")?;
        let key = expression::operand(self.cursor, 0)?;
        let mut timeout = None;
        if self.cursor.take_word("timeout") {
            timeout = Some(self.cursor.word_as("a time such as 30s", super::super::value::read_duration)?);
        }
        let mut each = Vec::new();
        while let Some(expression) = action::plain(self.cursor)? {
            if !matches!(
                expression,
                Expression::Counter { .. }
                    | Expression::Limit { .. }
                    | Expression::Quota { .. }
                    | Expression::ConnectionLimit { .. }
            ) {
                return Err(self.cursor.error("a counter, limit, quota or 'ct count' before this"));
            }
            each.push(Statement::Plain(expression));
        }
        let mut data = None;
        if self.cursor.take_sign(":") {
            let kind = self.named.iter().find(|s| s.name == set).and_then(Set::data_kind);
            data = Some(self.value(kind.unwrap_or(Kind::integer(4)))?);
        }
        self.cursor.sign("}")?;
        let operation = ["add", "update", "delete"].iter().position(|w| *w == word).unwrap_or(0) as u32;
        Ok(Statement::Update { set, operation, key, data, timeout, each })
    }
}

fn relation_takes_flags(op: Option<CmpOp>) -> bool {
    matches!(op, None | Some(CmpOp::Eq | CmpOp::Neq))
}

/// A question about masked flags that has a shorter form.
fn simplified(mut left: Vec<Part>, relation: Relation, right: Right) -> Statement {
    if let ([part], Right::Value(bytes)) = (&mut left[..], &right)
        && let Some((mask, xor)) = &part.bits
        && part.selector.kind().is_some_and(|k| k.value_type.is_flags())
        && [bytes, xor].iter().all(|b| b.iter().all(|b| *b == 0))
    {
        let relation = match relation {
            Relation::EQUAL => Some(Relation::NoFlag),
            Relation::UNEQUAL => Some(Relation::AnyFlag),
            _ => None,
        };
        if let Some(relation) = relation {
            let right = Right::Value(mask.clone());
            part.bits = None;
            return Statement::Match { left, relation, right };
        }
    }
    Statement::Match { left, relation, right }
}

/// Numbers that are looked up in a set of ranges are brought into network order.
fn turn(parts: &mut [Part]) {
    for part in parts {
        part.turned = part.needs_turning();
    }
}

/// A value or range of this type.
fn ends(value_type: ValueType, word: &str) -> Option<Value> {
    match expression::read(value_type.kind(), word, false)? {
        Written::One(bytes) => Some(Value::Constant(bytes)),
        Written::Range(low, high) => Some(Value::Range(low, high)),
        Written::Prefix(..) => None,
    }
}
