use super::*;

#[test]
fn payloads_begin_with_the_cookie_and_have_the_size() {
    assert_eq!(payload(*b"12345678", 11), b"12345678abc");
    assert_eq!(payload(*b"12345678", 0), b"12345678");
    assert_eq!(payload(*b"12345678", u32::MAX).len(), LONGEST);
}

#[test]
fn an_echo_has_an_identifier() {
    assert_eq!(echo_id([0; 8]), 1);
    assert_eq!(echo_id([0, 0, 0, 0, 0, 0, 1, 2]), 0x0102);
}
