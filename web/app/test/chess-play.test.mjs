import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { skip, stage, visit } from "./browser.mjs";
import { atTable, clockOf, command, join, on, record, sans, seek, slowly, square, table, tabTo } from "./table.mjs";

// What players ask of each other, positions that are set up, and chess without a mouse.
const s = stage();

test("a takeback, more time, a claimed draw, and a rematch that is refused first", { skip, timeout: 120_000 }, async () => {
  const ann = await visit(s, "Lena", "/chess");
  await seek(ann, { minutes: "3", color: "white" });
  const bob = await visit(s, "Mats", "/chess");
  await join(bob, "lena");
  await atTable(ann, bob);
  const t = table(ann, bob);
  assert.ok(await ann.getByRole("button", { name: "Take back" }).isDisabled());
  await t.play("g1f3", "g8f6");

  // What is declined changes nothing; what is accepted is undone for both, up to the one who asked.
  await ann.getByRole("button", { name: "Take back" }).click();
  await ann.getByText("You asked to take your move back").waitFor(slowly);
  await bob.getByText("lena asks to take a move back").waitFor(slowly);
  await bob.getByRole("button", { name: "Decline" }).click();
  await ann.getByText("You asked to take your move back").waitFor({ state: "detached", ...slowly });
  await on(ann, "white knight", "f3");
  await ann.getByRole("button", { name: "Take back" }).click();
  await bob.getByRole("button", { name: "Accept" }).click(slowly);
  for (const p of [ann, bob]) {
    await sans(p, 0);
    await on(p, "white knight", "g1");
    await on(p, "black knight", "g8");
  }

  const before = await clockOf(bob, "above");
  await bob.getByRole("button", { name: "Give 15 s" }).click();
  await ann.waitForFunction((before) => document.querySelector(".below .clock").textContent.split(":").reduce((m, x) => m * 60 + Number(x), 0) * 1000 > before, before + 10_000, slowly);
  assert.ok((await clockOf(ann, "below")) <= before + 15_000);

  const again = table(ann, bob);
  await again.play("b1c3", "b8c6", "c3b1", "c6b8");
  assert.equal(await ann.getByRole("button", { name: "Claim the draw" }).count(), 0);
  await assert.rejects(command(ann, `chess:game:${new URL(ann.url()).pathname.split("/").at(-1)}`, { type: "draw_claim" }));
  await record(ann, bob, 4, "b1c3", "b8c6", "c3b1", "c6b8");
  await ann.getByText("This position stands for the third time").waitFor(slowly);
  await ann.getByRole("button", { name: "Claim the draw" }).click();
  for (const p of [ann, bob]) await p.getByRole("heading", { name: "Drawn by threefold repetition" }).waitFor(slowly);

  await bob.getByRole("button", { name: "Rematch" }).click();
  await ann.getByText("mats wants a rematch").waitFor(slowly);
  await ann.getByRole("button", { name: "Decline" }).click();
  await bob.getByText("You asked for a rematch").waitFor({ state: "detached", ...slowly });
  const url = ann.url();
  await ann.getByRole("button", { name: "Rematch" }).click(slowly);
  await bob.getByRole("button", { name: "Accept" }).click(slowly);
  for (const p of [ann, bob]) await p.waitForURL((now) => String(now) !== url, slowly);
  await ann.locator(".below .stone.black").waitFor(slowly);
});

test("a game from a position: refused where it cannot be, played, copied and downloaded as the server has it", { skip, timeout: 120_000 }, async () => {
  const [ann, bob] = [await visit(s, "Nora", "/chess"), await visit(s, "Otis", "/chess")];
  await ann.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const copied = async (page, what) => {
    await page.getByRole("button", { name: "Copy or download" }).click();
    await page.getByRole("menuitem", { name: `Copy ${what}` }).click();
    await page.getByText(`${what} copied`).waitFor(slowly);
    return page.evaluate(() => navigator.clipboard.readText());
  };
  await ann.getByRole("button", { name: "Challenge someone" }).click(slowly);
  await ann.locator("#known option", { hasText: "Otis" }).waitFor({ ...slowly, state: "attached" }); // a name is that of somebody here
  await ann.getByLabel(/Whom/).fill("otis");
  await ann.getByLabel("Your colour").selectOption("white");
  const fen = ann.getByLabel("Start from a position");
  const send = ann.getByRole("button", { name: "Send the challenge" });
  await fen.fill("4k3/P7/8/8/8/8/8 w - - 0 1");
  await send.click();
  await ann.getByText("This is no position in FEN").waitFor();
  await fen.fill("4k3/4R3/8/8/8/8/8/4K3 w - - 0 1"); // black is in check, and white to move
  await ann.getByLabel("Board, seen by white").waitFor();
  await send.click();
  await ann.locator(".wish .problem", { hasText: /fen|position/i }).waitFor(slowly);
  await fen.fill("4k3/P7/8/8/8/8/8/4K3 w - - 3 12");
  assert.equal(await ann.getByLabel("Rated").count(), 0); // such games are casual
  await send.click();
  await bob.getByText("a set position").waitFor(slowly);
  await bob.getByRole("button", { name: "Accept" }).click();
  await atTable(ann, bob);
  await on(bob, "white pawn", "a7");
  assert.equal(await copied(ann, "FEN"), "4k3/P7/8/8/8/8/8/4K3 w - - 3 12");

  await square(ann, "a7").focus();
  for (const key of ["Enter", "ArrowUp", "Enter", "r"]) await ann.keyboard.press(key);
  await on(bob, "white rook", "a8");
  await Promise.all([ann, bob].map((p) => sans(p, 1)));
  await record(ann, bob, 1, "e8d7");
  await sans(ann, 2);
  const position = await copied(ann, "FEN");
  assert.equal(position, "R7/3k4/8/8/8/8/8/4K3 w - - 1 13");
  await ann.getByRole("button", { name: "Copy or download" }).click();
  const [file] = await Promise.all([ann.waitForEvent("download"), ann.getByRole("menuitem", { name: "Download PGN" }).click()]);
  assert.match(file.suggestedFilename(), /^nora-otis-.*\.pgn$/);
  assert.match(readFileSync(await file.path(), "utf8"), /\[FEN "4k3\/P7[^]*\n\n12\. a8=R\+ \{\[%clk [\d:.]+\]\} 12\.\.\. Kd7 \{[^}]*\} \*\n$/);
  await ann.keyboard.press("ArrowLeft");
  await on(ann, "black king", "e8");
  assert.equal(await copied(ann, "FEN"), "R3k3/8/8/8/8/8/8/4K3 b - - 0 12");
  await bob.getByRole("button", { name: "Resign" }).click();
  await bob.getByRole("button", { name: "Resign" }).click();
  await ann.getByRole("heading", { name: "White won by resignation" }).waitFor(slowly);

  // What this page writes is what the archive has, but for the order of the tags.
  const ours = await copied(ann, "PGN");
  await ann.getByRole("link", { name: "Replay" }).click();
  await ann.locator(".replay .board").waitFor(slowly);
  const theirs = await copied(ann, "PGN");
  const parts = (pgn) => {
    const [head, moves] = pgn.trim().split("\n\n");
    return { head: head.split("\n").filter((l) => !/RatingDiff/.test(l)).sort(), moves: moves.split(/\s+/) };
  };
  assert.deepEqual(parts(ours), parts(theirs));
  assert.equal(await copied(ann, "FEN"), position);
});

test("a game without a mouse: from the lobby to mate and into the next one", { skip, timeout: 120_000 }, async () => {
  const [one, two] = [await visit(s, "Pia", "/chess"), await visit(s, "Quin", "/chess")];
  for (const p of [one, two]) {
    await p.getByRole("button", { name: /^5\+0/ }).and(p.locator(":enabled")).waitFor(slowly);
    await tabTo(p, p.getByRole("button", { name: /^5\+0/ }));
    await p.keyboard.press("Enter");
  }
  await atTable(one, two);
  const [white, black] = (await one.locator(".below .stone.white").count()) === 1 ? [one, two] : [two, one];
  const press = async (page, ply, ...keys) => {
    for (const key of keys) await page.keyboard.press(key);
    await Promise.all([white, black].map((p) => sans(p, ply)));
  };
  const times = (n, key) => Array(n).fill(key);
  for (const p of [white, black]) await tabTo(p, p.locator(".board [role=gridcell]"));
  await press(white, 1, "ArrowRight", "Enter", "ArrowUp", "Enter");
  await press(black, 2, "Enter", "ArrowUp", "ArrowUp", "Enter");
  // A question in place takes the focus, and gives it back.
  await tabTo(white, white.getByRole("button", { name: "Resign" }));
  await white.keyboard.press("Enter");
  await white.getByText("Give the game up?").waitFor();
  await white.keyboard.press("Tab");
  await white.keyboard.press("Enter");
  assert.ok(await white.getByRole("button", { name: "Resign" }).evaluate((b) => b === document.activeElement));
  await tabTo(white, white.locator(".board [role=gridcell]"));
  await press(white, 3, "ArrowRight", "ArrowDown", "Enter", "ArrowUp", "ArrowUp", "Enter");
  await press(black, 4, ...times(3, "ArrowDown"), "ArrowRight", "Enter", ...times(4, "ArrowLeft"), ...times(4, "ArrowUp"), "Enter");
  for (const p of [white, black]) await p.getByRole("heading", { name: "Black won by checkmate" }).waitFor(slowly);
  await tabTo(white, white.getByRole("button", { name: "Rematch" }));
  await white.keyboard.press("Enter");
  await black.getByRole("button", { name: "Accept" }).waitFor(slowly);
  await tabTo(black, black.getByRole("button", { name: "Accept" }));
  const url = black.url();
  await black.keyboard.press("Enter");
  for (const p of [white, black]) await p.waitForURL((now) => String(now) !== url, slowly);
  await white.locator(".below .stone.black").waitFor(slowly);
});
