// What the service of chess says: see docs/chess.md.
import type { Color } from "./rules.js";

export interface Rated {
  user: string;
  rating?: number;
  deviation?: number;
  provisional?: boolean;
}

export interface Control {
  base: number; // seconds; 0 with inc 0: no clock
  inc: number;
  rated: boolean;
  speed: string;
}

export interface Clocks {
  white: number; // ms left
  black: number;
}

export type Status = "playing" | "over" | "aborted";

export interface Change {
  before: number;
  after: number;
  change: number;
}

export interface Started extends Control, Clocks {
  type: "started";
  players: Record<Color, Rated>;
  start?: string;
  delay?: number;
  watch?: string;
  first: number;
  of?: string;
}

export interface State extends Partial<Started> {
  game: string;
  turn: Color;
  ply: number;
  last?: string;
  updated: number;
  status: Status;
  result?: string;
  reason?: string;
  white: number;
  black: number;
  now: number;
  created: number;
  running?: Color;
  moves: string[];
  sans: string[];
  left: number[];
  offers: { draw?: Color; takeback?: Color; rematch?: Color };
  absent: { white?: number; black?: number };
  ratings: { white?: Change; black?: Change };
  rematch?: string;
}

export type GameRecord =
  | Started
  | ({ type: "move"; ply: number; uci: string; san: string; spent: number } & Clocks)
  | ({ type: "end"; status: Status; result: string; reason: string; ply: number } & Clocks)
  | { type: "draw"; by: Color; state: "offered" | "declined" }
  | ({ type: "takeback"; by: Color; state: "offered" | "declined" | "accepted"; ply: number; fen: string } & Clocks)
  | ({ type: "time"; to: Color } & Clocks)
  | ({ type: "clock"; lost: number } & Clocks)
  | ({ type: "rating"; color: Color; user: string } & Change)
  | { type: "rematch"; by: Color; state: "offered" | "declined" | "accepted"; game?: string };

/** The latest values of a game, by the keys summary and absence. */
export type GameLatest = { white?: number; black?: number };

export interface Ongoing extends Control {
  game: string;
  color: Color;
  opponent: Rated;
}

export interface Seek {
  seek: string;
  user?: string;
  rating?: number;
  base: number;
  inc: number;
  rated: boolean;
  speed?: string;
  wants?: Color;
  min?: number;
  max?: number;
  delay?: number;
  since?: number;
  /** The id of the open seek that this one takes. */
  joins?: string;
}

export interface Challenge {
  challenge: string;
  state: "received" | "sent" | "accepted" | "declined" | "withdrawn" | "expired" | "full";
  by?: string;
  to?: string;
  rating?: number;
  base: number;
  inc: number;
  rated: boolean;
  speed: string;
  wants?: Color;
  fen?: string;
  delay?: number;
  ends: number;
}

export type PlayerRecord =
  | { type: "seek"; seek: string; state: "over"; why: string }
  | ({ type: "challenge" } & Challenge)
  | ({ type: "game" } & Ongoing)
  | { type: "over"; game: string; result: string; reason: string; rating?: Change & { speed: string } };

export interface Standing {
  user: string;
  rating: number;
  deviation: number;
  provisional: boolean;
  games: number;
  wins: number;
  draws: number;
  losses: number;
  best: number;
}

/** The latest values of a player's channel, by the keys game:ID, seek:ID, challenge:ID and rating:SPEED. */
export type PlayerLatest = Ongoing | Seek | Challenge | Omit<Standing, "user">;

export interface Profile {
  user: string;
  ratings: Record<string, Omit<Standing, "user">>;
  casual: number;
  games?: Ongoing[];
  seeks?: Seek[];
  challenges?: Challenge[];
}

export interface Archived {
  game: string;
  white: { user: string; rating?: number; change?: number };
  black: { user: string; rating?: number; change?: number };
  result: string;
  reason: string;
  plies: number;
  base: number;
  inc: number;
  rated: boolean;
  speed: string;
  created: number;
  ended: number;
  fen: string;
  last?: string;
  pgn: string;
}

export interface Live extends Control {
  game: string;
  watch?: string;
  white: Rated;
  black: Rated;
  created: number;
}

export const speeds = ["bullet", "blitz", "rapid", "classical", "ultrabullet"] as const;

const fractions: Record<number, string> = { 15: "¼", 30: "½", 45: "¾" };

/** A time control as players write it: minutes and increment. */
export const controlText = (c: { base: number; inc: number }): string =>
  c.base === 0 && c.inc === 0 ? "no clock" : `${c.base < 60 ? (fractions[c.base] ?? c.base / 60) : +(c.base / 60).toFixed(2)}+${c.inc}`;

/** Seconds by which spectators are behind, in words. */
export const delayText = (seconds: number): string => (seconds % 60 ? `${seconds} s` : `${seconds / 60} min`);

const reasons: Record<string, string> = {
  checkmate: "by checkmate",
  resignation: "by resignation",
  time: "on time",
  stalemate: "by stalemate",
  material: "as neither side can mate",
  fivefold: "as the position stood five times",
  seventy_five_moves: "after 75 moves without capture or pawn move",
  too_long: "after 2,000 plies",
  agreement: "by agreement",
  threefold: "by threefold repetition",
  fifty_moves: "after 50 moves without capture or pawn move",
  time_material: "as time ran out, with nothing to mate with",
  abandoned: "as the other left",
};

/** How a game ended, as a sentence without its full stop. */
export function ending(result: string, reason: string): string {
  if (reason === "abort") return "Aborted";
  if (reason === "first_move") return "Aborted for want of a first move";
  const who = result === "1-0" ? "White won" : result === "0-1" ? "Black won" : "Drawn";
  return `${who} ${reasons[reason] ?? reason}`;
}

/** The id of a game, from the name of its channel or as it is. */
export const idOf = (game: string): string => game.slice(game.lastIndexOf(":") + 1);
export const gamePath = (game: string): string => `/chess/game/${idOf(game)}`;
export const archivePath = (game: string): string => `/chess/archive/${idOf(game)}`;
