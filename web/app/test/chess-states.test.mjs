import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join as under } from "node:path";
import { test } from "node:test";
import { Network, skip, stage, visit } from "./browser.mjs";
import { atTable, command, faults, join, record, seek, slowly } from "./table.mjs";

// Every state of the pages of chess, judged by axe, wide and on a small phone; with PICTURES=FOLDER in all sizes and colours
// for people to look at.
const s = stage();
const folder = process.env.PICTURES;
const away = skip || (folder || process.env.CARILLON_LONG ? false : "it takes long: set CARILLON_LONG=1 or PICTURES=FOLDER");

/** A game of some length, as half-moves that lead back to where they began and on. */
const long = [
  "e2e4 e7e5 g1f3 b8c6 f1b5 a7a6 b5a4 g8f6 e1g1 f8e7 f1e1 b7b5 a4b3 d7d6 c2c3 e8g8 h2h3 c6b8 d2d4 b8d7",
  "c3c4 c7c6 c4b5 a6b5 b1c3 c8b7 c1g5 b5b4 c3b1 h7h6 g5h4 c6c5 d4e5 f6e4 h4e7 d8e7 e5d6 e7f6 b1d2 e4d6",
  "d2c4 d6c4 b3c4 d7b6 f3e5 a8e8 c4f7 f8f7 e5f7 e8e1 d1e1 g8f7 e1e3 f6g5 e3g5 h6g5 b2b3 f7e6 a2a3 e6d6",
  "a3b4 c5b4 a1a5 b6d5 f2f3 b7c8 g1f2 c8f5 a5a7 g7g6 a7a6 d6c5 f2e1 d5f4 g2g3 f4h3 e1d2 c5b5 a6d6 b5c5",
].join(" ").split(" ");

test("every state of chess", { skip: away, timeout: 600_000 }, async () => {
  const wrong = [];
  const take = async (page, state) => {
    const picture = async (name) => {
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: under(folder, `chess-${name}.png`) });
    };
    wrong.push(...(await faults(page, state, folder && picture)));
  };
  const network = await new Network().open(s.server);
  const ann = await visit(s, "Annabella von und zu Lauenburg", "/chess", { base: network.url });
  await ann.getByText("Nobody is waiting").waitFor(slowly);
  await ann.getByText("No game is going on").waitFor(slowly);
  await take(ann, "lobby-empty");
  await ann.goto(`${network.url}/chess/archive`);
  await ann.getByText("No game yet").waitFor(slowly);
  await take(ann, "archive-empty");
  await ann.goto(`${network.url}/chess/archive/nosuchgame`);
  await ann.getByRole("heading", { name: "No such game" }).waitFor(slowly);
  await take(ann, "replay-missing");
  await ann.goto(`${network.url}/chess/game/nosuchgame`);
  await ann.getByRole("heading", { name: "This game cannot be shown" }).waitFor(slowly);
  await take(ann, "game-missing");
  await ann.getByRole("link", { name: "To the lobby" }).click();

  await ann.getByRole("button", { name: "Challenge someone" }).click(slowly);
  await ann.getByLabel("Start from a position").fill("r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1");
  await ann.getByRole("button", { name: "Send the challenge" }).click();
  await ann.getByText("Say whom you want to play").waitFor();
  await take(ann, "form-challenge");
  await ann.keyboard.press("Escape");

  const bob = await visit(s, "Bob", "/chess");
  const eve = await visit(s, "Eve", "/chess");
  const user = (page) => page.evaluate(() => JSON.parse(localStorage.getItem("carillon.guest")).user);
  const [a, b] = [await user(ann), await user(bob)];
  const own = (u) => `chess:player:${u}`;
  for (const [base, inc] of [[60, 0], [600, 5], [5400, 30], [0, 0]]) await command(bob, own(b), { type: "seek", base, inc, rated: base > 0, min: 1900, ...(inc === 5 && { delay: 60, max: 2400, color: "white" }) });
  await command(bob, own(b), { type: "challenge", user: a, base: 300, inc: 3, color: "black", delay: 90, fen: "4k3/P7/8/8/8/8/8/4K3 w - - 3 12" });
  await seek(ann, { minutes: "30", color: "white" });
  await ann.getByText("challenges you").waitFor(slowly);
  await ann.getByRole("button", { name: /Play$/ }).nth(3).waitFor(slowly);
  await take(ann, "lobby-full");
  await ann.getByRole("button", { name: "Decline" }).click();

  await join(bob, "annabella");
  await atTable(ann, bob);
  const address = new URL(ann.url()).pathname;
  const game = address.replace("/chess/game/", "chess:game:");
  await record(ann, bob, 0, ...long.slice(0, 2));
  await eve.goto(s.server.url + address);
  await atTable(eve);
  await command(bob, game, { type: "draw_offer" });
  await command(bob, game, { type: "takeback_offer" });
  await ann.getByText("offers a draw").waitFor(slowly);
  await ann.getByText("asks to take a move back").waitFor(slowly);
  await take(ann, "game-offers");
  await record(ann, bob, 2, ...long.slice(2));
  await eve.waitForFunction((n) => document.querySelectorAll(".moves .san").length === n, long.length, slowly);
  await take(eve, "game-watched-long");
  await ann.getByRole("button", { name: "Resign" }).click();
  await take(ann, "game-sure");
  await ann.getByRole("button", { name: "Play on" }).click();
  await ann.keyboard.press("Home");
  await ann.getByRole("button", { name: "Back to now" }).waitFor();
  await take(ann, "game-looking-back");
  await ann.keyboard.press("End");
  network.break();
  await ann.getByText("Your line is lost").waitFor(slowly);
  await take(ann, "game-line-lost");
  network.mend();
  await ann.getByText("Your line is lost").waitFor({ state: "detached", ...slowly });
  await bob.getByRole("button", { name: "Resign" }).click();
  await bob.getByRole("button", { name: "Resign" }).click();
  await ann.locator(".ended .delta.up").waitFor(slowly);
  await ann.getByRole("button", { name: "Rematch" }).click();
  await bob.getByText("wants a rematch").waitFor(slowly);
  await take(bob, "game-over");
  await bob.getByRole("link", { name: "Replay" }).click();
  await bob.locator(".replay .board").waitFor(slowly);
  await take(bob, "replay");
  await bob.getByRole("link", { name: "Archive" }).click();
  await bob.getByRole("link", { name: /annabella.*bob/ }).waitFor(slowly);
  await take(bob, "archive");
  await bob.getByRole("link", { name: "Lobby" }).click();
  await bob.locator(".ratings", { hasText: "classical" }).waitFor(slowly);
  await take(bob, "lobby-rated");
  network.close();
  assert.deepEqual(wrong, []);
});
