//! Plans and what stands, as lines.

use std::collections::BTreeMap;

use nsgate_core::plan::{Inventory, StandingMember, Step};
use nsgate_core::spec::Wanted;

use crate::output::style::{self, paint};

/// The steps of a plan, one a line.
pub(crate) fn steps(steps: &[Step]) -> String {
    lines(steps.iter().map(|step| paint(style::TYPED, &step.to_string())))
}

/// The plan as `plan` shows it.
pub(crate) fn plan(instance: &str, steps: &[Step]) -> String {
    if steps.is_empty() {
        return format!("{instance} stands as it is wanted: nothing to do.\n");
    }
    self::steps(steps)
}

/// What `up` says when it is done.
pub(crate) fn up(wanted: &Wanted, done: usize) -> String {
    let members: usize = wanted.networks().map(|network| network.members.len()).sum();
    let size = format!("{}, {}", count(wanted.networks().count(), "network"), count(members, "member"));
    if done == 0 {
        return format!("{} stands already ({size}).\n", wanted.instance);
    }
    format!("{} {} ({size}; {}).\n", wanted.instance, paint(style::GOOD, "stands"), count(done, "step"))
}

/// What `down` says when it is done.
pub(crate) fn down(instance: &str, done: usize) -> String {
    if done == 0 {
        return format!("Nothing of {instance} stands.\n");
    }
    format!("{instance} is {} ({}).\n", paint(style::GOOD, "gone"), count(done, "step"))
}

/// What stands of each instance.
pub(crate) fn standing(found: &BTreeMap<String, Inventory>) -> String {
    if found.is_empty() {
        return "Nothing stands.\n".into();
    }
    let mut shown = Vec::new();
    for (instance, inventory) in found {
        shown.push(paint(style::HEADING, instance));
        for (name, network) in &inventory.networks {
            let bridge = network.bridge.as_ref().map(|bridge| format!(" (bridge {bridge})")).unwrap_or_default();
            shown.push(format!("  {name}{bridge}"));
            shown.extend(network.members.iter().map(|member| format!("    {}", self::member(member))));
        }
    }
    lines(shown.into_iter())
}

fn member(member: &StandingMember) -> String {
    let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
    let wire = match &member.gateway_interface {
        Some(far) => format!("{} ── {far}", member.interface),
        None => format!("{} ── nothing", member.interface),
    };
    let state = if member.up { paint(style::GOOD, "up") } else { paint(style::BAD, "down") };
    format!("{:<16} {wire:<36} {state}  {}", member.netns, addresses.join(" "))
}

/// What differs from what the file wants.
pub(crate) fn drift(instance: &str, steps: &[Step]) -> String {
    if steps.is_empty() {
        return format!("{instance} stands {}.\n", paint(style::GOOD, "as it is wanted"));
    }
    let lines = lines(self::steps(steps).lines().map(|line| format!("  {line}")));
    let many = count(steps.len(), "step");
    format!("{instance} is {}; {many} would mend it:\n{lines}", paint(style::BAD, "not as it is wanted"))
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    let mut text = lines.collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}
