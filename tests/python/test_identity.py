"""Tests of identity.py: every entry of proto/vectors/identity.json, and key files.

    python3 tests/python/test_identity.py

Needs the package ``cryptography`` (requirements.txt beside this file).
"""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any, Optional

import identity as ids
import roundtable as rt

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "proto" / "vectors" / "identity.json").read_text())


def address(text: str) -> Optional[rt.Address]:
    if text == "none":
        return None
    host, _, port = text.rpartition(":")
    return rt.Address(host.strip("[]"), int(port))


def message(entry: dict[str, Any]) -> bytes:
    return ids.register_message(bytes.fromhex(entry["identifier"]), bytes.fromhex(entry["cookie"]),
                                address(entry["observed"]), address(entry["server"]))


class Vectors(unittest.TestCase):
    def test_valid(self) -> None:
        self.assertTrue(VECTORS["valid"])
        for entry in VECTORS["valid"]:
            with self.subTest(entry["name"]):
                identity = ids.Identity(bytes.fromhex(entry["seed"]))
                self.assertEqual(identity.identifier.hex(), entry["identifier"])
                self.assertEqual(message(entry).hex(), entry["message"])
                signature = identity.sign(message(entry))
                self.assertEqual(signature.hex(), entry["signature"])
                ids.verify(identity.identifier, signature, message(entry))

    def test_must_fail(self) -> None:
        self.assertTrue(VECTORS["must_fail"])
        for entry in VECTORS["must_fail"]:
            with self.subTest(entry["name"]), self.assertRaises(ids.IdentityError) as refused:
                ids.verify(bytes.fromhex(entry["identifier"]), bytes.fromhex(entry["signature"]), message(entry))
            self.assertEqual(refused.exception.name, entry["error"], entry["name"])


class KeyFiles(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "key"

    def test_key_file_is_made_for_its_owner_alone_and_read_again(self) -> None:
        made = ids.load_or_create(self.path)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(ids.load_or_create(self.path).identifier, made.identifier)

    def test_key_file_that_others_may_read_is_refused(self) -> None:
        ids.load_or_create(self.path)
        for mode in (0o640, 0o604):
            os.chmod(self.path, mode)
            with self.assertRaisesRegex(ValueError, "chmod 600"):
                ids.load_or_create(self.path)

    def test_damaged_key_file_is_refused_and_kept(self) -> None:
        for text in ("", *(ids.KEY_FILE_MARK + seed for seed in ("00" * 31, "00" * 33, "zz" * 32, "\u00e9" * 64)),
                     "roundtable-secret-2 " + "00" * 32, "00" * 32):
            self.path.write_text(text, encoding="utf-8")
            os.chmod(self.path, 0o600)
            with self.assertRaisesRegex(ValueError, "64 hexadecimal digits"):
                ids.load_or_create(self.path)
            self.assertEqual(self.path.read_text(encoding="utf-8"), text)


if __name__ == "__main__":
    unittest.main()
