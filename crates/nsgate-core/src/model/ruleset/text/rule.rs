//! Rules as text.

use super::super::expression::{CmpOp, Expression};
use super::super::header::Context;
use super::super::selector::Selector;
use super::super::statement::{Part, Relation, Right, Shift, Statement, Value};
use super::super::value_type::{Kind, ValueType};
use super::super::{Rule, Set, SetData, TableFamily, lift, value, xt};
use super::set::elements_as;
use super::{action, plain, quoted};

/// A rule; its anonymous sets are looked for among `sets`.
pub fn rule(family: TableFamily, sets: &[Set], rule: &Rule) -> String {
    let mut texts = statements(family, sets, &lift(family, sets, &rule.expressions));
    texts.extend(comment(rule).map(|c| format!("comment {}", quoted(&c))));
    texts.join(" ")
}

/// A rule without what the kernel has counted at it: the same text today and tomorrow, by which a rule is named.
pub fn rule_without_counts(family: TableFamily, sets: &[Set], rule: &Rule) -> String {
    let without = |expression: &Expression| match expression {
        Expression::Counter { .. } => Expression::Counter { packets: 0, bytes: 0 },
        Expression::Quota { bytes, over, .. } => Expression::Quota { bytes: *bytes, used: 0, over: *over },
        Expression::Last { .. } => Expression::Last { used: None },
        other => other.clone(),
    };
    let expressions = rule.expressions.iter().map(without).collect();
    self::rule(family, sets, &Rule { expressions, ..rule.clone() })
}

/// The comment that the maker of a rule left, in the manner of nft or of iptables.
pub fn comment(rule: &Rule) -> Option<String> {
    rule.comment.clone().or_else(|| xt::comment(&rule.expressions))
}

/// What is looked at: one thing or a concatenation.
pub fn operand(parts: &[Part]) -> String {
    parts.iter().map(part).collect::<Vec<_>>().join(" . ")
}

/// Statements, each on its own.
pub(super) fn statements(family: TableFamily, sets: &[Set], statements: &[Statement]) -> Vec<String> {
    let mut context = Context::new(family);
    let mut texts = Vec::new();
    for statement in statements {
        let writer = Writer { family, sets, in_ipv6: context.in_ipv6() };
        texts.push(writer.statement(statement));
        context.pass(statement);
    }
    texts
}

struct Writer<'a> {
    family: TableFamily,
    sets: &'a [Set],
    /// Only IPv6 packets come this far.
    in_ipv6: bool,
}

impl Writer<'_> {
    fn statement(&self, statement: &Statement) -> String {
        match statement {
            Statement::Match { left, relation, right } => self.question(left, *relation, right),
            Statement::VerdictMap { left, map } => format!("{} vmap {}", operand(left), self.set(map, left, None)),
            Statement::Set { target, value } => format!("{target} set {}", self.value(value, target.kind())),
            Statement::Nat { source, family, address, port, flags } => {
                let word = if *source { "snat" } else { "dnat" };
                let prefix = if flags & super::super::lower::NAT_PREFIX == 0 { "" } else { " prefix" };
                let family = family.filter(|_| !matches!(self.family, TableFamily::Ip | TableFamily::Ip6));
                let family = family.map_or("", |number| if number == 10 { " ip6" } else { " ip" });
                format!(
                    "{word}{family}{prefix}{}{}",
                    self.target(address.as_ref(), port.as_ref()),
                    action::nat_flags(*flags)
                )
            }
            Statement::Masquerade { port, flags } => {
                format!("masquerade{}{}", self.target(None, port.as_ref()), action::nat_flags(*flags))
            }
            Statement::Redirect { port, flags } => {
                format!("redirect{}{}", self.target(None, port.as_ref()), action::nat_flags(*flags))
            }
            Statement::TransparentProxy { family, address, port } => {
                let word = match (self.family, family) {
                    (TableFamily::Inet, 2) => " ip",
                    (TableFamily::Inet, 10) => " ip6",
                    _ => "",
                };
                format!("tproxy{word}{}", self.target(address.as_ref(), port.as_ref()))
            }
            Statement::Update { set, operation, key, data, timeout, each } => {
                self.update(set, *operation, key, data.as_ref(), *timeout, each)
            }
            Statement::Duplicate { address, device } => self.duplicate(address.as_ref(), device.as_ref()),
            Statement::Forward { address, device } => self.forward(address.as_ref(), device),
            Statement::ObjectMap { key, map } => {
                let kind = self.sets.iter().find(|s| s.name == *map).and_then(|s| match s.data {
                    Some(SetData::Object(kind)) => Some(kind),
                    _ => None,
                });
                format!("{} {} map {}", action::object_words(kind.unwrap_or(0)), operand(key), self.set(map, key, None))
            }
            Statement::Reject(kind) => action::reject(self.family, self.in_ipv6, *kind),
            Statement::Verdict(verdict) => action::verdict(verdict),
            Statement::Plain(expression) => action::by_itself(expression),
            Statement::Opaque(expression) => action::opaque(self.family, self.in_ipv6, expression),
        }
    }

    fn question(&self, left: &[Part], relation: Relation, right: &Right) -> String {
        let kind = left.first().and_then(Part::kind).unwrap_or(Kind::integer(4));
        let raw = matches!(left, [Part { selector: Selector::Raw { .. }, .. }]);
        let show = |bytes: &[u8]| if raw { hexadecimal(bytes) } else { value::show(kind, bytes) };
        if let (ValueType::TcpFlags, [Part { bits: Some((mask, xor)), .. }], Relation::Compare(op), Right::Value(bytes)) =
            (kind.value_type, left, relation, right)
            && matches!(op, CmpOp::Eq | CmpOp::Neq)
            && xor.iter().all(|b| *b == 0)
            // nft would take what follows a single flag for more of them.
            && mask.iter().map(|b| b.count_ones()).sum::<u32>() != 1
        {
            let sign = if op == CmpOp::Eq { "" } else { "!= " };
            return format!("{} {sign}{} / {}", left[0].selector, show(bytes), show(mask));
        }
        let flags = kind.value_type.is_flags() && matches!(right, Right::Value(_));
        let explicit = flags || left.iter().any(|p| !p.is_plain());
        let sign = match relation {
            Relation::Compare(CmpOp::Eq) if explicit => "== ",
            Relation::Compare(CmpOp::Eq) | Relation::AnyFlag => "",
            Relation::Compare(CmpOp::Neq) => "!= ",
            Relation::Compare(CmpOp::Lt) => "< ",
            Relation::Compare(CmpOp::Lte) => "<= ",
            Relation::Compare(CmpOp::Gt) => "> ",
            Relation::Compare(CmpOp::Gte) => ">= ",
            Relation::NoFlag => "! ",
        };
        let right = match right {
            Right::Value(bytes) => show(bytes),
            Right::Range(low, high) if raw => format!("{}-{}", show(low), show(high)),
            Right::Range(low, high) => value::show_range(kind, low, high),
            Right::Prefix(bytes, length) => format!("{}/{length}", show(bytes)),
            Right::Set(name) => self.set(name, left, None),
            Right::OneOf(ranges) => {
                let range = |(low, high): &(Vec<u8>, Vec<u8>)| {
                    if low == high { show(low) } else { format!("{}-{}", show(low), show(high)) }
                };
                format!("{{ {} }}", ranges.iter().map(range).collect::<Vec<_>>().join(", "))
            }
        };
        format!("{} {sign}{right}", operand(left))
    }

    /// A set by its name or, if it has none of its own, with what it holds.
    fn set(&self, name: &str, key: &[Part], data: Option<Kind>) -> String {
        match self.sets.iter().find(|s| s.name == name) {
            Some(set) if set.anonymous => {
                let kinds: Option<Vec<Kind>> = key.iter().map(Part::kind).collect();
                let shift = match key {
                    [part] if part.after.is_none() => part.selector.mask().map_or(0, |(_, shift)| shift),
                    _ => 0,
                };
                elements_as(set, &kinds.unwrap_or_else(|| set.key_kinds()), shift, data)
            }
            _ => format!("@{}", plain(name)),
        }
    }

    fn value(&self, value: &Value, kind: Option<Kind>) -> String {
        let kind = kind.unwrap_or(Kind::integer(4));
        match value {
            Value::Constant(bytes) => value::show(kind, bytes),
            Value::Range(low, high) => format!("{}-{}", value::show(kind, low), value::show(kind, high)),
            Value::Read(read) => part(read),
            Value::Map { key, map, .. } => format!("{} map {}", operand(key), self.set(map, key, Some(kind))),
            Value::SameMap => String::new(),
        }
    }

    /// To where something is translated: ` to ADDRESS:PORT`, of which either may be missing.
    fn target(&self, address: Option<&Value>, port: Option<&Value>) -> String {
        let port = port.filter(|p| **p != Value::SameMap);
        let port_text = port.map(|p| self.value(p, Some(ValueType::InetService.kind())));
        let Some(address) = address else { return port_text.map_or_else(String::new, |p| format!(" to :{p}")) };
        let wide = matches!(address, Value::Constant(bytes) | Value::Range(bytes, _) if bytes.len() == 16);
        let kind = if wide { ValueType::Ipv6Address.kind() } else { ValueType::Ipv4Address.kind() };
        let bracket = |text: String| if wide && port_text.is_some() { format!("[{text}]") } else { text };
        let text = match address {
            Value::Range(low, high) => {
                format!("{}-{}", bracket(value::show(kind, low)), bracket(value::show(kind, high)))
            }
            Value::Constant(bytes) => bracket(value::show(kind, bytes)),
            other => self.value(other, Some(kind)),
        };
        let colon = if matches!(address, Value::Constant(_) | Value::Range(..)) { ":" } else { " : " };
        format!(" to {text}{}", port_text.map_or_else(String::new, |p| format!("{colon}{p}")))
    }

    fn duplicate(&self, address: Option<&Value>, device: Option<&Value>) -> String {
        let mut text = String::from("dup to");
        if let Some(address) = address {
            text = format!("{text}{}", self.target(Some(address), None).trim_start_matches(" to"));
        }
        if let Some(device) = device {
            let word = if address.is_some() { " device" } else { "" };
            text = format!("{text}{word} {}", self.value(device, Some(ValueType::InterfaceIndex.kind())));
        }
        text
    }

    fn forward(&self, address: Option<&(Value, u8)>, device: &Value) -> String {
        let device = self.value(device, Some(ValueType::InterfaceIndex.kind()));
        match address {
            None => format!("fwd to {device}"),
            Some((address, family)) => {
                let word = if *family == 10 { "ip6" } else { "ip" };
                format!("fwd {word}{} device {device}", self.target(Some(address), None))
            }
        }
    }

    fn update(
        &self,
        set: &str,
        operation: u32,
        key: &[Part],
        data: Option<&Value>,
        timeout: Option<u64>,
        each: &[Statement],
    ) -> String {
        let word = ["add", "update", "delete"].get(operation as usize).copied().unwrap_or("add");
        let mut inner = operand(key);
        if let Some(timeout) = timeout {
            inner = format!("{inner} timeout {}", value::duration(timeout));
        }
        for statement in statements(self.family, self.sets, each) {
            inner = format!("{inner} {statement}");
        }
        if let Some(data) = data {
            let kind = self.sets.iter().find(|s| s.name == set).and_then(Set::data_kind);
            inner = format!("{inner} : {}", self.value(data, kind));
        }
        format!("{word} @{} {{ {inner} }}", plain(set))
    }
}

fn part(part: &Part) -> String {
    let name = part.selector.to_string();
    // A field that does not fill its bytes is moved to where numbers stand; that is part of reading it.
    let own = part.selector.mask().map(|(_, shift)| Shift::Right(shift));
    let after = part.after.filter(|_| own.is_none() || part.after != own);
    let moved = moved(name, part.before);
    match (bits(part, &moved), after) {
        (text, None) => text,
        (text, after) => self::moved(if part.bits.is_some() { format!("({text})") } else { text }, after),
    }
}

fn moved(text: String, shift: Option<Shift>) -> String {
    match shift {
        None => text,
        Some(Shift::Left(by)) => format!("{text} << {by}"),
        Some(Shift::Right(by)) => format!("{text} >> {by}"),
    }
}

/// A value with what is done to its bits.
fn bits(part: &Part, name: &str) -> String {
    let Some((mask, xor)) = &part.bits else { return name.to_owned() };
    let name = if part.before.is_some() { format!("({name})") } else { name.to_owned() };
    let kind = part.selector.kind().unwrap_or(Kind::integer(mask.len()));
    let show = |bytes: &[u8]| match kind.value_type {
        flags if flags.is_flags() => {
            let names = value::show(kind, bytes);
            if names.contains(',') { format!("({})", names.replace(',', "|")) } else { names }
        }
        ValueType::Integer => hexadecimal(bytes),
        _ => value::show(kind, bytes),
    };
    let keeps_all = mask.iter().all(|b| *b == 0xff);
    let turns_none = xor.iter().all(|b| *b == 0);
    let apart = mask.iter().zip(xor).all(|(m, x)| m & x == 0);
    let sets = mask.iter().zip(xor).all(|(m, x)| *m == !x);
    match (turns_none, keeps_all) {
        (true, _) => format!("{} & {}", name, show(mask)),
        (_, true) => format!("{} ^ {}", name, show(xor)),
        _ if sets => format!("{} | {}", name, show(xor)),
        _ if apart => format!("{} & {} | {}", name, show(mask), show(xor)),
        _ => format!("{} & {} ^ {}", name, show(mask), show(xor)),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    match value::number(bytes) {
        Some(number) => format!("0x{number:x}"),
        None => value::show(Kind::integer(bytes.len()), bytes),
    }
}
