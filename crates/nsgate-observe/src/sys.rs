//! The system calls that rustix does not wrap, the ring of a packet socket and that of programs in the kernel. Nothing
//! else in this crate is unsafe.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;

use crate::bpf::Instruction as KernelInstruction;
use crate::filter::Instruction;

/// Sets a socket option.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    #[expect(unsafe_code, reason = "rustix has few socket options")]
    // SAFETY: pointer and length describe `value`, which outlives the call; the kernel only reads it.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), value.len() as libc::socklen_t)
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Reads a socket option into `value`; what the kernel does not fill stays as it was.
pub(crate) fn get_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> Result<(), Errno> {
    let mut length = value.len() as libc::socklen_t;
    #[expect(unsafe_code, reason = "rustix has few socket options")]
    // SAFETY: pointer and length describe `value`; the kernel writes at most `length` bytes.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// How many bytes of a connection were handed to the kernel and not acknowledged yet.
pub(crate) fn bytes_in_send_queue(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut waiting: libc::c_int = 0;
    #[expect(unsafe_code, reason = "rustix does not know this question")]
    // SAFETY: the kernel writes one int, which `waiting` is.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
    if done == 0 { Ok(usize::try_from(waiting).unwrap_or(0)) } else { Err(last_error()) }
}

/// Has the kernel run a filter on everything that comes to a socket.
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> Result<(), Errno> {
    const { assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>()) };
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    #[expect(unsafe_code, reason = "rustix has no socket filters")]
    // SAFETY: `program` points to `len` instructions of the kernel's layout (checked above); the kernel copies them.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Has a packet socket receive everything from all interfaces.
pub(crate) fn bind_to_all_links(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    #[expect(unsafe_code, reason = "rustix has no packet socket addresses")]
    // SAFETY: all zeroes is a valid sockaddr_ll; the kernel reads it within its size.
    let done = unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Takes the next entry of a socket's error queue: the bytes of `control` that were filled.
pub(crate) fn next_error<'a>(socket: BorrowedFd<'_>, control: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    #[expect(unsafe_code, reason = "rustix drops the control messages that it does not know")]
    // SAFETY: all zeroes is a valid msghdr, which then describes `control` alone; the kernel writes within it and
    // tells how much.
    let (received, filled) = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.len() as _;
        let received = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT);
        (received, message.msg_controllen)
    };
    if received < 0 { Err(last_error()) } else { Ok(control.get(..filled).unwrap_or_default()) }
}

/// The ring of a packet socket: slots of one size, which the kernel fills in turn and we give back.
#[derive(Debug)]
pub(crate) struct Ring {
    memory: NonNull<u8>,
    slot: usize,
    slots: usize,
    next: usize,
}

#[expect(unsafe_code, reason = "a raw pointer is not Send by itself")]
// SAFETY: the memory belongs to this ring alone, and no thread is tied to it.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of a socket that was made with these sizes; the slots lie one behind the other.
    pub(crate) fn map(socket: BorrowedFd<'_>, slot: usize, slots: usize) -> Result<Self, Errno> {
        let length = slot.checked_mul(slots).filter(|length| *length > 0).ok_or(Errno::INVAL)?;
        #[expect(unsafe_code, reason = "mapping memory")]
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let memory = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(last_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { memory, slot, slots, next: 0 })
    }

    /// Copies the next filled slot into `bytes` and gives it back to the kernel; false if none is filled.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>) -> bool {
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        // SAFETY: `next` is below `slots`, so the slot lies within the mapping, which lives as long as `self`. A slot
        // begins with its state, aligned to its size (slots are multiples of 16 bytes on whole pages). While the state
        // says that the slot is ours, the kernel does not write to it; the acquiring load orders the copy behind it, the
        // releasing store in front of the kernel's next write.
        unsafe {
            let start = self.memory.add(self.next * self.slot);
            let state = AtomicU32::from_ptr(start.cast().as_ptr());
            if state.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return false;
            }
            bytes.clear();
            bytes.extend_from_slice(std::slice::from_raw_parts(start.as_ptr(), self.slot));
            state.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        self.next = (self.next + 1) % self.slots;
        true
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "unmapping memory")]
        // SAFETY: this is the mapping that `map` made, whole, and nothing points into it any more.
        let done = unsafe { libc::munmap(self.memory.as_ptr().cast(), self.slot * self.slots) };
        debug_assert_eq!(done, 0);
    }
}

/// Makes a map that programs in the kernel write to: its kind (BPF_MAP_TYPE_*), the bytes of a key and of a value, and
/// how many of them (for a ring: how many bytes).
pub(crate) fn bpf_map(kind: u32, key: u32, value: u32, entries: u32) -> Result<OwnedFd, Errno> {
    let mut attribute = Attribute::default();
    attribute.number(0, kind).number(4, key).number(8, value).number(12, entries).name(28);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: there is no pointer in this attribute.
    unsafe {
        bpf_file(BPF_MAP_CREATE, &attribute)
    }
}

/// Makes a map that holds a text which never changes, so that programs can use it as a constant.
pub(crate) fn bpf_text(text: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    /// Programs may not write to it.
    const BPF_F_RDONLY_PROG: u32 = 1 << 7;
    let text = text.to_bytes_with_nul();
    let key = 0u32;
    let mut make = Attribute::default();
    make.number(0, BPF_ARRAY).number(4, 4).number(8, text.len() as u32).number(12, 1);
    make.number(16, BPF_F_RDONLY_PROG).name(28);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: the first attribute has no pointer. By the second the kernel reads a key of 32 bits and as many bytes of
    // text as the values of this map have, and both outlive the call. The third has no pointer.
    unsafe {
        let map = bpf_file(BPF_MAP_CREATE, &make)?;
        let number = map.as_raw_fd() as u32;
        let mut fill = Attribute::default();
        fill.number(0, number).pointer(8, &raw const key).pointer(16, text.as_ptr());
        bpf(BPF_MAP_UPDATE_ELEM, &fill)?;
        let mut freeze = Attribute::default();
        freeze.number(0, number);
        bpf(BPF_MAP_FREEZE, &freeze)?;
        Ok(map)
    }
}

/// Makes a map of these numbers, which programs may read and change.
pub(crate) fn bpf_numbers(numbers: &[u64]) -> Result<OwnedFd, Errno> {
    let key = 0u32;
    let mut make = Attribute::default();
    make.number(0, BPF_ARRAY).number(4, 4).number(8, size_of_val(numbers) as u32).number(12, 1).name(28);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: the first attribute has no pointer. By the second the kernel reads a key of 32 bits and as many bytes of
    // the numbers as the values of this map have, and both outlive the call.
    unsafe {
        let map = bpf_file(BPF_MAP_CREATE, &make)?;
        let mut fill = Attribute::default();
        fill.number(0, map.as_raw_fd() as u32).pointer(8, &raw const key).pointer(16, numbers.as_ptr());
        bpf(BPF_MAP_UPDATE_ELEM, &fill)?;
        Ok(map)
    }
}

/// The one value, of 64 bits, of a map whose keys are numbers.
pub(crate) fn bpf_value(map: BorrowedFd<'_>) -> Result<u64, Errno> {
    let key = 0u32;
    let mut value = 0u64;
    let mut attribute = Attribute::default();
    attribute.number(0, map.as_raw_fd() as u32).pointer(8, &raw const key).pointer(16, &raw mut value);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: the kernel reads a key of 32 bits and writes a value of 64, and both outlive the call. Every map of this
    // crate that is not a ring has such keys and values; of a ring nothing can be asked.
    unsafe {
        bpf(BPF_MAP_LOOKUP_ELEM, &attribute)?;
    }
    Ok(value)
}

/// A program for the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelProgram<'a> {
    /// What kind of program it is (BPF_PROG_TYPE_*).
    pub(crate) kind: u32,
    /// What it will hang on (BPF_TRACE_RAW_TP and its kin).
    pub(crate) hang_on: u32,
    /// The type of the tracepoint, or 0.
    pub(crate) tracepoint: u32,
    /// The program itself.
    pub(crate) instructions: &'a [KernelInstruction],
}

/// Loads a program. What the kernel's verifier says goes to `log`, if there is room for it.
pub(crate) fn bpf_program(program: KernelProgram<'_>, log: &mut [u8]) -> Result<OwnedFd, Errno> {
    /// Some functions of the kernel may be called only by programs under a licence that goes with the kernel's.
    const LICENCE: &std::ffi::CStr = c"Dual MIT/GPL";
    const { assert!(size_of::<KernelInstruction>() == 8) };
    let mut attribute = Attribute::default();
    attribute.number(0, program.kind).number(4, program.instructions.len() as u32);
    attribute.pointer(8, program.instructions.as_ptr()).pointer(16, LICENCE.as_ptr()).name(48);
    attribute.number(68, program.hang_on).number(108, program.tracepoint);
    if !log.is_empty() {
        attribute.number(24, 1).number(28, log.len() as u32).pointer(32, log.as_mut_ptr());
    }
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: the pointers and lengths describe the instructions, a closed string, and `log`, the only one to which the
    // kernel writes; all outlive the call. The verifier makes sure that the program itself can do no harm.
    unsafe {
        bpf_file(BPF_PROG_LOAD, &attribute)
    }
}

/// Hangs a program on its tracepoint until the file is closed.
pub(crate) fn bpf_hang_on_tracepoint(program: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut attribute = Attribute::default();
    attribute.number(8, program.as_raw_fd() as u32);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: there is no pointer in this attribute.
    unsafe {
        bpf_file(BPF_RAW_TRACEPOINT_OPEN, &attribute)
    }
}

/// Hangs a program on a hook of the packet filter in the namespace of the calling thread until the file is closed.
pub(crate) fn bpf_hang_on_hook(
    program: BorrowedFd<'_>,
    family: u32,
    hook: u32,
    priority: i32,
) -> Result<OwnedFd, Errno> {
    let mut attribute = Attribute::default();
    attribute.number(0, program.as_raw_fd() as u32).number(8, BPF_NETFILTER);
    attribute.number(16, family).number(20, hook).number(24, priority as u32);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: there is no pointer in this attribute.
    unsafe {
        bpf_file(BPF_LINK_CREATE, &attribute)
    }
}

/// The commands of bpf(2).
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_LINK_CREATE: libc::c_long = 28;
/// The kind of map that is an array.
pub(crate) const BPF_ARRAY: u32 = 2;
/// What programs for the hooks of the packet filter hang on.
pub(crate) const BPF_NETFILTER: u32 = 45;

/// What a command of bpf(2) is to do (`union bpf_attr`), as long as the fields in use. Older kernels take a longer one
/// than they know as long as the rest is zero.
#[repr(C, align(8))]
struct Attribute([u8; 144]);

impl Default for Attribute {
    fn default() -> Self {
        Self([0; 144])
    }
}

impl Attribute {
    fn number(&mut self, offset: usize, number: u32) -> &mut Self {
        self.0[offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
        self
    }

    /// Puts an address there. That is harmless by itself; whoever makes the call answers for what it points to.
    fn pointer<T>(&mut self, offset: usize, pointer: *const T) -> &mut Self {
        self.0[offset..offset + 8].copy_from_slice(&(pointer.expose_provenance() as u64).to_ne_bytes());
        self
    }

    /// Puts the name there by which others see whose object it is.
    fn name(&mut self, offset: usize) -> &mut Self {
        self.0[offset..offset + 6].copy_from_slice(b"nsgate");
        self
    }
}

/// Makes a call that gives a file.
///
/// # Safety
///
/// That of [`bpf`]; and the command must be one that gives a file.
#[expect(unsafe_code, reason = "libc has no bpf")]
unsafe fn bpf_file(command: libc::c_long, attribute: &Attribute) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller answers for the call; what the kernel gives is a new file that nobody else has.
    unsafe { bpf(command, attribute).map(|file| OwnedFd::from_raw_fd(file)) }
}

/// Makes a call.
///
/// # Safety
///
/// What the command reads and writes by the addresses in `attribute` must be there.
#[expect(unsafe_code, reason = "libc has no bpf")]
unsafe fn bpf(command: libc::c_long, attribute: &Attribute) -> Result<i32, Errno> {
    // SAFETY: the kernel reads the attribute within its size; the caller answers for the addresses in it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attribute, size_of::<Attribute>()) };
    if result < 0 { Err(last_error()) } else { Ok(result as i32) }
}

/// The ring that programs in the kernel write records to. A record is read while others are written.
#[derive(Debug)]
pub(crate) struct RecordRing {
    /// One page: how far we have read.
    read: Mapping,
    /// One page: how far the kernel has written. Then the records, twice in a row, so that each lies in one piece.
    written: Mapping,
    page: usize,
    size: usize,
    position: u64,
}

impl RecordRing {
    /// Maps a ring of `size` bytes, which must be a power of two.
    pub(crate) fn map(ring: BorrowedFd<'_>, size: usize) -> Result<Self, Errno> {
        let page = page_size();
        let room = size.checked_mul(2).and_then(|room| room.checked_add(page)).ok_or(Errno::INVAL)?;
        if !size.is_power_of_two() || size < page {
            return Err(Errno::INVAL);
        }
        let read = Mapping::new(ring, 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        let written = Mapping::new(ring, page, room, libc::PROT_READ)?;
        Ok(Self { read, written, page, size, position: 0 })
    }

    /// Copies the next record into `bytes`; false if there is none.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>) -> bool {
        /// The kernel is still writing this record.
        const BUSY: u32 = 1 << 31;
        /// The kernel has thought better of it.
        const DISCARDED: u32 = 1 << 30;
        /// What a record begins with: its length and something for the kernel.
        const HEADER: usize = 8;
        loop {
            #[expect(unsafe_code, reason = "memory shared with the kernel")]
            // SAFETY: both positions are at the start of their mappings, which live as long as `self` and are aligned
            // to pages. The place of a record is below the ring's size, a multiple of 8, and behind it the ring is
            // mapped once more, so a record of at most the ring's size lies within. What lies between our position and
            // the kernel's, and is not busy, the kernel does not write to; the acquiring loads order the copy behind
            // them, the releasing store in front of the kernel's next write.
            let length = unsafe {
                let written = AtomicU64::from_ptr(self.written.start.cast().as_ptr());
                if self.position >= written.load(Ordering::Acquire) {
                    return false;
                }
                let place = self.page + (self.position as usize & (self.size - 1) & !7);
                let record = self.written.start.add(place);
                let length = AtomicU32::from_ptr(record.cast().as_ptr()).load(Ordering::Acquire);
                if length & BUSY != 0 {
                    return false;
                }
                let kept = (length & !DISCARDED) as usize;
                if kept > self.size - HEADER {
                    return false;
                }
                bytes.clear();
                bytes.extend_from_slice(std::slice::from_raw_parts(record.add(HEADER).as_ptr(), kept));
                self.position += (kept + HEADER).next_multiple_of(8) as u64;
                AtomicU64::from_ptr(self.read.start.cast().as_ptr()).store(self.position, Ordering::Release);
                length
            };
            if length & DISCARDED == 0 {
                return true;
            }
        }
    }
}

/// A part of a file in memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

#[expect(unsafe_code, reason = "a raw pointer is not Send by itself")]
// SAFETY: the memory belongs to this mapping alone, and no thread is tied to it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, offset: usize, length: usize, protection: libc::c_int) -> Result<Self, Errno> {
        #[expect(unsafe_code, reason = "mapping memory")]
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe {
            let place = offset as libc::off_t;
            libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), place)
        };
        if start == libc::MAP_FAILED {
            return Err(last_error());
        }
        Ok(Self { start: NonNull::new(start.cast()).ok_or(Errno::NOMEM)?, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "unmapping memory")]
        // SAFETY: this is the mapping that `new` made, whole, and nothing points into it any more.
        let done = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(done, 0);
    }
}

/// How many bytes a page of memory has.
fn page_size() -> usize {
    #[expect(unsafe_code, reason = "rustix tells this only with another feature")]
    // SAFETY: sysconf has no precondition.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The error of the system call that just failed.
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
