//! ARCHITECTURE.md names what exists, all of it and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Breach, Source};

const PAGE: &str = "ARCHITECTURE.md";
const TOPS: [&str; 6] = ["crates", "xtask", "fuzz", "docs", "packaging", "examples"];

/// Paths that the page names and that are gone, and source folders that it does not name.
pub(crate) fn check(page: &str, sources: &[Source], root: &Path) -> Vec<Breach> {
    let named = named_paths(page);
    let gone = named.iter().filter(|(path, _)| !root.join(path).exists());
    let mut breaches: Vec<_> =
        gone.map(|(path, line)| Breach::new(PAGE, *line, format!("`{path}` is not there"))).collect();
    for folder in source_folders(sources) {
        if !named.iter().any(|(path, _)| path.trim_end_matches('/') == folder) {
            breaches.push(Breach::new(PAGE, 0, format!("does not name `{folder}`")));
        }
    }
    breaches
}

/// Everything in back-ticks that begins like a path of ours, with its line.
fn named_paths(page: &str) -> Vec<(&str, usize)> {
    let mut named = Vec::new();
    for (number, line) in page.lines().enumerate() {
        let quoted = line.split('`').skip(1).step_by(2);
        let paths =
            quoted.filter(|word| TOPS.contains(&word.split('/').next().unwrap_or_default()) && !word.contains(' '));
        named.extend(paths.map(|path| (path, number + 1)));
    }
    named
}

/// The crates, and the folders inside their `src`.
fn source_folders(sources: &[Source]) -> BTreeSet<&str> {
    let folders = sources.iter().filter(|source| !source.is_test()).filter_map(|source| source.path().rsplit_once('/'));
    folders
        .filter(|(folder, _)| folder.starts_with("crates/"))
        .map(|(folder, _)| folder.trim_end_matches("/src"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::SourceFile;

    #[test]
    fn the_page_and_the_tree_agree() {
        let source = |path: &str| Source::new(SourceFile { path: path.to_owned(), text: String::new() });
        let sources =
            [source("crates/a/src/lib.rs"), source("crates/a/src/model/mod.rs"), source("crates/a/tests/x.rs")];
        let root = std::env::temp_dir().join(format!("nsgate-tidy-{}", std::process::id()));
        std::fs::create_dir_all(root.join("crates/a/src/model")).unwrap();
        let page = |text: &str| check(text, &sources, &root).len();
        assert_eq!(page("`crates/a` and `crates/a/src/model`, `cargo xtask tidy`"), 0);
        assert_eq!(page("`crates/a` alone"), 1);
        assert_eq!(page("`crates/a` and `crates/a/src/model` and `crates/b`"), 1);
        std::fs::remove_dir_all(root).unwrap();
    }
}
