//! `cargo xtask tidy`: the house rules that a program can hold.
//!
//! Each rule is one function that gives the places where it is broken. A rule that cannot be held by reading text (is this
//! name good? does this comment help?) is not here.

mod architecture;
mod crates;
mod mask;
mod names;
mod size;
mod words;

use anyhow::{Result, ensure};

use crate::repository::{self, SourceFile};
use mask::Masked;

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    /// The file, from the root.
    path: String,
    /// The line, from 1; 0 for the file as a whole.
    line: usize,
    /// What is wrong, and what to do.
    what: String,
}

impl Breach {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

/// One Rust file as the rules see it.
struct Source {
    file: SourceFile,
    masked: Masked,
}

impl Source {
    fn new(file: SourceFile) -> Self {
        let masked = Masked::new(&file.text);
        Self { file, masked }
    }

    fn path(&self) -> &str {
        &self.file.path
    }

    /// Whether the whole file is a test, a bench or a fuzz target, by where it lies.
    fn is_test(&self) -> bool {
        let path = self.path();
        ["/tests/", "/benches/", "/fuzz/"].iter().any(|folder| path.contains(folder)) || path.ends_with("/tests.rs")
    }
}

/// Checks every rule and prints what breaks them.
#[expect(clippy::print_stdout, reason = "a developer's task speaks to its terminal")]
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    ensure!(arguments.is_empty(), "takes no arguments");
    let sources: Vec<Source> = repository::rust_files()?.into_iter().map(Source::new).collect();
    let mut breaches = Vec::new();
    for source in &sources {
        breaches.extend(size::check(source));
        breaches.extend(words::check(source));
        breaches.extend(names::check(source.path()));
    }
    breaches.extend(crates::check(&repository::metadata(&[])?));
    let architecture = std::fs::read_to_string(repository::root().join("ARCHITECTURE.md"))?;
    breaches.extend(architecture::check(&architecture, &sources, &repository::root()));
    breaches.sort();
    for Breach { path, line, what } in &breaches {
        println!("{path}:{line}: {what}");
    }
    println!("tidy: {} files, {} breaches", sources.len(), breaches.len());
    Ok(breaches.is_empty())
}
