"""Tests of sealing.py: every entry of proto/vectors/seal.json, the replay memory, and calls of keyed clients.

    python3 tests/python/test_sealing.py

Needs the package ``cryptography`` (requirements.txt beside this file).
"""

from __future__ import annotations

import json
import os
import re
import unittest
import zlib
from pathlib import Path
from typing import Any, Callable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import hpke
import identity as ids
import roundtable as rt
import sealing
from roundtable import Kind, SealError
from test_core import SERVER, Net

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
PROTO = HERE.parents[1] / "proto"
VECTORS = json.loads((PROTO / "vectors" / "seal.json").read_text())
PROBES = json.loads((PROTO / "vectors" / "probe.json").read_text())
NOW = 1_750_000_000
A, B, C = (ids.Identity(bytes([number]) * 32) for number in (1, 2, 3))
OFFER = bytes([9]) * 16


def raw(entry: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(entry[name])


class Vectors(unittest.TestCase):
    def test_valid(self) -> None:
        self.assertTrue(VECTORS["valid"])
        for entry in VECTORS["valid"]:
            with self.subTest(entry["name"]):
                self.check(entry, Kind[entry["kind"]])

    def test_probes(self) -> None:
        def holds(entry: dict[str, Any]) -> bool:
            key = rt.probe_key(*(raw(entry, name) for name in ("secret", "offer", "caller", "callee", "token")))
            self.assertIn(entry.get("key"), (None, key.hex()))
            frame = rt.decode(raw(entry, "datagram"))
            untagged = rt.encode(frame.kind, **{**frame.fields, "tag": bytes(16)})
            return frame["tag"] == rt.probe_tag(key, rt.ROLES[entry["from"] == "caller"], untagged)

        answers = {entry["name"]: entry for entry in VECTORS["valid"] if entry["kind"] == "ANSWER"}
        for entry in PROBES["valid"]:
            with self.subTest(entry["name"]):
                self.assertTrue(holds(entry))
                if "answer" in entry:
                    answer = answers[entry["answer"]]
                    reply = X25519PrivateKey.from_private_bytes(raw(answer, "reply_secret"))
                    binding = sealing.Binding(Kind.ANSWER, 0, *(raw(answer, name)
                                                                for name in ("offer", "callee", "caller")))
                    self.assertEqual(sealing.probe_secret(reply, binding, raw(answer, "sealed")),
                                     raw(entry, "secret"))
        for entry in PROBES["must_fail"]:
            with self.subTest(entry["name"]):
                self.assertEqual((holds(entry), entry["error"]), (False, "bad_tag"))

    def check(self, entry: dict[str, Any], kind: Kind) -> None:
        caller, callee = ids.Identity(raw(entry, "caller_seed")), ids.Identity(raw(entry, "callee_seed"))
        self.assertEqual([caller.identifier.hex(), callee.identifier.hex()], [entry["caller"], entry["callee"]])
        reply_secret = X25519PrivateKey.from_private_bytes(raw(entry, "reply_secret"))
        self.assertEqual(hpke.public_bytes(reply_secret), raw(entry, "reply_key"))
        from_caller = entry["from"] == "caller"
        sender, receiver = (caller, callee) if from_caller else (callee, caller)
        secret = callee.decryption_key if from_caller else reply_secret
        receiver_key = ids.x25519_public(callee.identifier) if from_caller else raw(entry, "reply_key")
        self.assertEqual(receiver_key, raw(entry, "encrypted_to"))
        self.assertEqual(hpke.public_bytes(secret), receiver_key)

        binding = sealing.Binding(kind, entry["number"], raw(entry, "offer"), sender.identifier, receiver.identifier)
        self.assertEqual(binding.info, raw(entry, "info"))
        self.assertEqual(hpke.Sender(receiver_key, binding.info, raw(entry, "entropy")).enc, raw(entry, "enc"))
        head = entry["time"].to_bytes(8, "big") + raw(entry, "reply_key") if kind == Kind.OFFER else b""
        rest = head + raw(entry, "packed")
        signed = sealing.signed_message(binding.info, receiver_key, raw(entry, "enc"), rest)
        self.assertEqual(signed, raw(entry, "signed"))
        self.assertEqual(sender.sign(signed), raw(entry, "signature"))
        sealed = sealing.seal(sender, binding, receiver_key, rest, raw(entry, "entropy"))
        self.assertEqual(sealed, raw(entry, "sealed"))
        opened = sealing.open_blob(secret, binding, sealed)
        self.assertEqual(opened, sealing.Opened(raw(entry, "payload"), entry.get("time", 0), head[8:]))
        packed = sealing.pack(raw(entry, "payload"))  # may be other bytes
        self.assertEqual(sealing.unpack(packed, rt.BLOB_MAX), raw(entry, "payload"))

    def test_must_fail(self) -> None:
        self.assertTrue(VECTORS["must_fail"])
        for entry in VECTORS["must_fail"]:
            with self.subTest(entry["name"]):
                with self.assertRaises(SealError) as refused:
                    self.open(entry, Kind[entry["kind"]])
                self.assertEqual(refused.exception.name, entry["error"])

    def open(self, entry: dict[str, Any], kind: Kind) -> None:
        own = ids.Identity(raw(entry, "own_seed"))
        sender, offer, sealed = raw(entry, "sender"), raw(entry, "offer"), raw(entry, "sealed")
        if kind == Kind.OFFER:
            clock = [NOW]
            keys = sealing.Keys(own, clock=lambda: clock[0])
            if entry.get("opened_before"):
                keys.take_offer(sender, offer, sealed)
            clock[0] = entry["now"]
            keys.take_offer(sender, offer, sealed)
        else:
            secret = own.decryption_key
            if entry["opened_by"] == "caller":
                secret = X25519PrivateKey.from_private_bytes(raw(entry, "reply_secret"))
            sealing.open_blob(secret, sealing.Binding(kind, entry["number"], offer, sender, own.identifier), sealed)

    def test_vectors_have_every_name_but_that_of_a_full_memory(self) -> None:
        section = (PROTO / "SPEC.md").read_text().split("### Opening")[1].split("\n### ")[0]
        names = set(re.findall(r"(?m)^\| ([a-z_]+) \| ", section)) - {"name"}
        self.assertEqual(len(names), 16)
        self.assertEqual(names - {entry["error"] for entry in VECTORS["must_fail"]}, {"replay_memory_full"})

    def test_constants_are_those_of_section_10(self) -> None:
        rows = dict(re.findall(r"(?m)^\| ([A-Z_]+) \| (\d+) \|", (PROTO / "SPEC.md").read_text()))
        for name in ("OFFER_WINDOW", "OFFERS_REMEMBERED", "OFFERS_PER_SENDER"):
            self.assertEqual(getattr(sealing, name), int(rows[name]), name)


class Packing(unittest.TestCase):
    def test_stream_is_unpacked_up_to_the_bound_and_no_further(self) -> None:
        for size in (0, 1, 999, 1000):
            packed = b"\1" + zlib.compress(bytes(size))[2:-4]
            self.assertEqual(sealing.unpack(packed, 1000), bytes(size))
        for size in (1001, 50_000_000):
            packed = b"\1" + zlib.compress(bytes(size))[2:-4]
            with self.assertRaisesRegex(SealError, "payload_too_long"):
                sealing.unpack(packed, 1000)

    def test_real_descriptions_shrink(self) -> None:
        for path in sorted(DATA.glob("*.sdp")):
            payload = path.read_bytes()
            packed = sealing.pack(payload)
            self.assertEqual(packed[0], sealing.DEFLATED, path.name)
            self.assertLess(len(packed), len(payload) * 2 / 3, path.name)
            self.assertEqual(sealing.unpack(packed, rt.BLOB_MAX), payload)


class LibraryTest(unittest.TestCase):
    def test_hpke_of_the_library_opens_what_is_sealed_here(self) -> None:
        try:
            from cryptography.hazmat.primitives import hpke as other
        except ImportError:
            self.skipTest("this version of cryptography has no HPKE")
        sender = hpke.Sender(ids.x25519_public(B.identifier), b"info", os.urandom(32))
        suite = other.Suite(other.KEM.X25519, other.KDF.HKDF_SHA256, other.AEAD.CHACHA20_POLY1305)
        self.assertEqual(suite.decrypt(sender.enc + sender.seal(b"hello"), B.decryption_key, b"info"), b"hello")
        sealed = suite.encrypt(b"hello", B.decryption_key.public_key(), b"info")
        self.assertEqual(hpke.open_sealed(B.decryption_key, sealed[:32], sealed[32:], b"info"), b"hello")


class Replay(unittest.TestCase):
    def refused(self, name: str, memory: sealing.ReplayMemory, now: int, sender: int, offer: int, at: int) -> None:
        with self.assertRaises(SealError) as refused:
            memory.take(now, bytes([sender]), offer.to_bytes(2, "big"), at)
        self.assertEqual(refused.exception.name, name)

    def take(self, memory: sealing.ReplayMemory, now: int, sender: int, offer: int, at: int) -> None:
        memory.take(now, bytes([sender]), offer.to_bytes(2, "big"), at)

    def test_window_has_both_its_ends(self) -> None:
        memory = sealing.ReplayMemory()
        self.take(memory, NOW, 1, 1, NOW - 300)
        self.take(memory, NOW, 1, 2, NOW + 300)
        self.refused("stale", memory, NOW, 1, 3, NOW - 301)
        self.refused("stale", memory, NOW, 1, 3, NOW + 301)
        self.refused("stale", memory, NOW, 1, 3, 2**64 - 1)
        self.refused("stale", memory, NOW, 1, 3, 0)

    def test_offer_is_taken_once_from_each_sender(self) -> None:
        memory = sealing.ReplayMemory()
        self.take(memory, NOW, 1, 1, NOW)
        self.take(memory, NOW, 2, 1, NOW)
        self.refused("replayed", memory, NOW, 1, 1, NOW)
        self.refused("replayed", memory, NOW, 1, 1, NOW + 1)
        self.refused("replayed", memory, NOW + 300, 1, 1, NOW)
        self.refused("stale", memory, NOW + 301, 1, 1, NOW)

    def test_clock_set_back_brings_nothing_back(self) -> None:
        memory = sealing.ReplayMemory()
        self.take(memory, NOW, 1, 1, NOW)
        self.take(memory, NOW + 400, 1, 2, NOW + 400)  # the first is forgotten
        self.refused("stale", memory, NOW, 1, 1, NOW)
        self.refused("stale", memory, NOW, 1, 3, NOW)
        self.take(memory, NOW, 1, 3, NOW + 1)

    def test_full_memory_refuses_until_it_forgets(self) -> None:
        memory = sealing.ReplayMemory()
        for offer in range(sealing.OFFERS_PER_SENDER):
            self.take(memory, NOW, 1, offer, NOW)
        self.refused("replay_memory_full", memory, NOW, 1, 999, NOW)
        self.refused("replayed", memory, NOW, 1, 0, NOW)
        for sender in range(2, 17):
            for offer in range(sealing.OFFERS_PER_SENDER):
                self.take(memory, NOW, sender, offer, NOW)
        self.refused("replay_memory_full", memory, NOW, 17, 1, NOW)
        self.refused("replay_memory_full", memory, NOW + 300, 17, 1, NOW + 300)
        self.take(memory, NOW + 301, 17, 1, NOW + 301)
        self.take(memory, NOW + 301, 1, 999, NOW + 301)


class TestKeys(unittest.TestCase):
    def test_answer_opens_with_the_reply_key_of_its_call_alone(self) -> None:
        a, b = sealing.Keys(A), sealing.Keys(B)
        caller = a.call(B.identifier, OFFER)
        payload, callee = b.take_offer(A.identifier, OFFER, caller.seal(Kind.OFFER, 0, b"offer"))
        answer = callee.seal(Kind.ANSWER, 0, b"answer")
        self.assertEqual((payload, caller.open(Kind.ANSWER, 0, answer)), (b"offer", b"answer"))
        # Whoever learns the seeds later has none but these two secrets.
        for identity in (A, B):
            with self.assertRaisesRegex(SealError, "undecryptable"):
                sealing.open_blob(identity.decryption_key,
                                  sealing.Binding(Kind.ANSWER, 0, OFFER, B.identifier, A.identifier), answer)
        again = a.call(B.identifier, OFFER)
        with self.assertRaisesRegex(SealError, "undecryptable"):
            again.open(Kind.ANSWER, 0, answer)

    def test_candidates_open_under_their_number_alone(self) -> None:
        a, b = sealing.Keys(A), sealing.Keys(B)
        caller = a.call(B.identifier, OFFER)
        _, callee = b.take_offer(A.identifier, OFFER, caller.seal(Kind.OFFER, 0, b"offer"))
        for one, other in ((caller, callee), (callee, caller)):
            sealed = one.seal(Kind.CANDIDATE, 5, b"candidate")
            self.assertEqual(other.open(Kind.CANDIDATE, 5, sealed), b"candidate")
            for kind, number in ((Kind.CANDIDATE, 4), (Kind.ANSWER, 5), (Kind.ANSWER, 0)):
                with self.assertRaisesRegex(SealError, "undecryptable"):
                    other.open(kind, number, sealed)
            with self.assertRaisesRegex(SealError, "undecryptable"):
                one.open(Kind.CANDIDATE, 5, sealed)

    def test_peers_that_cannot_be_sealed_to_are_refused(self) -> None:
        for peer, name in ((A.identifier, "same_peer"), (b"\1" + bytes(31), "plain_identifier"),
                           (b"\1" + bytes(30) + b"\x80", "bad_key"), (b"\xff" * 32, "bad_key")):
            with self.assertRaises(SealError) as refused:
                sealing.Keys(A).call(peer, OFFER)
            self.assertEqual(refused.exception.name, name)

    def test_longest_payload_that_does_not_shrink(self) -> None:
        caller = sealing.Keys(A).call(B.identifier, OFFER)
        for kind, added in ((Kind.OFFER, 154), (Kind.ANSWER, 114), (Kind.CANDIDATE, 114)):
            longest = sealing.payload_max(kind) - added
            self.assertEqual(len(caller.seal(kind, 0, os.urandom(longest))), sealing.payload_max(kind))
            with self.assertRaisesRegex(SealError, "too_long"):
                caller.seal(kind, 0, os.urandom(longest + 1))


# --------------------------------------------------------------------------------------------------
# Calls over the simulated network of test_core.py
# --------------------------------------------------------------------------------------------------


class Calls(unittest.TestCase):
    def pair(self, a: Any = A, b: Any = B) -> tuple[Net, rt.Client, rt.Client]:
        """Two registered clients; an Identity is a keyed one, bytes are a plain one."""
        net = Net()
        clients = []
        for number, peer in enumerate((a, b), 1):
            keys = sealing.Keys(peer) if isinstance(peer, ids.Identity) else peer
            clients.append(net.client(number, peer=keys))
            clients[-1].register(net.now)
        self.until(net, lambda: all(client.state == rt.State.REGISTERED for client in clients))
        return net, clients[0], clients[1]

    def until(self, net: Net, condition: Callable[[], Any], duration: float = 5_000) -> None:
        net.run(duration, lambda: bool(condition()))
        self.assertTrue(condition(), net.events)

    def tamper(self, net: Net, kind: Kind, change: Callable[[bytes], bytes]) -> None:
        """The server changes the blob in every frame of this kind that it passes on; each has one fragment."""
        deliver = net.send

        def send(source: rt.Address, to: rt.Address, data: bytes) -> None:
            if source == SERVER and data[3] == kind:
                frame = rt.decode(data)
                blob = change(frame.blob)
                frame.fields.update(digest=rt.digest_of(blob), length=len(blob))
                data = rt.encode(kind, blob, **frame.fields)
            deliver(source, to, data)

        net.send = send  # type: ignore[method-assign]

    def test_sealed_call(self) -> None:
        net, a, b = self.pair()
        seen: list[bytes] = []
        deliver = net.send

        def send(source: rt.Address, to: rt.Address, data: bytes) -> None:
            seen.append(data)
            deliver(source, to, data)

        net.send = send  # type: ignore[method-assign]
        texts = [(DATA / name).read_bytes() for name in ("chromium-audio-offer.sdp", "chromium-audio-answer.sdp")]
        offer = a.offer(net.now, b.identifier, texts[0])
        a.candidate(net.now, offer, b"candidate of the caller")
        self.until(net, lambda: net.got(b, "offered"))
        b.answer(net.now, offer, texts[1])
        b.candidate(net.now, offer, b"candidate of the callee")
        self.until(net, lambda: net.got(a, "candidate") and net.got(b, "candidate"))
        self.assertEqual([(e["blob"], e["sealed"]) for e in net.got(b, "offered")], [(texts[0], True)])
        self.assertEqual([(e["blob"], e["sealed"]) for e in net.got(a, "answered")], [(texts[1], True)])
        self.assertEqual(net.got(b, "candidate")[0]["blob"], b"candidate of the caller")
        self.assertEqual(net.got(a, "candidate")[0]["blob"], b"candidate of the callee")
        wire = b"".join(seen)
        for line in b"\n".join([*texts, b"candidate of the caller", b"candidate of the callee"]).splitlines():
            self.assertTrue(len(line) < 6 or line not in wire, line)

    def test_keyed_and_plain_do_not_seal(self) -> None:
        plain = b"\7" * 16 + bytes(16)
        for one, other in ((A, plain), (plain, B)):
            net, a, b = self.pair(one, other)
            offer = a.offer(net.now, b.identifier, b"hello")
            self.until(net, lambda: net.got(b, "offered"))
            b.answer(net.now, offer, b"welcome")
            self.until(net, lambda: net.got(a, "answered"))
            self.assertEqual([(e["blob"], e["sealed"]) for e in net.got(b, "offered")], [(b"hello", False)])
            self.assertEqual([(e["blob"], e["sealed"]) for e in net.got(a, "answered")], [(b"welcome", False)])

    def test_sealed_decline(self) -> None:
        net, a, b = self.pair()
        offer = a.offer(net.now, b.identifier, b"hello")
        self.until(net, lambda: net.got(b, "offered"))
        b.decline(net.now, offer)
        self.until(net, lambda: net.got(a, "failed") and net.got(b, "delivered"))
        self.assertEqual(net.got(a, "failed")[0]["reason"], "declined")

    def test_refused_offer_is_named_acknowledged_and_remembered(self) -> None:
        for change, name in ((lambda blob: b"v=0\r\n", "not_sealed"), (lambda blob: b"\2" + blob[1:], "version"),
                             (lambda blob: blob[:-1], "undecryptable"), (lambda blob: blob[:100], "truncated")):
            with self.subTest(name):
                net, a, b = self.pair()
                self.tamper(net, Kind.RELAYED_OFFER, change)
                a.offer(net.now, b.identifier, b"hello")
                self.until(net, lambda: net.got(a, "ringing"))
                net.run(10_000)  # it rings on, and is not opened again
                self.assertEqual([(e["kind"], e["reason"]) for e in net.got(b, "refused")], [("OFFER", name)])
                self.assertEqual((net.got(b, "offered"), b.calls), ([], {}))

    def test_refused_answer_ends_the_call_unacknowledged(self) -> None:
        for change, name in ((lambda blob: b"", "not_sealed"), (lambda blob: b"v=0\r\n", "not_sealed"),
                             (lambda blob: blob[:50] + b"x" + blob[51:], "undecryptable")):
            with self.subTest(name):
                net, a, b = self.pair()
                self.tamper(net, Kind.RELAYED_ANSWER, change)
                offer = a.offer(net.now, b.identifier, b"hello")
                a.punch(net.now, offer)
                self.until(net, lambda: net.got(b, "offered"))
                b.answer(net.now, offer, b"welcome")
                net.run(10_000)
                self.assertEqual([e["reason"] for e in net.got(a, "failed")], [name])
                self.assertEqual((net.got(a, "answered"), net.got(b, "delivered"), net.got(b, "path")), ([], [], []))

    def test_refused_candidate_leaves_its_number_free(self) -> None:
        net, a, b = self.pair()
        changes = [lambda blob: b"candidate in the clear", lambda blob: blob[:-1] + b"x"]
        self.tamper(net, Kind.RELAYED_CANDIDATE, lambda blob: (changes.pop() if changes else bytes)(blob))
        offer = a.offer(net.now, b.identifier, b"hello")
        a.candidate(net.now, offer, b"one")
        self.until(net, lambda: net.got(b, "candidate"), 20_000)
        self.assertEqual([e["reason"] for e in net.got(b, "refused")], ["undecryptable", "not_sealed"])
        self.assertEqual([e["blob"] for e in net.got(b, "candidate")], [b"one"])

    def test_offer_replayed_after_its_call_is_forgotten_is_refused(self) -> None:
        net, a, b = self.pair()
        frames: list[bytes] = []
        deliver = net.send

        def send(source: rt.Address, to: rt.Address, data: bytes) -> None:
            if source == SERVER and data[3] == Kind.RELAYED_OFFER:
                frames.append(data)
            deliver(source, to, data)

        net.send = send  # type: ignore[method-assign]
        a.offer(net.now, b.identifier, b"hello")
        self.until(net, lambda: net.got(b, "offered"))
        net.run(60_000)  # the call has failed by its own timer
        b.finished.clear()  # as after FINISHED_MAX others
        b.handle_datagram(net.now, frames[0], SERVER)
        net.run(1_000)
        self.assertEqual([e["reason"] for e in net.got(b, "refused")], ["replayed"])
        self.assertEqual(len(net.got(b, "offered")), 1)

    def test_offer_that_cannot_be_sealed_leaves_no_call(self) -> None:
        net, a, _ = self.pair()
        for target, size in ((A.identifier, 1), (b"\xff" * 32, 1), (C.identifier, rt.BLOB_MAX)):
            with self.assertRaises(rt.CallError):
                a.offer(net.now, target, os.urandom(size))
        self.assertEqual(a.calls, {})


class Registration(unittest.TestCase):
    def test_signature_comes_with_every_cookie_and_the_ticket_with_every_register(self) -> None:
        a = rt.Client(sealing.Keys(A), SERVER)
        a.register(0)
        first = self.register(a, 0)
        self.assertEqual((first["cookie"], first["ticket"], first["signature"]), (bytes(16), bytes(16), bytes(64)))
        observed, cookie = rt.Address("203.0.113.5", 4000), b"c" * 16
        a.handle_datagram(1, rt.encode(Kind.CHALLENGE, reference=first["transaction"], cookie=cookie,
                                       observed=observed), SERVER)
        second = self.register(a, 1)
        self.assertEqual(second["cookie"], cookie)
        self.assertEqual(second["server"], SERVER)
        ids.verify(A.identifier, second["signature"], ids.register_message(A.identifier, cookie, observed, SERVER))
        self.registered(a, 2, second, b"t" * 16)
        self.assertEqual(a.state, rt.State.REGISTERED)
        # When the ticket is older than half its lifetime, a REGISTER takes the place of the next KEEPALIVE.
        now = 2.0
        while True:
            now = a.next_timeout()
            frame = rt.decode(a.poll(now)[0][0])
            if frame.kind == Kind.REGISTER:
                break
            a.handle_datagram(now, rt.encode(Kind.KEEPALIVE_REPLY, session=b"s" * 16, observed=observed,
                                             transaction=frame["transaction"]), SERVER)
        self.assertGreater(now, rt.TICKET_LIFETIME / 2)
        self.assertLess(now, rt.TICKET_LIFETIME / 2 + 1.2 * rt.KEEPALIVE_INTERVAL)
        self.assertEqual((frame["session"], frame["ticket"], frame["cookie"]), (b"s" * 16, b"t" * 16, bytes(16)))
        self.registered(a, now, frame, b"u" * 16)
        self.assertEqual(a.state, rt.State.REGISTERED)
        self.assertEqual(rt.decode(a.poll(a.next_timeout())[0][0]).kind, Kind.KEEPALIVE)

    def register(self, client: rt.Client, now: float) -> rt.Frame:
        (data, _), = client.poll(now)
        frame = rt.decode(data)
        self.assertEqual((frame.kind, frame["identifier"]), (Kind.REGISTER, A.identifier))
        return frame

    def registered(self, client: rt.Client, now: float, frame: rt.Frame, ticket: bytes) -> None:
        client.handle_datagram(now, rt.encode(
            Kind.REGISTERED, session=b"s" * 16, transaction=frame["transaction"], ttl=60_000, timeout=30_000,
            maxblob=65_536, observed=rt.Address("203.0.113.5", 4000), ticket=ticket), SERVER)


if __name__ == "__main__":
    unittest.main()
