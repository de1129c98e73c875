//! A file fits in one head, a function on one screen.

use super::mask::closing;
use super::{Breach, Source};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;

/// Files and functions that are too long; tests do not count.
pub(crate) fn check(source: &Source) -> Vec<Breach> {
    if source.is_test() {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    let lines = source.masked.test.iter().filter(|test| !**test).count();
    if lines > FILE_LINES {
        let what =
            format!("{lines} lines without tests, at most {FILE_LINES}: which idea in it wants a file of its own?");
        breaches.push(Breach::new(source.path(), 0, what));
    }
    for Function { name, line, lines } in functions(&source.masked.code) {
        if lines > FUNCTION_LINES && !source.masked.test[line - 1] {
            let what = format!("fn {name} has {lines} lines, at most {FUNCTION_LINES}");
            breaches.push(Breach::new(source.path(), line, what));
        }
    }
    breaches
}

#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function with a body, from the line of its `fn` to its closing brace.
fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue; // a function pointer's type
        }
        let Some(end) = body(bytes, at).and_then(|open| closing(bytes, open)) else { continue };
        let line = code[..at].matches('\n').count() + 1;
        found.push(Function { name, line, lines: code[at..end].matches('\n').count() + 1 });
    }
    found
}

/// The brace that opens the body of the function at `at`; none for a declaration.
fn body(code: &[u8], at: usize) -> Option<usize> {
    let mut here = at;
    loop {
        match code.get(here)? {
            b';' => return None,
            b'{' => return Some(here),
            b'(' | b'[' => here = closing(code, here)? + 1,
            _ => here += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::SourceFile;

    fn source(path: &str, text: String) -> Source {
        Source::new(SourceFile { path: path.to_owned(), text })
    }

    #[test]
    fn functions_are_measured_and_declarations_are_not() {
        let code = "trait T { fn a(x: [u8; 3]) -> u8; }\nfn b(f: fn (u8))\n{\n    if x { y }\n}\nconst fn c() {}\n";
        let expected =
            [Function { name: "b".into(), line: 2, lines: 4 }, Function { name: "c".into(), line: 6, lines: 1 }];
        assert_eq!(functions(code), expected);
    }

    #[test]
    fn long_functions_and_files_are_breaches_outside_tests() {
        let long = format!("fn long() {{\n{}}}\n", "    f();\n".repeat(60));
        assert_eq!(check(&source("crates/x/src/a.rs", long.clone())).len(), 1);
        assert_eq!(check(&source("crates/x/tests/a.rs", long.clone())).len(), 0);
        assert_eq!(check(&source("crates/x/src/a.rs", format!("#[cfg(test)]\nmod tests {{\n{long}}}\n"))).len(), 0);
        assert_eq!(check(&source("crates/x/src/a.rs", "\n".repeat(601))).len(), 1);
        assert_eq!(check(&source("crates/x/src/a.rs", "\n".repeat(600))).len(), 0);
    }
}
