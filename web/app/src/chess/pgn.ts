// Games as files hold them.
import { type Line, moverOf, uciFrom } from "./notation.js";
import type { State } from "./records.js";
import { parse, played, START } from "./rules.js";

/** Reads the main line of PGN, as the archive holds it. */
export function readPGN(pgn: string): Line {
  const start = /\[FEN "([^"]+)"\]/.exec(pgn)?.[1] ?? START;
  const line: Line = { start, positions: [parse(start)], moves: [], sans: [], left: [] };
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

const width = 80; // characters of a line
const terminations: Record<string, string> = { time: "time forfeit", time_material: "time forfeit", abandoned: "abandoned", too_long: "adjudication" };

function clockComment(ms: number): string {
  const tenths = Math.floor(ms / 100);
  const pad = (n: number) => String(n).padStart(2, "0");
  return `{[%clk ${Math.floor(tenths / 36_000)}:${pad(Math.floor(tenths / 600) % 60)}:${pad(Math.floor(tenths / 10) % 60)}.${tenths % 10}]}`;
}

/** Writes a game as it stands; one that goes on has the result `*`. */
export function writePGN(s: State, line: Line): string {
  const result = s.result ?? "*";
  const [day, time] = new Date(s.created).toISOString().split(/[T.]/) as [string, string];
  const clock = !!(s.base || s.inc);
  const elo = (color: "white" | "black") => s.players?.[color].rating?.toString();
  const tags: [string, string | undefined][] = [
    ["Event", `${s.rated ? "Rated" : "Casual"} ${s.speed} game`], ["Site", "Carillon"], ["Date", day.replaceAll("-", ".")], ["Round", "-"],
    ["White", s.players?.white.user ?? "?"], ["Black", s.players?.black.user ?? "?"], ["Result", result],
    ["SetUp", line.start === START ? undefined : "1"], ["FEN", line.start === START ? undefined : line.start],
    ["GameId", s.game.slice(s.game.lastIndexOf(":") + 1)], ["UTCDate", day.replaceAll("-", ".")], ["UTCTime", time],
    ["WhiteElo", elo("white")], ["BlackElo", elo("black")], ["TimeControl", clock ? `${s.base}+${s.inc}` : "-"],
    ["Termination", s.status === "playing" ? "unterminated" : (terminations[s.reason ?? ""] ?? "normal")],
  ];
  const words: string[] = [];
  const first = line.positions[0]!.turn;
  const number = Number(line.start.split(" ")[5]) || 1;
  line.sans.forEach((san, i) => {
    const mover = moverOf(first, i);
    const n = number + Math.floor((i + (first === "black" ? 1 : 0)) / 2);
    if (mover === "white") words.push(`${n}.`);
    else if (i === 0 || clock) words.push(`${n}...`);
    words.push(san);
    if (clock && line.left[i] !== undefined) words.push(clockComment(line.left[i]!));
  });
  const lines: string[] = [];
  for (const word of [...words, result]) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  const quoted = (text: string) => text.replace(/[\\"]/g, "\\$&");
  const head = tags.filter(([, value]) => value !== undefined).map(([name, value]) => `[${name} "${quoted(value!)}"]`);
  return `${head.join("\n")}\n\n${lines.join("\n")}\n`;
}
