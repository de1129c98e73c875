//! Any bytes, read as netlink messages, and each of those as every object that is read from the kernel: interfaces,
//! routes, queues, filters, sockets, connections, IPsec. Nothing may panic, and no view leaves the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsgate_kernel::netlink::{self, Attributes, Message, Messages};
use nsgate_kernel::{conntrack, rtnetlink, sockets, traffic_control, xfrm};

fuzz_target!(|bytes: &[u8]| {
    // A stream of messages, and all of it as what one message holds, so that a wrong length at the start hides nothing.
    let whole = Message { kind: message_type(bytes), flags: 0x602, sequence: 0, payload: bytes };
    for message in Messages::new(bytes).take(64).chain([whole]) {
        assert!(message.payload.len() <= bytes.len());
        netlink::read_any(&message);
        rtnetlink::read_any(&message);
        traffic_control::read_any(&message);
        sockets::read_any(&message);
        conntrack::read_any(&message);
        xfrm::read_any(&message);
        walk(&Attributes::new(message.payload), 8);
    }
});

/// A type of message that some reader cares for: that of changes of connections, of neighbours, of errors.
fn message_type(bytes: &[u8]) -> u16 {
    const KINDS: [u16; 6] = [0x100, 0x102, 28, 29, 2, 3];
    bytes.first().map_or(16, |first| KINDS[usize::from(*first) % KINDS.len()])
}

/// Goes through attributes and those within them: they never reach beyond what holds them.
fn walk(attributes: &Attributes<'_>, depth: usize) {
    for attribute in attributes.clone() {
        let _ = (attribute.text(), attribute.address(), attribute.u64(), attribute.be64());
        if depth > 0 {
            walk(&attribute.nested(), depth - 1);
        }
    }
}
