// Socket.IO, doing what our signaling server does: rooms, who is in them, and messages to one member.
//   node socketio.mjs PORT [REDIS_URL]
import { createServer } from "node:http";
import { Server } from "socket.io";

const [port, redis] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 10000, pingTimeout: 10000 });

if (redis) {
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const publishing = createClient({ url: redis });
  const listening = publishing.duplicate();
  await Promise.all([publishing.connect(), listening.connect()]);
  io.adapter(createAdapter(publishing, listening));
}

io.on("connection", (socket) => {
  socket.on("join", (room) => {
    socket.join(room);
    socket.emit("joined", socket.id);
    socket.to(room).emit("member", socket.id);
  });
  socket.on("message", (to, data) => io.to(to).emit("message", socket.id, data));
});

http.listen(Number(port), "127.0.0.1", () => console.log("listening"));
