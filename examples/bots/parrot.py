"""Repeats what it hears, each sentence when it is over, in the caller's own voice.

peer bot examples/bots/parrot.py http://localhost:8080 --name parrot [-- PITCH]

A PITCH above 1 makes a small parrot. Listens with pip install 'webrtc-peer[speech]'.
"""

import sys

import peer

pitch = float(sys.argv[1]) if len(sys.argv) > 1 else 1.2


async def on_call(call: peer.Call) -> None:
    async for said in call.utterances():
        await call.play(said.pcm, rate=round(16000 * pitch))
