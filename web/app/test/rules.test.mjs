import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "vite";

// What the board believes of the rules, against the published counts of moves, and the reading of moves and files.
let vite, rules, notation, files;
before(async () => {
  vite = await createServer({ server: { middlewareMode: true, ws: false, watch: null }, appType: "custom", logLevel: "error", optimizeDeps: { noDiscovery: true } });
  rules = await vite.ssrLoadModule("/src/chess/rules.ts");
  notation = await vite.ssrLoadModule("/src/chess/notation.ts");
  files = await vite.ssrLoadModule("/src/chess/pgn.ts");
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
  for (const [fen] of counts) assert.equal(rules.fenOf(rules.parse(fen), ...fen.split(" ").slice(4).map(Number)), fen);
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
  const line = files.readPGN('[White "a"]\n[FEN "4k3/P7/8/8/8/8/8/4K3 w - - 0 1"]\n\n1. a8=Q+ {[%clk 0:01:02.5]} 1... Kd7 {[%clk 0:00:59]} 2. Qb7+ 1-0\n');
  assert.deepEqual(line.moves, ["a7a8q", "e8d7", "a8b7"]);
  assert.deepEqual(line.left, [62500, 59000]);
  assert.equal(line.positions.length, 4);
});

test("a FEN of any ply counts as the rules do, and names an en passant square only where it can be taken on", () => {
  const start = "4k3/2p5/8/3P4/8/8/8/4K3 w - - 3 12";
  const line = { start, positions: [rules.parse(start)], moves: ["e1d1", "c7c5", "d1d2"] };
  for (const uci of line.moves) line.positions.push(rules.played(line.positions.at(-1), uci));
  assert.deepEqual([0, 1, 2, 3].map((ply) => notation.fenAt(line, ply)), [
    start,
    "4k3/2p5/8/3P4/8/8/8/3K4 b - - 4 12",
    "4k3/8/8/2pP4/8/8/8/3K4 w - c6 0 13",
    "4k3/8/8/2pP4/8/8/3K4/8 b - - 1 13",
  ]);
});

test("what is typed for a position is one, or is refused", () => {
  for (const [fen] of counts) assert.ok(notation.readFEN(`  ${fen.replaceAll(" ", "  ")} `), fen);
  assert.equal(notation.readFEN("4k3/8/8/8/8/8/8/4K3 b").turn, "black");
  const wrong = ["", "hello", "4k3/8/8/8/8/8/8/4K3", "4k3/8/8/8/8/8/4K3 w - - 0 1", "4k4/8/8/8/8/8/8/4K3 w", "8/8/8/8/8/8/8/4K3 w", "4k3/8/8/8/8/8/8/3KK3 w", "4k3/8/8/8/8/8/8/4K3 x", "4k3/8/8/8/8/8/8/4K3 w KQ e9", "<b>/8/8/8/8/8/8/4K3 w"];
  for (const text of wrong) assert.equal(notation.readFEN(text), undefined, text);
});

test("PGN that is written is read again as it was, from any position, with black to begin too", () => {
  for (const [start, moves, sans] of [
    [rules.START, ["e2e4", "e7e5"], ["e4", "e5"]],
    ["4k3/P7/8/8/8/8/8/4K3 w - - 0 1", ["a7a8q", "e8d7", "a8b7"], ["a8=Q+", "Kd7", "Qb7+"]],
    ["4k3/8/8/8/8/8/4p3/3K4 b - - 0 40", ["e8d7", "d1e2"], ["Kd7", "Kxe2"]],
  ]) {
    for (const base of [0, 60]) {
      const line = { start, positions: [rules.parse(start)], moves, sans, left: base ? moves.map((_, i) => 59_900 - i * 100) : [] };
      for (const uci of moves) line.positions.push(rules.played(line.positions.at(-1), uci));
      const state = { game: "chess:game:abc", created: 0, status: "playing", base, inc: 0, rated: false, speed: "bullet", players: { white: { user: 'a "b" \\', rating: 1500 }, black: { user: "c" } } };
      const text = files.writePGN(state, line);
      assert.deepEqual(files.readPGN(text), line, text);
      assert.ok(text.split("\n").every((l) => l.length < 80) && text.endsWith(" *\n") && text.includes('[White "a \\"b\\" \\\\"]'), text);
    }
  }
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
