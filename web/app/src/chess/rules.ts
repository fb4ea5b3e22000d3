// What a player may do in a position, so that the board can show it at once. The server judges; this only knows targets and
// what a move looks like. A square is 0 to 63, a1 first; a piece is its letter in FEN, white in capitals.

export type Color = "white" | "black";
export type Square = number;

export interface Position {
  readonly board: readonly string[]; // 64; "" where empty
  readonly turn: Color;
  readonly castling: string; // as in FEN, "" for none
  readonly passant: Square; // behind a pawn that moved two squares, or -1
}

export interface Move {
  readonly from: Square;
  readonly to: Square;
  readonly promotes: boolean;
}

const FILES = "abcdefgh";
export const START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1";

export const nameOf = (s: Square): string => FILES[s & 7]! + ((s >> 3) + 1);
export const squareOf = (name: string): Square => FILES.indexOf(name[0]!) + (Number(name[1]) - 1) * 8;
export const colorOf = (piece: string): Color => (piece < "a" ? "white" : "black");
export const other = (c: Color): Color => (c === "white" ? "black" : "white");

/** Reads a FEN that the server sent. */
export function parse(fen: string): Position {
  const [rows = "", turn = "w", castling = "-", passant = "-"] = fen.split(" ");
  const board: string[] = Array(64).fill("");
  rows.split("/").forEach((row, i) => {
    let file = 0;
    for (const c of row) {
      if (c >= "1" && c <= "8") file += Number(c);
      else board[(7 - i) * 8 + file++] = c;
    }
  });
  return { board, turn: turn === "b" ? "black" : "white", castling: castling.replace("-", ""), passant: passant === "-" ? -1 : squareOf(passant) };
}

const KNIGHT = [[1, 2], [2, 1], [2, -1], [1, -2], [-1, -2], [-2, -1], [-2, 1], [-1, 2]] as const;
const DIAGONAL = [[1, 1], [1, -1], [-1, -1], [-1, 1]] as const;
const STRAIGHT = [[1, 0], [0, -1], [-1, 0], [0, 1]] as const;
const ROUND = [...DIAGONAL, ...STRAIGHT] as const;
type Step = readonly [number, number];

function go(from: Square, [file, rank]: Step): Square {
  const f = (from & 7) + file;
  const r = (from >> 3) + rank;
  return f >= 0 && f < 8 && r >= 0 && r < 8 ? r * 8 + f : -1;
}

const steps: Record<string, { reach: readonly Step[]; far: boolean }> = {
  n: { reach: KNIGHT, far: false },
  b: { reach: DIAGONAL, far: true },
  r: { reach: STRAIGHT, far: true },
  q: { reach: ROUND, far: true },
  k: { reach: ROUND, far: false },
};

/** Whether a square is attacked by a side. */
export function attacked(board: readonly string[], square: Square, by: Color): boolean {
  const is = (s: Square, letter: string) => s >= 0 && board[s] === (by === "white" ? letter.toUpperCase() : letter);
  const behind = by === "white" ? -1 : 1;
  if (is(go(square, [-1, behind]), "p") || is(go(square, [1, behind]), "p")) return true;
  if (KNIGHT.some((d) => is(go(square, d), "n")) || ROUND.some((d) => is(go(square, d), "k"))) return true;
  const along = (dirs: readonly Step[], letter: string) =>
    dirs.some((d) => {
      let s = go(square, d);
      while (s >= 0 && !board[s]) s = go(s, d);
      return is(s, letter) || is(s, "q");
    });
  return along(DIAGONAL, "b") || along(STRAIGHT, "r");
}

export const kingOf = (board: readonly string[], c: Color): Square => board.indexOf(c === "white" ? "K" : "k");
export const inCheck = (p: Position): boolean => attacked(p.board, kingOf(p.board, p.turn), other(p.turn));

/** Where the piece on a square may go. */
export function targets(p: Position, from: Square): Move[] {
  const piece = p.board[from];
  if (!piece || colorOf(piece) !== p.turn) return [];
  return reachable(p, from, false).filter((m) => !leavesCheck(p, m));
}

/** Where it might go when it is its turn, whatever the opponent does: what can be premoved. */
export function premoves(p: Position, from: Square): Move[] {
  return p.board[from] ? reachable({ ...p, turn: colorOf(p.board[from]!) }, from, true) : [];
}

function reachable(p: Position, from: Square, any: boolean): Move[] {
  const piece = p.board[from]!;
  const kind = piece.toLowerCase();
  const moves: Move[] = [];
  const free = (s: Square) => s >= 0 && (any || !p.board[s]);
  const enemy = (s: Square) => s >= 0 && (any || (p.board[s] !== "" && colorOf(p.board[s]!) !== p.turn));
  const add = (to: Square, promotes = false) => moves.push({ from, to, promotes });
  if (kind === "p") {
    const up = p.turn === "white" ? 1 : -1;
    const last = p.turn === "white" ? 7 : 0;
    const put = (to: Square) => add(to, to >> 3 === last);
    const one = go(from, [0, up]);
    if (free(one)) {
      put(one);
      const two = go(one, [0, up]);
      if (from >> 3 === (last === 7 ? 1 : 6) && free(two)) put(two);
    }
    for (const side of [-1, 1]) {
      const to = go(from, [side, up]);
      if (enemy(to) || (to >= 0 && to === p.passant)) put(to);
    }
    return moves;
  }
  const { reach, far } = steps[kind]!;
  for (const d of reach) {
    for (let s = go(from, d); s >= 0; s = go(s, d)) {
      if (free(s) || enemy(s)) add(s);
      if (!far || (!any && p.board[s])) break;
    }
  }
  if (kind === "k") for (const to of castles(p, any)) add(to);
  return moves;
}

function castles(p: Position, any: boolean): Square[] {
  const home = p.turn === "white" ? 4 : 60;
  const foe = other(p.turn);
  const found: Square[] = [];
  const [short, long] = p.turn === "white" ? "KQ" : "kq";
  if (kingOf(p.board, p.turn) !== home || (!any && attacked(p.board, home, foe))) return found;
  const clear = (...squares: number[]) => any || squares.every((d) => !p.board[home + d]);
  const safe = (...squares: number[]) => any || !squares.some((d) => attacked(p.board, home + d, foe));
  if (p.castling.includes(short!) && clear(1, 2) && safe(1, 2)) found.push(home + 2);
  if (p.castling.includes(long!) && clear(-1, -2, -3) && safe(-1, -2)) found.push(home - 2);
  return found;
}

function leavesCheck(p: Position, m: Move): boolean {
  const after = moved(p, m, "q");
  return attacked(after.board, kingOf(after.board, p.turn), after.turn);
}

/** The position after a move that may be made. promotion is a small letter. */
export function moved(p: Position, m: { from: Square; to: Square }, promotion = ""): Position {
  const board = [...p.board];
  const piece = board[m.from]!;
  const kind = piece.toLowerCase();
  const back = p.turn === "white" ? -8 : 8;
  board[m.from] = "";
  board[m.to] = piece;
  let passant = -1;
  if (kind === "p") {
    if (m.to === p.passant) board[m.to + back] = "";
    if (Math.abs(m.to - m.from) === 16) passant = m.from - back;
    if (m.to >> 3 === 0 || m.to >> 3 === 7) board[m.to] = p.turn === "white" ? (promotion || "q").toUpperCase() : promotion || "q";
  }
  if (kind === "k" && Math.abs(m.to - m.from) === 2) {
    const rook = m.to > m.from ? m.from + 3 : m.from - 4;
    board[(m.from + m.to) / 2] = board[rook]!;
    board[rook] = "";
  }
  const gone: Record<number, string> = { 0: "Q", 4: "KQ", 7: "K", 56: "q", 60: "kq", 63: "k" };
  let castling = p.castling;
  for (const s of [m.from, m.to]) for (const right of gone[s] ?? "") castling = castling.replace(right, "");
  return { board, turn: other(p.turn), castling, passant };
}

/** The position after a move in UCI, as the server tells it. */
export function played(p: Position, uci: string): Position {
  return moved(p, { from: squareOf(uci.slice(0, 2)), to: squareOf(uci.slice(2, 4)) }, uci.slice(4));
}

export const uciOf = (m: { from: Square; to: Square }, promotion = ""): string => nameOf(m.from) + nameOf(m.to) + promotion;

/** All moves of the side to move. */
export function all(p: Position): Move[] {
  return p.board.flatMap((piece, s) => (piece ? targets(p, s) : []));
}

/** What each side has taken, as the letters of the pieces that are missing of the usual array, and the material ahead of white. */
export function taken(board: readonly string[]): { white: string[]; black: string[]; ahead: number } {
  const usual: Record<string, number> = { p: 8, n: 2, b: 2, r: 2, q: 1 };
  const worth: Record<string, number> = { p: 1, n: 3, b: 3, r: 5, q: 9 };
  const count = (letter: string) => board.filter((x) => x === letter).length;
  const white: string[] = [];
  const black: string[] = [];
  let ahead = 0;
  for (const [kind, n] of Object.entries(usual)) {
    ahead += worth[kind]! * (count(kind.toUpperCase()) - count(kind));
    white.push(...Array<string>(Math.max(0, n - count(kind))).fill(kind));
    black.push(...Array<string>(Math.max(0, n - count(kind.toUpperCase()))).fill(kind.toUpperCase()));
  }
  return { white, black, ahead };
}

/** The square of an en passant capture that may be made, or -1: positions that differ in nothing else are the same. */
export function passantOf(p: Position): Square {
  return p.passant >= 0 && all(p).some((m) => m.to === p.passant && p.board[m.from]!.toLowerCase() === "p") ? p.passant : -1;
}

/** A position as FEN, with the plies since a capture or pawn move and the number of the move. */
export function fenOf(p: Position, quiet: number, number: number): string {
  const passant = passantOf(p);
  const rows: string[] = [];
  for (let rank = 7; rank >= 0; rank--) {
    const row = p.board.slice(rank * 8, rank * 8 + 8).map((piece) => piece || " ").join("");
    rows.push(row.replace(/ +/g, (empty) => String(empty.length)));
  }
  return `${rows.join("/")} ${p.turn === "white" ? "w" : "b"} ${p.castling || "-"} ${passant < 0 ? "-" : nameOf(passant)} ${quiet} ${number}`;
}
