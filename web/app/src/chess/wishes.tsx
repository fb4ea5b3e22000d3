import { useSignal } from "@preact/signals";
import type { JSX, TargetedSubmitEvent } from "preact";
import { Dialog } from "../chat/dialogs.js";
import { nameOf, tagOf } from "../names.js";
import type { Player, Wish } from "./player.js";

const maxBase = 180; // minutes
const maxInc = 180; // seconds

/** What somebody filled in, or what is wrong with it. */
function read(data: FormData): Wish | string {
  const number = (name: string) => Number(data.get(name));
  const base = data.get("clock") ? Math.round(number("minutes") * 60) : 0;
  const inc = data.get("clock") ? Math.round(number("inc")) : 0;
  if (data.get("clock") && !(base >= 1 && base <= maxBase * 60)) return `The minutes go from a fraction of one to ${maxBase}.`;
  if (!(inc >= 0 && inc <= maxInc)) return `The increment goes from 0 to ${maxInc} seconds.`;
  const color = data.get("color");
  const wish: Wish = { base, inc, rated: base > 0 && data.get("rated") !== null };
  if (color === "white" || color === "black") wish.color = color;
  for (const bound of ["min", "max"] as const) if (data.get(bound)) wish[bound] = Math.round(number(bound));
  if (wish.min && wish.max && wish.min > wish.max) return "The lowest rating is above the highest.";
  return wish;
}

/** The control and the kind of a game. */
function Terms({ rated }: { rated: boolean }): JSX.Element {
  const clock = useSignal(true);
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
      <label class="small">
        Your colour
        <select name="color">
          <option value="">by lot</option>
          <option value="white">white</option>
          <option value="black">black</option>
        </select>
      </label>
      {clock.value && (
        <label class="check small">
          <input type="checkbox" name="rated" defaultChecked={rated} /> Rated
        </label>
      )}
    </>
  );
}

/** Asks the lobby for an opponent of any kind. */
export function SeekForm({ player, rated, close }: { player: Player; rated: boolean; close(): void }): JSX.Element {
  const problem = useSignal("");
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    const wish = read(new FormData(e.currentTarget));
    if (typeof wish === "string") return void (problem.value = wish);
    void player.seek(wish);
    close();
  };
  return (
    <Dialog title="Find an opponent" close={close}>
      <form class="form wish" onSubmit={submit} noValidate>
        <Terms rated={rated} />
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
          {problem.value}
        </p>
        <button class="primary">Look for an opponent</button>
      </form>
    </Dialog>
  );
}

/** Asks one user, by his id or by the name of somebody who is here. */
export function ChallengeForm({ player, user, known, close }: { player: Player; user: string; known: readonly string[]; close(): void }): JSX.Element {
  const problem = useSignal("");
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    const data = new FormData(e.currentTarget);
    const wish = read(data);
    const whom = find(String(data.get("user") ?? "").trim(), known);
    if (typeof wish === "string") return void (problem.value = wish);
    if (typeof whom !== "string") return void (problem.value = whom.problem);
    void player.challenge(whom, wish);
    close();
  };
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
        <Terms rated={false} />
        <p class="problem small" role="alert">
          {problem.value}
        </p>
        <button class="primary">Send the challenge</button>
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
