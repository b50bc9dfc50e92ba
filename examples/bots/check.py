"""A check for every night: calls a page, sees and hears it or not, and says so with its exit code.

peer bot examples/bots/check.py http://localhost:8080 --room lab [-- NAME]     # NAME: "page" unless said otherwise

0: all is well. 5: nobody there, or no answer. 8: a check failed; the last line says which.
"""

import asyncio
import sys

import numpy as np

import peer

who = sys.argv[1] if len(sys.argv) > 1 else "page"


async def main(room: peer.Room) -> None:
    await room.wait_for(who, timeout=10)
    async with room.call(who, video="test", audio="test", timeout=15) as call:
        await call.flowing("audio", "video", timeout=10)

        picture = await call.picture(timeout=5)
        assert picture.array.std() > 5, f"the picture of {who} is of one colour"

        try:
            async with asyncio.timeout(5):
                async for sound in call.sound():
                    if np.abs(sound.array.astype(int)).max() > 300:
                        break
        except TimeoutError:
            raise AssertionError(f"{who} is silent") from None

        stats = await call.stats()
        lost = sum(track.packets_lost for track in stats.inbound)
        print(f"{who}: {picture.width}x{picture.height}, and sound; {lost} packets lost")
