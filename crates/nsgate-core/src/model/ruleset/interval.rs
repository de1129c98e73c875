//! Ranges of keys, and how a set keeps them.
//!
//! A set of ranges whose key has one part keeps two elements for each: one at its first key, and one at the first key
//! behind it that only says "here it ends". Concatenated keys keep both ends in one element.

use super::value_type::{self, Kind};
use super::{Element, Set, SetData};

/// A key or range of keys with the element that carries what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The first key, as the set keeps it.
    pub low: Vec<u8>,
    /// The last key; the same as the first where there is only one.
    pub high: Vec<u8>,
    /// The element at the first key.
    pub element: Element,
}

impl Set {
    /// What is known of the parts of its keys as they are kept; one number where the type is not known.
    pub fn key_kinds(&self) -> Vec<Kind> {
        let length = self.key_length as usize;
        let fits = |kinds: &Vec<Kind>| match &kinds[..] {
            [single] => single.length == length,
            many => many.iter().map(|k| k.padded()).sum::<usize>() == length,
        };
        let kinds = source_kinds(self.key_source.as_deref())
            .filter(fits)
            .or_else(|| value_type::parts(self.key_type, length).filter(fits))
            .or_else(|| self.told_parts().filter(fits))
            .unwrap_or_else(|| vec![Kind::integer(length)]);
        if self.interval { kinds.into_iter().map(Kind::in_network_order).collect() } else { kinds }
    }

    /// What is known of the values that a map leads to, if these are no concatenations or verdicts.
    pub fn data_kind(&self) -> Option<Kind> {
        let Some(SetData::Value { data_type, length }) = self.data else { return None };
        let fits = |kinds: &Vec<Kind>| matches!(kinds[..], [single] if single.length == length as usize);
        let kinds = source_kinds(self.data_source.as_deref())
            .filter(fits)
            .or_else(|| value_type::parts(data_type, length as usize))?;
        match kinds[..] {
            [single] => Some(single),
            _ => None,
        }
    }

    /// The parts of a concatenation whose type says too little, by the lengths that the kernel was told.
    fn told_parts(&self) -> Option<Vec<Kind>> {
        let types = value_type::parts(self.key_type, self.key_length as usize)?;
        (types.len() == self.key_parts.len()).then_some(())?;
        Some(types.into_iter().zip(&self.key_parts).map(|(t, l)| Kind { length: *l as usize, ..t }).collect())
    }

    /// Whether its keys have several parts.
    pub fn is_concatenation(&self) -> bool {
        self.key_kinds().len() > 1
    }

    /// Its keys and ranges of keys in ascending order; the entry for all other keys last.
    pub fn entries(&self) -> Vec<Entry> {
        let parts = self.key_kinds().len();
        let mut elements: Vec<&Element> = self.elements.iter().collect();
        // Ranges of concatenations may overlap: the kernel's order is the one in which they can be put in again.
        if !self.interval || parts == 1 {
            elements
                .sort_by(|a, b| (a.catch_all, &a.key, !a.interval_end).cmp(&(b.catch_all, &b.key, !b.interval_end)));
        }
        let paired = self.interval && parts == 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut open = false;
        for element in elements {
            let begins = paired && !element.catch_all && element.key_end.is_none();
            if begins
                && open
                && let Some(last) = entries.last_mut()
            {
                last.high = before(&element.key);
            }
            open = begins && !element.interval_end;
            if !element.interval_end {
                let high = match &element.key_end {
                    Some(end) => end.clone(),
                    None if begins => vec![0xff; element.key.len()],
                    None => element.key.clone(),
                };
                entries.push(Entry { low: element.key.clone(), high, element: element.clone() });
            }
        }
        entries
    }
}

/// The elements that keep a range in a set of ranges with keys of one part: where it begins and, unless it reaches to
/// the last key of all, where it has ended.
pub fn elements_of_range(low: Vec<u8>, high: &[u8], element: Element) -> Vec<Element> {
    let mut elements = vec![Element { key: low, key_end: None, ..element }];
    if let Some(key) = after(high) {
        elements.push(Element { key, interval_end: true, ..Element::default() });
    }
    elements
}

/// What is known of the values of an expression that is given as text, part by part.
fn source_kinds(source: Option<&str>) -> Option<Vec<Kind>> {
    super::parse::operand(source?)?.iter().map(super::Part::kind).collect()
}

/// How many leading bits all keys from `low` to `high` share, if these are all keys that begin so.
pub(super) fn prefix_length(low: &[u8], high: &[u8]) -> Option<u32> {
    let mut length = 0;
    let mut differing = false;
    for (l, h) in low.iter().zip(high) {
        for bit in (0..8).rev() {
            let (l, h) = (l >> bit & 1, h >> bit & 1);
            match (differing, l == h) {
                (false, true) => length += 1,
                (_, false) if l == 0 => differing = true,
                _ => return None,
            }
        }
    }
    Some(length)
}

/// The key before this one.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (value, borrow) = byte.overflowing_sub(1);
        *byte = value;
        if !borrow {
            break;
        }
    }
    key
}

/// The key behind this one; none behind the last.
fn after(key: &[u8]) -> Option<Vec<u8>> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (value, carry) = byte.overflowing_add(1);
        *byte = value;
        if !carry {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ruleset::value_type::ValueType;

    #[test]
    fn ranges_go_in_and_come_out() {
        let ranges: [([u8; 2], [u8; 2]); 3] = [([0, 22], [0, 22]), ([0, 23], [1, 0]), ([255, 0], [255, 255])];
        let mut set = Set::new("ports", &[ValueType::InetService]);
        set.interval = true;
        for (low, high) in ranges.iter().rev() {
            set.elements.extend(elements_of_range(low.to_vec(), high, Element::default()));
        }
        assert_eq!(set.elements.len(), 5);
        let found: Vec<_> = set.entries().into_iter().map(|e| (e.low, e.high)).collect();
        assert_eq!(found, ranges.map(|(l, h)| (l.to_vec(), h.to_vec())));
    }

    #[test]
    fn prefixes_are_told_from_other_ranges() {
        assert_eq!(prefix_length(&[10, 0], &[10, 255]), Some(8));
        assert_eq!(prefix_length(&[10, 0], &[10, 0]), Some(16));
        assert_eq!(prefix_length(&[0, 0], &[255, 255]), Some(0));
        assert_eq!(prefix_length(&[10, 1], &[10, 255]), None);
        assert_eq!(prefix_length(&[10, 0], &[11, 127]), None);
    }
}
