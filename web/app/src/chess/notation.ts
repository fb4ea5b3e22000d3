// Moves and positions as people write and say them.
import { all, type Color, fenOf, nameOf, other, parse, passantOf, type Position, squareOf, uciOf } from "./rules.js";

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
  start: string; // FEN
  positions: Position[];
  moves: string[];
  sans: string[];
  left: number[]; // ms on the mover's clock after each ply, as far as it is known
}

/** Who moved at a ply, counted from 0, in a game that began with a side. */
export const moverOf = (first: Color, ply: number): Color => (ply % 2 ? other(first) : first);

/** How often the last position stood on the board, and for how many plies nothing was taken and no pawn moved. */
export function drawish(positions: readonly Position[]): { times: number; quiet: number } {
  const key = (p: Position) => p.board.map((x) => x || ".").join("") + p.turn + p.castling + passantOf(p);
  const last = positions.at(-1)!;
  const pawns = (p: Position) => p.board.map((x) => (x.toLowerCase() === "p" ? x : ".")).join("");
  const count = (p: Position) => p.board.filter(Boolean).length;
  let quiet = 0;
  for (let i = positions.length - 2; i >= 0 && pawns(positions[i]!) === pawns(last) && count(positions[i]!) === count(last); i--) quiet++;
  const same = positions.slice(positions.length - 1 - quiet).filter((p) => key(p) === key(last));
  return { times: same.length, quiet };
}

/** The FEN of the position after a ply. */
export function fenAt(line: Line, ply: number): string {
  const [, , , , quietAtFirst, numberAtFirst] = line.start.split(" ");
  let quiet = Number(quietAtFirst) || 0; // plies without capture or pawn move
  let number = Number(numberAtFirst) || 1;
  for (let i = 0; i < ply; i++) {
    const { board, turn } = line.positions[i]!;
    const uci = line.moves[i]!;
    const resets = board[squareOf(uci)]!.toLowerCase() === "p" || !!board[squareOf(uci.slice(2))];
    quiet = resets ? 0 : quiet + 1;
    if (turn === "black") number++;
  }
  return fenOf(line.positions[ply]!, quiet, number);
}

/** Reads a FEN that somebody typed; undefined where it cannot be a position. The server judges if it can be played on. */
export function readFEN(text: string): Position | undefined {
  const fen = text.trim().replace(/\s+/g, " ");
  const [rows = "", turn = "", castling = "-", passant = "-"] = fen.split(" ");
  const full = rows.split("/").map((row) => [...row].reduce((sum, c) => sum + (/[1-8]/.test(c) ? Number(c) : 1), 0));
  const kings = ["K", "k"].every((king) => rows.split(king).length === 2);
  if (!/^[1-8pnbrqkPNBRQK/]+$/.test(rows) || full.length !== 8 || full.some((n) => n !== 8) || !kings) return undefined;
  return /^[wb]$/.test(turn) && /^(-|[KQkq]{1,4})$/.test(castling) && /^(-|[a-h][36])$/.test(passant) ? parse(fen) : undefined;
}
