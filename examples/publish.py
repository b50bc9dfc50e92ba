"""Send pictures that a program draws to a WHIP endpoint: a participant of a room, or any media server.

peer serve                                          # in another terminal
peer record http://localhost:8080 --name desk       # in a third one: who is called
python examples/publish.py http://localhost:8080/whip/lab/desk
"""

import sys

import numpy as np

import peer


async def main(url: str, seconds: str = "10") -> None:
    camera = peer.PictureSource(fps=15)
    async with peer.publish(url, video=camera, audio="test") as call:
        print(f"publishing to {call.name}")
        for number in range(15 * int(seconds)):
            picture = np.zeros((240, 320, 3), np.uint8)
            picture[:, number * 4 % 320 :][:, :40] = (255, 160, 40)  # a bar that walks
            camera.push(picture)
            await camera.tick()
    print(await call.ended())


peer.run_until_complete(main(*sys.argv[1:]))
