"""Tests of a server program with keyed peers, over loopback, IPv4 and IPv6, as test_server.py does with plain ones.

    python3 tests/python/test_keyed_server.py [SERVER [TEST...]]

Needs the package ``cryptography`` (requirements.txt beside this file).
"""

from __future__ import annotations

import sys
import unittest
import uuid
from pathlib import Path
from typing import Any, Optional
from unittest import mock

import identity as ids
import roundtable as rt
import sealing
import test_server
from roundtable import Code, Kind
from test_server import DATA, LARGE, MIDDLE, SMALL, Peer, Raw, Server, run


class KeyedRaw(Raw):
    """A bare socket of a keyed peer. It signs what it is told to; ``signed`` is by default the address it has."""

    def __init__(self, server: Server, host: str, identity: Optional[ids.Identity] = None):
        super().__init__(server, host)
        self.identity = identity or ids.Identity.new()
        self.id = self.identity.identifier
        self.ticket = rt.ZERO16

    def sign(self, **other: Any) -> bytes:
        values = {"cookie": self.cookie, "observed": self.address, "server": self.server, **other}
        return self.identity.sign_register(**values)

    def registered(self) -> "KeyedRaw":
        self.register()
        answers = self.register(signature=self.sign())
        if [frame.kind for frame in answers] != [Kind.REGISTERED]:
            raise test_server.Failure(f"not registered: {answers}")
        self.ticket = answers[0]["ticket"]
        return self


class Case(test_server.BothFamilies):
    def keyed(self, server: Server, host: str, identity: Optional[ids.Identity] = None) -> KeyedRaw:
        raw = KeyedRaw(server, host, identity)
        self.addCleanup(raw.close)
        return raw

    def keyed_peer(self, server: Server, host: str, **options: Any) -> Peer:
        keys = sealing.Keys(ids.Identity.new())
        peer = self.peer(server, host, identifier=keys, **options)
        peer.id = keys.identifier
        return peer

    def kinds(self, answers: list[rt.Frame], *kinds: Kind) -> None:
        self.assertEqual([frame.kind for frame in answers], list(kinds), answers)


class Registration(Case):
    def test_signature_registers_and_nothing_else_does(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.keyed(server, host)
            raw.register()
            other_port = rt.Address(host, raw.address.port ^ 1)
            wrong = (bytes(64), raw.sign(cookie=bytes(16)), raw.sign(observed=other_port), raw.sign(observed=None),
                     raw.sign(server=None),
                     ids.Identity.new().sign(ids.register_message(raw.id, raw.cookie, raw.address, raw.server)))
            for signature in wrong:
                transaction = uuid.uuid4().bytes
                answers = raw.register(transaction=transaction, signature=signature)
                self.assertEqual(self.error(answers, Code.BAD_SIGNATURE, Kind.REGISTER, transaction), 0)
            self.kinds(raw.register(signature=raw.sign()), Kind.REGISTERED)

        self.each(test)

    def test_signature_for_another_server_is_refused(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.keyed(server, host)
            raw.register()
            for other in (rt.Address(host, server.port ^ 1), rt.Address("192.0.2.1", server.port), None):
                transaction = uuid.uuid4().bytes
                answers = raw.register(transaction=transaction, server=other, signature=raw.sign(server=other))
                self.assertEqual(self.error(answers, Code.WRONG_SERVER, Kind.REGISTER, transaction), 0)
            self.kinds(raw.register(signature=raw.sign()), Kind.REGISTERED)
            # The client says so.
            peer = Peer(server, host, identifier=sealing.Keys(ids.Identity.new()))
            self.addCleanup(peer.udp.close)
            peer.core.server_name = rt.Address("192.0.2.1", server.port)
            peer.core.register(rt.now_ms())
            failed = run([peer], lambda: peer.got("registration_failed"))[0]
            self.assertEqual(failed["reason"], "wrong_server")

        self.each(test)

    def test_key_that_is_none_is_refused(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.keyed(server, host)
            raw.register()
            for identifier in (b"\1" + bytes(30) + b"\x80", b"\xff" * 32, b"\xed" + b"\xff" * 30 + b"\x7f"):
                transaction = uuid.uuid4().bytes
                answers = raw.register(transaction=transaction, identifier=identifier, signature=raw.sign())
                self.assertEqual(self.error(answers, Code.BAD_SIGNATURE, Kind.REGISTER, transaction), 0)

        self.each(test)

    def test_ticket_stands_for_the_signature_at_its_address_alone(self) -> None:
        def test(server: Server, host: str) -> None:
            raw = self.keyed(server, host).registered()
            self.assertNotEqual(raw.ticket, rt.ZERO16)
            session, raw.session = raw.session, rt.ZERO16
            self.kinds(raw.register(ticket=raw.ticket), Kind.REGISTERED)
            self.assertEqual(raw.session, session)
            other = self.keyed(server, host, raw.identity)
            other.register()
            self.kinds(other.register(ticket=raw.ticket), Kind.ERROR)
            # A renewal needs neither.
            self.kinds(raw.register(), Kind.REGISTERED)
            self.assertEqual(raw.session, session)

        self.each(test)

    def test_owner_takes_over_and_a_session_alone_does_not(self) -> None:
        def test(server: Server, host: str) -> None:
            first = self.keyed(server, host).registered()
            thief = self.keyed(server, host, first.identity)
            thief.register()
            transaction = uuid.uuid4().bytes
            answers = thief.register(transaction=transaction, session=first.session)
            self.error(answers, Code.BAD_SIGNATURE, Kind.REGISTER, transaction)
            # An identifier with a signature and no session: a new session, and the old one is dead.
            thief.session = rt.ZERO16
            self.kinds(thief.register(signature=thief.sign()), Kind.REGISTERED)
            self.assertNotEqual(thief.session, first.session)
            answers = first.send(Kind.KEEPALIVE, transaction=uuid.uuid4().bytes, observed=None)
            self.kinds(answers, Kind.CHALLENGE)

        self.each(test)

    def test_client_stays_registered_through_roaming_a_restart_and_a_renewal(self) -> None:
        def test(server: Server, host: str) -> None:
            with mock.patch.object(rt, "KEEPALIVE_INTERVAL", 100):
                peer = self.keyed_peer(server, host)
                run([peer], lambda: peer.got("registered"))
                session = peer.core.session
                peer.udp.rebind()
                run([peer], lambda: len(peer.got("registered")) > 1)
                self.assertEqual(peer.core.session, session)
                server.kill()
                server.start()
                run([peer], lambda: len(peer.got("registered")) > 2)
                self.assertNotEqual(peer.core.session, session)
                session = peer.core.session
                with mock.patch.object(rt, "TICKET_LIFETIME", 0):
                    run([peer], lambda: len(peer.got("registered")) > 3)
                self.assertEqual(peer.core.session, session)

        self.each(test)


class Calls(Case):
    def test_sealed_calls(self) -> None:
        def test(server: Server, host: str) -> None:
            peers = [self.keyed_peer(server, host), self.keyed_peer(server, host)]
            run(peers, lambda: all(peer.got("registered") for peer in peers))
            for files in (SMALL, MIDDLE, LARGE):
                for peer in peers:
                    peer.events.clear()
                self.call(peers, files)
                self.assertTrue(peers[0].got("answered", sealed=True) and peers[1].got("offered", sealed=True))

        self.each(test)

    def test_sealed_call_under_loss(self) -> None:
        server = self.server()
        seeds = [uuid.uuid4().int >> 96 for _ in range(2)]
        with self.subTest(seeds=seeds):
            peers = [self.keyed_peer(server, "127.0.0.1", drop=0.2, seed=seed) for seed in seeds]
            run(peers, lambda: all(peer.got("registered") for peer in peers), 30)
            self.call(peers, LARGE, 30)

    def test_sealed_decline_and_candidates_and_a_path(self) -> None:
        def test(server: Server, host: str) -> None:
            a, b = peers = [self.keyed_peer(server, host), self.keyed_peer(server, host)]
            run(peers, lambda: all(peer.got("registered") for peer in peers))
            offer = self.offer(peers, SMALL)
            b.core.decline(rt.now_ms(), offer)
            run(peers, lambda: a.got("failed", offer=offer, reason="declined") and b.got("delivered", offer=offer))
            for peer in peers:
                peer.events.clear()
            offer = self.call(peers, SMALL)
            for number in range(3):
                a.core.candidate(rt.now_ms(), offer, b"of the caller %d" % number)
                b.core.candidate(rt.now_ms(), offer, b"of the callee %d" % number)
            b.core.punch(rt.now_ms(), offer)
            run(peers, lambda: all(peer.got("candidates_delivered") and peer.got("path") for peer in peers))
            for peer, sender in ((b, b"caller"), (a, b"callee")):
                expected = {b"of the %s %d" % (sender, number) for number in range(3)}
                self.assertEqual({event["blob"] for event in peer.got("candidate")}, expected)

        self.each(test)

    def test_between_keyed_and_plain_nothing_is_sealed(self) -> None:
        def test(server: Server, host: str) -> None:
            keyed, plain = self.keyed_peer(server, host), self.peer(server, host)
            run([keyed, plain], lambda: keyed.got("registered") and plain.got("registered"))
            for peers in ([keyed, plain], [plain, keyed]):
                for peer in peers:
                    peer.events.clear()
                self.call(peers, MIDDLE)
                self.assertTrue(peers[0].got("answered", sealed=False) and peers[1].got("offered", sealed=False))

        self.each(test)

    def test_blob_in_the_clear_from_a_keyed_peer_is_refused(self) -> None:
        server = self.server()
        peer = self.keyed_peer(server, "127.0.0.1")
        run([peer], lambda: peer.got("registered"))
        raw = self.keyed(server, "127.0.0.1").registered()
        blob = (DATA / SMALL[0]).read_bytes()[:rt.FRAGMENT]
        raw.send(Kind.OFFER, blob, offer=uuid.uuid4().bytes, target=peer.id, **test_server.blob_fields(blob))
        refused = run([peer], lambda: peer.got("refused"))[0]
        self.assertEqual((refused["source"], refused["reason"]), (raw.id, "not_sealed"))
        acks = [frame for frame in raw.drain() if frame.kind == Kind.RELAYED_ACK]
        self.assertTrue(acks)
        self.assertEqual(peer.got("offered"), [])


def main() -> int:
    program = Path(sys.argv[1]) if len(sys.argv) > 1 else test_server.built()
    if program is None:
        print("SKIPPED: no server program is built (cargo build --bin signallingserver)")
        return 0
    test_server.program = program
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
