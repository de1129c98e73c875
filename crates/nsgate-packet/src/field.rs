//! Reading one field of fixed width; what lies past the end reads as absent.

/// The `N` bytes at `offset`.
pub(crate) fn bytes<const N: usize>(from: &[u8], offset: usize) -> Option<[u8; N]> {
    from.get(offset..)?.first_chunk::<N>().copied()
}

/// The byte at `offset`.
pub(crate) fn byte(from: &[u8], offset: usize) -> Option<u8> {
    from.get(offset).copied()
}

/// The 16-bit number in network order at `offset`.
pub(crate) fn short(from: &[u8], offset: usize) -> Option<u16> {
    bytes(from, offset).map(u16::from_be_bytes)
}

/// The 32-bit number in network order at `offset`.
pub(crate) fn long(from: &[u8], offset: usize) -> Option<u32> {
    bytes(from, offset).map(u32::from_be_bytes)
}
