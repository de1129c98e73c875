//! A Rust file with its comments, strings and tests taken out.
//!
//! Not a parser: it knows just enough of Rust's words to tell code from text, and where an item under `#[cfg(test)]` ends.
//! What is taken out becomes spaces, so that lines and columns stay.

/// The code of a file, with the rest blanked.
pub(crate) struct Masked {
    /// As long as the file; comments and the insides of strings are spaces.
    pub(crate) code: String,
    /// For each line whether it belongs to an item under `#[cfg(test)]`.
    pub(crate) test: Vec<bool>,
}

impl Masked {
    /// Blanks comments and literals, and finds the tests.
    pub(crate) fn new(text: &str) -> Self {
        let code = blank(text);
        let test = test_lines(&code);
        Self { code, test }
    }

    /// The lines of code outside tests, with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = &self.test;
        self.code.lines().enumerate().filter(|(at, _)| !tests[*at]).map(|(at, line)| (at + 1, line))
    }
}

/// The offset of the bracket that closes the one at `open`.
pub(crate) fn closing(code: &[u8], open: usize) -> Option<usize> {
    let (opens, closes) = match code.get(open)? {
        b'{' => (b'{', b'}'),
        b'(' => (b'(', b')'),
        b'[' => (b'[', b']'),
        _ => return None,
    };
    let mut depth = 0usize;
    for (at, &byte) in code.iter().enumerate().skip(open) {
        if byte == opens {
            depth += 1;
        } else if byte == closes {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = span_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn span_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'\'', ..] => at + character(rest),
        [b'r', b'"' | b'#', ..] if !after_word => at + raw_string(rest),
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', ..] => quoted(rest, b'\''),
        [_, ..] => {
            let wide = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]))
                .ok()
                .and_then(|text| text.chars().next())
                .map_or(1, char::len_utf8);
            if rest.get(1 + wide) == Some(&b'\'') { wide + 2 } else { 0 }
        }
        [] => 0,
    }
}

/// A raw string; 0 for a raw identifier.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = 2 + hashes;
    rest[body..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(rest.len(), |at| body + at + close.len())
}

fn test_lines(code: &str) -> Vec<bool> {
    let mut test = vec![false; code.lines().count()];
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let end = item_end(code.as_bytes(), start + mark.len());
        let first = code[..start].matches('\n').count();
        let last = code[..end].matches('\n').count();
        for line in test.iter_mut().take(last + 1).skip(first) {
            *line = true;
        }
    }
    test
}

/// Where the item that begins after `from` ends: at its `;`, or at the brace that closes its first one.
fn item_end(code: &[u8], from: usize) -> usize {
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b';' => return at,
            b'{' => return closing(code, at).unwrap_or(code.len()),
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_blanked_and_code_stays() {
        let source = "let a = \"unsafe \\\" {\"; // unsafe {\nlet b = 'x'; let c: &'static str = r#\"{\"#; /* { /* } */ */ d('\\'')";
        let code = Masked::new(source).code;
        assert_eq!(code.len(), source.len());
        assert!(!code.contains("unsafe") && !code.contains('{') && !code.contains('x'), "{code}");
        assert!(code.contains("let b =") && code.contains("'static str") && code.contains("d("), "{code}");
    }

    #[test]
    fn a_wide_character_is_a_literal_too() {
        let code = Masked::new("if c == '│' { f('{') } else { r#try }").code;
        assert_eq!(code.matches('{').count(), 2, "{code}");
        assert!(code.contains("r#try"));
    }

    #[test]
    fn items_under_cfg_test_are_tests() {
        let source =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}\n";
        let masked = Masked::new(source);
        let kept: Vec<_> = masked.lines().map(|(number, _)| number).collect();
        assert_eq!(kept, [1, 6, 9]);
    }
}
