"""Keyed identifiers: Ed25519 keys, the signature in REGISTER, strict verification, and key files.

Written from the protocol specification (proto/SPEC.md) alone; "section n" below refers to it. Needs the package
``cryptography`` (requirements.txt beside this file).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Optional

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import roundtable as rt

REGISTER_DOMAIN = b"Roundtable REGISTER"
#: What stands before the 64 hexadecimal digits of a key file: the form of roundtable-probe, so that both read it.
KEY_FILE_MARK = "roundtable-secret-1 "

#: The prime of the field, the order of the group, and the curve's d (RFC 8032, 5.1).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SIGN_BIT = 1 << 255

#: The y of all points of small order (section 5).
SMALL_ORDER_Y = frozenset(int.from_bytes(bytes.fromhex(text), "little") for text in (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
))


class IdentityError(Exception):
    """A key or signature that must be refused. ``name`` is ``plain_identifier``, ``bad_key`` or ``bad_signature``."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


def check_key(identifier: bytes) -> int:
    """The y of a keyed identifier, or IdentityError (section 5)."""
    if rt.is_plain(identifier):
        raise IdentityError("plain_identifier")
    y = int.from_bytes(identifier, "little") & (SIGN_BIT - 1)
    if y >= P or y in SMALL_ORDER_Y or not _is_on_curve(y):
        raise IdentityError("bad_key")
    return y


def _is_on_curve(y: int) -> bool:
    """Whether some x has -x^2 + y^2 = 1 + d x^2 y^2: whether (y^2 - 1) / (d y^2 + 1) is a square."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return square == 0 or pow(square, (P - 1) // 2, P) == 1


def verify(identifier: bytes, signature: bytes, message: bytes) -> None:
    """Verify strictly, or raise IdentityError (section 5).

    OpenSSL checks [S]B = R + [k]A without the cofactor, by comparing encodings; the rest is checked here.
    """
    check_key(identifier)
    y = int.from_bytes(signature[:32], "little") & (SIGN_BIT - 1)
    if y >= P or y in SMALL_ORDER_Y or int.from_bytes(signature[32:], "little") >= L:
        raise IdentityError("bad_signature")
    try:
        Ed25519PublicKey.from_public_bytes(identifier).verify(signature, message)
    except InvalidSignature:
        raise IdentityError("bad_signature") from None


def x25519_public(identifier: bytes) -> bytes:
    """The X25519 public key of a keyed identifier: u = (1 + y) / (1 - y) (section 13, Keys)."""
    y = check_key(identifier)
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")  # y = 1 is of small order: refused above


def register_message(identifier: bytes, cookie: bytes, observed: Optional[rt.Address],
                     server: Optional[rt.Address]) -> bytes:
    """What the signature of a REGISTER is over (section 5)."""
    head = REGISTER_DOMAIN + bytes([rt.VERSION]) + cookie + identifier
    return head + rt.build_address(observed) + rt.build_address(server)


class Identity:
    """A keyed peer: what follows from its seed of 32 secret bytes."""

    def __init__(self, seed: bytes):
        if len(seed) != 32:
            raise ValueError("a seed has 32 bytes")
        self.seed = bytes(seed)
        self._signer = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.identifier: bytes = self._signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        if rt.is_plain(self.identifier):
            raise ValueError("the key of this seed looks like a plain identifier: draw another one")
        # The library clamps it.
        self.decryption_key = X25519PrivateKey.from_private_bytes(hashlib.sha512(self.seed).digest()[:32])

    @classmethod
    def new(cls) -> "Identity":
        """A new identity, of the operating system's randomness."""
        while True:
            try:
                return cls(os.urandom(32))
            except ValueError:
                continue  # one in 2^128

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)

    def sign_register(self, cookie: bytes, observed: Optional[rt.Address], server: Optional[rt.Address]) -> bytes:
        """The signature of a REGISTER; cookie and observed address are those of one CHALLENGE."""
        return self.sign(register_message(self.identifier, cookie, observed, server))


def load_or_create(path: Path) -> Identity:
    """The identity in a key file. A missing one is made, readable by its owner alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        with open(path, encoding="ascii", errors="replace") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"{path}: others may read this key file: chmod 600 {path}") from None
            text = file.read(129)
        found = re.fullmatch(KEY_FILE_MARK + "([0-9a-f]{64})\r?\n?", text)
        if found is None:
            raise ValueError(f"{path}: not a key file: {KEY_FILE_MARK!r} and 64 hexadecimal digits") from None
        return Identity(bytes.fromhex(found[1]))
    identity = Identity.new()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{KEY_FILE_MARK}{identity.seed.hex()}\n")
    return identity
