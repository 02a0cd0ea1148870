"""HPKE (RFC 9180), mode base, one message for each context, of the one suite that section 13 names:
DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. aad is empty.

Put together from primitives, since the sender must know ``enc`` before it knows the message, which one-shot
interfaces such as that of ``cryptography`` do not allow.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEM, KDF, AEAD = 0x0020, 0x0001, 0x0003
KEM_SUITE = b"KEM" + KEM.to_bytes(2, "big")
SUITE = b"HPKE" + KEM.to_bytes(2, "big") + KDF.to_bytes(2, "big") + AEAD.to_bytes(2, "big")
MODE_BASE = b"\0"


class OpenError(Exception):
    """The message does not open, or the encapsulated key is of small order."""


class Sender:
    """The context of one message. ``enc`` goes in front of what ``seal`` returns."""

    def __init__(self, receiver: bytes, info: bytes, entropy: bytes):
        ephemeral = derive_key_pair(entropy)
        self.enc = public_bytes(ephemeral)
        self._key, self._nonce, self._exporter = _schedule(
            _shared_secret(ephemeral, receiver, self.enc + receiver), info)

    def seal(self, message: bytes) -> bytes:
        return ChaCha20Poly1305(self._key).encrypt(self._nonce, message, None)

    def export(self, context: bytes) -> bytes:
        """``Context.Export`` (5.3) of 32 bytes."""
        return _expand(SUITE, self._exporter, b"sec", context, 32)


def open_sealed(secret: X25519PrivateKey, enc: bytes, ciphertext: bytes, info: bytes) -> bytes:
    """``SetupBaseR`` and ``Open``. Raises OpenError."""
    key, nonce, _ = _schedule(_shared_secret(secret, enc, enc + public_bytes(secret)), info)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, None)
    except InvalidTag:
        raise OpenError from None


def export(secret: X25519PrivateKey, enc: bytes, info: bytes, context: bytes) -> bytes:
    """``SetupBaseR`` and ``Context.Export`` (5.3) of 32 bytes. Raises OpenError."""
    _, _, exporter = _schedule(_shared_secret(secret, enc, enc + public_bytes(secret)), info)
    return _expand(SUITE, exporter, b"sec", context, 32)


def derive_key_pair(entropy: bytes) -> X25519PrivateKey:
    """``DeriveKeyPair`` (7.1.3)."""
    extracted = _extract(KEM_SUITE, b"", b"dkp_prk", entropy)
    return X25519PrivateKey.from_private_bytes(_expand(KEM_SUITE, extracted, b"sk", b"", 32))


def public_bytes(secret: X25519PrivateKey) -> bytes:
    return secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _shared_secret(secret: X25519PrivateKey, public: bytes, kem_context: bytes) -> bytes:
    """What ``Encap`` and ``Decap`` have in common (4.1)."""
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # the result is zero (7.1.4)
        raise OpenError from None
    extracted = _extract(KEM_SUITE, b"", b"eae_prk", shared)
    return _expand(KEM_SUITE, extracted, b"shared_secret", kem_context, 32)


def _schedule(shared_secret: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
    """Key and nonce of the first and only message, and the secret to export from (5.1)."""
    context = MODE_BASE + _extract(SUITE, b"", b"psk_id_hash", b"") + _extract(SUITE, b"", b"info_hash", info)
    secret = _extract(SUITE, shared_secret, b"secret", b"")
    return (_expand(SUITE, secret, b"key", context, 32), _expand(SUITE, secret, b"base_nonce", context, 12),
            _expand(SUITE, secret, b"exp", context, 32))


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    """``LabeledExtract`` (4)."""
    return hmac.digest(salt, b"HPKE-v1" + suite + label + material, hashlib.sha256)


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """``LabeledExpand`` (4) of at most 32 bytes: one block of HKDF-Expand."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, labelled + b"\1", hashlib.sha256)[:length]
