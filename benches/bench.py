#!/usr/bin/env python3
"""Runs every benchmark and writes one report: what a datagram costs, beside an echo that does nothing but answer.

    bench.py --bin DIR [--out DIR] [--quick] [--only stun]

With --only the rows of one kind are measured and printed, and no report is written. DIR of --bin holds the built signallingserver and roundtable-probe. The report is report.md with cost.svg and
results.json beside it. The server runs on one core and the load on another. Linux; nothing but the standard library.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from chart import chart

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The load takes the first core and the servers, one at a time, the last.
LOAD_CORE, SERVER_CORE = 0, (os.cpu_count() or 1) - 1
# What every server of a benchmark allows, so that no limit is measured in place of the work.
CONFIG = "localport: 0\nmaxpeers: 4000000\nmaxoffers: 4000000\nmaxpeeroffers: 1000\nsignaturechecks: 1000000\ntimeout: 600\n"
CONFIG += "strangerrate: 0\nregisterrate: 0\nregistertotal: 0\npeerrate: 0\nofferrate: 0\n"
# A million peers, and the thousand before them. Each has its accounts, as by default, with more in them than the load takes;
# what sources have is left out, because all the peers share a few of those.
MILLION = "localport: 0\nmaxpeers: 1010000\nstrangerrate: 0\nregisterrate: 0\nregistertotal: 0\npeerrate: 16384\nofferrate: 10000\n"
# Everything on this machine is taken for a proxy.
PROXIED = CONFIG + "proxyprotocol: spp\ntrustedproxies: 127.0.0.0/8\n"
RATE = 50_000  # datagrams a second where latency is measured
BURST = 10_000
QUEUED = 8192  # datagrams that wait in the queue where the work on a full one is measured: the granted buffer holds them


class Runner:
    """Starts servers, echoes and loads, and keeps what they told."""

    def __init__(self, binaries, out, quick):
        self.binaries, self.out, self.quick = binaries, out, quick
        # Many short ones: what else the host of this machine does comes and goes within seconds.
        self.rounds = 1 if quick else 15
        self.echo = out / "echo"
        source = ROOT / "benches" / "tools" / "echo.c"
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", self.echo, source], check=True)
        self.results = {}

    def size(self, number):
        return max(number // 10, 1000) if self.quick else number

    @contextlib.contextmanager
    def running(self, command):
        """Runs a server that prints its address; gives process and port."""
        process = subprocess.Popen(pinned(SERVER_CORE, command), stdout=subprocess.PIPE, text=True)
        try:
            for line in process.stdout:
                if found := re.search(r"listening on .*:(\d+) \(udp\)", line):
                    yield process, int(found[1])
                    break
            else:
                raise RuntimeError(f"{command[0]} did not start")
        finally:
            process.terminate()
            process.stdout.read()
            process.wait()

    @contextlib.contextmanager
    def server(self, settings=CONFIG):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write(settings)
            config.flush()
            with self.running([self.binaries / "signallingserver", "--config-file-path", config.name]) as started:
                yield started

    @contextlib.contextmanager
    def stranger(self, command):
        """Runs a STUN server that others wrote, at PORT; gives process and port once it answers."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [word.replace("PORT", str(port)) for word in command]
        process = subprocess.Popen(pinned(SERVER_CORE, words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                if is_answered(port):
                    break
            else:
                raise RuntimeError(f"{command[0]} does not answer")
            yield process, port
        finally:
            process.terminate()
            process.wait()

    def load(self, server, *options, floors=()):
        """Runs the load and returns its JSON lines by event."""
        process, port = server
        command = [self.binaries / "roundtable-probe", "--json", "bench", f"127.0.0.1:{port}", "--server-pid", str(process.pid)]
        for echo, echo_port in floors:
            command += ["--floor", f"127.0.0.1:{echo_port}/{echo.pid}"]
        command += map(str, options)
        output = subprocess.run(pinned(LOAD_CORE, command), stdout=subprocess.PIPE, text=True, check=True).stdout
        told = {}
        for line in output.splitlines():
            told.setdefault(json.loads(line)["event"], []).append(json.loads(line))
        return told

    def row(self, name, *options, floor="mmsg", more=(), settings=CONFIG):
        """Measures one row: a server of its own, and an echo in turns with it."""
        print(f"{datetime.datetime.now():%H:%M:%S} {name} ...", flush=True)
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(self.server(settings))
            floors = [stack.enter_context(self.running([self.echo, mode])) for mode in (floor, *more)]
            told = self.load(server, "--rounds", self.rounds, *options, floors=floors)
        self.results[name] = told
        medians = told["median"]
        print(f"    {medians[0]['cpu_ns_each']:.0f} ns, floor {medians[1]['cpu_ns_each']:.0f} ns", flush=True)
        return told

    def cost(self, name, target=0):
        return self.results[name]["median"][target]["cpu_ns_each"]

    def ratio(self, name, target=1):
        """Returns the median of the ratios, round by round."""
        return self.results[name]["median"][target]["ratio"]

    def busy(self, name, target):
        """Returns the share of the time that the target was on its core: below one it slept and was woken, which is in its cost."""
        rounds = [told for told in self.results[name]["round"] if told["target"] == target]
        return statistics.median(told["cpu_ns_each"] * told["answered"] / told["seconds"] / 1e9 for told in rounds)

    def load_cost(self, name, target):
        return statistics.median(told["load_ns_each"] for told in self.results[name]["round"] if told["target"] == target)

    def lost(self, name):
        rounds = [told for told in self.results[name]["round"] if told["target"] == "server"]
        return sum(told["lost"] + told["refused"] for told in rounds)


def pinned(core, command):
    tied = ["taskset", "-c", str(core)] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []
    return [*tied, *map(str, command)]


def is_answered(port):
    """Asks for a Binding; waits a tenth of a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.1)
        try:
            one.sendto(bytes.fromhex("000100002112a442") + bytes(12), ("127.0.0.1", port))
            return len(one.recv(2048)) > 0
        except OSError:
            time.sleep(0.05)
            return False


def kernel_drops(port):
    """Sums the drops of the sockets on this port, as the kernel counts them."""
    drops = 0
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if int(columns[1].rsplit(":", 1)[1], 16) == port:
                    drops += int(columns[-1])
    return drops


def measure_all(run):
    size = run.size
    count = size(50_000)
    for peers in (1000, 10_000, 100_000, 1_000_000):
        # At a million, each round is of another tenth of the peers.
        options = ["--kind", "keepalive", "--peers", peers, "--count", max(count, peers // 10)]
        run.row(f"keepalive {peers}", *options, more=("single",) if peers == 1000 else ())
    # As the echo is.
    bound = CONFIG + "localaddress: 127.0.0.1\n"
    run.row("keepalive bound", "--kind", "keepalive", "--peers", 1000, "--count", count, settings=bound)
    run.row("proxied", "--kind", "keepalive", "--proxied", "--peers", 1000, "--count", count, settings=PROXIED)
    crowd = ["--peers", 100_000, "--count", count]
    run.row("offer", "--kind", "offer", *crowd)
    run.row("offer fresh", "--kind", "offer", "--fresh", *crowd)
    run.row("train", "--kind", "train", "--peers", 1000, "--count", count)
    run.row("register plain", "--kind", "register", "--count", size(40_000))
    run.row("register keyed", "--kind", "register", "--keyed", "--count", size(4_000), "--window", 64)
    for kind in ("foreign", "malformed"):
        queued(run, kind)
    run.row("stale", "--kind", "stale", "--count", count)
    run.row("ping", "--kind", "ping", "--count", count)
    stun(run)
    run.row("mixed", "--kind", "mixed", *crowd)
    # Few sockets: the load looks at each in turn, and that is part of what it measures.
    latency = ["--kind", "keepalive", "--peers", 1000, "--sockets", 4, "--rate", RATE, "--count", size(100_000)]
    run.row("latency", *latency)
    million(run)
    run.results["burst held"] = burst(run, held=True)
    run.results["burst"] = burst(run, held=False)
    engine(run)


def queued(run, kind):
    """Measures datagrams without an answer, in turns with an echo that only receives.

    Such datagrams are received faster than anybody can send them. So each target is stopped while they are sent, and has a
    full queue to work off: otherwise it would be measured how it falls asleep and is woken.
    """
    print(f"{datetime.datetime.now():%H:%M:%S} {kind} ...", flush=True)
    rounds = []
    with contextlib.ExitStack() as stack:
        targets = {"server": stack.enter_context(run.server()), "floor 1": stack.enter_context(run.running([run.echo, "sink"]))}
        # The first fills the caches and is not counted.
        for number in range(run.rounds + 1):
            for name, (process, port) in targets.items():
                command = [run.binaries / "roundtable-probe", "--json", "bench", f"127.0.0.1:{port}", "--server-pid", str(process.pid)]
                command += ["--kind", kind, "--count", str(QUEUED), "--window", str(QUEUED), "--rounds", "1"]
                load = subprocess.Popen(pinned(LOAD_CORE, command), stdout=subprocess.PIPE, text=True)
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.2)
                process.send_signal(signal.SIGCONT)
                told = [json.loads(line) for line in load.communicate()[0].splitlines()]
                if number > 0:
                    rounds += [{**line, "target": name} for line in told if line["event"] == "round"]
    cost = lambda name: [told["cpu_ns_each"] for told in rounds if told["target"] == name]
    ratio = statistics.median(mine / floor for mine, floor in zip(cost("server"), cost("floor 1")))
    medians = [{"target": name, "cpu_ns_each": statistics.median(cost(name))} for name in targets]
    run.results[kind] = {"round": rounds, "median": [medians[0], {**medians[1], "ratio": ratio}]}
    print(f"    {medians[0]['cpu_ns_each']:.0f} ns, floor {medians[1]['cpu_ns_each']:.0f} ns", flush=True)


# STUN servers of Debian: coturn and stun-server. One thread that relays, as the others have one; stund wants two addresses.
STRANGERS = {
    "coturn": ["turnserver", "-n", "-S", "-L", "127.0.0.1", "-p", "PORT", "--no-tcp", "--no-tls", "--no-dtls", "--no-cli", "-m", "1", "--log-file", "/dev/null"],
    "stund": ["stund", "-h", "127.0.0.1", "-a", "127.0.0.2", "-p", "PORT", "-o", "3479"],
}


def stun(run):
    """Measures STUN Binding beside the echo and, where they are installed, beside servers that others wrote, in turns."""
    print(f"{datetime.datetime.now():%H:%M:%S} stun ...", flush=True)
    bound = CONFIG + "localaddress: 127.0.0.1\n"
    for name, settings in (("stun", CONFIG), ("stun bound", bound)):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(run.server(settings))
            floors, names = [stack.enter_context(run.running([run.echo, "mmsg"]))], ["echo"]
            for stranger, command in STRANGERS.items():
                if shutil.which(command[0]):
                    floors.append(stack.enter_context(run.stranger(command)))
                    names.append(stranger)
            told = run.load(server, "--rounds", run.rounds, "--kind", "stun", "--count", run.size(50_000), floors=floors)
        run.results[name] = told | {"beside": names}
        print("    " + ", ".join(f"{who} {row['cpu_ns_each']:.0f} ns" for who, row in zip(("server", *names), told["median"])), flush=True)


def stun_rows(run, add):
    for name, what in (("stun", "STUN Binding"), ("stun bound", "STUN Binding, server bound to 127.0.0.1 alone, as the others are")):
        for place, beside in enumerate(run.results[name]["beside"], 1):
            ratio = run.ratio(name, place)
            mine, other = f"{run.cost(name):.0f} ns", f"{run.cost(name, place):.0f} ns"
            if beside == "echo":
                add(what, mine, other, f"{ratio:.2f}", "<= 1.10 x echo", ratio <= 1.1, run.lost(name))
            elif beside == "coturn":
                add(f"{what}, beside coturn", mine, other, f"{ratio:.2f}", "coturn >= 1.60 x", 1 / ratio >= 1.6)
            else:
                add(f"{what}, beside {beside}", mine, other, f"{ratio:.2f}", "less", ratio < 1)


def million(run):
    """Registers a million peers through the socket and keeps them alive for three rounds."""
    print("a million peers ...", flush=True)
    with run.server(MILLION) as server:
        pace = ["--kind", "keepalive", "--rate", RATE]
        before = run.load(server, *pace, "--peers", 1000, "--count", run.size(200_000), "--rounds", 1)
        at = run.load(server, *pace, "--peers", 1_000_000, "--count", 1_000_000, "--rounds", 1 if run.quick else 3, "--sockets", 64)
        run.results["million"] = {"before": before, "at": at, "drops": kernel_drops(server[1])}


def burst(run, held):
    """Sends 10,000 PINGs at once; `held`: to a server that is stopped meanwhile, so that all have to wait in its queue."""
    print("a burst ...", flush=True)
    with run.server() as (process, port):
        if held:
            process.send_signal(signal.SIGSTOP)
        command = [run.binaries / "roundtable-probe", "--json", "bench", f"127.0.0.1:{port}", "--kind", "ping"]
        command += ["--count", str(BURST), "--window", str(BURST), "--rounds", "1"]
        load = subprocess.Popen(pinned(LOAD_CORE, command), stdout=subprocess.PIPE, text=True)
        if held:
            time.sleep(0.6)
            process.send_signal(signal.SIGCONT)
        lines = [json.loads(line) for line in load.communicate()[0].splitlines()]
        told = next(line for line in lines if line["event"] == "round")
        return {"sent": told["sent"], "answered": told["answered"], "drops": kernel_drops(port)}


def engine(run):
    """Runs the benchmarks of the engine alone."""
    print("the engine alone ...", flush=True)
    command = ["cargo", "bench", "--no-run", "--bench", "engine", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    program = next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "engine")
    output = subprocess.run(pinned(SERVER_CORE, [program, "--bench"]), check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in output.splitlines()]
    run.results["engine"] = {(f"{row['row']} {row['peers']}"): row for row in rows}


def table(run):
    """The rows of the issue: what, ns a datagram, floor, ratio, target, met."""
    cost, ratio = run.cost, run.ratio
    rows = []

    def add(what, value, floor, compared, target, met, lost=None):
        rows.append((what, value, floor, compared, target, "met" if met else "NOT MET", lost))

    def end_to_end(what, name, limit):
        compared = ratio(name)
        add(what, f"{cost(name):.0f} ns", f"{cost(name, 1):.0f} ns", f"{compared:.2f}", f"<= {limit:.2f} x echo", compared <= limit, run.lost(name))

    end_to_end("KEEPALIVE, 1,000 peers", "keepalive 1000", 1.10)
    end_to_end("KEEPALIVE, 1,000,000 peers", "keepalive 1000000", 1.10)
    end_to_end("OFFER, one fragment, 100,000 peers", "offer", 1.12)
    end_to_end("OFFER, trains of 8 fragments, per datagram", "train", 0.40)
    end_to_end("registration, plain (2 in, 2 out)", "register plain", 2.3)
    extra = cost("register keyed") - cost("register plain")
    add("registration, keyed: more than plain", f"{extra:.0f} ns", "", "", "<= 45000 ns", extra <= 45_000, run.lost("register keyed"))
    for name, what in (("foreign", "datagram that is not ours"), ("malformed", "malformed, without a live session")):
        more = cost(name) - cost(name, 1)
        add(f"{what}: more than receiving it", f"{more:.0f} ns ({cost(name):.0f})", f"{cost(name, 1):.0f} ns", f"{ratio(name):.2f}", "<= 60 ns", more <= 60, run.lost(name))
    more = cost("stale") - cost("stale", 1)
    add("bad session, answered by CHALLENGE: more than the echo", f"{more:.0f} ns ({cost('stale'):.0f})", f"{cost('stale', 1):.0f} ns", f"{ratio('stale'):.2f}", "<= 60 ns", more <= 60, run.lost("stale"))
    stun_rows(run, add)
    alone = run.results["engine"]
    for name, what, limit in (("keepalive", "KEEPALIVE", 120), ("offer", "OFFER fragment", 200), ("foreign", "not ours", 40), ("malformed", "malformed", 40)):
        value = alone[f"{name} 1000000"]["ns"]
        add(f"engine alone, 1,000,000 peers, random order: {what}", f"{value:.0f} ns", "", "", f"<= {limit} ns", value <= limit)
    for name, what in (("header", "one proxy's port"), ("header, 1000 ends", "1000 ports of proxies")):
        value = alone[f"{name} 1000"]["ns"]
        add(f"header of a proxy, in and out, {what}", f"{value:.0f} ns", "", "", "<= 60 ns", value <= 60)
    done = run.results["million"]["at"]
    each = done["registered"][0]["resident"] / 1_000_000
    add("memory at 1,000,000 peers, resident, everything", f"{each:.0f} bytes a peer", "", "", "<= 160 bytes", each <= 160)
    for name in ("forgetting", "renewing"):
        pause = alone[f"{name} 1000000"]["longest_us"]
        add(f"sweep of 1,000,000 peers, {name}: longest pause", f"{pause:.0f} us", "", "", "<= 200 us", pause <= 200)
    growth = cost("keepalive 1000000") / cost("keepalive 1000")
    add("growth of the cost from 1,000 to 1,000,000 peers", "", "", f"{growth:.2f}", "<= 1.25", growth <= 1.25)
    server, echo = run.results["latency"]["median"][:2]
    for part, name in (("p50_us", "median"), ("p99_us", "p99")):
        compared = server[part] / echo[part]
        add(f"latency at 50,000/s, {name}", f"{server[part]:.0f} us", f"{echo[part]:.0f} us", f"{compared:.2f}", "<= 1.20 x echo", compared <= 1.2, run.lost("latency"))
    return rows


def report(run, rows, machine):
    lines = ["# Benchmarks", "", "Written by `make bench`. Cost is the server's CPU time from schedstat, all threads, for each answer;"]
    lines += ["the floor is an echo in C (`benches/tools/echo.c`) for the same datagrams from as many sources, measured in turns with the server;"]
    lines += [f"figures are medians of {run.rounds} rounds, a ratio is the median of the ratios of the rounds. The floor of datagrams without an answer only receives; both have them waiting in their queue.", ""]
    lines += [f"* {name}: {value}" for name, value in machine.items()]
    lines += ["", "| what | measured | floor | ratio | to reach | |", "|---|---|---|---|---|---|"]
    for what, value, floor, compared, target, met, _ in rows:
        lines.append(f"| {what} | {value} | {floor} | {compared} | {target} | {met} |")
    lost = [f"{what}: {count}" for what, *_, count in rows if count]
    lines += ["", f"Not answered, or refused: {'; '.join(lost) or 'none'}.", "", "![cost against number of peers](cost.svg)", ""]
    lines += other_rows(run) + million_lines(run)
    return "\n".join(lines) + "\n"


def other_rows(run):
    lines = ["## Beside the table", "", "| what | server | floor | ratio |", "|---|---|---|---|"]
    names = {"keepalive bound": "KEEPALIVE, 1,000 peers, server bound to 127.0.0.1 alone, as the echo is", "proxied": "KEEPALIVE, 1,000 peers, behind the header of a proxy, as with the echo", "keepalive 10000": "KEEPALIVE, 10,000 peers", "keepalive 100000": "KEEPALIVE, 100,000 peers", "offer fresh": "OFFER, one fragment that opens a new offer", "ping": "PING", "mixed": "mixed: an hour of peers, each task", "register keyed": "registration, keyed"}
    for name, what in names.items():
        lines.append(f"| {what} | {run.cost(name):.0f} ns | {run.cost(name, 1):.0f} ns | {run.ratio(name):.2f} |")
    lines.append(f"| KEEPALIVE, 1,000 peers, floor with recvfrom and sendto | {run.cost('keepalive 1000'):.0f} ns | {run.cost('keepalive 1000', 2):.0f} ns | {run.ratio('keepalive 1000', 2):.2f} |")
    lines += ["", "How busy the cores were: a server that is not busy all the time sleeps and is woken, and that is in its cost, as in the floor's.", ""]
    lines += ["| row | server busy | floor busy | load, each | load against the floor, each |", "|---|---|---|---|---|"]
    for name, told in run.results.items():
        if isinstance(told, dict) and "median" in told and name not in ("foreign", "malformed"):
            shares = f"{run.busy(name, 'server'):.0%} | {run.busy(name, 'floor 1'):.0%}"
            lines.append(f"| {name} | {shares} | {run.load_cost(name, 'server'):.0f} ns | {run.load_cost(name, 'floor 1'):.0f} ns |")
    lines += ["", "| engine alone | 1,000 peers | 1,000,000 peers |", "|---|---|---|"]
    alone = run.results["engine"]
    for name in ("keepalive", "keepalive blindly", "offer", "offer blindly", "foreign", "malformed", "stale", "header", "header, 1000 ends"):
        lines.append(f"| {name} | {alone[f'{name} 1000']['ns']:.0f} ns | {alone[f'{name} 1000000']['ns']:.0f} ns |")
    lines.append(f"| codec: KEEPALIVE read and written | {alone['codec 0']['ns']:.0f} ns | |")
    return lines


def million_lines(run):
    told = run.results["million"]
    joined = told["at"]["registered"][0]
    lines = ["", "## A million peers through the socket", ""]
    lines.append(f"{joined['peers']:,} registered, both round trips each, in {joined['seconds']:.1f} s; {joined['lost']} lost. CPU {joined['cpu_ns_each']:.0f} ns each.")
    lines.append(f"Resident memory {joined['resident_before'] / 1e6:.1f} MB before and {joined['resident'] / 1e6:.1f} MB after. Datagrams dropped by the kernel: {told['drops']}.")
    lines += ["", f"| KEEPALIVEs at {RATE:,} a second | sent | answered | p50 | p99 | p99.9 | longest |", "|---|---|---|---|---|---|---|"]
    for name, part in (("1,000 peers", told["before"]), ("1,000,000 peers", told["at"])):
        for number, turn in enumerate(part["round"], 1):
            lines.append(f"| {name}, round {number} | {turn['sent']:,} | {turn['answered']:,} | {turn['p50_us']:.0f} us | {turn['p99_us']:.0f} us | {turn['p999_us']:.0f} us | {turn['max_us']:.0f} us |")
    lines += ["", "## A burst", "", "| 10,000 PINGs at once | answered | dropped by the kernel |", "|---|---|---|"]
    for name, what in (("burst", "the server runs"), ("burst held", "the server is stopped meanwhile: all have to wait in its queue")):
        lines.append(f"| {what} | {run.results[name]['answered']:,} | {run.results[name]['drops']:,} |")
    return lines


def machine():
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    compiler = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return {
        "machine": f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores; server on core {SERVER_CORE}, load on core {LOAD_CORE}",
        "kernel": platform.release(),
        "commit": commit,
        "compiler": compiler,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load average": f"{os.getloadavg()[0]:.1f} at the start",
    }


def main():
    parser = argparse.ArgumentParser(description="Run every benchmark and write one report.")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "bin")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["stun"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    facts = machine()
    run = Runner(options.bin.resolve(), options.out, options.quick)
    if options.only:
        stun(run)
        stun_rows(run, lambda *row: print("| " + " | ".join(map(str, (*row[:5], "met" if row[5] else "NOT MET"))) + " |"))
        print(json.dumps(facts | {"load at the end": os.getloadavg()[0]}))
        return
    measure_all(run)
    rows = table(run)
    facts["load average"] += f", {os.getloadavg()[0]:.1f} at the end"
    if options.quick:
        facts["kind"] = "a quick run: a tenth of the datagrams, one round"
    (options.out / "results.json").write_text(json.dumps({"machine": facts, "results": run.results}, indent=1) + "\n")
    points = [(peers, run.cost(f"keepalive {peers}"), run.cost(f"keepalive {peers}", 1)) for peers in (1000, 10_000, 100_000, 1_000_000)]
    (options.out / "cost.svg").write_text(chart(points, f"{facts['commit']}, Linux {facts['kernel']}, {facts['date']}"))
    text = report(run, rows, facts)
    (options.out / "report.md").write_text(text)
    print(text)
    print(f"{options.out / 'report.md'} written")


if __name__ == "__main__":
    main()
