//! The labs that are compiled in.

use anyhow::{Context, Result};
use nsgate_core::explain::Cause;

use super::Lab;

/// Every lab's name and file; the first is the one that runs when none is named.
pub(crate) const LABS: [(&str, &str); 102] = [
    ("article", include_str!("../../labs/article.toml")),
    ("dnat", include_str!("../../labs/dnat.toml")),
    ("router", include_str!("../../labs/router.toml")),
    ("ipv6", include_str!("../../labs/ipv6.toml")),
    ("three-faults", include_str!("../../labs/three-faults.toml")),
    ("delivered", include_str!("../../labs/delivered.toml")),
    ("delivered-v6", include_str!("../../labs/delivered-v6.toml")),
    ("forwarding-disabled", include_str!("../../labs/forwarding-disabled.toml")),
    ("forwarding-disabled-one", include_str!("../../labs/forwarding-disabled-one.toml")),
    ("forwarding-disabled-v6", include_str!("../../labs/forwarding-disabled-v6.toml")),
    ("link-down", include_str!("../../labs/link-down.toml")),
    ("link-down-v6", include_str!("../../labs/link-down-v6.toml")),
    ("link-down-loopback", include_str!("../../labs/link-down-loopback.toml")),
    ("no-carrier", include_str!("../../labs/no-carrier.toml")),
    ("route-missing", include_str!("../../labs/route-missing.toml")),
    ("route-missing-gateway", include_str!("../../labs/route-missing-gateway.toml")),
    ("route-missing-v6", include_str!("../../labs/route-missing-v6.toml")),
    ("route-blocking", include_str!("../../labs/route-blocking.toml")),
    ("route-blocking-prohibit", include_str!("../../labs/route-blocking-prohibit.toml")),
    ("route-blocking-v6", include_str!("../../labs/route-blocking-v6.toml")),
    ("rp-filter", include_str!("../../labs/rp-filter.toml")),
    ("snat-missing", include_str!("../../labs/snat-missing.toml")),
    ("snat-missing-v6", include_str!("../../labs/snat-missing-v6.toml")),
    ("service-closed", include_str!("../../labs/service-closed.toml")),
    ("service-closed-udp", include_str!("../../labs/service-closed-udp.toml")),
    ("service-closed-v6", include_str!("../../labs/service-closed-v6.toml")),
    ("address-missing", include_str!("../../labs/address-missing.toml")),
    ("address-missing-published", include_str!("../../labs/address-missing-published.toml")),
    ("address-missing-sender", include_str!("../../labs/address-missing-sender.toml")),
    ("address-missing-v6", include_str!("../../labs/address-missing-v6.toml")),
    ("address-duplicate", include_str!("../../labs/address-duplicate.toml")),
    ("address-duplicate-v6", include_str!("../../labs/address-duplicate-v6.toml")),
    ("address-tentative", include_str!("../../labs/address-tentative.toml")),
    ("prefix-wrong", include_str!("../../labs/prefix-wrong.toml")),
    ("prefix-wrong-v6", include_str!("../../labs/prefix-wrong-v6.toml")),
    ("neighbour-wrong", include_str!("../../labs/neighbour-wrong.toml")),
    ("neighbour-wrong-v6", include_str!("../../labs/neighbour-wrong-v6.toml")),
    ("mtu-exceeded", include_str!("../../labs/mtu-exceeded.toml")),
    ("filter-drop", include_str!("../../labs/filter-drop.toml")),
    ("filter-drop-policy", include_str!("../../labs/filter-drop-policy.toml")),
    ("filter-drop-answer", include_str!("../../labs/filter-drop-answer.toml")),
    ("filter-drop-ingress", include_str!("../../labs/filter-drop-ingress.toml")),
    ("filter-drop-arp", include_str!("../../labs/filter-drop-arp.toml")),
    ("filter-drop-v6", include_str!("../../labs/filter-drop-v6.toml")),
    ("filter-drop-v6-neighbour", include_str!("../../labs/filter-drop-v6-neighbour.toml")),
    ("source-martian", include_str!("../../labs/source-martian.toml")),
    ("return-route-missing", include_str!("../../labs/return-route-missing.toml")),
    ("return-route-missing-v6", include_str!("../../labs/return-route-missing-v6.toml")),
    ("ttl-expired", include_str!("../../labs/ttl-expired.toml")),
    ("ttl-expired-hops", include_str!("../../labs/ttl-expired-hops.toml")),
    ("ttl-expired-replaced", include_str!("../../labs/ttl-expired-replaced.toml")),
    ("ttl-expired-v6", include_str!("../../labs/ttl-expired-v6.toml")),
    ("echo-ignored", include_str!("../../labs/echo-ignored.toml")),
    ("echo-ignored-v6", include_str!("../../labs/echo-ignored-v6.toml")),
    ("neighbour-failed", include_str!("../../labs/neighbour-failed.toml")),
    ("bridge-port-blocked", include_str!("../../labs/bridge-port-blocked.toml")),
    ("ipv6-disabled", include_str!("../../labs/ipv6-disabled.toml")),
    ("neighbour-failed-absent", include_str!("../../labs/neighbour-failed-absent.toml")),
    ("neighbour-failed-v6", include_str!("../../labs/neighbour-failed-v6.toml")),
    ("mac-mismatch", include_str!("../../labs/mac-mismatch.toml")),
    ("neighbour-wrong-static", include_str!("../../labs/neighbour-wrong-static.toml")),
    ("bridge-port-blocked-state", include_str!("../../labs/bridge-port-blocked-state.toml")),
    ("bridge-port-blocked-isolated", include_str!("../../labs/bridge-port-blocked-isolated.toml")),
    ("tunnel-unresolved", include_str!("../../labs/tunnel-unresolved.toml")),
    ("route-wrong", include_str!("../../labs/route-wrong.toml")),
    ("route-wrong-v6", include_str!("../../labs/route-wrong-v6.toml")),
    ("rule-policy", include_str!("../../labs/rule-policy.toml")),
    ("rule-policy-mark", include_str!("../../labs/rule-policy-mark.toml")),
    ("rule-policy-v6", include_str!("../../labs/rule-policy-v6.toml")),
    ("snat-mismatch", include_str!("../../labs/snat-mismatch.toml")),
    ("snat-mismatch-shadowed", include_str!("../../labs/snat-mismatch-shadowed.toml")),
    ("snat-mismatch-v6", include_str!("../../labs/snat-mismatch-v6.toml")),
    ("snat-address-wrong", include_str!("../../labs/snat-address-wrong.toml")),
    ("snat-address-wrong-v6", include_str!("../../labs/snat-address-wrong-v6.toml")),
    ("snat-exhausted", include_str!("../../labs/snat-exhausted.toml")),
    ("dnat-missing", include_str!("../../labs/dnat-missing.toml")),
    ("dnat-mismatch", include_str!("../../labs/dnat-mismatch.toml")),
    ("dnat-mismatch-shadowed", include_str!("../../labs/dnat-mismatch-shadowed.toml")),
    ("dnat-mismatch-v6", include_str!("../../labs/dnat-mismatch-v6.toml")),
    ("dnat-target-wrong", include_str!("../../labs/dnat-target-wrong.toml")),
    ("dnat-target-wrong-v6", include_str!("../../labs/dnat-target-wrong-v6.toml")),
    ("hairpin-missing", include_str!("../../labs/hairpin-missing.toml")),
    ("localnet-unrouted", include_str!("../../labs/localnet-unrouted.toml")),
    ("conntrack-invalid", include_str!("../../labs/conntrack-invalid.toml")),
    ("return-path-asymmetric", include_str!("../../labs/return-path-asymmetric.toml")),
    ("upstream-silent", include_str!("../../labs/upstream-silent.toml")),
    ("bridge-filtered", include_str!("../../labs/bridge-filtered.toml")),
    ("qdisc-drop", include_str!("../../labs/qdisc-drop.toml")),
    ("qdisc-drop-v6", include_str!("../../labs/qdisc-drop-v6.toml")),
    ("snat-unwanted", include_str!("../../labs/snat-unwanted.toml")),
    ("masquerade-no-address", include_str!("../../labs/masquerade-no-address.toml")),
    ("masquerade-no-address-v6", include_str!("../../labs/masquerade-no-address-v6.toml")),
    ("checksum-bad", include_str!("../../labs/checksum-bad.toml")),
    ("conntrack-stale", include_str!("../../labs/conntrack-stale.toml")),
    ("service-overloaded", include_str!("../../labs/service-overloaded.toml")),
    ("service-overloaded-udp", include_str!("../../labs/service-overloaded-udp.toml")),
    ("service-overloaded-v6", include_str!("../../labs/service-overloaded-v6.toml")),
    ("fragment-lost", include_str!("../../labs/fragment-lost.toml")),
    ("fragment-lost-egress", include_str!("../../labs/fragment-lost-egress.toml")),
    ("xfrm-drop", include_str!("../../labs/xfrm-drop.toml")),
    ("xfrm-drop-state", include_str!("../../labs/xfrm-drop-state.toml")),
    ("xfrm-drop-v6", include_str!("../../labs/xfrm-drop-v6.toml")),
];

/// The causes that no lab shows, and why.
const WITHOUT: [(Cause, &str); 8] = [
    (Cause::NeighbourTableFull, "its limits are those of the whole machine, and a sandbox cannot reach them"),
    (Cause::BpfDrop, "the kernel lets nobody but root load such programs"),
    (Cause::SecurityDrop, "the policy of a security module is that of the whole machine"),
    (Cause::RouterAdvertisementLost, "nothing in a sandbox sends router advertisements"),
    (Cause::ConntrackFull, "its limit is that of the whole machine, and a sandbox cannot change it"),
    (Cause::ResolverUnreachable, "nothing in a sandbox serves names"),
    (Cause::NotPermitted, "there is nothing to see where nothing may be seen"),
    (Cause::Uncertain, "a loss that nsgate cannot explain cannot be had on purpose"),
];

/// The lab of this name, or the first that shows the cause of this code; none if there is neither.
pub(crate) fn find(wanted: &str) -> Result<Option<(&'static str, Lab)>> {
    let read = |(name, text): (&'static str, &str)| -> Result<(&'static str, Lab)> {
        Ok((name, text.parse().with_context(|| format!("the lab {name}"))?))
    };
    if let Some(named) = LABS.into_iter().find(|(name, _)| *name == wanted) {
        return read(named).map(Some);
    }
    for lab in LABS {
        let (name, lab) = read(lab)?;
        if lab.codes.iter().any(|code| code == wanted) {
            return Ok(Some((name, lab)));
        }
    }
    Ok(None)
}

/// The labs that are made for this cause: they bear its name.
pub(crate) fn made_for(cause: Cause) -> impl Iterator<Item = &'static str> {
    let code = cause.code();
    // A name goes on after the code with a hyphen; `route-missing` is no lab of a code `route`.
    let bears = move |name: &&str| name.strip_prefix(code).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    LABS.iter().map(|(name, _)| *name).filter(bears)
}

/// Why there is no lab for the cause of this code.
pub(crate) fn without(wanted: &str) -> Option<&'static str> {
    WITHOUT.iter().find(|(cause, _)| cause.code() == wanted).map(|(_, reason)| *reason)
}

/// The name of a lab that is most like this one, if any is alike enough.
pub(crate) fn like(wanted: &str) -> Option<&'static str> {
    /// What differs more than this is no slip of the finger.
    const ALIKE: f64 = 0.8;
    let scored = LABS.iter().map(|(name, _)| (strsim::jaro_winkler(wanted, name), *name));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_lab_or_a_reason() {
        let labs: Vec<Lab> = LABS.iter().map(|(_, text)| text.parse().unwrap()).collect();
        for cause in Cause::ALL {
            let shown = labs.iter().any(|lab| lab.codes.iter().any(|code| code == cause.code()));
            assert_ne!(shown, without(cause.code()).is_some(), "{cause} has a lab or a reason why not, and only one");
        }
    }

    #[test]
    fn every_lab_is_well_formed() {
        for (name, text) in LABS {
            let lab = text.parse::<Lab>().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!lab.steps.is_empty() && !lab.mends.is_empty(), "{name}");
            assert!(lab.picture.lines().all(|line| line.chars().count() <= 80), "{name}");
            let made_for_another = Cause::ALL.iter().filter(|cause| made_for(**cause).any(|made| made == name));
            assert!(made_for_another.into_iter().all(|cause| lab.codes == [cause.code()]), "{name}: {:?}", lab.codes);
            assert!(lab.title.len() <= 60 && lab.summary.len() <= 160, "{name}");
        }
    }

    #[test]
    fn a_lab_is_found_by_name_and_by_cause() {
        let found = |wanted: &str| find(wanted).unwrap().map(|(name, _)| name);
        assert_eq!(found("router"), Some("router"));
        assert_eq!(found("forwarding-disabled"), Some("forwarding-disabled"));
        assert_eq!(found("nothing"), None);
    }
}
