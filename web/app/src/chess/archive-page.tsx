import { signal, useSignal } from "@preact/signals";
import type { JSX, TargetedSubmitEvent } from "preact";
import { useEffect } from "preact/hooks";
import { Name } from "../avatar.js";
import { Icon } from "../icons.js";
import { state as line } from "../link.js";
import { termOf } from "../names.js";
import { follow } from "../router.js";
import { Skeleton } from "../skeleton.js";
import { Delta } from "./bar.js";
import { type Archived, archivePath, controlText, ending, speeds } from "./records.js";
import { type Page, rows } from "./rows.js";

const pageSize = 20;

interface Filter {
  player: string;
  result: string;
  speed: string;
}

/** Kept while one looks at a game and comes back. */
const filter = signal<Filter>({ player: "", result: "", speed: "" });

/** The finished games, and a search among them. */
export function ArchivePage({ user }: { user: string }): JSX.Element {
  const cursors = useSignal<readonly string[]>([]); // of the pages before this one
  const page = useSignal<Page<Archived> | undefined>(undefined);
  const problem = useSignal("");
  const set = (change: Partial<Filter>) => {
    cursors.value = [];
    filter.value = { ...filter.peek(), ...change };
  };
  const f = filter.value;
  const at = cursors.value.at(-1);
  const filtered = !!(f.player || f.result || f.speed);
  const live = line.value === "connected";
  useEffect(() => {
    let over = false;
    void (async () => {
      try {
        const terms = [f.player && (await termOf("player", f.player)), f.result && `result:${f.result}`, f.speed && `speed:${f.speed}`].filter(Boolean);
        const found = await rows<Archived>("game", terms, { limit: pageSize, ...(at && { after: at }) });
        if (over) return;
        problem.value = "";
        page.value = found;
      } catch (e) {
        if (!over) problem.value = (e as Error).message;
      }
    })();
    return () => void (over = true);
  }, [f, at, live]); // and once more when the line is back
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    set({ player: String(new FormData(e.currentTarget).get("player") ?? "").trim() });
  };
  return (
    <div class="archive">
      <header class="lobbyhead">
        <a class="button bare" href="/chess" onClick={follow} title="Lobby">
          <Icon name="back" label="Lobby" size={20} />
        </a>
        <h1>Archive</h1>
      </header>
      <form class="filters" onSubmit={submit} role="search">
        <input key={f.player} name="player" aria-label="Player" placeholder="Player: a user id" defaultValue={f.player} maxLength={128} autocomplete="off" />
        <select aria-label="Result" value={f.result} onChange={(e) => set({ result: e.currentTarget.value })}>
          <option value="">any result</option>
          <option value="1-0">white won</option>
          <option value="0-1">black won</option>
          <option value="1/2-1/2">drawn</option>
        </select>
        <select aria-label="Speed" value={f.speed} onChange={(e) => set({ speed: e.currentTarget.value })}>
          <option value="">any speed</option>
          {[...speeds, "correspondence"].map((s) => (
            <option key={s}>{s}</option>
          ))}
        </select>
        <button type="button" aria-pressed={f.player === user} onClick={() => set({ player: f.player === user ? "" : user })}>
          My games
        </button>
      </form>
      {problem.value && <p class="problem" role="alert">{problem.value} {page.value ? "What stands here may be old." : ""} It is asked again when the line is back.</p>}
      {!page.value && !problem.value && <Skeleton lines={8} />}
      {page.value?.rows.length === 0 && (
        <div class="empty">
          <Icon name="search" size={20} />
          <h2>{filtered ? "No such game" : "No game yet"}</h2>
          <p class="quiet">{filtered ? "Ask for less: another result or speed, or a player's whole id." : "Every game that was played to its end comes here by itself, to be replayed and downloaded. Play the first one."}</p>
          {!filtered && (
            <a class="button primary" href="/chess" onClick={follow}>
              <Icon name="swords" /> Find an opponent
            </a>
          )}
        </div>
      )}
      {!!page.value?.rows.length && <Games list={page.value.rows} user={user} />}
      {(cursors.value.length > 0 || page.value?.after) && (
        <nav class="pages" aria-label="Pages">
          <button type="button" disabled={!cursors.value.length} onClick={() => (cursors.value = cursors.value.slice(0, -1))}>
            <Icon name="back" /> Newer
          </button>
          <span class="small quiet number">page {cursors.value.length + 1}</span>
          <button type="button" disabled={!page.value?.after} onClick={() => page.value?.after && (cursors.value = [...cursors.value, page.value.after])}>
            Older <Icon name="forward" />
          </button>
        </nav>
      )}
    </div>
  );
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const score = (result: string): [string, string] => (result === "1-0" ? ["1", "0"] : result === "0-1" ? ["0", "1"] : ["½", "½"]);

function Games({ list, user }: { list: readonly Archived[]; user: string }): JSX.Element {
  return (
    <ul class="games">
      {list.map((g) => {
        const [white, black] = score(g.result);
        const side = (color: "white" | "black", points: string) => (
          <span class="who">
            <i class={`stone ${color}`} />
            <Name user={g[color].user} you={g[color].user === user} />
            <span class="number quiet small">{g[color].rating}</span>
            {g[color].change !== undefined && <Delta change={g[color].change} />}
            <b class="number points">{points}</b>
          </span>
        );
        return (
          <li key={g.game}>
            <a href={archivePath(g.game)} onClick={follow}>
              <span class="sides">
                {side("white", white)}
                {side("black", black)}
              </span>
              <span class="how small">{ending(g.result, g.reason)}</span>
              <span class="number">{controlText(g)}</span>
              <span class="small quiet">
                {g.rated ? "rated" : "casual"}, {Math.ceil(g.plies / 2)} moves
              </span>
              <time class="small quiet" dateTime={new Date(g.ended).toISOString()}>
                {day.format(g.ended)}
              </time>
            </a>
          </li>
        );
      })}
    </ul>
  );
}
