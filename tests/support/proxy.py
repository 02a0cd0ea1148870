#!/usr/bin/env python3
"""A UDP proxy as it stands before a server against attacks. Written from section 18 of proto/SPEC.md, not from the server's code.

    proxy.py spp|v2 LISTEN SERVER [--from ADDRESS] [--one-port] [--trains]

Addresses are HOST:PORT, [HOST]:PORT for IPv6. Every client gets a port of its own towards the server, at --from; with
--one-port, which only spp allows, they share one. With --trains, datagrams that wait together go to the server in one send
(UDP_SEGMENT), and what the server sends so is taken so (UDP_GRO). Prints where it listens; upon SIGTERM one line of JSON:
datagrams to and from the server, trains of these, and what the server did wrong. Standard library only.
"""

import argparse
import ipaddress
import json
import selectors
import signal
import socket
import struct
import sys
import time

UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
MAGIC = b"\x56\xec"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
# Datagrams of a train, at most, and bytes: what a kernel takes.
TRAIN, TRAIN_BYTES = 48, 60000
# What is let wait so that it comes together.
GATHER = 0.003


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def shown(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def bound(host, port):
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    one.bind((host, port))
    one.setblocking(False)
    return one


def wide(host):
    """16 bytes: IPv4 as IPv4-mapped IPv6."""
    ip = ipaddress.ip_address(host)
    return bytes(10) + b"\xff\xff" + ip.packed if ip.version == 4 else ip.packed


def simple_header(client, proxy):
    return MAGIC + wide(client[0]) + wide(proxy[0]) + struct.pack("!HH", client[1], proxy[1])


def flow_header(client, proxy):
    one, other = (ipaddress.ip_address(end[0]) for end in (client, proxy))
    # An extension that means nothing: PP2_TYPE_NOOP, two bytes.
    block = one.packed + other.packed + struct.pack("!HH", client[1], proxy[1]) + b"\x04\x00\x02\x00\x00"
    return SIGNATURE + bytes([0x21, 0x12 if one.version == 4 else 0x22]) + struct.pack("!H", len(block)) + block


class Proxy:
    def __init__(self, arguments):
        self.is_simple = arguments.protocol == "spp"
        self.server = endpoint(arguments.server)
        self.source = arguments.source
        self.one_port = arguments.one_port
        self.trains = arguments.trains
        self.listening = bound(*endpoint(arguments.listen))
        self.address = self.listening.getsockname()[:2]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listening, selectors.EVENT_READ, None)
        self.flows = {}
        self.shared = None
        self.counts = {"to_server": 0, "from_server": 0, "trains_to_server": 0, "trains_from_server": 0}
        self.wrongs = []

    def flow(self, client):
        """The socket towards the server for a client, and whether it is new."""
        known = self.flows.get(client)
        if known is not None:
            return known, False
        if self.one_port and self.shared is not None:
            one = self.shared
        else:
            one = bound(self.source or self.address[0], 0)
            if self.trains:
                one.setsockopt(UDP, UDP_GRO, 1)
            self.selector.register(one, selectors.EVENT_READ, None if self.one_port else client)
            self.shared = one
        self.flows[client] = one
        return one, True

    def from_clients(self):
        if self.trains:
            time.sleep(GATHER)
        waiting = []
        try:
            while len(waiting) < 256:
                datagram, client = self.listening.recvfrom(2048)
                waiting.append((client[:2], datagram))
        except BlockingIOError:
            pass
        while waiting:
            client, first = waiting[0]
            count = 1
            while (self.trains and count < min(len(waiting), TRAIN) and waiting[count][0] == client
                   and len(waiting[count][1]) == len(first) and (count + 1) * (len(first) + 38) < TRAIN_BYTES):
                count += 1
            self.to_server(client, [datagram for _, datagram in waiting[:count]])
            del waiting[:count]

    def to_server(self, client, datagrams):
        flow, is_new = self.flow(client)
        if self.is_simple:
            header = simple_header(client, self.address)
            datagrams = [header + datagram for datagram in datagrams]
        elif is_new:
            flow.sendto(flow_header(client, self.address) + datagrams[0], self.server)
            self.counts["to_server"] += 1
            datagrams = datagrams[1:]
        if len(datagrams) > 1:
            size = struct.pack("=H", len(datagrams[0]))
            flow.sendmsg([b"".join(datagrams)], [(UDP, UDP_SEGMENT, size)], 0, self.server)
            self.counts["trains_to_server"] += 1
        elif datagrams:
            flow.sendto(datagrams[0], self.server)
        self.counts["to_server"] += len(datagrams)

    def from_server(self, flow, client):
        try:
            received, ancillary, _, source = flow.recvmsg(1 << 16, 64)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if source[:2] != self.server:
            self.wrong(f"a datagram from {shown(source)}")
            return
        size = next((struct.unpack("=i", data[:4])[0] for level, kind, data in ancillary
                     if (level, kind) == (UDP, UDP_GRO)), len(received))
        if size < len(received):
            self.counts["trains_from_server"] += 1
        for start in range(0, max(len(received), 1), max(size, 1)):
            self.counts["from_server"] += 1
            self.to_client(received[start:start + size], client)

    def to_client(self, datagram, client):
        if self.is_simple:
            header, datagram = datagram[:38], datagram[38:]
            if len(header) < 38 or header[:2] != MAGIC:
                return self.wrong(f"no header: {header.hex()}")
            if header[18:34] != wide(self.address[0]) or header[36:] != struct.pack("!H", self.address[1]):
                return self.wrong(f"another proxy's header: {header.hex()}")
            named = [one for one in self.flows if header == simple_header(one, self.address)]
            if not named or client not in (None, named[0]):
                return self.wrong(f"a header for somebody else: {header.hex()}")
            client = named[0]
        elif datagram.startswith(SIGNATURE) or datagram.startswith(MAGIC):
            return self.wrong("a header before an answer")
        self.listening.sendto(datagram, client)

    def wrong(self, what):
        self.wrongs.append(what)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listening:
                    self.from_clients()
                else:
                    self.from_server(key.fileobj, key.data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=["spp", "v2"])
    parser.add_argument("listen")
    parser.add_argument("server")
    parser.add_argument("--from", dest="source")
    parser.add_argument("--one-port", action="store_true")
    parser.add_argument("--trains", action="store_true")
    proxy = Proxy(parser.parse_args())

    def end(*_):
        print(json.dumps({**proxy.counts, "clients": len(proxy.flows), "wrong": proxy.wrongs}), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print(f"proxying on {shown(proxy.address)}", flush=True)
    proxy.run()


if __name__ == "__main__":
    main()
