//! Which names are taken, and names for what the file does not name.

use std::collections::BTreeSet;

use crate::model::{LinkName, Mac};

/// The longest name of an interface in bytes.
const LONGEST_LINK: usize = 15;
/// The longest name of a network in bytes: with the others it must fit an interface's alias (255).
const LONGEST_NETWORK: usize = 63;
/// The longest name of a member in bytes.
const LONGEST_MEMBER: usize = 128;
/// The longest name of the whole in bytes.
const LONGEST_INSTANCE: usize = 32;

/// Whether this can name the whole: it becomes part of an nftables table's name and of a file's.
pub(super) fn instance(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= LONGEST_INSTANCE
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if fits {
        return Ok(());
    }
    Err(format!("'{name}' cannot name the whole: take at most {LONGEST_INSTANCE} letters, digits, '_' and '-'"))
}

/// Whether this can name a network.
pub(super) fn network(name: &str) -> Result<(), String> {
    let fits = !name.is_empty()
        && name.len() <= LONGEST_NETWORK
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if fits {
        return Ok(());
    }
    Err(format!("'{name}' cannot name a network: take at most {LONGEST_NETWORK} letters, digits, '_', '-' and '.'"))
}

/// Whether this can name a member.
pub(super) fn member(name: &str) -> bool {
    name.len() <= LONGEST_MEMBER
}

/// A name for an interface that nobody uses: `stem` if it fits and is free, else its beginning and a few characters
/// that tell it from others. The same question always gets the same answer.
pub(super) fn link(stem: &str, taken: &BTreeSet<LinkName>) -> Option<LinkName> {
    if let Some(name) = stem.parse::<LinkName>().ok().filter(|name| !taken.contains(name)) {
        return Some(name);
    }
    let hash = fnv(stem);
    (0u64..1000).find_map(|attempt| {
        let tail = letters(hash.wrapping_add(attempt));
        let head: String =
            stem.chars().filter(char::is_ascii_alphanumeric).take(LONGEST_LINK - 1 - tail.len()).collect();
        format!("{head}-{tail}").parse().ok().filter(|name| !taken.contains(name))
    })
}

/// The link-layer address of a network's gateway, or of one of its members.
///
/// It follows from the names, so that whoever remembers it is right when an interface was made anew: a gateway that
/// moves from a bridge to wires, or a member that comes back. It is locally administered and one host's own.
pub(crate) fn mac(instance: &str, network: &str, member: Option<&str>) -> Mac {
    let hash = fnv(&format!("{instance}\0{network}\0{}", member.unwrap_or_default())).to_be_bytes();
    let mut mac = [0x02; 6];
    mac[1..].copy_from_slice(&hash[3..]);
    Mac(mac)
}

/// FNV-1a: the names must be the same with every build.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Six characters for a number.
fn letters(mut number: u64) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..6)
        .map(|_| {
            let letter = ALPHABET[(number % 32) as usize];
            number /= 32;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_where_it_can_be() {
        let mut taken = BTreeSet::new();
        assert_eq!(link("blue-ns_1", &taken).unwrap().as_str(), "blue-ns_1");
        taken.insert("blue-ns_1".parse().unwrap());
        let other = link("blue-ns_1", &taken).unwrap();
        assert!(other.as_str().starts_with("bluens1-") && other.as_str().len() <= LONGEST_LINK, "{other}");
        taken.insert(other.clone());
        assert_ne!(link("blue-ns_1", &taken).unwrap(), other);
    }

    #[test]
    fn a_long_name_is_cut_and_told_apart() {
        let taken = BTreeSet::new();
        let one = link("production-frontend-web-1", &taken).unwrap();
        let two = link("production-frontend-web-2", &taken).unwrap();
        assert_ne!(one, two);
        assert!(one.as_str().starts_with("producti-"), "{one}");
    }
}
