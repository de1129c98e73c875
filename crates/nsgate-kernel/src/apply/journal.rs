//! A change under way, written down before it begins, so that one that was killed can be taken back.
//!
//! ```text
//! nsgate 1
//! do ip netns add ns_1
//! undo ip netns del ns_1
//! restore sysctl -w net.ipv4.conf.eth2.forwarding=0
//! begin
//! done
//! complete
//! ```
//!
//! Each step has a `do` line, and an `undo` line if there is a way back. `restore` and `rely` lines are the state that
//! holds afterwards. One `done` is written behind each step; the step after the last `done` may have happened or not.

use std::os::fd::OwnedFd;

use nsgate_core::model::World;
use nsgate_core::plan::{State, Step};

use super::records::{Records, write_all};
use super::{Performer, take_back};
use crate::{Error, snapshot};

/// The first line: what kind of file it is, and which form it has.
const HEADER: &str = "nsgate 1";

/// A journal that is being written.
pub(super) struct Journal {
    file: OwnedFd,
}

/// What became of a change that was cut short.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// How many of its steps were found done, or might have been, and were taken back.
    pub undone: usize,
    /// It had been finished; only its end had not been written down.
    pub finished: bool,
    /// What could not be taken back.
    pub left: Vec<(Step, Error)>,
}

impl Journal {
    /// Writes down what is about to be done.
    pub(super) fn begin(records: &Records, instance: &str, steps: &[Step], after: &State) -> Result<Self, Error> {
        let mut lines = vec![HEADER.to_owned()];
        for step in steps {
            lines.push(format!("do {step}"));
            lines.extend(step.inverse().map(|back| format!("undo {back}")));
        }
        lines.push(format!("{after}begin\n"));
        let text = lines.join("\n");
        Ok(Self { file: records.begin_journal(instance, &text)? })
    }

    /// Notes that the next step is done.
    pub(super) fn done(&self) -> Result<(), Error> {
        self.note("done\n")
    }

    /// Notes that all steps are done.
    pub(super) fn complete(&self) -> Result<(), Error> {
        self.note("complete\n")
    }

    fn note(&self, line: &str) -> Result<(), Error> {
        write_all(&self.file, line.as_bytes()).map_err(|errno| Error::new("write", "the journal", errno))
    }
}

/// Finishes or takes back a change of this instance that was cut short; none if there is no such.
pub fn recover(records: &Records, instance: &str) -> Result<Option<Recovered>, Error> {
    let Some(text) = records.journal(instance)? else {
        // One that was cut short while it was being written goes too: nothing had been done yet.
        records.end_journal(instance)?;
        return Ok(None);
    };
    // What takes elements out of a set has to know the set.
    let journal = read(&text, &snapshot::take(&[])?);
    let mut recovered = Recovered::default();
    if journal.complete {
        records.keep(instance, &journal.after)?;
        recovered.finished = true;
    } else {
        recovered.undone = journal.back.len();
        recovered.left = take_back(&mut Performer::default(), &journal.back);
    }
    records.end_journal(instance)?;
    Ok(Some(recovered))
}

/// What a journal says.
struct Written {
    /// What takes back what was done, or may have been, first to last.
    back: Vec<Step>,
    after: State,
    complete: bool,
}

/// Lines that cannot be read are passed over: a line that was cut short was never acted upon.
fn read(text: &str, world: &World) -> Written {
    let mut lines = text.lines();
    let known = lines.next() == Some(HEADER);
    let mut steps: Vec<Option<Step>> = Vec::new();
    let (mut state, mut begun, mut done, mut complete) = (String::new(), false, 0, false);
    for line in lines.filter(|_| known) {
        match line.split_once(' ') {
            Some(("do", _)) => steps.push(None),
            Some(("undo", back)) => {
                if let Some(last) = steps.last_mut() {
                    *last = Step::read_in(back, world).ok();
                }
            }
            Some(("restore" | "rely", _)) => {
                state.push_str(line);
                state.push('\n');
            }
            _ => {
                begun |= line == "begin";
                done += usize::from(line == "done");
                complete |= line == "complete";
            }
        }
    }
    let reached = if begun { (done + 1).min(steps.len()) } else { 0 };
    let back = steps.into_iter().take(reached).rev().flatten().collect();
    Written { back, after: state.parse().unwrap_or_default(), complete }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(text: &str) -> Vec<String> {
        read(text, &World::default()).back.iter().map(Step::to_string).collect()
    }

    const BEGUN: &str = "nsgate 1
do ip netns add a
undo ip netns del a
do ip -n a link set lo up
undo ip -n a link set lo down
do ip netns add b
undo ip netns del b
rely sysctl -w net.ipv4.conf.eth2.forwarding=1
begin
";

    #[test]
    fn what_was_done_and_what_may_have_been_is_taken_back() {
        assert_eq!(back(BEGUN), ["ip netns del a"]);
        assert_eq!(back(&format!("{BEGUN}done\n")), ["ip -n a link set lo down", "ip netns del a"]);
        assert_eq!(back(&format!("{BEGUN}done\ndone\ndone\ndone\n")).len(), 3);
    }

    #[test]
    fn a_journal_that_was_not_begun_says_nothing() {
        assert_eq!(back(BEGUN.strip_suffix("begin\n").unwrap()), [""; 0]);
        assert_eq!(back(""), [""; 0]);
        assert_eq!(back("something else\ndo x\nundo ip netns del a\nbegin\n"), [""; 0]);
    }

    #[test]
    fn a_finished_one_holds_the_state_that_follows() {
        let written = read(&format!("{BEGUN}done\ndone\ndone\ncomplete\n"), &World::default());
        assert!(written.complete);
        assert_eq!(written.after.rely.len(), 1);
    }
}
