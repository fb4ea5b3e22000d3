import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { publint } from "publint";
import { Server } from "./server.js";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const project = mkdtempSync(join(tmpdir(), "carillon-user-"));
const npm = (cwd: string, ...args: string[]) => execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8", timeout: 50_000 });
const tsc = (...args: string[]) => execFileSync(join(root, "node_modules/.bin/tsc"), args, { cwd: project, encoding: "utf8" });

/** A block of the README, by its name. */
function sample(name: string): string {
  const m = readme.match(new RegExp("```ts " + name + "\\n([\\s\\S]*?)```"));
  if (!m) throw new Error(`README.md has no sample ${name}`);
  return m[1]!;
}

let server: Server;

// An empty project of somebody who installs the package: what is beside it comes from our own folder, as from any cache.
beforeAll(async () => {
  npm(root, "pack", "--pack-destination", project, "--silent");
  const tarball = readdirSync(project).find((f) => f.endsWith(".tgz"))!;
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  npm(project, "install", "--offline", "--no-audit", "--no-fund", `./${tarball}`);
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  for (const name of ["ws", "@types/ws", "@types/node", "@types/react", "react", "csstype", "undici-types"]) {
    symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name));
  }
  server = await new Server(["dev"], {}).start();
}, 120_000);

afterAll(async () => {
  await server?.kill();
  rmSync(project, { recursive: true, force: true });
});

test("the package holds what it should, and says so rightly", async () => {
  const { messages } = await publint({ pkgDir: join(project, "node_modules/@carillon/client"), strict: true, pack: false });
  expect(messages).toEqual([]);
  const files = readdirSync(join(project, "node_modules/@carillon/client"));
  expect(files.sort()).toEqual(["README.md", "dist", "package.json"]);
});

test("the samples of the README type-check, strictly and with the types of the package", () => {
  writeFileSync(join(project, "start.ts"), sample("start").replace("ws://127.0.0.1:8000/ws", server.url));
  writeFileSync(join(project, "chat.ts"), sample("ten-lines"));
  writeFileSync(join(project, "all.ts"), `
    import { Carillon, type Message } from "@carillon/client";
    import { Carillon as Core } from "@carillon/client/core";
    import { msgpack } from "@carillon/client/msgpack";
    import { useChannel, useConnection, usePresence } from "@carillon/client/react";
    export const c = new Carillon("ws://x/ws", { protocol: msgpack, autoConnect: false });
    export const core: Core = c;
    const room = c.channel<{ text: string }, number>("a");
    room.on("message", (m: Message<{ text: string }>) => m.data?.text.length);
    // @ts-expect-error: data may have been erased
    room.on("message", (m) => m.data.text);
    // @ts-expect-error: this is no message of the channel
    void room.publish({ txt: "x" });
    void room.publish({ on: true }, { class: "fleeting", key: "typing" });
    export const n: number | undefined = room.latest.get("k")?.data;
    // @ts-expect-error: there is no such event
    room.on("mesage", () => {});
    export function View() {
      const { messages } = useChannel<{ text: string }>(c, "a");
      return [useConnection(c).state, usePresence(c, "a").count, messages.map((m) => m.data?.text)];
    }
    export async function read() { for await (const m of room.messages()) return m.offset; return 0; }
    using held = c;
    void held;
  `);
  tsc("--strict", "--exactOptionalPropertyTypes", "--module", "nodenext", "--target", "es2022", "--lib", "es2023,dom,esnext.disposable",
    "--types", "node", "--outDir", "out", "start.ts", "chat.ts", "all.ts");
});

test("the sample of the README runs in Node", () => {
  const lines = node("out/start.js").trim().split("\n");
  expect(lines.at(-1)).toBe("appended:memory");
  expect(lines[0]).toMatch(/^guest-\S+ hello$|^appended:memory$/);
});

test("the ten lines queue while offline, reconnect, and tell people", () => {
  writeFileSync(join(project, "driver.mjs"), `
    import { spawn } from "node:child_process";
    import { once } from "node:events";
    import { createInterface } from "node:readline";
    import WebSocket from "ws";
    import { openChat } from "./out/chat.js";
    if (!globalThis.WebSocket) globalThis.WebSocket = WebSocket;
    const program = process.argv[2];
    async function start(listen) {
      const p = spawn(program, ["dev", "--listen", listen, "--internal-listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "ignore"], env: {} });
      for await (const line of createInterface(p.stdout)) if (line.startsWith("{")) return { p, url: JSON.parse(line).url };
    }
    const shown = [];
    const wake = new Set();
    const show = (text) => { shown.push(text); for (const f of wake) f(); };
    const sees = (what) => new Promise((resolve) => {
      const look = () => shown.some((s) => what.test(s)) && (wake.delete(look), resolve());
      wake.add(look); look();
    });
    let s = await start("127.0.0.1:0");
    const chat = openChat(s.url, show);
    await chat.send("one");
    await sees(/: one$/);
    s.p.kill("SIGKILL"); await once(s.p, "exit");
    await sees(/Trying again/);
    const queued = chat.send("two");
    s = await start(new URL(s.url).host);
    await queued;
    await sees(/: two$/);
    await chat.close();
    s.p.kill("SIGKILL"); await once(s.p, "exit");
    console.log(JSON.stringify(shown));
  `);
  const shown: string[] = JSON.parse(node("driver.mjs", inject("program")));
  expect(shown.filter((s) => /: two$/.test(s))).toHaveLength(1);
  expect(shown.find((s) => /Trying again/.test(s))).toMatch(/^[A-Z].*\. Trying again \(\d+\)\.$/);
});

test("a page without modules gets Carillon from the script", () => {
  const script = readFileSync(join(project, "node_modules/@carillon/client/dist/carillon.iife.js"), "utf8");
  expect(script).not.toMatch(/\beval\b|new Function/);
  const out = node("-e", `${script}; globalThis.WebSocket ??= class {}; console.log(typeof Carillon, new Carillon("ws://x/ws", { autoConnect: false }).state)`);
  expect(out.trim()).toBe("function disconnected");
});
