//! Parameters of extensions as iptables spells them, in the order in which iptables-save writes them.

mod addresses;
mod connections;
mod headers;
mod matches;
mod rates;
mod targets;

use super::super::Expression;
use super::info::Info;

pub(in super::super) use self::headers::tcp_flags;
pub(in super::super) use self::matches::quoted;
use self::matches::{set_changes, set_question};
pub(in super::super) use self::rates::limit;
pub(super) use self::rates::packets_in_seconds;
pub(in super::super) use self::targets::log_to;

/// An extension as iptables names it, and its parameters.
pub(in super::super) struct Spelled {
    /// What follows `-m` or `-j`; an extension may go by another name.
    pub(in super::super) name: String,
    /// The options with their values.
    pub(in super::super) words: String,
}

/// The name and the parameters of a match or target, where its parameters are known; `ipv6` says for which family.
pub(in super::super) fn spelled(expression: &Expression, ipv6: bool) -> Option<Spelled> {
    let (name, words) = match expression {
        Expression::XtMatch { name, revision, info } => {
            let info = Info::new(info);
            let mut words = Words::default();
            matches::spell(name, *revision, &info, ipv6, &mut words)
                .or_else(|| matches::spell_surroundings(name, *revision, &info, ipv6, &mut words))
                .or_else(|| connections::spell(name, *revision, &info, ipv6, &mut words))
                .or_else(|| rates::spell(name, *revision, &info, ipv6, &mut words))
                .or_else(|| headers::spell(name, *revision, &info, ipv6, &mut words))?;
            (connections::alias(name, *revision, &info).unwrap_or(name), words.text())
        }
        Expression::XtTarget { name, revision, info } => {
            let info = Info::new(info);
            let mut words = Words::default();
            targets::spell(name, *revision, &info, ipv6, &mut words)
                .or_else(|| targets::spell_changes(name, *revision, &info, ipv6, &mut words))?;
            (targets::alias(name, *revision, &info).unwrap_or(name), words.text())
        }
        Expression::XtSet { target: false, revision, info, names } => ("set", set_question(*revision, info, names)?),
        Expression::XtSet { target: true, revision, info, names } => ("SET", set_changes(*revision, info, names)?),
        _ => return None,
    };
    Some(Spelled { name: name.to_owned(), words })
}

/// Options with their values, one behind the other.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    /// Adds an option, with the sign that turns it into its opposite.
    #[expect(clippy::unnecessary_wraps, reason = "it is the last word of functions that can fail")]
    fn say(&mut self, inverted: bool, option: impl AsRef<str>) -> Option<()> {
        let option = option.as_ref();
        self.0.push(if inverted { format!("! {option}") } else { option.to_owned() });
        Some(())
    }

    /// Adds an option that cannot be inverted.
    fn add(&mut self, option: impl AsRef<str>) -> Option<()> {
        self.say(false, option)
    }

    fn text(&self) -> String {
        self.0.join(" ")
    }
}

/// One number, or the first and the last of several.
fn range<T: Copy + PartialEq + std::fmt::Display>(low: T, high: T) -> String {
    if low == high { low.to_string() } else { format!("{low}:{high}") }
}

/// The names of the bits that are set.
fn names_of(bits: u32, names: &[(u32, &str)]) -> String {
    names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}
