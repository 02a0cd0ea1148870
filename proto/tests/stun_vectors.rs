//! The vectors of STUN: what is answered is answered with just these bytes, and what is refused is refused by that name. The
//! file was not written by this code. Its HMACs are checked by `tests/python/test_stun.py`, since a server needs none.

#![expect(clippy::unwrap_used, reason = "a test ends where its data is not as it should be")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use roundtable_proto::stun::{self, DecodeError};
use serde_json::Value;

fn vectors(list: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/stun.json")).unwrap();
    file[list].as_array().unwrap().clone()
}

fn bytes(vector: &Value, key: &str) -> Vec<u8> {
    let hex = vector[key].as_str().unwrap_or_else(|| panic!("{vector} has no {key}"));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn address(vector: &Value, key: &str) -> SocketAddr {
    vector[key].as_str().unwrap().parse().unwrap()
}

fn answer(request: &[u8], from: SocketAddr) -> Vec<u8> {
    let request = stun::decode(request).unwrap();
    let mut out = Vec::new();
    let answer = request.answer(from);
    answer.write(&mut out);
    assert_eq!(out.len(), answer.size());
    out
}

#[test]
fn every_answer_is_that_of_the_vectors() {
    for vector in vectors("answered") {
        let answer = answer(&bytes(&vector, "request"), address(&vector, "from"));
        assert_eq!(answer, bytes(&vector, "answer"), "{}", vector["name"]);
    }
}

#[test]
fn every_request_that_must_fail_fails_as_it_says() {
    let mut names = BTreeSet::new();
    for vector in vectors("must_fail") {
        let error = stun::decode(&bytes(&vector, "hex")).expect_err(vector["name"].as_str().unwrap());
        assert_eq!(error.name(), vector["error"], "{}: {error}", vector["name"]);
        names.insert(error.name());
    }
    let all = [
        DecodeError::NotStun,
        DecodeError::BadLength,
        DecodeError::NotBindingRequest { number: 0 },
        DecodeError::BadAttribute { number: 0 },
        DecodeError::BadFingerprint,
        DecodeError::ClassicExtra { number: 0 },
    ];
    assert_eq!(names, all.map(DecodeError::name).into(), "an error has no vector");
}

/// The responses of RFC 5769 hold the attribute that an answer to the same transaction from the same address has.
#[test]
fn addresses_are_masked_as_in_rfc_5769() {
    for vector in vectors("rfc5769").iter().filter(|vector| !vector["observed"].is_null()) {
        let response = bytes(vector, "hex");
        let mut request = vec![0, 1, 0, 0];
        request.extend_from_slice(&response[4..20]);
        let answer = answer(&request, address(vector, "observed"));
        let masked = &answer[20..];
        assert!(response.windows(masked.len()).any(|part| part == masked), "{}", vector["name"]);
    }
}

/// With a response's type made that of a request, its FINGERPRINT must fail: the type is part of the sum.
#[test]
fn fingerprints_are_those_of_rfc_5769() {
    for vector in vectors("rfc5769") {
        let mut message = bytes(&vector, "hex");
        match stun::decode(&message) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, DecodeError::NotBindingRequest { number: 0x0101 }, "{}", vector["name"]);
                message[0] = 0;
                assert_eq!(stun::decode(&message), Err(DecodeError::BadFingerprint), "{}", vector["name"]);
            }
        }
    }
}
