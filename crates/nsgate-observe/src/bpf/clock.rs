//! From the clock that programs read to the kernel's real-time clock.

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

/// What to add to a program's time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    behind: i64,
}

const SECOND: i64 = 1_000_000_000;

impl Clock {
    /// Compares the clocks. The atomic one is ahead by whole seconds, so the result is exact; the monotonic one is not
    /// related to the real-time clock, so the result is as good as one reading of it.
    pub(super) fn compare(atomic: bool) -> Self {
        let before = read(atomic);
        let real = nanoseconds(clock_gettime(ClockId::Realtime));
        let after = read(atomic);
        let behind = real - i64::midpoint(before, after);
        Self { behind: if atomic { whole_seconds(behind) } else { behind } }
    }

    /// The real time of an event.
    pub(super) fn real(self, time: u64) -> u64 {
        time.saturating_add_signed(self.behind)
    }
}

/// Reads the clock that programs read.
fn read(atomic: bool) -> i64 {
    // A kernel that offers the atomic clock to programs has it for everybody.
    let atomic = atomic.then(|| clock_gettime_dynamic(DynamicClockId::Tai).ok()).flatten();
    nanoseconds(atomic.unwrap_or_else(|| clock_gettime(ClockId::Monotonic)))
}

fn whole_seconds(time: i64) -> i64 {
    (time + SECOND / 2).div_euclid(SECOND) * SECOND
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(SECOND).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_atomic_clock_is_ahead_by_whole_seconds() {
        assert_eq!(whole_seconds(-37 * SECOND + 900), -37 * SECOND);
        assert_eq!(whole_seconds(-37 * SECOND - 900), -37 * SECOND);
        assert_eq!(whole_seconds(40), 0);
        assert_eq!(Clock { behind: -5 }.real(7), 2);
        assert_eq!(Clock { behind: -5 }.real(3), 0);
    }

    #[test]
    fn both_clocks_give_the_time_that_it_is() {
        for atomic in [true, false] {
            let clock = Clock::compare(atomic);
            let told = clock.real(read(atomic) as u64);
            let now = nanoseconds(clock_gettime(ClockId::Realtime)) as u64;
            assert!(now.abs_diff(told) < 10_000_000, "{now} {told}");
        }
    }
}
