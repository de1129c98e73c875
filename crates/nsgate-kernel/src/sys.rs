//! The system calls that rustix does not wrap. Nothing else in this crate is unsafe.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Sets a socket option whose value is an int.
pub(crate) fn set_socket_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    #[expect(unsafe_code, reason = "rustix has no netlink socket options")]
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// The error of the system call that just failed.
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
