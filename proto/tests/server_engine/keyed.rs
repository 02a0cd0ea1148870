//! Keyed identifiers: only the owner registers one, wherever the attacker stands. SPEC 5

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::Seed;
use roundtable_proto::identity::{Binding, SecretKey};
use roundtable_proto::server::{
    Config, Event, LastingSecret, Outcome, PEER_TTL, PEER_TTL_SLACK, TICKET_LIFETIME, Via,
};
use roundtable_proto::wire::{
    self, Address, Cookie, ErrorCode, Frame, Kind, PeerId, Register, Registered, Session, Signature, Ticket,
};

use crate::rig::*;

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

/// What the clients here call the server, whose rig does not tell it its address.
fn called() -> Address {
    "192.0.2.1:1066".parse().unwrap()
}

fn signature(key: &SecretKey, cookie: Cookie, observed: SocketAddr) -> Signature {
    key.sign_register(&Binding { cookie, observed: Address::from(observed), server: called() })
}

fn signed(key: &SecretKey, session: Session, cookie: Cookie, observed: SocketAddr) -> Frame<'static> {
    let signature = signature(key, cookie, observed);
    with_proof(key.identifier(), session, cookie, Ticket::NONE, signature)
}

fn with_proof(
    identifier: PeerId,
    session: Session,
    cookie: Cookie,
    ticket: Ticket,
    signature: Signature,
) -> Frame<'static> {
    let (transaction, server) = (ASKED, called());
    Frame::Register(Register { session, transaction, identifier, cookie, ticket, server, signature })
}

fn registered(sent: &[Sent]) -> Registered {
    let [Sent { datagram, .. }] = sent else { panic!("{sent:?}") };
    let Ok(Frame::Registered(registered)) = wire::decode(datagram) else { panic!("{sent:?}") };
    registered
}

/// Registers the owner of `key` at `from`, by signature.
fn join_keyed(rig: &mut Rig, from: SocketAddr, key: &SecretKey, held: Session) -> Registered {
    let cookie = rig.cookie(from);
    registered(&rig.frame(from, &signed(key, held, cookie, from)))
}

fn refused(rig: &mut Rig, from: SocketAddr, frame: &Frame<'_>, code: ErrorCode) {
    let expected = error_with(ASKED, code, Kind::Register, 0, 0);
    assert_eq!(rig.frame(from, frame), [to(from, &expected)]);
}

#[test]
fn the_owner_registers_with_a_signature_over_cookie_and_address() {
    let mut rig = Rig::with(Config { plain_ids: false, events: true, ..small() });
    let owner = join_keyed(&mut rig, ALICE, &key(1), Session::NONE);
    assert_eq!(owner.observed, Address::from(ALICE));
    assert_ne!(owner.ticket, Ticket::NONE);
    assert!(rig.is_live(ALICE, owner.session));
    assert_eq!(rig.events(), [Event::Registered { peer: key(1).identifier(), observed: ALICE }]);
}

#[test]
fn nobody_else_registers_it() {
    let mut rig = Rig::new();
    let owner = key(1);
    let cookie = rig.cookie(CAROL);
    let of_another_key = signature(&key(2), cookie, CAROL);
    let of_another_cookie = signature(&owner, Cookie([9; 16]), CAROL);
    let of_another_address = signature(&owner, cookie, ALICE);
    let binding =
        Binding { cookie, observed: Address::from(CAROL), server: "192.0.2.2:1066".parse().unwrap() };
    let of_another_server = owner.sign_register(&binding);
    for signature in
        [Signature::NONE, of_another_key, of_another_cookie, of_another_address, of_another_server]
    {
        let frame = with_proof(owner.identifier(), Session::NONE, cookie, Ticket::NONE, signature);
        refused(&mut rig, CAROL, &frame, ErrorCode::BadSignature);
    }
    assert_eq!(rig.server.peers(), 0);
}

/// A malicious server hands another server's cookie to its client, and takes the signature there.
#[test]
fn a_signature_made_for_another_server_is_refused_by_name() {
    let own = called().socket_addr().unwrap();
    let elsewhere: SocketAddr = "192.0.2.2:1066".parse().unwrap();
    for (local, public, taken) in [
        (None, vec![own], true),
        (None, vec![elsewhere], false),
        (Some(own), vec![], true),
        (Some(elsewhere), vec![], false),
        (Some(elsewhere), vec![own], true),
        (Some(SocketAddr::new(own.ip(), 1067)), vec![], false),
    ] {
        let mut rig = Rig::with(Config { public_addresses: public.clone(), ..small() });
        if let Some(local) = local {
            rig.server.learn_local_address(Via::default(), local);
        }
        let cookie = rig.cookie(ALICE);
        let frame = signed(&key(1), Session::NONE, cookie, ALICE);
        if taken {
            registered(&rig.frame(ALICE, &frame));
        } else {
            refused(&mut rig, ALICE, &frame, ErrorCode::WrongServer);
        }
        let checked = rig.server.counters().signatures_checked;
        assert_eq!((rig.server.peers(), checked), (taken.into(), taken.into()), "{local:?} {public:?}");
    }
}

#[test]
fn identifiers_that_are_no_sound_key_are_refused() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(CAROL);
    // The neutral element: of small order, for which forged signatures exist.
    let mut weak = [0; 32];
    (weak[0], weak[31]) = (1, 0x80);
    for identifier in [PeerId::from_bytes(weak).unwrap(), keyed(0xFF)] {
        let frame = with_proof(identifier, Session::NONE, cookie, Ticket::NONE, Signature([0; 64]));
        refused(&mut rig, CAROL, &frame, ErrorCode::BadSignature);
    }
}

#[test]
fn nobody_takes_it_when_it_has_lapsed() {
    let mut rig = Rig::new();
    let owner = join_keyed(&mut rig, ALICE, &key(1), Session::NONE);
    rig.pass(PEER_TTL + PEER_TTL_SLACK);
    assert!(!rig.is_live(ALICE, owner.session));
    let cookie = rig.cookie(CAROL);
    let stolen = with_proof(key(1).identifier(), owner.session, cookie, owner.ticket, Signature::NONE);
    refused(&mut rig, CAROL, &stolen, ErrorCode::BadSignature);
}

#[test]
fn a_stolen_session_moves_nobody() {
    let mut rig = Rig::new();
    let owner = join_keyed(&mut rig, ALICE, &key(1), Session::NONE);
    rig.pass(Duration::from_secs(1));
    let cookie = rig.cookie(CAROL);
    let stolen = with_proof(key(1).identifier(), owner.session, cookie, owner.ticket, Signature::NONE);
    refused(&mut rig, CAROL, &stolen, ErrorCode::BadSignature);
    assert!(rig.is_live(ALICE, owner.session));
}

#[test]
fn the_owner_moves_with_a_signature_and_keeps_the_session() {
    let mut rig = Rig::new();
    let owner = join_keyed(&mut rig, ALICE, &key(1), Session::NONE);
    rig.pass(Duration::from_secs(1));
    assert_eq!(join_keyed(&mut rig, CAFE, &key(1), owner.session).session, owner.session);
    assert!(!rig.is_live(ALICE, owner.session));
    assert!(rig.is_live(CAFE, owner.session));
    assert_eq!(rig.server.counters().moves, 1);
}

#[test]
fn the_owner_takes_over_from_anywhere_and_the_old_session_is_dead() {
    let mut rig = Rig::new();
    let first = join_keyed(&mut rig, ALICE, &key(1), Session::NONE);
    rig.pass(Duration::from_secs(1));
    let second = join_keyed(&mut rig, CAFE, &key(1), Session::NONE);
    assert_ne!(first.session, second.session);
    assert!(!rig.is_live(ALICE, first.session));
    assert!(rig.is_live(CAFE, second.session));
    assert_eq!(rig.server.peers(), 1);
}

#[test]
fn a_replayed_register_moves_nobody() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(ALICE);
    let old = signed(&key(1), Session::NONE, cookie, ALICE);
    let owner = registered(&rig.frame(ALICE, &old));
    // From another port the cookie is not good.
    assert_eq!(rig.frame(CAROL, &old).len(), 1);
    assert_eq!(rig.outcome, Outcome::Challenged);
    // From the first address, after the owner has moved on, it is older than the address in force.
    rig.pass(Duration::from_secs(1));
    let moved = join_keyed(&mut rig, CAFE, &key(1), owner.session);
    rig.frame(ALICE, &old);
    assert_eq!(rig.outcome, Outcome::Challenged);
    assert!(rig.is_live(CAFE, moved.session));
}

#[test]
fn a_renewal_needs_no_proof_and_brings_a_fresh_ticket() {
    let mut rig = Rig::new();
    let owner = join_keyed(&mut rig, ALICE, &key(1), Session::NONE);
    rig.pass(Duration::from_secs(30));
    let cookie = rig.cookie(ALICE);
    let renewal = with_proof(key(1).identifier(), owner.session, cookie, Ticket::NONE, Signature::NONE);
    let renewed = registered(&rig.frame(ALICE, &renewal));
    assert_eq!(renewed.session, owner.session);
    assert_ne!(renewed.ticket, owner.ticket);
    assert_eq!(rig.server.counters().signatures_checked, 1);
    // Without the session, the same address is no proof: a NAT gives it to somebody else one day.
    let neighbour = with_proof(key(1).identifier(), Session::NONE, cookie, Ticket::NONE, Signature::NONE);
    refused(&mut rig, ALICE, &neighbour, ErrorCode::BadSignature);
}

#[test]
fn a_ticket_spares_the_signature_after_a_restart() {
    let secret = |unix_time| Some(LastingSecret { key: Seed::from_number(3), unix_time });
    let mut before = Rig::with(Config { secret: secret(1_800_000_000), ..small() });
    let owner = join_keyed(&mut before, ALICE, &key(1), Session::NONE);
    let config = Config { secret: secret(1_800_000_100), signature_checks: 0, ..small() };
    let mut after = Rig::seeded(config, 8);
    let back = |rig: &mut Rig, from, identifier| {
        let cookie = rig.cookie(from);
        rig.frame(from, &with_proof(identifier, owner.session, cookie, owner.ticket, Signature::NONE))
    };
    // Not for another identifier, nor from another address: then a signature is wanted, and here none is checked.
    back(&mut after, ALICE, key(2).identifier());
    assert_eq!(after.outcome, Outcome::Refused(ErrorCode::RateLimited));
    back(&mut after, CAROL, key(1).identifier());
    assert_eq!(after.outcome, Outcome::Refused(ErrorCode::RateLimited));
    let sent = back(&mut after, ALICE, key(1).identifier());
    assert!(after.is_live(ALICE, registered(&sent).session));
    assert_eq!(after.server.counters().signatures_checked, 0);
    // And not for ever.
    after.pass(TICKET_LIFETIME);
    back(&mut after, ALICE, key(1).identifier());
    assert_eq!(after.outcome, Outcome::Refused(ErrorCode::RateLimited));
}

#[test]
fn plain_identifiers_get_no_ticket() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(ALICE);
    assert_eq!(registered(&rig.frame(ALICE, &register(Session::NONE, id(1), cookie))).ticket, Ticket::NONE);
}

#[test]
fn signature_checks_are_budgeted_and_the_rest_is_told_when_to_come_back() {
    let mut rig = Rig::with(Config { signature_checks: 50, max_peers: 64, ..small() });
    let alice = rig.join(ALICE, id(1));
    let mut limited = 0;
    for number in 0..40 {
        let from = SocketAddr::from(([192, 0, 2, 50], 7000 + u16::from(number)));
        let cookie = rig.cookie(from);
        let sent = rig.frame(from, &signed(&key(number + 1), Session::NONE, cookie, from));
        if rig.outcome == Outcome::Refused(ErrorCode::RateLimited) {
            limited += 1;
            let Ok(Frame::Error(error)) = wire::decode(&sent[0].datagram) else { panic!("{sent:?}") };
            assert!((500..2500).contains(&error.retry_after), "{error:?}");
        }
    }
    // A tenth of a second's worth at once; keepalives pass all the same.
    assert_eq!((limited, rig.server.counters().signatures_checked), (35, 5));
    assert!(rig.is_live(ALICE, alice));
}
