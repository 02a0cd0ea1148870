"""Finds out how a NAT behaves, in the terms of RFC 4787, as RFC 5780 does: who stands before two addresses with two ports.

    behaviour.py serve ADDRESS OTHER-ADDRESS
    behaviour.py ask ADDRESS OTHER-ADDRESS

``ask`` prints "mapping filtering": each ``independent``, ``address`` or ``port``, or ``silent`` where nothing comes back.
"""

import select
import socket
import sys

PORTS = (7000, 7001)
# Seconds to wait for an answer that may not come, more than twice the way there and back.
PATIENCE = 0.3


def places(addresses):
    """Where the server listens: the first is asked, the others differ from it in the port, or in the address."""
    return [(addresses[0], PORTS[0]), (addresses[0], PORTS[1]), (addresses[1], PORTS[0])]


def bound(family, address):
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.bind(address)
    return one


def serve(family, addresses):
    sockets = [bound(family, place) for place in places(addresses)]
    print("serving", flush=True)
    while True:
        for one in select.select(sockets, [], [])[0]:
            asked, source = one.recvfrom(64)
            # The answer says who was seen, and comes from where it was asked to.
            sockets[int(asked)].sendto(b"%d" % source[1], source)


def answer(one, place, via):
    """What comes back when ``place`` is asked to answer from place number ``via``."""
    one.settimeout(PATIENCE)
    one.sendto(b"%d" % via, place)
    try:
        return one.recvfrom(64)[0]
    except OSError:
        return None


def ask(family, addresses):
    first, other_port, other_address = places(addresses)
    wildcard = ("", 0)
    # Only the first place hears of this socket.
    one = bound(family, wildcard)
    if answer(one, first, 0) is None:
        return "silent silent"
    filtering = "independent" if answer(one, first, 2) else "address" if answer(one, first, 1) else "port"
    one = bound(family, wildcard)
    seen = [answer(one, place, number) for number, place in enumerate((first, other_port, other_address))]
    mapping = "port" if seen[0] != seen[1] else "address" if seen[0] != seen[2] else "independent"
    return f"{mapping} {filtering}"


def main():
    role, *addresses = sys.argv[1:]
    family = socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET
    if role == "serve":
        serve(family, addresses)
    print(ask(family, addresses))


main()
