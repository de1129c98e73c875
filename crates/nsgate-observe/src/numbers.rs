//! The kernel's numbers for which libc has no name, or none of the right type.

/// Ethernet, as the hardware type of a link.
pub(crate) const ARPHRD_ETHER: u16 = libc::ARPHRD_ETHER;
/// The loopback interface, whose frames have an Ethernet header too.
pub(crate) const ARPHRD_LOOPBACK: u16 = libc::ARPHRD_LOOPBACK;

/// What a filter loads to learn the ethertype that the kernel noted for a frame.
pub(crate) const NOTE_PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;
/// What a filter loads to learn the hardware type of the link.
pub(crate) const NOTE_HARDWARE_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_HATYPE) as u32;

/// What a filter loads to find the first netlink attribute of the type in the index, from the offset in the accumulator on.
pub(crate) const NOTE_ATTRIBUTE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR) as u32;
/// The same for the attributes within the one at the offset in the accumulator.
pub(crate) const NOTE_INNER_ATTRIBUTE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR_NEST) as u32;

/// The queue of a connection under repair whose numbers are set: the one of what is sent.
pub(crate) const TCP_SEND_QUEUE: i32 = 2;
