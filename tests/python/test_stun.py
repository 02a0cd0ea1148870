"""Checks proto/vectors/stun.json with nothing but the standard library: every HMAC, FINGERPRINT and address in it.

    python3 tests/python/test_stun.py

What a server answers is a matter of its own tests; here another eye reads the vectors, as RFC 8489 and RFC 5769 say.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import struct
import unittest
import zlib
from pathlib import Path
from typing import Any, Iterator

VECTORS = Path(__file__).resolve().parent.parent.parent / "proto" / "vectors" / "stun.json"
COOKIE = bytes.fromhex("2112a442")
MAPPED_ADDRESS, MESSAGE_INTEGRITY, ERROR_CODE, XOR_MAPPED_ADDRESS = 0x0001, 0x0008, 0x0009, 0x0020
RESPONSE_ORIGIN, OTHER_ADDRESS, FINGERPRINT = 0x802B, 0x802C, 0x8028
HEADER = 20


def attributes(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Place, type and value of each attribute of a well-formed message."""
    kind, length = struct.unpack("!HH", message[:4])
    assert kind >> 14 == 0 and length == len(message) - HEADER and length % 4 == 0, message.hex()
    at = HEADER
    while at < len(message):
        number, size = struct.unpack("!HH", message[at : at + 4])
        assert at + 4 + size <= len(message), message.hex()
        yield at, number, message[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
    assert at == len(message)


def address(value: bytes, mask: bytes) -> str:
    """The address in a (XOR-)MAPPED-ADDRESS."""
    port, ip = (bytes(a ^ b for a, b in zip(part, mask)) for part in (value[2:4], value[4:]))
    assert (value[0], value[1], len(ip)) in ((0, 1, 4), (0, 2, 16)), value.hex()
    return f"{ipaddress.ip_address(ip)} {int.from_bytes(port, 'big')}"


def written(text: str) -> str:
    """The address of a vector in the same form, IPv4 as IPv4."""
    host, _, port = text.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return f"{mapped or ip} {port}"


def fingerprint_fits(message: bytes, at: int, value: bytes) -> bool:
    return at + 8 == len(message) and int.from_bytes(value, "big") == zlib.crc32(message[:at]) ^ 0x5354554E


class Vectors(unittest.TestCase):
    file: dict[str, list[dict[str, Any]]] = json.loads(VECTORS.read_text())

    def test_messages_of_rfc_5769_are_authentic(self) -> None:
        for vector in self.file["rfc5769"]:
            message, checked = bytes.fromhex(vector["hex"]), 0
            for at, number, value in attributes(message):
                if number == MESSAGE_INTEGRITY:
                    # The length counts up to this attribute. RFC 8489, 14.5
                    before = message[:2] + struct.pack("!H", at + 24 - HEADER) + message[4:at]
                    expected = hmac.new(bytes.fromhex(vector["key"]), before, hashlib.sha1).digest()
                    self.assertEqual(value, expected, vector["name"])
                    checked += 1
                elif number == FINGERPRINT:
                    self.assertTrue(fingerprint_fits(message, at, value), vector["name"])
                elif number == XOR_MAPPED_ADDRESS:
                    self.assertEqual(address(value, message[4:HEADER]), written(vector["observed"]))
            self.assertEqual(checked, 1, vector["name"])
        self.assertEqual(len(self.file["rfc5769"]), 4)

    def test_every_answer_tells_the_source_or_what_is_not_understood(self) -> None:
        for vector in self.file["answered"]:
            request, answer = bytes.fromhex(vector["request"]), bytes.fromhex(vector["answer"])
            self.assertEqual(request[4:HEADER], answer[4:HEADER], vector["name"])
            told = {number: (at, value) for at, number, value in attributes(answer)}
            asked = {number for _, number, _ in attributes(request)}
            self.assertEqual(FINGERPRINT in told, FINGERPRINT in asked, vector["name"])
            if FINGERPRINT in told:
                self.assertTrue(fingerprint_fits(answer, *told[FINGERPRINT]), vector["name"])
            source = written(vector["from"])
            if answer[:2] == b"\x01\x11":
                self.assertEqual(told[ERROR_CODE][1], b"\0\0\4\x14", vector["name"])
            elif request[4:8] == COOKIE:
                self.assertEqual(address(told[XOR_MAPPED_ADDRESS][1], answer[4:HEADER]), source, vector["name"])
            else:
                self.assertEqual(address(told[MAPPED_ADDRESS][1], bytes(16)), source, vector["name"])


if __name__ == "__main__":
    unittest.main()
