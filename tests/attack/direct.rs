//! Attacks on the victim's client: frames as a server sends them, from other addresses and from the server's own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use roundtable_signalling::proto::client::{Counters, DropReason};
use roundtable_signalling::proto::wire::{
    Ack, Address, Arrived, BlobKind, Challenge, Cookie, Digest, Flag, Frame, Keepalive, Kind, OfferId,
    PeerId, Pong, Probe, ProbeReply, PunchNow, Refusal, Registered, Relayed, RelayedHead, Session, Tag,
    Ticket, Token, TransactionId, Unregister, Zeros,
};
use tokio::net::UdpSocket;

use crate::attacker::Tally;
use crate::forging::{KINDS, made_up};
use crate::frames::{Claim, forged};
use crate::random::Random;
use crate::report::Report;
use crate::rig::{OTHER_STRANGER, STRANGER, Stage, Target, unhurried, within};
use crate::spoof::Spoofer;

/// Frames in a row, so that the victim's receive buffer holds them.
const VOLLEY: usize = 32;
/// What a server sends, and what peers send each other.
const FROM_SERVER: [Kind; 13] = [
    Kind::Pong,
    Kind::Registered,
    Kind::Challenge,
    Kind::KeepaliveReply,
    Kind::Unregistered,
    Kind::RelayedOffer,
    Kind::RelayedAnswer,
    Kind::RelayedCandidate,
    Kind::RelayedAck,
    Kind::PunchNow,
    Kind::Error,
    Kind::Probe,
    Kind::ProbeReply,
];

pub(crate) async fn run(random: &mut Random, rows: &mut Report) {
    let stage = Stage::keyed(&unhurried(), random).await;
    rows.push(stage.endure("server's frames from elsewhere, to the client", 10_000, random, elsewhere).await);
    if let Err(error) = Spoofer::new() {
        println!("SKIPPED: spoofed source addresses need a raw socket: {error}");
        return;
    }
    let stage = Stage::keyed(&unhurried(), random).await;
    rows.push(stage.endure("server's address spoofed, to the client", 10_000, random, as_server).await);
    let stage = Stage::keyed(&unhurried(), random).await;
    rows.push(stage.endure("victim's address spoofed, to the server", 10_000, random, as_victim).await);
}

/// What an attacker says in a server's name.
#[derive(Clone, Copy)]
struct Words {
    session: Session,
    offer: OfferId,
    reference: TransactionId,
    source: PeerId,
}

impl Words {
    /// All that somebody on the path has read.
    fn read(target: &Target) -> Self {
        let (session, offer, source) = (target.alice.session, target.offer, target.bob.id);
        Self { session, offer, reference: offer.reference(), source }
    }

    /// What somebody off the path can think up.
    fn guessed(target: &Target, random: &mut Random) -> Self {
        Self {
            session: made_up(target.alice.session, random),
            offer: OfferId::from_random(random.bytes()),
            reference: TransactionId(random.bytes()),
            source: target.bob.id,
        }
    }

    fn frame(self, kind: Kind, random: &mut Random) -> Vec<u8> {
        let Self { session, offer, reference, source } = self;
        let observed = Address::from(SocketAddr::from((STRANGER, 9)));
        let (token, tag, transaction) = (Token(random.bytes()), Tag(random.bytes()), reference);
        match kind {
            Kind::Pong => Frame::Pong(Pong { transaction, observed }),
            Kind::Registered => Frame::Registered(Registered {
                session,
                transaction,
                observed,
                ttl: 1,
                timeout: 1,
                maxblob: 1,
                ticket: Ticket(random.bytes()),
            }),
            Kind::Challenge => {
                Frame::Challenge(Challenge { reference, cookie: Cookie(random.bytes()), observed })
            }
            Kind::KeepaliveReply => Frame::KeepaliveReply(Keepalive { session, transaction, observed }),
            Kind::Unregistered => Frame::Unregistered(Unregister { session, transaction, zero: Zeros::ZERO }),
            Kind::RelayedAck => {
                Frame::RelayedAck(Ack::new(session, offer, BlobKind::Offer, Arrived(u64::MAX)))
            }
            Kind::PunchNow => Frame::PunchNow(PunchNow { session, offer, peer: observed, token }),
            Kind::Probe => {
                Frame::Probe(Probe { offer, tag, transaction, nominate: Flag::NO, zero: Zeros::ZERO })
            }
            Kind::ProbeReply => Frame::ProbeReply(ProbeReply { offer, tag, transaction, observed }),
            Kind::Error => {
                let (code, kind) = (1 + random.below(16) as u16, random.pick(&KINDS).number());
                Frame::Error(Refusal { reference, code, kind, detail: 0, retry_after: 0 })
            }
            other => return relayed(other, session, (offer, source), random),
        }
        .to_vec()
    }
}

fn relayed(kind: Kind, session: Session, (offer, source): (OfferId, PeerId), random: &mut Random) -> Vec<u8> {
    let blob = random.bytes::<24>();
    let digest = Digest::of(&blob);
    let observed = Address::NONE;
    let head = RelayedHead { session, offer, source, observed, digest, length: 24, index: 0 };
    let relayed = |kind| Relayed::new(kind, head, &blob).unwrap();
    match kind {
        Kind::RelayedOffer => Frame::RelayedOffer(relayed(BlobKind::Offer)),
        Kind::RelayedAnswer => Frame::RelayedAnswer(relayed(BlobKind::Answer)),
        Kind::RelayedCandidate => Frame::RelayedCandidate(relayed(BlobKind::Candidate)),
        other => panic!("{other:?} is not made here"),
    }
    .to_vec()
}

/// The attacker has read everything, but is not where the server is.
async fn elsewhere(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut sockets = Vec::new();
    for ip in [target.alice.address.ip(), IpAddr::from(STRANGER), target.server.ip(), OTHER_STRANGER.into()] {
        sockets.push(Arc::new(UdpSocket::bind((ip, 0)).await.unwrap()));
    }
    pelt(plan, target, random, async |random| {
        let frame = Words::read(target).frame(*random.pick(&FROM_SERVER), random);
        random.pick(&sockets).send_to(&frame, target.alice.address).await.unwrap();
    })
    .await
}

/// The attacker writes the server's address into his packets, but has read nothing.
async fn as_server(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let spoofer = Spoofer::new().unwrap();
    pelt(plan, target, random, async |random| {
        let frame = Words::guessed(target, random).frame(*random.pick(&FROM_SERVER), random);
        spoofer.send(target.server, target.alice.address, &frame);
    })
    .await
}

/// The attacker writes the victim's address into his packets: what the server says to that reaches the victim's client.
async fn as_victim(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let spoofer = Spoofer::new().unwrap();
    pelt(plan, target, random, async |random| {
        let guessed = Words::guessed(target, random);
        let frame = match random.below(KINDS.len() + 1) {
            0 => Claim::of(target.alice.id, Cookie(random.bytes()), target.server).attempt(random),
            kind => forged(KINDS[kind - 1], guessed.session, guessed.offer, target.bob.id, random),
        };
        spoofer.send(target.alice.address, target.server, &frame);
    })
    .await
}

/// Throws as planned, and counts what the client has dropped, by its reasons. On a clean path it drops nothing else.
async fn pelt(
    plan: u64,
    target: &Target,
    random: &mut Random,
    mut throw: impl AsyncFnMut(&mut Random),
) -> Tally {
    let before = within(target.client.counters()).await.unwrap();
    let mut tally = Tally::default();
    while tally.sent < plan {
        for _ in 0..VOLLEY {
            throw(random).await;
        }
        tally.sent += VOLLEY as u64;
        let all_dropped = async {
            while dropped(&target.client.counters().await.unwrap()) < dropped(&before) + tally.sent {
                tokio::task::yield_now().await;
            }
        };
        within(all_dropped).await;
        target.progress.send_replace(tally.sent);
    }
    let after = within(target.client.counters()).await.unwrap();
    for reason in DropReason::ALL {
        match after.dropped(reason) - before.dropped(reason) {
            0 => {}
            times => tally.count(reason.name(), times),
        }
    }
    tally
}

fn dropped(counters: &Counters) -> u64 {
    DropReason::ALL.iter().map(|&reason| counters.dropped(reason)).sum()
}
