import assert from "node:assert/strict";
import { test } from "node:test";
import { Network, skip, stage, visit } from "./browser.mjs";
import { atTable, click, clockOf, join, on, sans, seek, slowly, table } from "./table.mjs";

// Chess while lines break, while the server is away, and for those who see it later.
const s = stage();

/** Waits until a clock of a page shows less than so many ms. */
const below = (page, where, ms) => page.waitForFunction(([where, ms]) => document.querySelector(`.${where} .clock`).textContent.split(":").reduce((m, x) => m * 60 + Number(x), 0) * 1000 < ms, [where, ms], slowly);
const lines = (...pages) => Promise.all(pages.map((p) => p.locator(".wire.live").waitFor(slowly)));

test("a line is lost in a time scramble: the own clock runs on, and is right when the line is back", { skip, timeout: 90_000 }, async () => {
  const network = await new Network().open(s.server);
  const ann = await visit(s, "Rosa", "/chess", { base: network.url });
  await seek(ann, { minutes: "0.5", color: "white" });
  const bob = await visit(s, "Sven", "/chess");
  await join(bob, "rosa");
  await atTable(ann, bob);
  const t = table(ann, bob);
  await t.play("e2e4", "e7e5");
  network.break();
  await ann.getByText("Your line is lost. The clocks run on.").waitFor(slowly);
  const lost = await clockOf(bob, "above");
  await ann.locator(".below .clock.runs[data-line=lost]").waitFor();
  const away = 4000; // ms of the own clock
  await Promise.all([below(ann, "below", lost - away), below(bob, "above", lost - away)]);
  network.mend();
  await lines(ann);
  await ann.getByText("Your line is lost.").waitFor({ state: "detached", ...slowly });
  // A clock that was read between two others of the same shows what lies between them.
  const [first, between, last] = [await clockOf(bob, "above"), await clockOf(ann, "below"), await clockOf(bob, "above")];
  assert.ok(between <= first + away / 5 && between >= last - away / 5, `${first} ≥ ${between} ≥ ${last} ms`);
  await t.play("g1f3");
  await Promise.all([ann.locator(".below .clock:not(.runs)").waitFor(), bob.locator(".above .clock:not(.runs)").waitFor()]);
  const [mine, seen] = [await clockOf(ann, "below"), await clockOf(bob, "above")];
  assert.equal(mine, seen);
  assert.ok(mine < lost - away && mine > 0, `${mine} of ${lost} ms are left after ${away} without a line`);
  network.close();
});

test("a move that gets lost on its way is played all the same, and one whose answer gets lost is played once", { skip, timeout: 90_000 }, async () => {
  const network = await new Network().open(s.server);
  const ann = await visit(s, "Xena", "/chess", { base: network.url });
  await seek(ann, { minutes: "5", color: "white" });
  const bob = await visit(s, "Yves", "/chess");
  await join(bob, "xena");
  await atTable(ann, bob);
  const broken = async () => {
    network.break();
    await ann.getByText("Your line is lost.").waitFor(slowly);
    network.mend();
    await lines(ann);
  };

  network.lose("up");
  await click(ann, "e2e4");
  await on(ann, "white pawn", "e4"); // where it will be
  await sans(bob, 0);
  await broken();
  await Promise.all([ann, bob].map((p) => sans(p, 1)));
  await on(bob, "white pawn", "e4");
  await click(bob, "e7e5");
  await sans(ann, 2);

  network.lose("down");
  await click(ann, "g1f3");
  await sans(bob, 3);
  await click(bob, "b8c6");
  await sans(bob, 4);
  await broken();
  await sans(ann, 4);
  await click(ann, "f1c4");
  await Promise.all([ann, bob].map((p) => sans(p, 5)));
  for (const p of [ann, bob]) assert.deepEqual(await p.locator(".moves .san").allInnerTexts(), ["e4", "e5", "Nf3", "Nc6", "Bc4"]);
  network.close();
});

test("the server is gone and comes back: a game, the lobby and the archive go on by themselves, and nobody paid for it", { skip, timeout: 90_000 }, async () => {
  const ann = await visit(s, "Tara", "/chess");
  await seek(ann, { minutes: "5", color: "white" });
  const bob = await visit(s, "Ugo", "/chess");
  const [eve, kim] = [await visit(s, "Vera", "/chess"), await visit(s, "Wim", "/chess/archive")];
  await join(bob, "tara");
  await atTable(ann, bob);
  await eve.getByRole("link", { name: /tara.*ugo/ }).waitFor(slowly);
  const t = table(ann, bob);
  await t.play("d2d4", "d7d5");

  const left = await clockOf(ann, "below");
  const start = Date.now();
  await s.server.kill("SIGKILL");
  for (const p of [ann, bob]) await p.getByText("Your line is lost. The clocks run on.").waitFor(slowly);
  await kim.getByLabel("Result").selectOption("1/2-1/2");
  await kim.getByText("The server does not answer").waitFor(slowly);
  await click(ann, "c2c4"); // is kept until somebody takes it
  await ann.locator(".board.pending").waitFor();
  await below(ann, "below", left - 5000);
  await s.server.start();
  const gone = Date.now() - start;

  await t.seen();
  const total = Date.now() - start;
  await lines(ann, bob, eve, kim);
  const [mine, seen] = [await clockOf(ann, "below"), await clockOf(bob, "above")];
  assert.equal(mine, seen);
  assert.ok(left - mine < total - 0.7 * gone, `${left - mine} ms were charged, of ${total} in which the server was gone for ${gone}`);
  await t.play("e7e6");
  await kim.getByText("The server does not answer").waitFor({ state: "detached", ...slowly });
  await kim.getByRole("heading", { name: "No such game" }).waitFor(slowly);
  // The lobby is live again: who was there all the time sees what is opened there, and which games are over.
  await kim.getByRole("link", { name: "Lobby" }).click();
  await seek(kim, { minutes: "7", color: "black" });
  await eve.getByRole("button", { name: /Play$/ }).filter({ hasText: "wim" }).waitFor(slowly);
  await bob.getByRole("button", { name: "Resign" }).click();
  await bob.getByRole("button", { name: "Resign" }).click();
  for (const p of [ann, bob]) await p.getByRole("heading", { name: "White won by resignation" }).waitFor(slowly);
  await eve.getByRole("link", { name: /tara.*ugo/ }).waitFor({ state: "detached", ...slowly });
});

test("spectators see a game later that its players chose to delay, from its first move", { skip, timeout: 90_000 }, async () => {
  const delay = 4; // seconds
  const ann = await visit(s, "Xena", "/chess");
  await seek(ann, { minutes: "5", color: "white", delay: String(delay) });
  await ann.getByText(`seen ${delay} s later`).waitFor(slowly);
  const [bob, eve] = [await visit(s, "Yuri", "/chess"), await visit(s, "Zoe", "/chess")];
  await join(bob, "xena");
  await atTable(ann, bob);
  await ann.getByText(`${delay} s later`).waitFor(slowly);
  const t = table(ann, bob);
  await t.play("e2e4");
  await eve.goto(ann.url());
  await eve.locator(".board").waitFor(slowly);
  await eve.getByText(`watching, ${delay} s behind`).waitFor(slowly);
  const before = Date.now();
  await t.play("e7e5");
  await sans(eve, 2);
  assert.ok(Date.now() - before >= delay * 1000, "it came too early");
  await eve.locator(".below .clock.runs").waitFor(slowly);
  const [now, then] = [await clockOf(ann, "below"), await clockOf(eve, "below")];
  assert.ok(Math.abs(then - now - delay * 1000) <= 2000, `the clock shows ${then} ms, ${now} to its owner`);

  // Whoever comes in the middle, or again, sees it from the beginning too.
  await eve.reload();
  await sans(eve, 2);
  await ann.getByRole("button", { name: "Resign" }).click();
  await ann.getByRole("button", { name: "Resign" }).click();
  await bob.getByRole("heading", { name: "Black won by resignation" }).waitFor(slowly);
  const over = Date.now();
  assert.equal(await eve.getByRole("heading", { name: "Black won by resignation" }).count(), 0);
  await eve.getByRole("heading", { name: "Black won by resignation" }).waitFor(slowly);
  assert.ok(Date.now() - over >= 0.5 * delay * 1000, "the end came too early");
  await on(eve, "white pawn", "e4");
});
