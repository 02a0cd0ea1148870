"""Tests of a server program against the specification, over loopback, IPv4 and IPv6.

    python3 tests/python/test_server.py [SERVER [TEST...]]

SERVER is the path of the server program; without it, the one that cargo has built in this repository is taken, the
newest if there are several, and where there is none all is skipped. Every test starts its own server on a free port
and ends it. Two kinds of peers are used: ``Peer``, the client of roundtable.py on a real socket, and ``Raw``, a bare
socket that sends single datagrams and looks at each answer. Every wait is for something to happen, with a bound, but
for one where time itself is what must pass. TEST is the name of a class, or of a class and method as in
``Calls.test_decline``. The last line counts: ``N passed, N failed``, and ``N skipped`` if any were.
"""

from __future__ import annotations

import json
import os
import queue
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
from pathlib import Path
from typing import Any, Callable, Optional
from unittest import mock

import roundtable as rt
from roundtable import Code, Kind

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
VECTORS = HERE.parents[1] / "proto" / "vectors"
HOSTS = ("127.0.0.1", "::1")
SMALL = ("aiortc-audio-offer.sdp", "aiortc-audio-answer.sdp")
MIDDLE = ("chromium-audio-video-offer.sdp", "chromium-audio-video-answer.sdp")
LARGE = ("aiortc-audio-x20-10if-offer.sdp", "aiortc-audio-x20-10if-answer.sdp")
COARSE = 0.1  # seconds that a server can tell apart for certain

program = Path()  # argv[1], or what cargo has built


# --------------------------------------------------------------------------------------------------
# The server program
# --------------------------------------------------------------------------------------------------


class Server:
    """One process of the server program."""

    def __init__(self, port: int = 0, **config: Any):
        self.directory = tempfile.TemporaryDirectory()
        self.config = Path(self.directory.name) / "config.yaml"
        self.options = config
        self.lines: list[str] = []
        self.port = port
        self.start()

    def start(self) -> None:
        """Start, again on the same port after ``kill``, and wait until the server listens."""
        # These tests ask faster than anybody may: the rates have tests of their own.
        rates = dict.fromkeys(("strangerrate", "registerrate", "registertotal", "peerrate", "offerrate"), 0)
        # What is no frame gets nothing here; STUN, which some of it is, has tests of its own.
        options = {"localport": self.port, "loglevel": "debug", "stun": False, **rates, **self.options}
        self.config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in options.items()))
        self.started = rt.now_ms()
        self.process = subprocess.Popen([str(program), "--config-file-path", str(self.config)], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output: queue.Queue[Optional[str]] = queue.Queue()
        self.reader = threading.Thread(target=self._read, args=(self.process, self.output))
        self.reader.start()
        while True:
            line = self.output.get(timeout=10)
            if line is None:
                raise AssertionError("the server ended:\n" + "\n".join(self.lines))
            if found := re.search(r"listening on (\S+):(\d+)", line):
                self.port = int(found[2])
                return

    def _read(self, process: subprocess.Popen[str], output: queue.Queue[Optional[str]]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())
            output.put(line)
        output.put(None)

    def kill(self) -> None:
        """SIGKILL: the server can do nothing more."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self._reap()
        self.directory.cleanup()

    def _reap(self) -> None:
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


# --------------------------------------------------------------------------------------------------
# Peers
# --------------------------------------------------------------------------------------------------


class Peer:
    """The client of roundtable.py, with a record of its events."""

    def __init__(self, server: Server, host: str, **options: Any):
        self.id = uuid.uuid4().bytes + bytes(16)
        self.udp = rt.UdpClient(options.pop("identifier", self.id), host, server.port, **options)
        self.core = self.udp.core
        self.events: list[rt.Event] = []

    def got(self, name: str, **fields: Any) -> list[rt.Event]:
        """The events of this name that have these fields."""
        return [event for event in self.events
                if event.name == name and all(event[key] == value for key, value in fields.items())]

    def names(self) -> list[str]:
        return [event.name for event in self.events]


class Failure(AssertionError):
    pass


def run(peers: list[Peer], until: Callable[[], Any], seconds: float = 10) -> Any:
    """Let the peers work until the condition holds, and return what it gave; fail after so many seconds."""
    end = rt.now_ms() + seconds * 1000
    while True:
        for peer in peers:
            peer.events += peer.udp.step(0)
            if result := until():
                return result
        now = rt.now_ms()
        if now >= end:
            raise Failure(f"not within {seconds} s; events: {[peer.events for peer in peers]}")
        wake = min([end, *(peer.core.next_timeout() for peer in peers)])
        select.select([peer.udp.socket for peer in peers], [], [], max(0.0, wake - now) / 1000)


class Raw:
    """A bare socket. ``ask`` sends one datagram and returns the answers to it."""

    def __init__(self, server: Server, host: str):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect((host, server.port))
        self.address = rt.Address(*self.socket.getsockname()[:2])
        self.server = rt.Address(*self.socket.getpeername()[:2])
        self.id = uuid.uuid4().bytes + bytes(16)
        self.session = rt.ZERO16
        self.cookie = rt.ZERO16

    def ask(self, data: bytes, bounded: bool = True) -> list[rt.Frame]:
        """The answers to a datagram, and whatever else came: all before the PONG to a PING sent after it.

        So no time is waited for silence. An answer must not be longer than what caused it (section 11).
        """
        marker = uuid.uuid4().bytes
        self.socket.send(data)
        self.socket.send(rt.encode(Kind.PING, transaction=marker))
        frames: list[rt.Frame] = []
        while True:
            received = self.socket.recv(2048)
            frame = rt.decode(received)
            if frame.kind == Kind.PONG and frame["transaction"] == marker:
                return frames
            if bounded and len(received) > len(data):
                raise Failure(f"{len(received)} bytes for {len(data)}: {data.hex()} gave {received.hex()}")
            frames.append(frame)

    def send(self, kind: Kind, blob: bytes = b"", /, **fields: Any) -> list[rt.Frame]:
        fields.setdefault("session", self.session)
        return self.ask(rt.encode(kind, blob, **fields))

    def drain(self) -> list[rt.Frame]:
        """What has come because of other peers' frames."""
        return self.ask(b"", bounded=False)

    def register(self, **fields: Any) -> list[rt.Frame]:
        """REGISTER with the cookie held; the session and cookie that come are kept."""
        values = {"transaction": uuid.uuid4().bytes, "identifier": self.id, "cookie": self.cookie,
                  "ticket": rt.ZERO16, "server": self.server, "signature": bytes(64), **fields}
        answers = self.send(Kind.REGISTER, **values)
        for frame in answers:
            if frame.kind == Kind.REGISTERED:
                self.session = frame["session"]
            elif frame.kind == Kind.CHALLENGE:
                self.cookie = frame["cookie"]
        return answers

    def registered(self) -> "Raw":
        self.register()
        self.register()
        if self.session == rt.ZERO16:
            raise Failure("no session")
        return self

    def close(self) -> None:
        self.socket.close()


def blob_fields(blob: bytes, index: int = 0) -> dict[str, Any]:
    return {"digest": rt.digest_of(blob), "length": len(blob), "index": index}


class Case(unittest.TestCase):
    """What all tests use."""

    def server(self, **config: Any) -> Server:
        server = Server(**config)
        self.addCleanup(server.stop)
        return server

    def peer(self, server: Server, host: str, **options: Any) -> Peer:
        peer = Peer(server, host, **options)
        self.addCleanup(peer.udp.close)
        peer.core.register(rt.now_ms())
        return peer

    def pair(self, server: Server, host: str, other: Optional[str] = None, **options: Any) -> list[Peer]:
        """Two registered peers."""
        seeds = options.pop("seeds", (None, None))
        peers = [self.peer(server, where, seed=seed, **options) for where, seed in zip((host, other or host), seeds)]
        run(peers, lambda: all(peer.got("registered") for peer in peers), 20)
        return peers

    def raw(self, server: Server, host: str) -> Raw:
        raw = Raw(server, host)
        self.addCleanup(raw.close)
        return raw

    def offer(self, peers: list[Peer], files: tuple[str, str], seconds: float = 10) -> bytes:
        """The first peer's offer, up to where the second one's application has it."""
        a, b = peers
        offer = a.core.offer(rt.now_ms(), b.id, (DATA / files[0]).read_bytes())
        run(peers, lambda: b.got("offered", offer=offer), seconds)
        return offer

    def finish(self, peers: list[Peer], offer: bytes, files: tuple[str, str], seconds: float = 10) -> None:
        """The second peer answers; both blobs have arrived byte for byte, each once, and nothing has failed."""
        a, b = peers
        run(peers, lambda: b.got("offered", offer=offer), seconds)
        if b.core.calls[offer].phase == rt.Phase.PRESENTED:
            b.core.answer(rt.now_ms(), offer, (DATA / files[1]).read_bytes())
        run(peers, lambda: a.got("answered", offer=offer) and b.got("delivered", offer=offer), seconds)
        self.assertEqual([event["blob"] for event in b.got("offered")], [(DATA / files[0]).read_bytes()])
        self.assertEqual([event["blob"] for event in a.got("answered")], [(DATA / files[1]).read_bytes()])
        self.assertEqual(b.got("offered")[0]["source"], a.id)
        self.assertEqual(a.got("failed") + b.got("failed"), [])

    def call(self, peers: list[Peer], files: tuple[str, str], seconds: float = 10) -> bytes:
        offer = self.offer(peers, files, seconds)
        self.finish(peers, offer, files, seconds)
        return offer

    def error(self, answers: list[rt.Frame], code: Code, kind: int, reference: bytes, detail: int = 0) -> int:
        """Exactly one ERROR with these fields; its retry_after."""
        self.assertEqual([frame.kind for frame in answers], [Kind.ERROR], answers)
        fields = {name: answers[0][name] for name in ("code", "kind", "reference", "detail")}
        self.assertEqual(fields, {"code": code, "kind": kind, "reference": reference, "detail": detail})
        return answers[0]["retry_after"]


class BothFamilies(Case):
    """Runs ``each`` for IPv4 and IPv6, each on its own server."""

    def each(self, test: Callable[[Server, str], None], **config: Any) -> None:
        for host in HOSTS:
            with self.subTest(host=host):
                server = self.server(**config)
                test(server, host)
                server.stop()


# --------------------------------------------------------------------------------------------------
# Registration (section 5)
# --------------------------------------------------------------------------------------------------


class Registration(BothFamilies):
    def test_ping(self) -> None:
        def test(server: Server, host: str) -> None:
            peer = Peer(server, host)
            self.addCleanup(peer.udp.close)
            peer.core.ping(rt.now_ms())
            pong = run([peer], lambda: peer.got("pong"))[0]
            self.assertEqual(pong["observed"], rt.Address(host, peer.udp.socket.getsockname()[1]))

        self.each(test)

    def test_registration(self) -> None:
        def test(server: Server, host: str) -> None:
            peer = self.peer(server, host)
            event = run([peer], lambda: peer.got("registered"))[0]
            self.assertEqual(event["observed"], rt.Address(host, peer.udp.socket.getsockname()[1]))
            self.assertEqual((event["ttl"], event["timeout"], event["maxblob"]), (rt.PEER_TTL, 7_000, 5_000))
            # The server stores nothing for a REGISTER without a valid cookie.
            raw = self.raw(server, host)
            for cookie in (rt.ZERO16, b"c" * 16):
                transaction = uuid.uuid4().bytes
                answers = raw.register(transaction=transaction, cookie=cookie)
                self.assertEqual([(frame.kind, frame["reference"]) for frame in answers],
                                 [(Kind.CHALLENGE, transaction)])
            # With it, twice the same session: the first REGISTERED may have been lost.
            first, second = raw.register()[0], raw.register()[0]
            self.assertEqual((first.kind, first["session"]), (Kind.REGISTERED, second["session"]))
            self.assertEqual(first["observed"], raw.address)

        self.each(test, timeout=7, maxblob=5_000)

    def test_keepalive(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.raw(server, host).registered()
            transaction = uuid.uuid4().bytes
            frame, = raw.send(Kind.KEEPALIVE, transaction=transaction, observed=None)
            self.assertEqual((frame.kind, frame["transaction"], frame["session"], frame["observed"]),
                             (Kind.KEEPALIVE_REPLY, transaction, raw.session, raw.address))
            with mock.patch.object(rt, "KEEPALIVE_INTERVAL", 100):
                peer = self.peer(server, host)
                run([peer], lambda: peer.got("registered"))
                session = peer.core.session
                peer.udp.rebind()  # found by the KEEPALIVE alone
                run([peer], lambda: len(peer.got("registered")) > 1)
            self.assertEqual(peer.core.session, session)
            self.assertEqual(peer.core.observed, rt.Address(host, peer.udp.socket.getsockname()[1]))

        self.each(test)

    def test_identifier_taken(self) -> None:
        def test(server: Server, host: str) -> None:
            first = self.peer(server, host)
            run([first], lambda: first.got("registered"))
            second = self.peer(server, host, identifier=first.id)
            event = run([first, second], lambda: second.got("registration_delayed"))[0]
            self.assertEqual(event["reason"], "identifier_taken")
            self.assertTrue(50_000 < event["retry_after"] <= rt.PEER_TTL + 2_000, event)
            self.assertEqual(second.got("registered"), [])

        self.each(test)

    def test_unregister(self) -> None:
        def test(server: Server, host: str) -> None:
            first = self.peer(server, host)
            run([first], lambda: first.got("registered"))
            first.core.unregister(rt.now_ms())
            run([first], lambda: first.got("unregistered"))
            second = self.peer(server, host, identifier=first.id)  # the identifier is free at once
            run([second], lambda: second.got("registered"))
            self.assertEqual(second.got("registration_delayed"), [])
            raw = self.raw(server, host).registered()
            transaction = uuid.uuid4().bytes
            frame, = raw.send(Kind.UNREGISTER, transaction=transaction)
            self.assertEqual((frame.kind, frame["transaction"], frame["session"]),
                             (Kind.UNREGISTERED, transaction, raw.session))
            for kind, more in ((Kind.KEEPALIVE, {"observed": None}), (Kind.UNREGISTER, {})):
                frame, = raw.send(kind, transaction=transaction, **more)
                self.assertEqual((frame.kind, frame["reference"]), (Kind.CHALLENGE, transaction))

        self.each(test)

    def test_old_cookie_does_not_move_a_peer_back(self) -> None:
        def test(server: Server, host: str) -> None:
            old, new = self.raw(server, host).registered(), self.raw(server, host)
            new.id, new.session = old.id, old.session
            time.sleep(COARSE)  # so that the old cookie is older than the move for a coarse clock too
            frame = self.persist(new)
            self.assertEqual((frame["session"], frame["observed"]), (old.session, new.address))
            frame, = old.register()
            self.assertEqual(frame.kind, Kind.CHALLENGE)
            frame, = new.send(Kind.KEEPALIVE, transaction=rt.ZERO16, observed=None)
            self.assertEqual(frame.kind, Kind.KEEPALIVE_REPLY)
            frame = self.persist(old)  # now with a cookie issued after the move
            self.assertEqual((frame["session"], frame["observed"]), (new.session, old.address))

        self.each(test)

    def persist(self, raw: Raw) -> rt.Frame:
        """Answer CHALLENGEs until REGISTERED comes.

        More than one may come: a server may tell times apart only coarsely, and take a cookie of the same moment in
        which the address in force was proved for an older one.
        """
        end = rt.now_ms() + 1_000
        while True:
            frame, = raw.register()
            if frame.kind == Kind.REGISTERED:
                return frame
            self.assertEqual(frame.kind, Kind.CHALLENGE)
            self.assertLess(rt.now_ms(), end)

    def test_refusals(self) -> None:
        host = HOSTS[0]
        raw = self.raw(self.server(plainids=False, maxpeers=1), host)
        keyed = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")  # RFC 8032, 7.1
        for identifier, code, detail in (
                (raw.id, Code.IDENTIFIER_REFUSED, 2), (keyed, Code.BAD_SIGNATURE, 0),
                (b"\xff" * 32, Code.BAD_SIGNATURE, 0)):
            transaction = uuid.uuid4().bytes
            raw.register(identifier=identifier)
            answers = raw.register(identifier=identifier, transaction=transaction)
            self.assertEqual(self.error(answers, code, Kind.REGISTER, transaction, detail), 0)
        server = self.server(maxpeers=1)
        self.raw(server, host).registered()
        raw = self.raw(server, host)
        raw.register()
        transaction = uuid.uuid4().bytes
        self.error(raw.register(transaction=transaction), Code.SERVER_FULL, Kind.REGISTER, transaction, 1)


# --------------------------------------------------------------------------------------------------
# Calls (sections 6, 7 and 8)
# --------------------------------------------------------------------------------------------------


class Calls(BothFamilies):
    def test_small_and_large_blobs(self) -> None:
        for files in (SMALL, LARGE):
            def test(server: Server, host: str, files: tuple[str, str] = files) -> None:
                self.call(self.pair(server, host), files)

            self.each(test)

    def test_one_peer_over_ipv4_and_one_over_ipv6(self) -> None:
        peers = self.pair(self.server(), *HOSTS)
        self.call(peers, SMALL)
        observed = peers[1].got("offered")[0]["observed"], peers[0].got("answered")[0]["observed"]
        self.assertEqual([address.host for address in observed], list(HOSTS))
        peers[0].core.punch(rt.now_ms(), peers[0].got("answered")[0]["offer"])
        run(peers, lambda: all(peer.got("punch_failed", reason="no_address") for peer in peers))

    def test_decline(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = self.pair(server, host)
            offer = self.offer(peers, SMALL)
            peers[1].core.decline(rt.now_ms(), offer)
            run(peers, lambda: peers[0].got("failed") and peers[1].got("delivered"))
            self.assertEqual(peers[0].got("failed")[0]["reason"], "declined")

        self.each(test)

    def test_candidates(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = self.pair(server, host)
            offer = self.call(peers, SMALL)
            sent = [bytes([number]) * (1 + number * 16) for number in range(rt.FRAGMENTS_MAX)]
            for peer in peers:
                for data in sent:
                    peer.core.candidate(rt.now_ms(), offer, data)
            run(peers, lambda: all(peer.got("candidates_delivered") for peer in peers))
            for peer in peers:
                self.assertEqual([e["blob"] for e in sorted(peer.got("candidate"), key=lambda e: e["index"])], sent)

        self.each(test)

    def test_punch(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = self.pair(server, host)
            offer = self.call(peers, SMALL)
            peers[1].core.punch(rt.now_ms(), offer)
            run(peers, lambda: all(peer.got("path") for peer in peers))
            for peer, other in (peers, peers[::-1]):
                self.assertEqual(peer.got("path")[0]["address"], other.core.observed)
                self.assertEqual(peer.got("path")[0]["observed"], peer.core.observed)

        self.each(test)

    def test_thirty_percent_loss_on_every_hop(self) -> None:
        def test(server: Server, host: str) -> None:
            # Two hops each way: half of everything is lost from end to end.
            peers = self.pair(server, host, drop=0.3, seeds=(1, 2))
            self.call(peers, MIDDLE if host == HOSTS[0] else SMALL, 40)

        self.each(test, timeout=60)

    def test_ten_percent_loss_with_large_blobs(self) -> None:
        self.call(self.pair(self.server(timeout=60), HOSTS[0], drop=0.1, seeds=(3, 4)), LARGE, 30)

    def test_roaming_in_mid_call(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = a, b = self.pair(server, host)
            offer = a.core.offer(rt.now_ms(), b.id, (DATA / LARGE[0]).read_bytes())
            run(peers, lambda: self.partly(b, offer))
            a.udp.rebind()
            run(peers, lambda: len(a.got("registered")) > 1)
            b.udp.rebind()
            run(peers, lambda: b.got("offered"))
            b.core.answer(rt.now_ms(), offer, (DATA / LARGE[1]).read_bytes())
            run(peers, lambda: self.partly(a, offer))
            b.udp.rebind()
            self.finish(peers, offer, LARGE)
            self.assertEqual([event["session_changed"] for event in a.got("registered")], [True, False])

        self.each(test)

    def test_server_killed_and_restarted_in_mid_call(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = a, b = self.pair(server, host)
            offer = a.core.offer(rt.now_ms(), b.id, (DATA / LARGE[0]).read_bytes())
            run(peers, lambda: self.partly(b, offer))
            server.kill()
            server.start()
            run(peers, lambda: b.got("offered"), 20)
            server.kill()  # while it rings
            server.start()
            b.core.answer(rt.now_ms(), offer, (DATA / LARGE[1]).read_bytes())
            run(peers, lambda: self.partly(a, offer), 20)
            server.kill()
            server.start()
            self.finish(peers, offer, LARGE, 20)

        self.each(test)

    @staticmethod
    def partly(peer: Peer, offer: bytes) -> bool:
        """Whether the peer has received something of the blob and not all."""
        call = peer.core.calls.get(offer)
        return bool(call and call.incoming and call.incoming.bitmap and call.incoming.blob is None)

    def test_offer_to_self(self) -> None:
        def test(server: Server, host: str) -> None:
            peer = self.peer(server, host)
            peer.core.offer(rt.now_ms(), peer.id, b"hello")
            event = run([peer], lambda: peer.got("failed"))[0]
            self.assertEqual(event["reason"], "offer_to_self")

        self.each(test)

    def test_offer_timeout(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = self.pair(server, host)
            start = rt.now_ms()
            self.offer(peers, SMALL)
            event = run(peers, lambda: peers[0].got("failed"))[0]
            self.assertEqual(event["reason"], "timeout")
            self.assertTrue(900 <= rt.now_ms() - start <= 2_900, rt.now_ms() - start)
            raw = self.raw(server, host)  # and once only
            raw.registered()
            offer = uuid.uuid4().bytes
            self.assertEqual(raw.send(Kind.OFFER, b"x", offer=offer, target=peers[1].id, **blob_fields(b"x")), [])
            raw.socket.settimeout(5)
            notice = rt.decode(raw.socket.recv(2048))
            self.assertEqual(self.error([notice], Code.TIMEOUT, Kind.OFFER, offer), 0)
            frame, = raw.send(Kind.PUNCH, offer=offer)
            self.assertEqual((frame.kind, frame["code"]), (Kind.ERROR, Code.OFFER_UNKNOWN))

        self.each(test, timeout=1)

    def test_offer_to_a_peer_that_comes_back(self) -> None:
        def test(server: Server, host: str) -> None:
            a, late = self.peer(server, host), Peer(server, host)
            self.addCleanup(late.udp.close)
            offer = a.core.offer(rt.now_ms(), late.id, (DATA / SMALL[0]).read_bytes())
            transfer = a.core.calls[offer].outgoing
            assert transfer is not None
            run([a], lambda: transfer.hold_until > rt.now_ms())  # PEER_UNKNOWN with a retry_after has come
            late.core.register(rt.now_ms())
            self.finish([a, late], offer, SMALL)

        self.each(test)

    def test_offer_to_an_unknown_identifier(self) -> None:
        # Until RESTART_GRACE after its start the server asks to retry; then the offer fails for good.
        for host in HOSTS:
            with self.subTest(host=host):
                peer = self.peer(self.old_server, host)
                peer.core.offer(rt.now_ms(), b"n" * 16 + bytes(16), b"hello")
                event = run([peer], lambda: peer.got("failed"), rt.RESTART_GRACE / 1000 + 2)[0]
                self.assertEqual(event["reason"], "peer_unknown")
                self.assertGreaterEqual(rt.now_ms() - self.old_server.started, rt.RESTART_GRACE)
                raw = self.raw(self.old_server, host).registered()
                offer = uuid.uuid4().bytes
                answers = raw.send(Kind.PUNCH, offer=offer)
                self.assertEqual(self.error(answers, Code.OFFER_UNKNOWN, Kind.PUNCH, offer), 0)

    old_server: Server  # started before all tests


# --------------------------------------------------------------------------------------------------
# Single datagrams (sections 2, 6, 9 and 13)
# --------------------------------------------------------------------------------------------------


class Datagrams(BothFamilies):
    def test_malformed_frames_of_a_live_session(self) -> None:
        def test(server: Server, host: str) -> None:
            raw, other = self.raw(server, host).registered(), self.raw(server, host).registered()
            entries = json.loads((VECTORS / "must-fail.json").read_text())
            seen = set()
            for entry in entries:
                data = bytes.fromhex(entry["hex"])
                magic, version, kind = data[:2], data[2:3], data[3] if len(data) > 3 else 0
                for sender in (raw, other):
                    frame = data[:4] + raw.session + data[20:] if len(data) >= 20 else data
                    with self.subTest(name=entry["name"], live=sender is raw):
                        answers = sender.ask(frame)
                        reference = frame[20:36] if len(frame) >= 36 else rt.ZERO16
                        if len(frame) < 28 or magic != rt.MAGIC or kind >= 0x40:
                            self.assertEqual(answers, [])
                        elif version != b"\1":
                            self.error(answers, Code.VERSION, kind, reference, 1)
                        elif sender is raw and len(frame) >= 36:
                            code = Code.UNKNOWN_KIND if entry["error"] == "unknown_kind" else Code.MALFORMED
                            self.assertEqual(self.error(answers, code, kind, reference), 0)
                            seen.add(entry["error"])
                        else:
                            self.assertEqual(answers, [])
            self.assertEqual(seen, {"truncated", "trailing", "bad_field", "oversized", "unknown_kind"})

        self.each(test)

    def test_other_versions(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.raw(server, host)
            for version in (0, 2, 255):
                for kind in (0, 1, 2, 0x3F, 0x40, 0x7F, 0x80, 0x8F, 0xFF):
                    for size in (4, 27, 28, 35, 36, 1180):
                        with self.subTest(version=version, kind=kind, size=size):
                            data = (rt.MAGIC + bytes([version, kind]) + bytes(range(1, 200)) * 7)[:size]
                            answers = raw.ask(data)
                            if kind >= 0x40 or size < 28:
                                self.assertEqual(answers, [])
                            else:
                                reference = data[20:36] if size >= 36 else rt.ZERO16
                                self.assertEqual(self.error(answers, Code.VERSION, kind, reference, 1), 0)

        self.each(test)

    def test_valid_frames_without_a_session(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.raw(server, host)
            for entry in json.loads((VECTORS / "frames.json").read_text()):
                data = bytes.fromhex(entry["hex"])
                with self.subTest(name=entry["name"]):
                    answers = [(frame.kind, frame.fields.get("reference")) for frame in raw.ask(data)]
                    if data[3] >= 0x40:
                        self.assertEqual(answers, [])
                    elif data[3] == Kind.PING:
                        self.assertEqual(answers, [(Kind.PONG, None)])
                    else:
                        self.assertEqual(answers, [(Kind.CHALLENGE, data[20:36])])

        self.each(test)

    def test_session_from_another_address(self) -> None:
        server = self.server()
        raw, thief = self.raw(server, HOSTS[0]).registered(), self.raw(server, HOSTS[0]).registered()
        frame, = thief.send(Kind.KEEPALIVE, session=raw.session, transaction=b"t" * 16, observed=None)
        self.assertEqual((frame.kind, frame["reference"]), (Kind.CHALLENGE, b"t" * 16))
        self.assertEqual(raw.drain(), [])

    def test_relayed_bytes_are_as_sent(self) -> None:
        def test(server: Server, host: str) -> None:
            a, b = self.raw(server, host).registered(), self.raw(server, host).registered()
            offer, blob = uuid.uuid4().bytes, bytes(range(256)) * 4 + b"end"
            for index in (1, 0):  # whatever the order, and also a digest that is wrong
                piece = blob[index * rt.FRAGMENT:(index + 1) * rt.FRAGMENT]
                fields = {"digest": b"whatever", "length": len(blob), "index": index}
                self.assertEqual(a.send(Kind.OFFER, piece, offer=offer, target=b.id, **fields), [])
                frame, = b.drain()
                self.assertEqual((frame.kind, frame.blob), (Kind.RELAYED_OFFER, piece))
                self.assertEqual(frame.fields, {"session": b.session, "offer": offer, "source": a.id,
                                                "observed": a.address, **fields})
            self.assertEqual(b.send(Kind.ACK, offer=offer, kind=Kind.OFFER, bitmap=3), [])
            frame, = a.drain()
            self.assertEqual((frame.kind, frame.fields), (
                Kind.RELAYED_ACK, {"session": a.session, "offer": offer, "kind": Kind.OFFER, "bitmap": 3}))

        self.each(test)

    def test_what_is_not_permitted(self) -> None:
        server = self.server(maxblob=2_000, maxpeeroffers=1)
        a, b, c = (self.raw(server, HOSTS[0]).registered() for _ in range(3))
        offer, other = uuid.uuid4().bytes, uuid.uuid4().bytes
        one = blob_fields(b"x")

        def refused(raw: Raw, code: Code, kind: Kind, blob: bytes = b"", /, **fields: Any) -> None:
            with self.subTest(code=code.name, kind=kind.name):
                retry_after = self.error(raw.send(kind, blob, **fields), code, kind, fields["offer"])
                # The server has just been started: what it does not know may come, the answer of an open offer too.
                no_answer = (code, kind) == (Code.NOT_PERMITTED, Kind.PUNCH) and raw is not c
                retried = no_answer or code in (Code.PEER_UNKNOWN, Code.OFFER_UNKNOWN)
                self.assertEqual(retry_after, rt.RESTART_RETRY if retried else 0)

        large = {"digest": bytes(8), "length": 2_001, "index": 0}
        refused(a, Code.BLOB_TOO_LARGE, Kind.OFFER, bytes(1024), offer=offer, target=b.id, **large)
        refused(a, Code.OFFER_TO_SELF, Kind.OFFER, b"x", offer=offer, target=a.id, **one)
        refused(a, Code.PEER_UNKNOWN, Kind.OFFER, b"x", offer=offer, target=b"n" * 32, **one)
        refused(a, Code.OFFER_UNKNOWN, Kind.PUNCH, offer=offer)
        refused(a, Code.OFFER_UNKNOWN, Kind.ACK, offer=offer, kind=Kind.OFFER, bitmap=1)
        self.assertEqual(a.send(Kind.OFFER, b"x", offer=offer, target=b.id, **one), [])
        b.drain()
        refused(a, Code.NOT_PERMITTED, Kind.PUNCH, offer=offer)  # not answered yet
        refused(b, Code.NOT_PERMITTED, Kind.PUNCH, offer=offer)
        refused(c, Code.NOT_PERMITTED, Kind.PUNCH, offer=offer)
        refused(c, Code.OFFER_CONFLICT, Kind.OFFER, b"x", offer=offer, target=b.id, **one)
        refused(a, Code.NOT_PERMITTED, Kind.ANSWER, b"x", offer=offer, target=b.id, **one)
        refused(b, Code.NOT_PERMITTED, Kind.ANSWER, b"x", offer=offer, target=c.id, **one)
        refused(c, Code.NOT_PERMITTED, Kind.CANDIDATE, b"x", offer=offer, target=a.id, **one)
        raw = a.send(Kind.OFFER, b"x", offer=other, target=b.id, **one)
        self.assertEqual([(frame.kind, frame["code"]) for frame in raw], [(Kind.ERROR, Code.TOO_MANY_OFFERS)])
        self.assertEqual(b.send(Kind.ANSWER, b"x", offer=offer, target=a.id, **one), [])
        a.drain()
        to_a, = a.send(Kind.PUNCH, offer=offer)
        to_b, = b.drain()
        self.assertEqual((to_a["peer"], to_b["peer"], to_a["token"]), (b.address, a.address, to_b["token"]))
        again, = a.send(Kind.PUNCH, offer=offer)
        self.assertEqual(again["token"], to_a["token"])


class CommandLine(Case):
    """client.py as a user runs it."""

    def start(self, command: str, server: Server, *words: Any) -> subprocess.Popen[str]:
        arguments = [sys.executable, HERE / "client.py", command, HOSTS[0], server.port, *words]
        process = subprocess.Popen([str(word) for word in arguments], text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.kill)  # which does nothing if it has ended
        return process

    def result(self, process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]], str]:
        out, err = process.communicate(timeout=30)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def test_ping_and_no_server(self) -> None:
        server = self.server()
        self.assertEqual(self.result(self.start("ping", server))[0], 0)
        server.kill()
        self.assertEqual(self.result(self.start("ping", server, "--timeout", 1))[0], 1)
        self.assertEqual(self.result(self.start("listen", server))[0], 2)

    def test_call(self) -> None:
        server = self.server()
        a, b = uuid.uuid4(), uuid.uuid4()
        with tempfile.TemporaryDirectory() as directory:
            answer = Path(directory) / "answer"
            for decline in (False, True):
                callee = self.start("listen", server, "--id", b, "--count", 1, "--linger", 0.2, "--offer-out",
                                    directory, *(["--decline"] if decline else ["--answer", DATA / LARGE[1]]))
                assert callee.stdout is not None
                self.assertIn("registered", callee.stdout.readline())
                caller = self.start("call", server, "--id", a, "--to", b, "--offer", DATA / LARGE[0], "--linger", 0.2,
                                    "--answer-out", answer, *([] if decline else ["--punch", "--candidates", 3]))
                code, lines, err = self.result(caller)
                self.assertEqual((code, err), (1, "call: failed: declined\n") if decline else (0, ""), lines)
                code, lines, err = self.result(callee)
                self.assertEqual((code, err), (0, ""), lines)
            self.assertEqual(answer.read_bytes(), (DATA / LARGE[1]).read_bytes())
            for offer in Path(directory).glob("*.bin"):
                self.assertEqual(offer.read_bytes(), (DATA / LARGE[0]).read_bytes())


# --------------------------------------------------------------------------------------------------
# Running
# --------------------------------------------------------------------------------------------------


def ordered(names: list[str]) -> unittest.TestSuite:
    """All tests, or those named; the one that needs a server of RESTART_GRACE's age last."""
    loader = unittest.defaultTestLoader
    module = sys.modules[__name__]
    found = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)

    def flat(suite: Any) -> list[Any]:
        return [test for part in suite for test in flat(part)] if isinstance(suite, unittest.TestSuite) else [suite]

    tests = flat(found)
    tests.sort(key=lambda test: "unknown_identifier" in test.id())
    return unittest.TestSuite(tests)


def built() -> Optional[Path]:
    """The server program that cargo has built last, if any."""
    repository = HERE.parents[1]
    target = repository / os.environ.get("CARGO_TARGET_DIR", "target")  # an absolute one stays as it is
    found = [path for profile in ("debug", "release") if (path := target / profile / "signallingserver").is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def main() -> int:
    global program
    if len(sys.argv) > 1:
        program = Path(sys.argv[1])
        if not program.is_file():
            print(f"no server program at {program}", file=sys.stderr)
            return 2
    elif (found := built()) is not None:
        program = found
    else:
        print("SKIPPED: no server program is built (cargo build --bin signallingserver)")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    # This server grows old while the other tests run.
    Calls.old_server = Server()
    try:
        result = unittest.TextTestRunner(verbosity=2).run(ordered(sys.argv[2:]))
    finally:
        Calls.old_server.stop()
    sys.stderr.flush()
    failed = len({id(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    more = f", {skipped} skipped" if skipped else ""
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed{more}")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
