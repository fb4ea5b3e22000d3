import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { wide } from "./browser.mjs";

// What the tests of chess do with boards.
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const slowly = { timeout: 30_000 };
export const narrow = { width: 360, height: 740 };

const indexOf = (name) => "abcdefgh".indexOf(name[0]) + (Number(name[1]) - 1) * 8;
export const square = (page, name) => page.locator(`.board [data-at="${indexOf(name)}"]`);
/** Waits until a piece stands on a square. */
export const on = (page, piece, name) => page.locator(`.board [role=gridcell][aria-label^="${name}, ${piece}"]`).waitFor(slowly);

async function middle(page, name) {
  const box = await square(page, name).boundingBox();
  return [box.x + box.width / 2, box.y + box.height / 2];
}

/** Plays a move with two clicks. */
export async function click(page, uci) {
  await page.mouse.click(...(await middle(page, uci.slice(0, 2))));
  await page.mouse.click(...(await middle(page, uci.slice(2, 4))));
}

/** Plays a move by dragging. */
export async function drag(page, uci) {
  await page.mouse.move(...(await middle(page, uci.slice(0, 2))));
  await page.mouse.down();
  await page.mouse.move(...(await middle(page, uci.slice(2, 4))), { steps: 4 });
  await page.mouse.up();
}

/** Waits until so many moves are confirmed. */
export const sans = (page, n) => page.waitForFunction((n) => document.querySelectorAll(".moves .san").length === n && !document.querySelector(".board.pending"), n, slowly);

/** Plays moves in turn, each seen by everybody before the next. */
export function table(white, black, ...others) {
  let n = 0;
  return {
    get plies() {
      return n;
    },
    async seen() {
      n++;
      await Promise.all([white, black, ...others].map((p) => sans(p, n)));
    },
    async play(...moves) {
      for (const [i, uci] of moves.entries()) {
        await (i % 2 ? drag : click)(n % 2 ? black : white, uci);
        await this.seen();
      }
    },
  };
}

/** Opens a seek for a control of one's own. */
export async function seek(page, { minutes, color, delay = "" }) {
  await page.getByRole("button", { name: "Your own control" }).click();
  await page.getByLabel("Minutes each").fill(minutes);
  await page.getByLabel("Seconds a move").fill("0");
  await page.getByLabel("Your colour").selectOption(color);
  await page.getByLabel("Spectators’ delay").fill(delay);
  await page.getByRole("button", { name: "Look for an opponent" }).click();
  await page.getByText("Looking for an opponent").waitFor(slowly);
}

/** Waits until these have a game before them. */
export const atTable = (...pages) => Promise.all(pages.map((p) => p.waitForURL(/\/chess\/game\/\w+$/, slowly).then(() => p.locator(".board").waitFor(slowly))));

/** Takes somebody's seek out of the list. */
export async function join(page, name) {
  await page.getByRole("button", { name: /Play$/ }).filter({ hasText: name }).click(slowly);
}

/** ms left on a clock as a page shows it: `below` is the one of who sits there. */
export const clockOf = (page, where) =>
  page.locator(`.${where} .clock`).textContent().then((text) => {
    const [seconds, minutes, hours = 0] = text.split(":").reverse().map(Number);
    return Math.round(((hours * 60 + minutes) * 60 + seconds) * 1000);
  });

/** Lets the user of a page command over a connection of its own, behind the back of the page. */
export function command(page, channel, data) {
  return page.evaluate(
    async ([channel, data]) => {
      window.asking ??= (async () => {
        const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
        const waiting = new Map();
        let id = 0;
        const ask = (m) => new Promise((resolve, reject) => {
          waiting.set(++id, (r) => (r.type === "error" || r.code ? reject(new Error(JSON.stringify(r))) : resolve(r)));
          socket.send(JSON.stringify({ ...m, id }));
        });
        socket.onmessage = (e) => {
          for (const m of [JSON.parse(e.data)].flat()) if (m.id && m.type !== "accepted") waiting.get(m.id)?.(m);
        };
        await new Promise((resolve) => (socket.onopen = resolve));
        await ask({ type: "connect", token: JSON.parse(localStorage.getItem("carillon.guest")).token });
        return ask;
      })();
      return (await window.asking)({ type: "command", channel, idem: crypto.randomUUID(), data }).then((r) => r.data);
    },
    [channel, data],
  );
}

/** Plays moves in turn behind the back of the pages, from a ply on. */
export async function record(white, black, from, ...moves) {
  const channel = `chess:game:${new URL(white.url()).pathname.split("/").at(-1)}`;
  for (const [i, uci] of moves.entries()) await command((from + i) % 2 ? black : white, channel, { type: "move", ply: from + i, uci });
}

/** Presses Tab until something has the focus. */
export async function tabTo(page, locator) {
  for (let i = 0; i < 120; i++) {
    await page.keyboard.press("Tab");
    if (await locator.evaluateAll((all) => all.includes(document.activeElement))) return;
  }
  throw new Error(`no Tab leads to ${locator}`);
}

/** What axe finds wrong with a page, wide and light, and narrow and dark; and if it moves although nothing should. */
export async function faults(page, state, picture = async () => {}) {
  const wrong = [];
  for (const [size, viewport] of Object.entries({ wide, narrow })) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await picture(`${state}-${colorScheme}-${size}`);
      if ((size === "wide") !== (colorScheme === "light")) continue; // a half of them finds the same
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const v of violations) wrong.push(`${state}, ${size}: ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.any[0]?.message ?? v.help}`).join("; ")}`);
      const sideways = await page.evaluate(() => Math.max(document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll(".chess, .dialog, .beside")].map((e) => e.scrollWidth - e.clientWidth)));
      if (sideways > 0) wrong.push(`${state}, ${size}: ${sideways} px too wide`);
      const moving = await page.evaluate(async () => {
        const all = () => document.getAnimations().filter((a) => a.effect.getComputedTiming().activeDuration > 1);
        for (let i = 0; i < 60 && all().length; i++) await new Promise((resolve) => setTimeout(resolve, 50)); // what began before may end
        return all().map((a) => `${a.effect.target.localName}.${a.effect.target.className}`);
      });
      if (moving.length) wrong.push(`${state}, ${size}: moves although nothing should: ${moving}`);
    }
  }
  await page.setViewportSize(wide);
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  return wrong;
}

/** Fails if a page has faults. */
export const judge = async (page, state) => assert.deepEqual(await faults(page, state), []);
