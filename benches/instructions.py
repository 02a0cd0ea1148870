#!/usr/bin/env python3
"""Counts the instructions of the engine's main paths with callgrind, and compares them with those on record.

    instructions.py            compare with benches/instructions.json; more than TOLERANCE above it fails
    instructions.py --record   write benches/instructions.json

The counts of one build are the same on every run, also on a busy machine. Another compiler gives other ones: the file
names the one that it was made with. Needs valgrind; nothing but the standard library.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "benches" / "instructions.json"
# How much more a path may cost, as a share.
TOLERANCE = 0.03


def build():
    """Builds the harness and returns its path."""
    command = ["cargo", "bench", "--no-run", "-p", "roundtable-proto", "--bench", "instructions", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("cargo names no executable for the bench `instructions`")


def count(harness, path, times):
    """Returns the instructions of one datagram on this path."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=*measured*", f"--callgrind-out-file={out}"]
        subprocess.run([*command, harness, path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        total = int(re.search(r"^totals: (\d+)", out.read_text(), re.MULTILINE)[1])
    return round(total / times)


def compiler():
    return subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main():
    if not shutil.which("valgrind"):
        sys.exit("counting instructions needs valgrind, which is missing (Debian: apt install valgrind)")
    harness = build()
    listed = subprocess.run([harness], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    times, paths = int(listed[0]), listed[1:]
    counts = {path: count(harness, path, times) for path in paths}
    if "--record" in sys.argv[1:]:
        RECORD.write_text(json.dumps({"compiler": compiler(), "instructions": counts}, indent=2) + "\n")
        print(f"{RECORD.relative_to(ROOT)} written")
        return
    record = json.loads(RECORD.read_text())
    if record["compiler"] != compiler():
        print(f"The record was made with {record['compiler']}, this is {compiler()}: differences may be the compiler's.")
    print(f"{'instructions a datagram':24} {'on record':>10} {'now':>10} {'change':>8}")
    worse = []
    for path, now in counts.items():
        before = record["instructions"].get(path)
        if before is None:
            print(f"{path:24} {'-':>10} {now:>10} {'new':>8}")
            worse.append(path)
            continue
        change = now / before - 1
        verdict = "" if abs(change) <= TOLERANCE else "  MORE" if change > 0 else "  less: record it"
        print(f"{path:24} {before:>10} {now:>10} {change:>+8.1%}{verdict}")
        if change > TOLERANCE:
            worse.append(path)
    gone = sorted(set(record["instructions"]) - set(counts))
    if worse or gone:
        sys.exit(
            f"More than {TOLERANCE:.0%} above the record, or not on it: {', '.join(worse + gone)}. "
            "If that is wanted, run make bench-record and commit benches/instructions.json with the reason."
        )
    print(f"No path takes over {TOLERANCE:.0%} more than on record.")


if __name__ == "__main__":
    main()
