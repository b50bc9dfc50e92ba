"""Chat over the data channel, from a terminal: lines typed here go to everybody in the room, theirs are printed.

peer serve                                  # in another terminal; open its page
python examples/chat.py                     # or: ... http://localhost:8080 lab me
"""

import asyncio
import sys

import peer


async def print_messages(call: peer.Call) -> None:
    print(f"* {call.name} is here")
    async for text in call.messages():
        print(f"{call.name}: {text}")
    print(f"* {call.name} is gone")


async def main(url: str = "http://localhost:8080", room: str = "lab", name: str = "terminal") -> None:
    async with peer.join(url, room=room, name=name) as lab:

        async def answer() -> None:
            async for ring in lab.rings():
                lab.start(print_messages, ring.accept())

        lab.spawn(answer(), "answer")
        for member in lab.members:
            lab.start(print_messages, lab.call(member))
        while line := await asyncio.to_thread(sys.stdin.readline):
            for call in lab.calls:
                await call.write(line.rstrip("\n"))


asyncio.run(main(*sys.argv[1:]))
