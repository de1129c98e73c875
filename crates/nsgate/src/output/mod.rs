//! Where words are made and written: text for people, JSON for programs, a page for a browser.
//!
//! Standard output carries the answer and nothing else; everything that goes beside it stands on standard error. Colour
//! never says anything that the words do not say.

pub(crate) mod file;
pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod style;
pub(crate) mod telling;
pub(crate) mod told;

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};

use crate::args::Color;

/// Standard output and standard error, coloured as the user wants it.
pub(crate) struct Output {
    stdout: AutoStream<io::Stdout>,
    stderr: AutoStream<io::Stderr>,
}

impl Output {
    /// The process's own streams.
    pub(crate) fn new(color: Color) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let stdout = match choice {
            ColorChoice::Auto => AutoStream::auto(io::stdout()),
            choice => AutoStream::new(io::stdout(), choice),
        };
        let stderr = match choice {
            ColorChoice::Auto => AutoStream::auto(io::stderr()),
            choice => AutoStream::new(io::stderr(), choice),
        };
        Self { stdout, stderr }
    }

    /// Writes text to standard output at once.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()
    }

    /// Writes one JSON document to standard output.
    pub(crate) fn json(&mut self, document: &impl serde::Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(document)?;
        text.push('\n');
        self.write(&text)
    }

    /// Writes one JSON document to standard output, as one line.
    pub(crate) fn json_line(&mut self, document: &impl serde::Serialize) -> io::Result<()> {
        json_line(document, &mut self.stdout)
    }

    /// Writes a note beside the answer to standard error; that it cannot be written is no error.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.stderr, "{text}");
    }

    /// Says what went wrong, and what to do next.
    pub(crate) fn error(&mut self, text: &str, hints: &[String]) {
        let _ = writeln!(self.stderr, "{} {text}", style::paint(style::BAD, "nsgate:"));
        for hint in hints {
            let _ = writeln!(self.stderr, "  hint: {hint}");
        }
    }
}

/// Writes one JSON document as one line, piece by piece: that of a large machine need not fit into memory twice.
pub(crate) fn json_line(document: &impl serde::Serialize, to: impl Write) -> io::Result<()> {
    let mut to = io::BufWriter::with_capacity(1 << 16, to);
    serde_json::to_writer(&mut to, document)?;
    to.write_all(b"\n")?;
    to.flush()
}
