"""The W3C interface, without rooms: two connections in one program find each other, lose their path, find another.

A program written for aiortc runs on it with one import changed:

    from peer import PeerConnection as RTCPeerConnection

python examples/w3c_connection.py
"""

import asyncio

import peer


def connect(one: peer.PeerConnection, other: peer.PeerConnection) -> asyncio.Event:
    """Pass descriptions and candidates on, as signaling would; the event is set when both sides have agreed."""
    agreed = asyncio.Event()
    signaling = asyncio.Lock()

    async def offer() -> None:
        async with signaling:
            await one.setLocalDescription()
            await other.setRemoteDescription(one.localDescription)
            await other.setLocalDescription()
            await one.setRemoteDescription(other.localDescription)
        agreed.set()

    async def pass_on(candidate: object, to: peer.PeerConnection) -> None:
        async with signaling:
            await to.addIceCandidate(candidate)

    one.on("negotiationneeded", offer)  # a coroutine runs as a task
    one.on("icecandidate", lambda candidate: pass_on(candidate, other))
    other.on("icecandidate", lambda candidate: pass_on(candidate, one))
    return agreed


async def main() -> None:
    alice, bob = peer.PeerConnection(), peer.PeerConnection()
    agreed = connect(alice, bob)
    channel = alice.createDataChannel("greetings")
    echoed: asyncio.Queue[str] = asyncio.Queue()
    opened = asyncio.Event()
    channel.on("open", opened.set)
    channel.on("message", echoed.put_nowait)
    bob.on("datachannel", lambda theirs: theirs.on("message", lambda text: theirs.send(f"you said {text!r}")))

    await opened.wait()
    channel.send("hello")
    print(await echoed.get())
    print("over", alice.ice.selected_pair.local.type, alice.ice.selected_pair.local.protocol)

    agreed.clear()
    alice.restartIce()  # as after a change of the network; nothing is interrupted
    await agreed.wait()
    channel.send("still here")
    print(await echoed.get())
    await alice.close()
    await bob.close()


asyncio.run(main())
