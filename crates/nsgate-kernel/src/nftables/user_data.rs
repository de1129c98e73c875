//! What nft keeps beside an object, in a form that the kernel does not look into: the comment, above all.
//!
//! It is a row of entries of one byte for the kind, one for the length, and the value.

use super::key_source;

/// The kind of a comment on a table, chain, rule or element.
pub(super) const COMMENT: u8 = 0;
/// The kind of a comment on a set.
pub(super) const SET_COMMENT: u8 = 7;

/// The kinds of what is kept beside a set: ranges that touch become one, what its keys are read from, and its data.
const SET_MERGES: u8 = 2;
const SET_KEY_SOURCE: u8 = 3;
const SET_DATA_SOURCE: u8 = 4;

/// The longest comment that fits, its closing zero not counted.
const LONGEST: usize = 254;

/// A comment as user data; one that is too long is cut.
pub(super) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = vec![kind, end as u8 + 1];
    bytes.extend_from_slice(&text.as_bytes()[..end]);
    bytes.push(0);
    bytes
}

/// The comment within user data.
pub(super) fn read_comment(kind: u8, bytes: &[u8]) -> Option<String> {
    let value = find(kind, bytes)?;
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).ok()
}

/// Whether ranges of a set that touch become one.
pub(super) fn merges(bytes: &[u8]) -> bool {
    number(SET_MERGES, bytes).is_some_and(|flag| flag != 0)
}

/// What the keys of a set are read from, as nft writes it.
pub(super) fn key_source(bytes: &[u8]) -> Option<String> {
    key_source::text(find(SET_KEY_SOURCE, bytes)?)
}

/// What the data of a map are read from, as nft writes it.
pub(super) fn data_source(bytes: &[u8]) -> Option<String> {
    key_source::text(find(SET_DATA_SOURCE, bytes)?)
}

/// The value of the first entry of this kind.
pub(super) fn find(kind: u8, mut bytes: &[u8]) -> Option<&[u8]> {
    while let [found, length, rest @ ..] = bytes {
        let value = rest.get(..usize::from(*length))?;
        if *found == kind {
            return Some(value);
        }
        bytes = &rest[usize::from(*length)..];
    }
    None
}

/// The number that the first entry of this kind holds, in the machine's byte order.
pub(super) fn number(kind: u8, bytes: &[u8]) -> Option<u32> {
    find(kind, bytes)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_lead_back() {
        let long = "ä".repeat(200);
        let written = comment(COMMENT, &long);
        assert_eq!(read_comment(COMMENT, &written), Some("ä".repeat(127)));
        let behind = [vec![0, 4, 1, 2, 3, 4], comment(SET_COMMENT, "hello")].concat();
        assert_eq!(read_comment(SET_COMMENT, &behind).as_deref(), Some("hello"));
        for end in 0..behind.len() {
            assert_eq!(read_comment(SET_COMMENT, &behind[..end]), None);
        }
    }
}
