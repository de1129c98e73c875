//! The names of the kernel's functions by their addresses.

use std::io::{BufRead, BufReader, Read};

/// The function that an address lies in, by the table of all symbols. None where addresses are hidden.
///
/// The table takes a tenth of a second to read, so it is read once for all addresses that are asked for.
pub(super) fn functions(addresses: &[u64]) -> Vec<Option<String>> {
    if addresses.iter().all(|address| *address == 0) {
        return vec![None; addresses.len()];
    }
    std::fs::File::open("/proc/kallsyms").map_or_else(|_| vec![None; addresses.len()], |file| search(file, addresses))
}

/// Finds the last symbol before each address. The table is sorted only in parts.
fn search(table: impl Read, addresses: &[u64]) -> Vec<Option<String>> {
    let mut nearest: Vec<(u64, String)> = vec![(0, String::new()); addresses.len()];
    let mut lines = BufReader::with_capacity(1 << 16, table);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let Some((address, name)) = symbol(&line) else { continue };
        for (wanted, (found, text)) in addresses.iter().zip(&mut nearest) {
            if address <= *wanted && address > *found {
                *found = address;
                name.clone_into(text);
            }
        }
    }
    let name = |((found, name), wanted): ((u64, String), &u64)| {
        (found != 0 && wanted - found < LARGEST_FUNCTION).then_some(name)
    };
    nearest.into_iter().zip(addresses).map(name).collect()
}

/// A line is not longer than this.
const LONGEST: u64 = 1024;
/// What lies farther behind a symbol does not belong to it.
const LARGEST_FUNCTION: u64 = 1 << 20;

/// The address and the name of a function, in a line `ffffffff81000000 T name [module]`.
fn symbol(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    matches!(words.next()?, "t" | "T" | "w" | "W").then_some((address, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"0000000000000010 A fixed\n\
        ffffffff81000000 T first\n\
        ffffffff81000100 t second\n\
        ffffffff81000180 d data\n\
        not a line\n\
        ffffffffc0000000 t inner\t[nf_tables]\n\
        ffffffff81000200 T third";

    #[test]
    fn an_address_belongs_to_the_function_in_front_of_it() {
        let addresses = [0xffff_ffff_8100_0000, 0xffff_ffff_8100_01ff, 0xffff_ffff_c000_0040, 0xffff_ffff_8100_0300];
        let names = search(TABLE, &addresses);
        let names: Vec<_> = names.iter().map(Option::as_deref).collect();
        assert_eq!(names, [Some("first"), Some("second"), Some("inner"), Some("third")]);
    }

    #[test]
    fn hidden_or_distant_addresses_have_no_name() {
        assert_eq!(search(&b"0000000000000000 T first\n"[..], &[77]), [None]);
        assert_eq!(search(TABLE, &[0xffff_ffff_9000_0000]), [None]);
        assert_eq!(search(&[0xff; 5000][..], &[1]), [None]);
        assert_eq!(functions(&[0, 0]), [None, None]);
    }
}
