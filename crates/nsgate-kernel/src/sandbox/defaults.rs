//! The settings that a sandbox's namespaces start with: those the kernel is built with.
//!
//! A new namespace copies its IPv4 settings from the machine's first one. So whether it forwards, and whether it
//! filters by reverse path, would depend on what the machine was set to: a lab would show one thing here, another there.

use nsgate_core::model::Sysctl;

use crate::{Error, Kind, sysctl};

/// The settings of `net.ipv4.conf` that decide a packet's fate, and what they are for `all` and for interfaces.
/// Forwarding is the first because the kernel changes others along with it.
const SETTINGS: [(&str, &str, &str); 18] = [
    ("forwarding", "0", "0"),
    ("accept_local", "0", "0"),
    ("accept_redirects", "1", "1"),
    ("accept_source_route", "0", "1"),
    ("arp_accept", "0", "0"),
    ("arp_announce", "0", "0"),
    ("arp_filter", "0", "0"),
    ("arp_ignore", "0", "0"),
    ("bc_forwarding", "0", "0"),
    ("drop_gratuitous_arp", "0", "0"),
    ("drop_unicast_in_l2_multicast", "0", "0"),
    ("ignore_routes_with_linkdown", "0", "0"),
    ("log_martians", "0", "0"),
    ("proxy_arp", "0", "0"),
    ("route_localnet", "0", "0"),
    ("rp_filter", "0", "0"),
    ("send_redirects", "1", "1"),
    ("src_valid_mark", "0", "0"),
];

/// Gives the calling thread's namespace the kernel's own settings. It is new: it has no interface but `lo`.
pub(crate) fn restore() -> Result<(), Error> {
    for (setting, all, interface) in SETTINGS {
        for (place, value) in [("all", all), ("default", interface), ("lo", interface)] {
            let Ok(name) = format!("net.ipv4.conf.{place}.{setting}").parse::<Sysctl>() else { continue };
            match sysctl::read_here(&name) {
                Ok(found) if found == value => {}
                Ok(_) => drop(sysctl::write_here(&name, value)?),
                // An older kernel that lacks the setting does what its default says.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::{Netns, create};
    use crate::sandbox::test;

    fn values() -> Vec<String> {
        let mut values = Vec::new();
        for place in ["all", "default", "lo"] {
            for (setting, ..) in SETTINGS {
                let name: Sysctl = format!("net.ipv4.conf.{place}.{setting}").parse().unwrap();
                values.push(format!("{name}={}", sysctl::read_here(&name).unwrap()));
            }
        }
        values
    }

    #[test]
    fn what_was_set_otherwise_is_set_back() {
        test(|| {
            let fresh = values();
            for place in ["all", "default", "lo"] {
                for (setting, value) in [("forwarding", "1"), ("rp_filter", "2"), ("accept_redirects", "0")] {
                    sysctl::write_here(&format!("net.ipv4.conf.{place}.{setting}").parse().unwrap(), value).unwrap();
                }
            }
            assert_ne!(values(), fresh);
            restore().unwrap();
            assert_eq!(values(), fresh);
        });
    }

    #[test]
    fn every_namespace_of_a_sandbox_starts_alike() {
        test(|| {
            let blue = create(&"blue".parse().unwrap()).unwrap();
            let own = Netns::host().unwrap().run(values).unwrap();
            assert_eq!(blue.run(values).unwrap(), own);
            assert!(own.contains(&"net.ipv4.conf.all.forwarding=0".to_owned()), "{own:?}");
        });
    }
}
