//! IPsec policies made and removed. States are not: they need keys, and nsgate handles none.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_core::model::{XfrmDirection, XfrmMode, XfrmTemplate};
use nsgate_core::plan::{Change, NewPolicy};

use super::{POLICY, POLICY_ID, REFUSES, TEMPLATE, attribute};
use crate::error::Error;
use crate::netlink::{Batch, Socket};

/// `XFRM_MSG_NEWPOLICY`, `XFRM_MSG_DELPOLICY`, `XFRM_MSG_UPDPOLICY`.
const NEW_POLICY: u16 = 0x13;
const DELETE_POLICY: u16 = 0x14;
const UPDATE_POLICY: u16 = 0x19;
/// Where `struct xfrm_userpolicy_info` has the limits of a policy's life by bytes and by packets, soft and hard.
const LIMITS: std::ops::Range<usize> = 56..88;

/// Makes or removes a policy of the namespace of an [`Xfrm`](crate::netlink::Protocol::Xfrm) socket.
pub fn change(socket: &mut Socket, change: Change, policy: &NewPolicy) -> Result<(), Error> {
    let mut batch = Batch::new();
    write(&mut batch, change, policy);
    let verb = match change {
        Change::Add => "add",
        Change::Replace => "update",
        Change::Delete => "delete",
    };
    match socket.send(&mut batch)?.refused() {
        Some((_, refusal)) => Err(refusal.clone().error(verb, format!("the IPsec policy {policy}"))),
        None => Ok(()),
    }
}

fn write(batch: &mut Batch, change: Change, policy: &NewPolicy) {
    let direction = match policy.direction {
        XfrmDirection::In => 0,
        XfrmDirection::Out => 1,
        XfrmDirection::Forward => 2,
    };
    if change == Change::Delete {
        let mut told = [0; POLICY_ID];
        select(&mut told, policy.source, policy.destination);
        told[60] = direction;
        return batch.begin(DELETE_POLICY, 0, &told);
    }
    let mut told = [0; POLICY];
    select(&mut told, policy.source, policy.destination);
    told[LIMITS].fill(0xff);
    told[152..156].copy_from_slice(&policy.priority.to_ne_bytes());
    told[160] = direction;
    told[161] = if policy.refuses { REFUSES } else { 0 };
    let kind = if change == Change::Add { NEW_POLICY } else { UPDATE_POLICY };
    batch.begin(kind, 0, &told);
    if !policy.templates.is_empty() {
        let family = family(policy.source.addr());
        let templates: Vec<u8> = policy.templates.iter().flat_map(|t| template(t, family)).collect();
        batch.bytes(attribute::TEMPLATES, &templates);
    }
}

/// Fills `struct xfrm_selector`.
fn select(told: &mut [u8], source: IpNet, destination: IpNet) {
    for (net, at, length) in [(destination, 0, 42), (source, 16, 43)] {
        place(told, at, net.addr());
        told[length] = net.prefix_len();
    }
    told[40..42].copy_from_slice(&family(source.addr()).to_ne_bytes());
}

/// `struct xfrm_user_tmpl`, open to all algorithms.
fn template(template: &XfrmTemplate, family_of_policy: u16) -> [u8; TEMPLATE] {
    let mut told = [0; TEMPLATE];
    for (end, at) in [(template.destination, 0), (template.source, 28)] {
        if let Some(address) = end {
            place(&mut told, at, address);
        }
    }
    told[16..20].copy_from_slice(&template.spi.to_be_bytes());
    told[20] = template.protocol;
    let ends = template.destination.or(template.source);
    told[24..26].copy_from_slice(&ends.map_or(family_of_policy, family).to_ne_bytes());
    told[44..48].copy_from_slice(&template.request.to_ne_bytes());
    told[48] = match template.mode {
        XfrmMode::Transport => 0,
        XfrmMode::Tunnel => 1,
        XfrmMode::Other(number) => number,
    };
    told[50] = u8::from(template.optional);
    told[52..].fill(0xff);
    told
}

fn place(told: &mut [u8], at: usize, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => told[at..at + 4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => told[at..at + 16].copy_from_slice(&v6.octets()),
    }
}

fn family(address: IpAddr) -> u16 {
    // AF_INET and AF_INET6 are small.
    u16::try_from(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use nsgate_core::model::XfrmPolicy;
    use nsgate_core::plan::{Action, Step};

    use super::*;
    use crate::apply;
    use crate::netlink::Protocol;
    use crate::sandbox::test;
    use crate::xfrm::policies;

    fn standing() -> Vec<XfrmPolicy> {
        policies(&mut Socket::open(Protocol::Xfrm).unwrap()).unwrap().items
    }

    #[test]
    fn policies_are_made_as_they_read_and_removed() {
        test(|| {
            for line in [
                "ip xfrm policy add src 1.1.1.0/24 dst 114.114.114.0/24 dir out priority 7 action block",
                "ip xfrm policy add src fd00:1::/64 dst fd00:2::/64 dir fwd tmpl src fd00::1 dst fd00::2 proto esp reqid 3 mode tunnel level use",
                "ip xfrm policy add src 1.1.1.0/24 dst 114.114.114.0/24 dir in tmpl proto ah mode transport",
            ] {
                let step: Step = line.parse().unwrap();
                apply::perform(&step).unwrap();
                let Action::Policy(_, wanted) = &step.action else { panic!() };
                let found = standing();
                assert_eq!(found.len(), 1, "{found:?}");
                assert_eq!(NewPolicy::of(&found[0]).as_ref(), Some(wanted));
                let again = apply::perform(&step).unwrap_err().to_string();
                assert!(again.contains("exist"), "{again}");
                apply::perform(&step.inverse().unwrap()).unwrap();
                assert_eq!(standing(), []);
            }
        });
    }
}
