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

/// Wraps a paragraph at that width, every line after `indent` spaces.
fn wrap_to(width: usize, text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && indent + longer > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.iter().flat_map(|line| [margin.as_str(), line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wrapped_line_is_wider_than_the_page() {
        let text = "word ".repeat(60);
        assert!(wrap(&text, 6).lines().all(|l| l.len() <= PROSE && l.starts_with("      word")));
    }
}
