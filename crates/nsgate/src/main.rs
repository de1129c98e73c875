//! nsgate
fn main() {}
