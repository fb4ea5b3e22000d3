import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { CarillonError, type Reconnecting } from "../src/index.js";
import { scripted } from "./scripted.js";
import { client, event, until } from "./server.js";

test("a server that falls silent is left, and the line comes back", async () => {
  const server = await scripted();
  const c = client(server.url);
  const first = await server.line();
  const lost = event<Reconnecting>((f) => c.on("reconnecting", f));
  await first.welcome({ heartbeat: { interval: 60, timeout: 60 } });
  expect((await lost).error).toMatchObject({ code: "silent", retry: true });
  await (await server.line()).welcome();
  await c.ready();
  expect(c.stats.reconnects).toBe(1);
});

test("a ping is answered, and an answer that is overdue by two heartbeats ends the line", async () => {
  const server = await scripted();
  const c = client(server.url);
  const first = await server.line();
  await first.welcome();
  const published = c.channel("a").publish(1, { idem: "x" });
  await first.next("publish");
  for (let i = 0; i < 3; i++) {
    first.send({ type: "ping" });
    await first.next("pong");
    const ping = await Promise.race([first.next("ping"), once(first.socket, "close")]);
    if ("id" in ping) first.send({ type: "reply", id: ping.id, time: 1 });
  }
  const second = await server.line();
  await second.welcome();
  const again = await second.next("publish");
  expect(again).toMatchObject({ idem: "x", data: 1 });
  expect(again.age).toBeGreaterThan(0);
  second.send({ type: "reply", id: again.id, ack: "durable", at: "p1", offset: 1 });
  expect(await published).toEqual({ ack: "durable", at: "p1", offset: 1, idem: "x" });
});

test.each([[4001, "unauthorized"], [4006, "revoked"], [4055, "lost"], [1009, "lost"]])("close number %d ends it for good", async (number, code) => {
  const server = await scripted();
  const c = client(server.url);
  const failed = event<CarillonError>((f) => c.on("failed", f));
  const waiting = expect(c.channel("a").publish(1)).rejects.toMatchObject({ code });
  const line = await server.line();
  await line.welcome();
  line.socket.close(number, "");
  const e = await failed;
  expect(e).toMatchObject({ code, number, retry: false });
  expect(e.message).toMatch(/^[A-Z].*\.$/);
  await waiting;
  expect(c.state).toBe("failed");
  c.connect(); // a person may try again
  await (await server.line()).welcome();
  await c.ready();
});

test.each([[4201], [4299], [1012]])("after close number %d it goes back at once", async (number) => {
  const server = await scripted();
  const c = client(server.url, { backoff: { min: 600_000, max: 600_000 } });
  const line = await server.line();
  await line.welcome();
  line.socket.close(number);
  await (await server.line()).welcome();
  await c.ready();
});

test("drain: back after what the server advises, and no publish goes to a line that ends", async () => {
  const server = await scripted();
  const c = client(server.url, { backoff: { min: 600_000, max: 600_000 } });
  const first = await server.line();
  await first.welcome();
  await c.ready();
  first.send({ type: "drain", after: 30, message: "Soon." });
  const told = event<Reconnecting>((f) => c.on("reconnecting", f));
  first.send({ type: "ping" });
  await first.next("pong");
  const published = c.channel("a").publish(1);
  first.socket.close(4201);
  expect((await told).wait).toBeLessThanOrEqual(30);
  const second = await server.line();
  await second.welcome();
  const m = await second.next("publish");
  expect(m.age).toBeUndefined();
  second.send({ type: "reply", id: m.id, ack: "durable", at: "p1", offset: 1 });
  expect((await published).ack).toBe("durable");
});

test("what the server refuses for the moment is sent again with its idem, and nothing overtakes it", async () => {
  const server = await scripted();
  const c = client(server.url);
  const line = await server.line();
  await line.welcome();
  const a = c.channel("a");
  const [one, two] = [a.publish(1), a.publish(2)];
  const [m1, m2] = [await line.next("publish"), await line.next("publish")];
  line.send({ type: "error", id: m1.id, code: "busy", message: "Wait.", retry: true, retry_after: 30 });
  line.send({ type: "error", id: m2.id, code: "busy", message: "Wait.", retry: true });
  const again = await line.next("publish");
  expect(again).toMatchObject({ idem: m1.idem, data: 1 });
  expect(again.age).toBeGreaterThanOrEqual(30);
  line.send({ type: "reply", id: again.id, ack: "durable", at: "p1", offset: 1 });
  const then = await line.next("publish");
  expect(then).toMatchObject({ idem: m2.idem, data: 2 });
  line.send({ type: "reply", id: then.id, ack: "durable", at: "p2", offset: 2 });
  expect((await Promise.all([one, two])).map((r) => r.offset)).toEqual([1, 2]);
});

test("attempts are counted, and after the last one it fails", async () => {
  const server = await scripted();
  const { url } = server;
  server.stop();
  const c = client(url, { backoff: { min: 1, max: 2, attempts: 3 } });
  const told: number[] = [];
  c.on("reconnecting", (r) => told.push(r.attempt));
  const e = await event<CarillonError>((f) => c.on("failed", f));
  expect(told).toEqual([1, 2]);
  expect(e.message).toMatch(/ECONNREFUSED|lost/);
  await expect(c.channel("a").history()).rejects.toBe(e);
});

test("an HTTP refusal is told, and forbidden is final", async () => {
  const http = createServer((_, answer) => answer.writeHead(403).end()).listen(0, "127.0.0.1");
  await once(http, "listening");
  onTestFinished(() => void http.close());
  http.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
  const c = client(`http://127.0.0.1:${(http.address() as AddressInfo).port}/ws`);
  expect((await event<CarillonError>((f) => c.on("failed", f))).message).toContain("403");
});

test("a fresh token is got for each line, and when the old one is about to end", async () => {
  const server = await scripted();
  let n = 0;
  const c = client(server.url, {
    getToken: async () => {
      if (++n === 2) throw new Error("the door is closed");
      return `t${n}`;
    },
  });
  const first = await server.line();
  expect((await first.welcome()).token).toBe("t1");
  await c.ready();
  const complaint = event<CarillonError>((f) => c.on("error", f));
  first.send({ type: "expiring", in: 30000 });
  expect(await complaint).toMatchObject({ code: "bad_token" });
  const refresh = await first.next("refresh");
  expect(refresh.token).toBe("t3");
  first.send({ type: "reply", id: refresh.id, expires: 1000 });
  first.socket.close(4101);
  expect((await (await server.line()).welcome()).token).toBe("t4");
});

test("a guest stays the same guest", async () => {
  const server = await scripted();
  const c = client(server.url);
  const first = await server.line();
  expect((await first.welcome({ user: "guest-x" })).token).toBeUndefined();
  await c.ready();
  first.socket.terminate();
  expect((await (await server.line()).welcome({ user: "guest-x" })).token).toBe("guest-x");
});

test("back in the network, or looked at again, it does not wait any longer", async () => {
  const listeners = new Map<string, () => void>();
  const add = globalThis.addEventListener;
  Object.assign(globalThis, { addEventListener: (name: string, f: () => void) => listeners.set(name, f) });
  const server = await scripted();
  const c = client(server.url, { backoff: { min: 600_000, max: 600_000 } });
  Object.assign(globalThis, { addEventListener: add });
  const first = await server.line();
  await first.welcome();
  await c.ready();
  listeners.get("online")!();
  await first.next("ping"); // a line that is there is doubted
  const waiting = event<Reconnecting>((f) => c.on("reconnecting", f));
  first.socket.terminate();
  await waiting;
  listeners.get("online")!();
  await (await server.line()).welcome();
  await c.ready();
});

test("a command is sent again until its final reply, and a refusal rejects with what the service says", async () => {
  const server = await scripted();
  const c = client(server.url);
  const first = await server.line();
  await first.welcome();
  const answer = c.channel("chess:1").request<{ clock: number }>({ move: "e2e4" });
  const m = await first.next("command");
  first.send({ type: "accepted", id: m.id });
  first.socket.terminate();
  const second = await server.line();
  await second.welcome();
  const again = await second.next("command");
  expect(again).toMatchObject({ idem: m.idem, data: { move: "e2e4" } });
  second.send({ type: "reply", id: again.id, ack: "durable", at: "p1", offset: 1, data: { clock: 9 } });
  expect(await answer).toEqual({ data: { clock: 9 }, ack: "durable", at: "p1", offset: 1 });

  const illegal = expect(c.channel("chess:1").request({ move: "e2e5" })).rejects.toMatchObject({ code: "illegal", number: 12, message: "Pawns do not jump.", retry: false });
  const m2 = await second.next("command");
  second.send({ type: "reply", id: m2.id, ack: "durable", code: 12, data: { error: "illegal", message: "Pawns do not jump." } });
  await illegal;
});

test("a subscription that the server ends for good fails, one that it ends for the moment goes on", async () => {
  const server = await scripted();
  const c = client(server.url);
  const room = c.channel<number>("a");
  const got: number[] = [];
  room.on("message", (m) => got.push(m.data!));
  const line = await server.line();
  await line.welcome();
  await line.admit();
  line.send({ type: "record", channel: "a", at: "p1", offset: 1, time: 1, data: 1 });
  line.send({ type: "unsubscribed", channel: "a", code: "slow", message: "Too slow." });
  const again = await line.next("subscribe");
  expect(again.at).toBe("p1");
  line.send({ type: "reply", id: again.id, channel: "a", at: "p1", offset: 1, recovered: true }, { type: "record", channel: "a", at: "p2", offset: 2, time: 1, data: 2 });
  await until(() => got.length === 2);
  const complaint = event<CarillonError>((f) => c.on("error", f));
  line.send({ type: "unsubscribed", channel: "a", code: "forbidden", message: "You were shown the door." });
  expect((await complaint).message).toBe("You were shown the door.");
  expect(room.state).toBe("failed");
  expect(room.error).toMatchObject({ code: "forbidden" });
});

test("unknown messages, fields, gap reasons and codes do no harm", async () => {
  const server = await scripted();
  const c = client(server.url);
  const gaps: string[] = [];
  const room = c.channel<number>("a");
  room.on("gap", (g) => gaps.push(g.reason));
  const got: unknown[] = [];
  room.on("message", (m) => got.push(m.data));
  const line = await server.line();
  await line.welcome({ wings: 2, expires: null });
  await line.admit({ gap: null, colour: "red" });
  line.send({ type: "weather", id: 9 }, { type: "record", channel: "unheard", at: "x", offset: 1, time: 1, data: 1 });
  line.send({ type: "record", channel: "a", at: "p1", offset: 1, time: 1, data: null, user: null, class: null });
  line.send({ type: "gap", channel: "a", from: 2, to: 3, reason: "eaten", at: "p3", offset: 3 });
  line.send({ type: "record", channel: "a", at: "p4", offset: 4, time: 1 });
  const page = await line.next("history");
  expect(page.at).toBe("p1");
  line.send({ type: "reply", id: page.id, channel: "a", records: [], more: false, before: "p4", head: "p4", at: "p4", offset: 4, gap: { from: 2, to: 3, reason: "trimmed" } });
  await until(() => got.length === 2);
  expect(got).toEqual([null, undefined]);
  expect(gaps).toEqual(["trimmed"]);
});
