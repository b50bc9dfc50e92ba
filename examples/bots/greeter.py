"""Says hello to everybody who calls, waits until they have spoken, and says goodbye.

peer serve                                  # in another terminal; open its page and call the greeter
peer bot examples/bots/greeter.py http://localhost:8080 --name greeter

Speaks with espeak-ng (sudo apt-get install espeak-ng), listens with pip install 'webrtc-peer[speech]'.
"""

import peer

voice = peer.voices.Espeak()


async def on_call(call: peer.Call) -> None:
    await call.say(f"Hello {call.name}. What brings you here?", voice)
    try:
        speech = await call.speaking(timeout=15)
    except peer.TimedOut:
        await call.hang_up(text="you are a quiet one")
        return
    said = await speech.utterance()
    print(f"{call.name} spoke for {said.end - said.start:.1f} s")
    await call.silent(1, timeout=30)
    await call.say("Nice to meet you. Goodbye.", voice)  # returning hangs up
