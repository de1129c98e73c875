//! Sets of ipset, which extensions of iptables ask by number.
//!
//! A set is of a type such as `hash:ip,port`: how it is kept, and of what parts its members are made. What a rule asks
//! says for each part whether the packet's source or destination is meant.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::super::wire::text;
use super::Expression;
use super::xt::Info;
use crate::model::Mac;

/// A set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IpSet {
    /// Its name.
    pub name: String,
    /// The number by which rules know it; none if only another set names it.
    pub index: Option<u16>,
    /// Its type, such as `hash:net,port`.
    pub kind: String,
    /// The family of its addresses (NFPROTO_IPV4 2, NFPROTO_IPV6 10); 0 where it has none.
    pub family: u8,
    /// Addresses are cut to this many bits before they are looked up.
    pub netmask: Option<u8>,
    /// The bits of a mark that are looked at.
    pub mark_mask: Option<u32>,
    /// After how many seconds members vanish; 0: they stay unless one says otherwise.
    pub timeout: Option<u32>,
    /// How many members it may have.
    pub size: Option<u32>,
    /// Its members.
    pub members: Vec<Member>,
    /// How many more there are, which were not kept.
    pub more: u64,
}

/// A member of a set: the parts that its type asks for, and what is said of it besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The address or network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub net: Option<IpNet>,
    /// The second address or network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub second: Option<IpNet>,
    /// The transport protocol that the port belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// The port; for ICMP the type and the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The link-layer address.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub mac: Option<Mac>,
    /// The interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The interface is a port of a bridge.
    #[serde(default, skip_serializing_if = "is_false")]
    pub physical: bool,
    /// Every interface is meant whose name begins so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wildcard: bool,
    /// The packet's mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Another set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// What lies in it is not in the set.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nomatch: bool,
    /// In how many seconds it vanishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// The comment its maker left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a rule asks of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetQuestion {
    /// The set's number.
    pub index: u16,
    /// How many parts are given.
    pub parts: u8,
    /// For each part, whether it is taken from the packet's source.
    pub source: [bool; 3],
    /// The rule goes on if the packet is *not* in the set.
    pub inverted: bool,
    /// Only members that except what lies in them count.
    pub only_exceptions: bool,
    /// The counters of the member are asked for as well.
    pub counters: bool,
}

/// IPSET_FLAG_RETURN_NOMATCH, which later revisions have elsewhere.
const ONLY_EXCEPTIONS: u32 = 1 << 7;
/// The number that stands for no set.
const NO_SET: u16 = u16::MAX;

impl SetQuestion {
    /// What a match of this revision asks (`struct xt_set_info_match_v4` and its forerunners).
    pub fn of_match(revision: u32, info: &[u8]) -> Option<Self> {
        let bytes = Info::new(info);
        let question = Self::read(revision, &bytes, 0)?;
        let (counters, flags) = match revision {
            3 => (bytes.u8(8)? != 0 || bytes.u8(24)? != 0, bytes.u32(40)?),
            4 => (bytes.u8(16)? != 0 || bytes.u8(32)? != 0, bytes.u32(40)?),
            _ => (false, 0),
        };
        let only_exceptions = question.only_exceptions || flags & ONLY_EXCEPTIONS != 0;
        Some(Self { only_exceptions, counters, ..question })
    }

    /// The sets that a target of this revision adds to, deletes from and maps by, in this order
    /// (`struct xt_set_info_target_v3` and its forerunners).
    pub fn of_target(revision: u32, info: &[u8]) -> [Option<Self>; 3] {
        let bytes = Info::new(info);
        let places =
            if revision == 0 { [Some(0), Some(32), None] } else { [Some(0), Some(4), (revision >= 3).then_some(8)] };
        places.map(|at| Self::read(revision, &bytes, at?))
    }

    /// `struct xt_set_info`, or the first form of it; none if no set is meant.
    fn read(revision: u32, bytes: &Info<'_>, at: usize) -> Option<Self> {
        let index = bytes.u16(at).filter(|index| *index != NO_SET)?;
        let (parts, flags) = if revision == 0 { (at + 28, at + 29) } else { (at + 2, at + 3) };
        let (parts, flags) = (bytes.u8(parts)?, bytes.u8(flags)?);
        let source = [1, 2, 3].map(|bit: u8| flags >> bit & 1 == 1);
        let (inverted, only_exceptions) = (flags & 1 != 0, u32::from(flags) & ONLY_EXCEPTIONS != 0);
        Some(Self { index, parts, source, inverted, only_exceptions, counters: false })
    }

    /// The directions as iptables writes them: `src,dst`.
    pub fn directions(&self) -> String {
        let word = |source: &bool| if *source { "src" } else { "dst" };
        let given = usize::from(self.parts).clamp(1, self.source.len());
        self.source[..given].iter().map(word).collect::<Vec<_>>().join(",")
    }
}

impl Expression {
    /// The numbers of the sets of ipset that it names, in their order.
    pub fn set_numbers(&self) -> Vec<u16> {
        match self {
            Self::XtMatch { name, revision, info } if name == "set" => {
                SetQuestion::of_match(*revision, info).iter().map(|question| question.index).collect()
            }
            Self::XtTarget { name, revision, info } if name == "SET" => {
                SetQuestion::of_target(*revision, info).iter().flatten().map(|question| question.index).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The same with the names of the sets, which the kernel's own form lacks.
    #[must_use]
    pub fn naming_sets(self, names: Vec<String>) -> Self {
        match self {
            Self::XtMatch { name, revision, info } if name == "set" => {
                Self::XtSet { target: false, revision, info, names }
            }
            Self::XtTarget { name, revision, info } if name == "SET" => {
                Self::XtSet { target: true, revision, info, names }
            }
            other => other,
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |net: &IpNet| {
            if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
        };
        let port = self.port.map(|port| match self.protocol {
            Some(6) => format!("tcp:{port}"),
            Some(17) => format!("udp:{port}"),
            Some(132) => format!("sctp:{port}"),
            Some(protocol) => format!("{protocol}:{port}"),
            None => port.to_string(),
        });
        let physical = if self.physical { "physdev:" } else { "" };
        let link = self.link.as_ref().map(|name| format!("{physical}{name}{}", if self.wildcard { "+" } else { "" }));
        let parts = [
            self.net.as_ref().map(bare),
            port,
            self.mac.map(|mac| mac.to_string()),
            link,
            self.mark.map(|mark| format!("{mark:#x}")),
            self.second.as_ref().map(bare),
            self.set.clone(),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(","))?;
        f.write_str(if self.nomatch { " nomatch" } else { "" })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_in_all_their_forms() {
        let plain = SetQuestion::of_match(1, &[7, 0, 2, 0b0000_0010]).unwrap();
        assert_eq!((plain.index, plain.directions().as_str(), plain.inverted), (7, "src,dst", false));
        let inverted = SetQuestion::of_match(4, &[&[7, 0, 1, 1][..], &[0; 44]].concat()).unwrap();
        assert_eq!((inverted.directions().as_str(), inverted.inverted, inverted.counters), ("dst", true, false));
        let mut counting = [0; 48];
        counting[16] = 2;
        assert!(SetQuestion::of_match(4, &counting).unwrap().counters);
        let mut first = vec![0; 32];
        first[..2].copy_from_slice(&[3, 0]);
        first[28..30].copy_from_slice(&[3, 0b1000]);
        assert_eq!(SetQuestion::of_match(0, &first).unwrap().directions(), "dst,dst,src");
        assert_eq!(SetQuestion::of_match(1, &[7, 0, 2]), None);
        let [add, delete, map] = SetQuestion::of_target(3, &[1, 0, 1, 2, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
        assert_eq!((add.map(|q| q.index), delete, map), (Some(1), None, None));
    }

    #[test]
    fn members_are_written_as_ipset_writes_them() {
        let member = Member {
            net: Some("10.0.0.0/8".parse().unwrap()),
            protocol: Some(6),
            port: Some(80),
            second: Some("10.1.1.1/32".parse().unwrap()),
            nomatch: true,
            ..Member::default()
        };
        assert_eq!(member.to_string(), "10.0.0.0/8,tcp:80,10.1.1.1 nomatch");
        let link = Member { link: Some("eth".into()), wildcard: true, ..Member::default() };
        assert_eq!(link.to_string(), "eth+");
    }
}
