//! Labs: experiments on the real kernel, each told step by step.
//!
//! A lab is a data file: what is built, the steps in order, the probes, and what each must show. There is one function for
//! each kind of step and none for any one lab. A lab runs inside a sandbox only, and never tells an outcome that was not
//! observed.

mod base;
mod build;
mod catalogue;
mod diagnose;
mod file;
mod look;
mod probe;
mod stage;
mod typed;

pub(crate) use catalogue::{LABS, find, like, made_for, without};
pub(crate) use file::{Action, Flow, Interface, Lab, List, Outcome, Probe, Read, Serve, Step, Trace, Watch};
pub(crate) use stage::{Done, Observed, Probed, Seen, Stage};
pub(crate) use typed::typed;
