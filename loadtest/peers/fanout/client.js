// The same crowd for every server: `node client.js PROTOCOL URL MEMBERS SECONDS [TOKENS]`. So many members in two
// processes; one of them says something, all hear it. First at 20 messages a second, for how long a message takes to
// the last fraction; then as fast as they are heard, for deliveries a second. Ends by itself.
"use strict";

const { fork } = require("node:child_process");
const { readFileSync } = require("node:fs");
const { performance } = require("node:perf_hooks");
const { protocols } = require("./protocols.js");

const WORKERS = 2;
const BYTES = 64;
const CALM_PER_SECOND = 20;
// Messages that are said and not heard by everybody.
const IN_FLIGHT = 8;
// Opening at once: what every server's backlog bears.
const OPENING = 64;
// One address of loopback may hold so many connections at a QuickPe node.
const PER_ADDRESS = 1000;
// Tenths of a millisecond up to ten seconds.
const BUCKETS = 100_001;
const PATIENCE_MS = 60_000;

const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

function fail(why) {
  console.error(`FAILED: ${why}`);
  process.exit(1);
}

async function work({ protocol, url, first, count, tokens, room }) {
  const WebSocket = require("ws");
  const buckets = new Uint32Array(BUCKETS);
  let heard = 0;
  let sockets = [];
  let reported = 0;
  const open = (number) =>
    new Promise((resolve, reject) => {
      const speaks = protocols[protocol]({ token: tokens[number % Math.max(tokens.length, 1)], room });
      const localAddress = `127.0.0.${2 + Math.floor(number / PER_ADDRESS)}`;
      const options = { localAddress, perMessageDeflate: false };
      const socket = new WebSocket(url.replace("http", "ws") + speaks.path, speaks.subprotocol, options);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("closed")));
      socket.on("open", () => speaks.hello(socket) === "ready" && resolve([socket, speaks]));
      const isFirst = number === first;
      socket.on("message", (data) => {
        const what = speaks.hear(data.toString(), socket);
        if (what === "ready") resolve([socket, speaks]);
        else if (what > 0) {
          heard += 1;
          buckets[Math.min(BUCKETS - 1, Math.max(0, Math.floor((now() - what) / 100)))] += 1;
          if (isFirst) process.send({ heard: what });
        }
      });
    });
  for (let number = first; number < first + count; number += OPENING) {
    const batch = Math.min(OPENING, first + count - number);
    sockets = sockets.concat(await Promise.all(Array.from({ length: batch }, (_, index) => open(number + index))));
  }
  process.on("message", (message) => {
    if (message.say) sockets[0][1].say(sockets[0][0], message.say);
    if (message.report) {
      process.send({ report: { heard: heard - reported, buckets: Array.from(buckets) } });
      reported = heard;
      buckets.fill(0);
    }
    if (message.end) process.exit(0);
  });
  process.send({ ready: true });
}

function quantile(buckets, share) {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  let left = Math.ceil(total * share);
  for (let index = 0; index < buckets.length; index += 1) {
    left -= buckets[index];
    if (left <= 0) return (index + 1) / 10;
  }
  return Number.NaN;
}

// A group of these people, made by the first of them.
async function makeRoom(url, tokens) {
  const post = async (path, token, body) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) fail(`${path} answered ${answer.status}: ${await answer.text()}`);
    return answer.json();
  };
  const { room } = await post("/api/v1/rooms", tokens[0], { kind: "group", name: "Peers", open: true });
  for (const token of tokens.slice(1)) await post(`/api/v1/rooms/${room}/join`, token, {});
  return room;
}

async function lead(protocol, url, members, seconds, file) {
  const lines = file ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
  const tokens = lines.map((line) => line.split("\t").pop());
  const room = protocol === "quickpe" ? await makeRoom(url, tokens) : undefined;
  const share = Math.ceil(members / WORKERS);
  const workers = [];
  let waiting = new Map();
  let wake = () => {};
  for (let first = 0; first < members; first += share) {
    const worker = fork(__filename, ["worker"]);
    worker.on("exit", (code) => code !== 0 && fail("a worker ended"));
    workers.push(worker);
    const ready = new Promise((resolve) => worker.on("message", (message) => message.ready && resolve()));
    worker.on("message", ({ heard }) => {
      if (!heard) return;
      const left = (waiting.get(heard) ?? 1) - 1;
      if (left === 0) {
        waiting.delete(heard);
        wake();
      } else waiting.set(heard, left);
    });
    worker.send({ protocol, url, first, count: Math.min(share, members - first), tokens, room });
    await ready;
  }
  const say = () => {
    const at = now();
    waiting.set(at, workers.length);
    workers[0].send({ say: `${at} `.padEnd(BYTES, "x") });
  };
  const report = () =>
    Promise.all(
      workers.map((worker) => {
        const told = new Promise((resolve) => {
          const listen = ({ report }) => {
            if (!report) return;
            worker.off("message", listen);
            resolve(report);
          };
          worker.on("message", listen);
        });
        worker.send({ report: true });
        return told;
      }),
    );
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    say();
    await pause(1000 / CALM_PER_SECOND);
  }
  await pause(500);
  const calm = await report();
  const buckets = calm[0].buckets.map((_, index) => calm.reduce((sum, part) => sum + part.buckets[index], 0));
  waiting = new Map();
  const began = performance.now();
  while (performance.now() - began < seconds * 1000) {
    if (waiting.size < IN_FLIGHT) say();
    else await Promise.race([new Promise((resolve) => (wake = resolve)), pause(1000)]);
  }
  const full = await report();
  const took = (performance.now() - began) / 1000;
  const rate = full.reduce((sum, part) => sum + part.heard, 0) / took;
  const [half, most] = [0.5, 0.99].map((share) => quantile(buckets, share).toFixed(1));
  const told = calm.reduce((sum, part) => sum + part.heard, 0);
  console.log(
    `${protocol.padEnd(10)} ${members} members: ${Math.round(rate).toLocaleString("en")} deliveries/s; ` +
      `at ${CALM_PER_SECOND} messages/s p50 ${half} ms, p99 ${most} ms of ${told} deliveries`,
  );
  for (const worker of workers) worker.send({ end: true });
}

if (process.argv[2] === "worker") {
  process.once("message", (job) => work(job).catch((error) => fail(error.message)));
} else {
  const [protocol, url, members, seconds, file] = process.argv.slice(2);
  if (!protocols[protocol] || !url || !(members > 0) || !(seconds > 0)) {
    fail("usage: node client.js ws|socket.io|quickpe URL MEMBERS SECONDS [TOKENS]");
  }
  setTimeout(() => fail("it takes too long"), PATIENCE_MS + Number(seconds) * 4000).unref();
  lead(protocol, url, Number(members), Number(seconds), file).catch((error) => fail(error.message));
}
