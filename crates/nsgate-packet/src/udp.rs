//! UDP headers.

use crate::field::short;

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    /// The port it comes from.
    pub source_port: u16,
    /// The port it goes to.
    pub destination_port: u16,
    /// The data, without what a link may have padded.
    pub payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Bytes of the header.
    pub const HEADER: usize = 8;

    /// The datagram in `segment`; none if its header is cut.
    pub fn parse(segment: &'a [u8]) -> Option<Udp<'a>> {
        let body = segment.get(Self::HEADER..)?;
        let declared = usize::from(short(segment, 4)?).checked_sub(Self::HEADER);
        // A length of zero stands for "to the end" in datagrams too long for the field.
        let length = declared.unwrap_or(body.len()).min(body.len());
        Some(Udp { source_port: short(segment, 0)?, destination_port: short(segment, 2)?, payload: &body[..length] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_not_payload() {
        let bytes = [0x13, 0x88, 0, 53, 0, 10, 0, 0, b'h', b'i', 0, 0, 0];
        let udp = Udp::parse(&bytes).unwrap();
        assert_eq!(udp, Udp { source_port: 5000, destination_port: 53, payload: b"hi" });
        assert_eq!(Udp::parse(&bytes[..7]), None);
        assert_eq!(Udp::parse(&bytes[..9]).unwrap().payload, b"h");
    }
}
