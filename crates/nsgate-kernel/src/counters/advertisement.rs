//! Which interfaces have heard routers: `/proc/thread-self/net/dev_snmp6` counts by interface what came in, also what
//! the namespace does not act on.

use nsgate_core::model::LinkName;

use super::read;
use crate::error::Error;

/// The kernel's word for router advertisements; it is there once one came.
const HEARD: &str = "Icmp6InRouterAdvertisements";

/// The interfaces of the calling thread's namespace by which router advertisements ever came, and how many.
pub fn advertisements_here() -> Result<Vec<(LinkName, u64)>, Error> {
    // A kernel without IPv6 has no such directory.
    let Ok(files) = std::fs::read_dir("/proc/thread-self/net/dev_snmp6") else { return Ok(Vec::new()) };
    let mut heard = Vec::new();
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        // It may be gone again.
        let (Ok(link), Some(text)) = (name.parse::<LinkName>(), read(&format!("dev_snmp6/{name}"))?) else { continue };
        let count = text.lines().find_map(|line| line.strip_prefix(HEARD)?.trim().parse::<u64>().ok());
        heard.extend(count.filter(|count| *count > 0).map(|count| (link, count)));
    }
    heard.sort();
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};
    use std::time::{Duration, Instant};

    use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};

    use super::*;
    use crate::netlink::{Protocol, Socket};
    use crate::netns::Netns;
    use crate::sandbox::test;
    use crate::{apply, rtnetlink, settle};

    /// Sends one advertisement to everybody behind w0.
    fn advertise() {
        let index = rtnetlink::index_of(&mut Socket::open(Protocol::Route).unwrap(), &"w0".parse().unwrap()).unwrap();
        let raw = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap();
        sockopt::set_ipv6_multicast_hops(&raw, 255).unwrap();
        let everybody = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index.0);
        let mut advertisement = [0; 16];
        advertisement[0] = 134;
        sendto(&raw, &advertisement, SendFlags::empty(), &everybody).unwrap();
    }

    #[test]
    fn only_what_came_in_is_told_and_by_which_interface() {
        test(|| {
            let lines = [
                "ip netns add world",
                "ip link add eth2 type veth peer name w0 netns world",
                "ip link add eth3 type veth peer name w1",
                "sysctl -w net.ipv6.conf.eth2.accept_ra=0",
                "ip link set eth2 up",
                "ip -n world link set w0 up",
                "ip -n world addr add fe80::1/64 dev w0 nodad",
            ];
            for line in lines {
                apply::perform(&line.parse().unwrap()).unwrap();
            }
            let world = Netns::open(&"world".parse().unwrap()).unwrap();
            let both = [Netns::host().unwrap(), world];
            assert_eq!(settle::settle(&both, Duration::from_secs(20)).unwrap(), []);
            assert_eq!(advertisements_here().unwrap(), []);
            both[1].run(advertise).unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while advertisements_here().unwrap().is_empty() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert_eq!(advertisements_here().unwrap(), [("eth2".parse().unwrap(), 1)]);
        });
    }
}
