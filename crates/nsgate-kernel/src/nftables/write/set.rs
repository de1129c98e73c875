//! Sets and their elements.

use nsgate_core::model::ruleset::{Data, Element, Expression, Set, SetData, TableId};

use super::super::numbers::{LIST_ELEMENT, element, message, set};
use super::super::user_data;
use super::command::Writer;
use super::expression::{self, SetNames, write_data, write_value};
use crate::netlink::Batch;

/// How many bytes of elements go into one request: an attribute can be no longer than 65535.
const MOST: usize = 48 * 1024;

impl Writer<'_> {
    /// Makes a set without its elements; gives the number by which later requests of this batch may know it.
    pub(super) fn add_set(&mut self, id: &TableId, new: &Set, name: &str) -> u32 {
        self.sets += 1;
        let number = self.sets;
        self.begin(message::NEW_SET, libc::NLM_F_CREATE as u16, id.family.number());
        let batch = &mut *self.batch;
        batch.text(set::TABLE, &id.name);
        batch.text(set::NAME, name);
        batch.be32(set::FLAGS, flags(new));
        batch.be32(set::KEY_TYPE, new.key_type);
        batch.be32(set::KEY_LENGTH, new.key_length);
        match new.data {
            None => {}
            Some(SetData::Object(kind)) => batch.be32(set::OBJECT_KIND, kind),
            Some(SetData::Verdict) => {
                batch.be32(set::DATA_TYPE, set::VERDICT_TYPE);
                batch.be32(set::DATA_LENGTH, 0);
            }
            Some(SetData::Value { data_type, length }) => {
                batch.be32(set::DATA_TYPE, data_type);
                batch.be32(set::DATA_LENGTH, length);
            }
        }
        batch.be32(set::ID, number);
        if let Some(timeout) = new.default_timeout {
            batch.be64(set::TIMEOUT, timeout);
        }
        if let Some(interval) = new.clearing_interval {
            batch.be32(set::CLEARING_INTERVAL, u32::try_from(interval).unwrap_or(u32::MAX));
        }
        if new.small {
            batch.be32(set::POLICY, set::POLICY_MEMORY);
        }
        write_each(batch, &new.each, set::EXPRESSION, set::EXPRESSIONS);
        // The kernel gives a constant set just the room it is told that it needs.
        let size = new.size.or((new.anonymous && new.constant).then_some(new.elements.len() as u32));
        let parts = if is_ranged_concatenation(new) { &new.key_parts[..] } else { &[] };
        batch.nest(set::DESCRIPTION, |b| {
            if let Some(size) = size {
                b.be32(set::DESCRIPTION_SIZE, size);
            }
            if !parts.is_empty() {
                b.nest(set::DESCRIPTION_PARTS, |b| {
                    for length in parts {
                        b.nest(LIST_ELEMENT, |b| b.be32(set::PART_LENGTH, *length));
                    }
                });
            }
        });
        if let Some(comment) = &new.comment {
            batch.bytes(set::USER_DATA, &user_data::comment(user_data::SET_COMMENT, comment));
        }
        number
    }

    /// Puts a set's elements in, in as many requests as they need.
    pub(super) fn add_elements(&mut self, id: &TableId, name: &str, number: Option<u32>, of: &Set) {
        self.elements(message::NEW_ELEMENTS, libc::NLM_F_CREATE as u16, id, name, number, of);
    }

    /// Takes a set's elements out.
    pub(super) fn delete_elements(&mut self, id: &TableId, of: &Set) {
        self.elements(message::DELETE_ELEMENTS, 0, id, &of.name, None, of);
    }

    /// Takes all elements out.
    pub(super) fn flush_set(&mut self, id: &TableId, name: &str) {
        self.begin(message::DELETE_ELEMENTS, 0, id.family.number());
        self.batch.text(element::TABLE, &id.name);
        self.batch.text(element::SET, name);
    }

    fn elements(&mut self, kind: u16, flags: u16, id: &TableId, name: &str, number: Option<u32>, of: &Set) {
        let mut rest = of.elements.iter().peekable();
        while rest.peek().is_some() {
            self.begin(kind, flags, id.family.number());
            self.batch.text(element::TABLE, &id.name);
            self.batch.text(element::SET, name);
            if let Some(number) = number {
                self.batch.be32(element::SET_ID, number);
            }
            let with_data = kind == message::NEW_ELEMENTS;
            let start = self.batch.size();
            self.batch.nest(element::ELEMENTS, |b| {
                while b.size() - start < MOST
                    && let Some(next) = rest.next()
                {
                    b.nest(LIST_ELEMENT, |b| write_element(b, next, with_data));
                }
            });
        }
    }
}

fn write_element(batch: &mut Batch, new: &Element, with_data: bool) {
    let flags = if new.interval_end { element::FLAG_INTERVAL_END } else { 0 }
        | if new.catch_all { element::FLAG_CATCH_ALL } else { 0 };
    if flags != 0 {
        batch.be32(element::FLAGS, flags);
    }
    if !new.catch_all {
        batch.nest(element::KEY, |b| write_value(b, &new.key));
    }
    if let Some(end) = &new.key_end {
        batch.nest(element::KEY_END, |b| write_value(b, end));
    }
    if !with_data {
        return;
    }
    if let Some(timeout) = new.timeout {
        batch.be64(element::TIMEOUT, timeout);
    }
    if let Some(expires) = new.expires {
        batch.be64(element::EXPIRATION, expires);
    }
    if let Some(object) = &new.object {
        batch.text(element::OBJECT, object);
    }
    write_each(batch, &new.each, element::EXPRESSION, element::EXPRESSIONS);
    match &new.data {
        Some(data @ (Data::Value(_) | Data::Verdict(_))) => batch.nest(element::DATA, |b| write_data(b, data)),
        None => {}
    }
    if let Some(comment) = &new.comment {
        batch.bytes(element::USER_DATA, &user_data::comment(user_data::COMMENT, comment));
    }
}

/// Writes what is done for each element: one instruction, or a list of them.
fn write_each(batch: &mut Batch, each: &[Expression], single: u16, list: u16) {
    match each {
        [] => {}
        [one] => batch.nest(single, |b| expression::write_one(b, one)),
        many => batch.nest(list, |b| expression::write_all(b, many, &SetNames::default())),
    }
}

fn flags(of: &Set) -> u32 {
    [
        (of.anonymous, set::FLAG_ANONYMOUS),
        (of.constant, set::FLAG_CONSTANT),
        (of.interval, set::FLAG_INTERVAL),
        (of.data.is_some() && !leads_to_objects(of), set::FLAG_MAP),
        (leads_to_objects(of), set::FLAG_OBJECT),
        (of.timeout, set::FLAG_TIMEOUT),
        (of.dynamic, set::FLAG_DYNAMIC),
        (is_ranged_concatenation(of), set::FLAG_CONCATENATED),
    ]
    .into_iter()
    .filter(|(given, _)| *given)
    .fold(0, |flags, (_, flag)| flags | flag)
}

fn leads_to_objects(of: &Set) -> bool {
    matches!(of.data, Some(SetData::Object(_)))
}

fn is_ranged_concatenation(of: &Set) -> bool {
    of.interval && of.key_parts.len() > 1
}
