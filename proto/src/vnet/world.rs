//! A server, clients and a network in one virtual time; every input of an engine is followed by its output.

mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

pub use ports::Arrival;
use ports::{place_of, tell_places, way_to};

use super::ledger::{Breach, Handled, Ledger, Sent, Sizes};
use super::trace::{Point, Tapped, Trace};
use super::{Delivery, Host, INTERNET, Link, Network, Random, Realm};
use crate::Instant;
use crate::client::{self, Client, Event};
use crate::server::{self, Path, Server};
use crate::wire::PeerId;

/// The server's port.
pub const SERVER_PORT: u16 = 1066;
/// Its second port, once [`World::open_second_port`] has opened it.
pub const SECOND_PORT: u16 = 1067;
/// The date of a client at the moment that it is added, in Unix seconds.
pub const UNIX_TIME: u64 = 1_750_000_000;
/// The server's IPv4 address (RFC 5737).
pub const SERVER_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), SERVER_PORT);
/// The server's IPv6 address (RFC 3849).
pub const SERVER_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), SERVER_PORT);

/// Deadlines that an engine may ask for at one and the same moment; beyond that it spins.
const SPIN_MAX: u32 = 10_000;

/// A client engine on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(usize);

/// Who has a deadline. The server comes first among those of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Engine {
    Server,
    Client(Seat),
}

struct Sitter {
    client: Client,
    host: Host,
    port: u16,
    due: Option<Instant>,
    events: Vec<(Instant, Event)>,
}

/// A whole system in virtual time. Two worlds of the same seed and the same calls do the same, byte by byte.
///
/// The [`Ledger`] checks every step of the server.
///
/// # Panics
/// Whatever makes the server act panics if it breaks a promise of the [`Ledger`]'s, and if an engine asks for one
/// moment again and again; the message has the seed, the time and the last datagrams.
pub struct World {
    seed: u64,
    now: Instant,
    random: Random,
    network: Network,
    config: server::Config,
    server: Option<Server>,
    server_host: Host,
    server_due: Option<Instant>,
    has_second_port: bool,
    ledger: Ledger,
    sitters: Vec<Sitter>,
    ports: BTreeMap<(Host, u16), Seat>,
    /// The caller's, and what has come there.
    open: BTreeMap<(Host, u16), Vec<Arrival>>,
    deadlines: BTreeSet<(Instant, Engine)>,
    spins: (Instant, u32),
    trace: Trace,
}

impl World {
    /// Makes a world with a running server, at [`SERVER_V4`] and [`SERVER_V6`], and nobody else.
    #[must_use]
    pub fn new(seed: u64, config: server::Config) -> Self {
        let mut random = Random::new(seed);
        let mut network = Network::new(random.number());
        let addresses = [SERVER_V4.ip(), SERVER_V6.ip()];
        let server_host = network.add_host(INTERNET, &addresses, Link::after(Duration::ZERO));
        let mut world = Self {
            seed,
            now: Instant::ORIGIN,
            random,
            network,
            ledger: Ledger::new(&config),
            config,
            server: None,
            server_host,
            server_due: None,
            has_second_port: false,
            sitters: Vec::new(),
            ports: BTreeMap::new(),
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            spins: (Instant::ORIGIN, 0),
            trace: Trace::default(),
        };
        world.start_server();
        world
    }

    /// Returns the seed that the world was made with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Returns the source of chance of the caller's own choices.
    pub const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Returns the network.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the network, to add to it or change it.
    pub const fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Returns the server, if it is running.
    #[must_use]
    pub const fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Returns the host that the server runs on.
    #[must_use]
    pub const fn server_host(&self) -> Host {
        self.server_host
    }

    /// Returns the books on this life of the server.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns a hash of every datagram that was sent or received, with time and addresses.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.trace.hash()
    }

    /// Has `tap` see every datagram, as a capture would.
    pub fn tap(&mut self, tap: impl FnMut(&Tapped<'_>) + 'static) {
        self.trace.tap(Box::new(tap));
    }

    /// Ends the server; all that it knew is lost.
    pub fn stop_server(&mut self) {
        self.server = None;
        self.set_server_due(None);
    }

    /// Starts a server that knows nobody, under a new seed, unless one runs.
    pub fn start_server(&mut self) {
        if self.server.is_none() {
            let seed = self.random.seed();
            self.ledger = Ledger::new(&self.config);
            let mut server = Server::new(self.now, self.config.clone(), seed);
            tell_places(&mut server, self.has_second_port);
            self.set_server_due(server.poll_timeout());
            self.server = Some(server);
        }
    }

    /// Adds a client engine on a host's port, which must be free. It talks to the server's IPv4 address.
    pub fn add_client(&mut self, host: Host, port: u16, identifier: PeerId) -> Seat {
        self.add_client_with(host, port, client::Config::new(SERVER_V4, identifier, UNIX_TIME))
    }

    /// Adds a client engine of that configuration on a host's port, which must be free.
    pub fn add_client_with(&mut self, host: Host, port: u16, config: client::Config) -> Seat {
        let seat = Seat(self.sitters.len());
        let client = Client::new(self.now, config, self.random.seed());
        self.sitters.push(Sitter { client, host, port, due: None, events: Vec::new() });
        self.ports.insert((host, port), seat);
        self.settle(seat);
        seat
    }

    /// Gives a command to a client, and sends what it causes.
    pub fn command<R>(&mut self, seat: Seat, command: impl FnOnce(&mut Client, Instant) -> R) -> R {
        let result = command(&mut self.sitters[seat.0].client, self.now);
        self.settle(seat);
        result
    }

    /// Returns a client.
    #[must_use]
    pub fn client(&self, seat: Seat) -> &Client {
        &self.sitters[seat.0].client
    }

    /// Returns the host that a client is on.
    #[must_use]
    pub fn host(&self, seat: Seat) -> Host {
        self.sitters[seat.0].host
    }

    /// Returns all that a client has told, and when.
    #[must_use]
    pub fn events(&self, seat: Seat) -> &[(Instant, Event)] {
        &self.sitters[seat.0].events
    }

    /// Moves a client's host to another realm. The engine is not told; see [`World::command`] for that.
    pub fn move_host(&mut self, seat: Seat, realm: Realm, addresses: &[IpAddr]) {
        self.network.move_host(self.sitters[seat.0].host, realm, addresses);
    }

    /// Gives a client another, free port on its host, as a new socket does. The engine is not told.
    pub fn change_port(&mut self, seat: Seat, port: u16) {
        let sitter = &mut self.sitters[seat.0];
        self.ports.remove(&(sitter.host, sitter.port));
        sitter.port = port;
        self.ports.insert((sitter.host, port), seat);
    }

    /// Hands a datagram straight to the server, claiming to come from `from`. Answers travel to that address.
    pub fn inject(&mut self, from: SocketAddr, contents: &[u8]) -> Option<server::Outcome> {
        self.serve(from, own_address(from), contents)
    }

    /// Lets time pass without anybody noticing, as when a machine sleeps: what was due in between is late.
    pub fn jump(&mut self, by: Duration) {
        self.now += by;
    }

    /// Returns when something happens next.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [self.network.next_at(), deadline].into_iter().flatten().min().map(|at| at.max(self.now))
    }

    /// Takes one step: a datagram arrives, or a deadline passes. False if nothing will ever happen, or not until
    /// `until`; then the time is `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(at) = self.next_at().filter(|at| *at <= until) else {
            self.network.poll(until);
            self.now = self.now.max(until);
            return false;
        };
        self.now = at;
        if let Some(delivery) = self.network.poll(at) {
            self.deliver(&delivery);
            return true;
        }
        let Some((due, engine)) = self.deadlines.first().copied().filter(|(due, _)| *due <= at) else {
            return true;
        };
        self.watch_for_spinning(due, engine);
        match engine {
            Engine::Server => self.time_server(),
            Engine::Client(seat) => self.command(seat, Client::handle_timeout),
        }
        true
    }

    /// Runs for a while.
    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    /// Runs until `done` holds, but not longer than `duration`; tells whether it does.
    pub fn run_until(&mut self, duration: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now + duration;
        while !done(self) {
            if !self.step(until) {
                return done(self);
            }
        }
        true
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let &Delivery { host, from, to, is_refusal, ref contents } = delivery;
        if host == self.server_host && !is_refusal {
            let has_second = self.has_second_port && to.port() == SECOND_PORT;
            if to.port() == SERVER_PORT || has_second {
                self.serve(from, to, contents);
            } else {
                self.network.refuse(delivery);
            }
            return;
        }
        if let Some(come) = self.open.get_mut(&(host, to.port())) {
            let (at, contents) = (self.now, contents.clone());
            come.push(if is_refusal {
                Arrival::Unreachable { at, from }
            } else {
                Arrival::Datagram { at, from, contents }
            });
            return;
        }
        // An engine has its own timers for what is not answered.
        let Some(seat) = self.ports.get(&(host, to.port())).copied().filter(|_| !is_refusal) else { return };
        self.trace.see(&Tapped { at: self.now, point: Point::Client(seat), from, to, contents });
        self.sitters[seat.0].client.handle_datagram(self.now, from, contents);
        self.settle(seat);
    }

    fn serve(&mut self, from: SocketAddr, to: SocketAddr, contents: &[u8]) -> Option<server::Outcome> {
        self.trace.see(&Tapped { at: self.now, point: Point::Server, from, to, contents });
        let server = self.server.as_mut()?;
        let before = Sizes::of(server);
        let outcome = server.handle_datagram(self.now, Path { remote: from, via: way_to(to) }, contents);
        let sent = drained(server);
        let handled = Handled { now: self.now, from, contents, outcome, sent: &sent, before };
        let verdict = self.ledger.handled(&handled, server);
        self.judge(verdict);
        self.send_from_server(&sent);
        Some(outcome)
    }

    fn time_server(&mut self) {
        let Some(server) = self.server.as_mut() else { return };
        let before = Sizes::of(server);
        server.handle_timeout(self.now);
        let sent = drained(server);
        let verdict = self.ledger.timed(self.now, &sent, before, server);
        self.judge(verdict);
        self.send_from_server(&sent);
    }

    fn send_from_server(&mut self, sent: &[Sent]) {
        for &Sent { from, to, ref contents } in sent {
            self.trace.see(&Tapped { at: self.now, point: Point::FromServer, from, to, contents });
            self.network.send(self.server_host, from.port(), to, contents);
        }
        let due = self.server.as_ref().and_then(Server::poll_timeout);
        self.set_server_due(due);
    }

    /// Takes what a client has to say, after each of its inputs.
    fn settle(&mut self, seat: Seat) {
        let Sitter { client, host, port, due, events } = &mut self.sitters[seat.0];
        while let Some(transmit) = client.poll_transmit() {
            let (to, contents) = (transmit.to, &transmit.contents);
            let from = self.network.address(*host, to.ip()).map_or(to, |ip| SocketAddr::new(ip, *port));
            let point = Point::FromClient(seat);
            self.trace.see(&Tapped { at: self.now, point, from, to, contents });
            self.network.send(*host, *port, to, contents);
        }
        while let Some(event) = client.poll_event() {
            events.push((self.now, event));
        }
        let next = client.poll_timeout();
        let before = std::mem::replace(due, next);
        self.reschedule(Engine::Client(seat), before, next);
    }

    fn set_server_due(&mut self, due: Option<Instant>) {
        let before = std::mem::replace(&mut self.server_due, due);
        self.reschedule(Engine::Server, before, due);
    }

    fn reschedule(&mut self, engine: Engine, before: Option<Instant>, next: Option<Instant>) {
        if let Some(before) = before {
            self.deadlines.remove(&(before, engine));
        }
        if let Some(next) = next {
            self.deadlines.insert((next, engine));
        }
    }

    fn watch_for_spinning(&mut self, due: Instant, engine: Engine) {
        self.spins = if self.spins.0 == self.now { (self.now, self.spins.1 + 1) } else { (self.now, 0) };
        assert!(self.spins.1 < SPIN_MAX, "{engine:?} asks for {due} again and again; {}", self.whereabouts());
    }

    fn judge(&self, verdict: Result<(), Breach>) {
        if let Err(breach) = verdict {
            panic!("{breach}; {}", self.whereabouts());
        }
    }

    /// Says where a run stands, for a message of failure.
    #[must_use]
    pub fn whereabouts(&self) -> String {
        format!("seed {}, at {}, last datagrams:\n{}", self.seed, self.now, self.trace.recent())
    }
}

/// Returns the server's address of the same family.
const fn own_address(remote: SocketAddr) -> SocketAddr {
    if remote.is_ipv4() { SERVER_V4 } else { SERVER_V6 }
}

fn drained(server: &mut Server) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let Some(transmit) = server.poll_transmit() {
        let (from, to) = (place_of(transmit.path.via), transmit.path.remote);
        sent.extend(transmit.datagrams().map(|datagram| Sent { from, to, contents: datagram.to_vec() }));
    }
    sent
}
