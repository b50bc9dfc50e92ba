"""Tells a story, falls silent the moment somebody interrupts, and goes on when they have finished.

peer bot examples/bots/storyteller.py http://localhost:8080 --name storyteller

Speaks with espeak-ng (sudo apt-get install espeak-ng), listens with pip install 'webrtc-peer[speech]'.
"""

import numpy as np

import peer

STORY = """Once upon a time there was a packet who was afraid of being lost.
Every night it dreamt of the great buffer, where packets wait and nobody ever calls them.
One day a friend said: do not worry. If you are lost, somebody will ask for you again.
So it went out into the wide network, over bridges and through tunnels, and was never afraid again. The end."""

voice = peer.voices.Espeak(words_per_minute=140)


async def on_call(call: peer.Call) -> None:
    blocks = [block async for block in voice(STORY)]
    story, rate = np.concatenate([pcm for pcm, _ in blocks]), blocks[0][1]
    at = 0.0
    telling = call.play(story, rate=rate)
    async for speech in call.speech():  # as soon as they begin to speak
        telling.stop()  # silent at their end within 60 ms
        at = max(0.0, at + telling.position - 1.0)  # a second of it again, later
        print(f"interrupted, at {at:.0f} s of {len(story) / rate:.0f}")
        await speech.pcm()  # until they have finished; speech recognition would take it
        await call.say("As I was saying.", voice)
        telling = call.play(story[round(at * rate) :], rate=rate)
