//! `cargo xtask bench`: how long the commands take, as a user would measure it.
//!
//! Wall-clock time of the release binary, from start to exit, several times over; the fastest, the middle and the slowest.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::repository;

/// What can be measured: a name and the words after `nsgate`.
const BENCHES: [(&str, &[&str]); 1] = [("lab", &["lab", "--json"])];

/// Measures the named bench, or all.
#[expect(clippy::print_stdout, reason = "a developer's task speaks to its terminal")]
pub(crate) fn run(words: &[String]) -> Result<bool> {
    let (names, rounds) = parse(words)?;
    let nsgate = repository::build_release()?;
    println!("{:<8} {:>10} {:>10} {:>10}", "bench", "fastest", "middle", "slowest");
    for (name, arguments) in BENCHES.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            let status = Command::new(&nsgate).args(*arguments).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            ensure!(status.success(), "nsgate {} ended with {status}", arguments.join(" "));
            times.push(start.elapsed());
        }
        times.sort();
        let shown = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        let [fastest, middle, slowest] = [times[0], times[times.len() / 2], times[times.len() - 1]].map(shown);
        println!("{name:<8} {fastest:>10} {middle:>10} {slowest:>10}");
    }
    Ok(true)
}

/// The benches asked for and how often.
fn parse(words: &[String]) -> Result<(Vec<&str>, usize)> {
    let (mut names, mut rounds) = (Vec::new(), 5);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "-n" {
            let number = words.next().and_then(|number| number.parse().ok());
            rounds = number.filter(|number| *number > 0).context("-n needs a number from 1")?;
        } else if BENCHES.iter().any(|(name, _)| *name == word) {
            names.push(word);
        } else {
            bail!("no bench {word}; there are {}", BENCHES.map(|(name, _)| name).join(", "));
        }
    }
    Ok((names, rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parse(&words("lab -n 3")).unwrap(), (vec!["lab"], 3));
        assert!(parse(&words("lap")).is_err());
        assert!(parse(&words("-n 0")).is_err());
    }
}
