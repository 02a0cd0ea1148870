//! SPEC 8: both peers are told at the same moment.

use std::net::SocketAddr;

use roundtable_proto::server::{Outcome, Path, Via};
use roundtable_proto::wire::{self, Address, Frame, Kind, OfferId, PunchNow, Session, Token};

use crate::rig::*;

fn punch_now(session: Session, offer: OfferId, peer: SocketAddr, token: Token) -> Frame<'static> {
    Frame::PunchNow(PunchNow { session, offer, peer: Address::from(peer), token })
}

fn token_in(sent: &[Sent]) -> Token {
    match wire::decode(&sent[0].datagram) {
        Ok(Frame::PunchNow(PunchNow { token, .. })) => token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn either_peer_makes_the_server_tell_both_with_one_token() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    let sent = rig.frame(ALICE, &punch(alice, call(1)));
    let token = token_in(&sent);
    let (told_alice, told_bob) =
        (to(ALICE, &punch_now(alice, call(1), BOB, token)), to(BOB, &punch_now(bob, call(1), ALICE, token)));
    assert_eq!(sent, [told_alice.clone(), told_bob.clone()]);
    assert_eq!(rig.outcome, Outcome::Relayed(Kind::Punch));
    rig.pass(secs(10));
    assert_eq!(rig.frame(BOB, &punch(bob, call(1))), [told_bob, told_alice]);
}

#[test]
fn peer_that_moved_is_told_of_at_its_new_address_with_the_same_token() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    let token = token_in(&rig.frame(ALICE, &punch(alice, call(1))));
    rig.pass(secs(1));
    let home: SocketAddr = "[2001:db8::5]:777".parse().unwrap();
    rig.register(home, bob, id(2));
    let expected = [
        to(ALICE, &punch_now(alice, call(1), home, token)),
        to(home, &punch_now(bob, call(1), ALICE, token)),
    ];
    assert_eq!(rig.frame(ALICE, &punch(alice, call(1))), expected);
}

#[test]
fn tokens_of_two_offers_and_of_two_servers_differ() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    rig.frame(ALICE, &offer(alice, call(2), id(2)));
    rig.frame(BOB, &answer(bob, call(2), id(1)));
    let first = token_in(&rig.frame(ALICE, &punch(alice, call(1))));
    let second = token_in(&rig.frame(ALICE, &punch(alice, call(2))));
    let mut other = Rig::seeded(small(), 8);
    let (alice, _) = other.answered();
    let third = token_in(&other.frame(ALICE, &punch(alice, call(1))));
    assert!(first != second && second != third && first != third);
}

#[test]
fn both_are_told_by_their_own_way() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    rig.frame(Path { remote: BOB, via: Via(4) }, &keepalive(bob));
    let sent = rig.frame(Path { remote: ALICE, via: Via(3) }, &punch(alice, call(1)));
    assert_eq!(
        sent.iter().map(|sent| (sent.to, sent.via)).collect::<Vec<_>>(),
        [(ALICE, Via(3)), (BOB, Via(4))]
    );
}
