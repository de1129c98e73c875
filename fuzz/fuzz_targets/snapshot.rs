//! Any bytes, read as a saved World: nothing may panic, and what was read is written and read again as the same. What
//! the World says can be put into words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsgate_core::model::saved::Saved;
use nsgate_core::model::segment::Segment;

fuzz_target!(|bytes: &[u8]| {
    let Ok(saved) = Saved::read(bytes) else { return };
    let written = saved.write().expect("what was read can be written");
    assert_eq!(Saved::read(written.as_bytes()).expect("what was written is read"), saved);
    for namespace in &saved.world.namespaces {
        let _ = namespace.ruleset.to_string();
        for link in &namespace.links {
            let _ = Segment::of(&saved.world, namespace, link).places.len();
        }
    }
});
