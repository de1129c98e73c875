//! The system calls that rustix does not wrap, or wraps as unsafe. Nothing else in this crate is unsafe.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

/// Gives the calling thread namespaces of its own. File descriptors stay shared: that flag is taken out.
pub(crate) fn unshare(namespaces: UnshareFlags) -> Result<(), Errno> {
    #[expect(unsafe_code, reason = "rustix marks unshare as unsafe for the sake of one flag")]
    // SAFETY: the only flag that can harm memory safety, FILES, is removed.
    unsafe {
        rustix::thread::unshare_unsafe(namespaces.difference(UnshareFlags::FILES))
    }
}

/// Splits the process in two: the number of the child for the parent, none in the child.
///
/// Refused in a process of several threads, where locks held by the others would stay locked in the child for ever.
/// The one exception is the child of a process of several threads, which counts as having one thread.
pub(crate) fn fork() -> Result<Option<Pid>, Errno> {
    #[expect(unsafe_code, reason = "rustix has no fork")]
    // SAFETY: the caller is the only thread of its process (`sandbox` sees to it), so no lock is held by a thread that
    // does not exist in the child.
    let child = unsafe { libc::fork() };
    if child < 0 { Err(last_error()) } else { Ok(Pid::from_raw(child)) }
}

/// Ends the process at once: no destructor, no exit handler, no flush of what a forked copy holds too.
pub(crate) fn exit_now(status: i32) -> ! {
    #[expect(unsafe_code, reason = "rustix has no _exit")]
    // SAFETY: _exit has no precondition.
    unsafe {
        libc::_exit(status)
    }
}

#[cfg(any(test, feature = "testing"))]
/// Has `set_up` run in the child between fork and exec. It may neither allocate nor take a lock.
pub(crate) fn before_exec(
    command: &mut std::process::Command,
    set_up: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) {
    #[expect(unsafe_code, reason = "what runs between fork and exec may do little")]
    // SAFETY: the callers' closures make system calls on memory that was prepared before, and nothing else.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, set_up);
    }
}

/// Closes every file descriptor but standard input, output and error, and the one to keep.
///
/// For processes that never run the code of an owner of these descriptors again: those that only wait for another.
pub(crate) fn close_all_but_standard(keep: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let close = |first: libc::c_int, last: libc::c_uint| {
        #[expect(unsafe_code, reason = "rustix has no close_range")]
        // SAFETY: takes no pointer. No owner of one of these descriptors is run or dropped after this.
        let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if done == 0 { Ok(()) } else { Err(last_error()) }
    };
    match keep.map(|file| file.as_raw_fd()) {
        Some(keep) if keep > 3 => close(3, keep as libc::c_uint - 1).and(close(keep + 1, libc::c_uint::MAX)),
        Some(keep) => close(keep.max(2) + 1, libc::c_uint::MAX),
        None => close(3, libc::c_uint::MAX),
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// The set of these.
    pub(crate) fn of(signals: &[Signal]) -> Self {
        let mut set = MaybeUninit::uninit();
        #[expect(unsafe_code, reason = "rustix has no signal sets")]
        // SAFETY: sigemptyset initialises the set before anything reads it; sigaddset gets the numbers of real signals.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
            }
            Self(set.assume_init())
        }
    }

    /// Blocks these signals for the calling thread, beside those blocked already; gives what was blocked before.
    pub(crate) fn block(&self) -> Self {
        self.change_mask(libc::SIG_BLOCK)
    }

    /// Makes these the blocked signals of the calling thread.
    pub(crate) fn restore(&self) {
        self.change_mask(libc::SIG_SETMASK);
    }

    fn change_mask(&self, how: libc::c_int) -> Self {
        let mut before = *self;
        #[expect(unsafe_code, reason = "rustix has no signal masks")]
        // SAFETY: both sets are initialised and outlive the call, which cannot fail with a valid `how`.
        unsafe {
            libc::pthread_sigmask(how, &raw const self.0, &raw mut before.0);
        }
        before
    }

    /// Waits for one of these, which must be blocked. Gives the signal, and whether a process sent it (rather than the
    /// kernel, as a terminal's interrupt key does).
    pub(crate) fn wait(&self) -> Option<(Signal, bool)> {
        let mut told = MaybeUninit::<libc::siginfo_t>::zeroed();
        #[expect(unsafe_code, reason = "rustix has no sigwaitinfo")]
        // SAFETY: the set is initialised, `told` is large enough for the answer, and all zeroes is a valid siginfo_t.
        let (number, told) = unsafe {
            let number = libc::sigwaitinfo(&raw const self.0, told.as_mut_ptr());
            (number, told.assume_init())
        };
        Some((Signal::from_named_raw(number)?, told.si_code <= 0))
    }
}

/// Has the ends of child processes reported, even where whoever started this process had them ignored.
pub(crate) fn notice_children() {
    #[expect(unsafe_code, reason = "rustix has no signal dispositions")]
    // SAFETY: SIG_DFL installs no handler.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Has these signals do nothing to this process; programs that it starts get them as usual.
pub(crate) fn survive(signals: &[Signal]) {
    extern "C" fn nothing(_: libc::c_int) {}
    for signal in signals {
        #[expect(unsafe_code, reason = "rustix has no signal handlers")]
        // SAFETY: the handler does nothing, so it may interrupt anything. Unlike an ignored signal, a handler is not
        // passed on to programs started later.
        unsafe {
            libc::signal(signal.as_raw(), nothing as *const () as libc::sighandler_t);
        }
    }
}

/// Sets the loopback interface of the calling thread's network namespace up, without allocating.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    #[expect(unsafe_code, reason = "rustix has no interface flags")]
    // SAFETY: all zeroes is a valid ifreq; the kernel reads and writes within it; SIOCGIFFLAGS fills `ifru_flags`,
    // which is the member read afterwards.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) < 0 {
            return Err(last_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request)
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Whether a file of the namespace file system is that of a network namespace.
pub(crate) fn is_network_namespace(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    /// `NS_GET_NSTYPE` of linux/nsfs.h: `_IO(0xb7, 3)`.
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    #[expect(unsafe_code, reason = "rustix has no namespace ioctl")]
    // SAFETY: the request takes no argument and answers by its return value.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    if kind < 0 { Err(last_error()) } else { Ok(kind == libc::CLONE_NEWNET) }
}

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

/// Reads a socket option whose value is of any length: what the buffer holds is the question, and then the answer.
pub(crate) fn get_socket_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    buffer: &mut [u8],
) -> Result<(), Errno> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(|_| Errno::INVAL)?;
    #[expect(unsafe_code, reason = "rustix has no options of the packet filter")]
    // SAFETY: the pointer and the length describe `buffer`, which outlives the call; the kernel writes no further.
    let done =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, buffer.as_mut_ptr().cast(), &raw mut length) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// The size of `struct ebt_replace`, by which a table of ebtables is asked for.
pub(crate) const BRIDGE_REQUEST: usize = 48 + 9 * size_of::<usize>();

/// Reads the rules of a table of ebtables and their counters, of 16 bytes each (EBT_SO_GET_ENTRIES). The request holds
/// the table's head, as EBT_SO_GET_INFO gave it.
pub(crate) fn get_bridge_table(
    socket: BorrowedFd<'_>,
    request: &mut [u8; BRIDGE_REQUEST],
    rules: &mut [u8],
    counters: &mut [u8],
) -> Result<(), Errno> {
    /// EBT_SO_GET_ENTRIES.
    const GET_RULES: libc::c_int = 129;
    /// Where it stands how many rules and how many bytes there are, how many counters are wanted, and where to put both.
    const COUNT: usize = 36;
    const SIZE: usize = 40;
    const WANTED: usize = 48 + 6 * size_of::<usize>();
    const POINTERS: usize = WANTED + size_of::<usize>();
    let count = u32::try_from(counters.len() / 16).map_err(|_| Errno::INVAL)?;
    let size = u32::try_from(rules.len()).map_err(|_| Errno::INVAL)?;
    // What is written must be what there is room for.
    request[COUNT..COUNT + 4].copy_from_slice(&count.to_ne_bytes());
    request[SIZE..SIZE + 4].copy_from_slice(&size.to_ne_bytes());
    request[WANTED..WANTED + 4].copy_from_slice(&count.to_ne_bytes());
    let pointers = [counters.as_mut_ptr(), rules.as_mut_ptr()].map(|pointer| (pointer as usize).to_ne_bytes());
    request[POINTERS..].copy_from_slice(pointers.as_flattened());
    let total = request.len() + rules.len() + counters.len();
    let mut length = libc::socklen_t::try_from(total).map_err(|_| Errno::INVAL)?;
    #[expect(unsafe_code, reason = "rustix has no options of the packet filter")]
    // SAFETY: the kernel reads the request, which is as long as it expects, and writes as many counters and as many bytes
    // as the request says to where it points: `counters` and `rules`, which are that long and outlive the call.
    let done = unsafe {
        let request = request.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, GET_RULES, request, &raw mut length)
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// The numbers of the BPF programs attached to an interface of the calling thread's namespace, in one manner
/// (BPF_TCX_INGRESS).
pub(crate) fn bpf_attached(link: u32, attach_type: u32) -> Result<Vec<u32>, Errno> {
    bpf_query(link, attach_type)
}

/// The numbers of the BPF programs attached to a control group itself, in one manner (BPF_CGROUP_INET_EGRESS).
pub(crate) fn bpf_attached_to(group: BorrowedFd<'_>, attach_type: u32) -> Result<Vec<u32>, Errno> {
    bpf_query(group.as_raw_fd() as u32, attach_type)
}

/// The numbers of the BPF programs at a place: an interface's number, or a file of this process.
fn bpf_query(target: u32, attach_type: u32) -> Result<Vec<u32>, Errno> {
    /// The most programs that one place takes (BPF_MPROG_MAX).
    const MOST: u32 = 64;
    let mut ids = [0u32; MOST as usize];
    let mut attribute = BpfAttribute::default();
    attribute.number(0, target).number(4, attach_type).pointer(16, ids.as_mut_ptr()).number(24, MOST);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: the kernel writes at most as many numbers as `ids` holds, which outlives the call.
    unsafe {
        bpf(BPF_PROG_QUERY, &mut attribute)?;
    }
    let count = attribute.number_at(24).min(MOST) as usize;
    Ok(ids[..count].to_vec())
}

/// The number of the first BPF program of the machine behind this one.
pub(crate) fn bpf_next(id: u32) -> Result<u32, Errno> {
    bpf_next_of(BPF_PROG_GET_NEXT_ID, id)
}

/// The number of the first BPF link (what keeps a program attached) of the machine behind this one.
pub(crate) fn bpf_next_link(id: u32) -> Result<u32, Errno> {
    bpf_next_of(BPF_LINK_GET_NEXT_ID, id)
}

fn bpf_next_of(command: libc::c_long, id: u32) -> Result<u32, Errno> {
    let mut attribute = BpfAttribute::default();
    attribute.number(0, id);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: there is no pointer in this attribute.
    unsafe {
        bpf(command, &mut attribute)?;
    }
    Ok(attribute.number_at(4))
}

/// The kind (BPF_PROG_TYPE_*) and the name of a BPF program.
pub(crate) fn bpf_about(id: u32) -> Result<(u32, [u8; 16]), Errno> {
    /// `struct bpf_prog_info` up to and with its name, in words of 32 bits.
    const WORDS: usize = 20;
    let about = bpf_describe::<WORDS>(BPF_PROG_GET_FD_BY_ID, id)?;
    let mut name = [0; 16];
    for (bytes, word) in name.chunks_exact_mut(4).zip(&about[16..]) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Ok((about[0], name))
}

/// `struct bpf_link_info`: its kind (BPF_LINK_TYPE_*), its own number, that of its program, nothing, and four numbers
/// that depend on the kind.
pub(crate) fn bpf_about_link(id: u32) -> Result<[u32; 8], Errno> {
    bpf_describe(BPF_LINK_GET_FD_BY_ID, id)
}

/// What the kernel says of a program or a link: so many words of its description.
fn bpf_describe<const WORDS: usize>(open: libc::c_long, id: u32) -> Result<[u32; WORDS], Errno> {
    let mut attribute = BpfAttribute::default();
    attribute.number(0, id);
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: there is no pointer in this attribute; what the kernel gives is a new file that nobody else has.
    let object = unsafe { OwnedFd::from_raw_fd(bpf(open, &mut attribute)?) };
    let mut about = [0u32; WORDS];
    let length = size_of::<[u32; WORDS]>() as u32;
    let mut attribute = BpfAttribute::default();
    attribute.number(0, object.as_raw_fd() as u32).number(4, length).pointer(8, about.as_mut_ptr());
    #[expect(unsafe_code, reason = "libc has no bpf")]
    // SAFETY: the kernel reads and writes `length` bytes of `about`, which outlives the call. It takes the addresses
    // that it finds there for buffers; they are all zero: there are none.
    unsafe {
        bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute)?;
    }
    Ok(about)
}

/// Commands of bpf(2).
const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_long = 31;

/// `union bpf_attr`, as far as it is used here.
#[repr(C, align(8))]
#[derive(Default)]
struct BpfAttribute([u8; 32]);

impl BpfAttribute {
    fn number(&mut self, offset: usize, number: u32) -> &mut Self {
        self.0[offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
        self
    }

    fn number_at(&self, offset: usize) -> u32 {
        let mut number = [0; 4];
        number.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_ne_bytes(number)
    }

    /// Puts an address there. That is harmless by itself; whoever makes the call answers for what it points to.
    fn pointer<T>(&mut self, offset: usize, pointer: *mut T) -> &mut Self {
        self.0[offset..offset + 8].copy_from_slice(&(pointer.expose_provenance() as u64).to_ne_bytes());
        self
    }
}

/// Makes a call of bpf(2).
///
/// # Safety
///
/// What the command reads and writes by the addresses in `attribute` must be there.
#[expect(unsafe_code, reason = "libc has no bpf")]
unsafe fn bpf(command: libc::c_long, attribute: &mut BpfAttribute) -> Result<i32, Errno> {
    // SAFETY: the kernel reads and writes the attribute within its size; the caller answers for the addresses in it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<BpfAttribute>()) };
    if result < 0 { Err(last_error()) } else { Ok(result as i32) }
}

/// The error of the system call that just failed.
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Makes a TAP device of this name and connects the open `/dev/net/tun` with it.
#[cfg(test)]
pub(crate) fn attach_tap(tun: &std::fs::File, name: &str) -> Result<(), Errno> {
    // SAFETY: the structure is plain numbers and bytes, for which all zeroes are a value.
    #[expect(unsafe_code, reason = "the structure has no constructor")]
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the kernel reads and writes one `ifreq`, which lives until the call returns.
    #[expect(unsafe_code, reason = "rustix has no ioctl for TUN and TAP devices")]
    let done = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if done < 0 { Err(last_error()) } else { Ok(()) }
}
