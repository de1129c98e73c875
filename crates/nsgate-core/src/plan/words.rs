//! The words of a command line: quoting as a shell wants it, and splitting as a shell does it.
//!
//! Only what an operator's line of ours can hold: words, single and double quotes, backslashes. No variables (`$$`
//! stands for itself: it is how the namespace of the shell is called), no substitution, no operators.

use std::borrow::Cow;

/// The longest line that is read, in bytes: an nftables transaction of many thousand elements still fits.
const LONGEST_LINE: usize = 8 << 20;

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The word without its quotes.
    pub(super) text: String,
    /// The byte at which it begins in the line.
    pub(super) start: usize,
}

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitError {
    /// A quote opens at this byte and never closes.
    Unclosed(usize),
    /// A character that means something to a shell stands unquoted at this byte.
    Special(usize, char),
    /// The line is too long.
    TooLong,
}

/// The word as it must stand in a shell's command line.
pub(super) fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Splits a line into words as a shell would.
pub(super) fn split(line: &str) -> Result<Vec<Word>, SplitError> {
    if line.len() > LONGEST_LINE {
        return Err(SplitError::TooLong);
    }
    let mut words: Vec<Word> = Vec::new();
    let mut inside = false;
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        if c.is_whitespace() {
            inside = false;
            continue;
        }
        if !inside {
            words.push(Word { text: String::new(), start: at });
            inside = true;
        }
        let Some(word) = words.last_mut() else { continue };
        match c {
            '\'' => loop {
                match characters.next() {
                    Some((_, '\'')) => break,
                    Some((_, c)) => word.text.push(c),
                    None => return Err(SplitError::Unclosed(at)),
                }
            },
            '"' => loop {
                match characters.next() {
                    Some((_, '"')) => break,
                    Some((_, '\\')) => word.text.push(characters.next().ok_or(SplitError::Unclosed(at))?.1),
                    Some((_, c)) => word.text.push(c),
                    None => return Err(SplitError::Unclosed(at)),
                }
            },
            '\\' => word.text.push(characters.next().ok_or(SplitError::Unclosed(at))?.1),
            ';' | '|' | '&' | '<' | '>' | '`' | '(' | ')' => return Err(SplitError::Special(at, c)),
            c => word.text.push(c),
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_as_a_shell_sees_them() {
        let words = split(r#"a 'b c'  "d\"e" f\ g '' x='1 2'"#).unwrap();
        let texts: Vec<_> = words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts, ["a", "b c", "d\"e", "f g", "", "x=1 2"]);
        assert_eq!(words[1].start, 2);
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused() {
        assert_eq!(split("ip link; reboot"), Err(SplitError::Special(7, ';')));
        assert_eq!(split("ip 'link"), Err(SplitError::Unclosed(3)));
        assert_eq!(split(r"ip \"), Err(SplitError::Unclosed(3)));
    }

    proptest! {
        #[test]
        fn quoting_survives_splitting(word in ".*") {
            let line = quoted(&word);
            let words = split(&line).unwrap();
            prop_assert_eq!(words.len(), 1);
            prop_assert_eq!(&words[0].text, &word);
        }
    }
}
