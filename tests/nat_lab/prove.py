"""Proves an address to a server: registers from this port, with the cookie that comes back, and lets the port go.

    prove.py ADDRESS PORT SERVER SERVER-PORT

Written from proto/SPEC.md, sections 4 and 5, with nothing but the standard library.
"""

import os
import socket
import sys

REGISTER, CHALLENGE, HEADER = 0x02, 0x83, b"RT\x01"
PATIENCE = 5.0


def register(cookie):
    # A plain identifier: a UUID, and 16 zero bytes. Session, ticket, server and signature are none.
    identifier = os.urandom(16) + bytes(16)
    return HEADER + bytes([REGISTER]) + bytes(16) + os.urandom(16) + identifier + cookie + bytes(16 + 19 + 64)


def main():
    address, port, server, server_port = sys.argv[1:]
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.settimeout(PATIENCE)
    one.bind((address, int(port)))
    one.sendto(register(bytes(16)), (server, int(server_port)))
    challenge = one.recv(2048)
    assert challenge[3] == CHALLENGE, challenge.hex()
    one.sendto(register(challenge[20:36]), (server, int(server_port)))
    print("proved, answered by kind %#x" % one.recv(2048)[3])


main()
