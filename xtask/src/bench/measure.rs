//! Measuring: how long a command takes, how much memory it comes to, and the middle of several runs.
//!
//! Nothing here is averaged: on a machine that others use, too, one run in ten may take ten times as long.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The times of several runs, in order.
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Runs it so often; `run` says how long it took.
    pub(super) fn of(rounds: usize, mut run: impl FnMut() -> Result<Duration>) -> Result<Self> {
        let mut times = (0..rounds).map(|_| run()).collect::<Result<Vec<_>>>()?;
        times.sort();
        ensure!(!times.is_empty(), "nothing was run");
        Ok(Self(times))
    }

    /// The one in the middle, in milliseconds.
    pub(super) fn middle(&self) -> f64 {
        milliseconds(self.0[self.0.len() / 2])
    }

    /// The middle, and how far the others lie from it.
    pub(super) fn shown(&self) -> String {
        let (first, last) = (self.0[0], self.0[self.0.len() - 1]);
        format!("{:.1} ms ({:.1} to {:.1})", self.middle(), milliseconds(first), milliseconds(last))
    }
}

/// How long a command takes from its start to its exit, which must be the honest yes or no.
pub(super) fn time(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let took = start.elapsed();
    ensure!(matches!(status.code(), Some(0 | 1)), "{command:?} ended with {status}");
    Ok(took)
}

/// The most memory that a command has at any time, in MiB. It is asked over and over: the kernel forgets it at the exit.
pub(super) fn peak_memory(command: &mut Command) -> Result<f64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let now =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        peak = now.unwrap_or(0).max(peak);
        thread::sleep(Duration::from_micros(200));
    }
    ensure!(peak > 0, "{command:?} was too quick to be seen");
    Ok(f64::from(u32::try_from(peak).context("more memory than there is")?) / 1024.0)
}

/// The value in the middle.
pub(super) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// As a number that can be compared.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_neither_end() {
        assert!((middle(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(middle(Vec::new()).is_nan());
        let mut left = [9, 1, 2].map(Duration::from_millis).into_iter();
        let times = Times::of(3, || Ok(left.next().unwrap())).unwrap();
        assert_eq!(times.shown(), "2.0 ms (1.0 to 9.0)");
    }
}
