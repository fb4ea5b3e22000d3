import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Network, skip, stage, visit } from "./browser.mjs";
import { atTable, click, drag, join, judge, on, sans, seek, slowly, square, table } from "./table.mjs";

// Whole games between browsers: what one does, the other sees.
const s = stage();

test("a whole game: an offer, a promotion, a lost line, mate, ratings, and the archive", { skip, timeout: 180_000 }, async () => {
  const network = await new Network().open(s.server);
  const ann = await visit(s, "Ann", "/chess", { base: network.url });
  await ann.getByText("Nobody is waiting").waitFor(slowly);
  await seek(ann, { minutes: "10", color: "white" });
  const bob = await visit(s, "Bob", "/chess");
  await judge(bob, "lobby");
  await join(bob, "ann");
  await atTable(ann, bob);
  const eve = await visit(s, "Eve", "/chess");
  await eve.getByRole("link", { name: /ann.*bob/ }).click(slowly);
  await atTable(eve);
  const t = table(ann, bob, eve);

  await t.play("h2h4", "g7g5", "h4g5", "h7h6");
  // Spectators look on: their hands change nothing.
  await click(eve, "a2a3");
  await on(eve, "white pawn", "a2");
  assert.equal(await eve.getByRole("button", { name: "Resign" }).count(), 0);
  // An offer is declined by a move.
  await bob.getByRole("button", { name: "Draw" }).click();
  await ann.getByText("bob offers a draw").waitFor(slowly);
  await t.play("g5h6");
  await bob.getByText("You offered a draw").waitFor({ state: "detached", ...slowly });
  await t.play("a7a6", "h6h7", "a6a5");
  await click(ann, "h7g8");
  await ann.getByRole("group", { name: "The pawn becomes" }).getByRole("button", { name: "queen" }).click();
  await t.seen();
  await on(bob, "white queen", "g8");
  await judge(bob, "game");
  await t.play("h8g8");

  // A move in the dark shows at once, says that it waits, and counts when the line is back.
  network.break();
  await ann.getByText("Your line is lost. The clocks run on.").waitFor(slowly);
  await click(ann, "e2e4");
  await on(ann, "white pawn", "e4");
  await ann.locator(".board.pending").waitFor();
  await ann.getByText("Your move goes out when it is back").waitFor();
  await on(bob, "white pawn", "e2");
  network.mend();
  await t.seen();
  await on(eve, "white pawn", "e4");
  await t.play("f7f6", "d1h5", "g8g6", "h5g6");
  assert.equal(t.plies, 15);
  for (const p of [ann, bob, eve]) await p.getByRole("heading", { name: "White won by checkmate" }).waitFor(slowly);
  await ann.locator(".ended .delta.up").waitFor(slowly);
  await bob.locator(".ended .delta.down").waitFor(slowly);
  await judge(ann, "over");

  await bob.getByRole("link", { name: "Replay" }).click();
  await bob.getByRole("heading", { name: "White won by checkmate" }).waitFor(slowly);
  await bob.keyboard.press("Home");
  await on(bob, "white queen", "d1");
  await bob.keyboard.press("ArrowRight");
  await on(bob, "white pawn", "h4");
  await judge(bob, "replay");
  const [file] = await Promise.all([bob.waitForEvent("download"), bob.getByRole("button", { name: "Download PGN" }).click()]);
  const pgn = readFileSync(await file.path(), "utf8");
  assert.match(file.suggestedFilename(), /^ann-bob-.*\.pgn$/);
  assert.match(pgn, /\[Result "1-0"\][^]*hxg8=Q[^]*Qxg6#/);
  await bob.getByRole("link", { name: "Archive" }).click();
  await bob.getByRole("link", { name: /ann.*bob.*White won by checkmate/ }).waitFor(slowly);
  await bob.getByLabel("Result").selectOption("0-1");
  await bob.getByText("No such game").waitFor(slowly);
  await bob.getByLabel("Result").selectOption("1-0");
  await bob.getByRole("button", { name: "My games" }).click();
  await bob.getByRole("link", { name: /ann.*bob.*White won by checkmate/ }).waitFor(slowly);
  await judge(bob, "archive");
  await bob.getByRole("link", { name: "Lobby" }).click();
  await bob.locator(".ratings", { hasText: "rapid" }).waitFor(slowly);
  network.close();
});

test("keyboard, premoves, a draw by agreement, a rematch, an abort", { skip, timeout: 120_000 }, async () => {
  const [one, two] = [await visit(s, "Cleo", "/chess"), await visit(s, "Dora", "/chess")];
  await one.getByRole("button", { name: /^3\+2/ }).click(slowly);
  await one.getByRole("button", { name: /^3\+2/, pressed: true }).waitFor(slowly);
  await two.getByRole("button", { name: /^3\+2/ }).click(slowly);
  await atTable(one, two);
  const first = (await one.locator(".below .stone.white").count()) === 1;
  const [white, black] = first ? [one, two] : [two, one];
  const t = table(white, black);

  // A premove can be taken back, and is played by itself when it is time.
  await click(black, "d7d5");
  await black.locator(".premoved").first().waitFor();
  await black.locator(".board").click({ button: "right" });
  await black.locator(".premoved").first().waitFor({ state: "detached" });
  await drag(black, "e7e5");
  await black.locator(".premoved").first().waitFor();
  await square(white, "e2").focus();
  for (const key of ["Enter", "ArrowUp", "ArrowUp", "Enter"]) await white.keyboard.press(key);
  await on(black, "white pawn", "e4");
  await Promise.all([white, black].map((p) => sans(p, 2)));
  await on(white, "black pawn", "e5");
  await white.locator(".spoken", { hasText: "black: e5" }).waitFor(slowly);

  // Looking back changes nothing; the board comes back by itself when asked.
  await black.keyboard.press("Home");
  await on(black, "white pawn", "e2");
  await black.getByRole("button", { name: "Back to now" }).click();
  await on(black, "white pawn", "e4");

  await white.getByRole("button", { name: "Draw" }).click();
  await black.getByRole("button", { name: "Accept" }).click(slowly);
  for (const p of [white, black]) await p.getByRole("heading", { name: "Drawn by agreement" }).waitFor(slowly);
  const before = white.url();
  await white.getByRole("button", { name: "Rematch" }).click();
  await black.getByRole("button", { name: "Accept" }).click(slowly);
  for (const p of [white, black]) await p.waitForURL((url) => String(url) !== before, slowly);
  await black.locator(".below .stone.white").waitFor(slowly);
  await black.getByRole("button", { name: "Abort" }).click(slowly);
  await black.getByRole("button", { name: "Abort" }).click(slowly);
  await white.getByRole("heading", { name: "Aborted" }).waitFor(slowly);
});

test("time runs out: the flag falls by itself, and ratings change", { skip, timeout: 90_000 }, async () => {
  const ann = await visit(s, "Finn", "/chess");
  await seek(ann, { minutes: "0.1", color: "black" });
  const bob = await visit(s, "Gwen", "/chess");
  await join(bob, "finn");
  await atTable(ann, bob);
  const t = table(bob, ann);
  await t.play("e2e4", "e7e5");
  // The clock of the side to move runs, below twenty seconds with tenths, and the other stands.
  await ann.locator(".above .clock.runs.low .fine", { hasText: /^\.\d$/ }).waitFor(slowly);
  assert.equal(await ann.locator(".below .clock.runs").count(), 0);
  for (const p of [ann, bob]) await p.getByRole("heading", { name: "Black won on time" }).waitFor(slowly);
  await ann.locator(".ended .delta.up").waitFor(slowly);
  await bob.locator(".ended .delta.down").waitFor(slowly);
  assert.equal(await ann.locator(".above .clock").textContent(), "0:00.0");
});

test("a challenge reaches its user wherever he is in chess, and a game goes on behind other pages", { skip, timeout: 90_000 }, async () => {
  const hugo = await visit(s, "Hugo", "/chess/archive");
  const iris = await visit(s, "Iris", "/chess");
  await iris.getByRole("button", { name: "Challenge someone" }).click(slowly);
  const user = await hugo.evaluate(() => JSON.parse(localStorage.getItem("carillon.guest")).user);
  await iris.getByLabel(/Whom/).fill(user);
  await iris.getByRole("button", { name: "Send the challenge" }).click();
  await hugo.getByText("iris 1500 challenges you").waitFor(slowly);
  await hugo.getByRole("button", { name: "Accept" }).click();
  await atTable(iris);
  await hugo.getByRole("link", { name: "Back to it" }).click(slowly);
  await atTable(hugo);
  await hugo.getByText(/for the first move/).waitFor(slowly);
});
