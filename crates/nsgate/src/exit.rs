//! How the command ends: one table from outcomes and failures to exit codes.

use std::process::ExitCode;

use crate::output::Output;

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Yes: delivered, done, nothing to change.
    Yes,
    /// The honest no: the packet was lost, something drifted, an expectation failed.
    No,
    /// What was asked could not be looked at, and the answer says so.
    NotPermitted,
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    error: anyhow::Error,
    hints: Vec<String>,
}

/// What kind of failure it is; this alone decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The command line or the configuration is wrong; nothing was touched.
    Usage,
    /// Not permitted, or the kernel lacks a feature.
    Environment,
    /// The kernel refused, and everything was restored.
    Restored,
    /// The kernel refused, and not everything could be restored.
    NotRestored,
    /// nsgate itself is wrong.
    Bug,
}

impl FailureKind {
    fn code(self) -> u8 {
        match self {
            FailureKind::Usage => 2,
            FailureKind::Environment => 3,
            FailureKind::Restored => 4,
            FailureKind::NotRestored => 5,
            FailureKind::Bug => 70,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Yes => ExitCode::SUCCESS,
            Outcome::No => ExitCode::from(1),
            Outcome::NotPermitted => ExitCode::from(FailureKind::Environment.code()),
        }
    }
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// With a line on what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says what went wrong on standard error, and gives the exit code.
    pub(crate) fn report(&self, output: &mut Output) -> ExitCode {
        if self.error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        output.error(&format!("{:#}", self.error), &self.hints);
        ExitCode::from(self.kind.code())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(FailureKind::Environment, error)
    }
}

impl From<nsgate_kernel::Error> for Failure {
    fn from(error: nsgate_kernel::Error) -> Self {
        Failure::new(FailureKind::Environment, error)
    }
}

/// Turns a panic into a short message and the exit code of a bug.
pub(crate) fn explain_panics() {
    std::panic::set_hook(Box::new(|panic| {
        anstream::eprintln!(
            "nsgate: this is a bug in nsgate: {panic}\nPlease report it with the command that you ran."
        );
        std::process::exit(i32::from(FailureKind::Bug.code()));
    }));
}
