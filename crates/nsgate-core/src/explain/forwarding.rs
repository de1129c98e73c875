//! `forwarding-disabled`: the packet came in for somebody else, and the namespace does not pass packets on.
//!
//! IPv4 asks the switch of the interface that the packet came in by (which `net.ipv4.ip_forward` sets for all at once);
//! IPv6 asks `net.ipv6.conf.all.forwarding`, or since Linux 6.17 `force_forwarding` of the interface. The kernel answers
//! with silence and counts the packet under InAddrErrors.

use super::passage::Passage;
use super::{Cause, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::{Family, Link, Setting, Sysctl};

/// Forwarding is off: globally, or for the interface that the packet came in by.
pub(super) fn disabled(loss: &Loss<'_>) -> Option<Verdict> {
    let Stage::Entered(entered) = loss.stage else { return None };
    if Passage::delivers(loss) {
        return None;
    }
    let (switch, found) = switched_off(loss, entered)?;
    let counter = match loss.family() {
        Family::V4 => "Ip.InAddrErrors",
        Family::V6 => "Ip6.InAddrErrors",
    };
    if loss.moved(counter) == 0 {
        return None;
    }
    let summary = format!(
        "{} came in at {} of {} and was not passed on: {switch} is {found}",
        evidence::leg_name(loss.leg),
        entered.name,
        loss.here()
    );
    let verdict =
        Verdict::new(Cause::ForwardingDisabled, Place::at(loss.here(), &entered.name), switch.as_str(), summary)
            .shown_by(evidence::came_no_further(loss, entered))
            .shown_by(evidence::sysctl(loss.netns, &switch, "1", found))
            .shown_by(evidence::counted(loss, counter))
            .mended_by(mend::sysctl(loss.netns, &switch, "1", found));
    Some(advise(verdict, loss, &switch))
}

/// The switch that is off, and its value.
fn switched_off(loss: &Loss<'_>, entered: &Link) -> Option<(Sysctl, i64)> {
    let family = loss.family();
    let own = entered.setting(family, Setting::Forwarding).map(i64::from);
    match family {
        Family::V4 => {
            let global = Sysctl::known("net.ipv4.ip_forward");
            match (loss.netns.sysctls.number(global.as_str()), own) {
                (_, Some(1..)) => None,
                (Some(0), _) => Some((global, 0)),
                (_, Some(own)) => Some((evidence::name_of_setting(family, entered, Setting::Forwarding)?, own)),
                _ => None,
            }
        }
        Family::V6 => {
            let forced = entered.setting(family, Setting::ForceForwarding).unwrap_or(0);
            let all = loss.netns.setting_of_all(family, Setting::Forwarding)?;
            (all == 0 && forced == 0).then(|| (Sysctl::of_all(family, "forwarding"), all))
        }
    }
}

/// What switching it on opens, or costs.
fn advise(verdict: Verdict, loss: &Loss<'_>, switch: &Sysctl) -> Verdict {
    match loss.family() {
        Family::V6 => verdict.advised(
            "Every interface of this namespace then forwards, and stops taking router advertisements unless its \
             accept_ra is 2.",
        ),
        Family::V4 if switch.as_str() == "net.ipv4.ip_forward" => {
            verdict.advised("Every interface of this namespace then forwards; filter what must not pass.")
        }
        Family::V4 => verdict.advised(
            "What comes in by this interface is then forwarded, wherever it is for; filter what must not pass.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{Family, Setting};
    use crate::trace::Leg;

    fn lost_at_the_gateway(mut fixture: Fixture, counter: &str) -> Fixture {
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", counter);
        fixture
    }

    #[test]
    fn the_global_switch_is_off() {
        let mut fixture = lost_at_the_gateway(Fixture::experiment(), "Ip.InAddrErrors");
        fixture.sysctl("host", "net.ipv4.ip_forward", "0");
        fixture.setting("host", "veth3", Family::V4, Setting::Forwarding, 0);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("forwarding-disabled", "host/veth3"));
        assert_eq!(object, "net.ipv4.ip_forward");
        let fix = fixture.explained().fix;
        assert_eq!(fix.commands(), ["sysctl -w net.ipv4.ip_forward=1"]);
        assert_eq!(fix.inverse().commands(), ["sysctl -w net.ipv4.ip_forward=0"]);
    }

    #[test]
    fn the_switch_of_one_interface_is_off() {
        let mut fixture = lost_at_the_gateway(Fixture::experiment(), "Ip.InAddrErrors");
        fixture.setting("host", "veth3", Family::V4, Setting::Forwarding, 0);
        assert_eq!(fixture.verdict().2, "net.ipv4.conf.veth3.forwarding");
    }

    #[test]
    fn the_ipv6_switch_is_off() {
        let mut fixture = lost_at_the_gateway(Fixture::experiment6(), "Ip6.InAddrErrors");
        fixture.sysctl("host", "net.ipv6.conf.all.forwarding", "0");
        assert_eq!(fixture.verdict().2, "net.ipv6.conf.all.forwarding");
        fixture.setting("host", "veth3", Family::V6, Setting::ForceForwarding, 1);
        assert_eq!(fixture.verdict().0, "uncertain");
    }

    #[test]
    fn the_answer_is_not_passed_on() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        fixture.seen(Leg::Answer, "114.114.114.114", "10.20.30.182", &["world:w0>", "host:eth2<"]);
        fixture.counted("host", "Ip.InAddrErrors");
        fixture.setting("host", "eth2", Family::V4, Setting::Forwarding, 0);
        assert_eq!(fixture.verdict().2, "net.ipv4.conf.eth2.forwarding");
    }

    #[test]
    fn a_switch_that_is_off_is_no_cause_while_nothing_was_refused_by_it() {
        let mut fixture = Fixture::experiment();
        fixture.setting("host", "veth3", Family::V4, Setting::Forwarding, 0);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        assert_eq!(fixture.verdict().0, "uncertain");
    }
}
