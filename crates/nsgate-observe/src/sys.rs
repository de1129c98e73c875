//! The system calls that rustix does not wrap, and the ring of a packet socket. Nothing else in this crate is unsafe.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

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

/// The error of the system call that just failed.
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
