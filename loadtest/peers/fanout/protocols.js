// How a client of each server comes in, says something, and what it makes of what it hears. A message is a text that
// begins with the microsecond at which it was said.
"use strict";

const ACK_EVERY = 32;

// Each answers {hello, hear}: `hello(socket)` is called when the socket is open; `hear(text, socket)` answers "ready",
// or the microsecond of a message that was heard, or undefined.
const protocols = {
  ws: () => ({
    path: "/",
    hello: () => "ready",
    hear: (text) => Number.parseInt(text, 10),
    say: (socket, text) => socket.send(text),
  }),
  "socket.io": () => ({
    path: "/socket.io/?EIO=4&transport=websocket",
    hello: () => undefined,
    hear(text, socket) {
      if (text.startsWith("42")) return Number.parseInt(text.slice(text.indexOf(",") + 2), 10);
      if (text === "2") socket.send("3");
      else if (text.startsWith("0")) socket.send("40");
      else if (text.startsWith("40")) return "ready";
      return undefined;
    },
    say: (socket, text) => socket.send(`42${JSON.stringify(["say", text])}`),
  }),
  // Followed from its head, with acknowledgements as a client of class `chat` sends them.
  quickpe({ token, room }) {
    let unacknowledged = 0;
    let said = 0;
    const stream = `room:${room}`;
    return {
      path: "/ws",
      subprotocol: "quickpe.v1",
      hello: (socket) => socket.send(JSON.stringify({ type: "hello", token, subscribe: [{ stream }] })),
      hear(text, socket) {
        if (text.startsWith('{"type":"message"') || text.startsWith('[{"type":"message"')) {
          const frame = JSON.parse(text);
          let at;
          for (const message of Array.isArray(frame) ? frame : [frame]) {
            if (message.event !== "message:new") continue;
            at = Number.parseInt(message.data.body, 10);
            unacknowledged += 1;
            if (unacknowledged >= ACK_EVERY) {
              unacknowledged = 0;
              socket.send(JSON.stringify({ type: "ack", stream, upto: message.offset }));
            }
          }
          return at;
        }
        return text.includes('"type":"subscribed"') ? "ready" : undefined;
      },
      say(socket, text) {
        said += 1;
        socket.send(JSON.stringify({ type: "publish", id: `p${said}`, room, body: text }));
      },
    };
  },
};

module.exports = { protocols };
