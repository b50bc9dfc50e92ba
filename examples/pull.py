"""Receive from a WHEP endpoint, record it, and say how bright its pictures are.

peer serve                                          # in another terminal
peer call http://localhost:8080 --name cam          # in a third one: who sends the test picture to whoever calls
python examples/pull.py http://localhost:8080/whep/lab/cam
"""

import sys

import peer


async def main(url: str, pictures: str = "100") -> None:
    async with peer.pull(url) as call:
        recorder = call.record("recordings")
        left = int(pictures)
        async for picture in call.pictures():
            print(f"{picture.width}x{picture.height}, brightness {picture.array.mean():.0f}")
            left -= 1
            if not left:
                break
    for file in recorder.files:
        print(f"recorded {file.path}, {file.seconds:.1f} s")


peer.run_until_complete(main(*sys.argv[1:]))
