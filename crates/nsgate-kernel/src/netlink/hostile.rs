//! Bytes that no kernel would send, for tests: attributes of any type and value within one another, some with lengths
//! that lie.

use proptest::prelude::*;

use super::Message;

/// Gives `read` many messages that make little sense. It may say what it likes, but may not panic.
pub(crate) fn try_on<T>(read: impl Fn(&Message<'_>) -> T) {
    let headers = prop_oneof![Just(4usize), Just(8), Just(12), Just(16), Just(72), 0..80usize];
    let messages = (headers, any::<[u8; 80]>(), attributes(), any::<u16>());
    proptest!(|((header, junk, attributes, kind) in messages)| {
        let mut payload = junk[..header].to_vec();
        payload.extend_from_slice(&attributes);
        read(&Message { kind, flags: 0, sequence: 0, payload: &payload });
        // The families are what most readers ask for first.
        for family in [2, 10] {
            if let Some(first) = payload.first_mut() {
                *first = family;
            }
            read(&Message { kind, flags: 0, sequence: 0, payload: &payload });
        }
    });
}

fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..24),
        any::<[u8; 4]>().prop_map(Vec::from),
        any::<[u8; 16]>().prop_map(Vec::from),
        "[a-z0-9]{1,15}".prop_map(|text| [text.as_bytes(), b"\0"].concat()),
    ];
    value.prop_recursive(3, 32, 6, |inner| {
        let attribute = (0u16..64, inner, prop_oneof![9 => Just(None), 1 => any::<u16>().prop_map(Some)]);
        prop::collection::vec(attribute, 0..6).prop_map(|attributes| {
            let mut bytes = Vec::new();
            for (kind, value, lie) in attributes {
                let length = lie.unwrap_or((value.len() + 4) as u16);
                bytes.extend_from_slice(&length.to_ne_bytes());
                bytes.extend_from_slice(&kind.to_ne_bytes());
                bytes.extend_from_slice(&value);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        })
    })
}
