//! Who a keyed peer is, and how it proves that. Knows nothing of frames, sessions or time. SPEC 5
//!
//! A keyed identifier is an Ed25519 public key. Every use of that curve is in this file: signatures are verified
//! strictly here, so that what one implementation takes all of them take.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use zeroize::Zeroizing;

use crate::wire::{Address, Cookie, PeerId, Signature, VERSION};

/// What every signed REGISTER begins with, so that no signature serves two purposes. SPEC 5
const REGISTER_DOMAIN: &[u8; 19] = b"Roundtable REGISTER";

/// The y of all points of small order, little-endian. SPEC 5
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    ends(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    ends(0xec, 0xff, 0x7f),
];

/// Returns 32 bytes with these at the ends and all between alike.
const fn ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// The secret of a keyed peer: the 32-byte seed of an Ed25519 key (RFC 8032). Wiped when it is dropped.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    identifier: PeerId,
}

/// Who a client is, and what it needs to prove that.
#[derive(Clone, Debug)]
pub enum Identity {
    /// An identifier that needs no proof: a UUID.
    Plain(PeerId),
    /// A key, whose public half is the identifier.
    Keyed(Box<SecretKey>),
}

impl Identity {
    /// Returns the identifier that others call.
    #[must_use]
    pub const fn identifier(&self) -> PeerId {
        match self {
            Self::Plain(identifier) => *identifier,
            Self::Keyed(key) => key.identifier,
        }
    }

    /// Signs a REGISTER, where that is needed.
    pub(crate) fn sign_register(&self, binding: &Binding) -> Signature {
        match self {
            Self::Plain(_) => Signature::NONE,
            Self::Keyed(key) => key.sign_register(binding),
        }
    }
}

impl From<PeerId> for Identity {
    fn from(identifier: PeerId) -> Self {
        Self::Plain(identifier)
    }
}

impl From<SecretKey> for Identity {
    fn from(key: SecretKey) -> Self {
        Self::Keyed(Box::new(key))
    }
}

/// The seed gives no usable identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedError {
    /// The public key's last 16 bytes are zero, so it would be taken for a plain identifier. One seed in 2^128 is
    /// like that: draw another.
    LooksPlain,
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LooksPlain => {
                f.write_str("the key's identifier would look like a plain one; draw another seed")
            }
        }
    }
}

impl std::error::Error for SeedError {}

/// What the signature of a REGISTER binds the identifier to. SPEC 5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The server's, as in the REGISTER.
    pub cookie: Cookie,
    /// Where the REGISTER comes from, as the server sees it.
    pub observed: Address,
    /// Where it goes, as the client knows the server.
    pub server: Address,
}

/// Why an identifier or a signature is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentityError {
    /// The identifier is a plain one: there is no key that could sign or decrypt for it.
    PlainIdentifier,
    /// The identifier is no public key: not on the curve, not canonically encoded, or of small order.
    BadKey,
    /// The signature does not verify strictly.
    BadSignature,
}

impl IdentityError {
    /// Returns the name that SPEC.md and the vectors use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlainIdentifier => "plain_identifier",
            Self::BadKey => "bad_key",
            Self::BadSignature => "bad_signature",
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainIdentifier => "a plain identifier has no key",
            Self::BadKey => "the identifier is not a usable Ed25519 public key",
            Self::BadSignature => "the signature does not verify",
        })
    }
}

impl std::error::Error for IdentityError {}

impl SecretKey {
    /// Makes the key of a seed, which must come from a good random source.
    ///
    /// # Errors
    /// [`SeedError::LooksPlain`], with probability 2^-128: draw another seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SeedError> {
        let signing = SigningKey::from_bytes(seed);
        match PeerId::from_bytes(signing.verifying_key().to_bytes()) {
            Some(identifier) if !identifier.is_plain() => Ok(Self { signing, identifier }),
            _ => Err(SeedError::LooksPlain),
        }
    }

    /// Returns the seed, for a key file.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// Returns the public key, which is the peer's identifier: a keyed one.
    #[must_use]
    pub const fn identifier(&self) -> PeerId {
        self.identifier
    }

    /// Signs a REGISTER. SPEC 5
    #[must_use]
    pub fn sign_register(&self, binding: &Binding) -> Signature {
        self.sign(&register_message(&self.identifier, binding))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.signing.sign(message).to_bytes())
    }

    /// Returns the X25519 secret that belongs to the same seed: the first half of its SHA-512, not yet clamped.
    /// SPEC 13
    pub(crate) fn agreement_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_scalar_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.identifier)
    }
}

/// Verifies the signature of a REGISTER. SPEC 5
///
/// One call costs tens of microseconds: check the cookie first, and that `server` is this one.
///
/// # Errors
/// [`IdentityError`] if the identifier is plain or no key, or the signature is not its own over just these values.
pub fn verify_register(
    identifier: &PeerId,
    binding: &Binding,
    signature: &Signature,
) -> Result<(), IdentityError> {
    verify(identifier, &register_message(identifier, binding), signature)
}

/// Returns what the signature of a REGISTER covers: 106 bytes. SPEC 5
fn register_message(identifier: &PeerId, binding: &Binding) -> Vec<u8> {
    let (observed, server) = (binding.observed.to_bytes(), binding.server.to_bytes());
    let parts: [&[u8]; 6] =
        [REGISTER_DOMAIN, &[VERSION], &binding.cookie.0, identifier.as_bytes(), &observed, &server];
    parts.concat()
}

/// Verifies strictly: canonical S and R, neither key nor R of small order, the equation without the cofactor. SPEC 5
///
/// What `verify` leaves to do is to look at bytes: `verify_strict` would decompress R for it, at a sixth of the cost.
pub(crate) fn verify(
    identifier: &PeerId,
    message: &[u8],
    signature: &Signature,
) -> Result<(), IdentityError> {
    let key = public_key(identifier)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    if !is_canonical(signature.r_bytes()) || is_of_small_order(signature.r_bytes()) {
        return Err(IdentityError::BadSignature);
    }
    key.verify(message, &signature).map_err(|_| IdentityError::BadSignature)
}

/// Returns the X25519 public key that belongs to a keyed identifier: u = (1 + y) / (1 - y). SPEC 13
pub(crate) fn agreement_key(identifier: &PeerId) -> Result<[u8; 32], IdentityError> {
    Ok(public_key(identifier)?.to_montgomery().to_bytes())
}

fn public_key(identifier: &PeerId) -> Result<VerifyingKey, IdentityError> {
    if identifier.is_plain() {
        return Err(IdentityError::PlainIdentifier);
    }
    if !is_canonical(identifier.as_bytes()) || is_of_small_order(identifier.as_bytes()) {
        return Err(IdentityError::BadKey);
    }
    VerifyingKey::from_bytes(identifier.as_bytes()).map_err(|_| IdentityError::BadKey)
}

/// Tells whether a canonical encoding is that of a point of small order, whatever its sign.
fn is_of_small_order(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    y[31] &= 0x7F;
    SMALL_ORDER.contains(&y)
}

/// Tells whether y, the low 255 bits, is below p = 2^255 - 19. Decompression alone takes the 19 values above, too.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    bytes[31] & 0x7F != 0x7F || bytes[1..31] != [0xFF; 30] || bytes[0] < 0xED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 1.
    const SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];

    fn binding(cookie: [u8; 16], observed: &str, server: &str) -> Binding {
        Binding {
            cookie: Cookie(cookie),
            observed: observed.parse().unwrap(),
            server: server.parse().unwrap(),
        }
    }

    fn usual() -> Binding {
        binding([7; 16], "198.51.100.7:40123", "192.0.2.1:1066")
    }

    #[test]
    fn identifier_is_the_public_key_of_rfc_8032() {
        let key = SecretKey::from_seed(&SEED).unwrap();
        let expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.identifier().to_string(), expected);
        assert!(!key.identifier().is_plain());
        assert_eq!(*key.seed(), SEED);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = SecretKey::from_seed(&SEED).unwrap();
        assert_eq!(format!("{key:?}"), format!("SecretKey(of {})", key.identifier()));
    }

    #[test]
    fn signature_binds_cookie_identifier_and_both_addresses() {
        let (key, other) =
            (SecretKey::from_seed(&SEED).unwrap(), SecretKey::from_seed(&[3; 32]).unwrap().identifier());
        let signature = key.sign_register(&usual());
        let check = |who, binding| verify_register(&who, &binding, &signature);
        assert_eq!(check(key.identifier(), usual()), Ok(()));
        let refused = Err(IdentityError::BadSignature);
        assert_eq!(check(other, usual()), refused);
        for (cookie, observed, server) in [
            ([8; 16], "198.51.100.7:40123", "192.0.2.1:1066"),
            ([7; 16], "198.51.100.7:40124", "192.0.2.1:1066"),
            ([7; 16], "198.51.100.8:40123", "192.0.2.1:1066"),
            ([7; 16], "none", "192.0.2.1:1066"),
            ([7; 16], "198.51.100.7:40123", "192.0.2.2:1066"),
            ([7; 16], "198.51.100.7:40123", "192.0.2.1:1067"),
            ([7; 16], "198.51.100.7:40123", "none"),
            ([7; 16], "192.0.2.1:1066", "198.51.100.7:40123"),
        ] {
            let binding = binding(cookie, observed, server);
            assert_eq!(check(key.identifier(), binding), refused, "{binding:?}");
        }
    }

    #[test]
    fn every_flipped_bit_of_the_signature_is_refused() {
        let key = SecretKey::from_seed(&SEED).unwrap();
        let signature = key.sign_register(&usual());
        for bit in 0..512 {
            let mut flipped = signature;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            let result = verify_register(&key.identifier(), &usual(), &flipped);
            assert_eq!(result, Err(IdentityError::BadSignature), "bit {bit}");
        }
    }

    #[test]
    fn plain_identifier_is_refused_by_name() {
        let plain = PeerId::plain([9; 16]).unwrap();
        let result = verify_register(&plain, &usual(), &Signature::NONE);
        assert_eq!(result, Err(IdentityError::PlainIdentifier));
    }

    #[test]
    fn keys_above_the_field_prime_are_refused() {
        let mut bytes = [0xFF; 32];
        for low in 0xED..=0xFF {
            bytes[0] = low;
            for last in [0x7F, 0xFF] {
                bytes[31] = last;
                assert_eq!(agreement_key(&PeerId::from_bytes(bytes).unwrap()), Err(IdentityError::BadKey));
            }
        }
        bytes[0] = 0xEC;
        assert!(is_canonical(&bytes), "p - 1 is canonical, though of small order");
    }

    /// The curve's library finds each by arithmetic.
    #[test]
    fn table_of_small_order_is_that_of_the_curve() {
        for y in SMALL_ORDER {
            assert!(VerifyingKey::from_bytes(&y).unwrap().is_weak(), "{y:?}");
            assert!(is_canonical(&y) && is_of_small_order(&y));
        }
        for number in 0..200 {
            let key = SigningKey::from_bytes(&[number; 32]).verifying_key();
            assert_eq!(is_of_small_order(key.as_bytes()), key.is_weak());
        }
    }
}
