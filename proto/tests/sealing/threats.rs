//! What SPEC 12 says that an attacker can do, and where it ends.

use roundtable_proto::client::{DropReason, Event};
use roundtable_proto::identity::Identity;
use roundtable_proto::probe_key::{Parties, ProbeKey, ProbeSecret, Role};
use roundtable_proto::seal::{Callee, Caller, Entropy, OpenError, ReplayWindow, UnixSeconds};
use roundtable_proto::server::{self, Outcome, PEER_TTL, PEER_TTL_SLACK, Path, Server, TICKET_LIFETIME};
use roundtable_proto::wire::{
    self, Address, BlobKind, Cookie, Frame, Kind, OfferId, ProbeReply, PunchNow, Register, Session,
    Signature, Tag, Ticket, Token, TransactionId,
};
use roundtable_proto::{Instant, Seed};

use crate::talk::*;

/// A whole call and what a recorder on the way has of it.
struct Recorded {
    talk: Talk,
    offer: OfferId,
}

impl Recorded {
    fn call() -> Self {
        let mut talk = Talk::keyed();
        whole_call(&mut talk, OFFER, ANSWER);
        let offer = talk.seen[0].head.offer;
        Self { talk, offer }
    }

    fn blob(&self, from: usize, kind: BlobKind) -> Vec<u8> {
        self.talk.sent(from, kind, self.offer)
    }
}

#[test]
fn who_learns_the_seeds_later_reads_offers_and_the_callers_candidates() {
    let recorded = Recorded::call();
    let caller = recorded.talk.identifiers[ALICE];
    let (sealed, mut seen) = (recorded.blob(ALICE, BlobKind::Offer), ReplayWindow::default());
    let opened =
        Callee::open_offer(&secret(2), caller, recorded.offer, &sealed, UnixSeconds(NOW), &mut seen).unwrap();
    assert_eq!(opened.blob, OFFER);
    let candidate = opened.callee.open_candidate(0, &recorded.blob(ALICE, BlobKind::Candidate)).unwrap();
    assert!(candidate.starts_with(CANDIDATE));
}

#[test]
fn who_learns_the_seeds_later_reads_no_answer_and_no_candidate_of_the_callee() {
    let recorded = Recorded::call();
    let callee = recorded.talk.identifiers[BOB];
    for number in 0..8 {
        // All that he lacks is the secret of the reply key, which the caller has forgotten with the call.
        let reply = Entropy::new([number; 32]);
        let caller = Caller::new(&secret(1), callee, recorded.offer, reply).unwrap();
        let answer = caller.open_answer(&recorded.blob(BOB, BlobKind::Answer));
        assert_eq!(answer.unwrap_err(), OpenError::Undecryptable);
        let candidate = caller.open_candidate(0, &recorded.blob(BOB, BlobKind::Candidate));
        assert_eq!(candidate.unwrap_err(), OpenError::Undecryptable);
    }
}

#[test]
fn recorded_offer_rings_once_more_at_a_callee_that_restarted_and_its_answer_is_for_nobody() {
    let recorded = Recorded::call();
    let (old, sealed) = (recorded.offer, recorded.blob(ALICE, BlobKind::Offer));
    // Both clients are new, 100 s later.
    let mut later = Talk::of([keyed(1), keyed(2)], [NOW + 100; 2], server::Config::default());
    later.tamper(move |kind, head, blob| {
        if kind == BlobKind::Offer {
            head.offer = old;
            blob.clone_from(&sealed);
        }
        Passes::Yes
    });
    later.call();
    later.run(1);
    assert_eq!(later.events(BOB), [offered(&later, old, OFFER)]);
    later.peers[BOB].answer(later.now, old, ANSWER.to_vec()).unwrap();
    later.run(1);
    let told: Vec<_> = later.events(ALICE);
    assert!(!told.iter().any(|event| matches!(event, Event::Answered { .. })), "{told:?}");
    let caller = Caller::new(&secret(1), later.identifiers[BOB], old, Entropy::new([9; 32])).unwrap();
    let answer = caller.open_answer(&later.sent(BOB, BlobKind::Answer, old));
    assert_eq!(answer.unwrap_err(), OpenError::Undecryptable);
}

#[test]
fn caller_learns_where_the_callee_is_also_when_it_declines() {
    let mut talk = Talk::keyed();
    let learnt = std::rc::Rc::new(std::cell::Cell::new(None));
    let seen = std::rc::Rc::clone(&learnt);
    talk.tamper(move |kind, head, _| {
        if kind == BlobKind::Answer {
            seen.set(Some(head.observed));
        }
        Passes::Yes
    });
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].decline(talk.now, offer).unwrap();
    talk.run(1);
    assert_eq!(learnt.get(), Some(Address::from(address(ADDRESSES[BOB]))));
}

/// The REGISTER by which a peer registered, as anybody on the way has it.
fn register_of(talk: &Talk, who: usize) -> Register {
    let of_peer = |datagram: &Vec<u8>| match wire::decode(datagram) {
        Ok(Frame::Register(register)) if register.cookie != Cookie::NONE => Some(register),
        _ => None,
    };
    let registers: Vec<_> = talk.registers.iter().filter_map(of_peer).collect();
    *registers.iter().find(|register| register.identifier == talk.identifiers[who]).unwrap()
}

#[test]
fn register_replayed_from_its_own_address_changes_nothing_and_from_another_is_challenged() {
    let mut talk = Talk::keyed();
    let register = Frame::Register(register_of(&talk, ALICE)).to_vec();
    let from = |text: &str| Path::from(address(text));
    for _ in 0..3 {
        let replayed = talk.server.handle_datagram(talk.now, from(ADDRESSES[ALICE]), &register);
        assert_eq!(replayed, Outcome::Answered(Kind::Registered));
        let elsewhere = talk.server.handle_datagram(talk.now, from("198.51.100.1:40001"), &register);
        assert_eq!(elsewhere, Outcome::Challenged);
    }
    while talk.server.poll_transmit().is_some() {}
    assert_eq!(talk.server.peers(), 2);
    whole_call(&mut talk, OFFER, ANSWER);
}

/// Has somebody who saw `register` and its ticket register at `path`, with a cookie of his own.
fn registers_with(server: &mut Server, now: Instant, path: Path, stolen: &Register) -> Outcome {
    let blank = Register {
        session: Session::NONE,
        transaction: TransactionId([5; 16]),
        cookie: Cookie::NONE,
        signature: Signature::NONE,
        ..*stolen
    };
    server.handle_datagram(now, path, &Frame::Register(blank).to_vec());
    let challenge = server.poll_transmit().unwrap().contents.to_vec();
    let Ok(Frame::Challenge(challenge)) = wire::decode(&challenge) else { panic!("no CHALLENGE") };
    let proving = Register { cookie: challenge.cookie, ..blank };
    let outcome = server.handle_datagram(now, path, &Frame::Register(proving).to_vec());
    while server.poll_transmit().is_some() {}
    outcome
}

#[test]
fn ticket_read_on_the_way_is_good_at_its_own_address_until_it_expires_and_nowhere_else() {
    let mut talk = Talk::keyed();
    let register = register_of(&talk, ALICE);
    assert_eq!(register.ticket, Ticket::NONE);
    let stolen = Register { ticket: talk.tickets[0], ..register };
    let (here, elsewhere) =
        (Path::from(address(ADDRESSES[ALICE])), Path::from(address("198.51.100.1:40001")));
    let mut at = talk.now + PEER_TTL + PEER_TTL_SLACK;
    let refused = Outcome::Refused(wire::ErrorCode::BadSignature);
    assert_eq!(registers_with(&mut talk.server, at, elsewhere, &stolen), refused);
    let taken = registers_with(&mut talk.server, at, here, &stolen);
    assert_eq!(taken, Outcome::Answered(Kind::Registered));
    at += TICKET_LIFETIME;
    while talk.server.poll_timeout().is_some_and(|due| due <= at) {
        talk.server.handle_timeout(at);
        while talk.server.poll_transmit().is_some() {}
    }
    assert_eq!(talk.server.peers(), 0);
    assert_eq!(registers_with(&mut talk.server, at, here, &stolen), refused);
    // Another server does not know it.
    let mut other = Server::new(at, server::Config::default(), Seed::from_number(99));
    assert_eq!(registers_with(&mut other, at, here, &stolen), refused);
}

/// Lets somebody who runs the server name his own address to the caller, answer all that she sends there with all that he
/// knows, and tells whether she takes him for the callee.
fn passes_for_the_callee(identities: [Identity; 2]) -> bool {
    const HIS: &str = "203.0.113.66:66";
    let mut talk = Talk::of(identities, [NOW, NOW], server::Config::default());
    whole_call(&mut talk, OFFER, ANSWER);
    let caller = talk.seen.iter().find(|seen| seen.from == ALICE).unwrap();
    let (offer, session, token) = (caller.head.offer, caller.head.session, Token([7; 16]));
    let parties = Parties { offer, caller: talk.identifiers[ALICE], callee: talk.identifiers[BOB] };
    let key = ProbeKey::new(&ProbeSecret::none(), &parties, Role::Callee, token);
    let order = PunchNow { session, offer, peer: address(HIS).into(), token };
    talk.peers[ALICE].handle_datagram(talk.now, address(SERVER), &Frame::PunchNow(order).to_vec());
    let mut probed = 0;
    loop {
        while let Some(sent) = talk.peers[ALICE].poll_transmit() {
            let Ok(Frame::Probe(probe)) = wire::decode(&sent.contents) else { continue };
            probed += 1;
            let (transaction, observed) = (probe.transaction, address(ADDRESSES[ALICE]).into());
            let reply = key.sign_reply(ProbeReply { offer, tag: Tag::NONE, transaction, observed });
            talk.peers[ALICE].handle_datagram(talk.now, address(HIS), &reply.to_vec());
        }
        match talk.events(ALICE).as_slice() {
            [Event::Path { peer, .. }] => return *peer == address(HIS),
            [Event::PunchFailed { .. }] => break,
            _ => {}
        }
        talk.now = talk.peers[ALICE].poll_timeout().unwrap();
        talk.peers[ALICE].handle_timeout(talk.now);
    }
    assert_eq!(talk.counters(ALICE).dropped(DropReason::Tag), probed);
    assert!(probed > 50, "{probed}");
    false
}

#[test]
fn who_reads_and_sends_everything_cannot_prove_a_path_of_a_sealed_call() {
    assert!(!passes_for_the_callee([keyed(1), keyed(2)]));
}

#[test]
fn who_has_read_a_punch_now_can_prove_a_path_of_a_call_in_the_clear() {
    assert!(passes_for_the_callee([plain(1), plain(2)]));
}
