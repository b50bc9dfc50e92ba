"""Call a browser by name, greet it in the chat, and learn how the call ended.

peer serve                                  # in another terminal; open the page it prints as "alice"
python examples/call_a_browser.py           # or: ... http://localhost:8080 lab alice
"""

import sys

import peer


async def main(url: str = "http://localhost:8080", room: str = "lab", whom: str = "alice") -> None:
    async with peer.join(url, room=room, name="bot") as lab:
        print(f"waiting for {whom} in {url}/?room={room}&name={whom}")
        await lab.wait_for(whom)
        async with lab.call(whom, video="test", audio="test") as call:
            await call.write("Hello from Python")
            print(f"{whom} is here: {[track.kind for track in call.remote.tracks]}")
            print(await call.ended())


peer.run_until_complete(main(*sys.argv[1:]))
