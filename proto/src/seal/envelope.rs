//! One sealed blob: signed, then encrypted with HPKE (RFC 9180). SPEC 13
//!
//! ```text
//! sealed    = version (1) || enc (32) || AEAD of (signature (64) || rest) || tag (16)
//! rest      = OFFER: time (8) || reply key (32);  every kind: encoding (1) || payload
//! info      = "Roundtable SEAL" || version || kind || number || offer id (16) || sender (32) || receiver (32)
//! signature = Ed25519 over info || key encrypted to (32) || enc || SHA-256(rest)
//! ```

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{
    Deserializable, HpkeError, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng,
};
use sha2::{Digest, Sha256};

use super::entropy::Entropy;
use super::keys::{OpeningKey, SealingKey};
use super::{OpenError, SEAL_VERSION, SealError, UnixSeconds, limit, overhead, packing};
use crate::identity::{self, SecretKey};
use crate::probe_key::ProbeSecret;
use crate::wire::{BlobKind, OfferId, PeerId, Signature};

const DOMAIN: &[u8; 15] = b"Roundtable SEAL";
/// The versions that this protocol may come to; any other first byte is no sealed blob at all.
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=15;
const ENC: usize = 32;
/// What the secret of a call's probes is exported for (RFC 9180, 5.3). SPEC 13
const PROBES: &[u8; 16] = b"Roundtable PROBE";

type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;
type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;

/// What a blob is about: all that the frames around it say, and none of it is taken on trust.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) kind: BlobKind,
    /// A candidate's number; zero for the other kinds.
    pub(super) number: u8,
    pub(super) offer: OfferId,
    pub(super) sender: PeerId,
    pub(super) receiver: PeerId,
}

impl Context {
    fn info(&self) -> Vec<u8> {
        let head = [SEAL_VERSION, self.kind.sent().number(), self.number];
        let parts: [&[u8]; 5] =
            [DOMAIN, &head, self.offer.as_bytes(), self.sender.as_bytes(), self.receiver.as_bytes()];
        parts.concat()
    }
}

/// What only an OFFER has.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfferHead {
    pub(super) sent: UnixSeconds,
    pub(super) reply: SealingKey,
}

impl OfferHead {
    const SIZE: usize = 8 + 32;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.sent.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.reply.0);
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::SIZE]) -> Result<Self, OpenError> {
        let (mut time, mut reply) = ([0; 8], [0; 32]);
        time.copy_from_slice(&bytes[..8]);
        reply.copy_from_slice(&bytes[8..]);
        let reply = SealingKey::from_bytes(reply).ok_or(OpenError::BadReplyKey)?;
        Ok(Self { sent: UnixSeconds(u64::from_be_bytes(time)), reply })
    }
}

/// Signs and encrypts an OFFER.
pub(super) fn seal_offer(
    context: &Context,
    key: &SecretKey,
    to: &SealingKey,
    head: OfferHead,
    blob: &[u8],
    entropy: Entropy,
) -> Result<Vec<u8>, SealError> {
    let (sealed, _) = encrypt(context, key, to, rest(context.kind, &head.to_bytes(), blob)?, entropy)?;
    Ok(sealed)
}

/// Signs and encrypts an ANSWER or a CANDIDATE. Also returns what the probes of the call are proved by, if it is an ANSWER.
pub(super) fn seal(
    context: &Context,
    key: &SecretKey,
    to: &SealingKey,
    blob: &[u8],
    entropy: Entropy,
) -> Result<(Vec<u8>, ProbeSecret), SealError> {
    encrypt(context, key, to, rest(context.kind, &[], blob)?, entropy)
}

/// Decrypts, verifies and unpacks an OFFER.
pub(super) fn open_offer(
    context: &Context,
    key: &OpeningKey,
    sealed: &[u8],
) -> Result<(OfferHead, Vec<u8>), OpenError> {
    let (rest, _) = decrypt(context, key, sealed)?;
    let (head, packed) = rest.split_first_chunk().ok_or(OpenError::BadEncoding)?;
    Ok((OfferHead::from_bytes(head)?, payload(context.kind, packed)?))
}

/// Decrypts, verifies and unpacks an ANSWER or a CANDIDATE. Also returns what the probes of the call are proved by, if it is
/// an ANSWER.
pub(super) fn open(
    context: &Context,
    key: &OpeningKey,
    sealed: &[u8],
) -> Result<(Vec<u8>, ProbeSecret), OpenError> {
    let (rest, secret) = decrypt(context, key, sealed)?;
    Ok((payload(context.kind, &rest)?, secret))
}

/// Returns all of the plaintext that follows the signature.
fn rest(kind: BlobKind, head: &[u8], blob: &[u8]) -> Result<Vec<u8>, SealError> {
    let limit = limit(kind);
    if blob.is_empty() && kind != BlobKind::Answer {
        return Err(SealError::Empty);
    }
    if blob.len() > limit {
        return Err(SealError::PayloadTooLong { limit, size: blob.len() });
    }
    let packed = packing::pack(blob);
    // The encoding byte is in the overhead already.
    let size = overhead(kind) - 1 + packed.len();
    if size > limit { Err(SealError::TooLong { limit, size }) } else { Ok([head, &packed].concat()) }
}

/// The other way round.
fn payload(kind: BlobKind, packed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let blob = packing::unpack(packed, limit(kind))?;
    if blob.is_empty() && kind != BlobKind::Answer { Err(OpenError::Empty) } else { Ok(blob) }
}

fn encrypt(
    context: &Context,
    key: &SecretKey,
    to: &SealingKey,
    rest: Vec<u8>,
    entropy: Entropy,
) -> Result<(Vec<u8>, ProbeSecret), SealError> {
    let info = context.info();
    let (enc, mut stream) = sender(to, &info, entropy).map_err(|_| SealError::BadKey)?;
    let signature = key.sign(&signed(&info, to, &enc, &rest));
    let ciphertext =
        stream.seal(&[&signature.0, rest.as_slice()].concat(), &[]).map_err(|_| SealError::BadKey)?;
    let parts: [&[u8]; 3] = [&[SEAL_VERSION], &enc, &ciphertext];
    let secret = exported(|out| stream.export(PROBES, out)).map_err(|_| SealError::BadKey)?;
    Ok((parts.concat(), secret))
}

/// Returns the secret of the context of one message, which its sender and its receiver know.
fn exported(export: impl FnOnce(&mut [u8]) -> Result<(), HpkeError>) -> Result<ProbeSecret, HpkeError> {
    let mut bytes = [0; 32];
    export(&mut bytes)?;
    Ok(ProbeSecret::new(bytes))
}

fn sender(to: &SealingKey, info: &[u8], entropy: Entropy) -> Result<([u8; ENC], Sender), HpkeError> {
    let to = Deserializable::from_bytes(&to.0)?;
    let (enc, stream) = setup_sender_with_rng::<_, _, X25519HkdfSha256>(
        &OpModeS::Base,
        &to,
        info,
        &mut entropy.into_source(),
    )?;
    Ok((enc.to_bytes().into(), stream))
}

/// Returns all of the plaintext that follows the signature, once that is verified.
fn decrypt(context: &Context, key: &OpeningKey, sealed: &[u8]) -> Result<(Vec<u8>, ProbeSecret), OpenError> {
    let (enc, ciphertext) = split(context.kind, sealed)?;
    let info = context.info();
    let (plaintext, secret) = receive(key, &info, enc, ciphertext).map_err(|_| OpenError::Undecryptable)?;
    let (signature, rest) = plaintext.split_first_chunk().ok_or(OpenError::Undecryptable)?;
    let message = signed(&info, key.public(), enc, rest);
    identity::verify(&context.sender, &message, &Signature(*signature))
        .map_err(|_| OpenError::BadSignature)?;
    Ok((rest.to_vec(), secret))
}

fn receive(
    key: &OpeningKey,
    info: &[u8],
    enc: &[u8; ENC],
    ciphertext: &[u8],
) -> Result<(Vec<u8>, ProbeSecret), HpkeError> {
    let enc = Deserializable::from_bytes(enc)?;
    let mut stream: Receiver = setup_receiver(&OpModeR::Base, key.secret(), &enc, info)?;
    Ok((stream.open(ciphertext, &[])?, exported(|out| stream.export(PROBES, out))?))
}

/// Checks version and size, and returns the encapsulated key and the ciphertext.
fn split(kind: BlobKind, sealed: &[u8]) -> Result<(&[u8; ENC], &[u8]), OpenError> {
    let Some((&version, body)) = sealed.split_first() else { return Err(OpenError::NotSealed) };
    if !VERSIONS.contains(&version) {
        return Err(OpenError::NotSealed);
    }
    if version != SEAL_VERSION {
        return Err(OpenError::Version { found: version });
    }
    let (need, most, had) = (overhead(kind), limit(kind), sealed.len());
    if had > most {
        return Err(OpenError::TooLong { limit: most, size: had });
    }
    match body.split_first_chunk() {
        Some(parts) if had >= need => Ok(parts),
        _ => Err(OpenError::Truncated { need, had }),
    }
}

/// Returns what the sender signs. The key encrypted to is in it, so that an ANSWER belongs to one OFFER, and nobody
/// who could decrypt can encrypt the signed text anew to another key.
fn signed(info: &[u8], to: &SealingKey, enc: &[u8; ENC], rest: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(rest);
    let parts: [&[u8]; 4] = [info, &to.0, enc, &digest];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::BLOB_MAX;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_seed(&[number; 32]).unwrap()
    }

    fn entropy() -> Entropy {
        Entropy::new([9; 32])
    }

    fn context(kind: BlobKind) -> Context {
        let (sender, receiver) = (key(1).identifier(), key(2).identifier());
        Context { kind, number: 0, offer: OfferId::from_random([3; 16]), sender, receiver }
    }

    fn receiver() -> OpeningKey {
        OpeningKey::of(&key(2))
    }

    fn head() -> OfferHead {
        OfferHead { sent: UnixSeconds(1), reply: *OpeningKey::from_entropy(entropy()).public() }
    }

    /// What a sender signs who keeps to nothing but the cryptography.
    fn opened(kind: BlobKind, rest: &[u8]) -> Result<Vec<u8>, OpenError> {
        let context = context(kind);
        let (sealed, _) = encrypt(&context, &key(1), receiver().public(), rest.to_vec(), entropy()).unwrap();
        match kind {
            BlobKind::Offer => open_offer(&context, &receiver(), &sealed).map(|(_, blob)| blob),
            BlobKind::Answer | BlobKind::Candidate => {
                open(&context, &receiver(), &sealed).map(|(blob, _)| blob)
            }
        }
    }

    #[test]
    fn signed_nonsense_is_refused_by_name() {
        let with_head = |packed: &[u8]| [&head().to_bytes(), packed].concat();
        let bomb = packing::pack(&vec![0; BLOB_MAX + 1]);
        let bad_key = [&[0; 40], &b"\0v=0"[..]].concat();
        let cases: [(BlobKind, Vec<u8>, OpenError); 9] = [
            (BlobKind::Offer, bad_key, OpenError::BadReplyKey),
            (BlobKind::Offer, with_head(b"\x02v=0"), OpenError::BadEncoding),
            (BlobKind::Offer, with_head(b"\x01v=0"), OpenError::BadEncoding),
            (BlobKind::Offer, with_head(b"\0"), OpenError::Empty),
            (BlobKind::Offer, with_head(&[1, 3, 0]), OpenError::Empty),
            (BlobKind::Candidate, b"\0".to_vec(), OpenError::Empty),
            (BlobKind::Answer, bomb.clone(), OpenError::PayloadTooLong { limit: BLOB_MAX }),
            (BlobKind::Offer, with_head(&bomb), OpenError::PayloadTooLong { limit: BLOB_MAX }),
            (BlobKind::Candidate, packing::pack(&[0; 1025]), OpenError::PayloadTooLong { limit: 1024 }),
        ];
        for (kind, rest, error) in cases {
            assert_eq!(opened(kind, &rest), Err(error), "{kind:?} {rest:02x?}");
        }
        assert_eq!(opened(BlobKind::Answer, b"\0"), Ok(Vec::new()));
        assert_eq!(opened(BlobKind::Candidate, b"\0a"), Ok(b"a".to_vec()));
    }

    #[test]
    fn blob_signed_by_a_third_peer_is_refused() {
        for kind in [BlobKind::Offer, BlobKind::Answer, BlobKind::Candidate] {
            let context = context(kind);
            let rest = rest(kind, if kind == BlobKind::Offer { &[7; 40] } else { &[] }, b"v=0").unwrap();
            let (sealed, _) = encrypt(&context, &key(4), receiver().public(), rest, entropy()).unwrap();
            assert_eq!(decrypt(&context, &receiver(), &sealed).unwrap_err(), OpenError::BadSignature);
        }
    }

    #[test]
    fn receiver_cannot_pass_a_signed_blob_on() {
        let context = context(BlobKind::Answer);
        let (sealed, _) =
            seal(&context, &key(1), receiver().public(), b"v=0", Entropy::new([5; 32])).unwrap();
        let (enc, ciphertext) = split(BlobKind::Answer, &sealed).unwrap();
        let (plaintext, _) = receive(&receiver(), &context.info(), enc, ciphertext).unwrap();

        // To a third peer, as if the sender had called it; and to another reply key of the same receiver.
        let third = Context { receiver: key(4).identifier(), ..context };
        for (context, opening) in
            [(third, OpeningKey::of(&key(4))), (context, OpeningKey::from_entropy(entropy()))]
        {
            let info = context.info();
            let (enc, mut stream) = sender(opening.public(), &info, entropy()).unwrap();
            let ciphertext = stream.seal(&plaintext, &[]).unwrap();
            let passed_on = [&[SEAL_VERSION], &enc[..], &ciphertext].concat();
            assert_eq!(open(&context, &opening, &passed_on).unwrap_err(), OpenError::BadSignature);
        }
    }

    #[test]
    fn receiver_cannot_change_what_was_signed() {
        let context = context(BlobKind::Answer);
        let (receiver, info) = (receiver(), context.info());
        let to = receiver.public();
        let (sealed, _) = seal(&context, &key(1), to, b"v=0", Entropy::new([5; 32])).unwrap();
        let (enc, ciphertext) = split(BlobKind::Answer, &sealed).unwrap();
        let (mut plaintext, _) = receive(&receiver, &info, enc, ciphertext).unwrap();
        *plaintext.last_mut().unwrap() ^= 1;
        let (enc, mut stream) = sender(to, &info, entropy()).unwrap();
        let changed = [&[SEAL_VERSION], &enc[..], &stream.seal(&plaintext, &[]).unwrap()].concat();
        assert_eq!(open(&context, &receiver, &changed).unwrap_err(), OpenError::BadSignature);
    }
}
