//! Words that may stand in some files only: `unsafe`, printing, serde, namespace entry, and what touches the system.

use super::{Breach, Source};

/// Words and the files in which alone they may stand.
struct Rule {
    /// Any of these, as whole words.
    words: &'static [&'static str],
    /// Files and folders that may use them.
    allowed: &'static [&'static str],
    /// Only files below one of these are held to the rule; none: all.
    below: &'static [&'static str],
    /// Why.
    reason: &'static str,
}

const RULES: [Rule; 5] = [
    Rule {
        words: &["unsafe"],
        allowed: &["crates/nsgate-kernel/src/sys.rs", "crates/nsgate-observe/src/sys.rs"],
        below: &[],
        reason: "unsafe stands in sys.rs of the kernel and observe crates only",
    },
    Rule {
        words: &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        allowed: &[
            "crates/nsgate/src/output/",
            "crates/nsgate/src/main.rs",
            "crates/nsgate/src/exit.rs",
            "crates/nsgate-kernel/src/sandbox/testing.rs",
            "xtask/",
        ],
        below: &[],
        reason: "text for people is made in crates/nsgate/src/output",
    },
    Rule {
        words: &["serde", "serde_json"],
        allowed: &[
            "crates/nsgate-core/src/spec/",
            "crates/nsgate-kernel/src/containers.rs",
            "crates/nsgate-core/src/model/",
            "crates/nsgate/src/output/",
            "crates/nsgate/src/lab/",
            "xtask/",
        ],
        below: &[],
        reason: "serde stands only where text is read or written: the saved World, the spec, the labs, the output",
    },
    Rule {
        words: &["setns", "move_into_thread_name_spaces", "move_into_link_name_space", "unshare_unsafe"],
        allowed: &[
            "crates/nsgate-kernel/src/netns.rs",
            "crates/nsgate-kernel/src/sandbox.rs",
            "crates/nsgate-kernel/src/sys.rs",
        ],
        below: &["crates/"],
        reason: "a namespace is entered in one place, nsgate_kernel's netns.rs",
    },
    Rule {
        words: &[
            "std::fs",
            "std::env",
            "std::process",
            "std::os",
            "std::io",
            "std::thread",
            "Instant",
            "SystemTime",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
        ],
        allowed: &[],
        below: &["crates/nsgate-core/src/", "crates/nsgate-packet/src/"],
        reason: "the thinking is pure: no file, socket, clock, environment or thread",
    },
];

/// Words in places where they may not stand; tests may use them.
pub(crate) fn check(source: &Source) -> Vec<Breach> {
    if source.is_test() {
        return Vec::new();
    }
    let path = source.path();
    let holds = |rule: &&Rule| {
        (rule.below.is_empty() || starts_with_any(path, rule.below)) && !starts_with_any(path, rule.allowed)
    };
    let mut breaches = Vec::new();
    for rule in RULES.iter().filter(holds) {
        for (number, line) in source.masked.lines() {
            if let Some(word) = rule.words.iter().find(|word| has_word(line, word)) {
                breaches.push(Breach::new(path, number, format!("`{word}`: {}", rule.reason)));
            }
        }
    }
    breaches
}

fn starts_with_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether `word` stands in the line with nothing of a name before or after it.
fn has_word(line: &str, word: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(of_name) && (word.ends_with('!') || !line[at + word.len()..].starts_with(of_name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::SourceFile;

    fn breaches(path: &str, text: &str) -> usize {
        check(&Source::new(SourceFile { path: path.to_owned(), text: text.to_owned() })).len()
    }

    #[test]
    fn words_are_bound_to_their_files() {
        assert_eq!(breaches("crates/nsgate-kernel/src/netns.rs", "unsafe { f() }"), 1);
        assert_eq!(breaches("crates/nsgate-kernel/src/sys.rs", "unsafe { f() }"), 0);
        assert_eq!(breaches("crates/nsgate-core/src/lib.rs", "#![forbid(unsafe_code)]"), 0);
        assert_eq!(breaches("crates/nsgate/src/lab/run.rs", "anstream::println!()"), 1);
        assert_eq!(breaches("crates/nsgate/src/output/human.rs", "println!()"), 0);
        assert_eq!(breaches("crates/nsgate-core/src/plan/step.rs", "#[derive(serde::Serialize)]"), 1);
        assert_eq!(breaches("crates/nsgate-core/src/trace/mod.rs", "use std::time::Instant;"), 1);
        assert_eq!(breaches("crates/nsgate-observe/src/probe.rs", "use std::time::Instant;"), 0);
        assert_eq!(breaches("crates/nsgate-core/src/trace/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; }"), 0);
    }
}
