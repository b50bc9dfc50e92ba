"""Record everybody who is or comes into a room, a file each, without decoding; ends when the room has been empty.

peer serve                                  # in another terminal; open its page in a browser or two
python examples/record_everyone.py          # or: ... http://localhost:8080 lab recordings/ 60
"""

import sys

import peer


async def until_the_end(call: peer.Call) -> None:
    print(f"recording {call.name}")
    await call.ended()


async def call_everyone(room: peer.Room) -> None:
    for name in room.members:
        room.start(until_the_end, room.call(name))
    async for event in room.events():
        if isinstance(event, peer.events.MemberJoined):
            room.start(until_the_end, room.call(event.name))


async def main(
    url: str = "http://localhost:8080", room: str = "lab", folder: str = "recordings/", patience: str = "60"
) -> None:
    async with peer.join(url, room=room, name="recorder") as lab, lab.record(folder) as recorder:
        lab.spawn(call_everyone(lab), "call everyone")
        await lab.empty(after=float(patience))
    for file in recorder.files:
        print(f"{file.path}: {file.seconds:.1f} s, {'whole' if file.whole else 'NOT whole'}")


peer.run_until_complete(main(*sys.argv[1:]))
