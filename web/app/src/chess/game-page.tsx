import { type Signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Icon } from "../icons.js";
import { state as line } from "../link.js";
import { nameOf } from "../names.js";
import { follow, go } from "../router.js";
import { Skeleton } from "../skeleton.js";
import { subject } from "../title.js";
import { Actions, Notices } from "./beside.js";
import { PlayerBar } from "./bar.js";
import { Board } from "./board.js";
import { Clock } from "./clock.js";
import { Game } from "./game.js";
import { fileOf, Keep } from "./keep.js";
import { Moves, useWalk } from "./moves.js";
import { fenAt, moverOf, spoken } from "./notation.js";
import { writePGN } from "./pgn.js";
import type { Player } from "./player.js";
import { controlText, delayText, ending, gamePath } from "./records.js";
import { type Color, other } from "./rules.js";

/** A game: the board, its two sides, and what can be done. */
export function GamePage({ player, id }: { player: Player; id: string }): JSX.Element {
  const game = useMemo(() => new Game(player.client, `chess:game:${id}`, player.user), [player, id]);
  useEffect(() => () => game.close(), [game]);
  if (game.problem.value) {
    return (
      <section class="empty">
        <Icon name="chess" size={20} />
        <h1>This game cannot be shown</h1>
        <p class="quiet">{game.problem.value}</p>
        <a class="button" href="/chess" onClick={follow}>
          To the lobby
        </a>
      </section>
    );
  }
  if (game.early.value) {
    return (
      <section class="empty">
        <Icon name="clock" size={20} />
        <h1>Not yet for spectators</h1>
        <p class="quiet">The players chose that others see this game later. It appears here by itself, from its first move.</p>
        <a class="button" href="/chess" onClick={follow}>
          To the lobby
        </a>
      </section>
    );
  }
  return game.state.value ? <Table game={game} player={player} /> : <Skeleton lines={8} />;
}

function Table({ game, player }: { game: Game; player: Player }): JSX.Element {
  const flipped = useSignal(false);
  const looking = useSignal<number | undefined>(undefined); // ply; undefined: now
  const s = game.state.value!;
  const mine = game.color.value;
  const end = s.moves.length;
  const look = useMemo(() => (ply: number) => (looking.value = ply >= game.line.peek().moves.length ? undefined : ply), [game]);
  useWalk(() => looking.peek() ?? game.line.peek().moves.length, () => game.line.peek().moves.length, look, () => (flipped.value = !flipped.peek()));
  // Whoever looks back at a move that is taken back looks at now.
  if (looking.value !== undefined && looking.value >= end) looking.value = undefined;
  useRematch(game);
  useTitle(game);

  const below: Color = flipped.value ? other(mine ?? "white") : (mine ?? "white");
  const ply = looking.value ?? end;
  const back = looking.value !== undefined;
  const position = back ? game.line.value.positions[ply]! : game.position.value;
  const sending = game.sending.value;
  const playing = s.status === "playing" && !!mine && !back;
  const lost = line.value !== "connected";
  const file = () => fileOf(nameOf(game.players.value.white.user), nameOf(game.players.value.black.user), s.created);
  const bar = (color: Color) => {
    const who = game.players.value[color];
    return (
      <PlayerBar color={color} who={who} you={color === mine} board={position.board} change={s.ratings[color]} online={s.absent[color] !== undefined ? false : game.here.value.size ? game.here.value.has(who.user) : undefined}>
        <Clock game={game} color={color} lost={lost} />
      </PlayerBar>
    );
  };
  return (
    <section class="game" aria-label="Game">
      <h1 class="hidden">
        {nameOf(game.players.value.white.user)} against {nameOf(game.players.value.black.user)}
      </h1>
      <div class="above">{bar(other(below))}</div>
      <div class="middle">
        <Board
          position={position}
          orientation={below}
          mine={playing ? mine : undefined}
          turn={game.myTurn.value}
          last={back ? game.line.value.moves[ply - 1] : (sending?.uci ?? s.last)}
          pending={!back && !!sending}
          premove={back ? undefined : game.premove.value}
          move={(m, promotion) => game.move(m, promotion)}
          cancel={() => (game.premove.value = undefined)}
        />
      </div>
      <div class="below">{bar(below)}</div>
      <aside class="beside">
        <header>
          <span class="control number">{controlText(s as { base: number; inc: number })}</span>
          <span class="small quiet">
            {s.rated ? "Rated" : "Casual"} · {s.speed}
          </span>
          {!mine && (
            <span class="small quiet watching">
              <Icon name="eye" /> watching{s.delay ? `, ${delayText(s.delay)} behind` : ""}
            </span>
          )}
          {mine && !!s.delay && (
            <span class="small quiet watching" title="Spectators see this game later">
              <Icon name="eye" /> {delayText(s.delay)} later
            </span>
          )}
          <Keep fen={() => fenAt(game.line.peek(), looking.peek() ?? game.line.peek().moves.length)} pgn={() => writePGN(game.state.peek()!, game.line.peek())} file={file} />
          <button type="button" class="bare" title="Flip the board (f)" onClick={() => (flipped.value = !flipped.peek())}>
            <Icon name="flip" label="Flip the board" />
          </button>
        </header>
        <Moves line={game.line.value} ply={ply} look={look} result={s.status === "playing" ? undefined : s.result} />
        {back && (
          <button type="button" class="tonow" onClick={() => (looking.value = undefined)}>
            <Icon name="end" /> Back to now
          </button>
        )}
        <Notices game={game} player={player} lost={lost} />
        {mine && s.status === "playing" && <Actions game={game} />}
      </aside>
      <Spoken game={game} />
    </section>
  );
}

/** Follows a rematch that is agreed on while one looks. */
function useRematch(game: Game): void {
  const before = useRef(game.state.peek()?.rematch);
  useSignalEffect(() => {
    const next = game.state.value?.rematch;
    if (next && next !== before.current && game.color.peek()) go(gamePath(next));
    before.current = next;
  });
}

function useTitle(game: Game): void {
  useSignalEffect(() => {
    const s = game.state.value;
    if (!s) return;
    const { white, black } = game.players.value;
    const versus = `${nameOf(white.user)} – ${nameOf(black.user)}`;
    subject.value = s.status !== "playing" ? `${(s.result ?? "").replace("1/2-1/2", "½–½")} ${versus}` : game.myTurn.value ? `Your move · ${versus}` : versus;
  });
  useEffect(() => () => void (subject.value = ""), [game]);
}

/** Tells what happens to those who do not see the board. */
function Spoken({ game }: { game: Game }): JSX.Element {
  const said: Signal<string> = useSignal("");
  const before = useRef(game.line.peek().sans.length);
  const text = useComputed(() => said.value);
  useSignalEffect(() => {
    const { sans, positions } = game.line.value;
    const s = game.state.value!;
    if (s.status !== "playing") said.value = `${sans.length ? `${spoken(sans.at(-1)!)}. ` : ""}${ending(s.result ?? "", s.reason ?? "")}`;
    else if (sans.length > before.current) said.value = `${moverOf(positions[0]!.turn, sans.length - 1)}: ${spoken(sans.at(-1)!)}`;
    before.current = sans.length;
  });
  return (
    <p class="hidden spoken" aria-live="assertive">
      {text.value}
    </p>
  );
}
