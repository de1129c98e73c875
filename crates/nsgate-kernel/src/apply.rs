//! Does steps: the one place that knows which part of the kernel each kind of step is for.

use nsgate_core::plan::{Action, Step};

use crate::netlink::{Protocol, Socket};
use crate::netns::{self, Netns};
use crate::{Error, Kind, rtnetlink, sysctl};

/// Does one step, in the namespace that it belongs to.
pub fn perform(step: &Step) -> Result<(), Error> {
    match &step.action {
        Action::AddNetns(name) => netns::create(name).map(drop),
        Action::DeleteNetns(name) => netns::delete(name),
        Action::Sysctl { name, value, .. } => sysctl::write(&Netns::open(&step.netns)?, name, value).map(drop),
        Action::Nft { .. } => {
            let why = "changes to the packet filter are not supported yet";
            Err(Error::explained(Kind::MissingFeature, "do", format!("`{step}`"), why))
        }
        _ => Netns::open(&step.netns)?.run(|| rtnetlink::perform(&mut Socket::open(Protocol::Route)?, step))?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::test;

    #[test]
    fn steps_of_every_part_are_done_where_they_belong() {
        test(|| {
            for line in [
                "ip netns add ns_1",
                "ip link add veth3 type veth peer name veth2 netns ns_1",
                "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
                "ip -n ns_1 link set veth2 up",
                "ip link set veth3 up",
                "ip -n ns_1 route add default via 1.1.1.3",
                "ip netns exec ns_1 sysctl -w net.ipv4.ip_forward=1",
                "ip netns del ns_1",
            ] {
                perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
            }
            assert_eq!(Netns::open(&"ns_1".parse().unwrap()).unwrap_err().kind(), Kind::NotFound);
            let again = perform(&"ip netns del ns_1".parse().unwrap()).unwrap_err();
            assert_eq!(again.kind(), Kind::NotFound, "{again}");
        });
    }
}
