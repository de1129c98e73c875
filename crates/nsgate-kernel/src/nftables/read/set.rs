//! Sets with their elements.

use nsgate_core::model::ruleset::{Element, Expression, Set, SetData, TableFamily};

use super::super::numbers::{LIST_ELEMENT, data, element, message, set};
use super::super::user_data;
use super::super::write::header;
use super::{Owner, comment, expression, number, request, text};
use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// Reads all sets, by one request for each.
///
/// The kernel has no request for the elements of several sets, and goes through all sets of the table three times for
/// each (`nf_tables_dump_set`): with many thousands in one table, such as those without names that rules bring, its time
/// grows with their square, for `nft list ruleset` as well.
pub(super) fn all(socket: &mut Socket) -> Result<Listing<(Owner, Set)>, Error> {
    let mut sets = socket.list(&mut request(message::GET_SET), "nftables sets", read)?;
    for (owner, set) in &mut sets.items {
        let mut batch = request_elements(owner, &set.name);
        let parts = socket.list(&mut batch, "the elements of nftables sets", elements)?;
        set.elements = parts.items.into_iter().flatten().collect();
        sets.unread += parts.unread;
        sets.consistent &= parts.consistent;
        if set.interval && set.key_parts.is_empty() {
            in_order(set);
        }
    }
    Ok(sets)
}

/// A request for the elements of a set.
pub(super) fn request_elements(owner: &Owner, set: &str) -> Batch {
    let mut batch = Batch::new();
    batch.begin(message::GET_ELEMENTS, 0, &header(owner.0.number(), 0));
    batch.text(element::TABLE, &owner.1);
    batch.text(element::SET, set);
    batch
}

/// Ranges in ascending order, without the mark that some programs leave to say that keys from zero on are outside.
fn in_order(set: &mut Set) {
    set.elements.sort_by(|a, b| (a.catch_all, &a.key, !a.interval_end).cmp(&(b.catch_all, &b.key, !b.interval_end)));
    if set.elements.first().is_some_and(|e| e.interval_end && e.key.iter().all(|b| *b == 0)) {
        set.elements.remove(0);
    }
}

pub(super) fn read(message: &Message<'_>) -> Option<(Owner, Set)> {
    let (header, attributes) = message.split::<4>()?;
    let small = |kind| attributes.find(kind).and_then(|a| a.be32());
    let flags = small(set::FLAGS).unwrap_or(0);
    let description = attributes.find(set::DESCRIPTION).map(|a| a.nested()).unwrap_or_default();
    let data = match (flags & set::FLAG_MAP != 0, small(set::DATA_TYPE)) {
        (true, Some(set::VERDICT_TYPE)) => Some(SetData::Verdict),
        (true, Some(data_type)) => Some(SetData::Value { data_type, length: small(set::DATA_LENGTH).unwrap_or(0) }),
        _ => None,
    };
    let objects = (flags & set::FLAG_OBJECT != 0).then(|| SetData::Object(small(set::OBJECT_KIND).unwrap_or(0)));
    let user_data = attributes.find(set::USER_DATA).map_or(&[][..], |a| a.value);
    let anonymous = flags & set::FLAG_ANONYMOUS != 0;
    let mut read = Set {
        name: text(&attributes, set::NAME)?,
        handle: number(&attributes, set::HANDLE),
        anonymous,
        constant: flags & set::FLAG_CONSTANT != 0,
        interval: flags & set::FLAG_INTERVAL != 0,
        timeout: flags & set::FLAG_TIMEOUT != 0,
        default_timeout: attributes.find(set::TIMEOUT).and_then(|a| a.be64()),
        // What the kernel was told about a constant set is no more than a count of what is in it.
        size: description.find(set::DESCRIPTION_SIZE).and_then(|a| a.be32()).filter(|_| !anonymous),
        dynamic: flags & set::FLAG_DYNAMIC != 0,
        key_type: small(set::KEY_TYPE)?,
        key_length: small(set::KEY_LENGTH)?,
        small: small(set::POLICY) == Some(set::POLICY_MEMORY),
        clearing_interval: attributes.find(set::CLEARING_INTERVAL).and_then(|a| a.be32()).map(u64::from),
        merges: user_data::merges(user_data),
        key_source: user_data::key_source(user_data),
        data_source: user_data::data_source(user_data),
        each: each(&attributes, set::EXPRESSION, set::EXPRESSIONS),
        data: objects.or(data),
        key_parts: parts(&description),
        comment: comment(&attributes, set::USER_DATA, user_data::SET_COMMENT),
        elements: Vec::new(),
    };
    if read.key_parts.is_empty() {
        // Without ranges the kernel need not be told the parts; the type says them.
        let kinds = read.key_kinds();
        read.key_parts = if kinds.len() > 1 { kinds.iter().map(|k| k.length as u32).collect() } else { Vec::new() };
    }
    Some(((TableFamily::from_number(header[0])?, text(&attributes, set::TABLE)?), read))
}

fn parts(description: &Attributes<'_>) -> Vec<u32> {
    let list = description.find(set::DESCRIPTION_PARTS).map(|a| a.nested()).unwrap_or_default();
    let lengths: Vec<u32> = list
        .filter(|part| part.kind == LIST_ELEMENT)
        .filter_map(|part| part.nested().find(set::PART_LENGTH)?.be32())
        .collect();
    if lengths.len() > 1 { lengths } else { Vec::new() }
}

/// What is done for each element: one instruction or a list of them.
fn each(attributes: &Attributes<'_>, single: u16, list: u16) -> Vec<Expression> {
    match (attributes.find(list), attributes.find(single)) {
        (Some(list), _) => expression::all(list.nested()),
        (None, Some(one)) => expression::single(&one.nested()).into_iter().collect(),
        (None, None) => Vec::new(),
    }
}

pub(super) fn elements(message: &Message<'_>) -> Option<Vec<Element>> {
    let (_, attributes) = message.split::<4>()?;
    let list = attributes.find(element::ELEMENTS).map(|a| a.nested()).unwrap_or_default();
    list.filter(|e| e.kind == LIST_ELEMENT).map(|e| read_element(&e.nested())).collect()
}

fn read_element(attributes: &Attributes<'_>) -> Option<Element> {
    let flags = attributes.find(element::FLAGS).and_then(|a| a.be32()).unwrap_or(0);
    let value = |kind| attributes.find(kind).and_then(|a| a.nested().find(data::VALUE)).map(|v| v.value.to_vec());
    let catch_all = flags & element::FLAG_CATCH_ALL != 0;
    let key = if catch_all { Vec::new() } else { value(element::KEY)? };
    Some(Element {
        // Some kernels repeat the key as its own end.
        key_end: value(element::KEY_END).filter(|end| *end != key || flags & element::FLAG_INTERVAL_END == 0),
        key,
        interval_end: flags & element::FLAG_INTERVAL_END != 0,
        data: match attributes.find(element::DATA) {
            Some(data) => Some(expression::data(&data.nested())?),
            None => None,
        },
        object: text(attributes, element::OBJECT),
        catch_all,
        timeout: attributes.find(element::TIMEOUT).and_then(|a| a.be64()),
        expires: attributes.find(element::EXPIRATION).and_then(|a| a.be64()),
        each: each(attributes, element::EXPRESSION, element::EXPRESSIONS),
        comment: comment(attributes, element::USER_DATA, user_data::COMMENT),
    })
}
