"""Sealed blobs: what two keyed peers make of their offers, answers and candidates (section 13).

Written from the protocol specification (proto/SPEC.md) alone; "section n" below refers to it. Needs the package
``cryptography`` (requirements.txt beside this file).

``Binding`` says what a blob is bound to. ``seal`` and ``open_blob`` are the two directions for one blob;
``ReplayMemory`` remembers the offers taken; ``Keys`` has all that for one peer, in the form that ``roundtable.Client``
takes.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Optional

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import hpke
import identity as ids
import roundtable as rt
from roundtable import Kind, SealError

OFFER_WINDOW = 300
OFFERS_REMEMBERED = 4096
OFFERS_PER_SENDER = 256

DOMAIN = b"Roundtable SEAL"
PROBES = b"Roundtable PROBE"  # what an ANSWER's context exports the secret of a call's probes for
SEAL_VERSION = 1
VERSION_LAST = 0x0F  # first bytes from 1 to this one are versions of sealed blobs
SIGNATURE_SIZE = 64
TIME_SIZE = 8
KEY_SIZE = 32
TAG_SIZE = 16
STORED, DEFLATED = 0, 1
RAW_DEFLATE = -15  # wbits of zlib: neither zlib nor gzip header

#: The reply keys of small order, as numbers.
SMALL_ORDER_U = frozenset(int.from_bytes(bytes.fromhex(text), "little") for text in (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
))


# --------------------------------------------------------------------------------------------------
# One blob
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binding:
    """What a blob is bound to. A receiver makes it of what it expects, not of what is in the blob."""

    kind: Kind
    number: int  # of a CANDIDATE, else 0
    offer: bytes
    sender: bytes
    receiver: bytes

    @property
    def info(self) -> bytes:
        return DOMAIN + bytes([SEAL_VERSION, self.kind, self.number]) + self.offer + self.sender + self.receiver


@dataclass(frozen=True)
class Opened:
    """What was in a sealed blob; ``time`` and ``reply_key`` only in an OFFER."""

    payload: bytes
    time: int = 0
    reply_key: bytes = b""


def payload_max(kind: Kind) -> int:
    """Bytes of a payload, and of a sealed blob."""
    return rt.FRAGMENT if kind == Kind.CANDIDATE else rt.BLOB_MAX


def overhead(kind: Kind) -> int:
    """By how much sealing lengthens a payload that does not shrink."""
    head = TIME_SIZE + KEY_SIZE if kind == Kind.OFFER else 0
    return 1 + KEY_SIZE + SIGNATURE_SIZE + head + 1 + TAG_SIZE


def pack(payload: bytes) -> bytes:
    """Encoding and payload, deflated where that is shorter."""
    packer = zlib.compressobj(9, zlib.DEFLATED, RAW_DEFLATE)
    deflated = packer.compress(payload) + packer.flush()
    if len(deflated) < len(payload):
        return bytes([DEFLATED]) + deflated
    return bytes([STORED]) + payload


def unpack(packed: bytes, limit: int) -> bytes:
    """The inverse; makes never more than ``limit`` bytes and one."""
    encoding, data = packed[0], packed[1:]
    if encoding == DEFLATED:
        unpacker = zlib.decompressobj(RAW_DEFLATE)
        try:
            payload = unpacker.decompress(data, limit + 1)
        except zlib.error:
            raise SealError("bad_encoding") from None
        if len(payload) > limit:
            raise SealError("payload_too_long")
        if not unpacker.eof or unpacker.unused_data:
            raise SealError("bad_encoding")
        return payload
    if encoding != STORED:
        raise SealError("bad_encoding")
    if len(data) > limit:
        raise SealError("payload_too_long")
    return data


def signed_message(info: bytes, receiver_key: bytes, enc: bytes, rest: bytes) -> bytes:
    """What the signature in a blob is over."""
    return info + receiver_key + enc + hashlib.sha256(rest).digest()


def seal(sender: ids.Identity, binding: Binding, receiver_key: bytes, rest: bytes, entropy: bytes) -> bytes:
    """The sealed blob. ``receiver_key`` is the X25519 key to encrypt to, ``rest`` all that follows the signature,
    ``entropy`` is fresh for every blob."""
    return seal_and_export(sender, binding, receiver_key, rest, entropy)[0]


def seal_and_export(sender: ids.Identity, binding: Binding, receiver_key: bytes, rest: bytes,
                    entropy: bytes) -> tuple[bytes, bytes]:
    """The same, and the secret of the call's probes if it is an ANSWER (section 13)."""
    context = hpke.Sender(receiver_key, binding.info, entropy)
    signature = sender.sign(signed_message(binding.info, receiver_key, context.enc, rest))
    return bytes([SEAL_VERSION]) + context.enc + context.seal(signature + rest), context.export(PROBES)


def probe_secret(secret: X25519PrivateKey, binding: Binding, sealed: bytes) -> bytes:
    """The secret of the call's probes, from an ANSWER that has opened (section 13)."""
    return hpke.export(secret, sealed[1:1 + KEY_SIZE], binding.info, PROBES)


def open_blob(secret: X25519PrivateKey, binding: Binding, sealed: bytes) -> Opened:
    """Open with the X25519 secret that it must be encrypted to, or raise SealError.

    The order of checks is that of section 13, Opening, up to ``empty``. Time and replay are ``ReplayMemory``'s.
    """
    if binding.sender == binding.receiver:
        raise SealError("same_peer")
    try:
        ids.check_key(binding.sender)
    except ids.IdentityError as error:
        raise SealError(error.name) from None
    if not sealed or not SEAL_VERSION <= sealed[0] <= VERSION_LAST:
        raise SealError("not_sealed")
    if sealed[0] != SEAL_VERSION:
        raise SealError("version")
    limit = payload_max(binding.kind)
    if len(sealed) > limit:
        raise SealError("too_long")
    if len(sealed) < overhead(binding.kind):
        raise SealError("truncated")

    enc, ciphertext = sealed[1:1 + KEY_SIZE], sealed[1 + KEY_SIZE:]
    try:
        plaintext = hpke.open_sealed(secret, enc, ciphertext, binding.info)
    except hpke.OpenError:
        raise SealError("undecryptable") from None
    signature, rest = plaintext[:SIGNATURE_SIZE], plaintext[SIGNATURE_SIZE:]
    try:
        ids.verify(binding.sender, signature, signed_message(binding.info, hpke.public_bytes(secret), enc, rest))
    except ids.IdentityError as error:
        raise SealError(error.name) from None

    seconds, reply_key, packed = 0, b"", rest
    if binding.kind == Kind.OFFER:
        seconds = int.from_bytes(rest[:TIME_SIZE], "big")
        reply_key, packed = rest[TIME_SIZE:TIME_SIZE + KEY_SIZE], rest[TIME_SIZE + KEY_SIZE:]
        u = int.from_bytes(reply_key, "little")
        if u >= ids.P or u in SMALL_ORDER_U:
            raise SealError("bad_reply_key")
    payload = unpack(packed, limit)
    if not payload and binding.kind != Kind.ANSWER:
        raise SealError("empty")
    return Opened(payload, seconds, reply_key)


# --------------------------------------------------------------------------------------------------
# Replay
# --------------------------------------------------------------------------------------------------


class ReplayMemory:
    """The OFFERs taken, each until its time is more than OFFER_WINDOW ago. A full memory refuses."""

    def __init__(self) -> None:
        self._taken: set[tuple[bytes, bytes]] = set()  # sender and offer id
        self._by_time: list[tuple[int, bytes, bytes]] = []  # the same, a heap, the oldest first
        self._senders: Counter[bytes] = Counter()
        self._forgotten_until = -1  # the latest time forgotten: a clock set back brings nothing back

    def take(self, now: int, sender: bytes, offer: bytes, seconds: int) -> None:
        """Remember an OFFER with this time in it, or raise SealError and remember nothing."""
        self._forget(now)
        if abs(seconds - now) > OFFER_WINDOW or seconds <= self._forgotten_until:
            raise SealError("stale")
        if (sender, offer) in self._taken:
            raise SealError("replayed")
        if len(self._taken) >= OFFERS_REMEMBERED or self._senders[sender] >= OFFERS_PER_SENDER:
            raise SealError("replay_memory_full")
        self._taken.add((sender, offer))
        self._senders[sender] += 1
        heapq.heappush(self._by_time, (seconds, sender, offer))

    def _forget(self, now: int) -> None:
        while self._by_time and self._by_time[0][0] < now - OFFER_WINDOW:
            seconds, sender, offer = heapq.heappop(self._by_time)
            self._taken.discard((sender, offer))
            self._senders[sender] -= 1
            if not self._senders[sender]:
                del self._senders[sender]
            self._forgotten_until = max(self._forgotten_until, seconds)


# --------------------------------------------------------------------------------------------------
# One peer
# --------------------------------------------------------------------------------------------------


class CallerSeal(rt.CallSeal):
    """The caller's side of one call. It holds the secret half of the reply key, and ends with the call."""

    def __init__(self, keys: "Keys", peer: bytes, offer: bytes):
        self._keys, self._peer, self._offer = keys, peer, offer
        self._receiver_key = ids.x25519_public(peer)
        self._reply_secret = X25519PrivateKey.from_private_bytes(keys.random(KEY_SIZE))

    def seal(self, kind: Kind, number: int, payload: bytes) -> bytes:
        head = b""
        if kind == Kind.OFFER:
            head = self._keys.clock().to_bytes(TIME_SIZE, "big") + hpke.public_bytes(self._reply_secret)
        return self._keys.seal(kind, number, self._offer, self._peer, self._receiver_key, head, payload)

    def open(self, kind: Kind, number: int, sealed: bytes) -> bytes:
        payload = self._keys.open(self._reply_secret, kind, number, self._offer, self._peer, sealed).payload
        if kind == Kind.ANSWER:
            binding = Binding(kind, number, self._offer, self._peer, self._keys.identifier)
            self.probe_secret = probe_secret(self._reply_secret, binding, sealed)
        return payload


class CalleeSeal(rt.CallSeal):
    """The callee's side of one call: it answers to the reply key of the OFFER that it has opened."""

    def __init__(self, keys: "Keys", peer: bytes, offer: bytes, reply_key: bytes):
        self._keys, self._peer, self._offer, self._reply_key = keys, peer, offer, reply_key

    def seal(self, kind: Kind, number: int, payload: bytes) -> bytes:
        sealed, secret = self._keys.seal_and_export(kind, number, self._offer, self._peer, self._reply_key, b"",
                                                    payload)
        if kind == Kind.ANSWER:
            self.probe_secret = secret
        return sealed

    def open(self, kind: Kind, number: int, sealed: bytes) -> bytes:
        secret = self._keys.identity.decryption_key
        return self._keys.open(secret, kind, number, self._offer, self._peer, sealed).payload


class Keys(rt.Keys):
    """A keyed peer's part in registration and calls. ``clock`` tells the seconds since 1970, ``random`` bytes."""

    def __init__(self, identity: ids.Identity, clock: Callable[[], int] = lambda: int(time.time()),
                 random: Callable[[int], bytes] = os.urandom):
        self.identity = identity
        self.identifier = identity.identifier
        self.clock = clock
        self.random = random
        self._memory = ReplayMemory()

    def sign_register(self, cookie: bytes, observed: Optional[rt.Address], server: Optional[rt.Address]) -> bytes:
        return self.identity.sign_register(cookie, observed, server)

    def call(self, peer: bytes, offer: bytes) -> CallerSeal:
        if peer == self.identifier:
            raise SealError("same_peer")
        try:
            return CallerSeal(self, peer, offer)
        except ids.IdentityError as error:
            raise SealError(error.name) from None

    def take_offer(self, peer: bytes, offer: bytes, sealed: bytes) -> tuple[bytes, CalleeSeal]:
        opened = self.open(self.identity.decryption_key, Kind.OFFER, 0, offer, peer, sealed)
        self._memory.take(self.clock(), peer, offer, opened.time)
        return opened.payload, CalleeSeal(self, peer, offer, opened.reply_key)

    def seal(self, kind: Kind, number: int, offer: bytes, peer: bytes, receiver_key: bytes, head: bytes,
             payload: bytes) -> bytes:
        return self.seal_and_export(kind, number, offer, peer, receiver_key, head, payload)[0]

    def seal_and_export(self, kind: Kind, number: int, offer: bytes, peer: bytes, receiver_key: bytes, head: bytes,
                        payload: bytes) -> tuple[bytes, bytes]:
        binding = Binding(kind, number, offer, self.identifier, peer)
        if len(payload) > payload_max(kind):
            raise SealError("payload_too_long")
        sealed, secret = seal_and_export(self.identity, binding, receiver_key, head + pack(payload),
                                         self.random(KEY_SIZE))
        if len(sealed) > payload_max(kind):
            raise SealError("too_long")
        return sealed, secret

    def open(self, secret: X25519PrivateKey, kind: Kind, number: int, offer: bytes, peer: bytes,
             sealed: bytes) -> Opened:
        return open_blob(secret, Binding(kind, number, offer, peer, self.identifier), sealed)
