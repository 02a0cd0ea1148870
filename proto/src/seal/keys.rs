//! The X25519 keys that blobs are encrypted to, and their secrets. SPEC 13

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};

use super::entropy::Entropy;
use crate::identity::{self, IdentityError, SecretKey};
use crate::wire::PeerId;

/// A key that blobs are encrypted to: X25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SealingKey(pub(super) [u8; 32]);

impl SealingKey {
    /// Takes the key that belongs to an identifier.
    pub(super) fn of(identifier: &PeerId) -> Result<Self, IdentityError> {
        identity::agreement_key(identifier).map(Self)
    }

    /// Takes a reply key off the wire, unless it is not canonical or of small order: with such a key the shared
    /// secret is zero, whatever the sender draws.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        let below_prime =
            bytes[31] < 0x7F || bytes[31] == 0x7F && (bytes[1..31] != [0xFF; 30] || bytes[0] < 0xED);
        (below_prime && !SMALL_ORDER.contains(&bytes)).then_some(Self(bytes))
    }
}

/// The canonical u of small order on the curve and its twist: 0, 1, two of order 8, and p - 1. SPEC 13
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    with_first(1, [0; 32]),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    with_first(0xEC, with_last(0x7F, [0xFF; 32])),
];

const fn with_first(first: u8, mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[0] = first;
    bytes
}

const fn with_last(last: u8, mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] = last;
    bytes
}

/// The secret of a [`SealingKey`]. Wiped when it is dropped.
#[derive(Clone)]
pub(super) struct OpeningKey {
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: SealingKey,
}

impl OpeningKey {
    /// Takes the secret that belongs to a peer's identifier.
    pub(super) fn of(key: &SecretKey) -> Self {
        Self::new(&key.agreement_secret())
    }

    /// Makes a reply key's secret.
    pub(super) fn from_entropy(entropy: Entropy) -> Self {
        Self::new(&entropy.into_secret())
    }

    #[expect(clippy::expect_used, reason = "only another length is refused, and this one is in the type")]
    fn new(secret: &[u8; 32]) -> Self {
        let secret = Deserializable::from_bytes(secret).expect("32 bytes are an X25519 secret");
        let public = SealingKey(X25519HkdfSha256::sk_to_pk(&secret).to_bytes().into());
        Self { secret, public }
    }

    pub(super) fn public(&self) -> &SealingKey {
        &self.public
    }

    pub(super) fn secret(&self) -> &<X25519HkdfSha256 as Kem>::PrivateKey {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use hpke::aead::ChaCha20Poly1305;
    use hpke::kdf::HkdfSha256;
    use hpke::{OpModeS, setup_sender_with_rng};

    use super::*;

    fn encapsulate(to: &SealingKey) -> Result<(), hpke::HpkeError> {
        let to = Deserializable::from_bytes(&to.0)?;
        let mut source = Entropy::new([9; 32]).into_source();
        setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &to,
            b"",
            &mut source,
        )
        .map(drop)
    }

    #[test]
    fn secret_and_public_key_of_an_identifier_belong_together() {
        for number in 0..8 {
            let key = SecretKey::from_seed(&[number; 32]).unwrap();
            assert_eq!(*OpeningKey::of(&key).public(), SealingKey::of(&key.identifier()).unwrap());
        }
    }

    #[test]
    fn reply_keys_of_small_order_are_just_those_that_hpke_refuses() {
        for bytes in SMALL_ORDER {
            assert_eq!(SealingKey::from_bytes(bytes), None);
            assert!(encapsulate(&SealingKey(bytes)).is_err(), "{bytes:02x?}");
        }
        for number in 2..200 {
            let bytes = with_first(number, [0; 32]);
            assert_eq!(SealingKey::from_bytes(bytes), Some(SealingKey(bytes)));
            assert!(encapsulate(&SealingKey(bytes)).is_ok(), "{number}");
        }
    }

    #[test]
    fn reply_keys_that_are_not_canonical_are_refused() {
        let most = with_last(0x7F, [0xFF; 32]);
        assert!(SealingKey::from_bytes(with_first(0xEB, most)).is_some(), "p - 2");
        for low in 0xED..=0xFF {
            assert_eq!(SealingKey::from_bytes(with_first(low, most)), None, "p and above");
        }
        assert_eq!(SealingKey::from_bytes(with_last(0x80, [9; 32])), None, "bit 255");
    }
}
