//! `security-drop`: a Linux security module refuses the packet, or what its sender asks for.

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, told};
use crate::model::lookup::Answer;

/// `EACCES`: what security modules answer; a route that prohibits answers so, too.
const REFUSED: i32 = 13;

/// The kernel says so, or the sender's own system call is refused and no route prohibits it.
pub(super) fn refused(loss: &Loss<'_>) -> Option<Verdict> {
    let shown = told::dropped_for(loss, &["SECURITY_HOOK"]).or_else(|| of_sender(loss))?;
    let (object, what) = match loss.stage {
        Stage::Made => ("security module, asked about the sender", "the sender's own system call is refused"),
        Stage::Entered(_) | Stage::Left(_) => ("security module, asked about the packet", "the packet is refused"),
    };
    let summary = format!("in {}, {what} by a security module (SELinux, AppArmor, Smack, Landlock)", loss.here());
    let mut verdict = Verdict::new(Cause::SecurityDrop, Place::all_of(loss.here()), object, summary).shown_by(shown);
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and was not taken"));
    }
    Some(verdict.advised(
        "The module's own log says what it refused, and by which label: ausearch -m avc -ts recent, journalctl -k. \
         Permit exactly that; /sys/kernel/security/lsm lists the modules that are at work.",
    ))
}

/// The sender gets "permission denied" though a route leads on.
fn of_sender(loss: &Loss<'_>) -> Option<Evidence> {
    let words = evidence::sender_words(loss).filter(|_| loss.refused_with() == Some(REFUSED))?;
    let Answer::Found { route, .. } = loss.route() else { return None };
    // What goes to everybody needs a socket's own leave.
    let to_all = matches!(route.kind, crate::model::RouteKind::Broadcast | crate::model::RouteKind::Multicast);
    (!to_all).then(|| {
        Evidence::new(EvidenceKind::Sender, loss.here(), words)
            .differs("leave to send", "permission denied, though no route prohibits it")
    })
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, name, route};
    use crate::model::{RouteKind, TABLE_MAIN};
    use crate::trace::{Addressee, DropReason, Ending, KernelEvent, KernelEventKind, Leg};

    #[test]
    fn a_sender_that_may_not_though_the_way_is_free() {
        let mut fixture = Fixture::experiment();
        let words = "Permission denied".to_owned();
        fixture.observation.ending = Ending::Refused { operation: "connect", errno: 13, words };
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("security-drop", "ns_1"));
        let prohibited = route(TABLE_MAIN, "114.114.114.0/24", RouteKind::Prohibit, None, None);
        fixture.netns("ns_1").routes.push(prohibited);
        assert_eq!(fixture.verdict().0, "route-blocking");
    }

    #[test]
    fn a_packet_that_the_kernel_says_was_refused() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        let echo =
            [0x45, 0, 0, 84, 0, 0, 0, 0, 63, 1, 0, 0, 10, 20, 30, 182, 114, 114, 114, 114, 8, 0, 0, 0, 0, 7, 0, 1];
        let event = |reason: &str| KernelEvent {
            time: 0,
            netns: Some(name("world")),
            link: None,
            kind: KernelEventKind::Dropped { reason: DropReason::Named(reason.into()), symbol: None },
            buffer: 1,
            mark: 0,
            addressee: Addressee::Host,
            ethertype: 0x0800,
            bytes: echo.into(),
            length: 98,
        };
        fixture.observation.kernel = vec![event("SOCKET_FILTER")];
        assert_ne!(fixture.verdict().0, "security-drop");
        fixture.observation.kernel = vec![event("SECURITY_HOOK")];
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("security-drop", "world"));
    }
}
