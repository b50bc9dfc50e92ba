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


async def typed() -> asyncio.StreamReader:
    """The lines of the terminal, without a thread that Ctrl-C would have to wait for."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    return lines


async def main(url: str = "http://localhost:8080", room: str = "lab", name: str = "terminal") -> None:
    async with peer.join(url, room=room, name=name) as lab:

        async def answer() -> None:
            async for ring in lab.rings():
                lab.start(print_messages, ring.accept())

        lab.spawn(answer(), "answer")
        for member in lab.members:
            lab.start(print_messages, lab.call(member))
        async for line in await typed():
            for call in lab.calls:
                await call.write(line.decode().rstrip("\n"))


peer.run_until_complete(main(*sys.argv[1:]))
