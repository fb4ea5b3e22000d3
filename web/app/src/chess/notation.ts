// Moves as people write and say them, and games as files hold them.
import { all, type Color, nameOf, other, parse, played, type Position, START, uciOf } from "./rules.js";

const written = /^([KQRBN])?([a-h])?([1-8])?x?([a-h][1-8])(?:=?([QRBN]))?[+#]?$/;

/** The move in UCI that SAN means in a position; undefined where it means none. */
export function uciFrom(p: Position, san: string): string | undefined {
  const moves = all(p);
  const castle = /^O-O(-O)?[+#]?$/.exec(san);
  if (castle) {
    const king = moves.find((m) => p.board[m.from]!.toLowerCase() === "k" && m.to - m.from === (castle[1] ? -2 : 2));
    return king && uciOf(king);
  }
  const m = written.exec(san);
  if (!m) return undefined;
  const [, kind = "P", file, rank, to, promotion = ""] = m;
  const found = moves.find((t) => {
    const from = nameOf(t.from);
    return nameOf(t.to) === to && p.board[t.from]!.toUpperCase() === kind && (!file || from[0] === file) && (!rank || from[1] === rank);
  });
  return found && uciOf(found, promotion.toLowerCase());
}

const pieces: Record<string, string> = { K: "king", Q: "queen", R: "rook", B: "bishop", N: "knight" };

/** SAN in words, for those who hear it. */
export function spoken(san: string): string {
  const end = san.endsWith("#") ? ", checkmate" : san.endsWith("+") ? ", check" : "";
  const bare = san.replace(/[+#]$/, "");
  if (bare === "O-O") return `castles short${end}`;
  if (bare === "O-O-O") return `castles long${end}`;
  const [move = "", promotion] = bare.split("=");
  const words = move.replace(/^[KQRBN]/, (k) => pieces[k]! + " ").replace("x", " takes ");
  return `${words.replace(/ {2}/g, " ")}${promotion ? `, promotes to ${pieces[promotion]}` : ""}${end}`;
}

/** A game as it is looked at: what stood on the board after each ply, the first before any. */
export interface Line {
  positions: Position[];
  moves: string[];
  sans: string[];
  left: number[]; // ms on the mover's clock after each ply, as far as it is known
}

/** Reads the main line of PGN, as the archive holds it. */
export function readPGN(pgn: string): Line {
  const start = /\[FEN "([^"]+)"\]/.exec(pgn)?.[1] ?? START;
  const line: Line = { positions: [parse(start)], moves: [], sans: [], left: [] };
  const text = pgn.replace(/^\[.*\]\s*$/gm, "");
  for (const [token, clock] of text.matchAll(/\{([^}]*)\}|[^\s{}]+/g)) {
    if (clock !== undefined) {
      const m = /%clk (\d+):(\d+):([\d.]+)/.exec(clock);
      if (m && line.moves.length) line.left[line.moves.length - 1] = (Number(m[1]) * 3600 + Number(m[2]) * 60 + Number(m[3])) * 1000;
      continue;
    }
    const san = token.replace(/^\d+\.+/, "");
    const p = line.positions.at(-1)!;
    const uci = san && uciFrom(p, san);
    if (!uci) continue;
    line.moves.push(uci);
    line.sans.push(san);
    line.positions.push(played(p, uci));
  }
  return line;
}

/** Who moved at a ply, counted from 0, in a game that began with a side. */
export const moverOf = (first: Color, ply: number): Color => (ply % 2 ? other(first) : first);

/** How often the last position stood on the board, and for how many plies nothing was taken and no pawn moved. */
export function drawish(positions: readonly Position[]): { times: number; quiet: number } {
  const key = (p: Position) => p.board.map((x) => x || ".").join("") + p.turn + p.castling + (all(p).some((m) => m.to === p.passant && p.board[m.from]!.toLowerCase() === "p") ? p.passant : "");
  const last = positions.at(-1)!;
  const pawns = (p: Position) => p.board.map((x) => (x.toLowerCase() === "p" ? x : ".")).join("");
  const count = (p: Position) => p.board.filter(Boolean).length;
  let quiet = 0;
  for (let i = positions.length - 2; i >= 0 && pawns(positions[i]!) === pawns(last) && count(positions[i]!) === count(last); i--) quiet++;
  const same = positions.slice(positions.length - 1 - quiet).filter((p) => key(p) === key(last));
  return { times: same.length, quiet };
}
