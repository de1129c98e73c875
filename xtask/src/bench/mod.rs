//! `cargo xtask bench`: how long the commands take, as a user would measure it, and what watching costs others.
//!
//! Wall-clock time of the release binary, from start to exit, several times over. What needs networks is measured in
//! namespaces of its own, which Debian's `ip` and `nft` fill; root sees all of it, an ordinary user what he may.

mod by_hand;
mod measure;
mod see;
mod stage;
mod table;
mod trace;
mod traffic;
mod world;

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::repository;
use measure::Times;

pub(crate) use stage::{INSIDE, inside};

/// What can be measured.
const BENCHES: [&str; 3] = ["lab", "see", "trace"];

/// Measures the named benches, or all; false if a bound is missed.
#[expect(clippy::print_stdout, reason = "a developer's task speaks to its terminal")]
pub(crate) fn run(words: &[String]) -> Result<bool> {
    let (names, rounds) = parse(words)?;
    let nsgate = repository::build_release()?;
    println!("{}", table::machine());
    let mut held = true;
    for name in BENCHES.into_iter().filter(|name| names.is_empty() || names.contains(name)) {
        println!("\n{name}, the middle of {rounds} runs");
        held &= match name {
            "lab" => {
                let times = Times::of(rounds, || measure::time(Command::new(&nsgate).args(["lab", "--json"])))?;
                table::row("nsgate lab", &times.shown(), None)
            }
            "see" => stage::run(&see::STAGES, &nsgate, rounds)?,
            _ => stage::run(&trace::STAGES, &nsgate, rounds)?,
        };
    }
    Ok(held)
}

/// The benches asked for and how often each is run.
fn parse(words: &[String]) -> Result<(Vec<&str>, usize)> {
    let (mut names, mut rounds) = (Vec::new(), 5);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "-n" {
            let number = words.next().and_then(|number| number.parse().ok());
            rounds = number.filter(|number| *number > 0).context("-n needs a number from 1")?;
        } else if BENCHES.contains(&word) {
            names.push(word);
        } else {
            bail!("no bench {word}; there are {}", BENCHES.join(", "));
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
