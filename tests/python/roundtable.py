"""Roundtable signalling protocol, version 1: codec and client, standard library only.

Written from the protocol specification (proto/SPEC.md) alone; "section n" below refers to it. Keyed identifiers and
sealed blobs come from outside, as ``Keys``: those of sealing.py, which needs the package ``cryptography``.

The file has four parts, each usable without the next:

1. constants and the codec (``decode``, ``encode``): sections 2, 3, 4 and 10;
2. the transfer machinery (``Rtt``, ``Transfer``, ``Reassembly``): section 7;
3. ``Client``: the protocol without any I/O. It is fed datagrams and a clock and returns datagrams and events;
4. ``UdpClient``: the thin loop that joins a ``Client`` to a socket.

All times are milliseconds, on any clock that only moves forward.
"""

from __future__ import annotations

import abc
import enum
import hashlib
import hmac
import ipaddress
import random
import select
import socket
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, NamedTuple, Optional, Union

# --------------------------------------------------------------------------------------------------
# 1a. Constants (section 10)
# --------------------------------------------------------------------------------------------------

MAGIC = b"RT"
VERSION = 1

DATAGRAM_MAX = 1180
FRAGMENT = 1024
FRAGMENTS_MAX = 64
BLOB_MAX = 65536
PEER_TTL = 60_000
KEEPALIVE_INTERVAL = 20_000
COOKIE_LIFETIME = 60_000
TICKET_LIFETIME = 3_600_000
RESTART_GRACE = 30_000
RESTART_RETRY = 500
RTO_INITIAL = 500
RTO_MIN = 100
RTO_MAX = 1_000
REGISTER_RTO_MAX = 8_000
ACK_DELAY = 10
NUDGE = 50
ACK_EVERY = 8
WINDOW_INITIAL = 16
WINDOW_MIN = 8
REORDER_THRESHOLD = 3
OFFER_REPEAT = 2_000
OFFER_LINGER = 5_000
OFFER_MARGIN = 2_000
CALLS_MAX = 64
REASSEMBLIES_MAX = 16
REASSEMBLIES_PER_PEER = 4
FINISHED_MAX = 256
PROBE_INTERVAL = 50
OWN_MARK = b"\0RT"  # candidates that begin so are the library's own
PUNCH_INTERVAL = 100
PROBE_TIME = 4_500
PROBE_TIME_MIN = 2_000
CONSENT_TIME = 30_000
REGISTERS_EAGER = 30
KEEPALIVES_MAX = 6
SILENT_TIMEOUTS = 1
SILENT_TIMEOUTS_OF_FEW = 16
FEW_PIECES = 4

# A number that stands in the text of section 5.
TRIES = 3  # UNREGISTER: sent this often in all

# Choices of this client, which the specification leaves open.
PINGS_MAX = 16  # PINGs whose answers are awaited at once
CHALLENGES_AT_ONCE = 4  # CHALLENGEs answered at once in a row; after that the REGISTER timer paces them

ZERO16 = bytes(16)


class Kind(enum.IntEnum):
    """The kinds of section 2."""

    PING = 0x01
    REGISTER = 0x02
    KEEPALIVE = 0x04
    UNREGISTER = 0x05
    OFFER = 0x06
    ANSWER = 0x07
    CANDIDATE = 0x08
    ACK = 0x09
    PUNCH = 0x0A
    PROBE = 0x40
    PROBE_REPLY = 0x41
    PONG = 0x81
    REGISTERED = 0x82
    CHALLENGE = 0x83
    KEEPALIVE_REPLY = 0x84
    UNREGISTERED = 0x85
    RELAYED_OFFER = 0x86
    RELAYED_ANSWER = 0x87
    RELAYED_CANDIDATE = 0x88
    RELAYED_ACK = 0x89
    PUNCH_NOW = 0x8A
    ERROR = 0x8F


class Code(enum.IntEnum):
    """The error codes of section 9."""

    MALFORMED = 1
    UNKNOWN_KIND = 2
    VERSION = 3
    IDENTIFIER_TAKEN = 4
    IDENTIFIER_REFUSED = 5
    BAD_SIGNATURE = 6
    SERVER_FULL = 7
    PEER_UNKNOWN = 8
    OFFER_UNKNOWN = 9
    OFFER_CONFLICT = 10
    NOT_PERMITTED = 11
    TOO_MANY_OFFERS = 12
    BLOB_TOO_LARGE = 13
    TIMEOUT = 14
    RATE_LIMITED = 15
    OFFER_TO_SELF = 16
    WRONG_SERVER = 17


def code_name(code: int) -> str:
    """The lower-case name of an error code, also of one that this client does not know (section 9)."""
    try:
        return Code(code).name.lower()
    except ValueError:
        return f"error_{code}"


# --------------------------------------------------------------------------------------------------
# 1b. Codec (sections 2, 3 and 4)
# --------------------------------------------------------------------------------------------------


class DecodeError(Exception):
    """A datagram that must be refused. ``name`` is one of the names of section 2."""

    def __init__(self, name: str, field_name: Optional[str] = None):
        super().__init__(name if field_name is None else f"{name}: {field_name}")
        self.name = name
        self.field = field_name


class Address(NamedTuple):
    """An IP address, as text without scope, and a port."""

    host: str
    port: int

    @property
    def version(self) -> int:
        return 6 if ":" in self.host else 4

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.version == 6 else f"{self.host}:{self.port}"


class FieldType(NamedTuple):
    """How one field of a frame is read and written. Both functions raise ValueError on a forbidden value."""

    size: int
    parse: Callable[[bytes], Any]
    build: Callable[[Any], bytes]


def _opaque(size: int, *, zero_allowed: bool = True) -> FieldType:
    def check(raw: bytes) -> bytes:
        if len(raw) != size or (not zero_allowed and not any(raw)):
            raise ValueError("wrong size, or zero")
        return bytes(raw)

    return FieldType(size, check, check)


def _uint(size: int, *, allowed: Callable[[int], bool] = lambda value: True) -> FieldType:
    def parse(raw: bytes) -> int:
        value = int.from_bytes(raw, "big")
        if not allowed(value):
            raise ValueError("forbidden value")
        return value

    def build(value: int) -> bytes:
        if not 0 <= value < 1 << (8 * size) or not allowed(value):
            raise ValueError("forbidden value")
        return value.to_bytes(size, "big")

    return FieldType(size, parse, build)


def _zero(size: int) -> FieldType:
    def parse(raw: bytes) -> None:
        if any(raw):
            raise ValueError("not zero")

    return FieldType(size, parse, lambda value: bytes(size))


def _parse_address(raw: bytes) -> Optional[Address]:
    """Type ``address`` of section 3. None stands for family 0."""
    family, packed, port = raw[0], raw[1:17], int.from_bytes(raw[17:19], "big")
    if family == 0:
        if any(raw):
            raise ValueError("family 0 with other bytes set")
        return None
    if family == 4:
        if any(packed[4:]):
            raise ValueError("IPv4 address with a tail")
        return Address(str(ipaddress.IPv4Address(packed[:4])), port)
    if family == 6:
        ip = ipaddress.IPv6Address(packed)
        if ip.ipv4_mapped is not None:
            raise ValueError("IPv4-mapped IPv6 address")
        return Address(str(ip), port)
    raise ValueError("unknown family")


def build_address(address: Optional[Address]) -> bytes:
    if address is None:
        return bytes(19)
    ip = ipaddress.ip_address(address.host)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        raise ValueError("IPv4-mapped IPv6 address")
    return bytes([ip.version]) + ip.packed.ljust(16, b"\0") + address.port.to_bytes(2, "big")


_SESSION = _TRANSACTION = _COOKIE = _TICKET = _TOKEN = _REFERENCE = _opaque(16)
_OFFER = _opaque(16, zero_allowed=False)
_IDENTIFIER = _opaque(32, zero_allowed=False)
_DIGEST = _opaque(8)
_SIGNATURE = _opaque(64)
_ADDRESS = FieldType(19, _parse_address, build_address)
_FLAG = _uint(1, allowed=lambda value: value in (0, 1))
_U8, _U16, _U32 = _uint(1), _uint(2), _uint(4)
_ACK_KIND = _uint(1, allowed=lambda value: value in (Kind.OFFER, Kind.ANSWER, Kind.CANDIDATE))
_BITMAP = _uint(8, allowed=lambda value: value != 0)

_UPWARD_BLOB = (
    ("session", _SESSION), ("offer", _OFFER), ("target", _IDENTIFIER), ("digest", _DIGEST), ("length", _U32),
    ("index", _U8), ("zero", _zero(47)),
)
_RELAYED_BLOB = (
    ("session", _SESSION), ("offer", _OFFER), ("source", _IDENTIFIER), ("observed", _ADDRESS), ("digest", _DIGEST),
    ("length", _U32), ("index", _U8),
)
_ACK_FIELDS = (
    ("session", _SESSION), ("offer", _OFFER), ("kind", _ACK_KIND), ("bitmap", _BITMAP), ("zero", _zero(10)),
)

#: The tables of section 4. The first field stands at offset 4.
LAYOUT: dict[Kind, tuple[tuple[str, FieldType], ...]] = {
    Kind.PING: (("transaction", _TRANSACTION), ("zero", _zero(19))),
    Kind.PONG: (("transaction", _TRANSACTION), ("observed", _ADDRESS)),
    Kind.REGISTER: (
        ("session", _SESSION), ("transaction", _TRANSACTION), ("identifier", _IDENTIFIER), ("cookie", _COOKIE),
        ("ticket", _TICKET), ("server", _ADDRESS), ("signature", _SIGNATURE),
    ),
    Kind.REGISTERED: (
        ("session", _SESSION), ("transaction", _TRANSACTION), ("observed", _ADDRESS), ("ttl", _U32),
        ("timeout", _U32), ("maxblob", _U32), ("ticket", _TICKET),
    ),
    Kind.CHALLENGE: (("reference", _REFERENCE), ("cookie", _COOKIE), ("observed", _ADDRESS)),
    Kind.KEEPALIVE: (("session", _SESSION), ("transaction", _TRANSACTION), ("observed", _ADDRESS)),
    Kind.KEEPALIVE_REPLY: (("session", _SESSION), ("transaction", _TRANSACTION), ("observed", _ADDRESS)),
    Kind.UNREGISTER: (("session", _SESSION), ("transaction", _TRANSACTION), ("zero", _zero(19))),
    Kind.UNREGISTERED: (("session", _SESSION), ("transaction", _TRANSACTION), ("zero", _zero(19))),
    Kind.OFFER: _UPWARD_BLOB,
    Kind.ANSWER: _UPWARD_BLOB,
    Kind.CANDIDATE: _UPWARD_BLOB,
    Kind.RELAYED_OFFER: _RELAYED_BLOB,
    Kind.RELAYED_ANSWER: _RELAYED_BLOB,
    Kind.RELAYED_CANDIDATE: _RELAYED_BLOB,
    Kind.ACK: _ACK_FIELDS,
    Kind.RELAYED_ACK: _ACK_FIELDS,
    Kind.PUNCH: (("session", _SESSION), ("offer", _OFFER), ("zero", _zero(106))),
    Kind.PUNCH_NOW: (("session", _SESSION), ("offer", _OFFER), ("peer", _ADDRESS), ("token", _TOKEN)),
    Kind.PROBE: (("offer", _OFFER), ("tag", _TOKEN), ("transaction", _TRANSACTION),
                 ("nominate", _FLAG), ("zero", _zero(18))),
    Kind.PROBE_REPLY: (("offer", _OFFER), ("tag", _TOKEN), ("transaction", _TRANSACTION), ("observed", _ADDRESS)),
    Kind.ERROR: (("reference", _REFERENCE), ("code", _U16), ("kind", _U8), ("detail", _U8), ("retry_after", _U32)),
}

BLOB_KINDS = frozenset({
    Kind.OFFER, Kind.ANSWER, Kind.CANDIDATE, Kind.RELAYED_OFFER, Kind.RELAYED_ANSWER, Kind.RELAYED_CANDIDATE,
})
_ANSWER_KINDS = (Kind.ANSWER, Kind.RELAYED_ANSWER)
_CANDIDATE_KINDS = (Kind.CANDIDATE, Kind.RELAYED_CANDIDATE)


def fixed_size(kind: Kind) -> int:
    """Bytes of a datagram of this kind without its blob."""
    return 4 + sum(field_type.size for _, field_type in LAYOUT[kind])


@dataclass
class Frame:
    """One decoded datagram. ``fields`` has the names of section 4, without the zero fields."""

    kind: Kind
    fields: dict[str, Any]
    blob: bytes = b""

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


def fragment_count(length: int) -> int:
    """n of section 7."""
    return max(1, -(-length // FRAGMENT))


def _blob_size(kind: Kind, length: int, index: int) -> int:
    """The only number of blob bytes allowed for these values (section 7)."""
    if kind in _CANDIDATE_KINDS:
        if not 1 <= length <= FRAGMENT:
            raise DecodeError("bad_field", "length")
        if index >= FRAGMENTS_MAX:
            raise DecodeError("bad_field", "index")
        return length
    shortest = 0 if kind in _ANSWER_KINDS else 1
    if not shortest <= length <= BLOB_MAX:
        raise DecodeError("bad_field", "length")
    if index >= fragment_count(length):
        raise DecodeError("bad_field", "index")
    return min(length, (index + 1) * FRAGMENT) - index * FRAGMENT


def _first_cut_field(kind: Kind, size: int) -> str:
    """The first field that does not fit into a datagram of this size."""
    end = 4
    for name, field_type in LAYOUT[kind]:
        end += field_type.size
        if end > size:
            break
    return name


def decode(data: bytes) -> Frame:
    """Decode one datagram, or raise DecodeError. Total and canonical; the order of checks is that of section 2."""
    if len(data) < 4:
        raise DecodeError("truncated", "magic" if len(data) < 2 else "version" if len(data) < 3 else "kind")
    if data[:2] != MAGIC:
        raise DecodeError("bad_magic")
    if data[2] != VERSION:
        raise DecodeError("bad_version")
    try:
        kind = Kind(data[3])
    except ValueError:
        raise DecodeError("unknown_kind") from None
    if len(data) > DATAGRAM_MAX:
        raise DecodeError("oversized")

    size = fixed_size(kind)
    if len(data) > size and kind not in BLOB_KINDS:
        raise DecodeError("trailing")
    if len(data) < size:
        raise DecodeError("truncated", _first_cut_field(kind, len(data)))

    fields: dict[str, Any] = {}
    offset = 4
    for name, field_type in LAYOUT[kind]:
        try:
            value = field_type.parse(data[offset:offset + field_type.size])
        except ValueError:
            raise DecodeError("bad_field", name) from None
        if name != "zero":
            fields[name] = value
        offset += field_type.size

    blob = data[size:]
    if kind in BLOB_KINDS:
        expected = _blob_size(kind, fields["length"], fields["index"])
        if len(blob) < expected:
            raise DecodeError("truncated", "blob")
        if len(blob) > expected:
            raise DecodeError("trailing")
    return Frame(kind, fields, bytes(blob))


def encode(kind: Kind, blob: bytes = b"", /, **fields: Any) -> bytes:
    """Encode one datagram. Raises ValueError on a value that ``decode`` would refuse."""
    parts = [MAGIC, bytes([VERSION, kind])]
    for name, field_type in LAYOUT[kind]:
        parts.append(field_type.build(fields.pop(name, None) if name == "zero" else fields.pop(name)))
    if fields:
        raise ValueError(f"{kind.name} has no field {', '.join(fields)}")
    return b"".join(parts) + blob


def encode_frame(frame: Frame) -> bytes:
    """The inverse of ``decode``."""
    return encode(frame.kind, frame.blob, **frame.fields)


def is_plain(identifier: bytes) -> bool:
    """Whether an identifier is a UUID and not a key (section 3)."""
    return not any(identifier[16:])


def parse_identifier(text: str) -> bytes:
    """An identifier from 64 hexadecimal digits, or a plain one from the text of a UUID."""
    identifier = bytes.fromhex(text) if len(text) == 64 else uuid.UUID(text).bytes + bytes(16)
    if not any(identifier):
        raise ValueError("all zero is no identifier")
    return identifier


def format_identifier(identifier: bytes) -> str:
    """A plain identifier as a UUID, a keyed one as 64 hexadecimal digits."""
    return str(uuid.UUID(bytes=identifier[:16])) if is_plain(identifier) else identifier.hex()


def digest_of(blob: bytes) -> bytes:
    """Type ``digest`` of section 3."""
    return hashlib.sha256(blob).digest()[:8]


# --------------------------------------------------------------------------------------------------
# 2. Transfers (section 7)
# --------------------------------------------------------------------------------------------------

NEVER = float("inf")


class Rtt:
    """Round-trip time of one call, peer to peer through the server, smoothed as in RFC 6298 (section 7)."""

    def __init__(self) -> None:
        self.srtt: Optional[float] = None
        self.rttvar = 0.0
        self.backoff = 1

    def sample(self, rtt: float) -> None:
        if self.srtt is None:
            self.srtt, self.rttvar = rtt, rtt / 2
        else:
            self.rttvar += (abs(self.srtt - rtt) - self.rttvar) / 4
            self.srtt += (rtt - self.srtt) / 8

    @property
    def base(self) -> float:
        """RTO without backoff."""
        if self.srtt is None:
            return RTO_INITIAL
        return min(RTO_MAX, max(RTO_MIN, self.srtt + 4 * self.rttvar))

    @property
    def rto(self) -> float:
        return min(RTO_MAX, self.base * self.backoff)

    def back_off(self) -> None:
        if self.rto < RTO_MAX:
            self.backoff *= 2

    def restore(self) -> None:
        """Progress ends the backoff; but while nothing is measured, it is all that is known of a long path."""
        if self.srtt is not None:
            self.backoff = 1


@dataclass(frozen=True)
class Piece:
    """What one blob frame carries: a fragment of an OFFER or ANSWER, or a whole CANDIDATE."""

    digest: bytes
    length: int
    index: int
    data: bytes


def split(blob: bytes) -> list[Piece]:
    """The fragments of an OFFER or ANSWER blob (section 7)."""
    digest, length = digest_of(blob), len(blob)
    return [
        Piece(digest, length, index, blob[index * FRAGMENT:(index + 1) * FRAGMENT])
        for index in range(fragment_count(length))
    ]


@dataclass
class _Sent:
    serial: int  # number of its latest transmission within the transfer
    at: float
    count: int


class Transfer:
    """The sender of section 7: a window, selective retransmission, and backoff.

    It holds pieces and decides which are to be sent when; the client wraps them in frames. ``add`` may be
    called at any time, so the CANDIDATEs of one side of a call are one growing transfer.
    """

    def __init__(self, kind: Kind, rtt: Rtt, pieces: list[Piece]):
        self.kind = kind
        self.rtt = rtt
        self.pieces = list(pieces)
        self.acked = 0  # bitmap
        self.window = WINDOW_INITIAL
        self.hold_until = -NEVER  # retry_after of an ERROR
        self._sent: dict[int, _Sent] = {}
        self._in_flight: set[int] = set()
        self._lost: set[int] = set()
        self._unsent = 0  # index of the first piece never sent
        self._serial = 0
        self._last_ack = -NEVER
        self._last_halved = -NEVER

    @property
    def complete(self) -> bool:
        return self.acked == (1 << len(self.pieces)) - 1

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)

    def due(self, now: float) -> list[Piece]:
        """The pieces to send now, in ascending order, then second copies of some; they count as sent."""
        if now < self.hold_until:
            return []
        self._find_timed_out(now)
        room = max(0, int(self.window) - len(self._in_flight))
        chosen = sorted(self._lost)[:room]
        fresh = min(room - len(chosen), len(self.pieces) - self._unsent)
        chosen += range(self._unsent, self._unsent + fresh)
        self._unsent += fresh
        for index in chosen:
            self._serial += 1
            count = self._sent[index].count + 1 if index in self._sent else 1
            self._sent[index] = _Sent(self._serial, now, count)
            self._in_flight.add(index)
            self._lost.discard(index)
        # What was lost before goes out twice where the window has room: with two hops each way, half of all single
        # copies are lost at 30 % loss a hop. Nothing is sent twice the first time.
        spare = max(0, int(self.window) - len(self._in_flight))
        chosen += [index for index in chosen if self._sent[index].count > 1][:spare]
        return [self.pieces[index] for index in chosen]

    def deadline(self) -> float:
        """When ``due`` has something to do next."""
        if self.complete:
            return NEVER
        if len(self._in_flight) < int(self.window) and (self._lost or self._unsent < len(self.pieces)):
            return self.hold_until
        oldest = min((self._sent[index].at for index in self._in_flight), default=NEVER)
        return max(self.hold_until, oldest + self.rtt.rto)

    def acknowledge(self, now: float, bitmap: int) -> None:
        """Take a RELAYED_ACK. Bits of pieces that were never sent are ignored."""
        news = [i for i in sorted(self._sent) if bitmap >> i & 1 and not self.acked >> i & 1]
        self._last_ack = now
        if not news:
            return
        # A bitmap does not say which fragment caused the ACK, and it repeats what earlier ACKs, now lost, said.
        # So the time is taken on the fragment sent last of those it brings, if that was sent once (Karn).
        latest = max(news, key=lambda i: self._sent[i].serial)
        if self._sent[latest].count == 1 and latest in self._in_flight:
            self.rtt.sample(now - self._sent[latest].at)
        self.rtt.restore()
        for index in news:
            self.acked |= 1 << index
            self._in_flight.discard(index)
            self._lost.discard(index)
        self.window = min(FRAGMENTS_MAX, self.window + len(news))
        self._find_overtaken(now)

    def acknowledge_all(self) -> None:
        """Take for acknowledged what the peer can only have received in full."""
        self.acked = (1 << len(self.pieces)) - 1
        self._in_flight.clear()
        self._lost.clear()
        self._unsent = len(self.pieces)

    def resend(self) -> None:
        """Send everything not acknowledged again: the server has dropped it (section 5)."""
        self._lost |= self._in_flight
        self._in_flight.clear()

    def hold(self, now: float, retry_after: float) -> None:
        """Hold back for the retry_after of an ERROR, then repeat (section 6)."""
        self.hold_until = max(self.hold_until, now + retry_after)
        self.resend()

    def slow_down(self, now: float) -> None:
        """Halve the window, at most once a round trip."""
        if now - self._last_halved >= (self.rtt.srtt or self.rtt.base):
            self.window = max(WINDOW_MIN, self.window // 2)
            self._last_halved = now

    def _lose(self, now: float, indices: list[int]) -> None:
        self._in_flight.difference_update(indices)
        self._lost.update(indices)
        self.slow_down(now)

    def _find_timed_out(self, now: float) -> None:
        late = [i for i in self._in_flight if self._sent[i].at + self.rtt.rto <= now]
        if late:
            if all(self._sent[i].at >= self._last_ack for i in late):
                self.rtt.back_off()  # no acknowledgement at all since they were sent
            self._lose(now, late)

    def _find_overtaken(self, now: float) -> None:
        arrived = sorted(sent.serial for i, sent in self._sent.items() if self.acked >> i & 1)
        if len(arrived) < REORDER_THRESHOLD:
            return
        limit = arrived[-REORDER_THRESHOLD]
        overtaken = [i for i in self._in_flight if self._sent[i].serial < limit]
        if overtaken:
            self._lose(now, overtaken)


class Reassembly:
    """The receiver of section 7, for one OFFER or ANSWER. ``ack_at`` is when its next ACK is due."""

    def __init__(self, frame: Frame):
        self.digest: bytes = frame["digest"]
        self.length: int = frame["length"]
        self.count = fragment_count(self.length)
        self.bitmap = 0
        self.blob: Optional[bytes] = None
        self.damaged = False  # complete, but its digest does not match
        self.ack_at = NEVER
        self._unacknowledged = 0
        self._fragments: dict[int, bytes] = {}
        self._nudge = NUDGE

    def fits(self, frame: Frame) -> bool:
        return frame["digest"] == self.digest and frame["length"] == self.length

    def add(self, now: float, frame: Frame) -> bool:
        """Take a fragment that ``fits``. True if it was the last one missing: see ``blob`` and ``damaged`` then."""
        self._nudge = NUDGE
        self.ack_at = min(self.ack_at, now + ACK_DELAY)
        if self.bitmap >> frame["index"] & 1:
            return False
        self._fragments[frame["index"]] = frame.blob
        self.bitmap |= 1 << frame["index"]
        self._unacknowledged += 1
        complete = len(self._fragments) == self.count
        if complete:
            blob = b"".join(self._fragments[index] for index in range(self.count))
            self._fragments.clear()
            if digest_of(blob) == self.digest:
                self.blob = blob
            else:
                self.damaged = True
        if complete or self._unacknowledged >= ACK_EVERY:
            self.ack_at = now
        return complete

    def acknowledged(self, now: float) -> None:
        """An ACK was sent. While the blob is incomplete it is repeated after NUDGE, doubling."""
        self._unacknowledged = 0
        if self.blob is None:
            self.ack_at = now + self._nudge
            self._nudge *= 2
        else:
            self.ack_at = NEVER


# --------------------------------------------------------------------------------------------------
# 3. The client, without I/O (sections 5, 6 and 8)
# --------------------------------------------------------------------------------------------------


class State(enum.Enum):
    """The registration states of section 5, and two ends."""

    UNREGISTERED = "unregistered"
    ASKING = "asking"
    PROVING = "proving"
    REGISTERED = "registered"
    LEAVING = "leaving"  # UNREGISTER is on its way
    FAILED = "failed"  # the server refused the registration for good


@dataclass(frozen=True)
class Event:
    """Something the application wants to know. The names are listed at ``Client``."""

    name: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


class SealError(Exception):
    """A blob that cannot be sealed, or that must be refused. ``name`` is one of the names of section 13."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class CallSeal(abc.ABC):
    """One side's part in the sealing of one call (section 13). ``number`` is a CANDIDATE's, else 0."""

    #: The secret of the call's probes, once the ANSWER is sealed or has opened.
    probe_secret: bytes

    @abc.abstractmethod
    def seal(self, kind: Kind, number: int, payload: bytes) -> bytes:
        """The blob to send. Raises SealError if it gets too long."""

    @abc.abstractmethod
    def open(self, kind: Kind, number: int, sealed: bytes) -> bytes:
        """The payload of a blob of the peer, or SealError."""


class Keys(abc.ABC):
    """What a client needs of a keyed peer. sealing.py has one."""

    identifier: bytes

    @abc.abstractmethod
    def sign_register(self, cookie: bytes, observed: Optional[Address], server: Optional[Address]) -> bytes:
        """The signature of a REGISTER (section 5)."""

    @abc.abstractmethod
    def call(self, peer: bytes, offer: bytes) -> CallSeal:
        """The caller's side of a new call, or SealError."""

    @abc.abstractmethod
    def take_offer(self, peer: bytes, offer: bytes, sealed: bytes) -> tuple[bytes, CallSeal]:
        """The payload of an OFFER and the callee's side of its call, or SealError. Takes each OFFER once."""


class Phase(enum.Enum):
    """The call states of section 6, of both roles."""

    SENDING = "sending"  # caller: the OFFER is not yet acknowledged in full
    RINGING = "ringing"  # caller: it is
    RECEIVING = "receiving"  # caller: an ANSWER has begun; callee: an OFFER has
    PRESENTED = "presented"  # callee: the application has the offer
    ANSWERING = "answering"  # callee: the ANSWER is not yet acknowledged in full
    SETTLED = "settled"  # caller: the answer is complete; callee: it is delivered. The outcome is final


@dataclass
class Punch:
    """Hole punching for one call (section 8)."""

    wanted: bool = False  # the application has asked; PUNCH waits for the answer
    request_at: float = NEVER  # when PUNCH is due
    token: Optional[bytes] = None
    key: Optional[bytes] = None  # of the tags of PROBEs, from that token
    seen: dict[bytes, Address] = field(default_factory=dict)  # transactions of the other peer's PROBEs, and from where
    peer: Optional[Address] = None
    probe_at: float = NEVER  # when PROBE is due
    until: float = NEVER  # when punching has failed
    transactions: set[bytes] = field(default_factory=set)  # of the PROBEs sent
    path: Optional[Address] = None
    # Addresses whose PROBE_REPLY has come, and the own address as the other peer sees it there.
    proved: dict[Address, Optional[Address]] = field(default_factory=dict)
    nominated: Optional[Address] = None  # the path that the caller has chosen
    nominations: set[bytes] = field(default_factory=set)  # transactions of the PROBEs that nominate it

    def stop(self) -> None:
        self.wanted = False
        self.request_at = self.probe_at = self.until = NEVER
        self.transactions.clear()
        self.nominations.clear()
        self.proved.clear()
        self.nominated = None


ROLES = {True: b"\1", False: b"\2"}  # of a caller, of a callee


def probe_key(secret: bytes, offer: bytes, caller: bytes, callee: bytes, token: bytes) -> bytes:
    """The key of the tags of a call's PROBEs (section 8)."""
    return hmac.digest(secret, b"Roundtable PROBE" + bytes([VERSION]) + offer + caller + callee + token, "sha256")


def probe_tag(key: bytes, role: bytes, untagged: bytes) -> bytes:
    """The tag of a PROBE or PROBE_REPLY whose tag is zero, by the side that sends it."""
    return hmac.digest(key, role + untagged, "sha256")[:16]


@dataclass
class Call:
    """One offer id and what belongs to it."""

    offer: bytes
    peer: bytes
    caller: bool  # whether this side made the offer
    phase: Phase
    ends_at: float  # the own timer, from which the call has failed or is retired
    rtt: Rtt = field(default_factory=Rtt)
    outgoing: Optional[Transfer] = None  # OFFER of a caller, ANSWER of a callee
    incoming: Optional[Reassembly] = None  # ANSWER to a caller, OFFER to a callee
    candidates: Optional[Transfer] = None
    candidates_seen: int = 0  # bitmap of CANDIDATEs received
    candidates_ack_at: float = NEVER
    ack_hold: float = -NEVER  # retry_after of an ERROR to an ACK: before this none is sent
    seal: Optional[CallSeal] = None  # between keyed peers; a callee has it from the OFFER that it has opened
    ring_at: float = NEVER  # when a caller repeats its last fragment, and until when
    ring_until: float = NEVER
    show_at: float = NEVER  # when the last fragment is shown once more to a server that may not know of it
    declined: bool = False
    punch: Punch = field(default_factory=Punch)

    @property
    def answered(self) -> bool:
        """Whether an ANSWER that does not decline has begun."""
        answer = self.incoming if self.caller else self.outgoing
        return answer is not None and not self.declined

    @property
    def may_punch(self) -> bool:
        """Whether PUNCH is due: a caller must have taken the ANSWER, and the server seen a fragment (sections 6, 8)."""
        if self.caller:
            return self.answered and self.phase == Phase.SETTLED
        return self.answered and self.outgoing is not None and self.outgoing.acked != 0

    @property
    def unanswered_by_peer(self) -> bool:
        """Whether this is an own offer to which not even a fragment of an ANSWER has come: glare is possible."""
        return self.caller and self.phase in (Phase.SENDING, Phase.RINGING)


class Finished(NamedTuple):
    """What must be remembered of a call to acknowledge repeats (section 6, Duplicates)."""

    peer: bytes
    kind: Optional[Kind]  # what was received whole: OFFER or ANSWER; None: nothing, repeats are ignored
    digest: bytes
    length: int


class CallError(Exception):
    """The application asked for something that is not possible now."""


class Client:
    """One identifier at one server. Feed it with ``handle_datagram`` and ``poll``; take what ``poll`` returns.

    ``peer`` is a plain identifier or a keyed peer's ``Keys``. Between keyed peers blobs are sealed.

    ``poll(now)`` returns the datagrams to send, each with its destination; call it after every call of another
    method and at ``next_timeout()``. ``events()`` drains these events:

    - ``registered`` observed, session_changed, timeout, maxblob; ``address`` observed (it changed);
      ``registration_delayed`` reason, retry_after; ``registration_failed`` reason, code, detail;
      ``silent`` (the server does not answer KEEPALIVEs); ``unregistered``;
      ``version`` version (the server speaks another one: a hint to show, nothing has failed by it);
    - ``pong`` observed, rtt;
    - ``ringing`` offer (acknowledged in full); ``answered`` offer, blob, observed, sealed; ``offered`` offer, source,
      blob, observed, sealed; ``delivered`` offer (the answer is acknowledged in full); ``failed`` offer, reason;
    - ``refused`` offer, source, kind, reason (an OFFER or a CANDIDATE that does not open, by its name in section 13);
    - ``candidate`` offer, index, blob; ``candidates_delivered`` offer; ``candidates_failed`` offer, reason;
    - ``path`` offer, address, observed; ``punch_failed`` offer, reason.

    A ``reason`` is the lower-case name of an error code, or one of these: ``declined``, ``glare`` (the peer's own
    offer goes before), ``own_timer``, ``damaged`` (wrong digest), ``registration_failed``, ``no_path``,
    ``no_address``, or for an ANSWER that does not open its name in section 13.

    ``families`` are the IP versions that the socket can send to.
    """

    def __init__(self, peer: Union[bytes, Keys], server: Address, rng: Optional[random.Random] = None,
                 families: frozenset[int] = frozenset({4, 6})):
        self.keys = peer if isinstance(peer, Keys) else None
        self.identifier: bytes = peer.identifier if isinstance(peer, Keys) else peer
        self.server = server
        #: what REGISTER names the server; behind a forwarder it is another one than datagrams are sent to (section 5)
        self.server_name = server
        self.families = families
        self.state = State.UNREGISTERED
        self.session = ZERO16
        self.observed: Optional[Address] = None
        self.ttl = PEER_TTL
        self.timeout = 30_000
        self.maxblob = BLOB_MAX
        self.calls: dict[bytes, Call] = {}
        self.finished: OrderedDict[bytes, Finished] = OrderedDict()
        # calls that are over and have left a path, and until when PROBEs on it are answered (section 8, Keeping the path)
        self.paths: dict[bytes, tuple[Call, float]] = {}
        #: when a peer last showed that it still waits for something; tools stay until the peer is quiet
        self.last_heard = -NEVER

        self._random = rng or random.SystemRandom()
        self._out: list[tuple[bytes, Address]] = []
        self._events: list[Event] = []
        # registration
        self._cookie = ZERO16
        self._cookie_until = -NEVER
        self._cookie_observed: Optional[Address] = None  # of the same CHALLENGE
        self._ticket = ZERO16
        self._ticket_at = -NEVER
        self._register_at = NEVER
        self._register_rto: float = RTO_INITIAL
        self._register_transaction = ZERO16
        self._challenges = 0
        # KEEPALIVE and UNREGISTER, whichever is under way
        self._request_transaction = ZERO16
        self._request_tries = 0
        self._request_rto: float = RTO_INITIAL
        self._request_at = NEVER
        # PINGs by transaction, and when they were sent
        self._pings: OrderedDict[bytes, float] = OrderedDict()
        # ACKs due for repeats of finished calls
        self._finished_acks: dict[bytes, float] = {}
        # glare: offers of a smaller peer ignored in favour of an own one, by the own one's id
        self._glare: dict[bytes, set[bytes]] = {}

    # ---- what the application calls --------------------------------------------------------------

    def register(self, now: float) -> None:
        """Begin to register, and stay registered until ``unregister`` (section 5)."""
        if self.state in (State.UNREGISTERED, State.FAILED):
            self._ask(now)

    def unregister(self, now: float) -> None:
        """End the session. All calls end with it (section 5, Forgetting)."""
        for call in list(self.calls.values()):
            self._drop(call)
        if self.session == ZERO16:
            self._left()
        elif self.state != State.LEAVING:
            self.state = State.LEAVING
            self._register_at = NEVER
            self._request_transaction = self._token16()
            self._request_tries = 0
            self._request_rto = RTO_INITIAL
            self._request_at = now

    def ping(self, now: float) -> None:
        """Ask once for the observed address; needs no registration (section 4, PING). The protocol does not repeat
        it (section 5): call again if no ``pong`` comes."""
        transaction = self._token16()
        self._pings[transaction] = now
        while len(self._pings) > PINGS_MAX:
            self._pings.popitem(last=False)
        self._send(Kind.PING, transaction=transaction)

    def offer(self, now: float, target: bytes, blob: bytes, offer: Optional[bytes] = None) -> bytes:
        """Make an offer and return its id. The outcome comes as ``answered`` or ``failed`` (section 6)."""
        if not 1 <= len(blob) <= BLOB_MAX:
            raise CallError("an offer has 1 to 65536 bytes")
        offer = offer or uuid.UUID(int=self._random.getrandbits(128), version=4).bytes
        seal = None
        if self.keys is not None and not is_plain(target):
            try:
                seal = self.keys.call(target, offer)
            except SealError as error:
                raise CallError(f"an offer to this peer cannot be sealed: {error.name}") from None
        blob = self._sealed(seal, Kind.OFFER, 0, blob)
        for call in list(self.calls.values()):
            if call.peer == target and not call.caller and call.phase in (Phase.RECEIVING, Phase.PRESENTED):
                # Glare (section 6) with an offer that is already here.
                if self.identifier < target:
                    raise CallError("the peer is already offering, and its offer wins: answer it")
                self._fail(call, "glare")
        if not self._has_room():
            raise CallError("too many calls at once")
        call = Call(offer, target, True, Phase.SENDING, NEVER, seal=seal)
        call.outgoing = Transfer(Kind.OFFER, call.rtt, split(blob))
        self.calls[offer] = call
        return offer

    def answer(self, now: float, offer: bytes, blob: bytes) -> None:
        """Answer an offer. The outcome comes as ``delivered`` or ``failed``."""
        if not 1 <= len(blob) <= BLOB_MAX:
            raise CallError("an answer has 1 to 65536 bytes")
        self._answer(now, offer, blob)

    def decline(self, now: float, offer: bytes) -> None:
        """Decline an offer: an ANSWER that is empty, or sealed and empty in it (section 6)."""
        self._answer(now, offer, b"")

    def candidate(self, now: float, offer: bytes, data: bytes) -> int:
        """Send one candidate and return its number. It waits until OFFER or ANSWER is acknowledged (section 7)."""
        call = self._call(offer)
        if not 1 <= len(data) <= FRAGMENT:
            raise CallError("a candidate has 1 to 1024 bytes")
        if call.outgoing is None or call.declined:
            raise CallError("there is no answer, or the call was declined")
        if call.candidates is None:
            call.candidates = Transfer(Kind.CANDIDATE, call.rtt, [])
        index = len(call.candidates.pieces)
        if index >= FRAGMENTS_MAX:
            raise CallError("a call has 64 candidates for each direction")
        data = self._sealed(call.seal, Kind.CANDIDATE, index, data)
        call.candidates.add(Piece(digest_of(data), len(data), index, data))
        return index

    def punch(self, now: float, offer: bytes) -> None:
        """Punch a hole (section 8). The outcome comes as ``path`` or ``punch_failed``, at both peers.

        Before the answer the server refuses PUNCH, so it waits for that.
        """
        call = self._call(offer)
        if call.punch.path is None and not call.punch.wanted:
            call.punch.wanted = True
            self._start_punch(now, call)

    def punching_until(self) -> float:
        """When the last of the punches under way will have failed, if no path is proved before; -NEVER without one."""
        return max((call.punch.until for call in self.calls.values() if call.punch.until != NEVER), default=-NEVER)

    def events(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    # ---- clock -----------------------------------------------------------------------------------

    def poll(self, now: float) -> list[tuple[bytes, Address]]:
        """Run what is due and return the datagrams to send, in order."""
        self._poll_registration(now)
        for call in list(self.calls.values()):
            self._poll_call(now, call)
        self._poll_finished(now)
        out, self._out = self._out, []
        return out

    def next_timeout(self) -> float:
        """When ``poll`` must be called next at the latest. May lie in the past; NEVER if nothing is to be done."""
        times = [self._register_at, self._request_at]
        for call in self.calls.values():
            times += [call.ends_at, call.punch.probe_at, call.punch.until]
            if self.state != State.REGISTERED:
                continue
            times += [call.punch.request_at, max(call.candidates_ack_at, call.ack_hold)]
            if call.incoming is not None:
                times.append(max(call.incoming.ack_at, call.ack_hold))
            if call.outgoing is not None:
                times.append(call.outgoing.deadline())
                if call.outgoing.complete:
                    times += [call.ring_at, call.show_at]
                    if call.candidates is not None:
                        times.append(call.candidates.deadline())
        if self.state == State.REGISTERED:
            times += self._finished_acks.values()
        return min(times)

    def _poll_registration(self, now: float) -> None:
        if self.state in (State.ASKING, State.PROVING) and now >= self._register_at:
            self._send_register(now)
        elif self.state == State.REGISTERED and now >= self._request_at:
            self._send_keepalive(now)
        elif self.state == State.LEAVING and now >= self._request_at:
            if self._request_tries == TRIES:
                self._left()
                return
            self._send(Kind.UNREGISTER, session=self.session, transaction=self._request_transaction)
            self._request_sent(now)

    def _poll_call(self, now: float, call: Call) -> None:
        if now >= call.ends_at:
            self._end(call)
            return
        self._poll_probes(now, call)
        if self.state != State.REGISTERED:
            return  # whatever is sent now would only be challenged
        if call.incoming is not None and now >= max(call.incoming.ack_at, call.ack_hold):
            kind = Kind.ANSWER if call.caller else Kind.OFFER
            self._send(Kind.ACK, session=self.session, offer=call.offer, kind=kind, bitmap=call.incoming.bitmap)
            call.incoming.acknowledged(now)
        if now >= max(call.candidates_ack_at, call.ack_hold):
            self._send(Kind.ACK, session=self.session, offer=call.offer, kind=Kind.CANDIDATE,
                       bitmap=call.candidates_seen)
            call.candidates_ack_at = NEVER
        if call.outgoing is not None:
            self._poll_transfers(now, call)
        if now >= call.punch.request_at:
            self._send(Kind.PUNCH, session=self.session, offer=call.offer)
            call.punch.request_at = now + PUNCH_INTERVAL

    def _poll_transfers(self, now: float, call: Call) -> None:
        assert call.outgoing is not None
        if call.ends_at == NEVER:  # a caller's timer starts with its first fragment (section 6)
            if call.outgoing.pieces[0].length > self.maxblob:
                self._fail(call, "blob_too_large")
                return
            call.ends_at = now + self.timeout + OFFER_MARGIN
        self._send_pieces(call, call.outgoing.kind, call.outgoing.due(now))
        if now >= call.ring_until:
            call.ring_at = NEVER
        if now >= call.ring_at:
            self._send_pieces(call, Kind.OFFER, call.outgoing.pieces[-1:])
            call.ring_at = now + OFFER_REPEAT
        if now >= call.show_at:
            self._send_pieces(call, call.outgoing.kind, call.outgoing.pieces[-1:])
            call.show_at = NEVER
        if call.candidates is not None and call.outgoing.complete:
            self._send_pieces(call, Kind.CANDIDATE, call.candidates.due(now))

    def _poll_probes(self, now: float, call: Call) -> None:
        punch = call.punch
        if now >= punch.until and punch.proved:
            # The path holds, though the caller's choice was lost.
            source = punch.nominated if punch.nominated in punch.proved else min(punch.proved)
            self._take_path(call, source, punch.proved[source])
        elif now >= punch.until:
            self._fail_punch(call, "no_path")
        elif now >= punch.probe_at:
            target = punch.nominated or punch.peer
            assert target is not None
            self._probe(call, target)
            punch.probe_at = now + PROBE_INTERVAL

    def _poll_finished(self, now: float) -> None:
        """Acknowledge repeats of finished calls, in full (section 6, Duplicates)."""
        if self.state != State.REGISTERED:
            return
        for offer in [offer for offer, at in self._finished_acks.items() if now >= at]:
            del self._finished_acks[offer]
            done = self.finished[offer]
            self._send(Kind.ACK, session=self.session, offer=offer, kind=done.kind,
                       bitmap=(1 << fragment_count(done.length)) - 1)

    # ---- registration (section 5) ----------------------------------------------------------------

    def _ask(self, now: float) -> None:
        self.state = State.ASKING
        self._challenges = 0
        self._request_at = NEVER
        self._new_register(now)

    def _new_register(self, now: float) -> None:
        """A REGISTER with a new transaction is due at once."""
        self._register_transaction = self._token16()
        self._register_rto = RTO_INITIAL
        self._register_at = now

    def _send_register(self, now: float) -> None:
        if now >= self._cookie_until:  # the server may have changed its mind about it, or its address
            self._cookie = ZERO16
        signature = bytes(64)
        if self.keys is not None and self._cookie != ZERO16:
            signature = self.keys.sign_register(self._cookie, self._cookie_observed, self.server_name)
        self._send(Kind.REGISTER, session=self.session, transaction=self._register_transaction,
                   identifier=self.identifier, cookie=self._cookie, ticket=self._ticket, server=self.server_name,
                   signature=signature)
        self._register_at = now + self._jitter(self._register_rto)
        self._register_rto = min(REGISTER_RTO_MAX, self._register_rto * 2)

    def _on_challenge(self, now: float, frame: Frame) -> None:
        reference = frame["reference"]
        if self.state == State.LEAVING:
            if reference == self._request_transaction:
                self._left()  # the session has ended, or will lapse by itself
            return
        if self.state == State.REGISTERED:
            # The session is not known any more, or not at this address.
            if not (self._is_request(reference) or reference in self.calls or reference in self.finished):
                return
            self._challenges = 0
            self._request_at = NEVER
        elif not self._is_register(reference):
            return  # of a train that was challenged frame by frame; one REGISTER is under way for all of them
        self.state = State.PROVING
        self._cookie = frame["cookie"]
        self._cookie_observed = frame["observed"]
        self._cookie_until = now + COOKIE_LIFETIME / 2
        self._challenges += 1
        if self._challenges <= CHALLENGES_AT_ONCE:
            self._new_register(now)

    def _is_register(self, transaction: bytes) -> bool:
        """Whether this is the outstanding REGISTER."""
        return self.state in (State.ASKING, State.PROVING) and transaction == self._register_transaction

    def _is_request(self, transaction: bytes) -> bool:
        """Whether this is the outstanding KEEPALIVE or UNREGISTER."""
        return self._request_tries > 0 and transaction == self._request_transaction

    def _on_registered(self, now: float, frame: Frame) -> None:
        if not self._is_register(frame["transaction"]):
            return
        changed = frame["session"] != self.session
        self.state = State.REGISTERED
        self.session = frame["session"]
        if frame["ticket"] != self._ticket:
            self._ticket, self._ticket_at = frame["ticket"], now
        self.ttl, self.timeout, self.maxblob = frame["ttl"], frame["timeout"], frame["maxblob"]
        self._register_at = NEVER
        self._schedule_keepalive(now)
        self.observed = frame["observed"]
        self._emit("registered", observed=self.observed, session_changed=changed, ttl=self.ttl, timeout=self.timeout,
                   maxblob=self.maxblob)
        for call in self.calls.values():
            self._repeat_unacknowledged(now, call)

    def _repeat_unacknowledged(self, now: float, call: Call) -> None:
        """After a new registration: what was under way was lost at the server (section 5)."""
        if call.outgoing is not None and not call.outgoing.complete:
            call.outgoing.resend()
        self._show(now, call)
        if call.candidates is not None:
            call.candidates.resend()
        if call.incoming is not None and call.incoming.blob is None and call.incoming.bitmap:
            call.incoming.ack_at = now
        if call.punch.request_at != NEVER:
            call.punch.request_at = now

    @staticmethod
    def _show(at: float, call: Call) -> None:
        """The last fragment is due once more: a restarted server does not know of the OFFER, or of its ANSWER (section 6)."""
        if call.ring_at != NEVER:
            call.ring_at = at
        elif call.outgoing is not None and call.outgoing.complete and not call.declined:
            call.show_at = at

    def _schedule_keepalive(self, now: float) -> None:
        self._request_tries = 0
        self._request_rto = RTO_INITIAL
        self._request_transaction = ZERO16
        self._request_at = now + self._jitter(min(KEEPALIVE_INTERVAL, self.ttl / 3))

    def _send_keepalive(self, now: float) -> None:
        if self._request_tries == KEEPALIVES_MAX:
            self._emit("silent")
            self._ask(now)
            self._send_register(now)
            return
        if self._request_tries == 0:
            if self._ticket != ZERO16 and now - self._ticket_at > TICKET_LIFETIME / 2:
                self._ask(now)  # a renewal, for a new ticket (section 5, Tickets)
                self._send_register(now)
                return
            self._request_transaction = self._token16()
        self._send(Kind.KEEPALIVE, session=self.session, transaction=self._request_transaction,
                   observed=self.observed)
        self._request_sent(now)

    def _request_sent(self, now: float) -> None:
        self._request_tries += 1
        self._request_at = now + self._request_rto
        self._request_rto = min(RTO_MAX, self._request_rto * 2)

    def _on_keepalive_reply(self, now: float, frame: Frame) -> None:
        if self.state != State.REGISTERED or not self._is_request(frame["transaction"]):
            return
        if frame["observed"] != self.observed:
            self.observed = frame["observed"]
            self._emit("address", observed=self.observed)
        self._schedule_keepalive(now)

    def _on_unregistered(self, now: float, frame: Frame) -> None:
        if self.state == State.LEAVING and self._is_request(frame["transaction"]):
            self._left()

    def _left(self) -> None:
        self.state = State.UNREGISTERED
        self.session = ZERO16
        self._register_at = self._request_at = NEVER
        self._request_tries = 0
        self._emit("unregistered")

    # ---- calls (section 6) -----------------------------------------------------------------------

    def _call(self, offer: bytes) -> Call:
        if offer not in self.calls:
            raise CallError("no such call")
        return self.calls[offer]

    def _answer(self, now: float, offer: bytes, payload: bytes) -> None:
        call = self._call(offer)
        if call.phase != Phase.PRESENTED:
            raise CallError("this offer does not wait for an answer")
        blob = self._sealed(call.seal, Kind.ANSWER, 0, payload)
        if len(blob) > self.maxblob:
            raise CallError("the server relays no blob of this length")
        call.phase = Phase.ANSWERING
        call.declined = not payload
        call.outgoing = Transfer(Kind.ANSWER, call.rtt, split(blob))
        call.ends_at = now + self.timeout + OFFER_MARGIN

    @staticmethod
    def _sealed(seal: Optional[CallSeal], kind: Kind, number: int, payload: bytes) -> bytes:
        """The blob for a payload: sealed, or as it is where a peer is plain."""
        try:
            return payload if seal is None else seal.seal(kind, number, payload)
        except SealError as error:
            raise CallError(f"this {kind.name} cannot be sealed: {error.name}") from None

    def _on_blob(self, now: float, frame: Frame) -> None:
        """RELAYED_OFFER and RELAYED_ANSWER."""
        offer, source = frame["offer"], frame["source"]
        call = self.calls.get(offer)
        if call is None:
            if offer in self.finished:
                self._repeat_of_finished(now, frame)
            elif frame.kind == Kind.RELAYED_OFFER:
                call = self._new_incoming(now, frame)
        if call is None or source != call.peer:
            return
        if frame.kind != (Kind.RELAYED_ANSWER if call.caller else Kind.RELAYED_OFFER):
            return
        if call.incoming is None:
            self._on_first_answer_fragment(now, call, frame)
        assert call.incoming is not None
        if not call.incoming.fits(frame):
            return
        if call.caller or call.incoming.blob is None:  # a repeated OFFER is only ringing
            self.last_heard = now
        if not call.incoming.add(now, frame):
            return
        if call.incoming.damaged:
            self._store(offer, Finished(source, None, b"", 0))
            self._fail(call, "damaged")
        elif call.caller:
            self._on_answer(now, call, frame["observed"])
        else:
            self._on_offer(now, call, frame["observed"])

    def _on_offer(self, now: float, call: Call, observed: Optional[Address]) -> None:
        """The OFFER is complete: it is presented, or refused if it does not open (section 13)."""
        assert call.incoming is not None and call.incoming.blob is not None
        self._remember(call)
        payload = call.incoming.blob
        if self.keys is not None and not is_plain(call.peer):
            try:
                payload, call.seal = self.keys.take_offer(call.peer, call.offer, payload)
            except SealError as error:
                self._drop(call)
                self._finished_acks[call.offer] = max(now, call.ack_hold)
                self._refuse(call, Kind.OFFER, error)
                return
        call.phase = Phase.PRESENTED
        call.ends_at = now + self.timeout + OFFER_MARGIN
        self._emit("offered", offer=call.offer, source=call.peer, observed=observed, blob=payload,
                   sealed=call.seal is not None)

    def _refuse(self, call: Call, kind: Kind, error: SealError) -> None:
        self._emit("refused", offer=call.offer, source=call.peer, kind=kind.name, reason=error.name)

    def _on_first_answer_fragment(self, now: float, call: Call, frame: Frame) -> None:
        assert call.outgoing is not None
        if not call.outgoing.complete:  # who answers has the whole offer
            call.outgoing.acknowledge_all()
            call.ring_at = now + OFFER_REPEAT
        call.phase = Phase.RECEIVING
        call.incoming = Reassembly(frame)
        call.declined = not call.incoming.length and call.seal is None
        call.ends_at = now + self.timeout + OFFER_MARGIN

    def _on_answer(self, now: float, call: Call, observed: Optional[Address]) -> None:
        """The ANSWER is complete. Ringing and acknowledging go on for a while, also if it declines."""
        assert call.incoming is not None and call.incoming.blob is not None
        payload = call.incoming.blob
        if call.seal is not None:
            try:
                payload = call.seal.open(Kind.ANSWER, 0, payload)
            except SealError as error:  # not acknowledged (section 13)
                self._store(call.offer, Finished(call.peer, None, b"", 0))
                self._fail(call, error.name)
                return
        self._remember(call)
        self._forget_ignored(call)
        call.phase = Phase.SETTLED
        call.ring_until = now + OFFER_LINGER
        call.ends_at = now + max(self.timeout + OFFER_MARGIN, OFFER_LINGER)
        if payload:
            self._emit("answered", offer=call.offer, observed=observed, blob=payload, sealed=call.seal is not None)
            self._start_punch(now, call)
        else:
            call.declined = True
            call.candidates = None
            call.punch.stop()
            self._emit("failed", offer=call.offer, reason="declined")

    def _new_incoming(self, now: float, frame: Frame) -> Optional[Call]:
        """A call for the first fragment of a new offer, or None if it is to be ignored."""
        source, offer = frame["source"], frame["offer"]
        if any(offer in ignored for ignored in self._glare.values()):
            return None
        for own in list(self.calls.values()):
            if own.peer == source and own.unanswered_by_peer:  # Glare
                if self.identifier > source:
                    ignored = self._glare.setdefault(own.offer, set())
                    if len(ignored) < REASSEMBLIES_MAX:
                        ignored.add(offer)
                    return None
                self._fail(own, "glare")
        waiting = [call for call in self.calls.values() if not call.caller and call.phase == Phase.RECEIVING]
        from_source = sum(call.peer == source for call in waiting)
        if len(waiting) >= REASSEMBLIES_MAX or from_source >= REASSEMBLIES_PER_PEER or not self._has_room():
            return None
        call = Call(offer, source, False, Phase.RECEIVING, now + self.timeout + OFFER_MARGIN)
        call.incoming = Reassembly(frame)
        self.calls[offer] = call
        return call

    def _has_room(self) -> bool:
        """Whether one more call may begin; for it the oldest settled one is retired early."""
        if len(self.calls) >= CALLS_MAX:
            settled = next((call for call in self.calls.values() if call.phase == Phase.SETTLED), None)
            if settled is not None:
                self._end(settled)
        return len(self.calls) < CALLS_MAX

    def _repeat_of_finished(self, now: float, frame: Frame) -> None:
        """A repeat of a finished call's blob is acknowledged, nothing else (section 6, Duplicates)."""
        offer = frame["offer"]
        if (frame["source"], frame.kind & 0x7F, frame["digest"], frame["length"]) == self.finished[offer]:
            self._finished_acks.setdefault(offer, now + ACK_DELAY)

    def _on_candidate(self, now: float, frame: Frame) -> None:
        call = self.calls.get(frame["offer"])
        if call is None or frame["source"] != call.peer or call.declined:
            return
        if call.incoming is None or call.incoming.blob is None or digest_of(frame.blob) != frame["digest"]:
            return
        index, payload = frame["index"], frame.blob
        bit = 1 << index
        news = not call.candidates_seen & bit
        if news and call.seal is not None:
            try:
                payload = call.seal.open(Kind.CANDIDATE, index, payload)
            except SealError as error:  # its number stays free for the true one (section 13)
                self._refuse(call, Kind.CANDIDATE, error)
                return
        self.last_heard = now
        call.candidates_ack_at = min(call.candidates_ack_at, now + ACK_DELAY)
        if news:
            call.candidates_seen |= bit
            # The other peer's own addresses, and how its NAT maps (section 8): this client uses neither.
            if not payload.startswith(OWN_MARK):
                self._emit("candidate", offer=call.offer, index=index, blob=payload)

    def _on_ack(self, now: float, frame: Frame) -> None:
        call = self.calls.get(frame["offer"])
        if call is None:
            return
        for transfer in (call.outgoing, call.candidates):
            if transfer is None or transfer.kind != frame["kind"] or transfer.complete:
                continue
            transfer.acknowledge(now, frame["bitmap"])
            if transfer.complete:
                self._on_delivered(now, call, transfer)
        if not call.caller:
            self._start_punch(now, call)

    def _on_delivered(self, now: float, call: Call, transfer: Transfer) -> None:
        """A transfer has been acknowledged in full."""
        if transfer is call.candidates:
            self._emit("candidates_delivered", offer=call.offer)
        elif call.caller:
            call.phase = Phase.RINGING
            call.ring_at = now + OFFER_REPEAT
            self._emit("ringing", offer=call.offer)
        else:
            call.phase = Phase.SETTLED
            self._emit("delivered", offer=call.offer)

    def _end(self, call: Call) -> None:
        """The call's own timer has run out."""
        if call.phase != Phase.SETTLED:
            self._fail(call, "own_timer")
            return
        if call.candidates is not None and not call.candidates.complete:
            self._emit("candidates_failed", offer=call.offer, reason="own_timer")
        self._drop(call)

    def _fail(self, call: Call, reason: str, **more: Any) -> None:
        """End a call without success. The application hears of it, unless it is an offer not yet presented."""
        self._drop(call)
        if call.caller or call.phase != Phase.RECEIVING:
            self._emit("failed", offer=call.offer, reason=reason, **more)

    def _drop(self, call: Call) -> None:
        del self.calls[call.offer]
        if call.punch.path is not None:
            self.paths[call.offer] = call, self.last_heard + CONSENT_TIME
        self._glare.pop(call.offer, None)  # what was ignored in favour of a failed offer may be taken up

    def _forget_ignored(self, call: Call) -> None:
        """The smaller peer has dropped its offers when it answered this one: late repeats must not ring (Glare)."""
        for offer in self._glare.pop(call.offer, ()):
            self._store(offer, Finished(call.peer, None, b"", 0))

    def _remember(self, call: Call) -> None:
        assert call.incoming is not None
        kind = Kind.ANSWER if call.caller else Kind.OFFER
        self._store(call.offer, Finished(call.peer, kind, call.incoming.digest, call.incoming.length))

    def _store(self, offer: bytes, done: Finished) -> None:
        self.finished[offer] = done
        while len(self.finished) > FINISHED_MAX:
            oldest, _ = self.finished.popitem(last=False)
            self._finished_acks.pop(oldest, None)

    # ---- hole punching (section 8) ---------------------------------------------------------------

    def _start_punch(self, now: float, call: Call) -> None:
        """Send PUNCH if the application wants it and the server can allow it."""
        punch = call.punch
        if punch.wanted and punch.request_at == NEVER and punch.path is None and call.may_punch:
            punch.request_at = now
            if punch.until == NEVER:
                punch.until = now + PROBE_TIME
                punch.peer = None

    def _on_punch_now(self, now: float, frame: Frame) -> None:
        call = self.calls.get(frame["offer"])
        if call is None or not call.answered:
            return
        punch = call.punch
        if (punch.token, punch.peer) == (frame["token"], frame["peer"]):
            return  # a repeat: it starts nothing anew
        self.last_heard = now
        if not call.caller and call.phase == Phase.ANSWERING and call.outgoing is not None:
            # Only a caller that has the whole ANSWER asks, so this stands for its acknowledgement.
            call.outgoing.acknowledge(now, (1 << len(call.outgoing.pieces)) - 1)
            if call.outgoing.complete:
                self._on_delivered(now, call, call.outgoing)
        punch.token, punch.peer, punch.path = frame["token"], frame["peer"], None
        caller, callee = (self.identifier, call.peer) if call.caller else (call.peer, self.identifier)
        secret = bytes(32) if call.seal is None else call.seal.probe_secret
        punch.key = probe_key(secret, call.offer, caller, callee, punch.token)
        punch.nominated = None
        punch.proved.clear()
        if punch.peer is None or punch.peer.version not in self.families:
            self._fail_punch(call, "no_address")
            return
        punch.probe_at = now
        punch.until = now + PROBE_TIME if punch.until == NEVER else max(punch.until, now + PROBE_TIME_MIN)

    def _fail_punch(self, call: Call, reason: str) -> None:
        call.punch.stop()
        self._emit("punch_failed", offer=call.offer, reason=reason)

    def _probe(self, call: Call, address: Address) -> None:
        transaction = self._token16()
        call.punch.transactions.add(transaction)
        nominate = int(call.caller and call.punch.nominated is not None)
        if nominate:
            call.punch.nominations.add(transaction)
        self._send_tagged(address, call, Kind.PROBE, transaction=transaction, nominate=nominate)

    def _send_tagged(self, address: Address, call: Call, kind: Kind, **fields: Any) -> None:
        assert call.punch.key is not None
        untagged = encode(kind, offer=call.offer, tag=ZERO16, **fields)
        tag = probe_tag(call.punch.key, ROLES[call.caller], untagged)
        self._send_to(address, kind, offer=call.offer, tag=tag, **fields)

    def _on_peer_frame(self, now: float, frame: Frame, source: Address) -> None:
        """PROBE and PROBE_REPLY, from whatever address."""
        call = self.calls.get(frame["offer"])
        self.paths = {offer: (path, until) for offer, (path, until) in self.paths.items() if now < until}
        if call is None and frame["offer"] in self.paths:
            call = self.paths[frame["offer"]][0]
        if call is None or call.punch.key is None:
            return
        punch = call.punch
        untagged = encode(frame.kind, **{**frame.fields, "tag": ZERO16})
        if not hmac.compare_digest(frame["tag"], probe_tag(call.punch.key, ROLES[not call.caller], untagged)):
            return
        if frame.kind == Kind.PROBE and punch.seen.setdefault(frame["transaction"], source) != source:
            return  # somebody shows elsewhere what he has read
        punch.request_at = NEVER  # the other peer has started: its PUNCH_NOW has come
        if frame.kind == Kind.PROBE:
            self.last_heard = now
            if call.offer in self.paths:
                self.paths[call.offer] = call, now + CONSENT_TIME
            self._send_tagged(source, call, Kind.PROBE_REPLY, transaction=frame["transaction"], observed=source)
            if punch.probe_at == NEVER:
                return
            if frame["nominate"] and not call.caller:
                punch.nominated = source
                if source in punch.proved:
                    self._take_path(call, source, punch.proved[source])
                    return
            if source not in (punch.peer, punch.nominated) and source not in punch.proved:
                self._probe(call, source)  # one PROBE for each that comes, so that nobody is flooded
        elif frame["transaction"] in punch.transactions:
            punch.proved[source] = frame["observed"]
            if call.caller and punch.nominated is None:
                punch.nominated, punch.probe_at = source, now
            elif punch.nominated == source and (not call.caller or frame["transaction"] in punch.nominations):
                self._take_path(call, source, frame["observed"])

    def _take_path(self, call: Call, source: Address, observed: Optional[Address]) -> None:
        call.punch.stop()
        call.punch.path = source
        self._emit("path", offer=call.offer, address=source, observed=observed)

    # ---- errors (sections 6 and 9) ---------------------------------------------------------------

    def _on_error(self, now: float, frame: Frame) -> None:
        """An ERROR does to each kind of frame what its row of the table in section 6 says."""
        reference, retry_after = frame["reference"], frame["retry_after"]
        reason = code_name(frame["code"])
        if frame["code"] == Code.VERSION:
            # Bytes 20..36 of a PING are not its transaction but zero.
            of_ping = frame["kind"] == Kind.PING and reference == ZERO16 and bool(self._pings)
            if of_ping or self._is_register(reference) or self._is_request(reference) or reference in self.calls:
                self._emit("version", version=frame["detail"])
        elif self._is_register(reference):
            self._on_register_error(now, frame, reason)
        elif self._is_request(reference):
            if retry_after:
                self._request_at = now + retry_after
            elif self.state == State.LEAVING:
                self._left()
            else:
                self._ask(now)
        elif reference in self.calls:
            self._on_call_error(now, self.calls[reference], frame, reason)

    def _on_register_error(self, now: float, frame: Frame, reason: str) -> None:
        if frame["retry_after"]:
            self._challenges = 0
            self._register_at = now + frame["retry_after"]
            self._emit("registration_delayed", reason=reason, retry_after=frame["retry_after"])
            return
        self.state = State.FAILED
        self._register_at = NEVER
        self._emit("registration_failed", reason=reason, code=frame["code"], detail=frame["detail"])
        for call in list(self.calls.values()):
            self._fail(call, "registration_failed")

    def _on_call_error(self, now: float, call: Call, frame: Frame, reason: str) -> None:
        kind, retry_after = frame["kind"], frame["retry_after"]
        if frame["code"] == Code.OFFER_UNKNOWN and retry_after and call.caller:
            self._show(now, call)
        if kind in (Kind.OFFER, Kind.ANSWER):
            transfer = call.outgoing
            if transfer is None or transfer.kind != kind:
                return
            if not retry_after:
                if not (call.phase == Phase.SETTLED or call.caller and call.incoming is not None):
                    self._fail(call, reason, code=frame["code"], detail=frame["detail"])
            elif not transfer.complete:
                transfer.hold(now, retry_after)
                if frame["code"] == Code.RATE_LIMITED:
                    transfer.slow_down(now)
            else:
                self._show(now + retry_after, call)
        elif kind == Kind.CANDIDATE and call.candidates is not None:
            if retry_after:
                call.candidates.hold(now, retry_after)
            else:
                call.candidates = None
                self._emit("candidates_failed", offer=call.offer, reason=reason)
        elif kind == Kind.ACK:
            if retry_after:
                # It does not say which kind of ACK; what arrives meanwhile is acknowledged after it, too.
                call.ack_hold = max(call.ack_hold, now + retry_after)
                if call.incoming is not None and call.incoming.blob is None:
                    call.incoming.ack_at = call.ack_hold
            elif not call.caller and call.phase in (Phase.RECEIVING, Phase.PRESENTED):
                self._fail(call, reason, code=frame["code"], detail=frame["detail"])
            else:
                call.candidates_ack_at = NEVER
                if call.incoming is not None:
                    call.incoming.ack_at = NEVER
        elif kind == Kind.PUNCH and call.punch.request_at != NEVER:
            if retry_after:
                call.punch.request_at = now + retry_after
            elif call.punch.probe_at != NEVER:  # the PUNCH_NOW has come
                call.punch.request_at = NEVER
            else:
                self._fail_punch(call, reason)

    # ---- datagrams -------------------------------------------------------------------------------

    def handle_datagram(self, now: float, data: bytes, source: Address) -> None:
        """Take one datagram. Whatever is not acceptable is ignored (sections 2 and 5)."""
        try:
            frame = decode(data)
        except DecodeError as error:
            if error.name != "bad_version" or data[3] != Kind.ERROR or source != self.server:
                return
            # ERROR has this layout in all versions, and an ERROR of code VERSION comes in the server's (section 6).
            try:
                frame = decode(MAGIC + bytes([VERSION]) + data[3:])
            except DecodeError:
                return
            if frame["code"] != Code.VERSION:
                return
        if source != self.server:
            if frame.kind in (Kind.PROBE, Kind.PROBE_REPLY):
                self._on_peer_frame(now, frame, source)
            return
        if not frame.kind & 0x80:
            return
        if "session" in frame.fields and frame.kind != Kind.REGISTERED:
            if self.session == ZERO16 or not hmac.compare_digest(frame["session"], self.session):
                return
        handler = {
            Kind.PONG: self._on_pong,
            Kind.REGISTERED: self._on_registered,
            Kind.CHALLENGE: self._on_challenge,
            Kind.KEEPALIVE_REPLY: self._on_keepalive_reply,
            Kind.UNREGISTERED: self._on_unregistered,
            Kind.RELAYED_OFFER: self._on_blob,
            Kind.RELAYED_ANSWER: self._on_blob,
            Kind.RELAYED_CANDIDATE: self._on_candidate,
            Kind.RELAYED_ACK: self._on_ack,
            Kind.PUNCH_NOW: self._on_punch_now,
            Kind.ERROR: self._on_error,
        }[frame.kind]
        handler(now, frame)

    def _on_pong(self, now: float, frame: Frame) -> None:
        sent = self._pings.pop(frame["transaction"], None)
        if sent is not None:
            self._emit("pong", observed=frame["observed"], rtt=now - sent)

    # ---- small things ----------------------------------------------------------------------------

    def _send_pieces(self, call: Call, kind: Kind, pieces: list[Piece]) -> None:
        for piece in pieces:
            self._send(kind, piece.data, session=self.session, offer=call.offer, target=call.peer,
                       digest=piece.digest, length=piece.length, index=piece.index)

    def _send(self, kind: Kind, blob: bytes = b"", /, **fields: Any) -> None:
        self._send_to(self.server, kind, blob, **fields)

    def _send_to(self, address: Address, kind: Kind, blob: bytes = b"", /, **fields: Any) -> None:
        self._out.append((encode(kind, blob, **fields), address))

    def _emit(self, name: str, /, **fields: Any) -> None:
        self._events.append(Event(name, fields))

    def _token16(self) -> bytes:
        return self._random.getrandbits(128).to_bytes(16, "big")

    def _jitter(self, delay: float) -> float:
        return delay * self._random.uniform(0.9, 1.1)


# --------------------------------------------------------------------------------------------------
# 4. A socket
# --------------------------------------------------------------------------------------------------


def now_ms() -> float:
    return time.monotonic() * 1000


class UdpClient:
    """A ``Client`` on a UDP socket of the server's IP version. Everything happens in ``step``; there are no threads.

    ``drop`` is the share (0..1) of datagrams that are thrown away in each direction, to try out loss. ``capture`` gets
    every datagram that the socket sends or receives: a line of ``>`` or ``<``, a space and the bytes in hexadecimal.
    """

    def __init__(self, peer: Union[bytes, Keys], host: str, port: int, drop: float = 0.0, seed: Optional[int] = None,
                 capture: Optional[BinaryIO] = None):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._family: socket.AddressFamily = found[0]
        self._drop = drop
        self._dropper = random.Random(seed)
        self._capture = capture
        server = self._address(found[4])
        self.core = Client(peer, server, families=frozenset({server.version}))
        self.socket = self._open()

    def step(self, wait: float) -> list[Event]:
        """Run for at most ``wait`` milliseconds, 0 to do only what is due, and return as soon as there are events."""
        until = now_ms() + wait
        while True:
            self._receive()
            self._flush()
            events = self.core.events()
            now = now_ms()
            if events or now >= until:
                return events
            timeout = max(0.0, min(until, self.core.next_timeout()) - now) / 1000
            select.select([self.socket], [], [], timeout)

    def rebind(self) -> None:
        """Go on from a new port, as after a change of network. The server finds out by itself (section 5)."""
        old, self.socket = self.socket, self._open()  # in this order, so that the port is another one
        old.close()

    def close(self) -> None:
        """Close the socket. To end the registration first, call ``core.unregister`` and await ``unregistered``."""
        self.socket.close()

    def _open(self) -> socket.socket:
        opened = socket.socket(self._family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind(("", 0))
        return opened

    def _flush(self) -> None:
        for data, address in self.core.poll(now_ms()):
            if self._drop and self._dropper.random() < self._drop:
                continue
            self._record(b">", data)
            try:
                self.socket.sendto(data, tuple(address))
            except OSError:
                pass  # as good as lost: no route, full buffer; timers repeat what matters

    def _receive(self) -> None:
        for _ in range(FRAGMENTS_MAX):  # then the timers have their turn
            try:
                data, address = self.socket.recvfrom(2 * DATAGRAM_MAX)
            except OSError:
                return
            self._record(b"<", data)
            if self._drop and self._dropper.random() < self._drop:
                continue
            self.core.handle_datagram(now_ms(), data, self._address(address))
            self._flush()  # what is due at once must not wait for the rest of a train

    def _record(self, direction: bytes, data: bytes) -> None:
        if self._capture is not None:
            self._capture.write(direction + b" " + data.hex().encode() + b"\n")

    @staticmethod
    def _address(address: tuple[Any, ...]) -> Address:
        """An address of the socket module, IPv4 also where a dual-stack socket shows it mapped (section 3)."""
        ip = ipaddress.ip_address(address[0].partition("%")[0])
        return Address(str(getattr(ip, "ipv4_mapped", None) or ip), address[1])
