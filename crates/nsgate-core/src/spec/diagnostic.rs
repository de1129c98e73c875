//! What is wrong with a specification, as plain data; the command makes it readable.

use std::ops::Range;

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it can be gone on with.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The place in the text, in bytes.
    pub span: Range<usize>,
    /// A word or two right at the place.
    pub label: String,
    /// What mends it.
    pub hint: Option<String>,
}

/// Whether a specification can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can.
    Warning,
}

impl Diagnostic {
    /// An error at this place.
    pub fn error(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: span.clone(),
            label: String::new(),
            hint: None,
        }
    }

    /// Something worth knowing about this place.
    pub fn warning(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// The same with a word or two right at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with what mends it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
