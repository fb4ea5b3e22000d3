import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "vite";

// What the board believes of the rules, against the published counts of moves, and the reading of moves and files.
let vite, rules, notation;
before(async () => {
  vite = await createServer({ server: { middlewareMode: true, ws: false, watch: null }, appType: "custom", logLevel: "error", optimizeDeps: { noDiscovery: true } });
  rules = await vite.ssrLoadModule("/src/chess/rules.ts");
  notation = await vite.ssrLoadModule("/src/chess/notation.ts");
});
after(() => vite.close());

function perft(p, depth) {
  let n = 0;
  for (const m of rules.all(p)) {
    for (const kind of m.promotes ? ["q", "r", "b", "n"] : [""]) n += depth === 1 ? 1 : perft(rules.moved(p, m, kind), depth - 1);
  }
  return n;
}

const counts = [
  ["rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", [20, 400, 8902]],
  ["r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1", [48, 2039, 97862]],
  ["8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1", [14, 191, 2812, 43238]],
  ["r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1", [6, 264, 9467]],
  ["rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8", [44, 1486, 62379]],
];

for (const [fen, want] of counts) {
  test(`moves of ${fen}`, () => {
    for (const [i, n] of want.entries()) assert.equal(perft(rules.parse(fen), i + 1), n, `depth ${i + 1}`);
  });
}

test("a FEN that is written is the one that was read", () => {
  for (const [fen] of counts) assert.equal(rules.fenOf(rules.parse(fen)).split(" ").slice(0, 4).join(" "), fen.split(" ").slice(0, 4).join(" "));
});

test("SAN means the move that was made, whatever else could go there", () => {
  const p = rules.parse("r3k2r/8/8/3pP3/8/8/6P1/R3K2R w KQkq d6 0 1");
  for (const [san, uci] of [["O-O", "e1g1"], ["O-O-O", "e1c1"], ["exd6", "e5d6"], ["Rxa8+", "a1a8"], ["Rg1", "h1g1"], ["Qd4", undefined]]) assert.equal(notation.uciFrom(p, san), uci, san);
  const two = rules.parse("4k3/P7/8/8/8/2N5/8/4K1N1 w - - 0 1");
  assert.equal(notation.uciFrom(two, "Nce2"), "c3e2");
  assert.equal(notation.uciFrom(two, "Nge2"), "g1e2");
  assert.equal(notation.uciFrom(two, "a8=N"), "a7a8n");
});

test("PGN is read with its clocks, and from another position too", () => {
  const line = notation.readPGN('[White "a"]\n[FEN "4k3/P7/8/8/8/8/8/4K3 w - - 0 1"]\n\n1. a8=Q+ {[%clk 0:01:02.5]} 1... Kd7 {[%clk 0:00:59]} 2. Qb7+ 1-0\n');
  assert.deepEqual(line.moves, ["a7a8q", "e8d7", "a8b7"]);
  assert.deepEqual(line.left, [62500, 59000]);
  assert.equal(line.positions.length, 4);
});

test("a position that came back is noticed", () => {
  let p = rules.parse(rules.START);
  const all = [p];
  for (const uci of ["g1f3", "g8f6", "f3g1", "f6g8", "g1f3", "g8f6", "f3g1", "f6g8"]) all.push((p = rules.played(p, uci)));
  assert.deepEqual(notation.drawish(all), { times: 3, quiet: 8 });
});

test("moves are said in words", () => {
  const said = { Nf3: "knight f3", exd5: "e takes d5", "O-O": "castles short", "bxa8=Q+": "b takes a8, promotes to queen, check", "Qxf7#": "queen takes f7, checkmate", Nbd2: "knight bd2" };
  for (const [san, words] of Object.entries(said)) assert.equal(notation.spoken(san), words);
});
