//! Closing what takes the kernel long to close, without waiting for it.
//!
//! Before a socket that listens to the wire is gone, every processor must have been seen not to use it any more, which
//! takes tens of milliseconds. Each thing is closed on a thread of its own, so that all of them wait together; a process
//! that ends would close them one after the other.

use std::sync::mpsc::channel;
use std::thread;

/// Drops it on a thread of its own, which is at work when this returns.
pub(crate) fn close<T: Send + 'static>(what: &str, thing: T) {
    let (at_work, started) = channel();
    let thread = thread::Builder::new().name(format!("close {what}")).spawn(move || {
        // A thread that has not begun when the process ends never will.
        let _ = at_work.send(());
        drop(thing);
    });
    // Where no thread can be had, it has been dropped here.
    if thread.is_ok() {
        let _ = started.recv();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_is_dropped_in_the_end() {
        let thing = Arc::new(());
        let kept = Arc::downgrade(&thing);
        close("a thing", thing);
        while kept.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
