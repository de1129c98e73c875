//! The words after `cargo xtask scenarios`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The folder of scenarios.
    pub(crate) folder: PathBuf,
    /// These names; none: all.
    pub(crate) only: Vec<String>,
    /// These causes; none: all.
    pub(crate) codes: Vec<String>,
    /// Run the fix, too.
    pub(crate) mend: bool,
    /// As an ordinary user.
    pub(crate) unprivileged: bool,
    /// Without programs in the kernel.
    pub(crate) no_bpf: bool,
    /// How many at once.
    pub(crate) jobs: usize,
}

impl Arguments {
    /// Reads the words; names follow `--only` up to the next option.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut parsed = Self {
            folder: PathBuf::from("../shared/scenarios"),
            only: Vec::new(),
            codes: Vec::new(),
            mend: false,
            unprivileged: false,
            no_bpf: false,
            jobs,
        };
        let mut names = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--mend" => parsed.mend = true,
                "--unprivileged" => parsed.unprivileged = true,
                "--no-bpf" => parsed.no_bpf = true,
                "--codes" => parsed.codes.extend(value()?.split(',').map(str::to_owned)),
                "-j" => {
                    let number = value()?.parse().ok().filter(|jobs| *jobs > 0);
                    parsed.jobs = number.context("-j needs a number from 1")?;
                }
                "--only" => parsed.only.push(value()?.clone()),
                option if option.starts_with('-') => bail!("unknown option {option}"),
                name if names => parsed.only.push(name.to_owned()),
                folder => parsed.folder = PathBuf::from(folder),
            }
            names = word == "--only" || (names && !word.starts_with('-'));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments> {
        Arguments::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_read_in_any_order() {
        let parsed = parse("/s --only a b --mend -j 3 --codes x,y --unprivileged --no-bpf").unwrap();
        assert_eq!(parsed.folder, PathBuf::from("/s"));
        assert_eq!(parsed.only, ["a", "b"]);
        assert_eq!(parsed.codes, ["x", "y"]);
        assert!(parsed.mend && parsed.unprivileged && parsed.no_bpf && parsed.jobs == 3);
        assert_eq!(parsed.codes, ["x", "y"]);
        assert_eq!(parse("--only a --mend /s").unwrap().folder, PathBuf::from("/s"));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("--onyl a").is_err());
        assert!(parse("--codes").is_err());
        assert!(parse("-j 0").is_err());
    }
}
