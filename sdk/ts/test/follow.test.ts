import { expect, test } from "vitest";
import type { Gap } from "../src/index.js";
import { type Peer, scripted } from "./scripted.js";
import { client, until } from "./server.js";

const record = (n: number) => ({ at: `p${n}`, offset: n, time: n, data: n });
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const live = (line: Peer, ...ns: number[]) => line.send(...ns.map((n) => ({ type: "record", channel: "a", ...record(n) })));

/** Answers the next question for history. */
async function page(line: Peer, from: number, to: number, more = false): Promise<Record<string, any>> {
  const m = await line.next("history");
  line.send({ type: "reply", id: m.id, channel: "a", records: range(from, to).map(record), more, before: `p${from - 1}`, head: `p${to}`, at: `p${to}`, offset: to });
  return m;
}

async function following() {
  const server = await scripted();
  const c = client(server.url);
  const got: (number | Gap)[] = [];
  const room = c.channel<number>("a");
  room.on("message", (m) => got.push(m.data!));
  room.on("gap", (g) => got.push(g));
  const line = await server.line();
  await line.welcome();
  await line.admit();
  return { server, room, got, line };
}

test("records that come while history is read are held, and what the pages had already is dropped", async () => {
  const { got, line } = await following();
  live(line, 1, 1);
  line.send({ type: "gap", channel: "a", from: 2, to: 5, reason: "slow", at: "p5", offset: 5 });
  live(line, 6, 7, 6);
  expect((await page(line, 2, 3, true)).at).toBe("p1");
  expect((await page(line, 4, 6)).at).toBe("p3");
  live(line, 7, 8, 8);
  await until(() => got.at(-1) === 8);
  expect(got).toEqual(range(1, 8));
});

test("when too much is held it is dropped, history read to its end, and the channel followed from there", async () => {
  const { got, line, room } = await following();
  live(line, 1);
  line.send({ type: "gap", channel: "a", from: 2, to: 5, reason: "too_many", at: "p5", offset: 5 });
  const stale = await line.next("history");
  live(line, ...range(6, 1006));
  const left = await line.next("unsubscribe");
  line.send({ type: "reply", id: left.id }, { type: "reply", id: stale.id, channel: "a", records: [record(2)], more: true, at: "p2", offset: 2 });
  await page(line, 2, 500, true);
  await page(line, 501, 1010);
  expect((await line.admit({ at: "p1010", offset: 1010, recovered: true })).at).toBe("p1010");
  live(line, 1011);
  await until(() => got.at(-1) === 1011);
  expect(got).toEqual(range(1, 1011));
  expect(room.state).toBe("live");
});

test("a further gap during the reading moves its end; what history refuses is a gap", async () => {
  const { got, line } = await following();
  live(line, 1);
  line.send({ type: "gap", channel: "a", from: 2, to: 3, reason: "slow", at: "p3", offset: 3 });
  live(line, 4);
  line.send({ type: "gap", channel: "a", from: 5, to: 6, reason: "slow", at: "p6", offset: 6 });
  live(line, 7);
  await page(line, 2, 4);
  const m = await line.next("history");
  expect(m.at).toBe("p4");
  line.send({ type: "error", id: m.id, code: "forbidden", message: "Not this.", retry: false });
  await until(() => got.at(-1) === 7);
  expect(got).toEqual([1, 2, 3, 4, { from: 5, to: 6, reason: "slow" }, 7]);
});

test("another past is told, and not papered over", async () => {
  const { got, line, server } = await following();
  live(line, 1, 2);
  line.send({ type: "record", channel: "a", at: "other", offset: 2, time: 2, data: 22 });
  const again = await line.next("subscribe");
  expect(again.at).toBe("p2");
  line.send({ type: "reply", id: again.id, channel: "a", at: "q9", offset: 9, recovered: false, gap: { from: 0, to: 0, reason: "diverged" } });
  live(line, 10);
  await until(() => got.at(-1) === 10);
  expect(got).toEqual([1, 2, { from: 0, to: 0, reason: "diverged" }, 10]);
  line.socket.terminate();
  const second = await server.line();
  await second.welcome();
  expect((await second.next("subscribe")).at).toBe("p10");
});
