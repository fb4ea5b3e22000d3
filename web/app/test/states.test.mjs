import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { mkdtempSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { composer, createRoom, flood, message, Network, phone, say, skip, stage, visit, wide } from "./browser.mjs";

// Every state of the pages in light and dark, wide and on a phone: judged by axe, and pictured for people to look at.
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = process.env.PICTURES ?? (skip ? "" : mkdtempSync(join(tmpdir(), "carillon-pictures-")));
const s = stage();
let wrong = [];

/** Takes the state that a page is in, in both sizes. */
async function take(page, theme, state) {
  for (const [size, viewport] of Object.entries({ wide, phone })) {
    await page.setViewportSize(viewport);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: join(pictures, `${state}-${theme}-${size}.png`), animations: "disabled" });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const v of violations) wrong.push(`${state}, ${theme}, ${size}: ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.any[0]?.message ?? v.help}`).join("; ")}`);
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (sideways > 0) wrong.push(`${state}, ${theme}, ${size}: ${sideways} px too wide`);
  }
  await page.setViewportSize(wide);
}

const german = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft ist ein Wort, das nirgends umbricht und trotzdem niemanden stören darf.";
const arabic = "مرحبا بالجميع، كيف حالكم اليوم؟ هذه رسالة باللغة العربية.";

/** Fills a room with what people write. */
async function furnish(ann, bob) {
  await say(bob, "Evening all. Is anybody else watching the release?");
  await message(ann, "Evening all").hover();
  await ann.getByRole("button", { name: "React", exact: true }).click();
  await ann.getByRole("button", { name: "thumbs up" }).click();
  await message(ann, "Evening all").hover();
  await ann.getByRole("button", { name: "Reply" }).click();
  await say(ann, "Yes, since noon. Notes are at https://example.org/notes/2026-11, two screens of them.");
  await say(ann, german);
  await say(bob, arabic);
  await say(bob, "@ann could you look at the third point?\nIt spans\nthree lines.");
  await message(ann, "three lines").waitFor();
  await say(ann, "this one goes");
  await message(ann, "this one goes").and(ann.locator(".sent")).waitFor();
  await message(ann, "this one goes").hover();
  await ann.getByRole("button", { name: "Delete" }).click();
  await ann.getByRole("button", { name: "Delete for good" }).click();
  await ann.getByText("This message was deleted.").waitFor();
}

for (const theme of ["light", "dark"]) {
  test(`every state in ${theme}`, { skip, timeout: 400_000 }, async () => {
    wrong = [];
    const network = await new Network().open(s.server);
    const o = { colorScheme: theme };
    const room = `Harbour ${theme}`;
    const path = `/chat/harbour-${theme}`;

    const fresh = await (await s.browser.newContext({ viewport: wide, ...o })).newPage();
    await fresh.goto(s.server.url + "/chat");
    await fresh.getByLabel("Name").waitFor();
    await take(fresh, theme, "sign-in");
    await fresh.goto(s.server.url + "/");
    await fresh.locator(".here textarea").waitFor();
    await fresh.locator(".tile li").first().waitFor({ timeout: 15_000 });
    await take(fresh, theme, "start");

    const ann = await visit(s, "Ann", "/chat/lobby", { ...o, base: network.url });
    await createRoom(ann, room);
    await ann.getByText("Nothing was said here yet").waitFor();
    await take(ann, theme, "empty");
    const bob = await visit(s, "Bob", path, o);
    await take(bob, theme, "not-joined");
    await bob.getByRole("button", { name: "Join the room" }).click();
    await composer(bob).waitFor();
    await furnish(ann, bob);
    await composer(bob).pressSequentially("I a");
    await ann.locator(".typing", { hasText: "bob" }).waitFor();
    await take(ann, theme, "full");
    await message(ann, "since noon").hover();
    await ann.getByRole("button", { name: "React", exact: true }).click();
    await take(ann, theme, "picker");
    await ann.keyboard.press("Escape");
    await ann.getByRole("button", { name: "What to do with bob" }).click();
    await take(ann, theme, "menu");
    await ann.keyboard.press("Escape");
    await ann.getByRole("button", { name: "Browse public rooms" }).click();
    await ann.getByRole("button", { name: /Lobby/ }).waitFor();
    await take(ann, theme, "directory");
    await ann.keyboard.press("Escape");
    await ann.getByRole("button", { name: "New room" }).click();
    await take(ann, theme, "new-room");
    await ann.keyboard.press("Escape");
    await composer(ann).pressSequentially("@b");
    await ann.getByRole("option", { name: "bob" }).waitFor();
    await take(ann, theme, "completing");
    await composer(ann).fill("");
    await ann.locator("button.strip").click();
    await ann.getByText("Cut my line").waitFor();
    await take(ann, theme, "drawer");
    await ann.locator("button.strip").click();

    await bob.goto(s.server.url + "/chat/lobby");
    await say(ann, "Bob, this is for later");
    await flood(ann, `chat:harbour-${theme}`, Array.from({ length: 60 }, (_, i) => `News number ${i}: ${"and a few words more ".repeat(i % 7)}`));
    await bob.locator(".places a", { hasText: room }).locator(".badge").waitFor();
    await take(bob, theme, "unread");
    await bob.locator(".places a", { hasText: room }).click();
    await bob.locator(".unread").waitFor();
    await take(bob, theme, "unread-line");

    network.break();
    await ann.locator(".wire.connecting").waitFor();
    await say(ann, "Written without a line");
    await say(ann, "and one more");
    await ann.locator(".offline", { hasText: "2 queued" }).waitFor();
    await take(ann, theme, "offline");
    network.mend();
    await ann.locator(".what", { hasText: "Back after" }).waitFor({ timeout: 20_000 });
    await take(ann, theme, "back");
    // Whatever size the window had meanwhile, whoever looked at the end looks at the end.
    const rest = await ann.locator(".scroll").evaluate((b) => b.scrollHeight - b.scrollTop - b.clientHeight);
    assert.ok(rest < 2, `${rest} px from the end`);

    await ann.getByRole("button", { name: "This room" }).click();
    await ann.getByRole("menuitem", { name: "Slow mode: 5 min" }).click();
    await bob.locator(".roomhead .slow").waitFor();
    await say(bob, "a first one");
    await say(bob, "and at once a second one");
    await message(bob, "a second one").locator(".refusal").waitFor();
    await take(bob, theme, "too-fast");
    await ann.getByRole("button", { name: "What to do with bob" }).click();
    await ann.getByRole("menuitem", { name: "Mute for 10 minutes" }).click();
    await bob.getByText("You are muted here").waitFor();
    await take(bob, theme, "muted");
    await ann.getByRole("button", { name: "What to do with bob" }).click();
    await ann.getByRole("menuitem", { name: "Ban" }).click();
    await bob.getByRole("heading", { name: "You are banned" }).waitFor();
    await take(bob, theme, "banned");
    await take(ann, theme, "banned-by");
    await bob.goto(s.server.url + "/chat/nowhere-to-be-found");
    await bob.getByRole("heading", { name: "There is no such room" }).waitFor();
    await take(bob, theme, "missing");
    await bob.setViewportSize(phone);
    await bob.getByRole("link", { name: "All rooms" }).click();
    await bob.setViewportSize(phone);
    await take(bob, theme, "rooms");
    network.close();
    assert.deepEqual(wrong, []);
  });
}
