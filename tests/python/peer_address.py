"""Peer addresses: the line that a user hands out, with identifier, servers and a check. Standard library only.

Written from the protocol specification (proto/SPEC.md) alone; "section n" below refers to it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple

import roundtable as rt

PEER_ADDRESS_MAX = 1024
SERVERS_MAX = 8
SERVER_PORT = 1066
SCHEME = "roundtable:"
BLANKS = " \t\r\n"
HOST_NAME_MAX = 253

_CHECK = re.compile("[0-9a-f]{8}")
_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IPV6 = re.compile("[0-9A-Fa-f:.]+")
_IDENTIFIER = re.compile("[0-9A-Fa-f]{64}|[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class PeerAddressError(ValueError):
    """A text that must be refused. ``name`` is one of the names of section 14."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class Server(NamedTuple):
    """``host`` is a host name or an IP address, without brackets."""

    host: str
    port: int = SERVER_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SERVER_PORT else f"{host}:{self.port}"


@dataclass(frozen=True)
class PeerAddress:
    identifier: bytes
    servers: tuple[Server, ...]

    def __str__(self) -> str:
        """The one text of this value."""
        body = f"{SCHEME}{rt.format_identifier(self.identifier)}@{','.join(map(str, self.servers))}"
        return f"{body}#{check_of(body)}"


def check_of(body: str) -> str:
    """What stands after the ``#``."""
    return hashlib.sha256(body.encode("ascii")).hexdigest()[:8]


def parse(text: str) -> PeerAddress:
    """Read a peer address, or raise PeerAddressError; the order of checks is that of section 14."""
    text = text.strip(BLANKS)
    if len(text.encode("utf-8", "surrogatepass")) > PEER_ADDRESS_MAX:
        raise PeerAddressError("too_long")
    if not all("!" <= character <= "~" for character in text):
        raise PeerAddressError("bad_character")
    if not text.startswith(SCHEME):
        raise PeerAddressError("bad_scheme")
    body, hash_sign, check = text.partition("#")
    if not hash_sign:
        raise PeerAddressError("check_missing")
    if not _CHECK.fullmatch(check):
        raise PeerAddressError("bad_check")
    if check != check_of(body):
        raise PeerAddressError("check_mismatch")

    who, at_sign, where = body[len(SCHEME):].partition("@")
    if not at_sign:
        raise PeerAddressError("server_missing")
    identifier = _parse_identifier(who)
    texts = where.split(",")
    if len(texts) > SERVERS_MAX:
        raise PeerAddressError("too_many_servers")
    servers = tuple(_parse_server(text) for text in texts)
    if len(set(servers)) < len(servers):
        raise PeerAddressError("duplicate_server")

    address = PeerAddress(identifier, servers)
    # An IPv4-mapped host is never canonical: it is to be written as the IPv4 address.
    if str(address) != text or any(_is_mapped(server.host) for server in servers):
        raise PeerAddressError("not_canonical")
    return address


def make(identifier: bytes, servers: list[Server]) -> PeerAddress:
    """The value for what the application has, checked like a text."""
    return parse(str(PeerAddress(identifier, tuple(servers))))


def _parse_identifier(text: str) -> bytes:
    if not _IDENTIFIER.fullmatch(text):
        raise PeerAddressError("bad_identifier")
    identifier = bytes.fromhex(text.replace("-", "")).ljust(32, b"\0")
    if not any(identifier):
        raise PeerAddressError("bad_identifier")
    return identifier


def _parse_server(text: str) -> Server:
    """Host and port part at the ``]`` of an IPv6 address or at the first ``:``."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host):
            raise PeerAddressError("bad_host")
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            raise PeerAddressError("bad_host") from None
    else:
        host, colon, port = text.partition(":")
        port = colon + port
        host = _parse_name_or_ipv4(host.lower())
    if not port:
        return Server(host)
    if not port.startswith(":") or not re.fullmatch("[0-9]+", port[1:]):
        raise PeerAddressError("bad_port")
    # More digits than an int may be read from must not matter; zeros in front are told apart at the end.
    digits = port[1:].lstrip("0")
    if not 1 <= len(digits) <= 5 or int(digits) > 65535:
        raise PeerAddressError("bad_port")
    return Server(host, int(digits))


def _parse_name_or_ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    labels = host.split(".")
    sound = len(host) <= HOST_NAME_MAX and all(_LABEL.fullmatch(label) for label in labels)
    if not sound or not "a" <= labels[-1][0] <= "z":
        raise PeerAddressError("bad_host")
    return host


def _is_mapped(host: str) -> bool:
    return ":" in host and ipaddress.IPv6Address(host).ipv4_mapped is not None
