//! A path in use: consent, its loss, and letting go. SPEC 8

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{
    CONSENT_INTERVAL, CONSENT_TIME, DropReason, Event, Handled, OFFER_MARGIN, OFFER_TIMEOUT,
};
use roundtable_proto::wire::{self, Frame, OfferId, Token, TransactionId};

use crate::punching::{PEER, answered, probe, punch_now, reply, reply_under};
use crate::rig::{ROUND_TRIP, Rig, address};

const ELSEWHERE: &str = "203.0.113.8:8";

/// A caller with a path to [`PEER`].
fn on_path(keeps: bool) -> (Rig, OfferId) {
    let (mut rig, offer) = answered();
    rig.client.keep_paths(keeps);
    rig.hear(&punch_now(offer, PEER));
    for _ in 0..2 {
        let transaction = probed(&mut rig).pop().unwrap().1;
        rig.now += ROUND_TRIP;
        rig.hear_from(PEER, &reply(offer, transaction));
    }
    assert!(matches!(rig.events()[..], [Event::Path { .. }]));
    (rig, offer)
}

/// Returns whom PROBEs go to, and their transactions; leaves out the rest.
fn probed(rig: &mut Rig) -> Vec<(SocketAddr, TransactionId)> {
    let mut sent = Vec::new();
    while let Some(transmit) = rig.client.poll_transmit() {
        if let Frame::Probe(probe) = wire::decode(&transmit.contents).unwrap() {
            sent.push((transmit.to, probe.transaction));
        }
    }
    sent
}

/// Goes on from timer to timer, so long, and answers what `answers` says. Returns when each PROBE was sent.
fn go_on(rig: &mut Rig, offer: OfferId, time: Duration, answers: bool) -> Vec<Duration> {
    let (start, mut times) = (rig.now, Vec::new());
    while rig.client.poll_timeout().is_some_and(|at| at <= start + time) {
        rig.pass_to_timeout();
        for (to, transaction) in probed(rig) {
            assert_eq!(to, address(PEER));
            times.push(rig.now.since(start));
            if answers {
                assert_eq!(rig.hear_from(PEER, &reply(offer, transaction)), Handled::Ours);
            }
        }
    }
    times
}

#[test]
fn path_is_asked_about_every_five_seconds_or_so_also_when_the_call_is_over() {
    let (mut rig, offer) = on_path(true);
    let times = go_on(&mut rig, offer, Duration::from_secs(600), true);
    assert!(OFFER_TIMEOUT + OFFER_MARGIN < Duration::from_secs(600));
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, most) = (CONSENT_INTERVAL * 4 / 5, CONSENT_INTERVAL * 6 / 5);
    assert!(gaps.iter().all(|gap| (least..=most).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().max() > gaps.iter().min(), "never the same");
    assert!(times.len() > 100, "{}", times.len());
    assert!(rig.events().iter().all(|event| !matches!(event, Event::PathLost { .. })));
}

#[test]
fn path_without_consent_is_lost_after_thirty_seconds_and_said_so_once() {
    let (mut rig, offer) = on_path(true);
    let last = rig.now;
    let times = go_on(&mut rig, offer, CONSENT_TIME - Duration::from_millis(1), false);
    assert!((5..=8).contains(&times.len()), "{times:?}");
    let lost = |event: &Event| matches!(event, Event::PathLost { .. });
    assert!(!rig.events().iter().any(lost));
    rig.pass((last + CONSENT_TIME).since(rig.now));
    let peer = address(PEER);
    let events: Vec<_> = rig.events().into_iter().filter(lost).collect();
    assert_eq!(events, [Event::PathLost { offer, peer }]);
    assert_eq!(go_on(&mut rig, offer, CONSENT_TIME, false), []);
    assert!(!rig.client.has_paths());
}

#[test]
fn consent_is_an_answer_of_the_other_peer_over_the_path_to_what_was_asked_and_nothing_else() {
    let (mut rig, offer) = on_path(true);
    let mut asked = Vec::new();
    while asked.is_empty() {
        rig.pass_to_timeout();
        asked = probed(&mut rig);
    }
    let (_, transaction) = asked[0];
    let forged = reply_under(offer, transaction, Token([1; 16]));
    assert_eq!(rig.hear_from(PEER, &forged), Handled::Dropped(DropReason::Tag));
    let unasked = reply(offer, TransactionId([1; 16]));
    assert_eq!(rig.hear_from(PEER, &unasked), Handled::Dropped(DropReason::Reference));
    let good = reply(offer, transaction);
    assert_eq!(rig.hear_from(ELSEWHERE, &good), Handled::Dropped(DropReason::Source));
    assert_eq!(rig.hear_from(PEER, &good), Handled::Ours);
}

/// Tells whether the other peer's question is answered.
fn answers(rig: &mut Rig, offer: OfferId, number: u8) -> bool {
    rig.hear_from(PEER, &probe(offer, number)) == Handled::Ours
}

#[test]
fn who_does_not_keep_a_path_answers_as_long_as_the_other_peer_does() {
    let (mut rig, offer) = on_path(false);
    for number in 10..20 {
        assert_eq!(go_on(&mut rig, offer, CONSENT_TIME - Duration::from_secs(1), false), []);
        assert!(answers(&mut rig, offer, number), "{number}");
    }
    assert_eq!(go_on(&mut rig, offer, CONSENT_TIME, false), []);
    assert!(!answers(&mut rig, offer, 20) && !rig.client.has_paths());
    assert!(rig.events().iter().all(|event| !matches!(event, Event::PathLost { .. })));
}

#[test]
fn path_that_is_closed_is_neither_asked_about_nor_answered_on_nor_lost() {
    let (mut rig, offer) = on_path(true);
    // The call itself is over first: until then its probes are answered.
    go_on(&mut rig, offer, OFFER_TIMEOUT + OFFER_MARGIN, true);
    assert!(answers(&mut rig, offer, 10));
    rig.client.close_path(rig.now, offer);
    assert!(!answers(&mut rig, offer, 11));
    assert_eq!(go_on(&mut rig, offer, CONSENT_TIME * 2, true), []);
    assert!(rig.events().iter().all(|event| !matches!(event, Event::PathLost { .. })));
}

#[test]
fn unregistering_closes_paths_and_a_lost_registration_does_not() {
    let (mut rig, _) = on_path(true);
    rig.client.rebind(rig.now);
    assert!(rig.client.has_paths());
    rig.client.unregister(rig.now);
    assert!(!rig.client.has_paths());
}

#[test]
fn a_second_path_of_a_call_takes_the_place_of_the_first() {
    let (mut rig, offer) = on_path(true);
    rig.client.punch(rig.now, offer).unwrap();
    rig.sent(|_| ());
    rig.hear(&punch_now(offer, ELSEWHERE));
    let mut transaction = probed(&mut rig).pop().unwrap().1;
    for _ in 0..2 {
        rig.now += ROUND_TRIP;
        assert_eq!(rig.hear_from(ELSEWHERE, &reply(offer, transaction)), Handled::Ours);
        let Some(sent) = rig.client.poll_transmit() else { break };
        let Frame::Probe(nominating) = wire::decode(&sent.contents).unwrap() else { panic!("no PROBE") };
        transaction = nominating.transaction;
    }
    let peer = address(ELSEWHERE);
    assert!(matches!(rig.events()[..], [Event::Path { peer: at, .. }] if at == peer));
    let mut asked = Vec::new();
    while asked.is_empty() {
        rig.pass_to_timeout();
        asked = probed(&mut rig);
    }
    assert_eq!(asked[0].0, peer);
}
