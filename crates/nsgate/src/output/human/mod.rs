//! What people read, within 80 columns.

pub(crate) mod explain;
pub(crate) mod lab;
pub(crate) mod trace;

/// The width that text is wrapped to.
pub(crate) const WIDTH: usize = 80;

/// Wraps a paragraph at `WIDTH`, every line after `indent` spaces.
pub(crate) fn wrap(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && indent + longer > WIDTH {
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
        assert!(wrap(&text, 6).lines().all(|l| l.len() <= WIDTH && l.starts_with("      word")));
    }
}
