//! PUNCH, PROBE and PROBE_REPLY. SPEC 8

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{
    DropReason, Event, FRESH_PORT_TIME, FailReason, Handled, OPENING_HOPS, OPENING_HOPS_FAR,
    OPENING_HOPS_NEAR, OPENING_TIME, PROBE_INTERVAL, PROBE_TIME, PUNCH_INTERVAL, PathKind, RTO_INITIAL,
};
use roundtable_proto::probe_key::{Parties, ProbeKey, ProbeSecret, Role};
use roundtable_proto::wire::{
    self, Address, Arrived, BlobKind, ErrorCode, Flag, Frame, Kind, OfferId, Probe, ProbeReply, PunchNow,
    Tag, Token, TransactionId, Zeros,
};

use crate::rig::{ROUND_TRIP, Rig, SESSION, address, identifier};

const TOKEN: Token = Token([4; 16]);
pub(crate) const PEER: &str = "203.0.113.7:7";
const ELSEWHERE: &str = "203.0.113.8:8";

/// A caller whose call was answered, with nothing left to send but repeats of the offer, which come later.
pub(crate) fn answered() -> (Rig, OfferId) {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"theirs", 0);
    rig.sent(|_| ());
    rig.events();
    (rig, offer)
}

pub(crate) fn punch_now(offer: OfferId, peer: &str) -> Frame<'static> {
    punch_now_under(offer, peer, TOKEN)
}

fn punch_now_under(offer: OfferId, peer: &str, token: Token) -> Frame<'static> {
    Frame::PunchNow(PunchNow { session: SESSION, offer, peer: peer.parse().unwrap(), token })
}

/// Returns where each datagram goes and its kind, without what is for the server.
fn probes(rig: &mut Rig) -> Vec<(SocketAddr, Kind, TransactionId)> {
    let mut sent = Vec::new();
    while let Some(transmit) = rig.client.poll_transmit() {
        match wire::decode(&transmit.contents).unwrap() {
            Frame::Probe(probe) => sent.push((transmit.to, Kind::Probe, probe.transaction)),
            Frame::ProbeReply(reply) => sent.push((transmit.to, Kind::ProbeReply, reply.transaction)),
            other => assert!(matches!(other.kind(), Kind::Punch | Kind::Offer), "sent {other:?}"),
        }
    }
    sent
}

/// The key of peer 9, who is the callee of a call of peer 1.
fn theirs(offer: OfferId, token: Token) -> ProbeKey {
    let parties = Parties { offer, caller: identifier(1), callee: identifier(9) };
    ProbeKey::new(&ProbeSecret::none(), &parties, Role::Callee, token)
}

pub(crate) fn probe(offer: OfferId, number: u8) -> Frame<'static> {
    probe_under(offer, number, TOKEN)
}

fn probe_under(offer: OfferId, number: u8, token: Token) -> Frame<'static> {
    let (tag, transaction) = (Tag::NONE, TransactionId([number; 16]));
    theirs(offer, token).sign(Probe { offer, tag, transaction, nominate: Flag::NO, zero: Zeros::ZERO })
}

pub(crate) fn reply(offer: OfferId, transaction: TransactionId) -> Frame<'static> {
    reply_under(offer, transaction, TOKEN)
}

pub(crate) fn reply_under(offer: OfferId, transaction: TransactionId, token: Token) -> Frame<'static> {
    let observed: Address = "198.51.100.1:40000".parse().unwrap();
    theirs(offer, token).sign_reply(ProbeReply { offer, tag: Tag::NONE, transaction, observed })
}

#[test]
fn punch_is_repeated_until_the_server_starts_both() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    assert_eq!(rig.kinds(), [Kind::Punch]);
    rig.pass_to_timeout();
    assert_eq!(rig.kinds(), [Kind::Punch]);
    assert_eq!(rig.hear(&punch_now(offer, PEER)), Handled::Ours);
    let sent = probes(&mut rig);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0, sent[0].1), (address(PEER), Kind::Probe));
}

#[test]
fn punch_goes_out_every_100_ms_until_the_other_peer_is_heard() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    let start = rig.now;
    let mut punches = Vec::new();
    for step in 0..20 {
        // The other peer's PUNCH_NOW is lost again and again: this one's is not.
        if step == 2 {
            rig.hear(&punch_now(offer, PEER));
        }
        if step == 12 {
            rig.hear_from(PEER, &probe(offer, 8));
        }
        while let Some(transmit) = rig.client.poll_transmit() {
            if wire::decode(&transmit.contents).unwrap().kind() == Kind::Punch {
                punches.push(rig.now.since(start));
            }
        }
        rig.pass(PROBE_INTERVAL);
    }
    let expected: Vec<_> = (0..6).map(|times| PUNCH_INTERVAL * times).collect();
    assert_eq!(punches, expected);
}

#[test]
fn punch_goes_on_for_its_time_under_the_token_of_a_restarted_server() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    let (start, mut punches) = (rig.now, Vec::new());
    let mut ended = None;
    while ended.is_none() {
        while let Some(transmit) = rig.client.poll_transmit() {
            if wire::decode(&transmit.contents).unwrap().kind() == Kind::Punch {
                punches.push(rig.now.since(start));
                // The other peer's PUNCH_NOW is lost.
                let token = if punches.len() < 5 { TOKEN } else { Token([5; 16]) };
                rig.hear(&punch_now_under(offer, PEER, token));
            }
        }
        rig.pass(PROBE_INTERVAL);
        let failed = |event: &Event| matches!(event, Event::PunchFailed { .. });
        ended = rig.events().iter().any(failed).then(|| rig.now.since(start));
    }
    let of_its_time = 0..PROBE_TIME.as_millis() / PUNCH_INTERVAL.as_millis();
    let expected: Vec<_> = of_its_time.map(|times| PUNCH_INTERVAL * times as u32).collect();
    assert_eq!((punches, ended), (expected, Some(PROBE_TIME)));
}

#[test]
fn callers_punch_tells_the_callee_that_the_answer_is_there() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    rig.client.answer(rig.now, offer, b"ours".to_vec()).unwrap();
    rig.client.punch(rig.now, offer).unwrap();
    assert_eq!(rig.kinds(), [Kind::Answer], "PUNCH waits for the acknowledgement");
    rig.hear(&punch_now(offer, ELSEWHERE));
    assert_eq!(rig.events(), [Event::AnswerDelivered { offer }]);
    rig.pass(RTO_INITIAL);
    assert!(!probes(&mut rig).is_empty(), "and the answer is not repeated");
    rig.hear_ack(offer, BlobKind::Answer, Arrived(1));
    assert_eq!(rig.events(), []);
}

#[test]
fn punch_waits_for_the_answer() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.client.punch(rig.now, offer).unwrap();
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.kinds(), []);
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"theirs", 0);
    assert_eq!(rig.kinds(), [Kind::Ack, Kind::Punch]);
}

#[test]
fn probes_go_out_every_50_ms_until_their_time_is_over() {
    let (mut rig, offer) = answered();
    rig.hear(&punch_now(offer, PEER));
    let start = rig.now;
    let mut times = vec![Duration::ZERO; probes(&mut rig).len()];
    while !rig.events().iter().any(|event| matches!(event, Event::PunchFailed { .. })) {
        rig.pass_to_timeout();
        times.extend(probes(&mut rig).iter().map(|_| rig.now.since(start)));
    }
    let expected: Vec<_> = (0..90).map(|times| PROBE_INTERVAL * times).collect();
    assert_eq!((times, rig.now.since(start)), (expected, PROBE_TIME));
}

#[test]
fn reply_to_a_probe_proves_the_path_to_where_it_came_from_once() {
    let (mut rig, offer) = answered();
    rig.hear(&punch_now(offer, PEER));
    let (_, _, transaction) = probes(&mut rig)[0];
    rig.now += ROUND_TRIP;
    let forged = reply(offer, TransactionId([1; 16]));
    assert_eq!(rig.hear_from(PEER, &forged), Handled::Dropped(DropReason::Reference));
    assert_eq!(rig.hear_from(ELSEWHERE, &reply(offer, transaction)), Handled::Ours);
    assert_eq!(rig.events(), [], "the other peer does not know of it");
    let (to, _, nominating) = probes(&mut rig)[0];
    assert_eq!(to, address(ELSEWHERE));
    rig.hear_from(ELSEWHERE, &reply(offer, nominating));
    let (peer, kind) = (address(ELSEWHERE), PathKind::Learned);
    assert_eq!(rig.events(), [Event::Path { offer, peer, kind, round_trip: ROUND_TRIP }]);
    rig.hear_from(PEER, &reply(offer, transaction));
    rig.pass(PROBE_INTERVAL);
    assert_eq!((rig.events(), probes(&mut rig)), (vec![], vec![]));
}

#[test]
fn probe_is_answered_where_it_came_from_and_an_unexpected_address_probed_once_for_each() {
    let (mut rig, offer) = answered();
    rig.hear(&punch_now(offer, PEER));
    probes(&mut rig);
    rig.hear_from(PEER, &probe(offer, 8));
    assert_eq!(probes(&mut rig), [(address(PEER), Kind::ProbeReply, TransactionId([8; 16]))]);
    for number in 9..12 {
        rig.hear_from(ELSEWHERE, &probe(offer, number));
        let sent: Vec<_> = probes(&mut rig).iter().map(|&(to, kind, _)| (to, kind)).collect();
        assert_eq!(sent, [(address(ELSEWHERE), Kind::ProbeReply), (address(ELSEWHERE), Kind::Probe)]);
    }
}

#[test]
fn probes_are_answered_after_the_path_is_proved_too() {
    let (mut rig, offer) = answered();
    rig.hear(&punch_now(offer, PEER));
    let (_, _, transaction) = probes(&mut rig)[0];
    rig.hear_from(PEER, &reply(offer, transaction));
    let (_, _, nominating) = probes(&mut rig)[0];
    rig.hear_from(PEER, &reply(offer, nominating));
    rig.hear_from(ELSEWHERE, &probe(offer, 8));
    assert_eq!(probes(&mut rig), [(address(ELSEWHERE), Kind::ProbeReply, TransactionId([8; 16]))]);
}

#[test]
fn probes_without_offer_or_tag_are_ignored() {
    let (mut rig, offer) = answered();
    assert_eq!(rig.hear_from(PEER, &probe(offer, 8)), Handled::Dropped(DropReason::Tag));
    rig.hear(&punch_now(offer, PEER));
    let sent = rig.client.poll_transmit().unwrap().contents;
    let forged = probe_under(offer, 8, Token([1; 16]));
    assert_eq!(rig.hear_from(PEER, &forged), Handled::Dropped(DropReason::Tag));
    let reflected = rig.client.handle_datagram(rig.now, address(PEER), &sent);
    assert_eq!(reflected, Handled::Dropped(DropReason::Tag));
    let unknown = probe(crate::rig::offer_id(77), 8);
    assert_eq!(rig.hear_from(PEER, &unknown), Handled::Dropped(DropReason::Offer));
    assert_eq!(rig.hear(&probe(offer, 8)), Handled::Dropped(DropReason::Direction));
    assert_eq!(probes(&mut rig), []);
}

#[test]
fn probe_that_somebody_has_read_is_worth_nothing_elsewhere() {
    let (mut rig, offer) = answered();
    rig.hear(&punch_now(offer, PEER));
    probes(&mut rig);
    assert_eq!(rig.hear_from(PEER, &probe(offer, 8)), Handled::Ours);
    assert_eq!(rig.hear_from(PEER, &probe(offer, 8)), Handled::Ours, "a duplicate");
    probes(&mut rig);
    assert_eq!(rig.hear_from(ELSEWHERE, &probe(offer, 8)), Handled::Dropped(DropReason::Reference));
    assert_eq!(probes(&mut rig), []);
}

#[test]
fn nobody_is_probed_before_the_answer_whatever_the_server_says() {
    let mut caller = Rig::registered(1);
    let offer = caller.ringing(b"ours");
    assert_eq!(caller.hear(&punch_now(offer, PEER)), Handled::Dropped(DropReason::Phase));
    let mut callee = Rig::registered(1);
    let offer = callee.offered(3);
    assert_eq!(callee.hear(&punch_now(offer, PEER)), Handled::Dropped(DropReason::Phase));
    callee.client.decline(callee.now, offer).unwrap();
    assert_eq!(callee.kinds(), [Kind::Answer]);
    assert_eq!(callee.hear(&punch_now(offer, PEER)), Handled::Dropped(DropReason::Phase));
    assert_eq!((probes(&mut caller), probes(&mut callee)), (vec![], vec![]));
}

#[test]
fn repeated_punch_now_does_not_start_again_but_another_address_does() {
    let (mut rig, offer) = answered();
    rig.hear(&punch_now(offer, PEER));
    let (_, _, first) = probes(&mut rig)[0];
    rig.hear(&punch_now(offer, PEER));
    assert_eq!(probes(&mut rig), []);
    rig.hear(&punch_now(offer, ELSEWHERE));
    let sent = probes(&mut rig);
    assert_eq!((sent.len(), sent[0].0), (1, address(ELSEWHERE)));
    rig.hear_from(PEER, &reply(offer, first));
    let (to, _, nominating) = probes(&mut rig)[0];
    assert_eq!(to, address(PEER), "an answer to the first address still counts");
    rig.hear_from(PEER, &reply(offer, nominating));
    assert_eq!(rig.events().len(), 1);
    rig.hear(&punch_now(offer, ELSEWHERE));
    assert_eq!(probes(&mut rig), [], "a repeat after the path was proved");
}

#[test]
fn punching_without_an_address_fails_at_once() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    rig.sent(|_| ());
    rig.hear(&punch_now(offer, "none"));
    let reason = FailReason::NoCommonFamily;
    assert_eq!(rig.events(), [Event::PunchFailed { offer, reason }]);
}

#[test]
fn punch_that_the_server_never_answers_fails_after_its_time() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    let start = rig.now;
    loop {
        rig.sent(|_| ());
        rig.pass_to_timeout();
        let events = rig.events();
        if !events.is_empty() {
            let reason = FailReason::ServerSilent;
            assert_eq!(events, [Event::PunchFailed { offer, reason }]);
            assert_eq!(rig.now.since(start), PROBE_TIME);
            return;
        }
    }
}

#[test]
fn refused_punch_waits_or_fails_as_the_server_says() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    rig.sent(|_| ());
    rig.hear_error(*offer.as_bytes(), (Kind::Punch, ErrorCode::RateLimited), 700);
    assert_eq!(rig.pass_to_timeout(), Duration::from_millis(700));
    assert_eq!(rig.kinds(), [Kind::Punch]);
    rig.hear_error(*offer.as_bytes(), (Kind::Punch, ErrorCode::NotPermitted), 0);
    let reason = FailReason::Refused(ErrorCode::NotPermitted);
    assert_eq!((rig.events(), rig.kinds()), (vec![Event::PunchFailed { offer, reason }], vec![]));
}

/// Lets the client take another port, as the server then sees it, and it asks for both to start anew.
fn move_to(rig: &mut Rig, offer: OfferId, observed: &str) {
    rig.client.rebind(rig.now);
    let mut register = None;
    while let Some(transmit) = rig.client.poll_transmit() {
        if let Frame::Register(found) = wire::decode(&transmit.contents).unwrap() {
            register = Some(found);
        }
    }
    let mut registered = crate::rig::registered(register.unwrap().transaction, SESSION);
    registered.observed = observed.parse().unwrap();
    assert_eq!(rig.hear(&Frame::Registered(registered)), Handled::Ours);
    assert!(rig.kinds_to_server().contains(&Kind::Punch), "{offer}");
    rig.events();
}

/// Returns the hop limits of the PROBEs that are to be sent, and takes them as sent.
fn hops(rig: &mut Rig) -> Vec<Option<u8>> {
    let mut hops = Vec::new();
    while let Some(transmit) = rig.client.poll_transmit() {
        if let Frame::Probe(_) = wire::decode(&transmit.contents).unwrap() {
            hops.push(transmit.hops);
        }
    }
    hops
}

#[test]
fn who_hears_nothing_asks_once_for_a_fresh_port_and_opens_anew_from_there_near_then_far() {
    let (mut rig, offer) = answered();
    rig.client.punch(rig.now, offer).unwrap();
    rig.sent(|_| ());
    rig.hear(&punch_now(offer, PEER));
    let start = rig.now;
    assert_eq!(hops(&mut rig), [Some(OPENING_HOPS)]);
    let mut events = Vec::new();
    while events.is_empty() {
        rig.pass_to_timeout();
        tell_of_punches(&mut rig, offer, 10);
        events = rig.events();
    }
    assert_eq!((events, rig.now.since(start)), (vec![Event::FreshPort { offer }], FRESH_PORT_TIME));
    move_to(&mut rig, offer, "198.51.100.1:40001");
    // The other peer is where it was.
    rig.hear(&punch_now(offer, PEER));
    let (again, mut events, mut limits) = (rig.now, Vec::new(), Vec::new());
    while events.is_empty() {
        let at = rig.now.since(again);
        limits.extend(hops(&mut rig).into_iter().map(|limit| (at, limit)));
        rig.pass_to_timeout();
        events = rig.events();
    }
    for (at, limit) in limits {
        let expected = match at {
            at if at < OPENING_TIME => Some(OPENING_HOPS_NEAR),
            at if at < OPENING_TIME * 2 => Some(OPENING_HOPS_FAR),
            _ => None,
        };
        assert_eq!(limit, expected, "{at:?}");
    }
    assert_eq!(events, [Event::PunchFailed { offer, reason: FailReason::NoPath }]);
    assert_eq!(rig.now.since(start), PROBE_TIME, "it takes no longer for that");
}

/// Takes what is to be sent, and answers so many of ten PUNCHes.
fn tell_of_punches(rig: &mut Rig, offer: OfferId, of_ten: u32) {
    while let Some(transmit) = rig.client.poll_transmit() {
        if wire::decode(&transmit.contents).unwrap().kind() == Kind::Punch {
            rig.punches += 1;
            if rig.punches % 10 < of_ten {
                assert_eq!(rig.hear(&punch_now(offer, PEER)), Handled::Ours);
            }
        }
    }
}

#[test]
fn who_loses_punches_asks_for_no_fresh_port() {
    for (of_ten, expected) in [(10, 1), (9, 1), (7, 0), (5, 0), (0, 0)] {
        let (mut rig, offer) = answered();
        rig.client.punch(rig.now, offer).unwrap();
        rig.sent(|_| ());
        rig.hear(&punch_now(offer, PEER));
        let mut events = Vec::new();
        while !events.iter().any(|event| matches!(event, Event::PunchFailed { .. })) {
            rig.pass_to_timeout();
            tell_of_punches(&mut rig, offer, of_ten);
            events.extend(rig.events());
        }
        let asked = events.iter().filter(|event| matches!(event, Event::FreshPort { .. })).count();
        assert_eq!(asked, expected, "{of_ten} of ten");
    }
}

#[test]
fn who_hears_the_other_peer_asks_for_no_fresh_port_nor_where_no_nat_is_to_be_expected() {
    for (peer, heard) in [(PEER, true), ("[2001:db8::7]:7", false), ("192.168.1.7:7", false)] {
        let (mut rig, offer) = answered();
        rig.hear(&punch_now(offer, peer));
        if heard {
            rig.hear_from(PEER, &probe(offer, 8));
        }
        let mut events = Vec::new();
        while events.is_empty() {
            rig.pass_to_timeout();
            hops(&mut rig);
            events = rig.events();
        }
        assert!(matches!(events[..], [Event::PunchFailed { .. }]), "{peer}: {events:?}");
    }
}
