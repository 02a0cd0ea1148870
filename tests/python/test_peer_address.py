"""Tests of peer_address.py: every entry of proto/vectors/peer-address.json, and what happens to a damaged line.

    python3 tests/python/test_peer_address.py
"""

from __future__ import annotations

import json
import random
import re
import unittest
from pathlib import Path

import peer_address as pa
import roundtable as rt

PROTO = Path(__file__).resolve().parents[2] / "proto"
VECTORS = json.loads((PROTO / "vectors" / "peer-address.json").read_text())


class Vectors(unittest.TestCase):
    def test_valid(self) -> None:
        self.assertTrue(VECTORS["valid"])
        for entry in VECTORS["valid"]:
            with self.subTest(entry["name"]):
                parsed = pa.parse(entry["text"])
                self.assertEqual(rt.format_identifier(parsed.identifier), entry["identifier"])
                self.assertEqual([server._asdict() for server in parsed.servers], entry["servers"])
                self.assertEqual(str(parsed), entry["text"].strip())
                servers = [pa.Server(**server) for server in entry["servers"]]
                self.assertEqual(pa.make(rt.parse_identifier(entry["identifier"]), servers), parsed)

    def test_must_fail(self) -> None:
        self.assertTrue(VECTORS["must_fail"])
        for entry in VECTORS["must_fail"]:
            with self.subTest(entry["name"]), self.assertRaises(pa.PeerAddressError) as refused:
                pa.parse(entry["text"])
            self.assertEqual(refused.exception.name, entry["error"], entry["name"])

    def test_constants_are_those_of_section_10(self) -> None:
        rows = dict(re.findall(r"(?m)^\| ([A-Z_]+) \| (\d+) \|", (PROTO / "SPEC.md").read_text()))
        for name in ("PEER_ADDRESS_MAX", "SERVERS_MAX", "SERVER_PORT"):
            self.assertEqual(getattr(pa, name), int(rows[name]), name)

    def test_vectors_have_every_name(self) -> None:
        names = {"too_long", "bad_character", "bad_scheme", "check_missing", "bad_check", "check_mismatch",
                 "server_missing", "bad_identifier", "too_many_servers", "bad_host", "bad_port", "duplicate_server",
                 "not_canonical"}
        self.assertEqual({entry["error"] for entry in VECTORS["must_fail"]}, names)


class Damage(unittest.TestCase):
    def test_every_changed_byte_is_refused_by_a_name(self) -> None:
        text = VECTORS["valid"][0]["text"]
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        for place in range(len(text)):
            other = rng.choice([chr(code) for code in range(1, 256) if chr(code) != text[place]])
            damaged = text[:place] + other + text[place + 1:]
            if damaged.strip(pa.BLANKS) == text:
                continue
            with self.subTest(seed=seed, damaged=damaged), self.assertRaises(pa.PeerAddressError):
                pa.parse(damaged)

    def test_value_that_no_text_has_is_refused(self) -> None:
        identifier = bytes([1]) * 32
        for servers, name in (([], "bad_host"), ([pa.Server("-")], "bad_host"), ([pa.Server("a", 0)], "bad_port"),
                              ([pa.Server("a")] * 2, "duplicate_server"), ([pa.Server("A")], "not_canonical"),
                              ([pa.Server("a" + str(n)) for n in range(9)], "too_many_servers")):
            with self.assertRaises(pa.PeerAddressError) as refused:
                pa.make(identifier, servers)
            self.assertEqual(refused.exception.name, name)


if __name__ == "__main__":
    unittest.main()
