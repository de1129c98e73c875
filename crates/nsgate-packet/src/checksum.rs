//! The internet checksum (RFC 1071), plain and over the pseudo header of TCP, UDP and ICMPv6.
//!
//! Both functions give the value to write into the checksum field when that field holds zero, and zero when the field
//! already holds the right value: the same call makes and verifies a checksum.

use std::net::IpAddr;

/// The checksum of `bytes`.
pub fn plain(bytes: &[u8]) -> u16 {
    fold(sum(bytes))
}

/// The checksum of `segment` and the pseudo header in front of it.
pub fn with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let length = segment.len() as u64;
    let ends = address(source) + address(destination);
    fold(ends + u64::from(protocol) + (length >> 16) + (length & 0xffff) + sum(segment))
}

fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks_exact(2);
    let last = pairs.remainder().first().map_or(0, |byte| u64::from(*byte) << 8);
    pairs.map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1])).sum::<u64>() + last
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(plain(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn an_odd_byte_counts_as_the_upper_half() {
        assert_eq!(plain(&[0x12]), !0x1200);
        assert_eq!(plain(&[]), 0xffff);
    }

    #[test]
    fn a_right_checksum_sums_to_zero() {
        // An IPv4 header as seen on a wire: 192.168.0.1 > 192.168.0.199, UDP.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
            0x00, 0xc7,
        ];
        assert_eq!(plain(&header), 0);
    }
}
