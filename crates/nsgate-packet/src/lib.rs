//! Bytes to headers and back.
//!
//! Pure: views over byte slices that never panic and never allocate; whatever is cut short reads as absent.

mod family;
mod mac;

pub use family::Family;
pub use mac::Mac;
