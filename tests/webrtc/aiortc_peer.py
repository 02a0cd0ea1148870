"""One side of a voice call: aiortc for the media, the Python client of the specification for the signalling.

    aiortc_peer.py HOST PORT [--stun]

Registers, prints ``identifier UUID``, answers one call, sends audio (one packet every 20 ms), and prints at the end how many
packets it has sent and received. Exit code 0 if at least 95 of 100 packets of ten seconds came.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from aiortc.sdp import candidate_from_sdp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
import roundtable as rt  # noqa: E402

# Packets that the other side sends in its ten seconds, and how many of them may be lost.
PACKETS = 500
LEAST = PACKETS * 95 // 100
# Seconds: for one look at the signalling, until the call is there, and of the call with what it takes to begin and end.
PAUSE, PATIENCE, CALL = 0.01, 30.0, 25.0


class Peer:
    """The signalling and the one call it brings."""

    def __init__(self, host: str, port: int, stun: bool):
        self.identifier = uuid.uuid4()
        self.udp = rt.UdpClient(rt.parse_identifier(str(self.identifier)), host, port)
        servers = [RTCIceServer(urls=f"stun:{host}:{port}")] if stun else []
        self.media = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self.media.addTrack(AudioStreamTrack())
        self.connected = asyncio.Event()
        self.media.on("connectionstatechange", self.changed)
        self.media.on("track", self.heard)
        self.listeners: list[asyncio.Task[None]] = []

    def changed(self) -> None:
        print(f"media {self.media.connectionState}", flush=True)
        if self.media.connectionState == "connected":
            self.connected.set()

    def heard(self, track: Any) -> None:
        self.listeners.append(asyncio.ensure_future(self.listen(track)))

    @staticmethod
    async def listen(track: Any) -> None:
        """Decode what comes, as whoever plays it would."""
        while True:
            await track.recv()

    async def signal(self) -> None:
        """Do what the signalling asks for, for ever."""
        self.udp.core.register(rt.now_ms())
        while True:
            for event in self.udp.step(0):
                if event.name == "registered":
                    print(f"identifier {self.identifier}", flush=True)
                elif event.name == "offered":
                    await self.answer(event["offer"], event["blob"].decode())
                elif event.name == "candidate":
                    await self.candidate(event["blob"].decode())
            await asyncio.sleep(PAUSE)

    async def answer(self, offer: bytes, description: str) -> None:
        """Answer with all candidates at once: aiortc does not trickle its own."""
        await self.media.setRemoteDescription(RTCSessionDescription(description, "offer"))
        await self.media.setLocalDescription(await self.media.createAnswer())
        self.udp.core.answer(rt.now_ms(), offer, self.media.localDescription.sdp.encode())

    async def candidate(self, text: str) -> None:
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        candidate.sdpMLineIndex = 0
        await self.media.addIceCandidate(candidate)

    async def packets(self) -> tuple[int, int]:
        """How many packets of audio were sent and received."""
        stats = (await self.media.getStats()).values()
        sent = sum(one.packetsSent for one in stats if one.type == "outbound-rtp")
        return sent, sum(one.packetsReceived for one in stats if one.type == "inbound-rtp")


async def call(peer: Peer) -> int:
    signalling = asyncio.ensure_future(peer.signal())
    try:
        await asyncio.wait_for(peer.connected.wait(), PATIENCE)
        sent = received = before = 0
        until = asyncio.get_running_loop().time() + CALL
        # The other side falls silent when it has said all.
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(1)
            before, (sent, received) = received, await peer.packets()
            if received and received == before:
                break
        print(f"sent {sent} packets of audio, received {received} of {PACKETS}", flush=True)
        return 0 if received >= LEAST and sent >= LEAST else 1
    finally:
        signalling.cancel()
        for listener in peer.listeners:
            listener.cancel()
        await peer.media.close()
        peer.udp.close()


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("host")
    arguments.add_argument("port", type=int)
    arguments.add_argument("--stun", action="store_true", help="ask the server for the own address by STUN")
    given = arguments.parse_args()
    return await call(Peer(given.host, given.port, given.stun))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
