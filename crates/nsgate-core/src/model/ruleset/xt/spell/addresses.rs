//! Addresses and masks as they stand in structures.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::info::Info;

/// The address at a place; one of IPv4 takes the first four bytes.
pub(super) fn address(info: &Info<'_>, at: usize, ipv6: bool) -> Option<IpAddr> {
    Some(if ipv6 {
        Ipv6Addr::from(<[u8; 16]>::try_from(info.bytes(at, 16)?).ok()?).into()
    } else {
        Ipv4Addr::from(<[u8; 4]>::try_from(info.bytes(at, 4)?).ok()?).into()
    })
}

/// An address with its mask behind it: nothing where it is one alone, its length where it is a prefix.
pub(super) fn masked(address: IpAddr, mask: IpAddr) -> String {
    match prefix(mask) {
        Some(length) if length == bits(mask) => address.to_string(),
        Some(length) => format!("{address}/{length}"),
        None => format!("{address}/{mask}"),
    }
}

/// The length of a prefix that is written as a mask.
pub(super) fn prefix(mask: IpAddr) -> Option<u32> {
    let number = match mask {
        IpAddr::V4(mask) => u128::from(u32::from(mask)) << 96,
        IpAddr::V6(mask) => u128::from(mask),
    };
    let length = number.leading_ones();
    (length == number.count_ones()).then_some(length)
}

/// How many bits an address of this family has.
pub(super) fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}
