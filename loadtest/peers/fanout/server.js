// A peer: `node server.js ws|socket.io`. What one client says, all clients hear; nothing is kept or acknowledged.
// Prints the port that it listens on.
"use strict";

const http = require("node:http");

const BYTES_MAX = 64 << 10;

function listen(server) {
  server.listen(0, "127.0.0.1", 1024, () => console.log(`listening on ${server.address().port}`));
}

const servers = {
  ws() {
    const { WebSocketServer, WebSocket } = require("ws");
    const server = http.createServer();
    const sockets = new WebSocketServer({ server, maxPayload: BYTES_MAX, perMessageDeflate: false });
    sockets.on("connection", (socket) => {
      socket.on("error", () => socket.terminate());
      socket.on("message", (data, isBinary) => {
        for (const other of sockets.clients) {
          if (other.readyState === WebSocket.OPEN) other.send(data, { binary: isBinary });
        }
      });
    });
    listen(server);
  },
  "socket.io"() {
    const { Server } = require("socket.io");
    const server = http.createServer();
    const io = new Server(server, { transports: ["websocket"], maxHttpBufferSize: BYTES_MAX, perMessageDeflate: false });
    io.on("connection", (socket) => {
      socket.join("room");
      socket.on("say", (what) => io.to("room").emit("said", what));
    });
    listen(server);
  },
};

const serve = servers[process.argv[2]];
if (!serve) {
  console.error("usage: node server.js ws|socket.io");
  process.exit(2);
}
serve();
