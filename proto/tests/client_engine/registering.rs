//! Registration, keepalive, moving, leaving, ping. SPEC 5

use std::time::Duration;

use roundtable_proto::client::{
    CHALLENGES_AT_ONCE, COOKIE_LIFETIME, DropReason, Event, Handled, KEEPALIVE_INTERVAL, KEEPALIVES_MAX,
    REGISTERS_EAGER, RTO_INITIAL, RefusalCode, SILENT_AFTER, TICKET_LIFETIME,
};
use roundtable_proto::wire::{
    Address, Challenge, Cookie, ErrorCode, Frame, Keepalive, Kind, Pong, Refusal, Register, Registered,
    Session, Signature, Ticket, TransactionId, Unregister, Zeros,
};

use crate::rig::{OBSERVED, ROUND_TRIP, Rig, SERVER, SESSION, address, identifier, observed, registered};

fn is_near(time: Duration, expected: Duration) -> bool {
    let tenth = expected / 10 + Duration::from_millis(1);
    time >= expected - tenth && time <= expected + tenth
}

fn keepalive_sent(rig: &mut Rig) -> Keepalive {
    rig.sent(|frames| match frames {
        [Frame::Keepalive(keepalive)] => *keepalive,
        other => panic!("sent {other:?}"),
    })
}

fn challenge(reference: TransactionId) -> Frame<'static> {
    Frame::Challenge(Challenge { reference, cookie: Cookie([9; 16]), observed: observed() })
}

#[test]
fn new_client_is_silent_until_told_to_register() {
    let mut rig = Rig::new(1);
    assert_eq!((rig.kinds(), rig.events(), rig.client.poll_timeout()), (vec![], vec![], None));
}

#[test]
fn registering_takes_a_zero_cookie_a_challenge_and_the_cookie() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let first = rig.register_sent();
    let expected = Register {
        session: Session::NONE,
        transaction: first.transaction,
        identifier: identifier(1),
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::from(address(SERVER)),
        signature: Signature::NONE,
    };
    assert_eq!(first, expected);
    assert_eq!(rig.hear(&challenge(first.transaction)), Handled::Ours);
    let second = rig.register_sent();
    assert_ne!(second.transaction, first.transaction);
    assert_eq!(second, Register { transaction: second.transaction, cookie: Cookie([9; 16]), ..expected });
    assert_eq!(rig.events(), []);
    assert_eq!(rig.hear(&Frame::Registered(registered(second.transaction, SESSION))), Handled::Ours);
    let event = Event::Registered {
        observed: observed(),
        ttl: Duration::from_secs(60),
        timeout: Duration::from_secs(30),
        maxblob: 65_536,
        resumed: false,
    };
    assert_eq!((rig.events(), rig.kinds()), (vec![event], vec![]));
}

/// Lets REGISTERs go unanswered, and checks how long the client waits after each.
fn unanswered(rig: &mut Rig, waits: impl Iterator<Item = u64>, silent_after: usize) {
    let first = rig.register_sent();
    for (times, millis) in waits.enumerate() {
        let waited = rig.pass_to_timeout();
        assert!(is_near(waited, Duration::from_millis(millis)), "{times}: {waited:?}");
        assert_eq!(rig.register_sent(), first);
        let told = if times + 1 == silent_after { vec![Event::ServerSilent] } else { vec![] };
        assert_eq!(rig.events(), told);
    }
}

/// Doubling, up to the upper bound.
const RARER: [u64; 6] = [1000, 2000, 4000, 8000, 8000, 8000];

#[test]
fn unanswered_register_of_a_new_client_is_repeated_eagerly_then_ever_more_rarely_without_end() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let eager = REGISTERS_EAGER as usize + 1;
    unanswered(&mut rig, std::iter::repeat_n(500, eager).chain(RARER), SILENT_AFTER as usize);
}

#[test]
fn unanswered_register_with_a_session_is_repeated_ever_more_rarely_from_the_first() {
    let mut rig = Rig::registered(1);
    rig.client.rebind(rig.now);
    unanswered(&mut rig, std::iter::once(500).chain(RARER), SILENT_AFTER as usize);
}

#[test]
fn unanswered_register_with_a_cookie_is_repeated_eagerly() {
    let mut rig = Rig::registered(1);
    rig.client.rebind(rig.now);
    let register = rig.register_sent();
    rig.hear(&challenge(register.transaction));
    unanswered(&mut rig, std::iter::repeat_n(500, 20), SILENT_AFTER as usize);
}

#[test]
fn frames_that_answer_nothing_outstanding_are_ignored() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let transaction = rig.register_sent().transaction;
    let forged = TransactionId([1; 16]);
    let ignored = |reason| Handled::Dropped(reason);
    assert_eq!(rig.hear(&challenge(forged)), ignored(DropReason::Reference));
    assert_eq!(rig.hear(&Frame::Registered(registered(forged, SESSION))), ignored(DropReason::Reference));
    let zero = registered(transaction, Session::NONE);
    assert_eq!(rig.hear(&Frame::Registered(zero)), ignored(DropReason::Session));
    assert_eq!(rig.hear_from("192.0.2.1:1067", &challenge(transaction)), ignored(DropReason::Source));
    assert_eq!(rig.hear_from("192.0.2.2:1066", &challenge(transaction)), ignored(DropReason::Source));
    let unregister = Unregister { session: SESSION, transaction, zero: Zeros::ZERO };
    assert_eq!(rig.hear(&Frame::Unregister(unregister)), ignored(DropReason::Direction));
    assert_eq!(rig.hear(&Frame::Unregistered(unregister)), ignored(DropReason::Session));
    let keepalive = Keepalive { session: SESSION, transaction, observed: observed() };
    assert_eq!(rig.hear(&Frame::KeepaliveReply(keepalive)), ignored(DropReason::Session));
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.client.counters().dropped(DropReason::Source), 2);
}

#[test]
fn server_on_a_dual_stack_socket_is_the_server() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let transaction = rig.register_sent().transaction;
    assert_eq!(rig.hear_from("[::ffff:192.0.2.1]:1066", &challenge(transaction)), Handled::Ours);
}

#[test]
fn media_on_the_same_socket_is_not_ours() {
    let mut rig = Rig::registered(1);
    for datagram in [&b""[..], b"R", b"\x80\x60rtp", b"\x00\x01stun", b"RX"] {
        assert_eq!(rig.client.handle_datagram(rig.now, address(SERVER), datagram), Handled::NotOurs);
    }
    assert_eq!(rig.client.counters().datagrams_in, 2, "CHALLENGE and REGISTERED");
}

#[test]
fn keepalive_goes_out_every_20_seconds_and_its_answer_rests_it() {
    let mut rig = Rig::registered(1);
    for _ in 0..3 {
        let waited = rig.pass_to_timeout();
        assert!(is_near(waited, KEEPALIVE_INTERVAL), "{waited:?}");
        let keepalive = keepalive_sent(&mut rig);
        assert_eq!((keepalive.session, keepalive.observed), (SESSION, observed()));
        assert_eq!(rig.hear(&Frame::KeepaliveReply(keepalive)), Handled::Ours);
        assert_eq!(rig.hear(&Frame::KeepaliveReply(keepalive)), Handled::Dropped(DropReason::Reference));
        assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    }
}

#[test]
fn old_ticket_is_renewed_by_a_register_in_place_of_a_keepalive() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let first = rig.register_sent();
    rig.hear(&challenge(first.transaction));
    let second = rig.register_sent();
    let ticket = Ticket([7; 16]);
    rig.hear(&Frame::Registered(Registered { ticket, ..registered(second.transaction, SESSION) }));
    let proved_at = rig.now;
    rig.events();
    loop {
        rig.pass_to_timeout();
        let keepalive = rig.sent(|frames| match frames {
            [Frame::Keepalive(keepalive)] => Some(*keepalive),
            [Frame::Register(register)] => {
                assert_eq!((register.session, register.ticket), (SESSION, ticket));
                None
            }
            other => panic!("sent {other:?}"),
        });
        let age = rig.now.since(proved_at);
        let Some(keepalive) = keepalive else {
            assert!(age >= TICKET_LIFETIME / 2 && rig.events().is_empty());
            return;
        };
        assert!(age < TICKET_LIFETIME / 2);
        rig.hear(&Frame::KeepaliveReply(keepalive));
    }
}

#[test]
fn changed_address_in_a_keepalive_reply_is_told() {
    let mut rig = Rig::registered(1);
    rig.pass_to_timeout();
    let keepalive = keepalive_sent(&mut rig);
    let observed: Address = "203.0.113.5:9".parse().unwrap();
    rig.hear(&Frame::KeepaliveReply(Keepalive { observed, ..keepalive }));
    assert_eq!(rig.events(), [Event::AddressChanged { observed }]);
}

#[test]
fn six_unanswered_keepalives_make_the_server_silent_and_the_client_ask_with_its_session() {
    let mut rig = Rig::registered(1);
    rig.pass_to_timeout();
    let first = keepalive_sent(&mut rig);
    assert_eq!(KEEPALIVES_MAX, 6);
    for _ in 1..KEEPALIVES_MAX {
        rig.pass_to_timeout();
        assert_eq!(keepalive_sent(&mut rig), first);
        assert_eq!(rig.events(), []);
    }
    rig.pass_to_timeout();
    assert_eq!(rig.events(), [Event::ServerSilent]);
    let register = rig.register_sent();
    assert_eq!((register.session, register.cookie), (SESSION, Cookie::NONE));
    rig.hear(&challenge(register.transaction));
    rig.answer_proof(SESSION);
    let events = rig.events();
    assert!(matches!(events.as_slice(), [Event::Registered { resumed: true, .. }]), "{events:?}");
}

#[test]
fn challenged_keepalive_proves_the_address_at_once_and_a_restarted_server_gives_a_new_session() {
    let mut rig = Rig::registered(1);
    rig.pass_to_timeout();
    let keepalive = keepalive_sent(&mut rig);
    assert_eq!(rig.hear(&challenge(keepalive.transaction)), Handled::Ours);
    rig.answer_proof(Session([6; 16]));
    let events = rig.events();
    assert!(matches!(events.as_slice(), [Event::Registered { resumed: false, .. }]), "{events:?}");
    rig.pass_to_timeout();
    assert_eq!(keepalive_sent(&mut rig).session, Session([6; 16]));
}

#[test]
fn only_one_of_many_challenges_is_answered() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(&[1; 16 * 1024]);
    assert_eq!(rig.indices().len(), 16);
    rig.now += ROUND_TRIP;
    let reference = TransactionId(*offer.as_bytes());
    assert_eq!(rig.hear(&challenge(reference)), Handled::Ours);
    for _ in 0..15 {
        assert_eq!(rig.hear(&challenge(reference)), Handled::Dropped(DropReason::Reference));
    }
    rig.answer_proof(SESSION);
    // One that comes late cannot be about what was sent since.
    rig.now += ROUND_TRIP / 2;
    assert_eq!(rig.hear(&challenge(reference)), Handled::Dropped(DropReason::Reference));
    assert_eq!(rig.indices(), (0..16).collect::<Vec<_>>());
}

#[test]
fn server_that_refuses_every_cookie_is_not_asked_without_pause() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let mut register = rig.register_sent();
    for _ in 0..CHALLENGES_AT_ONCE {
        rig.hear(&challenge(register.transaction));
        register = rig.register_sent();
    }
    rig.hear(&challenge(register.transaction));
    assert_eq!(rig.kinds(), []);
    let waited = rig.pass_to_timeout();
    assert!(is_near(waited, RTO_INITIAL), "{waited:?}");
    assert_eq!(rig.kinds(), [Kind::Register]);
}

#[test]
fn old_cookie_is_not_repeated() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let first = rig.register_sent();
    rig.hear(&challenge(first.transaction));
    let proved_at = rig.now;
    assert_eq!(rig.register_sent().cookie, Cookie([9; 16]));
    loop {
        rig.pass_to_timeout();
        let register = rig.register_sent();
        if rig.now.since(proved_at) >= COOKIE_LIFETIME / 2 {
            assert_eq!(register.cookie, Cookie::NONE);
            return;
        }
        assert_eq!(register.cookie, Cookie([9; 16]));
    }
}

#[test]
fn refusal_with_retry_after_is_waited_out_and_told_once() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let register = rig.register_sent();
    let refused = (Kind::Register, ErrorCode::IdentifierTaken);
    assert_eq!(rig.hear_error(register.transaction.0, refused, 7000), Handled::Ours);
    let repeated = rig.hear_error(register.transaction.0, refused, 7000);
    assert_eq!(repeated, Handled::Dropped(DropReason::Reference));
    let retry_after = Some(Duration::from_secs(7));
    let code = RefusalCode::Known(ErrorCode::IdentifierTaken);
    assert_eq!(rig.events(), [Event::RegistrationFailed { code, detail: 0, retry_after }]);
    assert_eq!(rig.pass_to_timeout(), Duration::from_secs(7));
    assert_eq!(rig.kinds(), [Kind::Register]);
}

#[test]
fn final_refusal_ends_the_registration_and_its_calls() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.hear(&challenge(TransactionId(*offer.as_bytes())));
    // It may be too early for a CHALLENGE to what was sent after REGISTERED.
    rig.now += ROUND_TRIP;
    rig.hear(&challenge(TransactionId(*offer.as_bytes())));
    let register = rig.register_sent();
    rig.hear_error(register.transaction.0, (Kind::Register, ErrorCode::IdentifierRefused), 0);
    let events = rig.events();
    let code = RefusalCode::Known(ErrorCode::IdentifierRefused);
    assert_eq!(events[0], Event::RegistrationFailed { code, detail: 0, retry_after: None });
    let reason = roundtable_proto::client::FailReason::Unregistered;
    assert_eq!(events[1..], [Event::Failed { offer, reason }]);
    assert_eq!((rig.kinds(), rig.client.poll_timeout()), (vec![], None));
}

#[test]
fn version_is_a_hint_in_any_version_and_registering_goes_on() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let register = rig.register_sent();
    let refusal = Refusal {
        reference: register.transaction,
        code: ErrorCode::Version.number(),
        kind: Kind::Register.number(),
        detail: 2,
        retry_after: 0,
    };
    let mut bytes = Frame::Error(refusal).to_vec();
    bytes[2] = 2;
    assert_eq!(rig.client.handle_datagram(rig.now, address(SERVER), &bytes), Handled::Ours);
    let events = rig.events();
    assert!(matches!(
        events.as_slice(),
        [Event::RegistrationFailed {
            code: RefusalCode::Known(ErrorCode::Version),
            detail: 2,
            retry_after: Some(_)
        }]
    ));
    rig.pass_to_timeout();
    assert_eq!(rig.register_sent(), register);
}

#[test]
fn unregister_is_sent_three_times_and_then_done_without_an_answer() {
    let mut rig = Rig::registered(1);
    rig.client.unregister(rig.now);
    for _ in 0..3 {
        assert_eq!(rig.kinds(), [Kind::Unregister]);
        assert_eq!(rig.events(), []);
        rig.pass_to_timeout();
    }
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![Event::Unregistered]));
    assert_eq!(rig.client.poll_timeout(), None);
}

#[test]
fn unregister_ends_with_its_answer_or_with_a_challenge() {
    for is_challenge in [false, true] {
        let mut rig = Rig::registered(1);
        rig.client.unregister(rig.now);
        let unregister = rig.sent(|frames| match frames {
            [Frame::Unregister(unregister)] => *unregister,
            other => panic!("sent {other:?}"),
        });
        let other = Unregister { transaction: TransactionId([1; 16]), ..unregister };
        assert_eq!(rig.hear(&Frame::Unregistered(other)), Handled::Dropped(DropReason::Reference));
        let answer =
            if is_challenge { challenge(unregister.transaction) } else { Frame::Unregistered(unregister) };
        assert_eq!(rig.hear(&answer), Handled::Ours);
        assert_eq!((rig.kinds(), rig.events()), (vec![], vec![Event::Unregistered]));
        assert_eq!(rig.client.poll_timeout(), None);
    }
}

#[test]
fn rebinding_proves_the_new_address_with_the_session_held() {
    let mut rig = Rig::registered(1);
    rig.client.rebind(rig.now);
    let register = rig.register_sent();
    assert_eq!((register.session, register.cookie), (SESSION, Cookie::NONE));
    rig.hear(&challenge(register.transaction));
    let proof = rig.register_sent();
    let observed: Address = "203.0.113.5:9".parse().unwrap();
    let mut answer = registered(proof.transaction, SESSION);
    answer.observed = observed;
    rig.hear(&Frame::Registered(answer));
    let events = rig.events();
    assert!(matches!(events[0], Event::Registered { resumed: true, .. }));
    assert_eq!(events[1..], [Event::AddressChanged { observed }]);
}

#[test]
fn ping_measures_exactly_and_is_given_up_after_three() {
    let mut rig = Rig::new(1);
    rig.client.ping(rig.now);
    rig.sent(|frames| assert!(matches!(frames, [Frame::Ping(_)])));
    rig.pass_to_timeout();
    let ping = rig.sent(|frames| match frames {
        [Frame::Ping(ping)] => *ping,
        other => panic!("sent {other:?}"),
    });
    rig.now += ROUND_TRIP;
    let pong = Frame::Pong(Pong { transaction: ping.transaction, observed: address(OBSERVED).into() });
    assert_eq!(rig.hear(&pong), Handled::Ours);
    assert_eq!(rig.events(), [Event::Pong { round_trip: ROUND_TRIP, observed: observed() }]);
    assert_eq!(rig.hear(&pong), Handled::Dropped(DropReason::Reference));
    assert_eq!(rig.client.poll_timeout(), None);
    rig.client.ping(rig.now);
    for _ in 0..3 {
        assert_eq!(rig.kinds(), [Kind::Ping]);
        rig.pass_to_timeout();
    }
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![Event::ServerSilent]));
}
