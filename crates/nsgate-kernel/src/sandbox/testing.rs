//! Tests that need the kernel, each in a sandbox of its own.
//!
//! A test calls [`test`] with its body. The test binary is then started once more, in a new sandbox and for this one
//! test alone; there the body runs. So tests stay apart from each other and from the machine, and a failure shows what
//! was printed inside. A machine that forbids the sandbox fails the test: nothing is ever skipped.

use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{getpid, getppid};

use super::chain::{self, Side};
use super::{begin, outcome, refusal, user_map};
use crate::sys;

/// Tells the second run of the binary which test it is for.
const VARIABLE: &str = "NSGATE_SANDBOX_TEST";

/// What the second run prints when the body has run to its end: an inner run of no test would count as passed.
const DONE: &str = "(the test ran to its end in its sandbox)";

/// Whether the second run of the binary has run a body.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// How long a test may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs the body of a test in a sandbox of its own.
///
/// # Panics
///
/// When the body panics, when the machine forbids the sandbox, and when not called on the thread of a test.
pub fn test(body: impl FnOnce()) {
    let thread = std::thread::current();
    let Some(name) = thread.name().filter(|name| *name != "main") else {
        panic!("only the thread of a test knows the test's name: call this there");
    };
    if std::env::var(VARIABLE).is_ok_and(|inside| inside == name) {
        assert!(!ENTERED.swap(true, Ordering::Relaxed), "one sandbox a test: a second body would share it");
        begin().unwrap_or_else(|error| panic!("{error}"));
        body();
        let mut output = std::io::stdout();
        writeln!(output, "\n{DONE}").and_then(|()| output.flush()).expect("the outer run reads this");
        return;
    }
    let (status, output) = run_inside(name);
    let printed = output.replace(DONE, "");
    assert!(status.success(), "in the sandbox, {status}:\n{printed}");
    assert!(output.contains(DONE), "the test '{name}' did not run to its end in its sandbox:\n{printed}");
    show(&printed);
}

/// Shows what a successful test printed, where the test harness wants to see it.
#[expect(clippy::print_stdout, reason = "only print! is seen by the harness, which keeps it for failures")]
fn show(printed: &str) {
    print!("{printed}");
}

/// Runs the test `name` of this binary in a sandbox; gives its status and what it printed.
fn run_inside(name: &str) -> (ExitStatus, String) {
    let (told, report) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe can be made");
    let (output, input) = std::io::pipe().expect("a pipe can be made");
    let mut command = Command::new("/proc/self/exe");
    command
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .stdin(std::process::Stdio::null())
        .stdout(input.try_clone().expect("a pipe can be shared"))
        .stderr(input);
    move_inside(&mut command, report);
    let spawned = command.spawn();
    // The command holds the writing ends of both pipes.
    drop(command);
    if let Some(failure) = outcome(&told) {
        panic!("this machine forbids the sandbox that the test needs: {}", refusal::explain(failure));
    }
    let mut child = spawned.expect("this binary can be started");
    let printed = read_all(output, &mut child);
    let status = child.wait().expect("the child was started here");
    if let Some(failure) = outcome(&told) {
        panic!("this machine forbids the sandbox that the test needs: {}", refusal::explain(failure));
    }
    (status, printed)
}

/// Has the command start in a new sandbox, which ends with this thread.
fn move_inside(command: &mut Command, report: OwnedFd) {
    let here = getpid();
    let user_map = user_map();
    sys::before_exec(command, move || {
        chain::die_with_parent();
        if getppid() != Some(here) {
            sys::exit_now(1);
        }
        match chain::make(user_map.as_ref(), report.as_fd()) {
            Ok(Side::Inner(_)) => Ok(()),
            Ok(Side::Outer(outer)) => outer.become_waiter(),
            Err(failure) => {
                failure.report(report.as_fd());
                Err(failure.errno.into())
            }
        }
    });
}

/// Reads what the child prints until it has closed its output. A child that takes too long is killed, and says so.
fn read_all(mut output: PipeReader, child: &mut Child) -> String {
    let deadline = Instant::now() + LIMIT;
    let mut printed = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        let mut polled = [PollFd::new(&output, PollFlags::IN)];
        if matches!(poll(&mut polled, Some(&wait)), Ok(0)) {
            child.kill().expect("the child was started here");
            writeln!(printed, "\nkilled: not done after {} seconds", LIMIT.as_secs()).expect("memory takes all");
            return String::from_utf8_lossy(&printed).into_owned();
        }
        match output.read(&mut buffer) {
            Ok(0) => return String::from_utf8_lossy(&printed).into_owned(),
            Ok(count) => printed.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("cannot read what the test prints: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "seen outside")]
    fn a_failure_inside_fails_the_test_and_is_shown() {
        test(|| panic!("seen {}", "outside"));
    }

    #[test]
    #[should_panic(expected = "did not run to its end")]
    fn an_exit_inside_is_no_success() {
        test(|| std::process::exit(0));
    }

    #[test]
    fn other_threads_do_not_know_the_test() {
        let elsewhere = std::thread::spawn(|| test(|| {})).join();
        assert!(elsewhere.is_err());
    }

    #[test]
    fn a_second_body_would_share_the_sandbox() {
        test(|| assert!(std::panic::catch_unwind(|| test(|| {})).is_err()));
    }
}
