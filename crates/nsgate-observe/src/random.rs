//! Numbers that nobody can guess.

use nsgate_kernel::Error;
use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes, at most 256: so few come whole or not at all.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).map_err(|errno| Error::new("read", "random numbers", errno))?;
    Ok(bytes)
}
