//! The running kernel's description of its own types (BTF), as far as the programs need it.
//!
//! It tells where the fields of the kernel's structures lie, which arguments a tracepoint has and how the values of an
//! enumeration are called. Nothing is believed: every offset is checked, every walk is bounded, and what is not there or
//! makes no sense is absent. The format is that of Documentation/bpf/btf.rst.

use std::collections::HashMap;

/// The number of a type; 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TypeId(pub(super) u32);

/// The types of a kernel.
#[derive(Debug)]
pub(super) struct Btf {
    bytes: Vec<u8>,
    /// Where the names begin.
    names: usize,
    /// Where each type begins, by its number less one.
    types: Vec<u32>,
}

/// What a type is (BTF_KIND_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Int = 1,
    Pointer = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Forward = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Function = 12,
    Prototype = 13,
    Variable = 14,
    Section = 15,
    Float = 16,
    DeclarationTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

/// A field of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Where it begins, in bits.
    pub(super) bit: u32,
    /// How many bits it has, if it is a bit field.
    pub(super) bits: Option<u32>,
    /// What it is.
    pub(super) of: TypeId,
}

/// Why the description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it does not begin as a type description of this machine")]
    Header,
    #[error("type {0} is cut short or of an unknown kind")]
    Type(u32),
}

/// More bytes than any kernel has types for.
pub(super) const LARGEST: u64 = 64 << 20;
/// More modifiers than any type has in front of it.
const DEEPEST: usize = 16;
/// More fields than any structure has, those of its nameless parts included.
const MOST_MEMBERS: u32 = 1 << 16;
/// What the description begins with.
const MAGIC: u16 = 0xeb9f;
/// The length of the part that all types begin with.
const COMMON: usize = 12;

impl Btf {
    /// Reads a description.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let word = |offset: usize| long(&bytes, offset).map(|word| word as usize).ok_or(Malformed::Header);
        let magic = bytes.first_chunk().map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(MAGIC) || bytes.len() as u64 > LARGEST {
            return Err(Malformed::Header);
        }
        let header = word(4)?;
        let section = |offset: usize, length: usize| {
            let start = header.checked_add(word(offset)?).ok_or(Malformed::Header)?;
            let end = start.checked_add(word(length)?).ok_or(Malformed::Header)?;
            if end <= bytes.len() { Ok(start..end) } else { Err(Malformed::Header) }
        };
        let (types, names) = (section(8, 12)?, section(16, 20)?);
        // The names are last in what the kernel gives, and end with a zero.
        if names.end != bytes.len() || bytes.last() != Some(&0) {
            return Err(Malformed::Header);
        }
        let types = starts(&bytes[..types.end], types.start)?;
        Ok(Self { names: names.start, types, bytes })
    }

    /// Finds types by kind and name, all in one pass.
    pub(super) fn find(&self, wanted: &[(Kind, &str)]) -> HashMap<(Kind, String), TypeId> {
        let mut found = HashMap::new();
        let mut names: HashMap<&[u8], Vec<Kind>> = HashMap::new();
        for (kind, name) in wanted {
            names.entry(name.as_bytes()).or_default().push(*kind);
        }
        // Most names are ruled out by their length alone.
        let longest = names.keys().map(|name| name.len()).max().unwrap_or(0);
        let mut lengths = vec![false; longest + 1];
        for name in names.keys() {
            lengths[name.len()] = true;
        }
        let kinds = wanted.iter().fold(0u32, |kinds, (kind, _)| kinds | 1 << *kind as u32);
        for (index, &start) in self.types.iter().enumerate() {
            let Some(info) = long(&self.bytes, start as usize + 4) else { continue };
            if kinds & 1 << (info >> 24 & 31) == 0 {
                continue;
            }
            let Some(kind) = Kind::of(info) else { continue };
            let Some(name) = self.short_name_at(start as usize, longest) else { continue };
            if lengths[name.len()] && names.get(name).is_some_and(|kinds| kinds.contains(&kind)) {
                let name = String::from_utf8_lossy(name).into_owned();
                found.entry((kind, name)).or_insert(TypeId(index as u32 + 1));
            }
        }
        found
    }

    /// A field of a structure by its name, also where it lies within nameless parts.
    pub(super) fn member(&self, of: TypeId, name: &str) -> Option<Member> {
        let mut left = MOST_MEMBERS;
        self.member_within(of, name.as_bytes(), 0, DEEPEST, &mut left)
    }

    fn member_within(&self, of: TypeId, name: &[u8], base: u32, depth: usize, left: &mut u32) -> Option<Member> {
        let of = self.plain(of);
        if !matches!(self.kind(of)?, Kind::Struct | Kind::Union) {
            return None;
        }
        let with_sizes = self.info(of)? >> 31 == 1;
        for index in 0..self.count(of)? {
            *left = left.checked_sub(1)?;
            let start = self.start(of)? + COMMON + 12 * index;
            let (place, of) = (long(&self.bytes, start + 8)?, TypeId(long(&self.bytes, start + 4)?));
            let (bit, bits) = if with_sizes { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            let bit = base.checked_add(bit)?;
            let own = self.name_at(start)?;
            if own == name {
                return Some(Member { bit, bits: (bits != 0).then_some(bits), of });
            }
            if own.is_empty()
                && let Some(depth) = depth.checked_sub(1)
                && let Some(found) = self.member_within(of, name, bit, depth, left)
            {
                return Some(found);
            }
        }
        None
    }

    /// The types of the arguments of a function type, which may stand behind typedefs and pointers.
    pub(super) fn parameters(&self, of: TypeId) -> Option<Vec<TypeId>> {
        let mut of = self.plain(of);
        if self.kind(of)? == Kind::Pointer {
            of = self.plain(self.referred(of)?);
        }
        if self.kind(of)? != Kind::Prototype {
            return None;
        }
        let start = self.start(of)? + COMMON;
        (0..self.count(of)?).map(|index| long(&self.bytes, start + 8 * index + 4).map(TypeId)).collect()
    }

    /// What a pointer points to; none if it is no pointer.
    pub(super) fn pointee(&self, of: TypeId) -> Option<TypeId> {
        let of = self.plain(of);
        (self.kind(of)? == Kind::Pointer).then(|| self.referred(of)).flatten().map(|of| self.plain(of))
    }

    /// The values of an enumeration with their names.
    pub(super) fn values(&self, of: TypeId) -> Vec<(u32, String)> {
        let value = |index: usize| {
            let of = self.plain(of);
            let size = match self.kind(of)? {
                Kind::Enum => 8,
                Kind::Enum64 => 12,
                _ => return None,
            };
            let start = self.start(of)? + COMMON + size * index;
            let name = String::from_utf8_lossy(self.name_at(start)?).into_owned();
            Some((long(&self.bytes, start + 4)?, name))
        };
        (0..self.count(self.plain(of)).unwrap_or(0)).map_while(value).collect()
    }

    /// A type without what only qualifies it.
    pub(super) fn plain(&self, mut of: TypeId) -> TypeId {
        for _ in 0..DEEPEST {
            match self.kind(of) {
                Some(Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag) => {
                    let Some(next) = self.referred(of) else { break };
                    of = next;
                }
                _ => break,
            }
        }
        of
    }

    /// What a type is; none for `void`.
    pub(super) fn kind(&self, of: TypeId) -> Option<Kind> {
        self.info(of).and_then(Kind::of)
    }

    /// What a type is called.
    pub(super) fn name(&self, of: TypeId) -> Option<&[u8]> {
        self.name_at(self.start(of)?)
    }

    fn start(&self, of: TypeId) -> Option<usize> {
        self.types.get((of.0 as usize).checked_sub(1)?).map(|start| *start as usize)
    }

    fn info(&self, of: TypeId) -> Option<u32> {
        long(&self.bytes, self.start(of)? + 4)
    }

    fn count(&self, of: TypeId) -> Option<usize> {
        self.info(of).map(|info| (info & 0xffff) as usize)
    }

    fn referred(&self, of: TypeId) -> Option<TypeId> {
        long(&self.bytes, self.start(of)? + 8).map(TypeId)
    }

    /// The name that the four bytes at `start` refer to.
    fn name_at(&self, start: usize) -> Option<&[u8]> {
        let name = self.bytes.get(self.names + long(&self.bytes, start)? as usize..)?;
        name.iter().position(|byte| *byte == 0).map(|end| &name[..end])
    }

    /// The same, if it is not longer than `longest`.
    fn short_name_at(&self, start: usize, longest: usize) -> Option<&[u8]> {
        let name = self.bytes.get(self.names + long(&self.bytes, start)? as usize..)?;
        name.iter().take(longest + 1).position(|byte| *byte == 0).map(|end| &name[..end])
    }
}

impl Kind {
    fn of(info: u32) -> Option<Self> {
        use Kind::{
            Array, Const, DeclarationTag, Enum, Enum64, Float, Forward, Function, Int, Pointer, Prototype, Restrict,
            Section, Struct, TypeTag, Typedef, Union, Variable, Volatile,
        };
        const KINDS: [Kind; 19] = [
            Int,
            Pointer,
            Array,
            Struct,
            Union,
            Enum,
            Forward,
            Typedef,
            Volatile,
            Const,
            Restrict,
            Function,
            Prototype,
            Variable,
            Section,
            Float,
            DeclarationTag,
            TypeTag,
            Enum64,
        ];
        KINDS.get((info >> 24 & 31).checked_sub(1)? as usize).copied()
    }

    /// How many bytes follow the part that all types begin with.
    fn rest(self, count: usize) -> usize {
        match self {
            Kind::Int | Kind::Variable | Kind::DeclarationTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Section | Kind::Enum64 => 12 * count,
            Kind::Enum | Kind::Prototype => 8 * count,
            Kind::Pointer
            | Kind::Forward
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Function
            | Kind::Float
            | Kind::TypeTag => 0,
        }
    }
}

/// Where each type begins. The types lie from `start` to the end of `bytes`.
fn starts(bytes: &[u8], mut start: usize) -> Result<Vec<u32>, Malformed> {
    let mut starts = Vec::with_capacity((bytes.len() - start.min(bytes.len())) / 24);
    while start < bytes.len() {
        let malformed = Malformed::Type(starts.len() as u32 + 1);
        let info = long(bytes, start + 4).ok_or(malformed)?;
        let kind = Kind::of(info).ok_or(malformed)?;
        starts.push(start as u32);
        start += COMMON + kind.rest((info & 0xffff) as usize);
        if start > bytes.len() {
            return Err(malformed);
        }
    }
    Ok(starts)
}

fn long(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
pub(super) mod fixture {
    //! Builds type descriptions for tests.

    use super::{Kind, MAGIC, TypeId};

    /// A description under construction.
    #[derive(Default)]
    pub(crate) struct Builder {
        types: Vec<u8>,
        names: Vec<u8>,
        count: u32,
    }

    /// A field: its name, its first bit, the bits of a bit field, its type.
    pub(crate) type Field<'a> = (&'a str, u32, u32, TypeId);

    impl Builder {
        pub(crate) fn int(&mut self, name: &str, size: u32) -> TypeId {
            self.add(name, Kind::Int as u32, 0, size, &[[size * 8, 0, 0]], 1)
        }

        pub(crate) fn modified(&mut self, kind: Kind, name: &str, of: TypeId) -> TypeId {
            self.add(name, kind as u32, 0, of.0, &[], 0)
        }

        pub(crate) fn pointer(&mut self, of: TypeId) -> TypeId {
            self.modified(Kind::Pointer, "", of)
        }

        pub(crate) fn structure(&mut self, kind: Kind, name: &str, fields: &[Field<'_>]) -> TypeId {
            let with_sizes = fields.iter().any(|field| field.2 != 0);
            let fields: Vec<_> = fields.iter().map(|f| [self.name(f.0), f.3.0, f.1 | f.2 << 24]).collect();
            self.add(name, kind as u32 | u32::from(with_sizes) << 7, fields.len() as u32, 0, &fields, 3)
        }

        pub(crate) fn enumeration(&mut self, name: &str, values: &[(u32, &str)]) -> TypeId {
            let values: Vec<_> = values.iter().map(|(value, name)| [self.name(name), *value, 0]).collect();
            self.add(name, Kind::Enum as u32, values.len() as u32, 4, &values, 2)
        }

        pub(crate) fn prototype(&mut self, parameters: &[TypeId]) -> TypeId {
            let parameters: Vec<_> = parameters.iter().map(|of| [0, of.0, 0]).collect();
            self.add("", Kind::Prototype as u32, parameters.len() as u32, 0, &parameters, 2)
        }

        /// The description as bytes.
        pub(crate) fn build(mut self) -> Vec<u8> {
            self.name("");
            let (types, names) = (self.types.len() as u32, self.names.len() as u32);
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            bytes.extend([24, 0, types, types, names].map(u32::to_ne_bytes).as_flattened());
            bytes.extend(self.types);
            bytes.extend(self.names);
            bytes
        }

        fn add(&mut self, name: &str, kind: u32, count: u32, size: u32, rest: &[[u32; 3]], words: usize) -> TypeId {
            let name = self.name(name);
            self.types.extend([name, kind << 24 | count, size].map(u32::to_ne_bytes).as_flattened());
            for part in rest {
                self.types.extend(part[..words].iter().flat_map(|word| word.to_ne_bytes()));
            }
            self.count += 1;
            TypeId(self.count)
        }

        fn name(&mut self, name: &str) -> u32 {
            if self.names.is_empty() {
                self.names.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let start = self.names.len() as u32;
            self.names.extend(name.as_bytes());
            self.names.push(0);
            start
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Builder;
    use super::*;

    fn sample() -> (Btf, TypeId) {
        let mut b = Builder::default();
        let int = b.int("int", 4);
        let name = b.modified(Kind::Typedef, "number", int);
        let inner = b.structure(Kind::Union, "", &[("first", 0, 0, name), ("second", 0, 0, int)]);
        let bits = b.structure(Kind::Struct, "", &[("low", 0, 3, int), ("high", 3, 5, int)]);
        let fields = [("plain", 0, 0, int), ("", 32, 0, inner), ("", 64, 0, bits)];
        let outer = b.structure(Kind::Struct, "buffer", &fields);
        let constant = b.modified(Kind::Const, "", outer);
        let pointer = b.pointer(constant);
        let void = b.pointer(TypeId(0));
        let prototype = b.prototype(&[void, pointer, int]);
        let function = b.pointer(prototype);
        b.modified(Kind::Typedef, "btf_trace_it", function);
        b.enumeration("why", &[(0, "WHY_NOT"), (7, "WHY_EVER")]);
        b.modified(Kind::Typedef, "buffer", int);
        (Btf::parse(b.build()).unwrap(), outer)
    }

    #[test]
    fn finds_types_by_kind_and_name() {
        let (btf, buffer) = sample();
        let found = btf.find(&[(Kind::Struct, "buffer"), (Kind::Enum, "why"), (Kind::Struct, "absent")]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[&(Kind::Struct, "buffer".to_owned())], buffer);
        assert_eq!(btf.find(&[]).len(), 0);
    }

    #[test]
    fn finds_fields_within_nameless_parts() {
        let (btf, buffer) = sample();
        let place = |name| btf.member(buffer, name).map(|member| (member.bit, member.bits));
        assert_eq!(place("plain"), Some((0, None)));
        assert_eq!(place("second"), Some((32, None)));
        assert_eq!(place("high"), Some((67, Some(5))));
        assert_eq!(place("absent"), None);
    }

    #[test]
    fn reads_what_a_tracepoint_is_given() {
        let (btf, buffer) = sample();
        let typedef = btf.find(&[(Kind::Typedef, "btf_trace_it")])[&(Kind::Typedef, "btf_trace_it".to_owned())];
        let given = btf.parameters(typedef).unwrap();
        assert_eq!(given.len(), 3);
        assert_eq!(btf.pointee(given[1]), Some(buffer));
        assert_eq!(btf.pointee(given[2]), None);
        assert_eq!(btf.parameters(buffer), None);
    }

    #[test]
    fn names_the_values_of_an_enumeration() {
        let (btf, buffer) = sample();
        let why = btf.find(&[(Kind::Enum, "why")])[&(Kind::Enum, "why".to_owned())];
        assert_eq!(btf.values(why), [(0, "WHY_NOT".to_owned()), (7, "WHY_EVER".to_owned())]);
        assert_eq!(btf.values(buffer), []);
    }

    #[test]
    fn a_structure_that_holds_itself_comes_to_an_end() {
        let mut b = Builder::default();
        let own = TypeId(1);
        b.structure(Kind::Struct, "endless", &[("", 0, 0, own), ("", 0, 0, own), ("", 0, 0, own)]);
        b.modified(Kind::Typedef, "around", TypeId(2));
        let btf = Btf::parse(b.build()).unwrap();
        assert_eq!(btf.member(own, "absent"), None);
        assert_eq!(btf.plain(TypeId(2)), TypeId(2));
    }

    /// Every prefix, and every byte changed in every way that matters: nothing panics or hangs.
    #[test]
    fn broken_descriptions_are_refused_or_bounded() {
        let (btf, _) = sample();
        for end in 0..btf.bytes.len() {
            assert!(Btf::parse(btf.bytes[..end].to_vec()).is_err(), "{end} bytes");
        }
        for place in 0..btf.bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, btf.bytes[place] ^ 1] {
                let mut bytes = btf.bytes.clone();
                bytes[place] = value;
                let Ok(broken) = Btf::parse(bytes) else { continue };
                broken.find(&[(Kind::Struct, "buffer"), (Kind::Typedef, "btf_trace_it")]);
                for number in 0..broken.types.len() as u32 + 2 {
                    let of = TypeId(number);
                    broken.member(of, "absent");
                    broken.parameters(of);
                    broken.pointee(of);
                    broken.values(of);
                    broken.name(of);
                }
            }
        }
    }

    #[test]
    fn reads_the_running_kernel() {
        let bytes = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let btf = Btf::parse(bytes).unwrap();
        let found = btf.find(&[(Kind::Struct, "sk_buff"), (Kind::Struct, "net")]);
        let buffer = found[&(Kind::Struct, "sk_buff".to_owned())];
        let mark = btf.member(buffer, "mark").unwrap();
        assert!(mark.bit > 0 && mark.bit.is_multiple_of(32) && mark.bits.is_none());
        assert!(btf.member(buffer, "pkt_type").unwrap().bits == Some(3));
    }
}
