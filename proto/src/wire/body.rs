//! The fixed bodies, and the one place that names bincode: fixed-width, big-endian.
//!
//! bincode 1.3.3 is frozen here. The golden vectors hold the encoding, so that this file is the way out.

use bincode::Options;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::field::BlobKindByte;
use super::field::{Field, Form};
use super::{
    Address, Arrived, BlobKind, Cookie, DecodeError, Digest, Flag, HEADER, OfferId, PeerId, Session,
    Signature, Tag, Ticket, Token, TransactionId, Zeros,
};

/// A field's place within a datagram. SPEC 4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// The name that SPEC.md uses.
    pub name: &'static str,
    /// Bytes from the start of the datagram.
    pub offset: usize,
    /// Bytes; zero for a blob, which takes the rest.
    pub size: usize,
    /// What they are.
    pub form: Form,
}

/// A frame's body of fixed size.
pub(crate) trait Body: Serialize + DeserializeOwned {
    /// Bytes on the wire.
    const SIZE: usize;
    /// Names, sizes and forms in order.
    const FIELDS: &'static [(&'static str, usize, Form)];

    /// Checks each field's value.
    fn check(&self) -> Result<(), DecodeError>;

    /// Appends the encoded body.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes the body off the front of `bytes`; `None` if they are too few.
    fn take(bytes: &[u8]) -> Option<Self>;
}

macro_rules! bodies {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* } )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $( $(#[$field_doc])* pub $field: $type, )* }

            impl Body for $name {
                const SIZE: usize = 0 $( + <$type as Field>::SIZE )*;
                const FIELDS: &'static [(&'static str, usize, Form)] =
                    &[$( (stringify!($field), <$type as Field>::SIZE, <$type as Field>::FORM), )*];

                fn check(&self) -> Result<(), DecodeError> {
                    $( if !self.$field.is_valid() {
                        return Err(DecodeError::BadField { field: stringify!($field) });
                    } )*
                    Ok(())
                }

                fn put(&self, out: &mut Vec<u8>) {
                    let mut bytes = [0; <Self as Body>::SIZE];
                    // Just the room that the fields take: nothing can fail.
                    let written = codec().serialize_into(&mut bytes[..], self);
                    debug_assert!(written.is_ok());
                    out.extend_from_slice(&bytes);
                }

                fn take(bytes: &[u8]) -> Option<Self> {
                    let bytes = bytes.first_chunk::<{ <Self as Body>::SIZE }>()?;
                    // Long enough, and no field's type refuses bytes.
                    codec().deserialize(&bytes[..]).ok()
                }
            }
        )*
    };
}

bodies! {
    /// PING: asks for the observed address.
    Ping {
        /// Chosen by the client.
        transaction: TransactionId,
        /// As long as the answer.
        zero: Zeros<19>,
    }

    /// PONG: answers a PING.
    Pong {
        /// Of the PING.
        transaction: TransactionId,
        /// Where the PING came from.
        observed: Address,
    }

    /// REGISTER: asks to be known under an identifier.
    Register {
        /// The one held, or [`Session::NONE`].
        session: Session,
        /// Chosen by the client.
        transaction: TransactionId,
        /// Whom to register.
        identifier: PeerId,
        /// Of the last CHALLENGE, or [`Cookie::NONE`].
        cookie: Cookie,
        /// Of the last REGISTERED, or [`Ticket::NONE`].
        ticket: Ticket,
        /// Where the client sends this, as it knows the server; signed, so that no other server can use it.
        server: Address,
        /// Proof of possession of a keyed identifier.
        signature: Signature,
    }

    /// REGISTERED: the registration stands.
    Registered {
        /// To be sent in every later frame.
        session: Session,
        /// Of the REGISTER.
        transaction: TransactionId,
        /// Where the REGISTER came from.
        observed: Address,
        /// Milliseconds of silence after which the server forgets the peer.
        ttl: u32,
        /// Milliseconds that an offer waits for its answer.
        timeout: u32,
        /// Bytes of the largest blob that the server relays.
        maxblob: u32,
        /// Stands for the signature in a later REGISTER from this address.
        ticket: Ticket,
    }

    /// CHALLENGE: prove that you receive at this address.
    Challenge {
        /// Bytes 20..36 of the frame that caused it.
        reference: TransactionId,
        /// To be sent in a REGISTER from the same address.
        cookie: Cookie,
        /// Where the frame came from.
        observed: Address,
    }

    /// KEEPALIVE and KEEPALIVE_REPLY.
    Keepalive {
        /// The client's.
        session: Session,
        /// Chosen by the client.
        transaction: TransactionId,
        /// In the reply, where the KEEPALIVE came from; before, what the client last learnt.
        observed: Address,
    }

    /// UNREGISTER and UNREGISTERED.
    Unregister {
        /// The one that ends.
        session: Session,
        /// Chosen by the client.
        transaction: TransactionId,
        /// Pays for a CHALLENGE.
        zero: Zeros<19>,
    }

    /// The body of OFFER, ANSWER and CANDIDATE; blob bytes follow.
    FragmentHead {
        /// The sender's.
        session: Session,
        /// The call.
        offer: OfferId,
        /// The other peer.
        target: PeerId,
        /// Of the whole blob.
        digest: Digest,
        /// Bytes of the whole blob.
        length: u32,
        /// Number of the fragment, or of the candidate.
        index: u8,
        /// Pays for the relayed frame's address and for one notice.
        zero: Zeros<47>,
    }

    /// The body of RELAYED_OFFER, RELAYED_ANSWER and RELAYED_CANDIDATE; blob bytes follow.
    RelayedHead {
        /// The receiver's.
        session: Session,
        /// The call.
        offer: OfferId,
        /// The sender.
        source: PeerId,
        /// Where the server sees the sender.
        observed: Address,
        /// Of the whole blob.
        digest: Digest,
        /// Bytes of the whole blob.
        length: u32,
        /// Number of the fragment, or of the candidate.
        index: u8,
    }

    /// ACK and RELAYED_ACK: what has arrived, end to end.
    Ack {
        /// The sender's in ACK, the receiver's in RELAYED_ACK.
        session: Session,
        /// The call.
        offer: OfferId,
        /// What is acknowledged.
        kind: BlobKindByte,
        /// Which fragments or candidates have arrived.
        bitmap: Arrived,
        /// Pays for a CHALLENGE.
        zero: Zeros<10>,
    }

    /// PUNCH: tell both peers to start.
    Punch {
        /// The sender's.
        session: Session,
        /// The call.
        offer: OfferId,
        /// Pays for both PUNCH_NOW.
        zero: Zeros<106>,
    }

    /// PUNCH_NOW: start probing this address.
    PunchNow {
        /// The receiver's.
        session: Session,
        /// The call.
        offer: OfferId,
        /// Where the server sees the other peer.
        peer: Address,
        /// Goes into the key of the probes.
        token: Token,
    }

    /// PROBE: do you hear me?
    Probe {
        /// The call.
        offer: OfferId,
        /// Of its sender.
        tag: Tag,
        /// Chosen by the sender.
        transaction: TransactionId,
        /// The caller takes this path, which it has proved.
        nominate: Flag,
        /// As long as the answer.
        zero: Zeros<18>,
    }

    /// PROBE_REPLY: answers a PROBE to where it came from.
    ProbeReply {
        /// The call.
        offer: OfferId,
        /// Of its sender.
        tag: Tag,
        /// Of the PROBE.
        transaction: TransactionId,
        /// Where the PROBE came from.
        observed: Address,
    }

    /// ERROR: a refusal, or a notice.
    Refusal {
        /// Bytes 20..36 of the refused frame.
        reference: TransactionId,
        /// The number of an [`ErrorCode`](super::ErrorCode).
        code: u16,
        /// Kind byte of the refused frame.
        kind: u8,
        /// See SPEC 9.
        detail: u8,
        /// Milliseconds after which a repeat may succeed; zero: never.
        retry_after: u32,
    }
}

impl Ack {
    /// Makes an acknowledgement.
    #[must_use]
    pub const fn new(session: Session, offer: OfferId, kind: BlobKind, bitmap: Arrived) -> Self {
        Self { session, offer, kind: BlobKindByte::new(kind), bitmap, zero: Zeros::ZERO }
    }
}

// The length of a body is known when it is compiled, and with it the codec's checks of what is left fall away: the bytes
// of a whole body are put together on the stack, and taken from a stretch of just its length.
fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_big_endian().allow_trailing_bytes()
}

/// Appends the body.
pub(super) fn write<B: Body>(body: &B, out: &mut Vec<u8>) {
    body.put(out);
}

/// Reads a body that starts at `HEADER`.
pub(super) fn read<B: Body>(datagram: &[u8]) -> Result<B, DecodeError> {
    let Some(body) = datagram.get(HEADER..).and_then(B::take) else {
        return Err(truncated(B::FIELDS, datagram.len()));
    };
    body.check()?;
    Ok(body)
}

/// Names the first field that `had` bytes do not hold whole.
fn truncated(fields: &'static [(&'static str, usize, Form)], had: usize) -> DecodeError {
    let mut need = HEADER;
    for (field, size, _) in fields {
        need += size;
        if had < need {
            return DecodeError::Truncated { field, need, had };
        }
    }
    DecodeError::Truncated { field: "blob", need, had }
}
