//! What an instance has to remember: the settings of what is not its own that it changed, the addresses that it gave
//! there, and what it relies on.
//!
//! Everything else is found by its marks. The text is lines of steps, so that an operator can read it, and finish by
//! hand what it says:
//!
//! ```text
//! restore sysctl -w net.ipv4.conf.eth2.forwarding=0
//! rely sysctl -w net.ipv4.conf.eth2.forwarding=1
//! ```

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use super::step::{Action, Step};
use super::{Compiled, ParseError};
use crate::model::{LinkName, NetnsName, Sysctl, World};

/// What an instance has to remember.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What puts a setting back to what it was before the instance changed it.
    pub restore: Vec<Step>,
    /// What makes the settings that the instance needs, whoever made them so.
    pub rely: Vec<Step>,
}

/// Why a text is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A line does not begin with `restore` or `rely`.
    #[error("line {0}: neither 'restore' nor 'rely'")]
    Word(usize),
    /// A line holds no step.
    #[error("line {0}: {1}")]
    Step(usize, ParseError),
}

impl State {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.restore.is_empty() && self.rely.is_empty()
    }

    /// The state once a plan is done, and the steps to be added to the plan: they put back what is no longer relied on.
    ///
    /// `others` are the states of all other instances: what one of them relies on is not put back.
    pub fn after(&self, compiled: &Compiled, others: &[State], world: &World) -> (State, Vec<Step>) {
        let mut restore: Vec<Step> = Vec::new();
        let mut back = Vec::new();
        for step in &self.restore {
            let needed = |state: &[Step]| state.iter().any(|rely| same_setting(rely, step));
            if needed(&compiled.rely) {
                restore.push(step.clone());
            } else if !others.iter().any(|other| needed(&other.rely)) && super::remove::differs(world, step) {
                back.push(step.clone());
            }
        }
        // What was there before the first change is what is put back: later ones do not count.
        let new = compiled.restore.iter().filter(|step| !self.restore.iter().any(|old| same_setting(old, step)));
        restore.extend(new.cloned());
        (State { restore, rely: compiled.rely.clone() }, back)
    }

    /// Takes over what another instance, which goes, would have put back although this one relies on it.
    pub fn inherit(&mut self, going: &mut State) {
        let (mine, theirs): (Vec<Step>, Vec<Step>) =
            going.restore.drain(..).partition(|step| self.rely.iter().any(|rely| same_setting(rely, step)));
        going.restore = theirs;
        let new = mine.into_iter().filter(|step| !self.restore.iter().any(|old| same_setting(old, step)));
        self.restore.extend(new.collect::<Vec<_>>());
    }
}

/// Whether two steps are about the same object.
fn same_setting(one: &Step, other: &Step) -> bool {
    let (one, other) = (object(one), object(other));
    one.is_some() && one == other
}

/// What a state can remember.
#[derive(PartialEq)]
enum Object<'a> {
    Setting(&'a NetnsName, &'a Sysctl),
    /// An address on an interface that is not ours.
    Address(&'a NetnsName, &'a LinkName, IpNet),
}

fn object(step: &Step) -> Option<Object<'_>> {
    match &step.action {
        Action::Sysctl { name, .. } => Some(Object::Setting(&step.netns, name)),
        Action::Address(_, address) => Some(Object::Address(&step.netns, &address.dev, address.net)),
        _ => None,
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.restore {
            writeln!(f, "restore {step}")?;
        }
        for step in &self.rely {
            writeln!(f, "rely {step}")?;
        }
        Ok(())
    }
}

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let mut state = State::default();
        for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
            let (word, step) = line.split_once(' ').ok_or(StateError::Word(number))?;
            let list = match word {
                "restore" => &mut state.restore,
                "rely" => &mut state.rely,
                _ => return Err(StateError::Word(number)),
            };
            list.push(step.parse().map_err(|error| StateError::Step(number, error))?);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Namespace;

    fn steps(lines: &[&str]) -> Vec<Step> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    fn compiled(restore: &[&str], rely: &[&str]) -> Compiled {
        Compiled { restore: steps(restore), rely: steps(rely), ..Compiled::default() }
    }

    /// A World in which forwarding is on.
    fn world() -> World {
        let mut world = World::default();
        world.namespaces.push(Namespace::new(NetnsName::host(), 1));
        for line in ["ip link add eth2 type dummy", ON] {
            crate::plan::simulate::apply(&mut world, &line.parse().unwrap()).unwrap();
        }
        world
    }

    const ON: &str = "sysctl -w net.ipv4.conf.eth2.forwarding=1";
    const OFF: &str = "sysctl -w net.ipv4.conf.eth2.forwarding=0";

    #[test]
    fn text_and_back() {
        let state = State { restore: steps(&[OFF]), rely: steps(&[ON]) };
        let text = format!("restore {OFF}\nrely {ON}\n");
        assert_eq!(state.to_string(), text);
        assert_eq!(text.parse::<State>().unwrap(), state);
        assert_eq!("undo x".parse::<State>().unwrap_err().to_string(), "line 1: neither 'restore' nor 'rely'");
        assert!(matches!("restore reboot".parse::<State>(), Err(StateError::Step(1, _))));
    }

    #[test]
    fn the_first_value_is_what_is_put_back() {
        let (first, back) = State::default().after(&compiled(&[OFF], &[ON]), &[], &world());
        assert_eq!((first.restore.clone(), back), (steps(&[OFF]), vec![]));
        // A second plan, made when it was on already, does not forget.
        let (second, back) = first.after(&compiled(&[], &[ON]), &[], &world());
        assert_eq!((second.restore, back), (steps(&[OFF]), vec![]));
    }

    #[test]
    fn what_nobody_relies_on_any_longer_is_put_back() {
        let state = State { restore: steps(&[OFF]), rely: steps(&[ON]) };
        let (after, back) = state.after(&compiled(&[], &[]), &[], &world());
        assert_eq!((after, back), (State::default(), steps(&[OFF])));
    }

    #[test]
    fn what_another_relies_on_stays_and_becomes_its_to_put_back() {
        let mut going = State { restore: steps(&[OFF]), rely: steps(&[ON]) };
        let mut staying = State { restore: vec![], rely: steps(&[ON]) };
        staying.inherit(&mut going);
        assert_eq!(going.restore, []);
        assert_eq!(staying.restore, steps(&[OFF]));
    }
}
