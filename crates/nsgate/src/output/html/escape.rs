//! Text that may hold anything, as a page may hold it. Names of interfaces and namespaces, comments of rules and the words
//! of other programs are foreign: nothing of them may become markup, or turn the direction of what stands beside them.

/// Text for an element or a quoted attribute.
pub(in crate::output) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if is_unseen(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character is not seen itself, but changes what is: control characters, and those that turn text around.
fn is_unseen(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || c == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        assert_eq!(escape("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        assert_eq!(escape("\" onload=\"x & y"), "&quot; onload=&quot;x &amp; y");
        assert_eq!(escape("&lt;"), "&amp;lt;");
        assert_eq!(escape("a\u{202e}b\u{1b}[31m\n"), "a\\u{202e}b\\u{1b}[31m\\u{a}");
        assert_eq!(escape("Grüße, 网络"), "Grüße, 网络");
    }
}
