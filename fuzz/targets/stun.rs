//! Any bytes are a STUN request, whose answer is bounded and no request itself, or a named error.

use std::net::SocketAddr;

use roundtable_proto::stun::{self, ANSWER_MAX, Behaviour, DecodeError, Other};
use roundtable_proto::wire;

/// By how much an answer may exceed its request, in fifths, for each family. SPEC 11
const MOST: [(&str, usize); 2] = [("192.0.2.1:32853", 8), ("[2001:db8::1]:32853", 11)];

pub(super) fn stun(input: &[u8]) {
    let mut request = match stun::decode(input) {
        Ok(request) => request,
        Err(error) => return assert!(!error.to_string().is_empty() && !error.name().is_empty()),
    };
    assert!(stun::is_stun(input) && !wire::is_ours(input));
    for (from, fifths) in MOST {
        let answer = written(&request, from, None);
        assert!(5 * answer.len() <= fifths * input.len(), "{} bytes for {}", answer.len(), input.len());
        check(&answer, input);
    }
    let change = request.change();
    request.grant_change();
    assert_eq!(request.change(), change);
    assert!(!change.port && !change.address || !request.unknown().contains(&3));
    let address: SocketAddr = MOST[1].0.parse().expect("an address");
    for other in [None, Some(Other::Port(1066)), Some(Other::Address(address))] {
        let behaviour = Behaviour { origin: Some(address), other };
        check(&written(&request, MOST[1].0, Some(behaviour)), input);
    }
}

fn written(request: &stun::Request, from: &str, behaviour: Option<Behaviour>) -> Vec<u8> {
    let from: SocketAddr = from.parse().expect("an address");
    let (mut bytes, answer) = (Vec::new(), request.answer(from).telling(behaviour));
    answer.write(&mut bytes);
    assert_eq!(bytes.len(), answer.size());
    bytes
}

/// The transaction comes back, and two servers can never answer each other.
fn check(answer: &[u8], input: &[u8]) {
    assert!(answer.len() <= ANSWER_MAX && answer.len().is_multiple_of(4));
    assert_eq!(answer[4..20], input[4..20]);
    match stun::decode(answer) {
        Err(DecodeError::NotBindingRequest { .. } | DecodeError::NotStun) => {}
        other => panic!("an answer is taken for {other:?}"),
    }
}
