"""Record everybody who is or comes into a room, a file each, without decoding; ends when the room has been empty.

peer serve                                  # in another terminal; open its page in a browser or two
python examples/record_everyone.py          # or: ... http://localhost:8080 lab recordings/ 60
"""

import sys

import peer


async def record(
    url: str = "http://localhost:8080", room: str = "lab", folder: str = "recordings/", patience: str = "60"
) -> None:
    async with peer.join(url, room=room, name="recorder") as lab, lab.record(folder) as recorder:
        print(f"recording everyone in room {room}")
        await lab.empty(after=float(patience))
    for file in recorder.files:
        print(f"{file.path}: {file.seconds:.1f} s, {'whole' if file.whole else 'NOT whole'}")


peer.run_until_complete(record(*sys.argv[1:]))
