//! What a rule of arptables asks of the header, of Ethernet and IPv4 as everywhere: `struct arpt_arp`.

use nsgate_core::model::ruleset::{Base, Expression};

use super::entry::{Bytes, Layout, devices, masked};

/// What of a rule is turned into its opposite (ARPT_INV_*).
const NOT_IN: u16 = 0x01;
const NOT_OUT: u16 = 0x02;
const NOT_SOURCE: u16 = 0x04;
const NOT_DESTINATION: u16 = 0x08;

/// Numbers of the header: where they stand in a rule, where in the packet, how long they are, the bit that inverts.
/// Their mask follows each.
const NUMBERS: [(usize, u32, usize, u16); 4] =
    [(16, 4, 1, 0x200), (86, 0, 2, 0x80), (90, 2, 2, 0x100), (82, 6, 2, 0x40)];

/// Link-layer addresses, likewise; their mask follows after 16 bytes.
const MACS: [(usize, u32, u16); 2] = [(18, 8, 0x10), (50, 18, 0x20)];

/// The questions about interfaces, the kind of the message, and its addresses.
pub(super) fn header(layout: &Layout, bytes: &Bytes<'_>) -> Option<Vec<Expression>> {
    let flags = bytes.u16(layout.inverted)?;
    let inverted = |bit: u16| flags & bit != 0;
    let mut asked = devices(layout, bytes, [inverted(NOT_IN), inverted(NOT_OUT)])?;
    let mut ask = |offset, mask: &[u8], value: &[u8], bit| {
        if mask.iter().any(|byte| *byte != 0) || inverted(bit) {
            asked.extend(masked(Base::Network, offset, mask, value, inverted(bit)));
        }
    };
    for (at, offset, length, bit) in NUMBERS {
        ask(offset, bytes.slice(at + length, length)?, bytes.slice(at, length)?, bit);
    }
    for (at, offset, bit) in MACS {
        ask(offset, bytes.slice(at + 16, 6)?, bytes.slice(at, 6)?, bit);
    }
    for (place, bit) in [NOT_SOURCE, NOT_DESTINATION].into_iter().enumerate() {
        ask(layout.in_packet[place], bytes.slice(8 + 4 * place, 4)?, bytes.slice(4 * place, 4)?, bit);
    }
    Some(asked)
}
