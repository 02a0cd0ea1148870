//! A real server, two victims that call each other, and whether an attack has harmed them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roundtable_signalling::client::{Call, CallEvent, Client, Incoming, IncomingCall, Options, Outcome};
use roundtable_signalling::config::{
    Config, OfferRate, PeerRate, RegisterRate, RegisterTotal, SignatureChecks, StrangerRate,
};
use roundtable_signalling::proto::identity::{Identity, SecretKey};
use roundtable_signalling::proto::server::Counters;
use roundtable_signalling::proto::wire::{Cookie, OfferId, PeerId, Session, Ticket};
use roundtable_signalling::{Server, StatsHandle};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::attacker::{Attacker, Progress, Tally};
use crate::frames::{Claim, cookie, enroll};
use crate::random::Random;
use crate::report::Row;

/// Longest wait for anything: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(50);
/// Calls that the victims make while one class of attack runs, besides the one that rings all the time.
const CALLS: u64 = 3;
/// Bytes of the victims' offers and answers: 40 fragments, which do not shrink.
const BLOB: usize = 40_000;

pub(crate) const ALICE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
pub(crate) const BOB: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);
/// Where a victim goes that roams.
pub(crate) const CAFE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 3);
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
pub(crate) const OTHER_STRANGER: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

/// Waits, but not for ever.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nothing within {PATIENCE:?}"))
}

/// The configuration of a server on loopback whose budget of signature checks does not hide what it would answer.
pub(crate) fn unhurried() -> Config {
    let localaddress = Some(Ipv4Addr::LOCALHOST.into());
    let signaturechecks = SignatureChecks::constant::<1_000_000>();
    Config {
        localport: 0,
        localaddress,
        signaturechecks,
        strangerrate: StrangerRate::constant::<0>(),
        registerrate: RegisterRate::constant::<0>(),
        registertotal: RegisterTotal::constant::<0>(),
        peerrate: PeerRate::constant::<0>(),
        offerrate: OfferRate::constant::<0>(),
        ..Config::default()
    }
}

/// Starts a server that serves until the test ends.
pub(crate) fn serve(config: &Config) -> (SocketAddr, StatsHandle) {
    let server = Server::bind(config).unwrap();
    let (address, stats) = (server.local_addr(), server.stats());
    tokio::spawn(server.run(std::future::pending()));
    (address, stats)
}

/// All that an attacker may know of a victim.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) id: PeerId,
    /// Not known to any attacker: for what the victim itself would sign.
    pub(crate) key: Option<SecretKey>,
    pub(crate) address: SocketAddr,
    pub(crate) session: Session,
    pub(crate) ticket: Ticket,
    /// What the victim's first REGISTER said.
    pub(crate) claim: Claim,
    /// And its bytes.
    pub(crate) register: Vec<u8>,
}

pub(crate) struct Victim {
    pub(crate) known: Known,
    pub(crate) client: Client,
    incoming: Incoming,
    /// The first socket, which it may have left.
    pub(crate) socket: Arc<UdpSocket>,
}

impl Victim {
    /// Registers by hand first, so that session, ticket and REGISTER are known, and hands over to a real client.
    async fn join(server: SocketAddr, ip: Ipv4Addr, identity: Identity) -> Self {
        let socket = Arc::new(UdpSocket::bind((ip, 0)).await.unwrap());
        let enrolled = enroll(&socket, server, &identity).await;
        let known = Known {
            id: identity.identifier(),
            key: match &identity {
                Identity::Keyed(key) => Some(SecretKey::clone(key)),
                Identity::Plain(_) => None,
            },
            address: socket.local_addr().unwrap(),
            session: enrolled.registered.session,
            ticket: enrolled.registered.ticket,
            claim: enrolled.claim,
            register: enrolled.register,
        };
        let options = Options { socket: Some(Arc::clone(&socket)), ..Options::new(server, identity) };
        let (mut client, incoming) = Client::start(options).await.unwrap();
        assert_eq!(within(client.registered()).await, Ok(known.address));
        // From now on only what is new.
        within(client.registration_changed()).await.unwrap();
        Self { known, client, incoming, socket }
    }
}

pub(crate) struct Stage {
    pub(crate) server: SocketAddr,
    stats: StatsHandle,
    pub(crate) alice: Victim,
    pub(crate) bob: Victim,
}

/// A call that rings while its peers are attacked.
struct Ringing {
    call: Call,
    incoming: IncomingCall,
}

/// What an attack aims at.
pub(crate) struct Target {
    pub(crate) server: SocketAddr,
    pub(crate) alice: Known,
    pub(crate) bob: Known,
    /// Alice offers it to Bob, and Bob has not answered.
    pub(crate) offer: OfferId,
    pub(crate) progress: Progress,
    /// Alice's client, to ask what it has counted.
    pub(crate) client: Client,
}

impl Stage {
    pub(crate) async fn keyed(config: &Config, random: &mut Random) -> Self {
        let mut key = || Identity::from(SecretKey::from_seed(&random.bytes()).unwrap());
        Self::of(config, [key(), key()]).await
    }

    pub(crate) async fn plain(config: &Config, random: &mut Random) -> Self {
        let mut uuid = || Identity::from(PeerId::plain(random.bytes()).unwrap());
        Self::of(config, [uuid(), uuid()]).await
    }

    async fn of(config: &Config, [alice, bob]: [Identity; 2]) -> Self {
        let (server, stats) = serve(config);
        let alice = Victim::join(server, ALICE, alice).await;
        let bob = Victim::join(server, BOB, bob).await;
        Self { server, stats, alice, bob }
    }

    /// Alice goes elsewhere; her old socket is left to whoever comes by it.
    pub(crate) async fn roam(&mut self) {
        let elsewhere = Arc::new(UdpSocket::bind((CAFE, 0)).await.unwrap());
        let address = elsewhere.local_addr().unwrap();
        // Cookies are compared to the 1/64 s of their first four bytes. SPEC 5
        let now =
            async || cookie(&elsewhere, self.server).await.0[..4] != self.alice.known.claim.cookie.0[..4];
        while !within(now()).await {}
        let client = &mut self.alice.client;
        client.move_to(Arc::clone(&elsewhere)).await.unwrap();
        assert_eq!(within(client.registered()).await, Ok(address));
        within(client.registration_changed()).await.unwrap();
        self.alice.known.address = address;
    }

    /// The server's counters, once all is in them that was sent before this.
    async fn settled(&self, random: &mut Random) -> (u32, Counters) {
        let mut probe = Attacker::at(self.server, Ipv4Addr::LOCALHOST, random).await;
        let before = self.stats.snapshot().counters.datagrams_in;
        loop {
            probe.volley(&[], &mut Tally::default()).await;
            let stats = self.stats.snapshot();
            // The probe's first PING is counted, and with it all that came before.
            if stats.counters.datagrams_in > before + 1 {
                return (stats.peers, stats.counters);
            }
        }
    }

    async fn ring(&mut self, offer: Bytes) -> Ringing {
        let call = within(self.alice.client.call(self.bob.known.id, offer.clone())).await.unwrap();
        let incoming = within(self.bob.incoming.accept()).await.unwrap();
        assert_eq!((incoming.id(), incoming.from), (call.id(), self.alice.known.id), "another call rings");
        assert!(incoming.offer == offer, "the offer is damaged");
        Ringing { call, incoming }
    }

    /// Runs one class of attack while a call rings and others come and go.
    pub(crate) async fn endure(
        mut self,
        name: &'static str,
        plan: u64,
        random: &mut Random,
        attack: impl AsyncFnOnce(u64, &Target, &mut Random) -> Tally,
    ) -> Row {
        let blob = |random: &mut Random| Bytes::from_iter((0..BLOB).map(|_| random.next() as u8));
        let (offer, answer) = (blob(random), blob(random));
        let mut open = self.ring(offer.clone()).await;
        let progress = watch::Sender::new(0);
        let target = Target {
            server: self.server,
            alice: self.alice.known.clone(),
            bob: self.bob.known.clone(),
            offer: open.call.id(),
            progress: progress.clone(),
            client: self.alice.client.clone(),
        };
        let (peers, before) = self.settled(random).await;
        let (mut calls, mut failures) = (1, Vec::new());
        let meanwhile = async {
            let mut progress = progress.subscribe();
            for number in 0..CALLS {
                within(progress.wait_for(|&done| done >= number * plan / CALLS)).await.unwrap();
                let mut ringing = self.ring(offer.clone()).await;
                failures.extend(complete(&mut ringing, &answer).await);
                calls += 1;
            }
        };
        let (mut tally, ()) = tokio::join!(attack(plan, &target, random), meanwhile);
        if self.settled(random).await.1.offers_answered - before.offers_answered != CALLS {
            tally.gain("an offer was answered by somebody else");
        }
        failures.extend(complete(&mut open, &answer).await);
        failures.iter().for_each(|failure| tally.gain(failure));
        let after = self.settled(random).await;
        self.harm((peers, &before), (after.0, &after.1), &mut tally).await;
        Row::new(name, tally, after.1.signatures_checked - before.signatures_checked, calls)
    }

    /// Looks for what must not have happened. A newcomer under an identifier of its own has harmed nobody.
    async fn harm(&mut self, before: (u32, &Counters), after: (u32, &Counters), tally: &mut Tally) {
        let newcomers = after.1.registrations - before.1.registrations;
        let own = tally.enlisted + tally.answers.get("REGISTERED as another").copied().unwrap_or_default();
        if after.0.checked_sub(before.0).map(u64::from) != Some(newcomers) || newcomers > own {
            tally.gain("a registration has ended or been taken over");
        }
        if after.1.moves != before.1.moves {
            tally.gain("a registration has moved");
        }
        for victim in [&mut self.alice, &mut self.bob] {
            if let Ok(change) = now(victim.client.registration_changed()).await {
                tally.gain(&format!("the victim's client says {change:?}"));
            }
            if let Ok(arrival) = now(victim.incoming.next()).await {
                tally.gain(&format!("the victim's client gets {arrival:?}"));
            }
            assert_eq!(within(victim.client.registered()).await, Ok(victim.known.address));
        }
    }
}

/// What is there at once.
async fn now<T>(wait: impl Future<Output = T>) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(Duration::ZERO, wait).await
}

/// Answers, and says what else comes of the call than the answer.
async fn complete(ringing: &mut Ringing, answer: &Bytes) -> Option<String> {
    let Ringing { call, incoming } = ringing;
    let (delivered, outcome) =
        within(async { tokio::join!(incoming.answer(answer.clone()), call.outcome()) }).await;
    if let Err(error) = delivered {
        return Some(format!("the victim's answer does not arrive: {error}"));
    }
    match outcome {
        Ok(Outcome::Answered(answered)) if answered.blob == *answer => {}
        Ok(Outcome::Answered(_)) => return Some("the victim gets another answer".to_owned()),
        other => return Some(format!("the victim's call ends otherwise: {other:?}")),
    }
    for more in [now(call.next()).await, now(incoming.call().next()).await] {
        if let Ok(event) = more
            && event != Some(CallEvent::Delivered)
        {
            return Some(format!("the victim's call says {event:?}"));
        }
    }
    None
}

/// Hosts that attack: a neighbour of Alice behind her NAT, and two elsewhere.
pub(crate) async fn crew(target: &Target, random: &mut Random) -> Vec<Attacker> {
    let mut crew = Vec::new();
    for ip in [target.alice.address.ip(), IpAddr::from(STRANGER), IpAddr::from(OTHER_STRANGER)] {
        crew.push(Attacker::at(target.server, ip, random).await);
    }
    crew
}

/// A cookie that the server at this address issues to a host at that one.
pub(crate) async fn cookie_of(server: SocketAddr, ip: impl Into<IpAddr>) -> Cookie {
    cookie(&UdpSocket::bind((ip.into(), 0)).await.unwrap(), server).await
}
