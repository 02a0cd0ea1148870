"""What aiortc learns of its own address from STUN servers.

    aiortc_candidates.py HOST PORT [HOST PORT ...]

Prints ``candidate ADDRESS PORT`` for each server-reflexive candidate that a peer connection gathers from the first server, and
``mapped ADDRESS`` for what each server, IPv6 ones too, answers to a plain Binding request of aioice.
"""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from typing import Any

from aioice import stun
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

# Seconds for one answer.
PATIENCE = 5.0


async def candidates(host: str, port: int) -> None:
    """Gathers as an application does: aiortc asks over IPv4 only."""
    connection = RTCPeerConnection(RTCConfiguration([RTCIceServer(urls=f"stun:{host}:{port}")]))
    connection.createDataChannel("any")
    await connection.setLocalDescription(await connection.createOffer())
    for line in connection.localDescription.sdp.splitlines():
        words = line.split()
        if line.startswith("a=candidate:") and words[7] == "srflx":
            print("candidate", words[4], words[5], flush=True)
    await connection.close()


class Asking(asyncio.DatagramProtocol):
    """One request and its answer."""

    def __init__(self) -> None:
        self.request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        # As its own checks have it: the answer is to have one, too, and it is verified.
        self.request.add_fingerprint()
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = stun.parse_message(data)
        if answer.transaction_id == self.request.transaction_id and not self.answer.done():
            self.answer.set_result(answer)


async def mapped(host: str, port: int) -> None:
    local = "::" if ipaddress.ip_address(host).version == 6 else "0.0.0.0"
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_datagram_endpoint(Asking, local_addr=(local, 0))
    transport.sendto(bytes(asking.request), (host, port))
    answer = await asyncio.wait_for(asking.answer, PATIENCE)
    assert answer.message_class == stun.Class.RESPONSE and "FINGERPRINT" in answer.attributes, answer
    print("mapped", answer.attributes["XOR-MAPPED-ADDRESS"][0], flush=True)
    transport.close()


async def main() -> None:
    words = sys.argv[1:]
    servers = [(host, int(port)) for host, port in zip(words[::2], words[1::2])]
    await candidates(*servers[0])
    for server in servers:
        await mapped(*server)


asyncio.run(main())
