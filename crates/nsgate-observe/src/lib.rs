//! Seeing packets: taps on every interface, and the probes to be seen.
//!
//! In this order, so that nothing is missed: [`Sender::open`] makes the probe ready, [`Filter::of`] says which frames
//! can be its own, [`Tap::open`] watches a namespace, [`Sender::send`] lets it go. [`Watch`] does all that for many
//! namespaces, and gives the whole [`Observation`](nsgate_core::trace::Observation).

mod aside;
mod bpf;
mod changes;
mod filter;
mod numbers;
mod probe;
mod random;
pub mod resolve;
mod rule_trace;
mod sys;
mod tap;
mod watch;

pub use bpf::{FIRST_TAPS, HOOKS, Interest, KernelEvents, taps_at};
pub use filter::Filter;
pub use probe::{Refusal, Sender};
pub use tap::Tap;
pub use watch::{Lookout, Means, Watch};
