//! A module is called after what it is.

use super::Breach;

const EMPTY_WORDS: [&str; 10] =
    ["util", "utils", "helper", "helpers", "common", "manager", "misc", "shared", "stuff", "tools"];

/// Files and folders called after nothing, and files that repeat their folder's name.
pub(crate) fn check(path: &str) -> Vec<Breach> {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let mut breaches = Vec::new();
    if let Some(word) = parts.iter().find(|part| part.split(['_', '-']).any(|word| EMPTY_WORDS.contains(&word))) {
        breaches.push(Breach::new(path, 0, format!("`{word}` says nothing: name it after what it decides or holds")));
    }
    if let [.., folder, file] = parts.as_slice()
        && folder == file
    {
        breaches.push(Breach::new(path, 0, format!("`{folder}/{file}.rs` says one thing twice")));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_breaches() {
        assert_eq!(check("crates/nsgate/src/utils/mod.rs").len(), 1);
        assert_eq!(check("crates/nsgate/src/string_helpers.rs").len(), 1);
        assert_eq!(check("crates/nsgate/src/lab/lab.rs").len(), 1);
        assert_eq!(check("crates/nsgate/src/lab/steps.rs").len(), 0);
    }
}
