"""Holds proto/roundtable.lua, the Wireshark dissector, against the vectors: tshark reads each as a datagram."""

import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DISSECTOR = ROOT / "proto" / "roundtable.lua"
SERVER_PORT = 1066
LINKTYPE_IPV4 = 228


def vectors(name):
    return json.loads((ROOT / "proto" / "vectors" / name).read_text())


def packet(datagram, port):
    """An IPv4 packet with this UDP datagram to `port`; checksums 0, which tshark does not check by default."""
    udp = struct.pack("!HHHH", 50000, port, 8 + len(datagram), 0) + datagram
    addresses = bytes([192, 0, 2, 33, 192, 0, 2, 1])
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses + udp


def capture(datagrams, port):
    """A pcap file's bytes, microseconds, one packet each."""
    out = struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_IPV4)
    for second, datagram in enumerate(datagrams):
        data = packet(datagram, port)
        out += struct.pack("!IIII", second, 0, len(data), len(data)) + data
    return out


def read(path, names):
    """The values of the fields `names` in each packet of a capture, as lists of rows."""
    command = ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", str(path), "-T", "fields"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode or "Lua" in done.stderr:
        raise AssertionError(done.stderr)
    return [line.split("\t") for line in done.stdout.split("\n")[:-1]]


def dissect(datagrams, names, port=SERVER_PORT):
    """The values of the fields `names` in each of these datagrams, as lists of rows."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        file.write(capture(datagrams, port))
        file.flush()
        return read(file.name, names)


def number(shown):
    return int(shown, 0)


def same(name, shown, expected):
    """Whether tshark shows the value that the vector has."""
    if isinstance(expected, int):
        return number(shown) == expected
    if name == "kind":
        return shown != ""
    if name == "bitmap":
        return number(shown) == int(expected, 16)
    if name in ("observed", "server", "peer"):
        return shown == expected
    return shown.replace(":", "").replace("-", "") == expected.replace("-", "")


class Dissector(unittest.TestCase):
    def test_every_field_of_the_golden_vectors_is_shown(self):
        golden = vectors("frames.json")
        names = sorted({name for vector in golden for name in vector["fields"]})
        asked = ["roundtable.type", "roundtable.invalid", "_ws.malformed"] + [f"roundtable.{name}" for name in names]
        rows = dissect([bytes.fromhex(vector["hex"]) for vector in golden], asked)
        for vector, row in zip(golden, rows, strict=True):
            with self.subTest(vector["name"]):
                shown = dict(zip(asked, row, strict=True))
                self.assertEqual(number(shown["roundtable.type"]), bytes.fromhex(vector["hex"])[3])
                self.assertEqual((shown["roundtable.invalid"], shown["_ws.malformed"]), ("", ""))
                for name in names:
                    value = shown[f"roundtable.{name}"]
                    if name not in vector["fields"]:
                        self.assertEqual(value, "", name)
                    else:
                        self.assertTrue(same(name, value, vector["fields"][name]), (name, value, vector["fields"][name]))

    def test_what_must_fail_is_named_as_the_vectors_name_it(self):
        # UDP hands an empty datagram to no dissector.
        bad = [vector for vector in vectors("must-fail.json") if vector["hex"]]
        rows = dissect([bytes.fromhex(vector["hex"]) for vector in bad], ["roundtable.invalid", "_ws.expert.severity"])
        for vector, (invalid, severity) in zip(bad, rows, strict=True):
            with self.subTest(vector["name"]):
                field = f": {vector['field']}" if "field" in vector else ""
                self.assertEqual(invalid, vector["error"] + field)
                self.assertNotEqual(severity, "")

    def test_frames_are_known_on_any_port_and_calls_are_numbered(self):
        one = [vector for vector in vectors("frames.json") if "offer" in vector["fields"]]
        # The same frames once more, between the first ones, as those of a second call.
        both = []
        for vector in one:
            datagram, offer = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["fields"]["offer"])
            both += [datagram, datagram.replace(offer, offer[::-1])]
        rows = dissect(both, ["roundtable.offer", "roundtable.call", "roundtable.first"], port=40123)
        first = {}
        for at, (offer, call, linked) in enumerate(rows, start=1):
            known = first.setdefault(offer, (str(len(first) + 1), at))
            self.assertEqual(call, known[0])
            self.assertEqual(linked, "" if known[1] == at else str(known[1]))
        self.assertEqual(len(first), 2)

    def test_a_recorded_call_has_no_malformed_frame(self):
        # Of tcpdump: a PING, a call with a candidate and a punch, and one to a peer that is not registered.
        asked = ["_ws.col.Info", "roundtable.call", "roundtable.invalid", "_ws.malformed"]
        rows = read(ROOT / "tests" / "data" / "call.pcap", asked)
        self.assertEqual(len(rows), 43)
        self.assertEqual({(row[2], row[3]) for row in rows}, {("", "")})
        kinds = {row[0].split()[0] for row in rows}
        expected = {vector["kind"] for vector in vectors("frames.json")} - {"KEEPALIVE", "KEEPALIVE_REPLY"}
        self.assertEqual(kinds, expected)
        self.assertEqual({row[1] for row in rows}, {"", "1", "2"})
        self.assertEqual(rows[-1][0], "ERROR PEER_UNKNOWN")

    def test_errors_are_expert_information(self):
        errors = [vector for vector in vectors("frames.json") if vector["kind"] == "ERROR"]
        self.assertTrue(errors)
        rows = dissect([bytes.fromhex(vector["hex"]) for vector in errors], ["_ws.expert.message"])
        for (message,) in rows:
            self.assertTrue(message.startswith("ERROR "), message)


if __name__ == "__main__":
    if shutil.which("tshark"):
        unittest.main()
    print("SKIPPED: tshark is not installed: proto/roundtable.lua is not tested")
