import { connect, createServer } from "node:net";
import { once } from "node:events";
import { after, afterEach, before } from "node:test";
import { chromium as playwright } from "playwright-core";
import { chromium, Server } from "./server.mjs";

/** Why these tests cannot run here, or false. */
export const skip = chromium ? false : "there is no Chromium: install it, or name it in CHROMIUM";

/** One browser and one server for the tests of a file. */
export function stage() {
  const s = { browser: undefined, server: new Server(), contexts: [] };
  before(async () => {
    if (skip) return;
    s.browser = await playwright.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
    await s.server.start();
  });
  // Whoever stays would go on asking and drawing while the next test runs.
  afterEach(() => Promise.all((s.browser?.contexts() ?? []).map((c) => c.close())));
  after(async () => {
    for (const n of networks) n.close();
    await s.browser?.close();
    await s.server.kill();
  });
  return s;
}

export const wide = { width: 1440, height: 900 };
export const phone = { width: 390, height: 844 };

/** Somebody with a window of his own, signed in and in a room. Errors of the page fail the test. */
export async function visit(s, name, path = "/chat/lobby", o = {}) {
  const context = await s.browser.newContext({ viewport: wide, ...o });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (e) => {
    throw new Error(`${name}'s page: ${e.message}`);
  });
  await page.goto((o.base ?? s.server.url) + path);
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Come in" }).click();
  await page.getByLabel("Connection").getByText("Live").waitFor();
  return page;
}

/** Where one writes. */
export const composer = (page) => page.locator(".composer textarea");

export async function say(page, text) {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** The texts of the messages in view of the list, in order; waits until there are `count` that match. */
export async function texts(page, count, pattern = "") {
  await page.waitForFunction(([n, p]) => [...document.querySelectorAll(".said .text")].filter((e) => e.textContent.includes(p)).length >= n, [count, pattern], { timeout: 45_000 });
  return page.$$eval(".said .text", (all, p) => all.map((e) => e.textContent).filter((t) => t.includes(p)), pattern);
}

export const message = (page, text) => page.locator(".said").filter({ has: page.locator(".text", { hasText: text }) });

/** Opens a room through the dialog. */
export async function createRoom(page, title) {
  await page.getByRole("button", { name: "New room" }).click();
  await page.getByLabel("What it is about").fill(title);
  await page.getByRole("button", { name: "Open the room" }).click();
  await page.getByRole("heading", { name: title, level: 1 }).waitFor();
}

/** Joins a room and writes many messages into it over a connection of its own, as fast as they are taken: as a guest, or as who has the page. */
export function flood(page, room, texts, { own = false } = {}) {
  return page.evaluate(
    async ([channel, texts, own]) => {
      const enter = () => fetch("/api/token", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "Herald" }) }).then((r) => r.json());
      const { token } = own ? JSON.parse(localStorage.getItem("carillon.guest")) : await enter();
      const s = new WebSocket(location.origin.replace("http", "ws") + "/ws");
      const waiting = new Map();
      let id = 0;
      const ask = (m) => new Promise((resolve, reject) => {
        waiting.set(++id, (r) => (r.type === "error" || r.code ? reject(new Error(JSON.stringify(r))) : resolve(r)));
        s.send(JSON.stringify({ ...m, id }));
      });
      s.onmessage = (e) => {
        for (const m of [JSON.parse(e.data)].flat()) if (m.id && m.type !== "accepted") waiting.get(m.id)?.(m);
      };
      await new Promise((resolve) => (s.onopen = resolve));
      await ask({ type: "connect", token });
      const command = (data) => ask({ type: "command", channel, idem: crypto.randomUUID(), data });
      await command({ do: "join" });
      for (let i = 0; i < texts.length; i += 50) await Promise.all(texts.slice(i, i + 50).map((text) => command({ do: "send", text })));
      s.close();
    },
    [room, texts, own],
  );
}

const networks = new Set(); // open ones

/** A network between a browser and a server, which can break. */
export class Network {
  #lines = new Set();
  #broken = false;
  #lost = "";
  #listener;
  url = "";

  async open(server) {
    const { port } = new URL(server.url);
    this.#listener = createServer((near) => {
      if (this.#broken) return near.destroy();
      const far = connect(Number(port), "127.0.0.1");
      for (const [a, b, direction] of [[near, far, "up"], [far, near, "down"]]) {
        this.#lines.add(a);
        a.on("data", (d) => this.#lost !== direction && b.write(d));
        a.on("end", () => b.end());
        a.on("error", () => b.destroy());
        a.on("close", () => (this.#lines.delete(a), b.destroy()));
      }
    }).listen(0, "127.0.0.1");
    await once(this.#listener, "listening");
    this.url = `http://127.0.0.1:${this.#listener.address().port}`;
    networks.add(this);
    return this;
  }

  break() {
    this.#broken = true;
    for (const l of this.#lines) l.destroy();
  }

  /** From now on nothing of what is sent "up" to the server or "down" from it arrives, and neither side knows. */
  lose(direction) {
    this.#lost = direction;
  }

  mend() {
    this.#broken = false;
    this.#lost = "";
  }

  close() {
    networks.delete(this);
    this.break();
    this.#listener.close();
  }
}
