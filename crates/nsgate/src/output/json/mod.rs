//! What programs read. The types here are the public interface: a field never changes its meaning within a schema.

pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod lab;
pub(crate) mod observation;
pub(crate) mod plan;
pub(crate) mod trace;
