//! A host that attacks: its socket, what it has been given, what it gets for its attempts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use roundtable_signalling::proto::identity::{Identity, SecretKey};
use roundtable_signalling::proto::wire::{
    self, Cookie, ErrorCode, Frame, PeerId, Ping, Session, Ticket, TransactionId, Zeros,
};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::frames::{OWN, cookie, enroll};
use crate::random::Random;

/// Attempts in a row before their answers are read: they fit into every receive buffer.
const VOLLEY: usize = 32;
/// After this a fence that was lost is repeated.
const PATIENCE: Duration = Duration::from_secs(2);
/// First byte of a fence's transaction.
const FENCE: u8 = 0xFE;

pub(crate) struct Attacker {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) address: SocketAddr,
    /// Its own, and good.
    pub(crate) cookie: Cookie,
    /// Its own, where it is registered.
    pub(crate) session: Session,
    /// Its own, where it is registered with a key.
    pub(crate) ticket: Ticket,
    pub(crate) key: SecretKey,
    server: SocketAddr,
    fences: u64,
}

impl Attacker {
    /// A host at this address, on a port of its own.
    pub(crate) async fn at(server: SocketAddr, ip: impl Into<IpAddr>, random: &mut Random) -> Self {
        Self::on(Arc::new(UdpSocket::bind((ip.into(), 0)).await.unwrap()), server, random).await
    }

    /// A host that has come by this socket.
    pub(crate) async fn on(socket: Arc<UdpSocket>, server: SocketAddr, random: &mut Random) -> Self {
        let address = socket.local_addr().unwrap();
        let key = SecretKey::from_seed(&random.bytes()).unwrap();
        let cookie = cookie(&socket, server).await;
        Self { socket, address, cookie, session: Session::NONE, ticket: Ticket::NONE, key, server, fences: 0 }
    }

    /// Registers under the attacker's own key.
    pub(crate) async fn enlisted(mut self) -> Self {
        let enrolled = enroll(&self.socket, self.server, &Identity::from(self.key.clone())).await;
        self.session = enrolled.registered.session;
        self.ticket = enrolled.registered.ticket;
        self
    }

    /// Registers under a plain identifier that nobody else has.
    pub(crate) async fn enlisted_plain(mut self, random: &mut Random) -> Self {
        let own = PeerId::plain(random.bytes()).unwrap();
        let enrolled = enroll(&self.socket, self.server, &Identity::from(own)).await;
        self.session = enrolled.registered.session;
        self
    }

    /// Sends attempts and reads what they bring. A PING behind them comes back when all are answered.
    pub(crate) async fn volley(&mut self, attempts: &[Vec<u8>], tally: &mut Tally) {
        for attempt in attempts {
            self.socket.send_to(attempt, self.server).await.unwrap();
        }
        tally.sent += attempts.len() as u64;
        self.fences += 1;
        let mut transaction = [FENCE; 16];
        transaction[8..].copy_from_slice(&self.fences.to_be_bytes());
        let transaction = TransactionId(transaction);
        let ping = Frame::Ping(Ping { transaction, zero: Zeros::ZERO }).to_vec();
        self.socket.send_to(&ping, self.server).await.unwrap();
        let mut buffer = [0; wire::DATAGRAM_MAX];
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await {
                Ok(received) => match wire::decode(&buffer[..received.unwrap().0]) {
                    Ok(Frame::Pong(pong)) if pong.transaction == transaction => break,
                    Ok(Frame::Pong(_)) => {}
                    Ok(frame) => tally.note(&frame),
                    Err(error) => panic!("the server sends what is no frame: {error}"),
                },
                Err(_) => drop(self.socket.send_to(&ping, self.server).await.unwrap()),
            }
        }
        // Every attempt that is refused is told so. What is not was relayed: to a victim.
        for _ in tally.evaluated..tally.sent {
            tally.evaluated += 1;
            tally.gain("passed on, or lost");
        }
    }
}

/// What attempts brought.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    /// Attempts that were evaluated: each had an answer, or was counted where it was dropped.
    pub(crate) evaluated: u64,
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// Attackers that are registered themselves, as anybody may.
    pub(crate) enlisted: u64,
    /// What an attacker has gained, by name.
    pub(crate) gains: Vec<String>,
}

impl Tally {
    /// Counts an answer; whatever is no refusal is a gain.
    fn note(&mut self, frame: &Frame<'_>) {
        self.evaluated += 1;
        let name = match frame {
            Frame::Challenge(_) => "CHALLENGE",
            Frame::Error(refusal) => ErrorCode::from_number(refusal.code).map_or("unknown", ErrorCode::name),
            Frame::Registered(registered) if registered.transaction.0[0] == OWN => "REGISTERED as another",
            Frame::Registered(_) => return self.gain("REGISTERED"),
            other => return self.gain(other.kind().name()),
        };
        *self.answers.entry(name).or_default() += 1;
    }

    pub(crate) fn gain(&mut self, what: &str) {
        self.gains.push(what.to_owned());
    }

    /// Where every attempt must get a CHALLENGE: any other answer says that its cookie, or its session, was taken.
    pub(crate) fn challenged(mut self) -> Self {
        for (name, times) in self.answers.iter().filter(|(name, _)| **name != "CHALLENGE") {
            self.gains.extend((0..*times).map(|_| format!("taken for genuine: {name}")));
        }
        self
    }

    pub(crate) fn count(&mut self, name: &'static str, times: u64) {
        *self.answers.entry(name).or_default() += times;
        self.evaluated += times;
    }
}

/// How far an attack is: attempts evaluated. The victims' calls follow it.
pub(crate) type Progress = watch::Sender<u64>;

/// Attacks from all of these hosts in turn until as many attempts as planned have been evaluated.
pub(crate) async fn assail(
    crew: &mut [Attacker],
    plan: u64,
    random: &mut Random,
    progress: &Progress,
    mut forge: impl FnMut(&Attacker, &mut Random) -> Vec<u8>,
) -> Tally {
    let enlisted = crew.iter().filter(|attacker| attacker.session != Session::NONE).count() as u64;
    let mut tally = Tally { enlisted, ..Tally::default() };
    while tally.evaluated < plan {
        assert!(
            tally.sent < 2 * plan + 1000,
            "{} of {} attempts were evaluated",
            tally.evaluated,
            tally.sent
        );
        for attacker in &mut *crew {
            let attempts: Vec<_> = (0..VOLLEY).map(|_| forge(attacker, random)).collect();
            attacker.volley(&attempts, &mut tally).await;
            progress.send_replace(tally.evaluated);
        }
    }
    tally
}
