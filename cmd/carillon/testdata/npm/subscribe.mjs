// Follows a channel over lost connections: node subscribe.mjs URL CHANNEL COUNT
// Prints the data of COUNT records, one JSON text a line, in the order of the log, and ends. Says "ready" on standard
// error with the first answer. It is a client written from docs/protocol.md alone.
import WebSocket from "ws";

const [url, channel, wanted] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const PAGE = 1000, MIN_WAIT = 20, MAX_WAIT = 200; // records; milliseconds
let at = ""; // behind the last record that was printed
let printed = 0, reconnects = 0, gaps = 0, ready = false, finished = false;

function print(record) {
  at = record.at;
  process.stdout.write(JSON.stringify(record.data) + "\n");
  if (++printed === wanted) {
    process.stderr.write(`done: ${reconnects} reconnects, ${gaps} gaps filled\n`);
    finished = true;
  }
}

function connect() {
  const socket = new WebSocket(url, "carillon.v1.json");
  let id = 1, held = null; // live records that wait while a gap is filled from history
  let missing = 0;         // offset of the last record of that gap
  const say = (m) => socket.send(JSON.stringify({ id: ++id, ...m }));
  const page = () => say({ type: "history", channel, at, limit: PAGE });

  function gap(g) {
    if (g.reason !== "too_many" && g.reason !== "slow") throw new Error(`records are lost: ${JSON.stringify(g)}`);
    gaps++;
    missing = g.to;
    if (!held) page();
    held = []; // what waited before this gap is in history too
  }
  function filled(reply) {
    for (const r of reply.records) if (r.offset <= missing && !finished) print(r);
    const last = reply.records.at(-1);
    if (!last) throw new Error("history lacks what the gap said");
    if (last.offset < missing) return page();
    const waiting = held;
    held = null;
    for (const r of waiting) if (!finished) print(r);
  }
  function receive(m) {
    if (finished) return;
    switch (m.type) {
      case "connected":
        return say({ type: "subscribe", channel, ...(at && { at }) });
      case "reply":
        if (m.records) return filled(m);
        if (!at) at = m.at;
        if (!ready) process.stderr.write("ready\n");
        ready = true;
        if (m.gap) gap(m.gap);
        return;
      case "gap":
        return gap(m);
      case "record":
        return held ? held.push(m) : print(m);
      case "ping":
        return socket.send(JSON.stringify({ type: "pong" }));
      case "error":
        return socket.close();
    }
  }
  socket.on("open", () => socket.send(JSON.stringify({ type: "connect", id: 1, name: "npm ws" })));
  socket.on("message", (text) => {
    for (const m of [JSON.parse(text)].flat()) receive(m);
    if (finished) socket.terminate();
  });
  socket.on("error", () => {}); // close follows
  socket.on("close", () => {
    if (finished) return;
    reconnects++;
    setTimeout(connect, MIN_WAIT + Math.random() * (MAX_WAIT - MIN_WAIT));
  });
}

connect();
