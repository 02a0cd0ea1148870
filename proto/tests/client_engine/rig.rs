//! One client and a server that says what the test tells it to say.

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{Client, Config, Event, Handled};
use roundtable_proto::wire::{
    self, Ack, Address, Arrived, BlobKind, Challenge, Cookie, Digest, ErrorCode, Frame, Kind, OfferId,
    PeerId, Refusal, Registered, Relayed, RelayedHead, Session, Ticket, TransactionId, fragment_range,
};
use roundtable_proto::{Instant, Seed};

pub(crate) use crate::world::{SERVER, identifier};

/// The session that [`Rig::registered`] gives.
pub(crate) const SESSION: Session = Session([5; 16]);
/// Where the scripted server sees this client.
pub(crate) const OBSERVED: &str = "198.51.100.1:40000";
/// Between a question and its answer.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);

pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) now: Instant,
    /// PUNCHes that a test has counted.
    pub(crate) punches: u32,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn observed() -> Address {
    address(OBSERVED).into()
}

pub(crate) fn offer_id(number: u8) -> OfferId {
    OfferId::from_random([number; 16])
}

pub(crate) fn registered(transaction: TransactionId, session: Session) -> Registered {
    let (observed, ticket) = (observed(), Ticket::NONE);
    Registered { session, transaction, observed, ttl: 60_000, timeout: 30_000, maxblob: 65_536, ticket }
}

impl Rig {
    /// A client with identifier `number` that has done nothing.
    pub(crate) fn new(number: u8) -> Self {
        let now = Instant::from_micros(1_000_000);
        let config = Config::new(address(SERVER), identifier(number), 0);
        Self { client: Client::new(now, config, Seed::from_number(number.into())), now, punches: 0 }
    }

    /// A client that has registered, with nothing left in its queues.
    pub(crate) fn registered(number: u8) -> Self {
        let mut rig = Self::new(number);
        rig.client.register(rig.now);
        rig.answer_registers(SESSION);
        assert_eq!(rig.events().len(), 1);
        rig
    }

    /// Takes the client through CHALLENGE and REGISTERED.
    pub(crate) fn answer_registers(&mut self, session: Session) {
        let first = self.register_sent();
        self.now += ROUND_TRIP;
        let cookie = Cookie([9; 16]);
        assert_eq!(
            self.hear(&Frame::Challenge(Challenge {
                reference: first.transaction,
                cookie,
                observed: observed()
            })),
            Handled::Ours
        );
        self.answer_proof(session);
    }

    /// Answers the REGISTER that carries a cookie.
    pub(crate) fn answer_proof(&mut self, session: Session) {
        let second = self.register_sent();
        assert_eq!(second.cookie, Cookie([9; 16]));
        self.now += ROUND_TRIP;
        assert_eq!(self.hear(&Frame::Registered(registered(second.transaction, session))), Handled::Ours);
    }

    /// Returns the one frame sent, which must be a REGISTER.
    pub(crate) fn register_sent(&mut self) -> wire::Register {
        self.sent(|frames| match frames {
            [Frame::Register(register)] => *register,
            other => panic!("sent {other:?}"),
        })
    }

    /// Looks at all frames that are to be sent; all must go to the server.
    pub(crate) fn sent<T>(&mut self, look: impl FnOnce(&[Frame<'_>]) -> T) -> T {
        let mut datagrams = Vec::new();
        while let Some(transmit) = self.client.poll_transmit() {
            assert_eq!(transmit.to, address(SERVER));
            datagrams.push(transmit.contents);
        }
        let frames: Vec<_> =
            datagrams.iter().map(|bytes| wire::decode(bytes).expect("a valid frame")).collect();
        look(&frames)
    }

    /// Returns the kinds of all frames that are to be sent.
    pub(crate) fn kinds(&mut self) -> Vec<Kind> {
        self.sent(|frames| frames.iter().map(Frame::kind).collect())
    }

    /// Returns the kinds of all frames that are to be sent to the server; others are let go.
    pub(crate) fn kinds_to_server(&mut self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        while let Some(transmit) = self.client.poll_transmit() {
            if transmit.to == address(SERVER) {
                kinds.push(wire::decode(&transmit.contents).expect("a valid frame").kind());
            }
        }
        kinds
    }

    /// Returns the fragment numbers of all blob frames that are to be sent.
    pub(crate) fn indices(&mut self) -> Vec<u8> {
        self.sent(|frames| {
            let index = |frame: &Frame<'_>| match frame {
                Frame::Offer(fragment) | Frame::Answer(fragment) | Frame::Candidate(fragment) => {
                    Some(fragment.head().index)
                }
                _ => None,
            };
            frames.iter().filter_map(index).collect()
        })
    }

    /// Gives the client a frame of the server.
    pub(crate) fn hear(&mut self, frame: &Frame<'_>) -> Handled {
        self.hear_from(SERVER, frame)
    }

    pub(crate) fn hear_from(&mut self, from: &str, frame: &Frame<'_>) -> Handled {
        self.client.handle_datagram(self.now, address(from), &frame.to_vec())
    }

    /// Lets time pass, as one leap; what was due is drained at its end.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        assert!(self.client.poll_timeout().is_none_or(|at| at > self.now), "timers lie in the future");
    }

    /// Goes to the moment that the client has asked for, and returns how far that was.
    pub(crate) fn pass_to_timeout(&mut self) -> Duration {
        let at = self.client.poll_timeout().expect("a timer");
        let time = at.since(self.now);
        self.pass(time);
        time
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    /// Gives the client fragment `index` of `blob` from peer `source`.
    pub(crate) fn hear_blob(
        &mut self,
        kind: BlobKind,
        (offer, source): (OfferId, PeerId),
        blob: &[u8],
        index: u8,
    ) -> Handled {
        self.hear_head(kind, head(offer, source, blob, index), blob)
    }

    /// Gives the client the fragment of `blob` that `head` describes.
    pub(crate) fn hear_head(&mut self, kind: BlobKind, head: RelayedHead, blob: &[u8]) -> Handled {
        let range = match kind {
            BlobKind::Offer | BlobKind::Answer => fragment_range(blob.len(), head.index),
            BlobKind::Candidate => 0..blob.len(),
        };
        let relayed = Relayed::new(kind, head, &blob[range]).unwrap();
        self.hear(&match kind {
            BlobKind::Offer => Frame::RelayedOffer(relayed),
            BlobKind::Answer => Frame::RelayedAnswer(relayed),
            BlobKind::Candidate => Frame::RelayedCandidate(relayed),
        })
    }

    /// Gives the client an acknowledgement of the other peer's.
    pub(crate) fn hear_ack(&mut self, offer: OfferId, kind: BlobKind, arrived: Arrived) -> Handled {
        self.hear(&Frame::RelayedAck(Ack::new(SESSION, offer, kind, arrived)))
    }

    /// Gives the client an ERROR.
    pub(crate) fn hear_error(
        &mut self,
        reference: [u8; 16],
        (kind, code): (Kind, ErrorCode),
        retry_after: u32,
    ) -> Handled {
        let reference = TransactionId(reference);
        let (code, kind) = (code.number(), kind.number());
        self.hear(&Frame::Error(Refusal { reference, code, kind, detail: 0, retry_after }))
    }

    /// Makes an offer to peer 9 and takes what is sent as lost.
    pub(crate) fn offer(&mut self, blob: &[u8]) -> OfferId {
        self.client.offer(self.now, identifier(9), blob.to_vec()).unwrap()
    }

    /// Makes an offer to peer 9 that rings there.
    pub(crate) fn ringing(&mut self, blob: &[u8]) -> OfferId {
        let offer = self.offer(blob);
        self.sent(|_| ());
        self.now += ROUND_TRIP;
        let all = Arrived::all(wire::fragment_count(blob.len()));
        assert_eq!(self.hear_ack(offer, BlobKind::Offer, all), Handled::Ours);
        self.sent(|_| ());
        assert_eq!(self.events(), [Event::OfferDelivered { offer }]);
        offer
    }

    /// Lets peer 9 offer, with one fragment, and takes event and acknowledgement.
    pub(crate) fn offered(&mut self, number: u8) -> OfferId {
        let offer = offer_id(number);
        assert_eq!(self.hear_blob(BlobKind::Offer, (offer, identifier(9)), b"theirs", 0), Handled::Ours);
        assert_eq!(self.kinds(), [Kind::Ack]);
        assert_eq!(self.events().len(), 1);
        offer
    }
}

pub(crate) fn head(offer: OfferId, source: PeerId, blob: &[u8], index: u8) -> RelayedHead {
    RelayedHead {
        session: SESSION,
        offer,
        source,
        observed: address("203.0.113.7:7").into(),
        digest: Digest::of(blob),
        length: blob.len() as u32,
        index,
    }
}
