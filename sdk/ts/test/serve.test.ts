import { execFileSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { CarillonError, type Frame } from "../src/index.js";
import { client, event, folder, serve } from "./server.js";

/** A server that wants tokens, and what makes them. */
async function guarded() {
  const dir = folder();
  const file = join(dir, "secret");
  const secret = randomBytes(48).toString("base64");
  writeFileSync(file, secret + "\n", { mode: 0o600 });
  const env = { CARILLON_SECRET_FILE: file };
  const server = await serve({ mode: "serve", env });
  const token = (...args: string[]) =>
    execFileSync(inject("program"), ["token", "create", "--user", "ann", ...args], { encoding: "utf8", env: { PATH: process.env.PATH ?? "", ...env } }).trim();
  /** A subscription token, as an application signs it. */
  const ticket = (channel: string) => {
    const { iss, aud } = JSON.parse(Buffer.from(token().split(".")[1]!, "base64url").toString()); // this server's own
    const part = (o: object) => Buffer.from(JSON.stringify(o)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss, aud, sub: "ann", channel, can: ["subscribe"], exp: Math.floor(Date.now() / 1000) + 600 })}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  };
  return { server, token, ticket };
}

test("a token says who it is; a bad one is final, with a sentence", async () => {
  const { server, token } = await guarded();
  const c = client(server.url, { getToken: () => token() });
  await c.ready();
  expect(c.user).toBe("ann");
  const d = client(server.url, { token: "no token at all" });
  const e = await event<CarillonError>((f) => d.on("failed", f));
  expect(e).toMatchObject({ code: "unauthorized", retry: false });
  expect(e.message).toMatch(/ /); // what the server says of it
});

test("a token is renewed before it ends, on the same line", async () => {
  const { server, token } = await guarded();
  let asked = 0;
  const c = client(server.url, { getToken: () => token("--ttl", ++asked === 1 ? "31s" : "1h") });
  const refreshed = event<Frame>((f) => c.on("frame", f), (f) => f.direction === "in" && f.messages.some((m) => "expires" in m && !("conn" in m)));
  await c.ready();
  expect((await refreshed).messages[0]).toMatchObject({ type: "reply" });
  expect(asked).toBe(2);
  expect(c.stats.reconnects).toBe(0);
});

test("what a token does not allow is forbidden; a token for the channel allows it", async () => {
  const { server, token, ticket } = await guarded();
  const c = client(server.url, { token: token("--channel", "chat:*") });
  const secret = c.channel("secret:1");
  secret.on("message", () => {});
  await expect(secret.ready()).rejects.toMatchObject({ code: "forbidden" });
  expect(secret.state).toBe("failed");
  await expect(secret.publish(1)).rejects.toMatchObject({ code: "forbidden" });
  const admitted = c.channel("secret:2", { token: () => Promise.resolve(ticket("secret:2")) });
  admitted.on("message", () => {});
  await admitted.ready();
  expect(admitted.state).toBe("live");
});
