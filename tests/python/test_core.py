"""Tests of roundtable.py without sockets: a simulated clock, a lossy network, and a small relay server.

    python3 tests/python/test_core.py

The server here is test code: just enough of sections 5, 6 and 8 to debug a client against.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import io
import itertools
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any, Callable, Optional
from unittest import mock

import client
import roundtable as rt
from roundtable import Address, Client, Code, Event, Kind

SERVER = Address("198.51.100.1", 3478)
PROXY = Address("203.0.113.9", 4000)
SPEC = Path(__file__).resolve().parents[2] / "proto" / "SPEC.md"
#: Constants of section 10 that test_sealing.py and test_peer_address.py check.
NOT_HERE = {"OFFER_WINDOW", "OFFERS_REMEMBERED", "OFFERS_PER_SENDER", "PEER_ADDRESS_MAX", "SERVERS_MAX", "SERVER_PORT",
            "OPENING_TIME", "OPENING_MARGIN", "OPENING_HOPS", "HOSTS_MAX", "CHECKS_MAX", "CHECK_APART", "HOST_INTERVAL",
            "HOST_PROBES", "NOMINATE_WAIT", "OPENING_HOPS_NEAR", "OPENING_HOPS_FAR", "FRESH_PORT_TIME",
            "CONSENT_INTERVAL",  # this client names no addresses of its own, tries none, and keeps no path
            "PROVED_FOR", "FLOW_TTL", "WAYS_SPARE"}  # of a server alone


class FakeServer:
    """A minimal relay. ``restart`` forgets everything, as a restarted process would."""

    def __init__(self, net: "Net", rng: random.Random):
        self.net, self.rng = net, rng
        self.timeout, self.ttl, self.maxblob = 30_000, 60_000, rt.BLOB_MAX
        self.refuse: dict[Kind, tuple[Code, int]] = {}  # kind -> ERROR to give once
        self.log: list[rt.Frame] = []
        self.restart(-1e9)

    def restart(self, now: float) -> None:
        self.started = now
        self.secret = self.rng.randbytes(16)
        self.sessions: dict[bytes, list] = {}  # session -> [identifier, address, last seen]
        self.offers: dict[bytes, list] = {}  # offer -> [caller, callee, ends, answered, token, caller address]

    def cookie(self, source: Address) -> bytes:
        return rt.hashlib.sha256(self.secret + str(source).encode()).digest()[:16]

    def send(self, to: Address, kind: Kind, blob: bytes = b"", /, **fields) -> None:
        self.net.send(SERVER, to, rt.encode(kind, blob, **fields))

    def session_of(self, identifier: bytes) -> Optional[bytes]:
        return next((s for s, entry in self.sessions.items() if entry[0] == identifier), None)

    def error(self, to: Address, frame: rt.Frame, code: Code, retry_after: int = 0) -> None:
        reference = frame.fields.get("offer") or frame["transaction"]
        self.send(to, Kind.ERROR, reference=reference, code=code, kind=frame.kind, detail=0, retry_after=retry_after)

    def tick(self, now: float) -> None:
        for session, entry in list(self.sessions.items()):
            if now - entry[2] > self.ttl:
                del self.sessions[session]
        for offer, entry in list(self.offers.items()):
            if now >= entry[2]:
                del self.offers[offer]
                if not entry[3]:
                    self.send(entry[5], Kind.ERROR, reference=offer, code=Code.TIMEOUT, kind=Kind.OFFER, detail=0,
                              retry_after=0)

    def handle(self, now: float, data: bytes, source: Address) -> None:
        frame = rt.decode(data)
        self.log.append(frame)
        if frame.kind == Kind.PING:
            self.send(source, Kind.PONG, transaction=frame["transaction"], observed=source)
            return
        if frame.kind == Kind.REGISTER:
            self.register(now, frame, source)
            return
        entry = self.sessions.get(frame["session"])
        if entry is None or entry[1] != source:
            reference = frame.fields.get("offer") or frame["transaction"]
            self.send(source, Kind.CHALLENGE, reference=reference, cookie=self.cookie(source), observed=source)
            return
        entry[2] = now
        if frame.kind in self.refuse:
            code, retry_after = self.refuse.pop(frame.kind)
            self.error(source, frame, code, retry_after)
        elif frame.kind == Kind.KEEPALIVE:
            self.send(source, Kind.KEEPALIVE_REPLY, session=frame["session"], transaction=frame["transaction"],
                      observed=source)
        elif frame.kind == Kind.UNREGISTER:
            del self.sessions[frame["session"]]
            self.send(source, Kind.UNREGISTERED, session=frame["session"], transaction=frame["transaction"])
        else:
            self.relay(now, frame, source, entry[0])

    def register(self, now: float, frame: rt.Frame, source: Address) -> None:
        if frame["cookie"] != self.cookie(source):
            self.send(source, Kind.CHALLENGE, reference=frame["transaction"], cookie=self.cookie(source),
                      observed=source)
            return
        identifier, session = frame["identifier"], frame["session"]
        held = self.session_of(identifier)
        if held is not None and held != session and self.sessions[held][1] != source:
            self.error(source, frame, Code.IDENTIFIER_TAKEN, 1_000)
            return
        session = held or self.rng.randbytes(16)
        self.sessions[session] = [identifier, source, now]
        self.send(source, Kind.REGISTERED, session=session, transaction=frame["transaction"], observed=source,
                  ttl=self.ttl, timeout=self.timeout, maxblob=self.maxblob, ticket=bytes(16))

    def relay(self, now: float, frame: rt.Frame, source: Address, sender: bytes) -> None:
        retry = 500 if now - self.started < 30_000 else 0
        offer = frame["offer"]
        if frame.kind == Kind.OFFER:
            if self.session_of(frame["target"]) is None:
                self.error(source, frame, Code.PEER_UNKNOWN, retry)
                return
            self.offers.setdefault(
                offer, [sender, frame["target"], now + self.timeout, False, self.rng.randbytes(16), source])[5] = source
        if offer not in self.offers:
            self.error(source, frame, Code.OFFER_UNKNOWN, retry)
            return
        entry = self.offers[offer]
        other = entry[1] if sender == entry[0] else entry[0]
        session = self.session_of(other)
        if session is None:
            self.error(source, frame, Code.PEER_UNKNOWN, retry)
            return
        address = self.sessions[session][1]
        if frame.kind == Kind.ANSWER and not entry[3]:
            entry[2], entry[3] = now + self.timeout, True
        if frame.kind == Kind.ACK:
            self.send(address, Kind.RELAYED_ACK, session=session, offer=offer, kind=frame["kind"],
                      bitmap=frame["bitmap"])
        elif frame.kind == Kind.PUNCH and not entry[3]:
            self.error(source, frame, Code.NOT_PERMITTED, retry)
        elif frame.kind == Kind.PUNCH:
            self.send(source, Kind.PUNCH_NOW, session=frame["session"], offer=offer, peer=address, token=entry[4])
            self.send(address, Kind.PUNCH_NOW, session=session, offer=offer, peer=source, token=entry[4])
        else:
            self.send(address, Kind(frame.kind | 0x80), frame.blob, session=session, offer=offer, source=sender,
                      observed=source, digest=frame["digest"], length=frame["length"], index=frame["index"])


class Net:
    """Carries datagrams with delay, jitter (hence reordering), loss and duplication, on a simulated clock."""

    def __init__(self, seed: int = 1, loss: float = 0.0, delay: float = 20.0, jitter: float = 0.0, dup: float = 0.0):
        self.rng = random.Random(seed)
        self.loss, self.delay, self.jitter, self.dup = loss, delay, jitter, dup
        self.now = 0.0
        self.server_up = True
        self.server = FakeServer(self, self.rng)
        self.clients: dict[Address, Client] = {}
        self.events: dict[bytes, list[Event]] = {}
        self.count = 0
        self.drop: Callable[[Address, Address, bytes], bool] = lambda source, to, data: False
        self._queue: list[tuple[float, int, Address, Address, bytes]] = []
        self._order = itertools.count()

    def client(self, number: int, port: int = 5000, peer: Any = None) -> Client:
        """A client with a plain identifier of this number, or with another one or ``Keys``."""
        client = Client(peer or number.to_bytes(16, "big") + bytes(16), SERVER, random.Random(number))
        self.clients[Address(f"192.0.2.{number}", port)] = client
        self.events[client.identifier] = []
        return client

    def move(self, client: Client, to: Address) -> None:
        self.clients = {a: c for a, c in self.clients.items() if c is not client}
        self.clients[to] = client

    def send(self, source: Address, to: Address, data: bytes) -> None:
        assert len(data) <= rt.DATAGRAM_MAX
        rt.decode(data)  # nothing may ever be sent that does not decode
        self.count += 1
        if self.drop(source, to, data):
            return
        for _ in range(2 if self.rng.random() < self.dup else 1):
            if self.rng.random() >= self.loss:
                at = self.now + self.delay + self.rng.uniform(0, self.jitter)
                heapq.heappush(self._queue, (at, next(self._order), source, to, data))

    def flush(self, address: Address) -> None:
        """Do what ``UdpClient`` does after each datagram."""
        client = self.clients[address]
        for data, to in client.poll(self.now):
            self.send(address, to, data)
        self.events[client.identifier] += client.events()

    def run(self, duration: float, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + duration
        steps = 0
        while not until():
            for address in list(self.clients):
                self.flush(address)
            if until():
                return
            self.server.tick(self.now)
            timers = [c.next_timeout() for c in self.clients.values()]
            timers += [entry[2] for entry in self.server.offers.values()]
            if self._queue:
                timers.append(self._queue[0][0])
            following = max(self.now, min(timers, default=end))
            steps = steps + 1 if following == self.now else 0
            assert steps < 2000, "the clock stands still"
            if following >= end:
                self.now = end
                return
            self.now = following
            while self._queue and self._queue[0][0] <= self.now:
                _, _, source, to, data = heapq.heappop(self._queue)
                if to == SERVER:
                    if self.server_up:
                        self.server.handle(self.now, data, source)
                elif to in self.clients:
                    self.clients[to].handle_datagram(self.now, data, source)
                    self.flush(to)

    def got(self, client: Client, name: str) -> list[Event]:
        return [event for event in self.events[client.identifier] if event.name == name]

    def sent(self, kind: Kind) -> list[rt.Frame]:
        return [frame for frame in self.server.log if frame.kind == kind]


def blob_of(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


class Pair(unittest.TestCase):
    def pair(self, **options) -> tuple[Net, Client, Client]:
        net = Net(**options)
        a, b = net.client(1), net.client(2)
        a.register(net.now)
        b.register(net.now)
        net.run(60_000, lambda: a.state == b.state == rt.State.REGISTERED)
        self.assertEqual(a.state, rt.State.REGISTERED)
        self.assertEqual(b.state, rt.State.REGISTERED)
        return net, a, b

    def call(self, net: Net, a: Client, b: Client, size: int = 3000, answer: int = 2000) -> bytes:
        offer = a.offer(net.now, b.identifier, blob_of(size))
        net.run(40_000, lambda: bool(net.got(b, "offered")))
        event = net.got(b, "offered")[-1]
        self.assertEqual(event["blob"], blob_of(size))
        self.assertEqual(event["source"], a.identifier)
        b.answer(net.now, offer, blob_of(answer, 8))
        net.run(40_000, lambda: bool(net.got(a, "answered") and net.got(b, "delivered")))
        self.assertEqual(net.got(a, "answered")[-1]["blob"], blob_of(answer, 8))
        self.assertEqual(net.got(a, "failed") + net.got(b, "failed"), [])
        return offer


class ConstantsTest(unittest.TestCase):
    def test_they_are_those_of_section_10(self) -> None:
        section = re.split(r"(?m)^## ", SPEC.read_text())[10]
        self.assertTrue(section.startswith("10 Constants"), section[:40])
        rows = {name: int(value) for name, value in re.findall(r"(?m)^\| ([A-Z_]+) \| (\d+) \|", section)}
        self.assertGreater(len(rows), len(NOT_HERE))
        self.assertEqual({name: getattr(rt, name, None) for name in rows if name not in NOT_HERE},
                         {name: value for name, value in rows.items() if name not in NOT_HERE})


class CodecTest(unittest.TestCase):
    def frames(self) -> list[bytes]:
        one, two, ident = bytes([1]) * 16, bytes([2]) * 16, bytes([3]) * 16 + bytes(16)
        sample = {
            "session": one, "transaction": two, "reference": two, "offer": two, "identifier": ident, "target": ident,
            "source": ident, "cookie": one, "ticket": one, "signature": bytes(64), "observed": Address("192.0.2.1", 9),
            "server": Address("192.0.2.2", 1066),
            "peer": Address("2001:db8::1", 65535), "ttl": 1, "timeout": 2, "maxblob": 3, "digest": bytes(8),
            "index": 0, "kind": 6, "bitmap": 1 << 63, "token": one, "tag": two, "code": 999, "detail": 255, "retry_after": 5,
            "nominate": 1,
        }
        result = []
        for kind, layout in rt.LAYOUT.items():
            fields = {name: sample[name] for name, _ in layout if name in sample}
            for blob in (b"x", b"y" * rt.FRAGMENT) if kind in rt.BLOB_KINDS else (b"",):
                if blob:
                    fields["length"] = len(blob)
                result.append(rt.encode(kind, blob, **fields))
        return result

    def test_every_kind_round_trips_at_the_size_of_section_2(self) -> None:
        sizes = {"PING": 39, "REGISTER": 183, "PUNCH": 142, "PROBE": 71, "ERROR": 28, "ACK": 55, "REGISTERED": 83}
        for kind in Kind:
            if kind.name in sizes:
                self.assertEqual(rt.fixed_size(kind), sizes[kind.name])
        for data in self.frames():
            self.assertEqual(rt.encode_frame(rt.decode(data)), data)

    def test_every_prefix_and_every_longer_datagram_is_refused(self) -> None:
        for data in self.frames():
            for size in range(len(data)):
                with self.assertRaises(rt.DecodeError) as caught:
                    rt.decode(data[:size])
                self.assertEqual(caught.exception.name, "truncated")
            with self.assertRaises(rt.DecodeError) as caught:
                rt.decode(data + b"\0")
            self.assertEqual(caught.exception.name, "trailing")
            with self.assertRaises(rt.DecodeError) as caught:
                rt.decode(data + bytes(1200))
            self.assertEqual(caught.exception.name, "oversized")

    def test_what_decodes_after_mutation_re_encodes_to_the_same_bytes(self) -> None:
        rng = random.Random(3)
        accepted = 0
        for data in self.frames():
            for _ in range(300):
                mutated = bytearray(data)
                mutated[rng.randrange(len(mutated))] = rng.randrange(256)
                try:
                    frame = rt.decode(bytes(mutated))
                except rt.DecodeError:
                    continue
                accepted += 1
                self.assertEqual(rt.encode_frame(frame), mutated)
        self.assertGreater(accepted, 1000)

    def refused(self, data: bytes, name: str, field: Optional[str] = None) -> None:
        with self.assertRaises(rt.DecodeError) as caught:
            rt.decode(data)
        self.assertEqual((caught.exception.name, caught.exception.field), (name, field))

    def test_bad_fields(self) -> None:
        ping = rt.encode(Kind.PING, transaction=bytes(16))
        self.refused(b"RS" + ping[2:], "bad_magic")
        self.refused(b"RT\x02" + ping[3:], "bad_version")
        self.refused(b"RT\x01\x03" + bytes(2000), "unknown_kind")
        self.refused(ping[:-1] + b"\1", "bad_field", "zero")
        pong = rt.encode(Kind.PONG, transaction=bytes(16), observed=None)
        self.refused(pong[:-1] + b"\1", "bad_field", "observed")
        mapped = bytes([6]) + bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1]) + b"\0\1"
        self.refused(pong[:20] + mapped, "bad_field", "observed")
        ack = rt.encode(Kind.ACK, session=bytes(16), offer=b"o" * 16, kind=7, bitmap=1)
        self.refused(ack[:36] + b"\x09" + ack[37:], "bad_field", "kind")
        self.refused(ack[:44] + b"\0" + ack[45:], "bad_field", "bitmap")
        self.refused(ack[:20] + bytes(16) + ack[36:], "bad_field", "offer")
        register = rt.encode(Kind.REGISTER, session=bytes(16), transaction=bytes(16), cookie=bytes(16),
                             ticket=bytes(16), identifier=b"i" * 16 + bytes(16), server=None,
                             signature=bytes(64))
        self.refused(register[:36] + bytes(32) + register[68:], "bad_field", "identifier")
        rt.decode(register[:-1] + b"\1")  # the signature with a plain identifier is not looked at
        for size, field in ((0, "magic"), (1, "magic"), (2, "version"), (3, "kind")):
            self.refused(ping[:size], "truncated", field)

    def test_identifiers(self) -> None:
        text = "00112233-4455-6677-8899-aabbccddeeff"
        self.assertEqual(rt.format_identifier(rt.parse_identifier(text)), text)
        key = "ab" * 32
        self.assertEqual(rt.format_identifier(rt.parse_identifier(key)), key)
        with self.assertRaises(ValueError):
            rt.parse_identifier("0" * 64)


class RegistrationTest(Pair):
    def test_registers_in_two_round_trips_and_learns_its_address(self) -> None:
        net = Net(delay=50)
        a = net.client(1)
        a.register(0)
        net.run(1_000, lambda: bool(net.got(a, "registered")))
        self.assertEqual(net.now, 200)
        self.assertEqual(net.got(a, "registered")[0]["observed"], Address("192.0.2.1", 5000))

    def test_a_train_of_challenges_is_answered_once(self) -> None:
        net, a, b = self.pair()
        net.server.restart(net.now)
        a.offer(net.now, b.identifier, blob_of(20_000))
        net.run(300, lambda: bool(len(net.got(a, "registered")) > 1))
        self.assertEqual(len([frame for frame in net.sent(Kind.REGISTER) if frame["identifier"] == a.identifier]), 3)

    def test_keepalive_by_ttl(self) -> None:
        net = Net()
        net.server.ttl = 3_000
        a = net.client(1)
        a.register(0)
        net.run(30_000)
        self.assertTrue(27 <= len(net.sent(Kind.KEEPALIVE)) <= 34)

    def test_ping(self) -> None:
        net = Net()
        a = net.client(1)
        a.ping(0)
        net.run(1_000, lambda: bool(net.got(a, "pong")))
        self.assertEqual(net.got(a, "pong")[0]["observed"], Address("192.0.2.1", 5000))

    def test_register_backs_off_to_a_silent_server_without_end(self) -> None:
        net = Net()
        net.server_up = False
        a = net.client(1)
        a.register(0)
        net.run(120_000)
        self.assertTrue(15 <= net.count <= 23, net.count)
        net.server_up = True
        net.run(10_000)
        self.assertEqual(a.state, rt.State.REGISTERED)

    def test_keepalives_keep_the_registration(self) -> None:
        net, a, _ = self.pair(loss=0.1)
        net.run(300_000)
        self.assertEqual(a.state, rt.State.REGISTERED)
        self.assertEqual(len(net.server.sessions), 2)
        count = len({f["transaction"] for f in net.sent(Kind.KEEPALIVE) if f["session"] == a.session})
        self.assertTrue(12 <= count <= 17, count)

    def test_silent_server_leads_to_asking_and_back_with_the_session(self) -> None:
        net, a, _ = self.pair()
        session = a.session
        net.server_up = False
        net.run(30_000)
        self.assertTrue(net.got(a, "silent"))
        self.assertEqual(a.state, rt.State.ASKING)
        net.server_up = True
        net.run(10_000)
        self.assertEqual((a.state, a.session), (rt.State.REGISTERED, session))

    def test_roaming_is_found_by_keepalive(self) -> None:
        net, a, _ = self.pair()
        session = a.session
        net.move(a, PROXY)
        net.run(25_000)
        self.assertEqual((a.session, a.observed), (session, PROXY))

    def test_identifier_taken_is_retried(self) -> None:
        net, a, b = self.pair()
        c = Client(a.identifier, SERVER, random.Random(9))
        net.clients[Address("192.0.2.3", 1)] = c
        c.register(net.now)
        net.run(5_000)
        self.assertIn(c.state, (rt.State.ASKING, rt.State.PROVING))
        a.unregister(net.now)
        net.run(5_000)
        self.assertEqual(c.state, rt.State.REGISTERED)

    def test_unregister(self) -> None:
        net, a, _ = self.pair()
        a.unregister(net.now)
        net.run(1_000, lambda: bool(net.got(a, "unregistered")))
        self.assertEqual(a.state, rt.State.UNREGISTERED)
        self.assertEqual(len(net.server.sessions), 1)

    def test_unregister_of_a_lost_session_and_at_a_silent_server(self) -> None:
        for up in (True, False):
            net, a, _ = self.pair()
            net.server.restart(net.now)
            net.server_up = up
            before = net.count
            a.unregister(net.now)
            net.run(10_000, lambda: bool(net.got(a, "unregistered")))
            self.assertEqual(a.state, rt.State.UNREGISTERED)
            self.assertLessEqual(net.count - before, 3)

    def test_forged_frames_are_ignored(self) -> None:
        net, a, _ = self.pair()
        before = (a.state, a.session)
        forged = [
            rt.encode(Kind.CHALLENGE, reference=bytes(16), cookie=b"c" * 16, observed=None),
            rt.encode(Kind.CHALLENGE, reference=b"r" * 16, cookie=b"c" * 16, observed=None),
            rt.encode(Kind.UNREGISTERED, session=b"s" * 16, transaction=bytes(16)),
            rt.encode(Kind.KEEPALIVE_REPLY, session=a.session, transaction=bytes(16), observed=None),
            rt.encode(Kind.REGISTERED, session=b"s" * 16, transaction=bytes(16), observed=None, ttl=1, timeout=1,
                      maxblob=1, ticket=bytes(16)),
            rt.encode(Kind.ERROR, reference=bytes(16), code=3, kind=2, detail=9, retry_after=0),
            rt.encode(Kind.RELAYED_OFFER, b"x", session=b"s" * 16, offer=b"o" * 16, source=b"i" * 32, observed=None,
                      digest=rt.digest_of(b"x"), length=1, index=0),
            rt.encode(Kind.KEEPALIVE, session=a.session, transaction=bytes(16), observed=None),
            b"", b"RT", bytes(2000),
        ]
        for data in forged:
            a.handle_datagram(net.now, data, SERVER)
        self.assertEqual((a.state, a.session, a.calls), (*before, {}))
        self.assertEqual(a.poll(net.now), [])


class CallTest(Pair):
    def test_sizes(self) -> None:
        for size in (1, 1023, 1024, 1025, 65535, 65536):
            net, a, b = self.pair()
            self.call(net, a, b, size, size)

    def test_loss_reordering_and_duplication(self) -> None:
        for seed, loss in ((1, 0.05), (2, 0.2), (3, 0.3), (4, 0.2)):
            net, a, b = self.pair(seed=seed, loss=loss, jitter=30, dup=0.05)
            self.call(net, a, b, 65536, 65536)
            self.assertEqual(len(net.got(b, "offered")), 1)
            self.assertEqual(len(net.got(a, "answered")), 1)

    def test_without_loss_each_fragment_is_sent_once(self) -> None:
        net, a, b = self.pair()
        self.call(net, a, b, 65536, 65536)
        self.assertEqual(len(net.sent(Kind.OFFER)), 64)
        self.assertEqual(len(net.sent(Kind.ANSWER)), 64)

    def test_only_lost_fragments_are_sent_again(self) -> None:
        net, a, b = self.pair()
        missing = {5, 20, 63}

        def drop(source: Address, to: Address, data: bytes) -> bool:
            if to == SERVER and data[3] == Kind.OFFER and data[80] in missing:
                missing.discard(data[80])
                return True
            return False

        net.drop = drop
        self.call(net, a, b, 65536, 10)
        # Of 64 three never reached the server; they came later, and where the window had room in two copies.
        self.assertLessEqual(len(net.sent(Kind.OFFER)), 64 + 3)

    def test_ringing_and_duplicates(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, blob_of(3000))
        net.run(11_000)
        self.assertEqual(len(net.got(b, "offered")), 1)
        repeats = [f["index"] for f in net.sent(Kind.OFFER)][3:]
        self.assertEqual(repeats, [2] * 5)
        b.answer(net.now, offer, b"yes")
        net.run(1_000)
        self.assertEqual(len(net.got(a, "answered")), 1)
        self.assertEqual(len(net.got(b, "delivered")), 1)

    def test_decline(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, b"hello")
        net.run(1_000)
        b.decline(net.now, offer)
        net.run(1_000)
        self.assertEqual(net.got(a, "failed")[0]["reason"], "declined")
        self.assertEqual(len(net.got(b, "delivered")), 1)

    def test_timeout_notice_and_own_timer(self) -> None:
        for lost, reason, at in ((False, "timeout", 30_000), (True, "own_timer", 32_000)):
            net, a, b = self.pair()
            net.drop = lambda source, to, data, lost=lost: lost and data[3] == Kind.ERROR
            start = net.now
            a.offer(start, b.identifier, b"hello")
            net.run(40_000, lambda: bool(net.got(a, "failed")))
            self.assertEqual(net.got(a, "failed")[0]["reason"], reason)
            self.assertAlmostEqual(net.now - start, at, delta=100)

    def test_peer_unknown_is_final(self) -> None:
        net, a, _ = self.pair()
        a.offer(net.now, b"q" * 16 + bytes(16), b"hello")
        net.run(1_000)
        self.assertEqual(net.got(a, "failed")[0]["reason"], "peer_unknown")

    def test_retry_after_holds_back_and_repeats(self) -> None:
        net, a, b = self.pair()
        net.server.refuse[Kind.OFFER] = (Code.RATE_LIMITED, 700)
        start = net.now
        a.offer(start, b.identifier, b"hello")
        net.run(5_000, lambda: bool(net.got(b, "offered")))
        self.assertAlmostEqual(net.now - start, 700 + 80, delta=10)

    def test_unknown_code_is_final(self) -> None:
        net, a, b = self.pair()
        net.server.refuse[Kind.OFFER] = (4711, 0)  # type: ignore[assignment]
        a.offer(net.now, b.identifier, b"hello")
        net.run(1_000)
        self.assertEqual(net.got(a, "failed")[0]["reason"], "error_4711")

    def test_blob_too_large_is_found_before_sending(self) -> None:
        net = Net()
        net.server.maxblob = 100
        a = net.client(1)
        a.register(0)
        a.offer(0, b"q" * 32, bytes(101))
        net.run(1_000)
        self.assertEqual(net.got(a, "failed")[0]["reason"], "blob_too_large")
        self.assertEqual(net.sent(Kind.OFFER), [])

    def test_glare(self) -> None:
        for loss in (0.0, 0.2):
            net, a, b = self.pair(loss=loss)  # a is the smaller: it yields
            yielded = a.offer(net.now, b.identifier, blob_of(5000))
            winner = b.offer(net.now, a.identifier, blob_of(4000))
            net.run(30_000, lambda: bool(net.got(a, "offered")))
            self.assertEqual([(e["offer"], e["reason"]) for e in net.got(a, "failed")], [(yielded, "glare")])
            self.assertEqual(net.got(b, "offered"), [])
            a.answer(net.now, winner, b"yes")
            net.run(30_000, lambda: bool(net.got(b, "answered")))
            self.assertEqual(net.got(b, "answered")[0]["offer"], winner)

    def test_server_restart_while_ringing(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, blob_of(3000))
        net.run(3_000)
        net.server.restart(net.now)
        net.run(25_000)  # a rings and is challenged; b is found missing until its KEEPALIVE is challenged
        b.answer(net.now, offer, blob_of(3000))
        net.run(3_000)
        self.assertEqual(len(net.got(a, "answered")), 1)
        self.assertEqual(len(net.got(b, "offered")), 1)
        self.assertEqual(net.got(a, "failed"), [])

    def test_server_restart_in_the_middle_of_both_transfers(self) -> None:
        for after in (30, 70, 130, 170):
            net, a, b = self.pair()
            start = net.now
            offer = a.offer(net.now, b.identifier, blob_of(65536))
            restarted = False
            while net.now - start < 31_000 and not net.got(a, "answered"):
                net.run(10)
                if not restarted and net.now - start >= after:
                    net.server.restart(net.now)
                    restarted = True
                if net.got(b, "offered") and b.calls[offer].phase == rt.Phase.PRESENTED:
                    b.answer(net.now, offer, blob_of(65536, 8))
            self.assertTrue(net.got(a, "answered"), after)

    def test_both_roam_during_a_call(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, blob_of(65536))
        net.run(50)
        net.move(a, PROXY)
        net.run(5_000)
        self.assertEqual(len(net.got(b, "offered")), 1)
        net.move(b, Address("203.0.113.10", 1))
        b.answer(net.now, offer, blob_of(65536))
        net.run(5_000)
        self.assertEqual(len(net.got(a, "answered")), 1)

    def test_candidates(self) -> None:
        net, a, b = self.pair(loss=0.2, jitter=20)
        offer = a.offer(net.now, b.identifier, blob_of(3000))
        for number in range(64):
            a.candidate(net.now, offer, b"a%d" % number)
        with self.assertRaises(rt.CallError):
            a.candidate(net.now, offer, b"too many")
        net.run(20_000, lambda: bool(net.got(a, "candidates_delivered")))
        self.assertEqual(sorted((e["index"], e["blob"]) for e in net.got(b, "candidate")),
                         [(number, b"a%d" % number) for number in range(64)])
        b.answer(net.now, offer, b"yes")
        b.candidate(net.now, offer, b"b0")
        net.run(20_000, lambda: bool(net.got(b, "candidates_delivered")))
        self.assertEqual([e["blob"] for e in net.got(a, "candidate")], [b"b0"])

    def test_calls_are_retired(self) -> None:
        net, a, b = self.pair()
        self.call(net, a, b)
        net.run(33_000)
        self.assertEqual((a.calls, b.calls), ({}, {}))

    def test_reassembly_bounds(self) -> None:
        net, a, b = self.pair()
        for _ in range(10):
            a.offer(net.now, b.identifier, blob_of(3000))
        net.drop = lambda source, to, data: data[3] == Kind.RELAYED_OFFER and data[99] == 0
        net.run(2_000)
        self.assertEqual(len(b.calls), rt.REASSEMBLIES_PER_PEER)

    def test_differing_fragments_are_ignored(self) -> None:
        net, a, b = self.pair()
        net.drop = lambda source, to, data: data[3] == Kind.RELAYED_OFFER and data[99] == 0
        offer = a.offer(net.now, b.identifier, blob_of(3000))
        net.run(200)
        evil = rt.encode(Kind.RELAYED_OFFER, bytes(1024), session=b.session, offer=offer, source=a.identifier,
                         observed=None, digest=bytes(8), length=3000, index=0)
        b.handle_datagram(net.now, evil, SERVER)
        self.assertEqual(b.calls[offer].incoming.bitmap, 0b110)

    def test_wrong_digest_fails_the_call(self) -> None:
        net, a, b = self.pair()
        wrong = rt.encode(Kind.RELAYED_OFFER, b"x", session=b.session, offer=b"o" * 16, source=a.identifier,
                          observed=None, digest=bytes(8), length=1, index=0)
        for _ in range(2):
            b.handle_datagram(net.now, wrong, SERVER)
            net.run(100)
            self.assertEqual((b.calls, net.got(b, "offered"), net.sent(Kind.ACK)), ({}, [], []))
        offer = a.offer(net.now, b.identifier, b"hello")
        net.run(100)
        wrong = rt.encode(Kind.RELAYED_ANSWER, b"x", session=a.session, offer=offer, source=b.identifier,
                          observed=None, digest=bytes(8), length=1, index=0)
        a.handle_datagram(net.now, wrong, SERVER)
        net.run(100)
        self.assertEqual(net.got(a, "failed")[0]["reason"], "damaged")

    def test_ringing_lingers_after_the_answer(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, blob_of(3000))
        net.run(500)
        b.answer(net.now, offer, b"yes")
        net.run(20_000)
        repeats = [frame["index"] for frame in net.sent(Kind.OFFER)][3:]
        self.assertIn(len(repeats), (2, 3))
        self.assertEqual(set(repeats), {2})
        acks = [frame["bitmap"] for frame in net.sent(Kind.ACK) if frame["kind"] == Kind.OFFER]
        self.assertEqual(acks[-1], 0b111)

    def test_eight_fragments_are_acknowledged_at_once(self) -> None:
        net, a, b = self.pair()
        a.offer(net.now, b.identifier, blob_of(65536))
        net.run(40 + rt.ACK_DELAY / 2)  # the first window of 16 has arrived, ACK_DELAY has not passed
        count = bin(b.calls[next(iter(b.calls))].incoming.bitmap).count("1")
        self.assertEqual(count, rt.WINDOW_INITIAL)
        net.run(20)
        self.assertEqual([frame["bitmap"] for frame in net.sent(Kind.ACK)], [0xFF, 0xFFFF])

    def test_an_incomplete_blob_is_nudged_for(self) -> None:
        net, a, b = self.pair()
        net.drop = lambda source, to, data: data[3] == Kind.OFFER and rt.decode(data)["index"] == 1
        start = net.now
        a.offer(net.now, b.identifier, blob_of(3000))
        times: list[float] = []
        while net.now - start < 400:
            net.run(1)
            times += [net.now] * (len(net.sent(Kind.ACK)) - len(times))
        waits = [round((later - earlier) / rt.NUDGE) for earlier, later in zip(times, times[1:])]
        self.assertEqual(waits[:3], [1, 2, 4][:len(waits)])
        self.assertGreaterEqual(len(waits), 2)

    def test_errors_by_kind(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)

        def error(client: Client, kind: Kind, code: int = Code.PEER_UNKNOWN) -> None:
            client.handle_datagram(net.now, rt.encode(Kind.ERROR, reference=offer, code=code, kind=kind, detail=7,
                                                      retry_after=0), SERVER)
            net.run(1)

        for kind in (Kind.OFFER, Kind.ANSWER, Kind.ACK):  # both have their outcome
            error(a, kind)
            error(b, kind)
        self.assertEqual(net.got(a, "failed") + net.got(b, "failed"), [])
        a.candidate(net.now, offer, b"one")
        error(a, Kind.CANDIDATE)
        self.assertEqual(len(net.got(a, "candidates_failed")), 1)
        a.punch(net.now, offer)
        net.run(1)
        error(a, Kind.PUNCH)
        self.assertEqual(net.got(a, "punch_failed")[0]["reason"], "peer_unknown")
        error(a, Kind.OFFER, Code.VERSION)
        self.assertEqual(net.got(a, "version")[0]["version"], 7)
        self.assertEqual(net.got(a, "failed") + net.got(b, "failed"), [])

    def error(self, net: Net, client: Client, kind: Kind, code: int = Code.PEER_UNKNOWN, retry_after: int = 0) -> None:
        offer, = client.calls
        client.handle_datagram(net.now, rt.encode(Kind.ERROR, reference=offer, code=code, kind=kind, detail=0,
                                                  retry_after=retry_after), SERVER)

    def test_offer_refused_while_its_answer_arrives_has_not_failed(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, blob_of(3000))
        net.run(1_000, lambda: bool(net.got(b, "offered")))
        b.answer(net.now, offer, blob_of(3000, 8))
        net.drop = lambda source, to, data: data[3] == Kind.RELAYED_ANSWER and data[99] == 2
        net.run(1_000, lambda: a.calls[offer].phase == rt.Phase.RECEIVING)
        self.error(net, a, Kind.OFFER)
        net.drop = lambda source, to, data: False
        net.run(2_000)
        self.assertEqual((len(net.got(a, "answered")), net.got(a, "failed")), (1, []))

    def test_acks_that_are_refused_for_good_are_not_sent(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        b.candidate(net.now, offer, b"one")
        net.run(100, lambda: a.calls[offer].candidates_ack_at != rt.NEVER)
        before = len(net.sent(Kind.ACK))
        self.error(net, a, Kind.ACK)
        net.run(rt.ACK_DELAY + 50)
        self.assertEqual(len(net.sent(Kind.ACK)), before)

    def test_an_unknown_offer_is_opened_anew_at_once(self) -> None:
        for kind in (Kind.ACK, Kind.CANDIDATE, Kind.PUNCH):
            net, a, b = self.pair()
            self.call(net, a, b)
            before = len(net.sent(Kind.OFFER))
            self.error(net, a, kind, Code.OFFER_UNKNOWN, 500)
            net.run(100)
            self.assertEqual([frame["index"] for frame in net.sent(Kind.OFFER)[before:]], [2])

    def test_retry_after_of_an_ack_holds_back_all_acks_of_the_call(self) -> None:
        net, a, b = self.pair()
        missing = [2]  # the last fragment comes with its first repeat, half a second later
        net.drop = lambda source, to, data: (data[3] == Kind.RELAYED_OFFER and data[99] in missing
                                             and bool(missing.pop()))
        a.offer(net.now, b.identifier, blob_of(3000))
        net.run(1_000, lambda: bool(b.calls))
        offer, = b.calls
        error = rt.encode(Kind.ERROR, reference=offer, code=Code.OFFER_UNKNOWN, kind=Kind.ACK, detail=0,
                          retry_after=900)
        b.handle_datagram(net.now, error, SERVER)
        net.run(900)
        self.assertEqual((net.sent(Kind.ACK), len(net.got(b, "offered"))), ([], 1))
        net.run(100)
        self.assertEqual(net.sent(Kind.ACK)[0]["bitmap"], 7)

    def test_version_error_in_another_version_is_a_hint(self) -> None:
        net = Net()
        net.server_up = False
        a = net.client(1)
        a.register(0)
        (data, _), = a.poll(0)
        error = rt.encode(Kind.ERROR, reference=data[20:36], code=Code.VERSION, kind=2, detail=2, retry_after=0)
        other = rt.encode(Kind.ERROR, reference=data[20:36], code=Code.TIMEOUT, kind=2, detail=2, retry_after=0)
        for frame in (error, other):
            a.handle_datagram(0, frame[:2] + b"\2" + frame[3:], SERVER)
        self.assertEqual([event.name for event in a.events()], ["version"])
        self.assertEqual(a.state, rt.State.ASKING)
        error = rt.encode(Kind.ERROR, reference=bytes(16), code=Code.VERSION, kind=1, detail=2, retry_after=0)
        a.handle_datagram(0, error, SERVER)
        self.assertEqual(a.events(), [])
        a.ping(0)
        a.handle_datagram(0, error, SERVER)
        self.assertEqual([event.name for event in a.events()], ["version"])

    def test_calls_are_bounded(self) -> None:
        net, a, b = self.pair()
        for _ in range(rt.CALLS_MAX):
            a.offer(net.now, b.identifier, b"hello")
        with self.assertRaises(rt.CallError):
            a.offer(net.now, b.identifier, b"one too many")
        net, a, b = self.pair()
        for number in range(rt.CALLS_MAX + 3):  # settled calls make room
            offer = a.offer(net.now, b.identifier, b"hello")
            net.run(100)
            b.answer(net.now, offer, b"yes")
            net.run(100)
            self.assertEqual(len(net.got(a, "answered")), number + 1)
        self.assertLessEqual(max(len(a.calls), len(b.calls)), rt.CALLS_MAX)


class PunchTest(Pair):
    def test_both_prove_the_path(self) -> None:
        for loss in (0.0, 0.3):
            net, a, b = self.pair(loss=loss)
            offer = self.call(net, a, b)
            a.punch(net.now, offer)
            net.run(8_000, lambda: bool(net.got(a, "path") and net.got(b, "path")))
            self.assertEqual(net.got(a, "path")[0]["address"], Address("192.0.2.2", 5000))
            self.assertEqual(net.got(b, "path")[0]["address"], Address("192.0.2.1", 5000))

    def test_failure(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        net.drop = lambda source, to, data: data[3] in (Kind.PROBE, Kind.PROBE_REPLY)
        a.punch(net.now, offer)
        net.run(6_000)
        self.assertEqual(len(net.got(a, "punch_failed")), 1)
        self.assertEqual(len(net.got(b, "punch_failed")), 1)

    def test_punch_waits_for_the_answer(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, b"hello")
        net.run(500)
        a.punch(net.now, offer)
        net.run(500)
        self.assertEqual(net.sent(Kind.PUNCH), [])
        b.answer(net.now, offer, b"yes")
        b.punch(net.now, offer)
        net.run(1_000)
        self.assertTrue(net.got(a, "path") and net.got(b, "path"))
        self.assertEqual(net.got(a, "punch_failed") + net.got(b, "punch_failed"), [])

    def test_punch_refused_for_good_after_its_punch_now_has_not_failed(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        net.drop = lambda source, to, data: data[3] == Kind.PROBE
        a.punch(net.now, offer)
        net.run(500)
        punches = len(net.sent(Kind.PUNCH))
        a.handle_datagram(net.now, rt.encode(Kind.ERROR, reference=offer, code=Code.OFFER_UNKNOWN, kind=Kind.PUNCH,
                                             detail=0, retry_after=0), SERVER)
        net.run(500)
        self.assertEqual(len(net.sent(Kind.PUNCH)), punches)
        net.drop = lambda source, to, data: False
        net.run(500)
        self.assertEqual((len(net.got(a, "path")), net.got(a, "punch_failed")), (1, []))

    def test_callee_shows_a_restarted_server_that_it_has_answered(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        net.server.restart(net.now)
        b.candidate(net.now, offer, b"one")  # is challenged
        a.punch(net.now, offer)
        net.run(4_000)
        self.assertEqual((len(net.got(a, "path")), len(net.got(b, "path"))), (1, 1))

    def test_punch_is_repeated_until_the_path_is_proved(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        lost = [2]

        def drop(source: Address, to: Address, data: bytes) -> bool:
            if data[3] == Kind.PUNCH_NOW and to == Address("192.0.2.2", 5000) and lost[0]:
                lost[0] -= 1
                return True
            return to == Address("192.0.2.2", 5000) and data[3] == Kind.PROBE  # its NAT is still closed

        net.drop = drop
        a.punch(net.now, offer)
        net.run(5_000, lambda: bool(net.got(b, "path")))
        self.assertTrue(net.got(b, "path"))
        self.assertEqual(len(net.sent(Kind.PUNCH)), 3)

    def test_a_path_is_answered_on_after_the_call_as_long_as_it_is_asked_about(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        a.punch(net.now, offer)
        net.run(40_000, lambda: bool(net.got(a, "path") and net.got(b, "path")))
        key = a.calls[offer].punch.key
        assert key is not None

        def answered(number: int) -> bool:
            untagged = rt.encode(Kind.PROBE, offer=offer, tag=bytes(16), transaction=bytes([number]) * 16, nominate=0)
            a.handle_datagram(net.now, untagged[:20] + rt.probe_tag(key, b"\2", untagged) + untagged[36:],
                              Address("192.0.2.2", 5000))
            return [rt.decode(data).kind for data, _ in a.poll(net.now)] == [Kind.PROBE_REPLY]

        for number in range(4):
            net.run(25_000)
            self.assertTrue(answered(number))
        self.assertNotIn(offer, a.calls)
        net.run(rt.CONSENT_TIME)
        self.assertFalse(answered(9))

    def test_an_unusable_address_fails_at_once(self) -> None:
        for peer in (None, Address("2001:db8::1", 9)):
            net, a, b = self.pair()
            a.families = frozenset({4})
            offer = self.call(net, a, b)
            a.handle_datagram(net.now, rt.encode(Kind.PUNCH_NOW, session=a.session, offer=offer, peer=peer,
                                                 token=b"t" * 16), SERVER)
            self.assertEqual([(e.name, e["reason"]) for e in a.events()], [("punch_failed", "no_address")])

    def test_a_probe_from_elsewhere_gets_one_probe_back(self) -> None:
        net, a, b = self.pair()
        offer = self.call(net, a, b)
        net.drop = lambda source, to, data: True
        token, there = b"t" * 16, Address("203.0.113.5", 7)
        key = rt.probe_key(bytes(32), offer, a.identifier, b.identifier, token)

        def tagged(kind: Kind, **fields: Any) -> bytes:
            untagged = rt.encode(kind, offer=offer, tag=bytes(16), **fields)
            return rt.encode(kind, offer=offer, tag=rt.probe_tag(key, b"\2", untagged), **fields)

        a.handle_datagram(net.now, rt.encode(Kind.PUNCH_NOW, session=a.session, offer=offer, token=token,
                                             peer=Address("192.0.2.2", 5000)), SERVER)
        a.poll(net.now)
        forged = rt.encode(Kind.PROBE, offer=offer, tag=token, transaction=b"x" * 16, nominate=0)
        a.handle_datagram(net.now, forged, there)
        self.assertEqual(a.poll(net.now), [])
        probe = tagged(Kind.PROBE, transaction=b"x" * 16, nominate=0)
        a.handle_datagram(net.now, probe, there)
        answer = [(rt.decode(data), to) for data, to in a.poll(net.now)]
        self.assertEqual([(frame.kind, to) for frame, to in answer],
                         [(Kind.PROBE_REPLY, there), (Kind.PROBE, there)])
        a.handle_datagram(net.now, probe, Address("203.0.113.6", 7))  # read on its way, and shown elsewhere
        self.assertEqual(a.poll(net.now), [])
        reply = tagged(Kind.PROBE_REPLY, transaction=answer[1][0]["transaction"], observed=None)
        a.handle_datagram(net.now, reply, there)
        self.assertEqual(a.events(), [])
        nominating = next(rt.decode(data) for data, to in a.poll(net.now) if to == there)
        self.assertEqual((nominating.kind, nominating["nominate"]), (Kind.PROBE, 1))
        a.handle_datagram(net.now, tagged(Kind.PROBE_REPLY, observed=None,
                                          transaction=nominating["transaction"]), there)
        self.assertEqual([(e.name, e["address"]) for e in a.events()], [("path", there)])


class Loopback:
    """The server above on a real socket, in a thread."""

    def __init__(self, host: str = "127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(0.05)
        self.host, self.port = host, self.socket.getsockname()[1]
        self.server = FakeServer(self, random.Random(1))  # type: ignore[arg-type]
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def send(self, source: Address, to: Address, data: bytes) -> None:
        self.socket.sendto(data, tuple(to))

    def run(self) -> None:
        while not self.stopped.is_set():
            self.server.tick(rt.now_ms())
            try:
                data, source = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            self.server.handle(rt.now_ms(), data, Address(source[0], source[1]))

    def close(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.socket.close()


class CommandLineTest(unittest.TestCase):
    A, B = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"

    def setUp(self) -> None:
        self.loopback = Loopback()
        self.addCleanup(self.loopback.close)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        (self.directory / "offer").write_bytes(blob_of(20_000))
        (self.directory / "answer").write_bytes(blob_of(10_000, 8))

    def start(self, command: str, *options: Any, host: Optional[str] = None, port: int = 0) -> subprocess.Popen:
        script = Path(__file__).with_name("client.py")
        words = [sys.executable, script, command, host or self.loopback.host, port or self.loopback.port, *options]
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def finish(self, process: subprocess.Popen) -> tuple[int, list[dict[str, Any]], str]:
        out, err = process.communicate(timeout=60)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def callee(self, *options: Any) -> subprocess.Popen:
        process = self.start("listen", "--id", self.B, "--count", 1, "--timeout", 50, "--linger", 1, *options)
        assert process.stdout is not None
        process.stdout.readline()  # registered
        return process

    def caller(self, *options: Any) -> subprocess.Popen:
        return self.start("call", "--id", self.A, "--to", self.B, "--offer", self.directory / "offer", "--linger", 0.3,
                          "--answer-out", self.directory / "answered", *options)

    def test_ping(self) -> None:
        code, lines, err = self.finish(self.start("ping"))
        self.assertEqual((code, lines[0]["event"], err), (0, "pong", ""))

    def test_ping_over_ipv6(self) -> None:
        try:
            loopback = Loopback("::1")
        except OSError:
            self.skipTest("no IPv6 here")
        self.addCleanup(loopback.close)
        code, lines, _ = self.finish(self.start("ping", host="::1", port=loopback.port))
        self.assertEqual(code, 0)
        self.assertTrue(lines[0]["observed"].startswith("[::1]:"))

    def test_call_with_everything_under_loss(self) -> None:
        callee = self.callee("--answer", self.directory / "answer", "--offer-out", self.directory / "offers",
                             "--drop", 10, "--seed", 1)
        caller = self.caller("--candidates", 10, "--punch", "--drop", 10, "--seed", 2)
        code, lines, err = self.finish(caller)
        self.assertEqual((code, err), (0, ""), lines)
        self.assertIn("path", [line["event"] for line in lines])
        self.assertEqual((self.directory / "answered").read_bytes(), blob_of(10_000, 8))
        code, lines, err = self.finish(callee)
        self.assertEqual((code, err), (0, ""), lines)
        self.assertEqual(len([line for line in lines if line["event"] == "candidate"]), 10)
        self.assertEqual([path.read_bytes() for path in (self.directory / "offers").iterdir()], [blob_of(20_000)])

    def test_what_comes_with_the_last_event_is_reported_and_kept(self) -> None:
        args = argparse.Namespace(host=self.loopback.host, port=self.loopback.port, drop=0, seed=1, timeout=5,
                                  capture=None)
        session = client.Session(args, b"i" * 16 + bytes(16))
        self.addCleanup(session.udp.close)
        steps = [[Event(name, {}) for name in ("delivered", "candidate", "path")]]
        printed = io.StringIO()
        with mock.patch.object(session.udp, "step", lambda wait: steps.pop()), contextlib.redirect_stdout(printed):
            self.assertEqual(next(session.events()).name, "delivered")
            self.assertEqual(next(session.events()).name, "candidate")
        names = [json.loads(line)["event"] for line in printed.getvalue().splitlines()]
        self.assertEqual(names, ["delivered", "candidate", "path"])

    def test_decline_and_unknown_peer(self) -> None:
        code, _, err = self.finish(self.caller())
        self.assertEqual((code, err), (1, "call: failed: peer_unknown\n"))
        callee = self.callee("--decline")
        code, _, err = self.finish(self.caller())
        self.assertEqual((code, err), (1, "call: failed: declined\n"))
        self.assertEqual(self.finish(callee)[0], 0)


if __name__ == "__main__":
    unittest.main()
