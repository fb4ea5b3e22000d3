import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../icons.js";
import { nameOf } from "../names.js";
import { follow, go } from "../router.js";
import { Delta } from "./bar.js";
import type { Game } from "./game.js";
import { drawish } from "./notation.js";
import type { Player } from "./player.js";
import { archivePath, ending, gamePath, type State } from "./records.js";
import { type Color, other } from "./rules.js";

const fifty = 100; // plies without capture or pawn move after which a draw may be claimed
const thrice = 3;

/** What a game says beside the board: offers, how it ended, and what goes wrong. Never above the board. */
export function Notices({ game, player, lost }: { game: Game; player: Player; lost: boolean }): JSX.Element {
  const s = game.state.value!;
  const mine = game.color.value;
  const sending = game.sending.value;
  return (
    <div class="notices">
      {lost && (
        <Note kind="warn">
          {s.status === "playing" && (s.base || s.inc) ? "Your line is lost. The clocks run on." : "Your line is lost."} {sending && "Your move goes out when it is back."}
        </Note>
      )}
      {game.trouble.value && <Note kind="warn">{game.trouble.value}</Note>}
      {s.status === "playing" ? (
        <>
          <FirstMove game={game} />
          {mine && <Absence game={game} mine={mine} s={s} />}
          {(["draw", "takeback"] as const).map((what) => s.offers[what] && <Offer key={what} game={game} what={what} by={s.offers[what]!} mine={mine} />)}
          {mine && <Claim game={game} />}
          {game.premove.value && <Note kind="quiet">Premove set. A right click or Escape takes it back.</Note>}
        </>
      ) : (
        <Ended game={game} player={player} s={s} mine={mine} />
      )}
    </div>
  );
}

function Note({ kind, children }: { kind: "quiet" | "warn" | "ask"; children: ComponentChildren }): JSX.Element {
  return (
    <div class={`note small ${kind}`} role={kind === "warn" ? "alert" : undefined}>
      {kind === "warn" && <Icon name="warn" />}
      <span>{children}</span>
    </div>
  );
}

/** Draws anew each second. */
function useSeconds(): void {
  const tick = useSignal(0);
  tick.value;
  useEffect(() => {
    const t = setInterval(() => tick.value++, 1000);
    return () => clearInterval(t);
  }, []);
}

function FirstMove({ game }: { game: Game }): JSX.Element | null {
  useSeconds();
  const by = game.firstBy.value;
  if (by === undefined) return null;
  const s = game.state.value!;
  const left = Math.max(0, Math.ceil((by - game.now()) / 1000));
  const you = s.turn === game.color.value;
  return (
    <Note kind="quiet">
      {you ? "You have" : `${nameOf(game.players.value[s.turn].user)} has`} <b class="number">{left} s</b> for the first move. The clocks stand until both have moved.
    </Note>
  );
}

function Absence({ game, mine, s }: { game: Game; mine: Color; s: State }): JSX.Element | null {
  useSeconds();
  const from = s.absent[other(mine)];
  if (from === undefined) return null;
  const wait = Math.ceil((from - game.now()) / 1000);
  const name = nameOf(game.players.value[other(mine)].user);
  return (
    <div class="note small ask">
      <span>
        <bdi>{name}</bdi> is gone. {wait > 0 ? <>You can claim the game in <b class="number">{wait} s</b>.</> : "The game is yours to claim."}
      </span>
      {wait <= 0 && (
        <span class="choices">
          <button type="button" class="primary" onClick={() => void game.do("claim", { as: "win" })}>
            Claim the win
          </button>
          <button type="button" onClick={() => void game.do("claim", { as: "draw" })}>
            Call it a draw
          </button>
        </span>
      )}
    </div>
  );
}

const offers = {
  draw: { theirs: "offers a draw", ours: "You offered a draw.", between: "offered a draw" },
  takeback: { theirs: "asks to take a move back", ours: "You asked to take your move back.", between: "asked to take a move back" },
  rematch: { theirs: "wants a rematch", ours: "You asked for a rematch.", between: "asked for a rematch" },
};

function Offer({ game, what, by, mine }: { game: Game; what: keyof typeof offers; by: Color; mine: Color | undefined }): JSX.Element {
  const name = nameOf(game.players.value[by].user);
  const says = offers[what];
  return (
    <div class="note small ask" role="status">
      <span>{by === mine ? says.ours : <><bdi>{name}</bdi> {mine ? says.theirs : says.between}.</>}</span>
      {mine && (
        <span class="choices">
          {by !== mine && (
            <button type="button" class="primary" onClick={() => void game.do(`${what}_accept`)}>
              Accept
            </button>
          )}
          <button type="button" onClick={() => void game.do(`${what}_decline`)}>
            {by === mine ? "Take it back" : "Decline"}
          </button>
        </span>
      )}
    </div>
  );
}

/** A draw that may be had without asking. */
function Claim({ game }: { game: Game }): JSX.Element | null {
  const { times, quiet } = drawish(game.line.value.positions);
  if (times < thrice && quiet < fifty) return null;
  return (
    <div class="note small ask">
      <span>{times >= thrice ? `This position stands for the ${times === thrice ? "third" : "fourth"} time.` : "50 moves without capture or pawn move."}</span>
      <span class="choices">
        <button type="button" class="primary" onClick={() => void game.do("draw_claim")}>
          Claim the draw
        </button>
      </span>
    </div>
  );
}

function Ended({ game, player, s, mine }: { game: Game; player: Player; s: State; mine: Color | undefined }): JSX.Element {
  const verdict = !mine || s.result === "*" ? "" : s.result === "1/2-1/2" ? "drawn" : (s.result === "1-0") === (mine === "white") ? "won" : "lost";
  const offer = s.offers.rematch;
  const again = () => {
    void player.seek({ base: s.base ?? 0, inc: s.inc ?? 0, rated: s.rated ?? false });
    go("/chess");
  };
  return (
    <div class={`ended ${verdict}`} role="status">
      <h2>{ending(s.result ?? "", s.reason ?? "")}</h2>
      {mine && s.ratings[mine] && (
        <p class="small">
          Your rating: <span class="number quiet">{s.ratings[mine].before}</span> → <b class="number">{s.ratings[mine].after}</b> <Delta change={s.ratings[mine].change} />
        </p>
      )}
      {offer && !s.rematch && <Offer game={game} what="rematch" by={offer} mine={mine} />}
      <div class="choices">
        {s.rematch ? (
          <a class="button primary small" href={gamePath(s.rematch)} onClick={follow}>
            To the rematch
          </a>
        ) : (
          mine && !offer && (
            <button type="button" class="primary" onClick={() => void game.do("rematch_offer")}>
              <Icon name="swords" /> Rematch
            </button>
          )
        )}
        {mine && (
          <button type="button" onClick={again}>
            <Icon name="search" /> New opponent
          </button>
        )}
        {s.status === "over" && s.moves.length > 0 && (
          <a class="button small" href={archivePath(s.game)} onClick={follow}>
            <Icon name="eye" /> Replay
          </a>
        )}
        {!mine && (
          <a class="button small" href="/chess" onClick={follow}>
            To the lobby
          </a>
        )}
      </div>
    </div>
  );
}

/** Whoever works with the keyboard is not lost when one row of buttons takes the place of another. */
const focus = (button: HTMLButtonElement | null) => button?.focus();

/** What a player can do besides moving. What ends the game asks once more, in place. */
export function Actions({ game }: { game: Game }): JSX.Element {
  const s = game.state.value!;
  const asking = useSignal("");
  const back = useRef(false); // from the question, so that the focus goes there again
  const again = (button: HTMLButtonElement | null) => {
    if (!button || !back.current) return;
    back.current = false;
    button.focus();
  };
  const early = s.ply < 2 && !s.running;
  const mine = game.color.value!;
  const moved = s.ply > (mine === "white" ? 0 : 1);
  const sure = (type: string, text: string) => (
    <div class="actions sure" role="group" aria-label={text}>
      <span class="small">{text}</span>
      <button type="button" class="danger" ref={focus} onClick={() => ((asking.value = ""), void game.do(type))}>
        {type === "abort" ? "Abort" : "Resign"}
      </button>
      <button
        type="button"
        onClick={() => {
          asking.value = "";
          back.current = true;
        }}
      >
        Play on
      </button>
    </div>
  );
  if (asking.value === "resign" && !early) return sure("resign", "Give the game up?");
  if (asking.value === "abort" && early) return sure("abort", "End without a result?");
  return (
    <div class="actions" role="group" aria-label="This game">
      <button type="button" disabled={!moved || !!s.offers.takeback} onClick={() => void game.do("takeback_offer")}>
        <Icon name="undo" /> Take back
      </button>
      <button type="button" disabled={early || !!s.offers.draw} onClick={() => void game.do("draw_offer")}>
        <b aria-hidden="true">½</b> Draw
      </button>
      {(s.base || s.inc) ? (
        <button type="button" title="Gives the other 15 seconds" onClick={() => void game.do("more_time")}>
          <Icon name="clock" /> Give 15 s
        </button>
      ) : null}
      {early ? (
        <button type="button" ref={again} onClick={() => (asking.value = "abort")}>
          <Icon name="close" /> Abort
        </button>
      ) : (
        <button type="button" ref={again} onClick={() => (asking.value = "resign")}>
          <Icon name="flag" /> Resign
        </button>
      )}
    </div>
  );
}
