//! What was seen of one probe.
//!
//! A [`Probe`] is sent; every interface on the way reports its [`Sighting`]s; [`follow()`] sorts them into one [`Journey`]; an [`Observation`] holds it all, with what the kernel counted and answered meanwhile.

mod carrier;
mod change;
mod closer;
mod counters;
mod exchange;
mod follow;
mod journey;
mod kernel_event;
mod observation;
mod overheard;
mod patience;
mod pattern;
mod probe;
mod reach;
mod route;
mod rule_event;
mod sighting;

pub use carrier::Carrier;
pub use change::{Change, ConnectionEvent, NeighbourEvent, neighbours_on_the_way, translated_flows};
pub use closer::{CLOSER_TAPS, Stretch, stretch, to_look_closer};
pub use counters::Counters;
pub use follow::follow;
pub(crate) use follow::header;
pub use journey::{Header, Journey, Leg, Segment, Sight};
pub use kernel_event::{Addressee, DropReason, KernelEvent, KernelEventKind, life};
pub use observation::{Crowd, Ending, KernelRoute, Observation, RouteQuestion, Watched, Window};
pub use overheard::{Overheard, answer_home, ending_seen, repeated};
pub use patience::{Underway, over_at};
pub use pattern::{Pattern, PatternError, Protocol};
pub use probe::{Identity, Probe, ProbeKind};
pub use reach::can_meet;
pub use route::{Stop, planned_path, to_watch};
pub use rule_event::{Filtered, RuleCount, RuleEvent, RuleStep, TracedConnection, counted, to_trace};
pub use sighting::{Sighting, Way};
