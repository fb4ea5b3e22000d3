import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { Icon } from "../icons.js";
import { state as line } from "../link.js";
import { nameOf } from "../names.js";
import { follow } from "../router.js";
import { Skeleton } from "../skeleton.js";
import { subject } from "../title.js";
import { PlayerBar } from "./bar.js";
import { Board } from "./board.js";
import { StillClock } from "./clock.js";
import { fileOf, Keep, save } from "./keep.js";
import { Moves, useWalk } from "./moves.js";
import { fenAt, moverOf, spoken } from "./notation.js";
import { readPGN } from "./pgn.js";
import { type Archived, controlText, ending } from "./records.js";
import { rows } from "./rows.js";
import { type Color, other } from "./rules.js";

/** A finished game out of the archive. */
export function ReplayPage({ id, user }: { id: string; user: string }): JSX.Element {
  const game = useSignal<Archived | undefined>(undefined);
  const missing = useSignal(false);
  const problem = useSignal("");
  const live = line.value === "connected";
  useEffect(() => {
    if (game.peek()) return;
    let over = false;
    rows<Archived>("game", [], { key: id }).then(
      (page) => {
        if (over) return;
        problem.value = "";
        game.value = page.rows[0];
        missing.value = !page.rows[0];
      },
      (e: Error) => !over && (problem.value = e.message),
    );
    return () => void (over = true);
  }, [id, live]); // what could not be had is asked for again when the line is back
  if (problem.value || missing.value) {
    return (
      <section class="empty">
        <Icon name="search" size={20} />
        <h1>{missing.value ? "No such game" : "The game could not be read"}</h1>
        <p class="quiet">
          {missing.value
            ? "The archive has no game of this name. Aborted games are not kept, and games going on come when they end."
            : `${problem.value} This page tries again when its line is back.`}
        </p>
        <a class="button" href="/chess/archive" onClick={follow}>
          To the archive
        </a>
      </section>
    );
  }
  return game.value ? <Replay game={game.value} user={user} /> : <Skeleton lines={8} />;
}

function Replay({ game: g, user }: { game: Archived; user: string }): JSX.Element {
  const line = useMemo(() => readPGN(g.pgn), [g]);
  const ply = useSignal(line.moves.length);
  const flipped = useSignal(g.black.user === user);
  const look = useMemo(() => (to: number) => void (ply.value = to), []);
  useWalk(() => ply.peek(), () => line.moves.length, look, () => (flipped.value = !flipped.peek()));
  useEffect(() => {
    subject.value = `${nameOf(g.white.user)} – ${nameOf(g.black.user)}`;
    return () => void (subject.value = "");
  }, [g]);
  const position = line.positions[ply.value]!;
  const first = line.positions[0]!.turn;
  /** What a side's clock had at the ply that is looked at. */
  const left = (color: Color): number | undefined => {
    for (let i = ply.value - 1; i >= 0; i--) if (moverOf(first, i) === color && line.left[i] !== undefined) return line.left[i];
    return g.base ? g.base * 1000 : undefined;
  };
  const bar = (color: Color) => {
    const side = g[color];
    return (
      <PlayerBar color={color} who={side} you={side.user === user} board={position.board} change={side.change === undefined ? undefined : { before: side.rating ?? 0, after: (side.rating ?? 0) + side.change, change: side.change }}>
        <StillClock left={left(color)} />
      </PlayerBar>
    );
  };
  const file = () => fileOf(nameOf(g.white.user), nameOf(g.black.user), g.ended);
  const below: Color = flipped.value ? "black" : "white";
  return (
    <section class="game replay" aria-label="Replay">
      <h1 class="hidden">
        {nameOf(g.white.user)} against {nameOf(g.black.user)}
      </h1>
      <div class="above">{bar(other(below))}</div>
      <div class="middle">
        <Board position={position} orientation={below} last={line.moves[ply.value - 1]} />
      </div>
      <div class="below">{bar(below)}</div>
      <aside class="beside">
        <header>
          <a class="button bare" href="/chess/archive" onClick={follow} title="Archive">
            <Icon name="back" label="Archive" size={20} />
          </a>
          <span class="control number">{controlText(g)}</span>
          <span class="small quiet">
            {g.rated ? "Rated" : "Casual"} · {g.speed}
          </span>
          <Keep fen={() => fenAt(line, ply.peek())} pgn={() => g.pgn} file={file} />
          <button type="button" class="bare" title="Flip the board (f)" onClick={() => (flipped.value = !flipped.peek())}>
            <Icon name="flip" label="Flip the board" />
          </button>
        </header>
        <Moves line={line} ply={ply.value} look={look} result={g.result} />
        <div class="ended">
          <h2>{ending(g.result, g.reason)}</h2>
          <p class="small quiet">
            <time dateTime={new Date(g.ended).toISOString()}>{new Date(g.ended).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" })}</time>
          </p>
          <div class="choices">
            <button type="button" onClick={() => save(file(), g.pgn)}>
              <Icon name="download" /> Download PGN
            </button>
          </div>
        </div>
      </aside>
      <p class="hidden" aria-live="polite">
        {ply.value > 0 ? spoken(line.sans[ply.value - 1]!) : "Start"}
      </p>
    </section>
  );
}
