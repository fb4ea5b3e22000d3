import { describe, expect, test } from "vitest";
import WebSocket from "ws";
import { Carillon, type Gap, type Message, type Recovered } from "../src/index.js";
import { msgpack } from "../src/msgpack.js";
import { client, event, folder, serve, until } from "./server.js";

type Note = { n: number };

/** Publishes numbers in order. */
async function publish(c: Carillon, name: string, from: number, to: number): Promise<void> {
  const channel = c.channel<Note>(name);
  const all = [];
  for (let n = from; n <= to; n++) all.push(channel.publish({ n }));
  await Promise.all(all);
}

const numbers = (ms: Message<Note>[]) => ms.map((m) => m.data?.n);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe.each([["JSON", undefined], ["MessagePack", msgpack]])("over %s", (_, protocol) => {
  const o = protocol ? { protocol } : {};

  test("publishes and hands over what is published, values and bytes", async () => {
    const server = await serve();
    const c = client(server.url, o);
    const room = c.channel<unknown>("demo:lobby");
    const got: Message<unknown>[] = [];
    room.on("message", (m) => got.push(m));
    await room.ready();
    const values: unknown[] = [{ text: "héllo \u{1f514}" }, null, false, "", 1.5, [[]], { __proto__: null, constructor: 1 }];
    for (const v of values) await room.publish(v);
    const receipt = await room.publish(new Uint8Array([0, 1, 255]));
    expect(receipt.ack).toBe("appended:memory");
    await until(() => got.length === values.length + 1);
    expect(got.map((m) => m.data)).toEqual([...values.map((v) => JSON.parse(JSON.stringify(v))), new Uint8Array([0, 1, 255])]);
    expect(got.map((m) => m.offset)).toEqual(range(1, values.length + 1));
    expect(got.at(-1)).toMatchObject({ at: receipt.at, offset: receipt.offset, user: c.user, erased: false, channel: "demo:lobby" });
    expect(room.position).toBe(receipt.at);
  });

  test("resumes after a cut line: each record once and in order", async () => {
    const server = await serve();
    const [a, b] = [client(server.url, o), client(server.url, o)];
    const room = a.channel<Note>("demo:lobby");
    const got: Message<Note>[] = [];
    const recovered: Recovered[] = [];
    room.on("message", (m) => got.push(m));
    room.on("recovered", (r) => recovered.push(r));
    await room.ready();
    await publish(b, "demo:lobby", 1, 10);
    await until(() => got.length === 10);
    await a.disconnect({ clean: false });
    expect(a.state).toBe("disconnected");
    await publish(b, "demo:lobby", 11, 60);
    a.connect();
    await until(() => recovered.length === 1);
    await publish(b, "demo:lobby", 61, 65);
    await until(() => got.length === 65);
    expect(numbers(got)).toEqual(range(1, 65));
    expect(recovered).toEqual([{ missed: 50, complete: true }]);
    expect(a.stats).toMatchObject({ recovered: 50, gaps: 0, reconnects: 1 });
  });

  test("fills from history what the server cannot replay, while records go on", async () => {
    const server = await serve({ flags: ["--set", "namespaces.feed.ring.records=8", "--set", "namespaces.feed.retention.records=5000"] });
    const [a, b] = [client(server.url, o), client(server.url, o)];
    const feed = a.channel<Note>("feed:x");
    const got: Message<Note>[] = [];
    const gaps: Gap[] = [];
    feed.on("message", (m) => got.push(m));
    feed.on("gap", (g) => gaps.push(g));
    await feed.ready();
    await publish(b, "feed:x", 1, 5);
    await until(() => got.length === 5);
    await a.disconnect({ clean: false });
    await publish(b, "feed:x", 6, 900);
    let pages = 0;
    a.on("frame", (f) => (pages += f.messages.filter((m) => "records" in m).length));
    a.connect();
    await Promise.all([publish(b, "feed:x", 901, 1500), feed.ready()]);
    await until(() => got.length === 1500);
    expect(numbers(got)).toEqual(range(1, 1500));
    expect(gaps).toEqual([]);
    expect(pages).toBeGreaterThan(1);
  });
});

test("says what is missing where history has it no more", async () => {
  const server = await serve({ flags: ["--set", "namespaces.feed.ring.records=4", "--set", "namespaces.feed.retention.records=10"] });
  const [a, b] = [client(server.url), client(server.url)];
  const feed = a.channel<Note>("feed:x");
  const got: (number | Gap)[] = [];
  feed.on("message", (m) => got.push(m.data!.n));
  feed.on("gap", (g) => got.push(g));
  await feed.ready();
  await publish(b, "feed:x", 1, 3);
  await until(() => got.length === 3);
  await a.disconnect({ clean: false });
  await publish(b, "feed:x", 4, 100);
  a.connect();
  await until(() => got.at(-1) === 100);
  const gap = got.find((x) => typeof x === "object") as Gap;
  expect(gap).toMatchObject({ from: 4, reason: "trimmed" });
  expect(got).toEqual([1, 2, 3, gap, ...range(gap.to + 1, 100)]);
  expect(a.stats.gaps).toBe(1);
});

test("a log in memory that was lost with its server is a gap, and its new records follow", async () => {
  const server = await serve();
  const [a, b] = [client(server.url), client(server.url)];
  const room = a.channel<Note>("demo:lobby");
  const got: (number | string)[] = [];
  room.on("message", (m) => got.push(m.data!.n));
  room.on("gap", (g) => got.push(g.reason));
  await room.ready();
  await publish(b, "demo:lobby", 1, 3);
  await until(() => got.length === 3);
  await server.kill();
  await a.disconnect({ clean: false });
  await server.start();
  await publish(b, "demo:lobby", 4, 6);
  a.connect();
  await until(() => got.at(-1) === 6);
  expect(got).toEqual([1, 2, 3, "epoch", 4, 5, 6]);
});

test("kill -9 and a restart with data: nothing is lost, nothing comes twice", async () => {
  const data = folder();
  const server = await serve({ flags: ["--data", data, "--durable", "games"] });
  const [a, b] = [client(server.url), client(server.url)];
  const game = a.channel<Note>("games:1");
  const got: Message<Note>[] = [];
  game.on("message", (m) => got.push(m));
  await game.ready();
  await publish(b, "games:1", 1, 20);
  const publishing = [];
  const out = b.channel<Note>("games:1");
  for (let n = 21; n <= 120; n++) publishing.push(out.publish({ n }));
  await server.kill(); // with publishes on their way
  for (let n = 121; n <= 140; n++) publishing.push(out.publish({ n })); // and some without a line
  await server.start();
  const acks = await Promise.all(publishing);
  expect(new Set(acks.map((r) => r.ack))).toEqual(new Set(["durable"]));
  expect(acks.map((r) => r.offset)).toEqual(range(21, 140));
  await until(() => got.length === 140);
  expect(numbers(got)).toEqual(range(1, 140));
});

test("queues while offline, up to a limit, and sends once the line is back", async () => {
  const server = await serve();
  const c = client(server.url, { queue: { max: 3 }, autoConnect: false });
  const room = c.channel<Note>("demo:lobby");
  const queued = [1, 2, 3].map((n) => room.publish({ n }));
  await expect(room.publish({ n: 4 })).rejects.toMatchObject({ code: "queue_full", retry: true });
  expect(await room.publish({ n: 0 }, { class: "fleeting", key: "typing" })).toEqual({ ack: "dropped" });
  expect(c.stats.queued).toBe(3);
  c.connect();
  expect((await Promise.all(queued)).map((r) => r.offset)).toEqual([1, 2, 3]);
  expect(c.stats.queued).toBe(0);
});

test("the same idem is appended once, and another body under it is refused", async () => {
  const server = await serve();
  const c = client(server.url);
  const room = c.channel<Note>("demo:lobby");
  const first = await room.publish({ n: 1 }, { idem: "once" });
  expect(await room.publish({ n: 1 }, { idem: "once" })).toEqual(first);
  await expect(room.publish({ n: 2 }, { idem: "once" })).rejects.toMatchObject({ code: "id_reuse", retry: false });
});

test("history pages backwards from the end and forwards from the start", async () => {
  const server = await serve();
  const c = client(server.url);
  await publish(c, "demo:lobby", 1, 25);
  const room = c.channel<Note>("demo:lobby");
  const newest = await room.history({ limit: 10 });
  expect(numbers(newest.messages)).toEqual(range(16, 25));
  const older = await newest.next();
  expect(numbers(older!.messages)).toEqual(range(6, 15));
  expect(numbers((await room.history({ limit: 10, before: newest.before })).messages)).toEqual(range(6, 15));
  const oldest = await older!.next();
  expect(numbers(oldest!.messages)).toEqual(range(1, 5));
  expect(oldest!.more).toBe(false);
  expect(await oldest!.next()).toBeUndefined();
  const start = await room.history({ after: "start", limit: 20 });
  expect(numbers(start.messages)).toEqual(range(1, 20));
  expect(numbers((await start.next())!.messages)).toEqual(range(21, 25));
});

test("a slow iterator misses nothing and holds up nobody", async () => {
  const server = await serve();
  const c = client(server.url);
  const room = c.channel<Note>("demo:lobby");
  const live: Message<Note>[] = [];
  room.on("message", (m) => live.push(m));
  const slow = room.messages({ buffer: 4 });
  await room.ready();
  await publish(c, "demo:lobby", 1, 100);
  await until(() => live.length === 100);
  const read: Message<Note>[] = [];
  for await (const m of slow) {
    read.push(m);
    if (read.length === 50) await publish(c, "demo:lobby", 101, 120);
    if (read.length === 120) break;
  }
  expect(numbers(read)).toEqual(range(1, 120));
  expect(read.some((m) => m.gap)).toBe(false);
});

test("an iterator begins after a position, and a subscription too", async () => {
  const server = await serve();
  const c = client(server.url);
  await publish(c, "demo:lobby", 1, 10);
  const page = await c.channel<Note>("demo:lobby").history({ after: "start", limit: 4 });
  const read: Message<Note>[] = [];
  for await (const m of c.channel<Note>("demo:lobby").messages({ since: page.at })) if (read.push(m) === 6) break;
  expect(numbers(read)).toEqual(range(5, 10));
  const d = client(server.url);
  const got: Message<Note>[] = [];
  d.channel<Note>("demo:lobby", { since: page.at }).on("message", (m) => got.push(m));
  await until(() => got.length === 6);
  expect(numbers(got)).toEqual(range(5, 10));
  const e = client(server.url);
  const rewound: Message<Note>[] = [];
  e.channel<Note>("demo:lobby", { rewind: 3 }).on("message", (m) => rewound.push(m));
  await until(() => rewound.length === 3);
  expect(numbers(rewound)).toEqual(range(8, 10));
});

test("a fleeting sign reaches the others with user and key", async () => {
  const server = await serve();
  const [a, b] = [client(server.url), client(server.url)];
  const sign = event((f) => a.channel("demo:lobby").on("fleeting", f));
  await Promise.all([a.channel("demo:lobby").ready(), b.ready()]);
  await b.channel("demo:lobby").publish({ on: true }, { class: "fleeting", key: "typing" });
  expect(await sign).toMatchObject({ key: "typing", user: b.user, data: { on: true }, channel: "demo:lobby" });
});

test("a command to a channel without a service is answered so", async () => {
  const server = await serve();
  const c = client(server.url);
  await expect(c.channel("plain:x").request({ move: "e2e4" })).rejects.toMatchObject({ code: "no_service", retry: false });
});

test("who listens no more gets nothing, and the last one leaves the channel", async () => {
  const server = await serve();
  const c = client(server.url);
  const room = c.channel<Note>("demo:lobby");
  const got: Message<Note>[] = [];
  const off = room.on("message", (m) => got.push(m));
  await room.ready();
  await publish(c, "demo:lobby", 1, 1);
  await until(() => got.length === 1);
  off();
  off();
  await until(() => room.state === "idle");
  await publish(c, "demo:lobby", 2, 2);
  const off2 = room.on("message", (m) => got.push(m)); // in the same breath as its end: the subscription stays
  await room.ready();
  off2();
  room.on("message", (m) => got.push(m));
  expect(room.state).toBe("live");
  await publish(c, "demo:lobby", 3, 3);
  await until(() => got.length === 2);
  expect(numbers(got)).toEqual([1, 3]);
});

test("a listener that throws hinders nobody", async () => {
  const server = await serve();
  const c = client(server.url);
  const room = c.channel<Note>("demo:lobby");
  const got: number[] = [];
  const reported: unknown[] = [];
  Object.assign(globalThis, { reportError: (e: unknown) => reported.push(e) });
  room.on("message", () => { throw new Error("mine"); });
  room.on("message", (m) => got.push(m.data!.n));
  await room.ready();
  await publish(c, "demo:lobby", 1, 2);
  await until(() => got.length === 2);
  Reflect.deleteProperty(globalThis, "reportError");
  expect(reported).toHaveLength(2);
});

test("half a character and what is no JSON are refused before they are sent", async () => {
  const server = await serve();
  const c = client(server.url);
  const room = c.channel<unknown>("demo:lobby");
  await expect(room.publish("\ud83d")).rejects.toMatchObject({ code: "bad_request" });
  await expect(room.publish(undefined)).rejects.toMatchObject({ code: "bad_request" });
  await expect(room.publish("x".repeat(400_000))).rejects.toMatchObject({ code: "too_large" });
  expect((await room.publish("\\ud83d and \u{1f514}")).offset).toBe(1);
});

test("frames are shown as they pass", async () => {
  const server = await serve();
  const c = client(server.url);
  const types: string[] = [];
  c.on("frame", (f) => types.push(`${f.direction} ${f.messages.map((m) => (m as { type: string }).type)}`));
  await c.channel("demo:lobby").publish({ n: 1 });
  expect(types).toEqual(["out connect", "in connected", "out publish", "in reply"]);
  expect(await c.ping()).toBeGreaterThan(0);
});

test("close says goodbye and ends everything that waits", async () => {
  const server = await serve();
  const c = client(server.url);
  const reading = c.channel("demo:lobby").messages().next();
  await c.channel("demo:lobby").ready();
  const lost = client(server.url, { autoConnect: false });
  const waiting = expect(lost.channel("demo:lobby").publish(1)).rejects.toMatchObject({ code: "closed", outcomeUnknown: false });
  await Promise.all([c.close(), lost.close()]);
  await waiting;
  expect(await reading).toEqual({ done: true, value: undefined });
  expect(c.state).toBe("closed");
  await expect(c.channel("demo:lobby").publish(1)).rejects.toMatchObject({ code: "closed" });
  expect(() => c.connect()).toThrow(/closed/);
});

test("without a WebSocket the error says what to do", () => {
  const had = Reflect.getOwnPropertyDescriptor(globalThis, "WebSocket");
  Reflect.deleteProperty(globalThis, "WebSocket");
  expect(() => new Carillon("ws://127.0.0.1:1/ws")).toThrow(/package "ws"/);
  if (had) Object.defineProperty(globalThis, "WebSocket", had);
  expect(() => new Carillon("ws://127.0.0.1:1/ws", { WebSocket, autoConnect: false })).not.toThrow();
});
