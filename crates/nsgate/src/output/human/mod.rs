//! What people read, within 80 columns.

pub(crate) mod check;
pub(crate) mod diagnostic;
pub(crate) mod explain;
pub(crate) mod lab;
pub(crate) mod mend;
pub(crate) mod plan;
pub(crate) mod snapshot;
pub(crate) mod trace;

/// The widest that a line may be.
pub(crate) const WIDTH: usize = 80;

/// The width of prose, so that a whole page can stand indented within another.
const PROSE: usize = WIDTH - 6;

/// Wraps a paragraph, every line after `indent` spaces.
pub(crate) fn wrap(text: &str, indent: usize) -> String {
    wrap_to(PROSE, text, indent)
}

/// Wraps a paragraph whose lines after the first stand further in, so that the next one is seen to begin.
pub(crate) fn hanging(text: &str, indent: usize) -> String {
    lay(PROSE, text, indent, indent + 2)
}

/// Wraps a paragraph at that width, every line after `indent` spaces.
fn wrap_to(width: usize, text: &str, indent: usize) -> String {
    lay(width, text, indent, indent)
}

/// The same with the first line after so many spaces, and all others after so many.
fn lay(width: usize, text: &str, first: usize, others: usize) -> String {
    let (mut laid, mut line) = (String::new(), " ".repeat(first));
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let longer = line.chars().count() + usize::from(!is_empty) + word.chars().count();
        if !is_empty && longer > width {
            laid += &line;
            laid.push('\n');
            line = " ".repeat(others);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    laid + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wrapped_line_is_wider_than_the_page() {
        let text = "word ".repeat(60);
        assert!(wrap(&text, 6).lines().all(|l| l.len() <= PROSE && l.starts_with("      word")));
        let laid = hanging(&text, 2);
        let (first, others) = laid.split_once('\n').unwrap();
        assert!(first.starts_with("  word") && first.len() > PROSE - 5, "{first}");
        assert!(others.lines().all(|l| l.len() <= PROSE && l.starts_with("    word")), "{others}");
        assert_eq!(wrap("", 2), "  \n");
    }
}
