//! The server's driver: one loop over the server's sockets. It moves bytes and time and never looks inside a frame.

mod proxied;
mod start;
mod stats;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use roundtable_proto::Instant;
use roundtable_proto::proxy::Gate;
use roundtable_proto::server::{self as engine, Event, Pressure, Transmit, Via};

use crate::capture::{Capture, Way};
use crate::clock::Clock;
use crate::config::Config;
use crate::filter::{Beside, Orders, Shedder};
use crate::ports::{Further, Ports, Queues};
use crate::queue::Drops;
use crate::seed;
use crate::socket::Arrivals;

pub use start::{MemoryError, StartError};
#[cfg(feature = "cli")]
pub(crate) use start::{memory, too_much};
pub use stats::{Stats, StatsHandle, Transport};

/// Receive calls in a row before timers and shutdown get their turn.
const DRAIN_MAX: usize = 8;
/// A loop that has not turned for this long has been suspended, or has had nothing to do.
const SUSPENDED: Duration = Duration::from_secs(5);
/// Receive calls in a row after that: more than the largest receive buffer holds.
const SUSPENDED_DRAIN_MAX: usize = 1024;
/// Pause after an unexpected receive error, so that a broken socket does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// With a receive queue that has been crowded for this long, the loop does not keep up. One that is never empty is busy,
/// no more.
const SATURATED: Duration = Duration::from_millis(50);
/// Time between two warnings of the same kind, at least.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two looks at the kernel's count of dropped datagrams while the server runs, at least.
const DROPS_INTERVAL: Duration = Duration::from_secs(10);

/// A rendezvous server on its socket.
///
/// ```
/// use roundtable_signalling::config::Config;
/// use roundtable_signalling::Server;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = Server::bind(&Config { localport: 0, ..Config::default() })?;
/// println!("listening on {}", server.local_addr());
/// let stats = server.stats();
/// server.run(async { /* until this future ends */ }).await?;
/// assert_eq!(stats.snapshot().peers, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Server {
    socket: Ports,
    address: SocketAddr,
    clock: Clock,
    engine: engine::Server,
    /// Where proxies are trusted: what takes their headers off and puts them on.
    gate: Option<Gate>,
    queues: Queues,
    /// When to look at the queues again.
    look: Instant,
    /// When the loop last turned.
    awake: Instant,
    shared: Arc<Mutex<Stats>>,
    transport: Transport,
    last_warning: Option<std::time::Instant>,
    /// What comes in besides frames.
    beside: Beside,
    /// Since when the receive queue has been crowded.
    crowded_since: Option<Instant>,
    /// What the kernel is to drop meanwhile; none if the operator has it drop nothing.
    shedder: Option<Shedder>,
    /// Where datagrams are written to.
    capture: Option<Capture>,
    /// Neither the operator nor a public address says what clients call this server, and nobody was told so.
    is_unnamed: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the configured address and port. Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let further = Further { port: config.altport, address: config.altaddress };
        let socket = Ports::bind(config.localaddress, config.localport, further)?;
        let address = socket.local_addr()?;
        let clock = Clock::start();
        let limits = start::engine_config(config, &socket, address.port())?;
        let receive_buffer = socket.receive_buffer();
        log::info!("receive buffer of {receive_buffer} bytes granted");
        if let Some(warning) = start::too_much(start::memory(config)?) {
            log::warn!("{warning}");
        }
        let engine = engine::Server::new(clock.now(), limits, seed::draw()?);
        let gate = match config.proxyprotocol.protocol() {
            Some(protocol) => {
                let peers = config.maxpeers.get();
                Some(Gate::new(protocol, &config.trustedproxies, socket.via_end(), peers, &seed::draw()?))
            }
            None => None,
        };
        let mut this = Self {
            queues: socket.queues(),
            look: clock.now() + DROPS_INTERVAL,
            awake: clock.now(),
            socket,
            address,
            clock,
            engine,
            gate,
            shared: Arc::default(),
            transport: Transport { receive_buffer, ..Transport::default() },
            last_warning: None,
            beside: Beside { stun: config.stun != engine::Stun::Off, proxy: config.proxyprotocol.protocol() },
            crowded_since: None,
            shedder: config.kernelfilter.then(|| Shedder::new(clock.now())),
            capture: config.capturefile.as_deref().map(|path| start::capture(path, config)).transpose()?,
            is_unnamed: config.publicaddress.is_empty(),
        };
        for (via, local) in this.socket.fixed() {
            this.learn_local(via, local);
        }
        Ok(this)
    }

    /// Returns the address that is bound; with `localport` 0, its port is the one that the system chose.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address that is bound at the second port; with `altport` 0, its port is the one that the system chose.
    #[must_use]
    pub fn alternate_addr(&self) -> Option<SocketAddr> {
        self.socket.second_addr()
    }

    /// Returns a handle that can be read while the server runs.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        StatsHandle { shared: Arc::clone(&self.shared), queues: self.queues.clone() }
    }

    /// Serves until `shutdown` is ready. No datagram and no socket error ends the loop.
    ///
    /// # Errors
    /// The runtime's, if it can no longer wait for the socket.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        self.serve(pin!(shutdown)).await?;
        self.count_drops();
        self.publish();
        self.sum_up();
        Ok(())
    }

    async fn serve(&mut self, mut shutdown: Pin<&mut impl Future<Output = ()>>) -> io::Result<()> {
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let mut arrivals = Arrivals::new();
        loop {
            if self.has_been_suspended() {
                // The runtime looks at the socket.
                tokio::task::yield_now().await;
                self.drain(&mut arrivals, SUSPENDED_DRAIN_MAX).await;
            }
            self.handle_due();
            self.publish();
            let shedding = self.shedder.as_ref().and_then(Shedder::poll_timeout);
            let deadline = [self.engine.poll_timeout(), shedding].into_iter().flatten().min();
            if let Some(at) = deadline {
                timer.as_mut().reset(self.clock.wake_at(at));
            }
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                () = &mut timer, if deadline.is_some() => {}
                readable = self.socket.readable() => {
                    readable?;
                    self.drain(&mut arrivals, DRAIN_MAX).await;
                }
            }
        }
    }

    /// Tells whether the process stood still for so long that what waits in the socket must be heard before anything is
    /// due: keepalives wait there too.
    fn has_been_suspended(&mut self) -> bool {
        let (now, before) = (self.clock.now(), self.awake);
        self.awake = now;
        // With a peer or an offer there is something due every second; without one nothing can be forgotten.
        now.since(before) > SUSPENDED
    }

    /// Says in the log what the run came to.
    fn sum_up(&self) {
        let counters = self.engine.counters();
        log::info!(
            "{} datagrams in, {} out, {} dropped by the kernel because the receive queue was full, {} by its filter",
            counters.datagrams_in,
            counters.datagrams_out,
            self.transport.receive_drops,
            self.transport.receive_shed
        );
    }

    /// Takes over the kernel's count of datagrams that found the receive queue full.
    fn count_drops(&mut self) {
        if let Some(drops) = self.queues.drops() {
            self.transport.note(drops);
        }
    }

    /// Warns of datagrams lost in the kernel, now and then: the operator can give it more room.
    fn look_for_drops(&mut self, now: Instant) {
        if now < self.look {
            return;
        }
        self.look = now + DROPS_INTERVAL;
        self.look_at_headers();
        let before = self.transport.receive_drops;
        self.count_drops();
        let dropped = self.transport.receive_drops.saturating_sub(before);
        if dropped > 0 {
            log::warn!(
                "the kernel dropped {dropped} datagrams because the receive queue was full \
                 ({} bytes; raise net.core.rmem_max)",
                self.transport.receive_buffer
            );
        }
    }

    /// Receives and answers what is there, up to a bound.
    async fn drain(&mut self, arrivals: &mut Arrivals, most: usize) {
        for _ in 0..most {
            match self.socket.receive(arrivals) {
                Ok(()) => self.handle(arrivals),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.note_queue(true);
                    return;
                }
                Err(error) => return self.note_receive_error(&error).await,
            }
        }
        self.note_queue(false);
        // The runtime looks whether there is something at other sockets, a signal among them: it is not asked by one that is busy.
        tokio::task::yield_now().await;
    }

    /// Tells the engine whether the loop keeps up.
    fn note_queue(&mut self, is_empty: bool) {
        let now = self.clock.now();
        if is_empty || !self.socket.is_crowded() {
            self.crowded_since = None;
        } else {
            self.crowded_since.get_or_insert(now);
        }
        let saturated = self.crowded_since.is_some_and(|since| now.since(since) >= SATURATED);
        if saturated
            && let Some(shedder) = &mut self.shedder
            && shedder.handle_saturation(now, |least| self.engine.take_offenders(least))
        {
            self.shed();
        }
        self.engine.set_pressure(now, if saturated { Pressure::Saturated } else { Pressure::Calm });
    }

    /// Has the kernel drop what comes last in a flood, or nothing more.
    fn shed(&self) {
        let Some(orders) = self.shedder.as_ref().map(Shedder::orders) else { return };
        match self.socket.shed(&orders, self.beside, &self.engine.marker()) {
            Ok(()) => log::debug!("the kernel sheds {orders}"),
            Err(error) => log::debug!("the kernel cannot shed {orders}: {error}"),
        }
    }

    fn handle(&mut self, arrivals: &Arrivals) {
        let now = self.clock.now();
        match &self.gate {
            Some(gate) => self.engine.foresee(arrivals.datagrams().map(|datagram| gate.peek(datagram))),
            None => self.engine.foresee(arrivals.datagrams()),
        }
        for train in 0..arrivals.trains() {
            let (path, datagrams) = self.socket.train(arrivals, train);
            while let Some((via, local)) = self.socket.poll_local() {
                self.learn_local(via, local);
            }
            let note = |remote, datagram: &[u8]| {
                if let Some(capture) = &self.capture {
                    let local = self.socket.local(path.via).unwrap_or(self.address);
                    capture.note(Way::In, remote, local, datagram);
                }
            };
            if let Some(gate) = &mut self.gate {
                datagrams.for_each(|one| proxied::handle(gate, &mut self.engine, now, path, one, note));
            } else {
                for datagram in datagrams {
                    note(path.remote, datagram);
                    let outcome = self.engine.handle_datagram(now, path, datagram);
                    log::trace!("{} bytes from {}: {outcome:?}", datagram.len(), path.remote);
                }
            }
            if self.engine.wants_draining() {
                self.flush();
            }
        }
        self.flush();
        self.settle(now);
    }

    /// Tells the engine of a local address, and the operator where that may not be what clients call it.
    fn learn_local(&mut self, via: Via, local: SocketAddr) {
        if self.shedder.as_ref().is_some_and(|shedder| shedder.orders() != Orders::default()) {
            // There may be one socket more.
            self.shed();
        }
        self.engine.learn_local_address(via, local);
        if self.socket.second_addr().is_some() {
            self.engine.learn_alternates(via, self.socket.alternates(via));
        }
        if self.is_unnamed && engine::may_be_translated(local.ip()) {
            self.is_unnamed = false;
            log::info!(
                "clients reach the private address {}: if they call it by another, set publicaddress, so that \
                 only registrations made for this server are taken",
                local.ip()
            );
        }
    }

    fn handle_due(&mut self) {
        let now = self.clock.now();
        self.look_for_drops(now);
        let queues = &self.queues;
        let dropped = || queues.drops().map(Drops::in_all);
        if self.shedder.as_mut().is_some_and(|shedder| shedder.handle_timeout(now, dropped)) {
            self.shed();
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now);
            self.flush();
        }
        while let Some(event) = self.engine.poll_event() {
            tell(&event);
        }
    }

    /// Sends all that waits.
    fn flush(&mut self) {
        let (capture, socket) = (&self.capture, &self.socket);
        let note = |transmit: &Transmit<'_>, via| {
            if let Some(capture) = capture {
                let local = socket.local(via).unwrap_or(self.address);
                transmit.datagrams().for_each(|one| capture.note(Way::Out, local, transmit.path.remote, one));
            }
        };
        let transmits = self.engine.poll_transmits();
        let errors = &mut self.transport.send_errors;
        let failed = |transmit: &Transmit<'_>, error: &io::Error| {
            *errors += 1;
            log::debug!("{} bytes to {}: {error}", transmit.contents.len(), transmit.path.remote);
        };
        match &mut self.gate {
            Some(gate) => {
                for transmit in transmits {
                    // What goes through a proxy is kept as it is for the client.
                    note(&transmit, gate.local(transmit.path.via));
                    gate.push(&transmit);
                }
                self.socket.send(gate.poll_transmits(), failed);
            }
            None if capture.is_some() => {
                let transmits: Vec<_> =
                    transmits.inspect(|transmit| note(transmit, transmit.path.via)).collect();
                self.socket.send(transmits.into_iter(), failed);
            }
            None => self.socket.send(transmits, failed),
        }
    }

    /// An error is news about one peer, never the end: it is counted, and told now and then.
    async fn note_receive_error(&mut self, error: &io::Error) {
        self.transport.receive_errors += 1;
        if self.last_warning.is_none_or(|last| last.elapsed() > WARN_INTERVAL) {
            self.last_warning = Some(std::time::Instant::now());
            log::warn!("receiving: {error} ({} so far)", self.transport.receive_errors);
        }
        if error.kind() != io::ErrorKind::ConnectionRefused {
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }

    fn publish(&self) {
        if let Some(capture) = &self.capture {
            capture.flush();
        }
        let mut stats = self.shared.lock();
        stats.peers = self.engine.peers();
        stats.offers = self.engine.offers();
        stats.counters.clone_from(self.engine.counters());
        stats.transport = self.transport;
        if let Some(gate) = &self.gate {
            stats.transport.refused_headers = gate.refusals();
        }
    }
}

/// Logs an event: at warn what the operator has to know, once for each episode.
fn tell(event: &Event) {
    match event {
        Event::Flooded { per_second, prefixes } => {
            log::warn!("under flood: {per_second} datagrams/s from {prefixes} prefixes, strangers limited");
        }
        Event::Relieved { lasted, shed } => {
            log::warn!(
                "the flood is over after {} s: {shed} datagrams of strangers dropped",
                lasted.as_secs()
            );
        }
        Event::Registered { .. }
        | Event::Moved { .. }
        | Event::Unregistered { .. }
        | Event::Forgotten { .. }
        | Event::OfferOpened { .. }
        | Event::OfferAnswered { .. }
        | Event::OfferTimedOut { .. } => log::debug!("{event:?}"),
    }
}

#[cfg(test)]
mod tests;
