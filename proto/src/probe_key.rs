//! What shows that a PROBE or PROBE_REPLY comes from the other peer of a call: a tag under a key that only those have who
//! know the call's secret. SPEC 8
//!
//! ```text
//! key = HMAC-SHA-256 under secret (32) of "Roundtable PROBE" || version || offer id (16) || caller (32) || callee (32) || token (16)
//! tag = first 16 bytes of HMAC-SHA-256 under key of role of the sender (1) || the datagram, its tag zero
//! ```

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::wire::{Address, Frame, OfferId, PeerId, Probe, ProbeReply, Tag, Token, VERSION};

const DOMAIN: &[u8; 16] = b"Roundtable PROBE";

/// What the peers of a sealed call share and nobody else knows; nothing in a call in the clear. Wiped when it is dropped.
#[derive(Clone)]
pub struct ProbeSecret(Zeroizing<[u8; 32]>);

impl ProbeSecret {
    /// Returns that of a call in the clear: there is none, and the server's token alone makes the key.
    #[must_use]
    pub fn none() -> Self {
        Self::new([0; 32])
    }

    /// Takes what was exported from a sealed ANSWER. SPEC 13
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes, to be held against a vector.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ProbeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeSecret(secret)")
    }
}

/// A side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It offers.
    Caller,
    /// It answers.
    Callee,
}

impl Role {
    /// Returns the other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Caller => 1,
            Self::Callee => 2,
        }
    }
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The call.
    pub offer: OfferId,
    /// Who offers.
    pub caller: PeerId,
    /// Who answers.
    pub callee: PeerId,
}

/// One side's key: makes tags of its own side and checks those of the other, so that nothing can be reflected.
#[derive(Clone)]
pub struct ProbeKey {
    bytes: Zeroizing<[u8; 32]>,
    own: Role,
}

impl ProbeKey {
    /// Makes the key of one side, under the token of a PUNCH_NOW.
    #[must_use]
    pub fn new(secret: &ProbeSecret, parties: &Parties, own: Role, token: Token) -> Self {
        let Parties { offer, caller, callee } = parties;
        let bytes = mac(
            secret.as_bytes(),
            &[DOMAIN, &[VERSION], offer.as_bytes(), caller.as_bytes(), callee.as_bytes(), &token.0],
        );
        Self { bytes: Zeroizing::new(bytes), own }
    }

    /// Puts this side's tag into a PROBE.
    #[must_use]
    pub fn sign(&self, probe: Probe) -> Frame<'static> {
        let tag = self.tag(self.own, &Frame::Probe(Probe { tag: Tag::NONE, ..probe }));
        Frame::Probe(Probe { tag, ..probe })
    }

    /// Puts this side's tag into a PROBE_REPLY.
    #[must_use]
    pub fn sign_reply(&self, reply: ProbeReply) -> Frame<'static> {
        let tag = self.tag(self.own, &Frame::ProbeReply(ProbeReply { tag: Tag::NONE, ..reply }));
        Frame::ProbeReply(ProbeReply { tag, ..reply })
    }

    /// Makes the PROBE_REPLY to the other side's PROBE, which came from `observed`.
    pub(crate) fn reply(&self, probe: &Probe, observed: Address) -> Frame<'static> {
        let &Probe { offer, transaction, .. } = probe;
        self.sign_reply(ProbeReply { offer, tag: Tag::NONE, transaction, observed })
    }

    /// Tells whether a PROBE is the other side's.
    #[must_use]
    pub fn is_others(&self, probe: &Probe) -> bool {
        self.holds(probe.tag, &Frame::Probe(Probe { tag: Tag::NONE, ..*probe }))
    }

    /// Tells whether a PROBE_REPLY is the other side's.
    #[must_use]
    pub fn is_others_reply(&self, reply: &ProbeReply) -> bool {
        self.holds(reply.tag, &Frame::ProbeReply(ProbeReply { tag: Tag::NONE, ..*reply }))
    }

    fn tag(&self, of: Role, untagged: &Frame<'_>) -> Tag {
        let (mut tag, whole) = ([0; 16], mac(&self.bytes, &[&[of.number()], &untagged.to_vec()]));
        tag.copy_from_slice(&whole[..16]);
        Tag(tag)
    }

    /// Takes the same time whatever the tag is.
    fn holds(&self, tag: Tag, untagged: &Frame<'_>) -> bool {
        let right = self.tag(self.own.other(), untagged);
        tag.0.iter().zip(right.0).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

impl fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProbeKey({:?})", self.own)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Address, Flag, TransactionId, Zeros};

    fn parties() -> Parties {
        let peer = |number| PeerId::plain([number; 16]).unwrap();
        Parties { offer: OfferId::from_random([3; 16]), caller: peer(1), callee: peer(2) }
    }

    fn keys(secret: u8, token: u8) -> [ProbeKey; 2] {
        let secret = ProbeSecret::new([secret; 32]);
        [Role::Caller, Role::Callee].map(|own| ProbeKey::new(&secret, &parties(), own, Token([token; 16])))
    }

    fn probe(key: &ProbeKey) -> Probe {
        let (offer, transaction) = (parties().offer, TransactionId([7; 16]));
        let probe = Probe { offer, tag: Tag::NONE, transaction, nominate: Flag::NO, zero: Zeros::ZERO };
        let Frame::Probe(signed) = key.sign(probe) else { panic!("no PROBE") };
        signed
    }

    #[test]
    fn tag_is_taken_by_the_other_side_alone_and_for_what_it_was_made() {
        let [caller, callee] = keys(5, 6);
        let signed = probe(&caller);
        assert!(callee.is_others(&signed));
        assert!(!caller.is_others(&signed), "reflected");
        assert!(!callee.is_others(&Probe { nominate: Flag::YES, ..signed }));
        assert!(!callee.is_others(&Probe { transaction: TransactionId([8; 16]), ..signed }));
        assert!(!callee.is_others(&Probe { offer: OfferId::from_random([4; 16]), ..signed }));
        let mut tag = signed.tag;
        tag.0[15] ^= 1;
        assert!(!callee.is_others(&Probe { tag, ..signed }));
    }

    #[test]
    fn reply_says_where_the_probe_came_from_and_nobody_can_say_otherwise() {
        let [caller, callee] = keys(5, 6);
        let (offer, transaction) = (parties().offer, TransactionId([7; 16]));
        let observed: Address = "192.0.2.1:9".parse().unwrap();
        let reply = ProbeReply { offer, tag: Tag::NONE, transaction, observed };
        let Frame::ProbeReply(signed) = callee.sign_reply(reply) else { panic!("no PROBE_REPLY") };
        assert!(caller.is_others_reply(&signed) && !callee.is_others_reply(&signed));
        let elsewhere = "192.0.2.1:10".parse().unwrap();
        assert!(!caller.is_others_reply(&ProbeReply { observed: elsewhere, ..signed }));
    }

    #[test]
    fn secret_and_token_both_go_into_the_key() {
        let [caller, _] = keys(5, 6);
        let signed = probe(&caller);
        for (secret, token) in [(0, 6), (5, 7)] {
            let [_, callee] = keys(secret, token);
            assert!(!callee.is_others(&signed), "{secret} {token}");
        }
    }
}
