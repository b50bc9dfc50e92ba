"""Answer whoever calls, several at once, each with a script of its own; send one caller away.

peer serve                                  # in another terminal
python examples/answer_calls.py             # then open the page and call "desk"
"""

import sys

import peer


async def greet(call: peer.Call) -> None:
    await call.write(f"Hello {call.name}, you are through to the desk")
    await call.play("test")  # a tone, until the caller hangs up


async def main(url: str = "http://localhost:8080", room: str = "lab") -> None:
    async with peer.join(url, room=room, name="desk", video="test") as lab:
        print(f"answering calls in {url}/?room={room}")
        async for ring in lab.rings():
            print(f"{ring.caller} calls")
            if ring.caller == "spam":
                await ring.reject("busy", "the desk does not take your calls")
            else:
                lab.start(greet, ring.accept())


peer.run_until_complete(main(*sys.argv[1:]))
