//! What is wrong with a specification: the line, the place in it, and what mends it.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use nsgate_core::spec::{Diagnostic, Severity};

use super::WIDTH;

/// How many are shown: whoever made more mistakes mends these first.
const MOST: usize = 40;

/// All of them as text.
pub(crate) fn show(path: &str, text: &str, found: &[Diagnostic]) -> String {
    let renderer = Renderer::styled().term_width(WIDTH.max(100));
    let mut shown: Vec<String> =
        found.iter().take(MOST).map(|diagnostic| one(&renderer, path, text, diagnostic)).collect();
    if found.len() > MOST {
        shown.push(format!("... and {} more", found.len() - MOST));
    }
    shown.join("\n\n")
}

fn one(renderer: &Renderer, path: &str, text: &str, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    // What is wrong with the file as a whole has no line to show.
    let group = if text.len() > nsgate_core::spec::LARGEST || diagnostic.label.is_empty() {
        title.element(annotate_snippets::Origin::path(path))
    } else {
        let mark = AnnotationKind::Primary.span(diagnostic.span.clone()).label(diagnostic.label.as_str());
        title.element(Snippet::source(text).path(path).annotation(mark))
    };
    let group = match &diagnostic.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    };
    renderer.render(&[group]).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(path: &str, text: &str, found: &[Diagnostic]) -> String {
        let renderer = Renderer::plain();
        found.iter().map(|diagnostic| one(&renderer, path, text, diagnostic)).collect::<Vec<_>>().join("\n\n")
    }

    #[test]
    fn a_diagnostic_shows_its_line_and_a_hint() {
        let text =
            "[network.blue]\nsubnet = [\"1.1.1.0/24\"]\nsubnets = [\"1.1.1.0/24\"]\nmember.\"\\u001b[31m\" = {}\n";
        let (_, found) = nsgate_core::spec::read(text);
        let shown = plain("lab.toml", text, &found);
        insta::assert_snapshot!(shown);
        assert!(!shown.contains('\u{1b}'), "what the file says does not steer the terminal");
    }
}
