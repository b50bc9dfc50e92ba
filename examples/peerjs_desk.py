"""A desk that pages written with PeerJS can call: brings its own server.

python examples/peerjs_desk.py

In such a page: const peer = new Peer({ host: "localhost", port: 8080, path: "/" });
then peer.call("desk", stream), or peer.connect("desk", { serialization: "json" }) and connection.send(anything).
"""

import json

import peer


async def desk(call: peer.Call) -> None:
    async for text in call.messages():
        answer = {"you": call.name, "said": json.loads(text)}
        await call.write(json.dumps(answer).encode())  # PeerJS wants its JSON as binary messages


peer.run(desk, room="peerjs", name="desk", video="test", audio="test")
