//! The explain pages for people: Markdown as a terminal shows it.
//!
//! Headings lose their marks and gain weight, what stands below them is indented, and what a user types is coloured. The
//! words stay as they are: without colour nothing is missing.

use std::fmt::Write;

use crate::codes::{GROUPS, Page, Section};
use crate::lab;
use crate::output::style::{BAD, FAINT, GOOD, HEADING, TYPED, paint};

/// How far everything below a heading stands from the margin.
const INDENT: &str = "  ";

/// What a block of commands and their output begins with.
const BLOCK: &str = "    ";

/// One line for every code, in groups.
pub(crate) fn list() -> String {
    let codes = GROUPS.iter().flat_map(|group| group.pages).map(|page| page.cause.code().len());
    let width = codes.max().unwrap_or(0);
    let mut text = String::new();
    for group in &GROUPS {
        let _ = writeln!(text, "{}", paint(HEADING, group.title));
        for page in group.pages {
            let code = format!("{:width$}", page.cause.code());
            let _ = writeln!(text, "{INDENT}{}  {}", paint(TYPED, &code), page.meaning().trim_end_matches('.'));
        }
        text.push('\n');
    }
    text += &prose("`nsgate explain CODE` says more; `nsgate lab CODE` shows it in a sandbox.\n");
    text
}

/// One page.
pub(crate) fn page(page: &Page) -> String {
    let mut text = format!("{}\n{INDENT}{}\n", paint(HEADING, page.cause.code()), page.meaning());
    for section in page.sections() {
        let _ = write!(text, "\n{}\n", paint(HEADING, section.title));
        for line in section.text.lines() {
            text += &rendered(section, line);
            text.push('\n');
        }
    }
    text + &labs(page)
}

/// Where it can be watched.
fn labs(page: &Page) -> String {
    let mut labs = lab::made_for(page.cause)
        .map(|name| format!("{INDENT}{BLOCK}{}\n", paint(TYPED, &format!("nsgate lab {name}"))));
    let Some(first) = labs.next() else { return String::new() };
    format!("\n{}\n{first}{}", paint(HEADING, "Watch it happen"), labs.collect::<String>())
}

fn rendered(section: Section, line: &str) -> String {
    let Some(block) = line.strip_prefix(BLOCK) else {
        return if line.is_empty() { String::new() } else { format!("{INDENT}{}", prose(line)) };
    };
    let shown = match (section.title, block.strip_prefix("# ")) {
        ("Picture", _) => picture(block),
        ("Mend", Some(_)) => paint(FAINT, block),
        ("Mend", None) => paint(TYPED, block),
        (_, Some(command)) => format!("{}{}", paint(FAINT, "# "), paint(TYPED, command)),
        (_, None) => block.to_owned(),
    };
    format!("{INDENT}{BLOCK}{shown}")
}

/// A line of words, with what would be typed or read word for word in colour instead of back-ticks.
fn prose(line: &str) -> String {
    let mut pieces = line.split('`');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    while let (Some(word), after) = (pieces.next(), pieces.next()) {
        text += &paint(TYPED, word);
        text += after.unwrap_or_default();
    }
    text
}

/// A line of a drawing, with the place of the loss standing out.
fn picture(line: &str) -> String {
    line.replace('✗', &paint(BAD, "✗")).replace('✓', &paint(GOOD, "✓"))
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::codes;

    #[test]
    fn the_list_has_one_line_of_at_most_80_columns_for_each_code() {
        let text = strip_str(&list()).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for page in GROUPS.iter().flat_map(|group| group.pages) {
            let lines = text.lines().filter(|line| line.split_whitespace().next() == Some(page.cause.code()));
            assert_eq!(lines.count(), 1, "{}", page.cause);
        }
    }

    #[test]
    fn a_page_stays_within_80_columns_and_loses_no_word() {
        for (page, plain) in
            GROUPS.iter().flat_map(|group| group.pages).map(|p| (p, strip_str(&super::page(p)).to_string()))
        {
            assert!(plain.lines().all(|line| line.chars().count() <= 80), "{}", page.cause);
            for section in page.sections() {
                let words = section.text.replace('`', "");
                let missing = words.lines().map(str::trim).find(|line| !plain.contains(line));
                assert_eq!(missing, None, "{}", page.cause);
            }
        }
    }

    #[test]
    fn commands_headings_and_the_place_of_the_loss_stand_out() {
        let (_, found) = codes::find("forwarding-disabled").unwrap();
        let text = page(found);
        for shown in [
            paint(HEADING, "Confirm by hand"),
            paint(TYPED, "nstat -az IpInAddrErrors IpForwDatagrams"),
            paint(TYPED, "sysctl -w net.ipv4.ip_forward=1"),
            paint(BAD, "✗"),
        ] {
            assert!(text.contains(&shown), "{shown} is not in\n{text}");
        }
        assert!(!text.contains('`') && !text.contains("##"), "{text}");
    }
}
