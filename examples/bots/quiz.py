"""A quiz over chat, for everybody in the room at once: each plays alone, and the best result is told to all.

peer bot examples/bots/quiz.py http://localhost:8080 --name quiz [-- SECONDS]

It calls who is there and answers who calls; SECONDS is the time for one answer.
"""

import asyncio
import sys

import peer

QUESTIONS = [
    ("How many milliseconds of sound are in one Opus packet, usually?", "20"),
    ("Which protocol finds the path between two peers?", "ice"),
    ("Which codec is free, and was born as On2's eighth?", "vp8"),
]
seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20


async def main(room: peer.Room) -> None:
    scores: dict[str, int] = {}

    async def play(call: peer.Call) -> None:
        answers = call.messages()
        scores[call.name] = 0
        for question, right in QUESTIONS:
            await call.write(question)
            try:
                async with asyncio.timeout(seconds):
                    answer = await anext(answers)
            except TimeoutError:
                answer = "nothing"
            if answer.strip().lower() == right:
                scores[call.name] += 1
                await call.write("Right!")
            else:
                await call.write(f"You said {answer}, it is {right}.")
        best = max(scores, key=scores.__getitem__)
        for other in room.calls:
            await other.write(f"{call.name} has {scores[call.name]} points; {best} leads with {scores[best]}.")

    for name in room.members:
        room.start(play, room.call(name))
    async for ring in room.rings():
        room.start(play, ring.accept())
