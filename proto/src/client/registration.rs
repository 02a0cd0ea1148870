//! Who this client is to the server: session, cookie, keepalive. Knows nothing of calls. SPEC 5

mod answers;

use std::net::SocketAddr;
use std::time::Duration;

use super::constants::{
    COOKIE_LIFETIME, KEEPALIVE_INTERVAL, KEEPALIVE_INTERVAL_MIN, KEEPALIVES_MAX, KEEPALIVES_PER_TTL,
    OFFER_TIMEOUT, REGISTER_RTO_MAX, REGISTERS_EAGER, RTO_INITIAL, SILENT_AFTER, TICKET_LIFETIME,
    UNREGISTERS_MAX,
};
use super::event::Event;
use super::flight::Turn;
use super::link::Link;
use super::output::Output;
use super::request::{Proof, Request, jittered};
use super::rtt::{Rtt, doubled};
use crate::Instant;
use crate::identity::{Binding, Identity};
use crate::keyed::Generator;
use crate::wire::{
    Address, BLOB_MAX, Cookie, Frame, Keepalive, PeerId, Register, Registered, Session, Signature, Ticket,
    Unregister, Zeros,
};

/// The registration's life.
#[derive(Debug)]
pub(super) struct Registration {
    identity: Identity,
    /// What the server is called: signed.
    server: Address,
    ticket: Ticket,
    /// When the ticket was given.
    proved: Instant,
    held: Held,
    observed: Address,
    terms: Terms,
    state: State,
    silence: Silence,
    /// Round trips to the server itself.
    pub(super) rtt: Rtt,
}

/// What the server said on registering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    ttl: Duration,
    /// How long an offer waits for its answer.
    pub(super) timeout: Duration,
    /// Bytes of the largest blob.
    pub(super) maxblob: usize,
}

/// The session that this client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Nothing,
    /// Nothing speaks against it.
    Trusted(Session),
    /// Not good at this address, or no more.
    Doubted(Session),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unregistered,
    Asking(Request),
    Proving { request: Request, proof: Proof },
    Resting { since: Instant, until: Instant },
    Checking(Request),
    Leaving(Request),
}

/// Whether the application knows of the server's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    Unreported,
    Reported,
}

/// Whether an answer changed what everything else relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Send again what is not acknowledged.
    Registered,
    /// Nothing can be sent any more.
    Ended,
}

impl Registration {
    pub(super) fn new(now: Instant, identity: Identity, server: Address) -> Self {
        Self {
            identity,
            server,
            ticket: Ticket::NONE,
            proved: now,
            held: Held::Nothing,
            observed: Address::NONE,
            terms: Terms { ttl: Duration::ZERO, timeout: OFFER_TIMEOUT, maxblob: BLOB_MAX },
            state: State::Unregistered,
            silence: Silence::Unreported,
            rtt: Rtt::default(),
        }
    }

    /// Starts registering, or asks at once where the next request waits for its time.
    pub(super) fn register(&mut self, now: Instant, random: &mut Generator) {
        match self.state {
            State::Unregistered | State::Leaving(_) => {
                self.held = Held::Nothing;
                self.ask(now, random);
            }
            State::Asking(_) | State::Proving { .. } => self.ask(now, random),
            State::Resting { .. } | State::Checking(_) => {}
        }
    }

    /// Ends the registration; it may take some requests.
    pub(super) fn unregister(&mut self, now: Instant, random: &mut Generator, out: &mut Output) {
        match (self.state, self.session()) {
            (State::Leaving(_), _) => {}
            (State::Unregistered, _) | (_, None) => self.end(out),
            (
                State::Asking(_) | State::Proving { .. } | State::Resting { .. } | State::Checking(_),
                Some(_),
            ) => {
                self.state = State::Leaving(Request::new(now, random));
            }
        }
    }

    /// Proves the new address at once: the network has changed.
    pub(super) fn rebind(&mut self, now: Instant, random: &mut Generator) {
        match self.state {
            State::Unregistered | State::Leaving(_) => {}
            State::Asking(_) | State::Proving { .. } | State::Resting { .. } | State::Checking(_) => {
                self.doubt();
                self.rtt = Rtt::default();
                self.ask(now, random);
            }
        }
    }

    /// Returns the session under which the server's frames are accepted.
    pub(super) fn session(&self) -> Option<Session> {
        match self.held {
            Held::Nothing => None,
            Held::Trusted(session) | Held::Doubted(session) => Some(session),
        }
    }

    /// Returns who this client is.
    pub(super) fn identifier(&self) -> PeerId {
        self.identity.identifier()
    }

    /// Returns where the server sees this client.
    pub(super) fn observed(&self) -> Option<SocketAddr> {
        self.observed.socket_addr()
    }

    /// Returns what the registration means for everything else.
    pub(super) fn link(&self) -> Link {
        match (self.state, self.held) {
            (State::Unregistered | State::Leaving(_), _) | (_, Held::Nothing | Held::Doubted(_)) => {
                Link::Down
            }
            (State::Resting { .. } | State::Checking(_), Held::Trusted(session)) => Link::Up(session),
            (State::Asking(_) | State::Proving { .. }, Held::Trusted(session)) => Link::Silent(session),
        }
    }

    /// Tells whether this client is registered, or on the way to it.
    pub(super) fn is_wanted(&self) -> bool {
        match self.state {
            State::Unregistered | State::Leaving(_) => false,
            State::Asking(_) | State::Proving { .. } | State::Resting { .. } | State::Checking(_) => true,
        }
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    /// Does what time alone demands.
    pub(super) fn expire(&mut self, now: Instant, random: &mut Generator, out: &mut Output) -> Change {
        if self.next().is_none_or(|next| now < next) {
            return Change::None;
        }
        match self.state {
            State::Unregistered => {}
            State::Resting { .. } if self.is_ticket_old(now) => self.ask(now, random),
            State::Resting { .. } => self.state = State::Checking(Request::new(now, random)),
            State::Asking(request) => self.report_after(SILENT_AFTER, request.times, out),
            State::Proving { request, proof } => {
                self.report_after(SILENT_AFTER, request.times, out);
                if proof.received + COOKIE_LIFETIME / 2 <= now {
                    self.ask(now, random);
                }
            }
            State::Checking(request) => {
                self.report_after(KEEPALIVES_MAX, request.times, out);
                if request.times >= KEEPALIVES_MAX {
                    self.ask(now, random);
                }
            }
            State::Leaving(request) => {
                if request.times >= UNREGISTERS_MAX {
                    self.end(out);
                    return Change::Ended;
                }
            }
        }
        Change::None
    }

    /// Returns the request to send now, and takes it as sent.
    pub(super) fn poll(&mut self, now: Instant, random: &mut Generator) -> Option<(Frame<'static>, Turn)> {
        if self.next().is_none_or(|next| now < next) {
            return None;
        }
        let (observed, rtt) = (self.observed, self.rtt);
        let session = self.session().unwrap_or(Session::NONE);
        let (identity, ticket, server) = (&self.identity, self.ticket, self.server);
        let register = |transaction, cookie, signature| {
            let identifier = identity.identifier();
            let request = Register { session, transaction, identifier, cookie, ticket, server, signature };
            Frame::Register(request)
        };
        let mut silence = |times: u32, eager: u32| {
            jittered(doubled(RTO_INITIAL, times.saturating_sub(eager), REGISTER_RTO_MAX), random)
        };
        let (request, frame, wait) = match &mut self.state {
            State::Unregistered | State::Resting { .. } => return None,
            State::Asking(request) => {
                let frame = register(request.transaction, Cookie::NONE, Signature::NONE);
                // All who have a session may miss the server at once.
                let wait = silence(request.times, if session == Session::NONE { REGISTERS_EAGER } else { 0 });
                (request, frame, wait)
            }
            State::Proving { request, proof } => {
                let Proof { cookie, observed, .. } = *proof;
                let signature = identity.sign_register(&Binding { cookie, observed, server });
                let frame = register(request.transaction, cookie, signature);
                let wait = silence(request.times, REGISTERS_EAGER);
                (request, frame, wait)
            }
            State::Checking(request) => {
                let (transaction, wait) = (request.transaction, rtt.backed_off(request.times));
                (request, Frame::Keepalive(Keepalive { session, transaction, observed }), wait)
            }
            State::Leaving(request) => {
                let (transaction, wait) = (request.transaction, rtt.backed_off(request.times));
                (request, Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }), wait)
            }
        };
        Some((frame, request.send(now, wait)))
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.state {
            State::Unregistered => None,
            State::Resting { until, .. } => Some(until),
            State::Asking(request)
            | State::Proving { request, .. }
            | State::Checking(request)
            | State::Leaving(request) => Some(request.next),
        }
    }

    fn is_ticket_old(&self, now: Instant) -> bool {
        self.ticket != Ticket::NONE && self.proved + TICKET_LIFETIME / 2 <= now
    }

    fn ask(&mut self, now: Instant, random: &mut Generator) {
        self.state = State::Asking(Request::new(now, random));
    }

    /// Asks again under a new transaction, so that a repeated refusal counts once; or gives up.
    fn ask_again(&mut self, now: Instant, after: Option<Duration>, random: &mut Generator) -> Change {
        let Some(after) = after else {
            self.held = Held::Nothing;
            self.state = State::Unregistered;
            return Change::Ended;
        };
        let request = Request::later(now, now + after, random);
        match &mut self.state {
            State::Proving { request: old, .. } => *old = request,
            State::Unregistered
            | State::Asking(_)
            | State::Resting { .. }
            | State::Checking(_)
            | State::Leaving(_) => self.state = State::Asking(request),
        }
        Change::None
    }

    fn rest(&mut self, now: Instant, random: &mut Generator) {
        let within_ttl = (self.terms.ttl / KEEPALIVES_PER_TTL).max(KEEPALIVE_INTERVAL_MIN);
        let interval = jittered(KEEPALIVE_INTERVAL.min(within_ttl), random);
        self.state = State::Resting { since: now, until: now + interval };
    }

    fn doubt(&mut self) {
        if let Held::Trusted(session) = self.held {
            self.held = Held::Doubted(session);
        }
    }

    fn end(&mut self, out: &mut Output) {
        self.held = Held::Nothing;
        self.state = State::Unregistered;
        self.silence = Silence::Unreported;
        out.event(Event::Unregistered);
    }

    fn report_after(&mut self, unanswered: u32, times: u32, out: &mut Output) {
        if times >= unanswered && self.silence == Silence::Unreported {
            self.silence = Silence::Reported;
            out.event(Event::ServerSilent);
        }
    }

    fn observe(&mut self, observed: Address, out: &mut Output) {
        let before = std::mem::replace(&mut self.observed, observed);
        if before != Address::NONE && before != observed {
            out.event(Event::AddressChanged { observed });
        }
    }
}

impl Terms {
    fn of(answer: &Registered) -> Self {
        Self {
            ttl: Duration::from_millis(answer.ttl.into()),
            timeout: Duration::from_millis(answer.timeout.into()),
            maxblob: BLOB_MAX.min(answer.maxblob as usize),
        }
    }
}
