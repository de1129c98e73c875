//! `bpf-drop` where no part of traffic control runs the program: XDP, before anything else sees the frame, and control
//! groups, as a process sends.

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend, told};
use crate::model::{AttachedProgram, Family, Link, MachinePlace, Namespace, Program, ProgramPlace};
use crate::plan::XdpMode;
use crate::trace::{KernelEvent, KernelEventKind, Leg, ProbeKind, Way};

/// `EPERM`.
const NOT_PERMITTED: i32 = 1;

/// The kernel itself says that an XDP program dropped the probe where it should have arrived.
pub(super) fn told(loss: &Loss<'_>) -> Option<Verdict> {
    let (netns, link, program) = waiting(loss)?;
    let here = |event: &&KernelEvent| {
        let KernelEventKind::Dropped { reason, symbol } = &event.kind else { return false };
        let in_xdp = reason.is("XDP") || symbol.as_ref().is_some_and(|symbol| symbol.contains("xdp"));
        in_xdp && event.netns.as_ref() == Some(&netns.name) && told::is_loss_of_probe(loss.observation, event)
    };
    loss.observation.kernel.iter().find(here)?;
    Some(verdict(loss, netns, link, program))
}

/// An XDP program stands where the packet should have arrived, and nobody saw it there: a program that may drop it.
pub(super) fn likely(loss: &Loss<'_>) -> Option<Verdict> {
    let (netns, link, program) = waiting(loss)?;
    Some(verdict(loss, netns, link, program))
}

/// The XDP program at the other end of the wire by which the packet, or the question for its next hop, left.
fn waiting<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link, &'a Program)> {
    let (left, leg) = match loss.stage {
        Stage::Left(link) => (link, loss.leg),
        Stage::Made | Stage::Entered(_) => {
            let unresolved = Unresolved::of(loss)?;
            (unresolved.link, Leg::Question)
        }
    };
    let (netns, link) = loss.world.peer(loss.netns, left)?;
    let program = netns.programs.iter().find(|program| program.link == link.index && program.place.is_xdp())?;
    let arrived = loss.observation.journey.seen(leg, &netns.name, link.index, Way::In);
    (loss.observation.watches(&netns.name) && !arrived).then_some((netns, link, program))
}

fn verdict(loss: &Loss<'_>, netns: &Namespace, link: &Link, program: &Program) -> Verdict {
    let name = program.name.as_deref().map_or_else(|| format!("number {}", program.id), str::to_owned);
    let object = format!("{} program {name} on {}", program.place.name(), link.name);
    let summary = format!(
        "{} left {} and was not seen to come in at {} of {}, where an XDP program sees it first",
        evidence::leg_name(loss.leg),
        loss.here(),
        link.name,
        netns.name
    );
    let text = format!("{} runs {} program {name}", link.name, program.place.name());
    let mut verdict = Verdict::new(Cause::BpfDrop, Place::at(&netns.name, &link.name), object, summary)
        .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, text).differs("no program", name));
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and not behind it"));
    }
    let mode = match program.place {
        ProgramPlace::XdpDriver => XdpMode::Driver,
        ProgramPlace::XdpHardware => XdpMode::Hardware,
        _ => XdpMode::Generic,
    };
    verdict.mended_by(mend::without_xdp(netns, link, mode)).advised(
        "nsgate cannot put the program back: find its owner first (bpftool net, bpftool prog). It opens what the program \
         held back; an agent that owns it attaches it again, so change its policy there.",
    )
}

/// A program of the control group that nsgate runs in refused what it sent.
pub(super) fn of_sender(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.refused_with()? != NOT_PERMITTED {
        return None;
    }
    let group = loss.world.machine.control_group.as_deref()?;
    let refuses = |program: &&AttachedProgram| program.sees(group) && asked_by(program, loss);
    let program = loss.world.machine.programs.iter().find(refuses)?;
    let MachinePlace::ControlGroup { path, hook, .. } = &program.place else { return None };
    let name = program.name.as_deref().map_or_else(|| format!("number {}", program.id), str::to_owned);
    let object = format!("BPF program {name} ({hook}) of control group {path}");
    let summary = format!("the sender's own system call is refused, and {object} is asked about it");
    let words = evidence::sender_words(loss).unwrap_or_default();
    Some(
        Verdict::new(Cause::BpfDrop, Place::all_of(loss.here()), object, summary)
            .shown_by(Evidence::new(EvidenceKind::Sender, loss.here(), words))
            .advised(
                "The program belongs to whoever made the control group (for a unit of systemd: IPAddressDeny=, \
                 RestrictNetworkInterfaces=). Change it there, or trace from a shell outside of that group.",
            ),
    )
}

/// Whether a program of a control group is asked about what the probe does.
fn asked_by(program: &AttachedProgram, loss: &Loss<'_>) -> bool {
    let MachinePlace::ControlGroup { hook, .. } = &program.place else { return false };
    let family = match loss.family() {
        Family::V4 => "4",
        Family::V6 => "6",
    };
    let of_probe = match loss.observation.probe.kind {
        ProbeKind::Icmp => Vec::new(),
        ProbeKind::Tcp(_) => vec![format!("cgroup_inet{family}_connect")],
        ProbeKind::Udp(_) => vec![format!("cgroup_udp{family}_sendmsg"), format!("cgroup_inet{family}_connect")],
    };
    ["cgroup_inet_egress", "cgroup_inet_sock_create"].contains(&hook.as_str()) || of_probe.contains(hook)
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{AttachedProgram, LinkIndex, MachinePlace, Program, ProgramPlace};
    use crate::trace::{Ending, Leg};

    fn program(fixture: &mut Fixture, place: ProgramPlace) {
        let program = Program { link: LinkIndex(2), place, id: 9, name: Some("drop_ipv4".into()) };
        fixture.netns("host").programs.push(program);
    }

    #[test]
    fn a_program_that_sees_frames_before_anybody_else() {
        for fixture in [Fixture::experiment(), Fixture::experiment6()] {
            let mut fixture = fixture;
            fixture.request_seen(&["ns_1:veth2>"]);
            assert_ne!(fixture.verdict().0, "bpf-drop");
            program(&mut fixture, ProgramPlace::XdpGeneric);
            let (cause, place, object) = fixture.verdict();
            assert_eq!((cause.as_str(), place.as_str()), ("bpf-drop", "host/veth3"));
            assert_eq!(object, "XDP (generic) program drop_ipv4 on veth3");
            assert_eq!(fixture.explained().fix.commands(), ["ip link set veth3 xdpgeneric off"]);
            fixture.request_seen(&["host:veth3<"]);
            assert_ne!(fixture.verdict().0, "bpf-drop", "it let the packet pass");
        }
    }

    #[test]
    fn a_program_on_the_way_out_is_none_that_waits_at_the_other_end() {
        let mut fixture = Fixture::experiment();
        fixture.seen(Leg::Request, "1.1.1.2", "114.114.114.114", &["ns_1:veth2>"]);
        program(&mut fixture, ProgramPlace::TcxEgress);
        assert_ne!(fixture.verdict().0, "bpf-drop");
    }

    #[test]
    fn a_program_of_the_senders_control_group() {
        let mut fixture = Fixture::experiment();
        let words = "Operation not permitted".to_owned();
        fixture.observation.ending = Ending::Refused { operation: "send", errno: 1, words };
        fixture.world.machine.control_group = Some("/system.slice/web.service".into());
        assert_ne!(fixture.verdict().0, "bpf-drop");
        let place =
            |path: &str| MachinePlace::ControlGroup { path: path.into(), number: 3, hook: "cgroup_inet_egress".into() };
        let of = |path| AttachedProgram { place: place(path), id: 7, name: Some("sd_fw_egress".into()) };
        fixture.world.machine.programs = vec![of("/user.slice")];
        assert_ne!(fixture.verdict().0, "bpf-drop", "the sender is in another group");
        fixture.world.machine.programs.push(of("/system.slice"));
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("bpf-drop", "ns_1"));
        assert_eq!(object, "BPF program sd_fw_egress (cgroup_inet_egress) of control group /system.slice");
    }
}
