import { useSignal } from "@preact/signals";
import type { JSX, TargetedSubmitEvent } from "preact";
import { Dialog } from "../dialog.js";
import { nameOf, tagOf } from "../names.js";
import { Board } from "./board.js";
import { readFEN } from "./notation.js";
import type { Player, Wish } from "./player.js";

const maxBase = 180; // minutes
const maxInc = 180; // seconds
const maxDelay = 900; // seconds
const maxFEN = 120; // characters, and more than any position needs

/** What somebody filled in, or what is wrong with it. */
function read(data: FormData): Wish | string {
  const number = (name: string) => Number(data.get(name));
  const base = data.get("clock") ? Math.round(number("minutes") * 60) : 0;
  const inc = data.get("clock") ? Math.round(number("inc")) : 0;
  if (data.get("clock") && !(base >= 1 && base <= maxBase * 60)) return `The minutes go from a fraction of one to ${maxBase}.`;
  if (!(inc >= 0 && inc <= maxInc)) return `The increment goes from 0 to ${maxInc} seconds.`;
  const delay = Math.round(number("delay"));
  if (!(delay >= 0 && delay <= maxDelay)) return `Spectators can be behind by up to ${maxDelay} seconds.`;
  const color = data.get("color");
  const fen = String(data.get("fen") ?? "").trim().replace(/\s+/g, " ");
  if (fen && !readFEN(fen)) return "This is no position in FEN. One looks like 4k3/8/8/8/8/8/4P3/4K3 w - - 0 1.";
  const wish: Wish = { base, inc, rated: base > 0 && !fen && data.get("rated") !== null };
  if (color === "white" || color === "black") wish.color = color;
  if (delay) wish.delay = delay;
  if (fen) wish.fen = fen;
  for (const bound of ["min", "max"] as const) if (data.get(bound)) wish[bound] = Math.round(number(bound));
  if (wish.min && wish.max && wish.min > wish.max) return "The lowest rating is above the highest.";
  return wish;
}

/** The control and the kind of a game. */
function Terms({ rated, position }: { rated: boolean; position: boolean }): JSX.Element {
  const clock = useSignal(true);
  const fen = useSignal("");
  const preview = readFEN(fen.value);
  return (
    <>
      <label class="check small">
        <input type="checkbox" name="clock" checked={clock.value} onChange={(e) => (clock.value = e.currentTarget.checked)} /> With a clock
      </label>
      {clock.value && (
        <div class="pairof">
          <label class="small">
            Minutes each
            <input name="minutes" type="number" min="0.25" max={maxBase} step="any" defaultValue="5" />
          </label>
          <label class="small">
            Seconds a move
            <input name="inc" type="number" min="0" max={maxInc} defaultValue="3" />
          </label>
        </div>
      )}
      <div class="pairof">
        <label class="small">
          Your colour
          <select name="color">
            <option value="">by lot</option>
            <option value="white">white</option>
            <option value="black">black</option>
          </select>
        </label>
        <label class="small">
          Spectators’ delay
          <input name="delay" type="number" min="0" max={maxDelay} placeholder="in seconds" />
        </label>
      </div>
      {position && (
        <>
          <label class="small">
            Start from a position (FEN)
            <input name="fen" class="number" maxLength={maxFEN} autocomplete="off" spellcheck={false} placeholder="the usual array" onInput={(e) => (fen.value = e.currentTarget.value)} />
          </label>
          {preview && (
            <div class="preview">
              <Board position={preview} orientation="white" />
              <p class="small quiet">{preview.turn === "white" ? "White" : "Black"} to move. Games from a set position are casual.</p>
            </div>
          )}
        </>
      )}
      {clock.value && !fen.value.trim() && (
        <label class="check small">
          <input type="checkbox" name="rated" defaultChecked={rated} /> Rated
        </label>
      )}
    </>
  );
}

/** Sends what was filled in; what the server refuses is said in place, and nothing is lost. */
function useProposal(player: Player, close: () => void, whom: (data: FormData) => string | undefined | { problem: string }) {
  const problem = useSignal("");
  const busy = useSignal(false);
  const submit = async (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    const data = new FormData(e.currentTarget);
    const wish = read(data);
    const user = whom(data);
    if (typeof wish === "string") return void (problem.value = wish);
    if (typeof user === "object") return void (problem.value = user.problem);
    problem.value = "";
    busy.value = true;
    problem.value = await player.propose(wish, user);
    busy.value = false;
    if (!problem.peek()) close();
  };
  return { problem: problem.value, busy: busy.value, submit };
}

/** Asks the lobby for an opponent of any kind. */
export function SeekForm({ player, rated, close }: { player: Player; rated: boolean; close(): void }): JSX.Element {
  const { problem, busy, submit } = useProposal(player, close, () => undefined);
  return (
    <Dialog title="Find an opponent" close={close}>
      <form class="form wish" onSubmit={submit} noValidate>
        <Terms rated={rated} position={false} />
        <div class="pairof">
          <label class="small">
            Rating from
            <input name="min" type="number" min="0" max="4000" placeholder="any" />
          </label>
          <label class="small">
            to
            <input name="max" type="number" min="0" max="4000" placeholder="any" />
          </label>
        </div>
        <p class="problem small" role="alert">
          {problem}
        </p>
        <button class="primary" disabled={busy}>
          Look for an opponent
        </button>
      </form>
    </Dialog>
  );
}

/** Asks one user, by his id or by the name of somebody who is here. */
export function ChallengeForm({ player, user, known, close }: { player: Player; user: string; known: readonly string[]; close(): void }): JSX.Element {
  const { problem, busy, submit } = useProposal(player, close, (data) => find(String(data.get("user") ?? "").trim(), known));
  return (
    <Dialog title="Challenge someone" close={close}>
      <form class="form wish" onSubmit={submit} noValidate>
        <label class="small">
          Whom: a user id, or the name of somebody in the lobby
          <input name="user" list="known" defaultValue={user} autocomplete="off" maxLength={128} />
        </label>
        <datalist id="known">
          {known.map((u) => (
            <option key={u} value={u}>
              {nameOf(u)}
            </option>
          ))}
        </datalist>
        <Terms rated={false} position />
        <p class="problem small" role="alert">
          {problem}
        </p>
        <button class="primary" disabled={busy}>
          Send the challenge
        </button>
      </form>
    </Dialog>
  );
}

function find(text: string, known: readonly string[]): string | { problem: string } {
  if (!text) return { problem: "Say whom you want to play." };
  if (known.includes(text)) return text;
  const called = known.filter((u) => nameOf(u).toLowerCase() === text.toLowerCase());
  if (called.length > 1) return { problem: `${called.length} in the lobby are called that: ${called.map((u) => `${nameOf(u)} ${tagOf(u)}`).join(", ")}. Give the whole id.` };
  return called[0] ?? text;
}
