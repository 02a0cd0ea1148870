"""Checks roundtable.py against the vectors of section 15.

    python3 tests/python/test_vectors.py [DIRECTORY]

Every entry of frames.json must decode to the fields named there, and both the decoded frame and the fields as written
in the file must encode to the same bytes. Every entry of must-fail.json must be refused with the error named there
and, where the entry names a field, because of that field. DIRECTORY is proto/vectors of this repository unless given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Iterator, Optional

import roundtable as rt


def as_text(value: Any) -> Any:
    """A decoded value as the vectors write it."""
    if isinstance(value, rt.Address):
        return str(value)
    if value is None:
        return "none"
    if isinstance(value, bytes):
        return value.hex()
    return int(value)


def from_text(value: Any, name: str) -> Any:
    """The inverse: what ``encode`` takes."""
    if name in ("observed", "peer", "server"):
        if value == "none":
            return None
        host, _, port = value.rpartition(":")
        return rt.Address(host.strip("[]"), int(port))
    if isinstance(value, str):
        # A bitmap has 64 bits, more than many JSON readers take in a number, so text is taken too.
        return int(value, 16) if name == "bitmap" else bytes.fromhex(value)
    return value


def kind_of(value: Any) -> rt.Kind:
    """A kind by number, by number as text, or by name."""
    if isinstance(value, str) and value in rt.Kind.__members__:
        return rt.Kind[value]
    return rt.Kind(int(value, 0) if isinstance(value, str) else value)


def check_frame(entry: dict[str, Any]) -> Iterator[str]:
    """The complaints about one entry of frames.json."""
    data = bytes.fromhex(entry["hex"])
    try:
        frame = rt.decode(data)
    except rt.DecodeError as error:
        yield f"does not decode: {error}"
        return
    kind = kind_of(entry["kind"])
    if frame.kind != kind:
        yield f"kind {frame.kind.name}, expected {kind.name}"
        return
    fields = dict(entry["fields"])
    blob = bytes.fromhex(fields.pop("blob", ""))
    decoded = {name: as_text(value) for name, value in frame.fields.items()}
    if decoded.keys() != fields.keys():
        yield f"fields {sorted(decoded)}, expected {sorted(fields)}"
        return
    for name, value in fields.items():
        if isinstance(value, str) and name == "bitmap":
            value = int(value, 16)
        if decoded[name] != value:
            yield f"{name} is {decoded[name]}, expected {value}"
    if frame.blob != blob:
        yield "the blob differs"
    if rt.encode_frame(frame) != data:
        yield "the decoded frame encodes to other bytes"
    if rt.encode(kind, blob, **{name: from_text(value, name) for name, value in fields.items()}) != data:
        yield "the listed fields encode to other bytes"


def check_must_fail(entry: dict[str, Any]) -> Iterator[str]:
    """The complaints about one entry of must-fail.json."""
    try:
        rt.decode(bytes.fromhex(entry["hex"]))
    except rt.DecodeError as error:
        if error.name != entry["error"]:
            yield f"refused as {error}, expected {entry['error']}"
        expected: Optional[str] = entry.get("field")
        if expected is not None and error.field != expected:
            yield f"refused for field {error.field}, expected {expected}"
    else:
        yield f"decodes, expected {entry['error']}"


def main() -> int:
    default = Path(__file__).resolve().parents[2] / "proto" / "vectors"
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    passed = failed = 0
    kinds = set()
    for file, check in (("frames.json", check_frame), ("must-fail.json", check_must_fail)):
        try:
            entries = json.loads((directory / file).read_text())
        except (OSError, ValueError) as error:
            print(f"{file}: {error}")
            failed += 1
            continue
        for entry in entries:
            try:
                complaints = list(check(entry))
            except Exception as error:  # an entry in a form that section 15 does not describe
                complaints = [f"{type(error).__name__}: {error}"]
            for complaint in complaints:
                print(f"{file}: {entry.get('name')}: {complaint}")
            passed, failed = (passed, failed + 1) if complaints else (passed + 1, failed)
            if check is check_frame and not complaints:
                kinds.add(kind_of(entry["kind"]))
        if check is check_frame:
            for kind in sorted(set(rt.Kind) - kinds):
                print(f"{file}: no valid datagram of {kind.name}")
                failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
