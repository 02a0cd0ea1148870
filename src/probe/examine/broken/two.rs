//! A peer, and a call to it as `diagnose` makes it.

use std::time::Duration;

use roundtable_proto::client::{self, Event};
use roundtable_proto::identity::Identity;
use roundtable_proto::nat::Verdict;
use roundtable_proto::server;
use roundtable_proto::vnet::{Behaviour, Seat};
use roundtable_proto::wire::{OfferId, PeerId};

use super::rig::{Home, Place, SECOND, config, home, plain, secs};
use crate::client::{Answer, ClientError, Outcome, Progress, PunchedPath, Registration, Transfer};
use crate::probe::examine::callee::{Callee, Part, Unsealed};
use crate::probe::examine::path::{self, Known};
use crate::probe::identity::Sealing;

const OFFER: &[u8] = b"v=0 offered";
/// For the registration.
const WAIT: Duration = Duration::from_secs(5);

/// What this side knows of NATs, beside what the peers tell each other.
#[derive(Clone, Copy, Default)]
pub(super) struct Knows {
    /// The server has a second port.
    pub(super) own: bool,
    /// The other side has been told to ask there, too.
    pub(super) peer_asks: bool,
    pub(super) other: Option<Verdict>,
}

/// A peer, and a call to it.
pub(super) struct Two {
    pub(super) place: Place,
    knows: Knows,
    peer: PeerId,
    /// Its engine, if it is there; it answers what is offered.
    pub(super) bob: Option<Seat>,
    looked_at: usize,
    /// It goes without a word once it has answered.
    pub(super) goes: bool,
    /// What it is offered, and answers with.
    pub(super) offered: Vec<u8>,
    /// How far the transfer has come that was under way last.
    progress: Option<Progress>,
}

impl Two {
    pub(super) fn new([here, there]: [Behaviour; 2], knows: Knows) -> Self {
        Self::of(plain(2), [here, there], knows, |_| {})
    }

    pub(super) fn of(
        identity: impl Into<Identity>,
        [here, there]: [Behaviour; 2],
        knows: Knows,
        change: impl FnOnce(&mut client::Config),
    ) -> Self {
        let mut place = Place::with(server::Config::default(), here);
        let there = home(&mut place.world, 2, there);
        Self::at(place, identity, there, knows, change)
    }

    pub(super) fn at(
        mut place: Place,
        identity: impl Into<Identity>,
        there: Home,
        knows: Knows,
        change: impl FnOnce(&mut client::Config),
    ) -> Self {
        if knows.own {
            place.world.open_second_port();
        }
        let identity = identity.into();
        let peer = identity.identifier();
        let mut config = config(identity);
        config.witness = knows.peer_asks.then_some(SECOND);
        change(&mut config);
        let bob = place.settle(there.host, 5000, config);
        place.world.run(secs(1));
        Self {
            place,
            knows,
            peer,
            bob: Some(bob),
            looked_at: 0,
            goes: false,
            offered: OFFER.to_vec(),
            progress: None,
        }
    }

    /// Nobody is there.
    pub(super) fn alone() -> Self {
        let place = Place::new();
        let (knows, offered) = (Knows::default(), OFFER.to_vec());
        Self { place, knows, peer: plain(2), bob: None, looked_at: 0, goes: false, offered, progress: None }
    }

    /// Calls from here, and follows what becomes of it.
    pub(super) fn diagnose(&mut self, own: impl Into<Identity>) {
        let own = own.into();
        let sealing = Sealing::between(own.identifier(), self.peer);
        let callee = Callee { peer: self.peer, server: "192.0.2.1".to_owned(), sealing };
        let mut config = config(own);
        config.witness = self.knows.own.then_some(SECOND);
        let (alice, state, _) = self.place.register(self.place.here.host, config, WAIT);
        assert!(matches!(state, Registration::Registered { .. }), "{state:?}");
        let start = self.place.world.now();
        let offer = self.offer(alice);
        let took = |two: &Self| two.place.world.now().since(start);
        match self.wait(alice, delivered) {
            Ok(()) => self.place.note(&callee.has_it(self.offered.len(), took(self))),
            Err(error) => {
                return self.place.note(&callee.has_it_not(error, self.progress));
            }
        }
        let outcome = self.wait(alice, outcome);
        let took = took(self);
        if let Outcome::Failed(reason) = outcome
            && let Some(part) = Part::of(Transfer::Answer, ClientError::Failed(reason), self.progress)
        {
            return self.place.note(&callee.has_answered_in_part(part));
        }
        let unsealed =
            if callee.may_not_open_it(&outcome) { self.ring_unsealed() } else { Unsealed::NotTried };
        self.place.note(&callee.outcome(&outcome, took, unsealed));
        if self.goes {
            self.unplug();
        }
        if let Outcome::Answered(answer) = outcome {
            self.punch(alice, offer, &callee, &answer);
        }
    }

    /// Pulls the peer's cable.
    pub(super) fn unplug(&mut self) {
        let host = self.place.world.host(self.bob.unwrap());
        let mut link = self.place.world.network().link(host);
        link.set_open(false);
        self.place.world.network_mut().set_link(host, link);
    }

    fn offer(&mut self, from: Seat) -> OfferId {
        let (peer, offer) = (self.peer, self.offered.to_vec());
        self.place.world.command(from, |client, now| client.offer(now, peer, offer)).unwrap()
    }

    fn ring_unsealed(&mut self) -> Unsealed {
        let carol = self.place.settle(self.place.here.host, 4999, config(plain(3)));
        self.offer(carol);
        match self.wait(carol, outcome) {
            Outcome::Answered(_) | Outcome::Declined => Unsealed::Answered,
            Outcome::Failed(_) | Outcome::AnswerDelivered | Outcome::Yielded { .. } => Unsealed::Unanswered,
        }
    }

    fn punch(&mut self, alice: Seat, offer: OfferId, callee: &Callee, answer: &Answer) {
        self.place.world.command(alice, |client, now| client.punch(now, offer)).unwrap();
        let error = match self.wait(alice, path) {
            Ok(path) => return self.place.note(&path::found(&path)),
            Err(error) => error,
        };
        let own = (self.knows.own && path::leaves_open(error)).then(|| self.place.behaviour());
        let known = Known { peer: answer.observed, own, other: self.knows.other };
        self.place.note(&path::none(callee.peer, callee.sealing, error, &known));
    }

    /// Lets time pass, and the peer answer, until a client has told what is waited for.
    fn wait<T>(&mut self, seat: Seat, told: impl Fn(&Event) -> Option<T>) -> T {
        let until = self.place.world.now() + secs(60);
        loop {
            let events = self.place.world.events(seat);
            if let Some(told) = events.iter().find_map(|(_, event)| told(event)) {
                return told;
            }
            let polled = self.place.world.command(seat, |client, _| client.poll_progress());
            self.progress = polled.map(|(_, progress)| progress).or(self.progress);
            assert!(self.place.world.step(until), "{}", self.place.world.whereabouts());
            self.answer();
        }
    }

    fn answer(&mut self) {
        let Some(bob) = self.bob else { return };
        let world = &mut self.place.world;
        let events = world.events(bob)[self.looked_at..].to_vec();
        self.looked_at += events.len();
        for (_, event) in events {
            if let Event::Offered { offer, blob, .. } = event {
                world.command(bob, |client, now| client.answer(now, offer, blob)).unwrap();
            }
        }
    }
}

fn delivered(event: &Event) -> Option<Result<(), ClientError>> {
    if let Event::Failed { reason, .. } = event {
        return Some(Err(ClientError::Failed(*reason)));
    }
    matches!(event, Event::OfferDelivered { .. }).then_some(Ok(()))
}

fn outcome(event: &Event) -> Option<Outcome> {
    if let Event::Answered { from, observed, blob, .. } = event {
        let (observed, blob) = (observed.socket_addr(), blob.clone().into());
        return Some(Outcome::Answered(Answer { from: *from, observed, blob }));
    }
    let Event::Failed { reason, .. } = event else { return None };
    Some(Outcome::Failed(*reason))
}

fn path(event: &Event) -> Option<Result<PunchedPath, ClientError>> {
    if let &Event::Path { peer, kind, round_trip, .. } = event {
        return Some(Ok(PunchedPath { peer, kind, round_trip }));
    }
    let Event::PunchFailed { reason, .. } = event else { return None };
    Some(Err(ClientError::Failed(*reason)))
}
