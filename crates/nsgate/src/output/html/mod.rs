//! One trace as one page for a browser: the way as a picture, and all that the terminal says, as text to be copied.
//!
//! The page is whole by itself: no script, no font, no picture from elsewhere, and a policy within it that forbids them.
//! Everything in it that nsgate did not write itself is escaped.

mod draw;
pub(super) mod escape;
mod labels;
mod layout;
mod story;
#[cfg(test)]
mod tests;
mod way;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use nsgate_core::explain::{Cause, Evidence, Verdict};
use nsgate_core::model::World;
use nsgate_core::trace::Way;

use self::escape::escape;
use self::way::Picture;
use super::file;
use super::human::snapshot::time;
use super::human::trace::titled;
use super::telling::telling;
use crate::commands::trace::Mended;
use crate::exit::{Failure, FailureKind};
use crate::inquiry::{Findings, Flows};

/// How every page begins: by this one is known again.
const HEAD: &str = "<!doctype html>\n<!-- a page of nsgate -->\n";

/// Up to how many sightings are listed without being asked for.
const SHORT_PATH: usize = 6;

const STYLE: &str = include_str!("page.css");

/// Refuses a file that is there and that no earlier trace wrote: it may be somebody's work.
pub(crate) fn may_replace(path: &Path) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::new(FailureKind::Usage, anyhow!(why)));
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(there) if !there.is_file() => refused(format!("{} is there and not a plain file", path.display())),
        Ok(_) => {
            let mut head = Vec::new();
            let file = File::open(path);
            let read = file.and_then(|file| file.take(HEAD.len() as u64).read_to_end(&mut head));
            if read.is_ok() && (head.is_empty() || head == HEAD.as_bytes()) {
                return Ok(());
            }
            let error = anyhow!("{} is there and not a page of nsgate", path.display());
            Err(Failure::new(FailureKind::Usage, error).hint("name another file, or remove this one first"))
        }
    }
}

/// Puts the page of a trace into a file, with what was mended before it.
pub(crate) fn write(path: &Path, findings: &Findings, mended: &[Mended]) -> Result<(), Failure> {
    may_replace(path)?;
    let page = page(findings, mended);
    file::put(path, |to| to.write_all(page.as_bytes()))
}

/// Where a page is to go, for who cannot get there by its path when it is written: in a sandbox, `/run` is another.
#[derive(Debug)]
pub(crate) struct Destination {
    path: PathBuf,
    name: OsString,
    folder: File,
}

impl Destination {
    /// Keeps the folder of the file open; refuses what [`may_replace`] refuses.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        may_replace(path)?;
        let Some(name) = path.file_name() else {
            return Err(Failure::new(FailureKind::Usage, anyhow!("{} is no file", path.display())));
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(folder).map_err(|error| {
            Failure::new(FailureKind::Environment, anyhow!(error).context(format!("cannot write {}", path.display())))
        })?;
        Ok(Self { path: path.to_owned(), name: name.to_owned(), folder })
    }

    /// Puts the page of a trace there.
    pub(crate) fn write(&self, findings: &Findings) -> Result<(), Failure> {
        let page = page(findings, &[]);
        let path = Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(&self.name);
        file::put_called(&self.path, &path, |to| to.write_all(page.as_bytes()))
    }

    /// The path by which it was asked for.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The whole page.
fn page(findings: &Findings, mended: &[Mended]) -> String {
    let Findings { asked, world, observation, report, flows, .. } = findings;
    let verdict = &report.verdict;
    let headline = headline(findings);
    let picture = Picture::new(world, observation, verdict);
    let drawn = draw::svg(&picture, &headline, &story::tell(&picture, verdict));
    let mut page = format!(
        "{HEAD}<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{} · nsgate</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(&headline)
    );
    page += &header(findings);
    let _ = write!(page, "<main>\n<figure>\n{drawn}{}</figure>\n<div class=\"answer\">\n", legend(&picture));
    page += &evidence(world, &verdict.evidence);
    page += &self::mended(mended);
    page += &mend(verdict);
    page += &further(world, &report.further);
    page += &share(*flows);
    page += &sightings(findings);
    page += &limits(findings);
    page += "</div>\n</main>\n";
    let when = time::utc(observation.window.from / 1_000_000_000);
    let size = match asked.size {
        0 => String::new(),
        bytes => format!(", {bytes} bytes"),
    };
    let _ = write!(
        page,
        "<footer>nsgate {} · {} · {}{size}</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        when,
        escape(&asked.kind.to_string()),
    );
    page
}

/// The whole answer in one line.
fn headline(Findings { asked, report, .. }: &Findings) -> String {
    let word = if report.delivered() { "delivered" } else { "lost" };
    format!("{word}: {asked}")
}

fn header(findings: &Findings) -> String {
    let Findings { asked, world, observation, report, .. } = findings;
    let verdict = &report.verdict;
    let (class, mark, word) = if report.delivered() { ("good", "✓", "delivered") } else { ("bad", "✗", "lost") };
    let mut text = format!(
        "<header class=\"{class}\">\n<h1><span class=\"mark\" aria-hidden=\"true\">{mark}</span> \
         <span class=\"word\">{word}:</span> {}</h1>\n",
        escape(&asked.to_string())
    );
    if verdict.cause != Cause::Delivered {
        let _ = writeln!(
            text,
            "<p class=\"cause\"><code>{}</code> at {}</p>",
            verdict.cause,
            escape(&titled(world, &verdict.place.to_string()))
        );
    }
    if verdict.cause == Cause::Delivered && observation.attempts <= 1 {
        return text + "</header>\n";
    }
    let _ = writeln!(text, "<p class=\"summary\">{}</p>\n</header>", escape(&titled(world, &verdict.summary)));
    text
}

/// What the lines and forms of the picture mean, of those that are in it.
fn legend(picture: &Picture) -> String {
    let mut text = String::from("<figcaption><span class=\"down\">▼ request</span>");
    if !picture.up.is_empty() {
        text += " <span class=\"up\">▲ what came back</span>";
    }
    if picture.loss.is_some() {
        text += " <span class=\"lost\">✗ lost</span>";
    }
    let is_ahead = |interface: &way::Interface| interface.down.is_none() && interface.up.is_none();
    if picture.spaces.iter().any(|space| space.interfaces.iter().any(is_ahead)) {
        text += " <span>┄ where the routes would lead it</span>";
    }
    if picture.left_out > 0 {
        let _ = write!(text, " <span>{} more sightings are in the list</span>", picture.left_out);
    }
    text + "</figcaption>\n"
}

fn evidence(world: &World, all: &[Evidence]) -> String {
    let mut text = String::new();
    for evidence in all {
        let _ = write!(
            text,
            "<li><span class=\"kind\">{}</span> in {}: {}",
            evidence.kind.name(),
            escape(world.title(&evidence.netns).as_str()),
            escape(&titled(world, &evidence.text))
        );
        if let (Some(expected), Some(found)) = (&evidence.expected, &evidence.found) {
            let _ = write!(
                text,
                "<dl><dt>expected</dt><dd>{}</dd><dt>found</dt><dd class=\"bad\">{}</dd></dl>",
                escape(expected),
                escape(found)
            );
        }
        text += "</li>\n";
    }
    section("Evidence", "ul", "evidence", &text)
}

/// Commands that can be taken as they stand, each by itself.
fn commands(commands: &[String]) -> String {
    let mut text = String::new();
    for command in commands {
        let _ = writeln!(text, "<pre><code>{}</code></pre>", escape(command));
    }
    text
}

fn mend(verdict: &Verdict) -> String {
    let mut text = section("Mend", "div", "commands", &commands(&verdict.fix.commands()));
    if !text.is_empty() {
        text += &section("Undo", "div", "commands undo", &commands(&verdict.undo_lines()));
    }
    text += &section("To keep it across a reboot", "div", "commands lasting", &lasting(verdict));
    if let Some(advice) = &verdict.advice {
        let _ = writeln!(text, "<section><p class=\"advice\">{}</p></section>", escape(advice));
    }
    if verdict.cause != Cause::Delivered {
        let _ = writeln!(
            text,
            "<section><p class=\"more\">What this code means, and how to confirm it by hand: \
             <code>nsgate explain {}</code></p></section>",
            verdict.cause
        );
    }
    text
}

/// Where the mend is to be written down.
fn lasting(verdict: &Verdict) -> String {
    let mut text = String::new();
    for lasting in &verdict.lasting {
        let _ = writeln!(text, "<p>{}</p>", escape(&lasting.place));
        if !lasting.lines.is_empty() {
            let _ = writeln!(text, "<pre><code>{}</code></pre>", escape(&lasting.lines.join("\n")));
        }
    }
    text
}

/// What was done before this trace.
fn mended(all: &[Mended]) -> String {
    let mut text = String::new();
    for mended in all {
        let what = if mended.helped { "helped, and stands" } else { "did not help, and was taken back" };
        let _ = writeln!(
            text,
            "<li><code>{}</code>: this {what}\n{}",
            mended.verdict.cause,
            commands(&mended.verdict.fix.commands())
        );
        if mended.helped {
            let _ = write!(text, "to take it back\n{}", commands(&mended.undo.commands()));
        }
        text += "</li>\n";
    }
    section("What was mended", "ol", "mended", &text)
}

fn further(world: &World, all: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in all {
        let _ = writeln!(
            text,
            "<li><code>{}</code> at {}: {}\n{}</li>",
            verdict.cause,
            escape(&titled(world, &verdict.place.to_string())),
            escape(&titled(world, &verdict.summary)),
            commands(&verdict.fix.commands())
        );
    }
    section("Then it would meet", "ol", "further", &text)
}

fn share(Flows { tried, lost }: Flows) -> String {
    if tried == 1 {
        return String::new();
    }
    let shown = if lost == 0 { "the last" } else { "the first of those" };
    section("Flows", "p", "flows", &format!("{lost} of {tried} flows are lost; what is shown is {shown}."))
}

/// Every sighting as the terminal shows it.
fn sightings(Findings { world, observation, report, .. }: &Findings) -> String {
    let mut text = String::new();
    for sight in telling(&observation.without_repetition()) {
        let link = world.namespace(&sight.netns).and_then(|netns| netns.link(sight.link));
        let link = link.map_or_else(|| sight.link.0.to_string(), |link| link.name.to_string());
        let way = match sight.way {
            Way::In => "in",
            Way::Out => "out",
        };
        let _ = writeln!(
            text,
            "<li><b>{}</b> {} {way} <span class=\"packet\">{}</span></li>",
            escape(world.title(&sight.netns).as_str()),
            escape(&link),
            escape(&sight.header.text)
        );
    }
    let verdict = &report.verdict;
    if verdict.cause != Cause::Delivered {
        let _ = writeln!(
            text,
            "<li class=\"bad\"><b>{}</b> ✗ {}</li>",
            escape(&titled(world, &verdict.place.to_string())),
            escape(&verdict.object)
        );
    }
    if text.is_empty() {
        return text;
    }
    let open = if text.lines().count() > SHORT_PATH { "" } else { " open" };
    format!(
        "<details{open}>\n<summary><h2>Every sighting</h2></summary>\n<ol class=\"path\">\n{text}</ol>\n</details>\n"
    )
}

fn limits(Findings { world, observation, .. }: &Findings) -> String {
    let mut text = String::new();
    for limit in world.limits.iter().chain(&observation.limits) {
        let of = limit.netns.as_ref().map(|netns| format!(" of {}", world.title(netns))).unwrap_or_default();
        let _ = writeln!(text, "<li>{}{} ({})</li>", escape(&limit.what), escape(&of), escape(&limit.why));
    }
    section("Not looked at", "ul", "limits", &text)
}

/// A section with a heading; nothing where there is nothing in it.
fn section(heading: &str, element: &str, class: &str, inner: &str) -> String {
    if inner.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{heading}</h2>\n<{element} class=\"{class}\">\n{inner}</{element}>\n</section>\n")
}
