"""A page that gives back what it gets: picture, sound and messages. Brings its own server.

python examples/echo.py                     # open the page it prints
"""

import asyncio

import peer


async def echo(call: peer.Call) -> None:
    pictures, sound = peer.PictureSource(), peer.SoundSource()
    call.show(pictures)
    call.carry(sound)

    async def back_pictures() -> None:
        async for picture in call.pictures():
            pictures.push(picture.array)

    async def back_sound() -> None:
        async for heard in call.sound():
            sound.push(heard.array)

    async def back_messages() -> None:
        async for text in call.messages():
            await call.write(f"you said: {text}")

    await asyncio.gather(back_pictures(), back_sound(), back_messages())


peer.run(echo, name="echo")
