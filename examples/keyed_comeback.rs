//! How long it takes until all keyed peers are back after a server restart, with tickets and without, and what a keyed registration
//! costs the server.
//!
//! `cargo run --release --example keyed_comeback [PEERS]` registers that many peers (100,000) at the real server over
//! loopback, restarts it, lets all of them come back at once, and prints a table in Markdown (Linux). A few minutes at most.
//!
//! The server has a thread of its own, whose CPU time is read from `/proc`; keys are made beforehand, and signatures by the
//! load's thread, as clients do. Peers share 256 sockets; each socket has 4 requests under way, repeats what is lost and
//! obeys `retry_after`. With tickets no peer signs, so that nothing but the ticket can have let it in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roundtable_signalling::config::{Config, RegisterRate, RegisterTotal, SignatureChecks, StrangerRate};
use roundtable_signalling::proto::identity::{Binding, SecretKey};
use roundtable_signalling::proto::wire::{
    self, Address, Challenge, Cookie, Frame, PeerId, Refusal, Register, Session, Signature, Ticket,
    TransactionId,
};
use roundtable_signalling::{Server, StatsHandle};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PEERS: usize = 100_000;
const SOCKETS: usize = 256;
/// Requests under way at each socket.
const WINDOW: usize = 4;
/// A request is repeated after this.
const REPEAT: Duration = Duration::from_secs(1);
/// A cookie that is older is asked for anew.
const COOKIE_AGE: Duration = Duration::from_secs(30);
/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Outcome<()> {
    let peers = std::env::args().nth(1).map_or(Ok(PEERS), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(peers))
}

async fn measure(count: usize) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let secret = Some(directory.path().join("tickets"));
    let mut crowd = Crowd::new(count, Kind::Keyed).await?;
    println!("{count} peers, all at once");
    println!();
    println!(
        "| | signature checks allowed a second | all are back after | CPU of the server in all | a registration | signatures checked | told to wait |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (default, raised) = (Config::default().signaturechecks, SignatureChecks::constant::<1_000_000>());
    let mut plain = Crowd::new(count, Kind::Plain).await?;
    plain.run("plain, for the first time", default, None, Proof::Signature).await?;
    drop(plain);
    crowd.run("keyed, for the first time", raised, secret.clone(), Proof::Signature).await?;
    crowd.run("keyed, restart, with tickets", default, secret, Proof::Ticket).await?;
    crowd.run("keyed, restart, tickets are void", raised, None, Proof::Signature).await?;
    crowd.run("keyed, restart, tickets are void", default, None, Proof::Signature).await
}

/// What kind of identifiers the peers have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Keyed,
}

/// How the peers prove that they own their identifiers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Signature,
    Ticket,
}

/// A server in a thread of its own.
struct Running {
    address: SocketAddr,
    stats: StatsHandle,
    /// Its thread's CPU time, in nanoseconds, is the first number here.
    schedstat: PathBuf,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Outcome<()>>,
}

impl Running {
    fn start(config: Config) -> Outcome<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let server = Server::bind(&config)?;
                let task = PathBuf::from("/proc").join(std::fs::read_link("/proc/thread-self")?);
                started.send((server.local_addr(), server.stats(), task.join("schedstat")))?;
                server.run(async { drop(stopped.await) }).await?;
                Ok(())
            })
        });
        match start.recv() {
            Ok((address, stats, schedstat)) => Ok(Self { address, stats, schedstat, stop, thread }),
            Err(_) => Err(end(thread).err().unwrap_or_else(|| "the server has not started".into())),
        }
    }

    fn cpu(&self) -> Outcome<u64> {
        let text = std::fs::read_to_string(&self.schedstat)?;
        Ok(text.split(' ').next().unwrap_or_default().parse()?)
    }

    fn stop(self) -> Outcome<()> {
        drop(self.stop);
        end(self.thread)
    }
}

fn end(thread: JoinHandle<Outcome<()>>) -> Outcome<()> {
    thread.join().map_err(|_| "the server's thread has panicked")?
}

/// All peers, and where they are.
struct Crowd {
    groups: Vec<Group>,
}

/// Those that share a socket.
struct Group {
    socket: UdpSocket,
    address: SocketAddr,
    peers: Vec<Peer>,
}

struct Peer {
    id: PeerId,
    key: Option<SecretKey>,
    /// The server's address, which it signs.
    server: Address,
    session: Session,
    ticket: Ticket,
    /// What it sends, once it has a cookie, and when that came.
    proving: Option<(Vec<u8>, Instant)>,
}

impl Crowd {
    async fn new(count: usize, kind: Kind) -> Outcome<Self> {
        let mut groups = Vec::with_capacity(SOCKETS);
        for number in 0..SOCKETS {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 9, 0, number as u8), 0)).await?;
            let address = socket.local_addr()?;
            let own = (number..count).step_by(SOCKETS).map(|peer| Peer::new(peer, kind));
            groups.push(Group { socket, address, peers: own.collect::<Outcome<_>>()? });
        }
        Ok(Self { groups })
    }

    /// Starts a server, registers all peers there, prints what it took, and ends the server.
    async fn run(
        &mut self,
        name: &str,
        signaturechecks: SignatureChecks,
        secretfile: Option<PathBuf>,
        proof: Proof,
    ) -> Outcome<()> {
        let localaddress = Some(Ipv4Addr::LOCALHOST.into());
        let config = Config {
            localport: 0,
            localaddress,
            signaturechecks,
            secretfile,
            // Some hundred addresses stand for those of all peers.
            strangerrate: StrangerRate::constant::<0>(),
            registerrate: RegisterRate::constant::<0>(),
            registertotal: RegisterTotal::constant::<0>(),
            ..Config::default()
        };
        let server = Running::start(config)?;
        let (clock, cpu) = (Instant::now(), server.cpu()?);
        let mut tasks = tokio::task::JoinSet::new();
        for group in self.groups.drain(..) {
            tasks.spawn(group.register(server.address, proof));
        }
        while let Some(group) = tokio::time::timeout(PATIENCE, tasks.join_next()).await? {
            self.groups.push(group??);
        }
        let (took, cpu) = (clock.elapsed(), server.cpu()? - cpu);
        let (stats, peers) =
            (server.stats.clone(), self.groups.iter().map(|group| group.peers.len()).sum::<usize>());
        server.stop()?;
        let stats = stats.snapshot();
        if stats.peers as usize != peers {
            return Err(format!("{} of {peers} peers are registered", stats.peers).into());
        }
        println!(
            "| {name} | {} | {:.1} s | {:.1} s | {:.1} us | {} | {} |",
            signaturechecks.get(),
            took.as_secs_f64(),
            cpu as f64 / 1e9,
            cpu as f64 / 1e3 / peers as f64,
            stats.counters.signatures_checked,
            stats.counters.refused(wire::ErrorCode::RateLimited),
        );
        Ok(())
    }
}

impl Peer {
    fn new(number: usize, kind: Kind) -> Outcome<Self> {
        let mut seed = [0x5A; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let key = match kind {
            Kind::Keyed => Some(SecretKey::from_seed(&seed)?),
            Kind::Plain => None,
        };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&seed[..16]);
        let id =
            key.as_ref().map(SecretKey::identifier).or_else(|| PeerId::plain(uuid)).ok_or("a nil UUID")?;
        Ok(Self {
            id,
            key,
            server: Address::NONE,
            session: Session::NONE,
            ticket: Ticket::NONE,
            proving: None,
        })
    }

    /// What to send now: a REGISTER with what is there.
    fn request(&mut self, number: usize) -> Vec<u8> {
        match &self.proving {
            Some((proving, since)) if since.elapsed() < COOKIE_AGE => proving.clone(),
            _ => self.register(number, Cookie::NONE, Signature::NONE),
        }
    }

    fn challenged(&mut self, number: usize, challenge: &Challenge, proof: Proof) {
        let signature = match (&self.key, proof) {
            (Some(key), Proof::Signature) => {
                let Challenge { cookie, observed, .. } = *challenge;
                key.sign_register(&Binding { cookie, observed, server: self.server })
            }
            (Some(_), Proof::Ticket) | (None, _) => Signature::NONE,
        };
        self.proving = Some((self.register(number, challenge.cookie, signature), Instant::now()));
    }

    fn register(&self, number: usize, cookie: Cookie, signature: Signature) -> Vec<u8> {
        let Self { id: identifier, session, ticket, server, .. } = *self;
        let transaction = transaction(number);
        Frame::Register(Register { session, transaction, identifier, cookie, ticket, server, signature })
            .to_vec()
    }
}

fn transaction(number: usize) -> TransactionId {
    TransactionId((number as u128).to_be_bytes())
}

/// What came back about one peer.
enum Answer {
    Challenged,
    Registered,
    Wait(Duration),
}

impl Group {
    /// Registers every peer of the group.
    async fn register(mut self, server: SocketAddr, proof: Proof) -> Outcome<Self> {
        self.peers.iter_mut().for_each(|peer| (peer.proving, peer.server) = (None, server.into()));
        let mut ready: VecDeque<usize> = (0..self.peers.len()).collect();
        let mut waiting = BinaryHeap::new();
        let mut flying: Vec<(Instant, usize)> = Vec::new();
        let mut done = 0;
        let mut buffer = [0; wire::DATAGRAM_MAX];
        while done < self.peers.len() {
            let now = Instant::now();
            while flying.len() < WINDOW {
                let due = waiting.peek().is_some_and(|Reverse((until, _))| *until <= now);
                let next = if due { waiting.pop().map(|Reverse((_, peer))| peer) } else { ready.pop_front() };
                let Some(peer) = next else { break };
                self.send(server, peer).await?;
                flying.push((now + REPEAT, peer));
            }
            let wake =
                flying.iter().map(|(at, _)| *at).chain(waiting.peek().map(|Reverse((at, _))| *at)).min();
            let wake = wake.ok_or("nothing is under way")?;
            let received = tokio::time::timeout_at(wake.into(), self.socket.recv(&mut buffer)).await;
            let Ok(length) = received else {
                self.repeat(server, &mut flying).await?;
                continue;
            };
            let Some((peer, answer)) = self.take(&buffer[..length?], proof)? else { continue };
            // Not under way: a repeat's second answer.
            let Some(place) = flying.iter().position(|(_, flying)| *flying == peer) else { continue };
            match answer {
                Answer::Challenged => {
                    flying[place].0 = Instant::now() + REPEAT;
                    self.send(server, peer).await?;
                    continue;
                }
                Answer::Registered => done += 1,
                Answer::Wait(time) => waiting.push(Reverse((Instant::now() + time, peer))),
            }
            flying.swap_remove(place);
        }
        Ok(self)
    }

    async fn send(&mut self, server: SocketAddr, peer: usize) -> Outcome<()> {
        let request = self.peers[peer].request(peer);
        self.socket.send_to(&request, server).await?;
        Ok(())
    }

    async fn repeat(&mut self, server: SocketAddr, flying: &mut [(Instant, usize)]) -> Outcome<()> {
        let now = Instant::now();
        for (at, peer) in flying.iter_mut().filter(|(at, _)| *at <= now) {
            *at = now + REPEAT;
            self.send(server, *peer).await?;
        }
        Ok(())
    }

    /// Reads an answer: whom it is about, and what it means.
    fn take(&mut self, datagram: &[u8], proof: Proof) -> Outcome<Option<(usize, Answer)>> {
        let frame = wire::decode(datagram)?;
        if let Frame::Challenge(challenge) = &frame {
            let Some((number, peer)) = self.peer(challenge.reference) else { return Ok(None) };
            peer.challenged(number, challenge, proof);
            return Ok(Some((number, Answer::Challenged)));
        }
        if let Frame::Registered(registered) = &frame {
            let Some((number, peer)) = self.peer(registered.transaction) else { return Ok(None) };
            (peer.session, peer.ticket) = (registered.session, registered.ticket);
            return Ok(Some((number, Answer::Registered)));
        }
        let Frame::Error(Refusal { reference, retry_after: retry_after @ 1.., .. }) = frame else {
            return Err(format!("{:?} gets {frame:?}", self.address).into());
        };
        let wait = Answer::Wait(Duration::from_millis(retry_after.into()));
        Ok(self.peer(reference).map(|(number, _)| (number, wait)))
    }

    fn peer(&mut self, TransactionId(reference): TransactionId) -> Option<(usize, &mut Peer)> {
        let number = u128::from_be_bytes(reference) as usize;
        self.peers.get_mut(number).map(|peer| (number, peer))
    }
}
