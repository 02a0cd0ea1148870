"""A command line on top of roundtable.py. Prints one JSON object a line for everything that happens.

    client.py ping HOST PORT
    client.py id --key FILE [HOST[:PORT]...]
    client.py listen HOST PORT --key FILE --answer FILE [--count N] [--decline] [--offer-out DIR]
    client.py call HOST PORT --key FILE --to PEER --offer FILE --answer-out FILE [--candidates N] [--punch]

``--id UUID`` in place of ``--key FILE`` is a plain identifier; then nothing is sealed, and nothing but the standard
library is needed. ``--help`` tells the options, what is printed, and the exit codes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import deque
from pathlib import Path
from typing import Any, Iterator, Union

import peer_address
import roundtable as rt


OUTPUT = """\
Standard output gets one JSON object for each event, a line each, as it happens. "event" is its name; the other members
are its values: identifiers as UUID (keyed ones as 64 hex digits), offer ids as 32 hex digits, addresses as ip:port or
[ip]:port, times in milliseconds, and instead of a blob its "length" and "sha256".

  registered (observed, session_changed, ttl, timeout, maxblob), address (observed), silent, unregistered,
  registration_delayed (reason, retry_after), registration_failed (reason, code, detail), version (version),
  pong (observed, rtt), ringing, answered (observed, blob, sealed), offered (source, observed, blob, sealed),
  delivered,
  refused (source, kind, reason), failed (reason), candidate (index, blob), candidates_delivered,
  candidates_failed (reason),
  path (address, observed), punch_failed (reason).  From "ringing" on each has "offer" too.

"listen" is ready when it has printed "registered". "sealed" in "offered" and "answered" tells whether the blob was.
"id" prints (identifier), and with servers (peer_address): the line to hand out.

Exit codes:
  0    ping: answered. call: answered, with --candidates delivered too, with --punch a path proved too.
       listen: --count offers were answered (or declined) and the answers delivered
  1    anything else, with a line on standard error: declined, unknown peer, no server, time over, an unreadable file
  2    called wrongly
  130  interrupted
"""


class Failure(Exception):
    """What ends the program with exit code 1."""


def printable(name: str, value: Any) -> Any:
    if isinstance(value, rt.Address):
        return str(value)
    if isinstance(value, bytes):
        return rt.format_identifier(value) if name == "source" else value.hex()
    return value


def report(event: rt.Event) -> None:
    """Print an event; a blob is told by its length and SHA-256."""
    line: dict[str, Any] = {"event": event.name}
    for name, value in event.fields.items():
        if name == "blob":
            line["length"], line["sha256"] = len(value), hashlib.sha256(value).hexdigest()
        else:
            line[name] = printable(name, value)
    print(json.dumps(line), flush=True)


class Session:
    """A ``UdpClient`` with a deadline, that reports every event, whether or not somebody takes it."""

    def __init__(self, args: argparse.Namespace, peer: Union[bytes, rt.Keys]):
        try:
            self.capture = open(args.capture, "wb") if args.capture else None
            self.udp = rt.UdpClient(peer, args.host, args.port, args.drop / 100, args.seed, self.capture)
        except OSError as error:
            raise Failure(f"{args.host}:{args.port}: {error}") from None
        self.core = self.udp.core
        self.queue: deque[rt.Event] = deque()  # reported, but not yet taken
        self.deadline = rt.now_ms() + args.timeout * 1000 if args.timeout else rt.NEVER

    def events(self, until: float = rt.NEVER) -> Iterator[rt.Event]:
        """Events until the given time or the deadline."""
        while True:
            while self.queue:
                event = self.queue.popleft()
                if event.name == "registration_failed":
                    raise Failure(f"registration failed: {event['reason']}, detail {event['detail']}")
                yield event
            left = min(until, self.deadline) - rt.now_ms()
            if left <= 0:
                return
            # Several events may come at once, and who takes them may stop at any: so all are reported first.
            for event in self.udp.step(min(left, 3_600_000)):
                report(event)
                self.queue.append(event)

    def linger(self, quiet: float) -> None:
        """Stay until nothing has come for ``quiet`` milliseconds, and no hole is being punched.

        So what the peer repeats is acknowledged, and what still belongs to the call (candidates, a path) is reported.
        """
        since = rt.now_ms()
        while rt.now_ms() < self.deadline:
            until = max(max(since, self.core.last_heard) + quiet, self.core.punching_until())
            if until <= rt.now_ms():
                return
            for _ in self.events(until):
                since = rt.now_ms()

    def leave(self) -> None:
        """UNREGISTER, so that the identifier is free at once, and close the socket."""
        try:
            self.deadline = rt.NEVER
            self.queue.clear()
            if self.core.state not in (rt.State.UNREGISTERED, rt.State.FAILED):
                self.core.unregister(rt.now_ms())
                for event in self.events(rt.now_ms() + 5_000):
                    if event.name == "unregistered":
                        break
        finally:
            self.close()

    def close(self) -> None:
        self.udp.close()
        if self.capture is not None:
            self.capture.close()


def keys_of(path: Path) -> rt.Keys:
    """A keyed peer, from its key file, which is made if it is missing."""
    try:
        import identity
        import sealing
    except ImportError as error:
        requirements = Path(__file__).with_name("requirements.txt")
        raise Failure(f"--key needs more than the standard library: pip install -r {requirements} ({error})") from None
    try:
        return sealing.Keys(identity.load_or_create(path))
    except ValueError as error:
        raise Failure(str(error)) from None


def own_peer(args: argparse.Namespace) -> Union[bytes, rt.Keys]:
    return args.id if args.key is None else keys_of(args.key)


def show_id(args: argparse.Namespace) -> None:
    identifier = args.id if args.key is None else keys_of(args.key).identifier
    line = {"event": "id", "identifier": rt.format_identifier(identifier)}
    if args.server:
        # A server is written here as it is there, so that a text is the shortest way to read it.
        body = f"{peer_address.SCHEME}{line['identifier']}@{','.join(args.server)}"
        try:
            line["peer_address"] = str(peer_address.parse(f"{body}#{peer_address.check_of(body)}"))
        except (peer_address.PeerAddressError, UnicodeEncodeError) as error:
            raise Failure(f"{','.join(args.server)}: {error}") from None
    print(json.dumps(line), flush=True)


def peer(text: str) -> bytes:
    """An identifier, or the one in a peer address; the server to use stands on the command line."""
    try:
        if text.strip(peer_address.BLANKS).startswith(peer_address.SCHEME):
            return peer_address.parse(text).identifier
        return rt.parse_identifier(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def ping(args: argparse.Namespace) -> None:
    session = Session(args, b"\1" * 32)
    try:
        while rt.now_ms() < session.deadline:
            session.core.ping(rt.now_ms())
            for event in session.events(rt.now_ms() + rt.RTO_INITIAL):
                if event.name == "pong":
                    return
        raise Failure("no answer from the server")
    finally:
        session.close()


def listen(args: argparse.Namespace) -> None:
    answer = b"" if args.decline else args.answer.read_bytes()
    session = Session(args, own_peer(args))
    core = session.core
    core.register(rt.now_ms())
    pending: set[bytes] = set()
    offered = done = 0
    try:
        for event in session.events():
            now = rt.now_ms()
            if event.name == "offered":
                offered += 1
                if args.offer_out is not None:
                    args.offer_out.mkdir(parents=True, exist_ok=True)
                    (args.offer_out / f"{event['offer'].hex()}.bin").write_bytes(event["blob"])
                try:
                    if args.decline:
                        core.decline(now, event["offer"])
                    else:
                        core.answer(now, event["offer"], answer)
                except rt.CallError as error:
                    raise Failure(str(error)) from None
                pending.add(event["offer"])
                for number in range(0 if args.decline else args.candidates):
                    core.candidate(now, event["offer"], b"candidate %d of the callee" % number)
            elif event.name == "delivered" and event["offer"] in pending:
                pending.discard(event["offer"])
                done += 1
                if args.count and done >= args.count:
                    session.linger(args.linger * 1000)
                    return
            elif event.name == "failed" and event["offer"] in pending:
                pending.discard(event["offer"])
                if args.count and offered - len(pending) - done:
                    raise Failure(f"the answer was not delivered: {event['reason']}")
        if args.count:
            raise Failure(f"{done} of {args.count} offers answered in time")
    finally:
        session.leave()


def call(args: argparse.Namespace) -> None:
    blob = args.offer.read_bytes()
    session = Session(args, own_peer(args))
    core = session.core
    now = rt.now_ms()
    core.register(now)
    try:
        try:
            offer = core.offer(now, args.to, blob)
            for number in range(args.candidates):
                core.candidate(now, offer, b"candidate %d of the caller" % number)
        except rt.CallError as error:
            raise Failure(str(error)) from None
        waiting = {"answered"}
        if args.candidates:
            waiting.add("candidates_delivered")
        if args.punch:
            waiting.add("path")
        for event in session.events():
            if event.fields.get("offer") != offer:
                continue
            if event.name in ("failed", "candidates_failed", "punch_failed"):
                raise Failure(f"{event.name}: {event['reason']}")
            waiting.discard(event.name)
            if event.name == "answered":
                args.answer_out.write_bytes(event["blob"])
                if args.punch:
                    core.punch(rt.now_ms(), offer)
            if not waiting:
                session.linger(args.linger * 1000)
                return
        raise Failure(f"no {' and no '.join(sorted(waiting))} in time")
    finally:
        session.leave()


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(description="A client of the Roundtable signalling protocol.", epilog=OUTPUT,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = main.add_subparsers(dest="command", required=True)

    def command(name: str, run: Any, timeout: float, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, epilog=OUTPUT,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(run=run)
        sub.add_argument("host", help="name or address of the server")
        sub.add_argument("port", type=int, help="its UDP port")
        sub.add_argument("--timeout", type=float, default=timeout, help="seconds in all; 0: none (default %(default)s)")
        sub.add_argument("--drop", type=float, default=0, metavar="PERCENT",
                         help="throw away this share of datagrams, each way, to try out loss")
        sub.add_argument("--seed", type=int, help="makes --drop repeatable")
        sub.add_argument("--capture", type=Path, metavar="FILE",
                         help="write every datagram there: > sent, < received, in hexadecimal")
        return sub

    def own(sub: argparse.ArgumentParser) -> None:
        own = sub.add_mutually_exclusive_group(required=True)
        own.add_argument("--key", type=Path, metavar="FILE", help="own key file, made if it is missing; calls between "
                         "keyed peers are sealed")
        own.add_argument("--id", type=rt.parse_identifier, help="own plain identifier: UUID")

    def registered(sub: argparse.ArgumentParser, linger: float) -> None:
        own(sub)
        sub.add_argument("--candidates", type=int, default=0, metavar="N", help="send N candidates")
        sub.add_argument("--linger", type=float, default=linger, metavar="SECONDS",
                         help="stay until the peer has been quiet this long (default %(default)s)")

    command("ping", ping, 15, "Ask for the observed address.")
    text = "Show the own identifier, and the line to hand out."
    sub = commands.add_parser("id", help=text, description=text, epilog=OUTPUT,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    sub.set_defaults(run=show_id)
    own(sub)
    sub.add_argument("server", nargs="*", metavar="HOST[:PORT]", help="a server where this peer is to be found")
    sub = command("listen", listen, 0, "Register and answer offers.")
    registered(sub, rt.OFFER_LINGER / 1000)
    sub.add_argument("--answer", type=Path, help="file with the answer")
    sub.add_argument("--decline", action="store_true", help="decline instead")
    sub.add_argument("--count", type=int, default=0, metavar="N", help="exit after N offers (default: never)")
    sub.add_argument("--offer-out", type=Path, metavar="DIR", help="write each offer to DIR/OFFERID.bin")
    sub = command("call", call, 60, "Offer and wait for the answer.")
    registered(sub, rt.OFFER_LINGER / 1000)
    sub.add_argument("--to", type=peer, required=True, help="the peer: its identifier or peer address")
    sub.add_argument("--offer", type=Path, required=True, help="file with the offer")
    sub.add_argument("--answer-out", type=Path, required=True, help="file for the answer")
    sub.add_argument("--punch", action="store_true", help="punch a hole and prove the direct path")
    return main


def main() -> int:
    arguments = parser()
    args = arguments.parse_args()
    if args.command == "listen" and args.answer is None and not args.decline:
        arguments.error("listen needs --answer FILE or --decline")
    try:
        args.run(args)
    except (Failure, OSError) as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
