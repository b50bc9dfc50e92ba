"""A menu by keys, as telephones have them: brings its own server.

python examples/keypad.py                   # open the page it prints, and press digits, * or # on the keyboard
"""

import numpy as np

import peer

MENU = "1: a melody   2: leave a message, end it with #   9: hang up"
RATE = 48000


def tone(pitch: float, seconds: float) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * pitch * np.arange(int(RATE * seconds)) / RATE)).astype(np.int16)


MELODY = np.concatenate([tone(pitch, 0.3) for pitch in (392, 440, 494, 523, 587, 523, 494, 440)] * 4)


async def menu(call: peer.Call) -> None:
    keys = call.keys()
    await call.write(MENU)
    playing = call.play(tone(660, 0.2))
    async for key in keys:
        playing.stop()  # who knows the menu need not hear the end of anything
        print(f"{call.name} pressed {key}")
        match key:
            case "1":
                playing = call.play(MELODY)
            case "2":
                await call.play(tone(880, 0.3))
                async with call.record("messages/") as recorder:
                    while await anext(keys, "#") != "#":  # or the call ended
                        pass
                for file in recorder.files:
                    print(f"{call.name} left a message of {file.seconds:.0f} s: {file.path}")
                await call.write("Thank you")
            case "9":
                return
            case _:
                await call.write(MENU)


peer.run(menu, name="keypad")
