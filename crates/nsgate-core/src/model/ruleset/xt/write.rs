//! Extensions written: the parameters of the few matches that nsgate adds to tables of iptables.
//!
//! The kernel takes parameters padded to eight bytes (XT_ALIGN) and gives them back so.

use super::super::Expression;
use crate::model::Family;

const ALIGNMENT: usize = 8;

/// A TCP packet to this port: `struct xt_tcp`.
pub(crate) fn tcp_port(port: u16) -> Expression {
    ports("tcp", port)
}

/// A UDP packet to this port: `struct xt_udp`.
pub(crate) fn udp_port(port: u16) -> Expression {
    ports("udp", port)
}

/// Both structures begin with the range of source ports and that of destination ports; no flags follow.
fn ports(name: &str, port: u16) -> Expression {
    let mut info = [0, u16::MAX, port, port].map(u16::to_ne_bytes).concat();
    info.resize(16, 0);
    a_match(name, 0, info)
}

/// An ICMP or ICMPv6 packet of this type and any code: `struct ipt_icmp`, `struct ip6t_icmp`.
pub(crate) fn icmp_type(family: Family, number: u8) -> Expression {
    let name = if family == Family::V4 { "icmp" } else { "icmp6" };
    a_match(name, 0, vec![number, 0, u8::MAX, 0])
}

/// What belongs to a connection that was let through: `struct xt_conntrack_mtinfo3`.
pub(crate) fn established() -> Expression {
    // XT_CONNTRACK_STATE in the flags; the bits of established and related in the states.
    const FLAGS: usize = 146;
    const STATE: u16 = 1;
    const STATES: usize = 150;
    const ESTABLISHED_RELATED: u16 = 6;
    let mut info = vec![0; 164];
    info[FLAGS..FLAGS + 2].copy_from_slice(&STATE.to_ne_bytes());
    info[STATES..STATES + 2].copy_from_slice(&ESTABLISHED_RELATED.to_ne_bytes());
    a_match("conntrack", 3, info)
}

/// A note beside a rule: `struct xt_comment_info`; none if it is too long.
pub(crate) fn comment(text: &str) -> Option<Expression> {
    const LONGEST: usize = 256;
    let mut info = text.as_bytes().to_vec();
    (info.len() < LONGEST && !info.contains(&0)).then_some(())?;
    info.resize(LONGEST, 0);
    Some(a_match("comment", 0, info))
}

fn a_match(name: &str, revision: u32, mut info: Vec<u8>) -> Expression {
    info.resize(info.len().next_multiple_of(ALIGNMENT), 0);
    Expression::XtMatch { name: name.into(), revision, info }
}
