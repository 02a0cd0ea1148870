//! The task that owns the socket and the engine.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::client::{
    Arriving, CallError, Client as Engine, Config, Counters, Event, FailReason, Handled, OfferError, Progress,
};
use roundtable_proto::wire::{Address, OfferId, PeerId, is_ours};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use super::call::{Answer, Call, CallEvent, IncomingCall, Outcome, PunchedPath};
use super::{Arrival, Media, Pong, RefusedOffer, Registration};
use super::{bind, hops, hosts};
use crate::capture::{self, Capture, Way};
use crate::clock::{Clock, unix_time};
use crate::seed;

/// Datagrams taken in a row before timers and commands get their turn.
const DRAIN_MAX: usize = 64;
/// Bytes of the largest UDP payload: media may be larger than signalling.
const DATAGRAM_BUFFER: usize = 1 << 16;
/// Events of one call that wait for the application, at most: all candidates and every outcome fit.
const CALL_EVENTS_MAX: usize = 96;

/// What a handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Offer {
        target: PeerId,
        blob: Bytes,
        reply: oneshot::Sender<Result<Call, OfferError>>,
    },
    Answer {
        offer: OfferId,
        blob: Bytes,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    Decline {
        offer: OfferId,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    Candidate {
        offer: OfferId,
        message: Bytes,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    Punch {
        offer: OfferId,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    Ping {
        reply: oneshot::Sender<Result<Pong, FailReason>>,
    },
    Counters {
        reply: oneshot::Sender<Counters>,
    },
    /// The network has changed, and with it perhaps the socket.
    Rebind {
        socket: Option<(Arc<UdpSocket>, SocketAddr)>,
        reply: oneshot::Sender<()>,
    },
    Unregister,
}

/// The task's ends of the channels to its handles.
pub(super) struct Ends {
    /// For the handles of incoming calls; weak, so that the task does not keep itself alive.
    pub(super) commands: mpsc::WeakSender<Command>,
    pub(super) incoming: mpsc::Sender<Arrival>,
    /// What of them is on its way.
    pub(super) arriving: watch::Sender<Vec<Arriving>>,
    pub(super) registration: watch::Sender<Registration>,
    /// The own address of the socket in use.
    pub(super) local: watch::Sender<SocketAddr>,
    pub(super) media: Option<mpsc::Sender<Media>>,
    pub(super) capture: Option<Capture>,
    /// The application has no socket that it would have to be told of.
    pub(super) owns_socket: bool,
    pub(super) keep_paths: bool,
}

pub(super) struct Task {
    socket: Arc<UdpSocket>,
    clock: Clock,
    engine: Engine,
    commands: mpsc::WeakSender<Command>,
    incoming: mpsc::Sender<Arrival>,
    arriving: watch::Sender<Vec<Arriving>>,
    registration: watch::Sender<Registration>,
    local: watch::Sender<SocketAddr>,
    media: Option<mpsc::Sender<Media>>,
    capture: Option<Capture>,
    owns_socket: bool,
    calls: BTreeMap<OfferId, Telling>,
    /// Whoever waits for a PONG. The engine asks one question at a time: its answer is for all of them.
    pings: Vec<oneshot::Sender<Result<Pong, FailReason>>>,
}

/// The other ends of the handle of a call.
struct Telling {
    events: mpsc::Sender<CallEvent>,
    progress: watch::Sender<Option<Progress>>,
}

impl Task {
    pub(super) fn new(socket: Arc<UdpSocket>, config: Config, ends: Ends) -> io::Result<Self> {
        let clock = Clock::start();
        let mut engine = Engine::new(clock.now(), config, seed::draw()?);
        let Ends {
            commands,
            incoming,
            arriving,
            registration,
            local,
            media,
            capture,
            owns_socket,
            keep_paths,
        } = ends;
        engine.keep_paths(keep_paths);
        let (calls, pings) = (BTreeMap::new(), Vec::new());
        Ok(Self {
            socket,
            clock,
            engine,
            commands,
            incoming,
            arriving,
            registration,
            local,
            media,
            capture,
            owns_socket,
            calls,
            pings,
        })
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let mut buffer = vec![0; DATAGRAM_BUFFER];
        self.engine.set_hosts(hosts::of(*self.local.borrow()));
        self.engine.register(self.clock.now());
        loop {
            self.handle_due();
            self.deliver_events();
            self.flush().await;
            if let Some(capture) = &self.capture {
                capture.flush();
            }
            let deadline = self.engine.poll_timeout();
            if let Some(at) = deadline {
                timer.as_mut().reset(self.clock.wake_at(at));
            }
            let socket = Arc::clone(&self.socket);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => {
                        self.tell_date();
                        self.handle_command(command);
                    }
                    None => break,
                },
                () = &mut timer, if deadline.is_some() => {}
                received = socket.recv_from(&mut buffer) => {
                    self.tell_date();
                    self.handle_arrivals(received, &mut buffer).await;
                }
            }
        }
        self.leave().await;
    }

    /// The host may have slept since, or its date been set.
    fn tell_date(&mut self) {
        self.engine.set_unix_time(self.clock.now(), unix_time());
    }

    /// Frees the identifier at once, if the one datagram arrives; else the server forgets it by itself.
    async fn leave(mut self) {
        self.engine.unregister(self.clock.now());
        self.flush().await;
    }

    /// Takes what has come, and what more is there, up to a bound.
    async fn handle_arrivals(&mut self, first: io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let mut received = first;
        for _ in 0..DRAIN_MAX {
            match received {
                Ok((length, from)) => self.handle_datagram(from, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // News that a peer's port is closed: the engine finds out by its own timers.
                Err(error) => {
                    log::debug!("receiving: {error}");
                    tokio::task::yield_now().await;
                }
            }
            self.flush().await;
            received = self.socket.try_recv_from(buffer);
        }
    }

    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8]) {
        let from = canonical(from);
        if let Some(capture) = self.capture.as_ref().filter(|_| is_ours(datagram)) {
            capture.note(Way::In, from, capture::shown(*self.local.borrow(), from), datagram);
        }
        match self.engine.handle_datagram(self.clock.now(), from, datagram) {
            Handled::Ours => {}
            Handled::Dropped(reason) => {
                log::debug!("{} bytes from {from} dropped: {reason:?}", datagram.len())
            }
            Handled::NotOurs => {
                if let Some(media) = &self.media {
                    // The application that does not keep up loses media, as on any link.
                    drop(media.try_send((from, Bytes::copy_from_slice(datagram))));
                }
            }
        }
    }

    fn handle_due(&mut self) {
        let now = self.clock.now();
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.forget_closed();
            self.engine.handle_timeout(now);
        }
    }

    fn handle_command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Offer { target, blob, reply } => {
                let offered = self.engine.offer(now, target, blob.into());
                let call = offered.and_then(|id| self.open_call(id).ok_or(OfferError::NotRegistered));
                let _nobody_waits = reply.send(call);
            }
            Command::Answer { offer, blob, reply } => {
                let _nobody_waits = reply.send(self.engine.answer(now, offer, blob.into()));
            }
            Command::Decline { offer, reply } => {
                let _nobody_waits = reply.send(self.engine.decline(now, offer));
            }
            Command::Candidate { offer, message, reply } => {
                let _nobody_waits = reply.send(self.engine.candidate(now, offer, message.into()));
            }
            Command::Punch { offer, reply } => {
                self.engine.set_hosts(hosts::of(*self.local.borrow()));
                let _nobody_waits = reply.send(self.engine.punch(now, offer));
            }
            Command::Ping { reply } => {
                self.pings.retain(|waiting| !waiting.is_closed());
                self.pings.push(reply);
                self.engine.ping(now);
            }
            Command::Counters { reply } => {
                let _nobody_waits = reply.send(*self.engine.counters());
            }
            Command::Rebind { socket, reply } => {
                self.rebind(socket);
                let _nobody_waits = reply.send(());
            }
            Command::Unregister => self.engine.unregister(now),
        }
    }

    /// Goes on over this socket, or over the one in use, and proves the new address at once.
    fn rebind(&mut self, socket: Option<(Arc<UdpSocket>, SocketAddr)>) {
        if let Some((socket, local)) = socket {
            self.owns_socket = false;
            self.socket = socket;
            self.local.send_replace(local);
        }
        self.engine.set_hosts(hosts::of(*self.local.borrow()));
        let standing = *self.registration.borrow();
        if matches!(standing, Registration::Registered { .. } | Registration::ServerSilent) {
            self.registration.send_replace(Registration::Asking);
        }
        self.engine.rebind(self.clock.now());
    }

    /// Makes the handle of a call and keeps the other end.
    fn open_call(&mut self, id: OfferId) -> Option<Call> {
        self.forget_closed();
        let (events, queue) = mpsc::channel(CALL_EVENTS_MAX);
        let (progress, progress_now) = watch::channel(None);
        self.calls.insert(id, Telling { events, progress });
        Some(Call::new(id, self.commands.upgrade()?, queue, progress_now))
    }

    /// Lets go of calls, and their paths, that nobody holds any more.
    fn forget_closed(&mut self) {
        let now = self.clock.now();
        let Self { calls, engine, .. } = self;
        calls.retain(|id, telling| {
            let held = !telling.events.is_closed();
            if !held {
                engine.close_path(now, *id);
            }
            held
        });
    }

    /// Tries another port, if nobody else uses the socket.
    fn freshen(&mut self, offer: OfferId) {
        if !self.owns_socket || self.engine.has_paths() {
            self.tell(offer, CallEvent::FreshPortWanted);
            return;
        }
        let local = *self.local.borrow();
        match bind::again(local) {
            Ok(fresh) => {
                let (_, local) = fresh;
                self.rebind(Some(fresh));
                self.owns_socket = true;
                self.tell(offer, CallEvent::FreshPort { local });
            }
            Err(error) => log::debug!("no other port: {error}"),
        }
    }

    fn deliver_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.deliver(event);
        }
        while let Some((offer, progress)) = self.engine.poll_progress() {
            if let Some(telling) = self.calls.get(&offer) {
                telling.progress.send_replace(Some(progress));
            }
        }
        // After the events: an offer that is missing here has been announced.
        if let Some(arriving) = self.engine.poll_arriving() {
            self.arriving.send_replace(arriving.to_vec());
        }
    }

    fn deliver(&mut self, event: Event) {
        // Copied out first: the borrow would lock the channel against its own sender.
        let standing = *self.registration.borrow();
        if let Some(standing) = standing.after(&event) {
            self.registration.send_replace(standing);
        }
        match event {
            Event::Registered { .. }
            | Event::AddressChanged { .. }
            | Event::RegistrationFailed { .. }
            | Event::Unregistered => {}
            Event::ServerSilent => self.note_silence(),
            Event::Pong { round_trip, observed } => {
                if let Some(observed) = observed.socket_addr() {
                    self.answer_pings(Ok(Pong { round_trip, observed }));
                }
            }
            Event::Offered { offer, from, observed, blob } => self.ring(offer, from, observed, blob),
            Event::OfferRefused { from, offer, reason } => {
                self.announce(offer, Arrival::Refused(RefusedOffer { offer, from, reason }));
            }
            Event::OfferDelivered { offer } => self.tell(offer, CallEvent::Delivered),
            Event::Answered { offer, from, observed, blob } => {
                let answer = Answer { from, observed: observed.socket_addr(), blob: blob.into() };
                self.tell(offer, CallEvent::Ended(Outcome::Answered(answer)));
            }
            Event::Declined { offer } => self.tell(offer, CallEvent::Ended(Outcome::Declined)),
            Event::AnswerDelivered { offer } => self.tell(offer, CallEvent::Ended(Outcome::AnswerDelivered)),
            Event::Candidate { offer, number, message } => {
                self.tell(offer, CallEvent::Candidate { number, message: message.into() });
            }
            Event::CandidatesFailed { offer, reason } => {
                self.tell(offer, CallEvent::CandidatesFailed(reason))
            }
            Event::PathLost { offer, peer } => self.tell(offer, CallEvent::PathLost { peer }),
            Event::FreshPort { offer } => self.freshen(offer),
            Event::Path { offer, peer, kind, round_trip } => {
                if !self.calls.contains_key(&offer) {
                    self.engine.close_path(self.clock.now(), offer);
                }
                self.tell(offer, CallEvent::Path(PunchedPath { peer, kind, round_trip }));
            }
            Event::PunchFailed { offer, reason } => self.tell(offer, CallEvent::PunchFailed(reason)),
            Event::Failed { offer, reason } => self.tell(offer, CallEvent::Ended(Outcome::Failed(reason))),
            Event::Yielded { offer, to } => self.tell(offer, CallEvent::Ended(Outcome::Yielded { to })),
        }
    }

    /// Nobody answered a PING, or a request of the registration.
    fn note_silence(&mut self) {
        if !self.pings.is_empty() {
            self.answer_pings(Err(FailReason::ServerSilent));
            // The registration may think that it stands: it asks, so that it says so once the server is back.
            self.engine.rebind(self.clock.now());
        }
    }

    fn answer_pings(&mut self, pong: Result<Pong, FailReason>) {
        for reply in self.pings.drain(..) {
            let _nobody_waits = reply.send(pong);
        }
    }

    fn ring(&mut self, offer: OfferId, from: PeerId, observed: Address, blob: Vec<u8>) {
        let Some(call) = self.open_call(offer) else { return };
        let observed = observed.socket_addr();
        self.announce(offer, Arrival::Offer(IncomingCall { from, observed, offer: blob.into(), call }));
    }

    fn announce(&self, offer: OfferId, arrival: Arrival) {
        if self.incoming.try_send(arrival).is_err() {
            log::debug!("offer {offer} is not accepted: too many wait, or nobody listens");
        }
    }

    fn tell(&self, offer: OfferId, event: CallEvent) {
        if let Some(telling) = self.calls.get(&offer)
            && telling.events.try_send(event).is_err()
        {
            log::debug!("nobody follows call {offer}");
        }
    }

    async fn flush(&mut self) {
        let is_v6 = self.local.borrow().is_ipv6();
        while let Some(transmit) = self.engine.poll_transmit() {
            let to = if is_v6 { mapped(transmit.to) } else { transmit.to };
            let sent = match transmit.hops {
                None => self.socket.send_to(&transmit.contents, to).await,
                Some(hops) => hops::send_to(&self.socket, hops, &transmit.contents, to),
            };
            if let Some(capture) = &self.capture {
                let local = capture::shown(*self.local.borrow(), transmit.to);
                capture.note(Way::Out, local, transmit.to, &transmit.contents);
            }
            if let Err(error) = sent {
                log::debug!("{} bytes to {}: {error}", transmit.contents.len(), transmit.to);
            }
        }
    }
}

/// Shows an IPv4 address as one, also where it came over a dual-stack socket; keeps an IPv6 address's scope.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// An IPv6 socket wants IPv4 addresses mapped.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}
