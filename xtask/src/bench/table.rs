//! The table of a bench: what was measured, and the bound that it has to keep.

use std::fs;

/// What a value must not leave.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// So much at the most, in the value's own unit.
    Most(f64, &'static str),
    /// So many hundredths at least.
    LeastPart(f64),
    /// Less than that many hundredths.
    LessPart(f64),
}

/// Writes a row; false if the value leaves the bound.
#[expect(clippy::print_stdout, reason = "a developer's task speaks to its terminal")]
pub(super) fn row(what: &str, shown: &str, bound: Option<(f64, Bound)>) -> bool {
    let (held, bound) = match bound {
        None => (true, String::new()),
        Some((value, bound)) => judged(value, bound),
    };
    println!("  {what:<48} {shown:>26}   {bound}");
    held
}

fn judged(value: f64, bound: Bound) -> (bool, String) {
    let (held, text) = match bound {
        Bound::Most(most, unit) => (value <= most, format!("at most {most} {unit}")),
        Bound::LeastPart(least) => (value >= least, format!("at least {:.0} %", least * 100.0)),
        Bound::LessPart(other) => (value < other, format!("less than {:.0} %", other * 100.0)),
    };
    (held, format!("{text}: {}", if held { "held" } else { "MISSED" }))
}

/// The machine and its kernel, in a line.
pub(super) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let information = read("/proc/cpuinfo");
    let model =
        information.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("Linux {}, {processors} x {}, load {load}", release.trim(), model.unwrap_or("unknown processor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_judged() {
        assert!(row("what", "1 ms", Some((1.0, Bound::Most(1.0, "ms")))));
        assert!(!row("what", "2 ms", Some((2.0, Bound::Most(1.0, "ms")))));
        assert!(!row("what", "0.5", Some((0.5, Bound::LeastPart(0.7)))));
        assert!(!row("what", "none", Some((f64::NAN, Bound::LeastPart(0.7)))));
    }
}
