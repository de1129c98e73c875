//! Policy rules.

use ipnet::IpNet;
use nsgate_core::model::{Family, Rule, RuleAction};

use super::numbers::{self as n, rule as r};
use crate::error::Error;
use crate::netlink::{Attribute, Batch, Listing, Message, Socket};

/// All policy rules of the socket's namespace, IPv4 first, each family in the order its rules are asked.
pub fn rules(socket: &mut Socket) -> Result<Listing<Rule>, Error> {
    let mut of_family = |family| {
        let mut batch = Batch::new();
        let mut header = [0; 12];
        header[0] = n::family_number(family);
        batch.begin(libc::RTM_GETRULE, 0, &header);
        socket.list(&mut batch, "policy rules", read)
    };
    Ok(of_family(Family::V4)?.join(of_family(Family::V6)?))
}

/// Reads one rule message.
pub(super) fn read(message: &Message<'_>) -> Option<Rule> {
    let (header, attributes) = message.split::<12>()?;
    let [family, destination_length, source_length, tos, table, _, _, action, ..] = *header;
    let flags = u32::from_ne_bytes(header[8..12].try_into().ok()?);
    let mut rule = Rule {
        family: n::family_of(family)?,
        priority: 0,
        inverted: flags & r::INVERTED != 0,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        users: None,
        vrf: false,
        suppress_prefix_length: None,
        action: RuleAction::Nop,
        made_by: 0,
    };
    let (mut table, mut target) = (u32::from(table), 0);
    for attribute in attributes {
        match attribute.kind {
            r::DESTINATION => rule.to = Some(IpNet::new(attribute.address()?, destination_length).ok()?),
            r::SOURCE => rule.from = Some(IpNet::new(attribute.address()?, source_length).ok()?),
            r::TABLE => table = attribute.u32()?,
            r::GOTO => target = attribute.u32()?,
            _ => read_condition(&mut rule, &attribute)?,
        }
    }
    rule.action = match action {
        r::TO_TABLE => RuleAction::Table(table),
        r::TO_RULE => RuleAction::Goto(target),
        r::NOTHING => RuleAction::Nop,
        r::BLACKHOLE => RuleAction::Blackhole,
        r::UNREACHABLE => RuleAction::Unreachable,
        r::PROHIBIT => RuleAction::Prohibit,
        other => RuleAction::Other(other),
    };
    Some(rule)
}

fn read_condition(rule: &mut Rule, attribute: &Attribute<'_>) -> Option<()> {
    match attribute.kind {
        r::PRIORITY => rule.priority = attribute.u32()?,
        r::IIF_NAME => rule.iif = Some(attribute.text()?.parse().ok()?),
        r::OIF_NAME => rule.oif = Some(attribute.text()?.parse().ok()?),
        r::MARK => rule.mark = Some((attribute.u32()?, rule.mark.map_or(u32::MAX, |(_, mask)| mask))),
        // The kernel sends a mask of zero for rules without a mark.
        r::MARK_MASK => match (attribute.u32()?, rule.mark) {
            (0, None) => {}
            (mask, mark) => rule.mark = Some((mark.map_or(0, |(value, _)| value), mask)),
        },
        // All ones say "not suppressed".
        r::SUPPRESS_PREFIX_LENGTH => rule.suppress_prefix_length = attribute.u32().filter(|l| *l != u32::MAX),
        r::L3MDEV => rule.vrf = attribute.u8()? != 0,
        r::USERS => {
            let bytes = attribute.array::<8>()?;
            let half = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            rule.users = Some((half(0), half(4)));
        }
        r::MADE_BY => rule.made_by = attribute.u8()?,
        r::TRANSPORT => rule.protocol = Some(attribute.u8()?),
        r::SOURCE_PORTS => rule.source_ports = Some(ports(attribute)?),
        r::DESTINATION_PORTS => rule.destination_ports = Some(ports(attribute)?),
        // A condition that is not modelled would make the rule match what it does not match.
        r::SUPPRESS_GROUP if attribute.u32() != Some(u32::MAX) => return None,
        r::SOURCE_PORT_MASK | r::DESTINATION_PORT_MASK if attribute.u16() != Some(u16::MAX) => return None,
        r::SUPPRESS_GROUP | r::SOURCE_PORT_MASK | r::DESTINATION_PORT_MASK => {}
        r::TUNNEL => return None,
        newer if newer > r::DESTINATION_PORTS => return None,
        _ => {}
    }
    Some(())
}

/// `struct fib_rule_port_range`, in the machine's byte order.
fn ports(attribute: &Attribute<'_>) -> Option<(u16, u16)> {
    let [a, b, c, d] = attribute.array::<4>()?;
    Some((u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Messages, hostile};

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(read);
    }

    #[test]
    fn a_condition_that_is_not_modelled_is_not_passed_over() {
        let rule = |extra: fn(&mut Batch)| {
            let mut batch = Batch::new();
            batch.begin(libc::RTM_NEWRULE, 0, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, r::TO_TABLE, 0, 0, 0, 0]);
            batch.u32(r::TABLE, 7);
            extra(&mut batch);
            Messages::new(batch.part(0, 1)).find_map(|message| read(&message))
        };
        assert_eq!(rule(|_| {}).unwrap().action, RuleAction::Table(7));
        assert!(rule(|b| b.u16(r::SOURCE_PORT_MASK, u16::MAX)).is_some());
        assert!(rule(|b| b.u16(r::SOURCE_PORT_MASK, 1)).is_none());
        // FRA_DSCP.
        assert!(rule(|b| b.u8(25, 10)).is_none());
    }
}
