use super::*;

use std::net::SocketAddr;

/// A request with cookie and these attributes; no fingerprint.
fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = vec![0, 1, 0, 0];
    out.extend(MAGIC_COOKIE);
    out.extend([7; 12]);
    for (number, value) in attributes {
        out.extend(number.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(*value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let length = (out.len() - HEADER) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// Adds a fingerprint that fits.
fn with_fingerprint(mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() + FINGERPRINT_SIZE - HEADER) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let value = fingerprint::of(&message);
    message.extend([0x80, 0x28, 0, 4]);
    message.extend(value);
    message
}

fn answer(message: &[u8], observed: &str) -> Vec<u8> {
    let observed: SocketAddr = observed.parse().unwrap();
    let request = decode(message).unwrap();
    let mut out = vec![0xEE];
    let answer = request.answer(observed);
    answer.write(&mut out);
    assert_eq!(out.len() - 1, answer.size());
    out.split_off(1)
}

#[test]
fn answers_have_the_least_length() {
    for (message, sizes) in [
        (request(&[]), [32, 44]),
        (with_fingerprint(request(&[])), [40, 52]),
        (request(&[(0x0027, &[0; 4])]), [36, 36]),
    ] {
        assert_eq!(["192.0.2.1:1", "[2001:db8::1]:1"].map(|from| answer(&message, from).len()), sizes);
    }
}

#[test]
fn every_changed_bit_of_a_fingerprinted_request_is_noticed() {
    let good = with_fingerprint(request(&[(0x8022, b"x")]));
    assert!(decode(&good).is_ok());
    for bit in 0..8 * good.len() {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // Without its cookie, its type or its fingerprint's type it is another message.
        let Ok(request) = decode(&bad) else { continue };
        assert!(!request.has_fingerprint, "bit {bit}");
    }
    let mut followed = request(&[(FINGERPRINT, &[0; 4]), (0x8022, b"x")]);
    assert_eq!(decode(&followed), Err(DecodeError::BadFingerprint));
    followed.truncate(0);
    assert_eq!(decode(&followed), Err(DecodeError::NotStun));
}

#[test]
fn classic_request_asks_for_its_address_and_nothing_else() {
    let mut plain = request(&[]);
    plain[4..8].fill(9);
    let answer = answer(&plain, "192.0.2.1:258");
    assert_eq!(answer[..4], [1, 1, 0, 12]);
    assert_eq!(answer[4..20], plain[4..]);
    assert_eq!(answer[20..], [0, 1, 0, 8, 0, 1, 1, 2, 192, 0, 2, 1]);
    for (attribute, value, taken) in
        [(3, [0; 4], true), (3, [0, 0, 0, 6], false), (2, [0; 4], false), (0x8022, [0; 4], false)]
    {
        let mut message = request(&[(attribute, &value)]);
        message[4..8].fill(9);
        assert_eq!(decode(&message).is_ok(), taken, "{attribute:#x} {value:?}");
    }
}

#[test]
fn what_asks_another_address_for_the_answer_is_not_understood() {
    for number in [0x0003, 0x0027, 0x0002, 0x7FFF] {
        assert_eq!(decode(&request(&[(number, &[0, 0, 0, 6])])).unwrap().unknown(), [number]);
    }
}

#[test]
fn change_is_understood_where_it_is_granted_and_nothing_else_with_it() {
    for (bits, address, port) in [(2, false, true), (4, true, false), (6, true, true)] {
        let mut message =
            decode(&request(&[(0x7001, b""), (0x0003, &[0, 0, 0, bits]), (0x7002, b"")])).unwrap();
        assert_eq!(message.change(), Change { address, port });
        assert_eq!(message.unknown(), [0x7001, 3, 0x7002]);
        message.grant_change();
        assert_eq!(message.unknown(), [0x7001, 0x7002]);
        message.grant_change();
        assert_eq!(message.unknown(), [0x7001, 0x7002]);
    }
    for value in [[0, 0, 0, 1], [0, 0, 0, 8], [1, 0, 0, 2], [0, 0, 0, 0]] {
        assert_eq!(decode(&request(&[(0x0003, &value)])).unwrap().change(), Change::default(), "{value:?}");
    }
}

#[test]
fn longest_answer_is_that_of_three_addresses() {
    let v6: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
    let request = decode(&with_fingerprint(request(&[]))).unwrap();
    let behaviour = Behaviour { origin: Some(v6), other: Some(Other::Address(v6)) };
    assert_eq!(request.answer(v6).telling(Some(behaviour)).size(), ANSWER_MAX);
}

#[test]
fn only_so_many_unknown_attributes_are_named_and_each_once() {
    let numbers: Vec<u16> = (0x7000..0x7014).collect();
    let mut attributes: Vec<(u16, &[u8])> = numbers.iter().map(|number| (*number, &[][..])).collect();
    attributes.insert(1, (0x7000, &[]));
    let message = with_fingerprint(request(&attributes));
    assert_eq!(decode(&message).unwrap().unknown(), &numbers[..UNKNOWN_MAX]);
    assert_eq!(answer(&message, "192.0.2.1:1").len(), 56);
}

#[test]
fn nothing_but_a_whole_binding_request_is_answered() {
    use DecodeError::{BadAttribute, BadLength, NotBindingRequest, NotStun};
    let with = |number: u16| {
        let mut message = request(&[]);
        message[..2].copy_from_slice(&number.to_be_bytes());
        message
    };
    for number in [0x0011, 0x0101, 0x0111, 0x0003, 0x0002, 0] {
        assert_eq!(decode(&with(number)), Err(NotBindingRequest { number }));
    }
    assert_eq!(decode(&with(0x4001)), Err(NotStun));
    let whole = request(&[(0x8022, b"name")]);
    for length in 0..whole.len() {
        let expected = if length < HEADER { NotStun } else { BadLength };
        assert_eq!(decode(&whole[..length]), Err(expected));
    }
    let mut overlong = whole;
    overlong[23] = 9;
    assert_eq!(decode(&overlong), Err(BadAttribute { number: 0x8022 }));
}
