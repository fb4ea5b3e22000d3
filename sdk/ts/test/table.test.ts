import { expect, test } from "vitest";
import { CarillonError, type LatestChange, type Member } from "../src/index.js";
import { scripted } from "./scripted.js";
import { client, event, serve, until } from "./server.js";

test("the table of latest values: the highest rev wins, deletions too, and a table replaces all", async () => {
  const server = await scripted();
  const c = client(server.url);
  const doc = c.channel<unknown, string>("doc:1");
  const changes: string[][] = [];
  doc.on("latest", (l: LatestChange<string>) => changes.push(l.changed));
  const line = await server.line();
  await line.welcome();
  await line.admit();
  const entry = (key: string, rev: number, data?: string) => ({ key, rev, time: 5, user: "ann", ...(data === undefined ? {} : { data }) });
  line.send({ type: "latest", channel: "doc:1", epoch: "e1", records: [entry("title", 5, "Plan"), entry("__proto__", 6, "safe")] });
  const update = (r: object) => line.send({ type: "record", channel: "doc:1", class: "latest", ...r });
  update(entry("title", 7, "Plan B"));
  update(entry("title", 6, "late"));
  update(entry("title", 8));
  update(entry("title", 8, "late again"));
  update(entry("colour", 9, "red"));
  await until(() => changes.length === 4);
  expect(changes).toEqual([["title", "__proto__"], ["title"], ["title"], ["colour"]]);
  expect([...doc.latest].map(([k, e]) => [k, e.data, e.rev, e.user])).toEqual([["__proto__", "safe", 6, "ann"], ["colour", "red", 9, "ann"]]);
  expect(doc.position).toBe("p0");
  line.send({ type: "latest", channel: "doc:1", epoch: "e2", records: [entry("colour", 2, "blue")] });
  await until(() => changes.length === 5);
  expect([...doc.latest].map(([k, e]) => [k, e.data])).toEqual([["colour", "blue"]]);

  const deleted = doc.publish(undefined, { class: "latest", key: "colour" });
  const m = await line.next("publish");
  expect(m).toMatchObject({ class: "latest", key: "colour" });
  expect("data" in m).toBe(false);
  line.send({ type: "reply", id: m.id, ack: "durable" });
  expect(await deleted).toMatchObject({ ack: "durable" });

  // A server that came back with nothing to tell sends no table: what we held is over.
  line.socket.terminate();
  const second = await server.line();
  await second.welcome();
  await second.admit({ recovered: true });
  await until(() => doc.latest.size === 0);
});

test("presence: joins and leaves are told by comparing", async () => {
  const server = await scripted();
  const c = client(server.url);
  const { presence } = c.channel("demo:lobby");
  const syncs: string[][] = [];
  const told: string[] = [];
  presence.onSync((ms) => syncs.push(ms.map((m) => m.user)));
  presence.onJoin((m: Member) => told.push("+" + m.user));
  const off = presence.onLeave((m) => told.push("-" + m.user));
  const line = await server.line();
  await line.welcome();
  expect((await line.admit()).channel).toBe("demo:lobby@presence");
  let rev = 0;
  const now = (...users: string[]) => ({ key: "now", rev: ++rev, time: 1, data: { count: users.length, members: users.map((user) => ({ user, since: 1 })) } });
  line.send({ type: "latest", channel: "demo:lobby@presence", epoch: "e", records: [now("ann", "bob")] });
  line.send({ type: "record", channel: "demo:lobby@presence", class: "latest", ...now("bob", "cyd") });
  await until(() => syncs.length === 2);
  expect(told).toEqual(["+ann", "+bob", "-ann", "+cyd"]);
  expect(presence.members.map((m) => m.user)).toEqual(["bob", "cyd"]);
  off();
  line.send({ type: "record", channel: "demo:lobby@presence", class: "latest", key: "now", rev: ++rev, time: 1, data: { count: 101 } });
  await until(() => syncs.length === 3);
  expect([presence.count, presence.members]).toEqual([101, []]);
  const seen = presence.query(["ann"]);
  const m = await line.next("presence");
  expect(m).toMatchObject({ users: ["ann"] });
  line.send({ type: "reply", id: m.id, presence: { seen: [{ user: "ann", online: false, last: 7 }] } });
  expect(await seen).toEqual([{ user: "ann", online: false, last: 7 }]);
});

/** Skips the test where the server does not do this yet. */
async function supported<T>(skip: (why: string) => never, f: () => Promise<T>): Promise<T> {
  try {
    return await f();
  } catch (e) {
    if (e instanceof CarillonError && ["unsupported", "bad_request", "forbidden"].includes(e.code)) skip(`the server answers ${e.code}: ${e.message}`);
    throw e;
  }
}

test("latest values of a real server reach others, and come back after a cut", async ({ skip }) => {
  const server = await serve({ flags: ["--set", "namespaces.doc.latest=true"] }).catch(() => serve());
  const [a, b] = [client(server.url), client(server.url)];
  const doc = b.channel<unknown, string>("doc:1");
  doc.on("latest", () => {});
  await doc.ready();
  await supported(skip, () => a.channel("doc:1").publish("Plan", { class: "latest", key: "title" }));
  await until(() => doc.latest.get("title")?.data === "Plan");
  await b.disconnect({ clean: false });
  await a.channel("doc:1").publish("Plan B", { class: "latest", key: "title" });
  b.connect();
  await until(() => doc.latest.get("title")?.data === "Plan B");
  await a.channel("doc:1").publish(undefined, { class: "latest", key: "title" });
  await until(() => !doc.latest.has("title"));
});

test("presence of a real server: who listens is there, who says goodbye is gone", async ({ skip }) => {
  const server = await serve({ flags: ["--set", "namespaces.demo.presence=true"] }).catch(() => serve());
  const [a, b] = [client(server.url), client(server.url)];
  await b.ready();
  const watch = b.channel("demo:lobby").presence;
  await supported(skip, () => watch.page());
  watch.onSync(() => {}); // keeps the list watched between what is awaited below
  const joined = event<Member>((f) => watch.onJoin(f));
  await a.ready();
  const user = a.user!;
  a.channel("demo:lobby").on("message", () => {});
  expect((await joined).user).toBe(user);
  expect((await watch.page()).members.map((m) => m.user)).toEqual([user]);
  const gone = event<Member>((f) => watch.onLeave(f));
  await a.close();
  expect((await gone).user).toBe(user);
  expect(await watch.query([user])).toMatchObject([{ user, online: false }]);
});
