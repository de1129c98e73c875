//! A lab for people: a story, told step by step, with what was seen.

use std::fmt::Write;
use std::time::Duration;

use super::{WIDTH, trace, wrap_to};
use nsgate_core::model::conntrack::Entry;

use crate::lab::{Done, Lab, Observed, Outcome, Probed, Seen, Step, typed};
use crate::output::style::{BAD, FAINT, GOOD, HEADING, TYPED, paint};

/// How far everything below a step's sentence stands from the margin.
const INDENT: usize = 6;

/// How many lines of a list are shown.
const LIST_LINES: usize = 20;

/// What stands above the first step.
pub(crate) fn opening(name: &str, lab: &Lab) -> String {
    let mut text = format!("{}\n\n{}", paint(HEADING, &format!("nsgate lab {name}: {}", lab.title)), lab.picture);
    text.push('\n');
    text += &wrap_to(WIDTH, &lab.summary, 0);
    text +=
        &wrap_to(WIDTH, "All of it happens on this machine's kernel, in a sandbox that nothing outside can reach.", 0);
    text
}

/// A step before it is done: its sentence, and what an operator would type.
pub(crate) fn before(number: usize, step: &Step) -> String {
    let mut text = String::from("\n");
    let sentence = wrap_to(WIDTH, &step.say, 4);
    let _ = write!(text, "{}{}", paint(HEADING, &format!("{number:>2}. ")), sentence.trim_start());
    for line in typed(&step.action) {
        text += &command(&line);
    }
    text
}

/// The same step when it is done: what was seen, and whether the lab says so.
pub(crate) fn after(done: &Done) -> String {
    let mut text = String::new();
    if let Some(observed) = &done.observed {
        text += &seen(observed);
    }
    match &done.problem {
        None => {}
        Some(problem) => {
            let sentence = wrap_to(WIDTH, problem, INDENT + 2);
            let _ = write!(text, "{:INDENT$}{} {}", "", paint(BAD, "✗"), sentence.trim_start());
        }
    }
    text
}

/// The last line.
pub(crate) fn closing(name: &str, ok: bool, mended: bool, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let sentence = match (ok, mended) {
        (true, true) => format!("✓ the lab {name} is done in {seconds:.1} s: every step showed what it should"),
        (true, false) => {
            format!("✓ the lab {name} stops at the loss, after {seconds:.1} s: every step showed what it should")
        }
        (false, _) => format!("✗ the lab {name} ends here: the last step did not show what it should"),
    };
    format!("\n{}\n", paint(if ok { GOOD } else { BAD }, &sentence))
}

/// One line for each lab.
pub(crate) fn list(labs: &[(&str, Lab)]) -> String {
    let width = labs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, lab) in labs {
        let _ = writeln!(text, "{:width$}  {}", paint(TYPED, name), lab.title, width = width + paint(TYPED, "").len());
        // A lab that bears the name of its cause needs no second line.
        if lab.codes.iter().all(|code| !name.starts_with(code)) {
            let _ = writeln!(text, "{:width$}  {}", "", paint(FAINT, &lab.codes.join(", ")));
        }
    }
    text
}

/// A command after its prompt; what does not fit goes on below, as a shell takes it.
fn command(line: &str) -> String {
    let mut text = String::new();
    let (mut rest, mut prompt) = (line, "# ");
    loop {
        let room = WIDTH - INDENT - prompt.len();
        let (head, tail) = split_command(rest, room);
        let continued = if tail.is_some() { " \\" } else { "" };
        let _ = writeln!(text, "{:INDENT$}{}{}", "", paint(FAINT, prompt), paint(TYPED, &format!("{head}{continued}")));
        match tail {
            Some(tail) => (rest, prompt) = (tail, "    "),
            None => return text,
        }
    }
}

/// As much of a command as has room, and the rest of it: cut between words, never within quotes.
fn split_command(line: &str, room: usize) -> (&str, Option<&str>) {
    if line.chars().count() <= room {
        return (line, None);
    }
    let mut quoted = false;
    let mut cut = None;
    for (column, (at, c)) in line.char_indices().enumerate() {
        quoted ^= c == '\'';
        // The first word of all has nowhere else to go.
        if c == ' ' && !quoted && (column + " \\".len() <= room || cut.is_none()) {
            cut = Some(at);
        }
    }
    cut.map_or((line, None), |at| (&line[..at], Some(&line[at + 1..])))
}

fn seen(observed: &Observed) -> String {
    match observed {
        Observed::Changed(_) => String::new(),
        Observed::Listening => line("listening"),
        Observed::Probed(probed) => probes(probed),
        Observed::Setting(name, value) => line(&format!("{name} = {value}")),
        Observed::Listing(text) => listing(text),
        Observed::Flows(entries) => flows(entries),
        Observed::Mended(lines) => lines.iter().map(|line| command(line)).collect(),
        Observed::Verdict(found) => {
            let text = trace::show(&found.asked, &found.world, &found.observation, &found.report, false);
            text.lines().map(folded).collect()
        }
    }
}

/// A row of another page, indented; what does not fit goes on below it. A command stays whole, so that it can be copied.
fn folded(row: &str) -> String {
    if row.trim_start().starts_with(&TYPED.render().to_string()) {
        return line(row);
    }
    let words: Vec<&str> = row.split(' ').collect();
    let own = words.iter().take_while(|word| word.is_empty()).count();
    let mut text = " ".repeat(if row.is_empty() { 0 } else { INDENT });
    let mut column = text.len();
    for (index, word) in words.iter().enumerate() {
        let width = visible(word);
        if column + 1 + width > WIDTH && column > INDENT + own + 4 {
            column = INDENT + own + 4;
            text = format!("{}\n{:column$}", text.trim_end(), "");
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
    text
}

/// How many columns a word takes; what sets its colour takes none.
fn visible(word: &str) -> usize {
    let mut hidden = false;
    let shown = |c: &char| {
        let starts = *c == '\u{1b}';
        let shows = !hidden && !starts;
        hidden = starts || (hidden && *c != 'm');
        shows
    };
    word.chars().filter(shown).count()
}

fn line(text: &str) -> String {
    format!("{:INDENT$}{text}\n", "")
}

fn probes(probed: &Probed) -> String {
    let style = if probed.outcome == Outcome::Answered { GOOD } else { BAD };
    let mut words = format!("{} sent, {}", probed.sent, paint(style, probed.outcome.word()));
    if let Some(time) = probed.round_trip {
        let _ = write!(words, " after {:.3} ms", time.as_secs_f64() * 1000.0);
    }
    if let Some(refusal) = &probed.refusal {
        let _ = write!(words, ": {refusal}");
    }
    let mut text = line(&words);
    let width = probed.seen.iter().map(|seen| seen.at.to_string().len()).max().unwrap_or(0);
    for Seen { at, packets, packet } in &probed.seen {
        let packet = packet.as_ref().map(|packet| format!("  {packet}")).unwrap_or_default();
        let plural = if *packets == 1 { "packet " } else { "packets" };
        text += &line(&format!("{:width$}  {packets} {plural}{packet}", at.to_string()));
    }
    text
}

fn listing(list: &str) -> String {
    let mut text: String = list.lines().take(LIST_LINES).map(|row| line(&row.replace('\t', "    "))).collect();
    let more = list.lines().count().saturating_sub(LIST_LINES);
    if more > 0 {
        text += &line(&paint(FAINT, &format!("({more} more lines)")));
    }
    text
}

fn flows(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries.iter().take(1) {
        let (there, back) = (&entry.original, &entry.reply);
        text += &line(&format!("request {} > {}", there.source, there.destination));
        text += &line(&format!("answer  {} > {}", back.source, back.destination));
    }
    let more = entries.len().saturating_sub(1);
    if more > 0 {
        text += &line(&paint(FAINT, &format!("({more} more)")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_go_on_below_and_quotes_stay_whole() {
        let chain = "'{ type nat hook postrouting priority srcnat; policy accept; }'";
        let line = format!("ip netns exec qrouter-7 nft add chain ip nat postrouting {chain}");
        let (head, tail) = split_command(&line, 72);
        assert_eq!((head, tail), ("ip netns exec qrouter-7 nft add chain ip nat postrouting", Some(chain)));
        assert_eq!(split_command("ip link", 72), ("ip link", None));
        assert_eq!(split_command(chain, 20), (chain, None));
    }

    #[test]
    fn a_long_row_goes_on_below() {
        let row =
            format!("  {} ns_1  out  {}", paint(GOOD, "✓"), "2001:db8::1 > 2001:db8::2: echo request, id 7, seq 1");
        let text = folded(&format!("{row}, ttl 64"));
        assert!(text.lines().all(|line| visible(line) <= WIDTH) && text.lines().count() == 2, "{text}");
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with(&" ".repeat(12))), "{text}");
        assert_eq!(folded(""), "\n");
        let command = format!("  {}", paint(TYPED, &"sed -n 's/a b/c/' ".repeat(9)));
        assert_eq!(folded(&command), format!("      {command}\n"), "a break within quotes would change it");
        assert_eq!(folded("  a  b"), "        a  b\n");
    }

    #[test]
    fn a_step_that_showed_something_else_says_so() {
        let observed = Some(Observed::Setting("net.ipv4.ip_forward".parse().unwrap(), "1".into()));
        let problem = Some("net.ipv4.ip_forward is 1, it should be 0".into());
        let text = after(&Done { observed, problem, took: Duration::ZERO });
        assert!(text.contains("net.ipv4.ip_forward = 1\n") && text.contains("it should be 0"), "{text}");
    }
}
