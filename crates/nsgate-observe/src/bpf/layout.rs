//! Where the running kernel keeps what the programs read, and which tracepoints it has.
//!
//! Everything is looked up by name in the kernel's own type description. What a program cannot do without is an error
//! that names it; what only some kernels have is absent.

use super::btf::{Btf, Kind, TypeId};
use super::record;

/// The places of what the programs read.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) buffer: Buffer,
    /// `net_device.ifindex` and `.nd_net.net`.
    pub(super) device: Device,
    /// `net.ns.inum`.
    pub(super) netns_number: i16,
    /// `sock.__sk_common.skc_net.net`.
    pub(super) socket_netns: i16,
    /// `nf_hook_state`; none on kernels without taps.
    pub(super) hook: Option<Hook>,
    /// `neighbour`; none on kernels that keep it otherwise.
    pub(super) neighbour: Option<Neighbour>,
    /// How memory that has no type can be read; none where it must be copied first.
    pub(super) cast: Option<Cast>,
    /// The clock that steps with the real-time clock can be read.
    pub(super) atomic_time: bool,
    /// Programs can have names of functions printed.
    pub(super) prints: bool,
}

/// The fields of `sk_buff`.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) protocol: i16,
    pub(super) head: i16,
    pub(super) data: i16,
    pub(super) network_header: i16,
    pub(super) tail: i16,
    pub(super) device: i16,
    pub(super) arrival_link: i16,
    pub(super) mark: i16,
    pub(super) length: i16,
    pub(super) route: i16,
    pub(super) socket: i16,
    /// The byte with the packet type, and how far the type is shifted in it.
    pub(super) packet_type: (i16, i32),
}

/// The fields of `net_device`.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) index: i16,
    pub(super) netns: i16,
}

/// The fields of `nf_hook_state`.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) number: i16,
    pub(super) family: i16,
    pub(super) input: i16,
    pub(super) output: i16,
    pub(super) netns: i16,
}

/// The fields of `neighbour` and `neigh_table`.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) device: i16,
    pub(super) state: i16,
    pub(super) address: i16,
    pub(super) table: i16,
    pub(super) table_family: i16,
}

/// How to read memory that has no type: the function that gives it one, and the types to give.
#[derive(Debug)]
pub(super) struct Cast {
    /// `bpf_rdonly_cast`.
    pub(super) function: TypeId,
    /// `iphdr`.
    pub(super) ipv4: TypeId,
    /// `ipv6hdr`.
    pub(super) ipv6: TypeId,
    /// `in6_addr`: sixteen bytes that may be read in any size.
    pub(super) sixteen: TypeId,
    /// `dst_entry`, and the device in it.
    pub(super) route: TypeId,
    pub(super) route_device: i16,
    /// `sk_buff`, `sock`, `neighbour` and `nf_hook_state`: what programs are given has these types already, but the
    /// verifier takes milliseconds for each pointer in them, unless it is told by a cast to trust nothing.
    pub(super) buffer: TypeId,
    pub(super) socket: TypeId,
    pub(super) neighbour: TypeId,
    pub(super) hook: TypeId,
}

/// A tracepoint of the running kernel, and which of its arguments is what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracepoint {
    pub(super) name: &'static str,
    pub(super) kind: record::Kind,
    /// The type of its programs.
    pub(super) id: TypeId,
    /// The number of the argument that is the packet, or the neighbour.
    pub(super) subject: i16,
    /// The address where it happened.
    pub(super) location: Option<i16>,
    /// Why.
    pub(super) reason: Option<i16>,
    /// The socket that the packet was for.
    pub(super) socket: Option<i16>,
    /// The first of two numbers that tell more.
    pub(super) numbers: Option<i16>,
}

/// The field that the running kernel lacks, or keeps where programs cannot reach it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Missing(String);

/// The tracepoints that are of use, and what each tells.
const TRACEPOINTS: [(&str, record::Kind); 9] = [
    ("btf_trace_kfree_skb", record::Kind::Dropped),
    ("btf_trace_consume_skb", record::Kind::Consumed),
    ("btf_trace_net_dev_queue", record::Kind::Queued),
    ("btf_trace_net_dev_start_xmit", record::Kind::Transmitted),
    ("btf_trace_netif_receive_skb", record::Kind::Received),
    ("btf_trace_netif_rx", record::Kind::Received),
    ("btf_trace_icmp_send", record::Kind::IcmpSent),
    ("btf_trace_tcp_send_reset", record::Kind::ResetSent),
    ("btf_trace_neigh_update", record::Kind::Neighbour),
];

/// What all tracepoints' types begin with.
const PREFIX: &str = "btf_trace_";

/// Everything that is looked up, in one pass.
const STRUCTURES: [&str; 10] =
    ["sk_buff", "net_device", "net", "sock", "dst_entry", "nf_hook_state", "neighbour", "iphdr", "ipv6hdr", "in6_addr"];

/// What was found by one pass over all types.
pub(super) struct Kernel<'a> {
    btf: &'a Btf,
    found: std::collections::HashMap<(Kind, String), TypeId>,
}

impl<'a> Kernel<'a> {
    pub(super) fn of(btf: &'a Btf) -> Self {
        let mut wanted: Vec<(Kind, &str)> = STRUCTURES.iter().map(|name| (Kind::Struct, *name)).collect();
        wanted.extend(TRACEPOINTS.iter().map(|(name, _)| (Kind::Typedef, *name)));
        wanted.push((Kind::Function, "bpf_rdonly_cast"));
        wanted.push((Kind::Enum, "skb_drop_reason"));
        wanted.push((Kind::Enum, "bpf_func_id"));
        wanted.push((Kind::Enum, "bpf_link_type"));
        Self { btf, found: btf.find(&wanted) }
    }

    /// The places of everything that programs read.
    pub(super) fn layout(&self) -> Result<Layout, Missing> {
        Ok(Layout {
            buffer: self.buffer()?,
            device: Device {
                index: self.place("net_device", &["ifindex"]).ok_or_else(|| Missing("net_device.ifindex".into()))?,
                netns: self
                    .place("net_device", &["nd_net", "net"])
                    .ok_or_else(|| Missing("net_device.nd_net".into()))?,
            },
            netns_number: self.place("net", &["ns", "inum"]).ok_or_else(|| Missing("net.ns.inum".into()))?,
            socket_netns: self
                .place("sock", &["__sk_common", "skc_net", "net"])
                .ok_or_else(|| Missing("sock.skc_net".into()))?,
            hook: self.hook(),
            neighbour: self.neighbour(),
            cast: self.cast(),
            atomic_time: self.has_value("bpf_func_id", "BPF_FUNC_ktime_get_tai_ns"),
            prints: self.has_value("bpf_func_id", "BPF_FUNC_snprintf"),
        })
    }

    /// The tracepoints of use, or the names of those that this kernel has not, or not as it is known here.
    pub(super) fn tracepoints(&self) -> Vec<Result<Tracepoint, (record::Kind, &'static str)>> {
        let find =
            |(name, kind): &(&'static str, _)| self.tracepoint(name, *kind).ok_or((*kind, &name[PREFIX.len()..]));
        TRACEPOINTS.iter().map(find).collect()
    }

    /// The names of the reasons for which packets are dropped, without the beginning that they share.
    pub(super) fn drop_reasons(&self) -> Vec<(u32, String)> {
        let short = |name: String| match name.strip_prefix("SKB_DROP_REASON_").or(name.strip_prefix("SKB_")) {
            Some(short) => short.to_owned(),
            None => name,
        };
        let of = self.found.get(&(Kind::Enum, "skb_drop_reason".to_owned()));
        let values = of.map(|of| self.btf.values(*of)).unwrap_or_default();
        values.into_iter().map(|(number, name)| (number, short(name))).collect()
    }

    fn buffer(&self) -> Result<Buffer, Missing> {
        let place = |field| self.place("sk_buff", &[field]).ok_or_else(|| Missing(format!("sk_buff.{field}")));
        Ok(Buffer {
            protocol: place("protocol")?,
            head: place("head")?,
            data: place("data")?,
            network_header: place("network_header")?,
            tail: place("tail")?,
            device: place("dev")?,
            arrival_link: place("skb_iif")?,
            mark: place("mark")?,
            length: place("len")?,
            route: place("_skb_refdst")?,
            socket: place("sk")?,
            packet_type: self.packet_type().ok_or_else(|| Missing("sk_buff.pkt_type".into()))?,
        })
    }

    /// The byte with the packet type. The kernel counts bits from the end that its byte order begins with.
    fn packet_type(&self) -> Option<(i16, i32)> {
        let member = self.btf.member(self.structure("sk_buff")?, "pkt_type")?;
        let (within, bits) = (member.bit % 8, member.bits?);
        let shift = if cfg!(target_endian = "little") { within } else { 8u32.checked_sub(within + bits)? };
        (bits == 3 && within <= 5).then_some((i16::try_from(member.bit / 8).ok()?, shift as i32))
    }

    fn hook(&self) -> Option<Hook> {
        let place = |field| self.place("nf_hook_state", &[field]);
        if !self.has_value("bpf_link_type", "BPF_LINK_TYPE_NETFILTER") {
            return None;
        }
        Some(Hook {
            number: place("hook")?,
            family: place("pf")?,
            input: place("in")?,
            output: place("out")?,
            netns: place("net")?,
        })
    }

    fn neighbour(&self) -> Option<Neighbour> {
        let place = |field| self.place("neighbour", &[field]);
        let table = self.btf.member(self.structure("neighbour")?, "tbl")?;
        let family = self.btf.member(self.btf.pointee(table.of)?, "family")?;
        Some(Neighbour {
            device: place("dev")?,
            state: place("nud_state")?,
            address: place("primary_key")?,
            table: place("tbl")?,
            table_family: whole(family.bit)?,
        })
    }

    fn cast(&self) -> Option<Cast> {
        Some(Cast {
            function: *self.found.get(&(Kind::Function, "bpf_rdonly_cast".to_owned()))?,
            ipv4: self.structure("iphdr")?,
            ipv6: self.structure("ipv6hdr")?,
            sixteen: self.structure("in6_addr")?,
            route: self.structure("dst_entry")?,
            route_device: self.place("dst_entry", &["dev"])?,
            buffer: self.structure("sk_buff")?,
            socket: self.structure("sock")?,
            neighbour: self.structure("neighbour")?,
            hook: self.structure("nf_hook_state")?,
        })
    }

    fn tracepoint(&self, name: &'static str, kind: record::Kind) -> Option<Tracepoint> {
        let id = *self.found.get(&(Kind::Typedef, name.to_owned()))?;
        // The first argument is the tracepoint's own; programs do not get it.
        let given = self.btf.parameters(id)?.into_iter().skip(1).collect::<Vec<_>>();
        let find = |is: &dyn Fn(TypeId) -> bool| given.iter().position(|of| is(*of)).map(|index| index as i16);
        let points_to =
            |name: &str| find(&|of| self.btf.pointee(of).is_some_and(|of| self.btf.name(of) == Some(name.as_bytes())));
        let subject = points_to(if kind == record::Kind::Neighbour { "neighbour" } else { "sk_buff" })?;
        let is_int = |of: TypeId| self.btf.kind(self.btf.plain(of)) == Some(Kind::Int);
        let is_reason = |of: TypeId| {
            let of = self.btf.plain(of);
            self.btf.kind(of) == Some(Kind::Enum) && self.btf.name(of) == Some(b"skb_drop_reason")
        };
        let numbers = match kind {
            // Type and code, or the new state and what follows it.
            record::Kind::IcmpSent | record::Kind::Neighbour => {
                Some(given.windows(2).position(|two| is_int(two[0]) && is_int(two[1]))? as i16)
            }
            _ => None,
        };
        Some(Tracepoint {
            name: &name[PREFIX.len()..],
            kind,
            id,
            subject,
            location: find(&|of| self.btf.pointee(of) == Some(TypeId(0))),
            reason: find(&is_reason),
            socket: if kind == record::Kind::Dropped { points_to("sock") } else { None },
            numbers,
        })
    }

    fn structure(&self, name: &str) -> Option<TypeId> {
        self.found.get(&(Kind::Struct, name.to_owned())).copied()
    }

    /// Where a field lies, or a field of a field.
    fn place(&self, structure: &str, path: &[&str]) -> Option<i16> {
        let mut of = self.structure(structure)?;
        let mut bit = 0u32;
        for name in path {
            let member = self.btf.member(of, name)?;
            (bit, of) = (bit.checked_add(member.bit)?, member.of);
        }
        whole(bit)
    }

    fn has_value(&self, enumeration: &str, name: &str) -> bool {
        let of = self.found.get(&(Kind::Enum, enumeration.to_owned()));
        of.is_some_and(|of| self.btf.values(*of).iter().any(|(_, value)| value == name))
    }
}

/// A place in bytes that an instruction can reach.
fn whole(bit: u32) -> Option<i16> {
    bit.is_multiple_of(8).then(|| i16::try_from(bit / 8).ok())?
}

#[cfg(test)]
mod tests {
    use super::super::btf::fixture::Builder;
    use super::*;

    /// What the tracepoint of this name is found to be, if programs get these arguments.
    fn found(name: &str, arguments: impl FnOnce(&mut Builder) -> Vec<TypeId>) -> Option<Tracepoint> {
        let mut b = Builder::default();
        let own = b.pointer(TypeId(0));
        let mut all = vec![own];
        all.extend(arguments(&mut b));
        let prototype = b.prototype(&all);
        let function = b.pointer(prototype);
        b.modified(Kind::Typedef, name, function);
        let btf = Btf::parse(b.build()).unwrap();
        Kernel::of(&btf).tracepoints().into_iter().find_map(Result::ok)
    }

    /// A pointer to a structure of this name that the tracepoint does not change.
    fn pointer(b: &mut Builder, name: &str) -> TypeId {
        let structure = b.structure(Kind::Struct, name, &[]);
        let constant = b.modified(Kind::Const, "", structure);
        b.pointer(constant)
    }

    #[test]
    fn a_drop_is_read_as_each_kernel_tells_it() {
        let first = |b: &mut Builder| vec![pointer(b, "sk_buff"), b.pointer(TypeId(0))];
        let with_reason = |b: &mut Builder| {
            let reason = b.enumeration("skb_drop_reason", &[(2, "SKB_DROP_REASON_NOT_SPECIFIED")]);
            [first(b), vec![reason]].concat()
        };
        let with_socket = |b: &mut Builder| [with_reason(b), vec![pointer(b, "sock")]].concat();
        let drop = |found: Option<Tracepoint>| {
            let found = found.unwrap();
            assert_eq!((found.name, found.kind, found.numbers), ("kfree_skb", record::Kind::Dropped, None));
            (found.subject, found.location, found.reason, found.socket)
        };
        assert_eq!(drop(found("btf_trace_kfree_skb", first)), (0, Some(1), None, None));
        assert_eq!(drop(found("btf_trace_kfree_skb", with_reason)), (0, Some(1), Some(2), None));
        assert_eq!(drop(found("btf_trace_kfree_skb", with_socket)), (0, Some(1), Some(2), Some(3)));
        assert_eq!(found("btf_trace_kfree_skb", |b| vec![pointer(b, "sock")]), None);
    }

    #[test]
    fn arguments_are_found_by_what_they_are() {
        let reset = found("btf_trace_tcp_send_reset", |b| vec![pointer(b, "sock"), pointer(b, "sk_buff")]).unwrap();
        assert_eq!((reset.subject, reset.socket), (1, None));
        let numbers = |b: &mut Builder| {
            let int = b.int("int", 4);
            vec![pointer(b, "sk_buff"), int, int]
        };
        assert_eq!(found("btf_trace_icmp_send", numbers).unwrap().numbers, Some(1));
        assert_eq!(found("btf_trace_icmp_send", |b| vec![pointer(b, "sk_buff")]), None);
        let neighbour = |b: &mut Builder| {
            let byte = b.int("u8", 1);
            vec![pointer(b, "neighbour"), b.pointer(byte), byte, byte]
        };
        let neighbour = found("btf_trace_neigh_update", neighbour).unwrap();
        assert_eq!((neighbour.subject, neighbour.numbers), (0, Some(2)));
    }

    #[test]
    fn what_a_kernel_lacks_is_named() {
        let mut b = Builder::default();
        b.enumeration("skb_drop_reason", &[(1, "SKB_CONSUMED"), (9, "SKB_DROP_REASON_IP_CSUM"), (10, "OTHER")]);
        let btf = Btf::parse(b.build()).unwrap();
        let kernel = Kernel::of(&btf);
        let missing = kernel.layout().unwrap_err();
        assert_eq!(missing.to_string(), "sk_buff.protocol");
        assert!(kernel.tracepoints().contains(&Err((record::Kind::Dropped, "kfree_skb"))));
        let reasons = [(1, "CONSUMED"), (9, "IP_CSUM"), (10, "OTHER")].map(|(number, name)| (number, name.to_owned()));
        assert_eq!(kernel.drop_reasons(), reasons);
    }
}
