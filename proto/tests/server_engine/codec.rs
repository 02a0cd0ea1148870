//! What the codec keeps to whatever comes: SPEC 2, total and canonical.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use roundtable_proto::wire::{
    self, Ack, Address, Arrived, BlobKind, Challenge, Cookie, Digest, Flag, Frame, Keepalive, Kind, Ping,
    Pong, Probe, ProbeReply, Punch, PunchNow, Refusal, Register, Registered, RelayedHead, Session, Signature,
    Tag, Ticket, Token, TransactionId, Unregister, Zeros, fragment_count,
};

use crate::frames::*;
use crate::rig::ALICE;

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        Just(Address::NONE),
        any::<([u8; 4], u16)>().prop_map(|parts| Address::from(SocketAddr::from(parts))),
        any::<([u16; 8], u16)>().prop_map(|parts| Address::from(SocketAddr::from(parts))),
    ]
}

/// The fields of any frame.
#[derive(Clone, Debug)]
struct Fields {
    words: [[u8; 16]; 4],
    more: [u8; 64],
    address: Address,
    numbers: [u32; 3],
    bytes: [u8; 2],
    bitmap: u64,
    blob: Vec<u8>,
    index: prop::sample::Index,
}

prop_compose! {
    fn fields()(
        words in any::<[[u8; 16]; 4]>(),
        more in vec(any::<u8>(), 64),
        address in address(),
        numbers in any::<[u32; 3]>(),
        bytes in any::<[u8; 2]>(),
        bitmap in 1..=u64::MAX,
        blob in vec(any::<u8>(), 1..5000),
        index in any::<prop::sample::Index>(),
    ) -> Fields {
        let more = more.try_into().unwrap();
        Fields { words, more, address, numbers, bytes, bitmap, blob, index }
    }
}

impl Fields {
    fn session(&self) -> Session {
        Session(self.words[0])
    }

    fn transaction(&self) -> TransactionId {
        TransactionId(self.words[1])
    }

    fn identifier(&self) -> wire::PeerId {
        wire::PeerId::from_bytes([[1; 16], self.words[2]].concat().try_into().unwrap()).unwrap()
    }

    fn offer(&self) -> wire::OfferId {
        wire::OfferId::from_random(self.words[3])
    }

    fn blob_kind(&self) -> BlobKind {
        [BlobKind::Offer, BlobKind::Answer, BlobKind::Candidate][usize::from(self.bytes[0]) % 3]
    }

    fn fragment(&self, kind: BlobKind) -> Frame<'_> {
        let (blob, count) = match kind {
            BlobKind::Offer => (&self.blob[..], fragment_count(self.blob.len())),
            // An answer may be empty.
            BlobKind::Answer => (&self.blob[1..], fragment_count(self.blob.len() - 1)),
            BlobKind::Candidate => (&self.blob[..self.blob.len().min(1024)], 64),
        };
        let index = self.index.index(count) as u8;
        fragment(kind, self.session(), self.offer(), self.identifier(), blob, index)
    }

    fn relayed(&self, kind: BlobKind) -> Frame<'_> {
        let sent = self.fragment(kind);
        let frame = relayed(&sent, self.session(), self.identifier(), ALICE);
        let told = |relayed: wire::Relayed<'_>| RelayedHead { observed: self.address, ..*relayed.head() };
        let rebuilt =
            |relayed: wire::Relayed<'_>| wire::Relayed::new(kind, told(relayed), relayed_blob(&sent));
        match frame {
            Frame::RelayedOffer(relayed) => Frame::RelayedOffer(rebuilt(relayed).unwrap()),
            Frame::RelayedAnswer(relayed) => Frame::RelayedAnswer(rebuilt(relayed).unwrap()),
            Frame::RelayedCandidate(relayed) => Frame::RelayedCandidate(rebuilt(relayed).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn frame(&self, kind: Kind) -> Frame<'_> {
        let (session, transaction, offer) = (self.session(), self.transaction(), self.offer());
        let (observed, [ttl, timeout, maxblob]) = (self.address, self.numbers);
        let (cookie, token, zero) = (Cookie(self.words[2]), Token(self.words[2]), Zeros::ZERO);
        let tag = Tag(self.words[2]);
        let (identifier, signature) = (self.identifier(), Signature(self.more));
        let keepalive = Keepalive { session, transaction, observed };
        let ack = Ack::new(session, offer, self.blob_kind(), Arrived(self.bitmap));
        match kind {
            Kind::Ping => Frame::Ping(Ping { transaction, zero }),
            Kind::Register => Frame::Register(Register {
                session,
                transaction,
                identifier,
                cookie,
                ticket: Ticket::NONE,
                server: observed,
                signature,
            }),
            Kind::Keepalive => Frame::Keepalive(keepalive),
            Kind::Unregister => Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }),
            Kind::Offer => self.fragment(BlobKind::Offer),
            Kind::Answer => self.fragment(BlobKind::Answer),
            Kind::Candidate => self.fragment(BlobKind::Candidate),
            Kind::Ack => Frame::Ack(ack),
            Kind::Punch => Frame::Punch(Punch { session, offer, zero: Zeros::ZERO }),
            Kind::Probe => {
                Frame::Probe(Probe { offer, tag, transaction, nominate: Flag::NO, zero: Zeros::ZERO })
            }
            Kind::ProbeReply => Frame::ProbeReply(ProbeReply { offer, tag, transaction, observed }),
            Kind::Pong => Frame::Pong(Pong { transaction, observed }),
            Kind::Registered => Frame::Registered(Registered {
                session,
                transaction,
                observed,
                ttl,
                timeout,
                maxblob,
                ticket: Ticket::NONE,
            }),
            Kind::Challenge => Frame::Challenge(Challenge { reference: transaction, cookie, observed }),
            Kind::KeepaliveReply => Frame::KeepaliveReply(keepalive),
            Kind::Unregistered => Frame::Unregistered(Unregister { session, transaction, zero: Zeros::ZERO }),
            Kind::RelayedOffer => self.relayed(BlobKind::Offer),
            Kind::RelayedAnswer => self.relayed(BlobKind::Answer),
            Kind::RelayedCandidate => self.relayed(BlobKind::Candidate),
            Kind::RelayedAck => Frame::RelayedAck(ack),
            Kind::PunchNow => Frame::PunchNow(PunchNow { session, offer, peer: observed, token }),
            Kind::Error => {
                let [kind, detail] = self.bytes;
                let (reference, code, retry_after) = (transaction, ttl as u16, timeout);
                Frame::Error(Refusal { reference, code, kind, detail, retry_after })
            }
        }
    }
}

fn relayed_blob<'a>(sent: &Frame<'a>) -> &'a [u8] {
    match sent {
        Frame::Offer(fragment) | Frame::Answer(fragment) | Frame::Candidate(fragment) => fragment.blob(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn any_valid_frame_decodes_to_itself_and_fits_a_datagram(fields in fields()) {
        for kind in Kind::ALL {
            let frame = fields.frame(*kind);
            let bytes = frame.to_vec();
            prop_assert!(bytes.len() <= wire::DATAGRAM_MAX);
            prop_assert_eq!(wire::decode(&bytes), Ok(frame));
        }
    }

    #[test]
    fn mutated_frame_is_a_frame_of_the_same_bytes_or_a_named_error(
        fields in fields(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop_oneof![3 => Just(0usize), 1 => 0..200usize],
        tail in prop_oneof![3 => Just(vec![]), 1 => vec(any::<u8>(), 0..200)],
    ) {
        for kind in Kind::ALL {
            let mut bytes = fields.frame(*kind).to_vec();
            for (place, value) in &changes {
                // Mostly in the head, where it matters.
                let within = bytes.len().min(128);
                bytes[place.index(within)] = *value;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes.extend_from_slice(&tail);
            match wire::decode(&bytes) {
                Ok(frame) => prop_assert_eq!(frame.to_vec(), bytes),
                Err(error) => prop_assert!(!error.name().is_empty() && !error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn any_bytes_are_a_frame_of_the_same_bytes_or_a_named_error(
        bytes in vec(any::<u8>(), 0..1300),
        kind in prop::sample::select(Kind::ALL),
    ) {
        for bytes in [bytes.clone(), [&[b'R', b'T', 1, kind.number()][..], &bytes].concat()] {
            if let Ok(frame) = wire::decode(&bytes) {
                prop_assert_eq!(frame.to_vec(), bytes);
            }
        }
    }

    #[test]
    fn digest_is_of_the_whole_blob(blob in vec(any::<u8>(), 1..200), place in any::<prop::sample::Index>()) {
        let mut other = blob.clone();
        other[place.index(blob.len())] ^= 1;
        prop_assert_ne!(Digest::of(&blob), Digest::of(&other));
    }
}
