import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { Avatar, Name } from "../avatar.js";
import { Icon } from "../icons.js";
import { lazy } from "../lazy.js";
import { nameOf } from "../names.js";
import { follow } from "../router.js";
import { ratingText } from "./bar.js";
import { Lobby } from "./lobby.js";
import type { Player, Wish } from "./player.js";
import { type Control, controlText, delayText, gamePath, type Live, type Rated, speeds, type Standing } from "./records.js";
import { rows } from "./rows.js";

const SeekForm = lazy(() => import("./wishes.js").then((m) => m.SeekForm));
const ChallengeForm = lazy(() => import("./wishes.js").then((m) => m.ChallengeForm));

const quick = [[60, 0, "Bullet"], [120, 1, "Bullet"], [180, 0, "Blitz"], [180, 2, "Blitz"], [300, 0, "Blitz"], [600, 0, "Rapid"], [900, 10, "Rapid"], [1800, 0, "Classical"]] as const;
const lookEvery = 5000; // ms after which the games going on and the leaderboard are asked for anew
const shownRows = 8;

/** Where one finds an opponent, or a game to watch. */
export function LobbyPage({ player }: { player: Player }): JSX.Element {
  const lobby = useMemo(() => new Lobby(player.client), [player]);
  useEffect(() => () => lobby.close(), [lobby]);
  const rated = useSignal(true);
  const form = useSignal<"seek" | "challenge" | undefined>(undefined);
  const toChallenge = useSignal("");
  const challenge = (user: string) => {
    toChallenge.value = user;
    form.value = "challenge";
  };
  const others = lobby.here.value.filter((u) => u !== player.user);
  return (
    <div class="lobby">
      <div class="play">
        <header class="lobbyhead">
          <h1>Play</h1>
          <div class="segments" role="group" aria-label="Kind of game">
            {[true, false].map((r) => (
              <button key={String(r)} type="button" aria-pressed={rated.value === r} onClick={() => (rated.value = r)}>
                {r ? "Rated" : "Casual"}
              </button>
            ))}
          </div>
          <a class="button small" href="/chess/archive" onClick={follow}>
            <Icon name="search" /> Archive
          </a>
        </header>
        {(player.problem.value || lobby.problem.value) && <p class="problem">{player.problem.value || lobby.problem.value}</p>}
        <p class="told small" role="status">
          {player.notice.value}
        </p>
        <MyGames player={player} />
        <div class="pairing">
          {quick.map(([base, inc, speed]) => (
            <Tile key={`${base}+${inc}`} player={player} base={base} inc={inc} rated={rated.value} speed={speed} />
          ))}
          <button type="button" class="pair other" onClick={() => (form.value = "seek")}>
            <Icon name="plus" size={20} /> Your own control
          </button>
          <button type="button" class="pair other" onClick={() => challenge("")}>
            <Icon name="swords" size={20} /> Challenge someone
          </button>
        </div>
        <Waiting player={player} />
        <Seeks player={player} lobby={lobby} />
        <LiveGames />
      </div>
      <aside class="standing">
        <MyRatings player={player} />
        {others.length > 0 && (
          <Section title="In the lobby" count={others.length}>
            <ul class="people">
              {others.slice(0, 12).map((u) => (
                <li key={u}>
                  <Avatar user={u} small />
                  <Name user={u} />
                  <button type="button" class="bare" title={`Challenge ${nameOf(u)}`} onClick={() => challenge(u)}>
                    <Icon name="swords" label={`Challenge ${nameOf(u)}`} />
                  </button>
                </li>
              ))}
            </ul>
          </Section>
        )}
        <Leaderboard me={player.user} challenge={challenge} />
      </aside>
      {form.value === "seek" && <SeekForm player={player} rated={rated.value} close={() => (form.value = undefined)} />}
      {form.value === "challenge" && <ChallengeForm player={player} user={toChallenge.value} known={others} close={() => (form.value = undefined)} />}
    </div>
  );
}

function Section({ title, count, more, children }: { title: string; count?: number | undefined; more?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  return (
    <section class="block">
      <header>
        <h2>{title}</h2>
        {count !== undefined && count > 0 && <span class="number quiet small">{count}</span>}
        {more}
      </header>
      {children}
    </section>
  );
}

const same = (a: Wish, b: { base: number; inc: number; rated: boolean }) => a.base === b.base && a.inc === b.inc && a.rated === b.rated;

/** Asks for a game of a control, or takes the question back. */
function Tile({ player, base, inc, rated, speed }: Wish & { player: Player; speed: string }): JSX.Element {
  const open = player.seeks.value.find((s) => !s.joins && same({ base, inc, rated }, s));
  return (
    <button type="button" class="pair" aria-pressed={!!open} disabled={!player.ready.value} onClick={() => void (open ? player.cancel(open.seek) : player.seek({ base, inc, rated }))}>
      <b class="number">{controlText({ base, inc })}</b>
      <span class="small quiet">{open ? "waiting …" : speed}</span>
    </button>
  );
}

/** What one waits for. */
function Waiting({ player }: { player: Player }): JSX.Element | null {
  const sent = player.challenges.value.filter((c) => c.by === player.user);
  const seeks = player.seeks.value;
  if (!sent.length && !seeks.length) return null;
  return (
    <ul class="waiting small" aria-label="You wait for">
      {seeks.map((s) => (
        <li key={s.seek}>
          <i class="dots" aria-hidden="true" />
          <span>
            {s.joins ? "Joining" : "Looking for an opponent:"} <b class="number">{controlText(s)}</b> {s.rated ? "rated" : "casual"}
            {besides(s)}
          </span>
          <button type="button" onClick={() => void player.cancel(s.seek)}>
            Cancel
          </button>
        </li>
      ))}
      {sent.map((c) => (
        <li key={c.challenge}>
          <i class="dots" aria-hidden="true" />
          <span>
            You challenged <bdi>{nameOf(c.to ?? "")}</bdi>: <b class="number">{controlText(c)}</b> {c.rated ? "rated" : "casual"}
            {besides(c)}
          </span>
          <button type="button" onClick={() => void player.answer(c, "withdraw")}>
            Withdraw
          </button>
        </li>
      ))}
    </ul>
  );
}

function MyGames({ player }: { player: Player }): JSX.Element | null {
  if (!player.games.value.length) return null;
  return (
    <ul class="mygames">
      {player.games.value.map((g) => (
        <li key={g.game}>
          <a href={gamePath(g.game)} onClick={follow}>
            <i class={`stone ${g.color}`} />
            <span>
              Your game against <bdi>{nameOf(g.opponent.user)}</bdi> goes on
            </span>
            <span class="number quiet">{controlText(g)}</span>
            <span class="go">
              Back to it <Icon name="forward" />
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** What else was asked for besides control and kind. */
const besides = (s: { min?: number; max?: number; delay?: number; fen?: string }): string =>
  [s.min && s.max ? `${s.min}–${s.max}` : s.min ? `from ${s.min}` : s.max ? `up to ${s.max}` : "", s.fen ? "set position" : "", s.delay ? `seen ${delayText(s.delay)} later` : ""].map((part) => part && `, ${part}`).join("");

function Seeks({ player, lobby }: { player: Player; lobby: Lobby }): JSX.Element {
  const list = lobby.seeks.value.filter((s) => s.user !== player.user); // one's own stand above
  return (
    <Section title="Open seeks" count={list.length}>
      {list.length === 0 ? (
        <p class="none small quiet">{lobby.ready.value ? "Nobody is waiting. Choose a control above: whoever comes next is your opponent." : " "}</p>
      ) : (
        <div class="rows">
          {list.map((s) => (
            <button
              key={s.seek}
              type="button"
              class="row"
              onClick={() => void player.join(s.seek)}
            >
              <i class={`stone ${s.wants ? (s.wants === "white" ? "black" : "white") : "either"}`} title={s.wants ? `You would have ${s.wants === "white" ? "black" : "white"}` : "Colour by lot"} />
              <span class="who">
                <Name user={s.user ?? ""} />
                <span class="number quiet">{s.rating}</span>
              </span>
              <b class="number">{controlText(s)}</b>
              <span class="small quiet kind">
                {s.rated ? "rated" : "casual"}
                {besides(s)}
              </span>
              <span class="small go">Play</span>
            </button>
          ))}
        </div>
      )}
    </Section>
  );
}

/** Rows that are asked for again and again while somebody looks. */
function useRows<T>(kind: string, terms: string[], limit: number): { list: readonly T[] | undefined; problem: string } {
  const found = useSignal<{ kind: string; list: readonly T[] } | undefined>(undefined);
  const problem = useSignal("");
  useEffect(() => {
    let over = false;
    const ask = () => {
      if (document.hidden) return;
      rows<T>(kind, terms, { limit }).then(
        (page) => {
          if (over) return;
          problem.value = "";
          found.value = { kind, list: page.rows };
        },
        (e: Error) => !over && !found.peek() && (problem.value = e.message),
      );
    };
    ask();
    const t = setInterval(ask, lookEvery);
    return () => {
      over = true;
      clearInterval(t);
    };
  }, [kind, terms.join()]);
  return { list: found.value?.kind === kind ? found.value.list : undefined, problem: problem.value };
}

const Side = ({ who }: { who: Rated }) => (
  <span class="who">
    <Name user={who.user} />
    <span class="number quiet">{ratingText(who)}</span>
  </span>
);

function LiveGames(): JSX.Element {
  const { list, problem } = useRows<Live>("live", [], shownRows);
  return (
    <Section title="Games going on">
      {problem && <p class="problem small">{problem}</p>}
      {list?.length === 0 && <p class="none small quiet">No game is going on. Begin one, and others can watch it here.</p>}
      {!!list?.length && (
        <div class="rows">
          {list.map((g) => (
            <a key={g.game} class="row" href={gamePath(g.game)} onClick={follow}>
              <Icon name="eye" />
              <span class="pairof">
                <Side who={g.white} />
                <Side who={g.black} />
              </span>
              <b class="number">{controlText(g)}</b>
              <span class="small quiet kind">
                {g.rated ? "rated" : "casual"}
                {g.watch ? ", shown later" : ""}
              </span>
              <span class="small go">Watch</span>
            </a>
          ))}
        </div>
      )}
    </Section>
  );
}

function MyRatings({ player }: { player: Player }): JSX.Element {
  const mine = player.ratings.value;
  const known = speeds.filter((s) => mine.has(s));
  return (
    <Section title="Your ratings">
      {known.length === 0 ? (
        <p class="none small quiet">Play a rated game, and your rating stands here. Everybody begins with 1500.</p>
      ) : (
        <dl class="ratings">
          {known.map((s) => {
            const r = mine.get(s)!;
            return (
              <div key={s}>
                <dt class="small quiet">{s}</dt>
                <dd>
                  <b class="number">{ratingText(r)}</b>
                  <span class="tiny quiet number" title="won, drawn, lost">
                    {r.wins} won · {r.draws} drawn · {r.losses} lost
                  </span>
                </dd>
              </div>
            );
          })}
        </dl>
      )}
    </Section>
  );
}

function Leaderboard({ me, challenge }: { me: string; challenge(user: string): void }): JSX.Element {
  const speed = useSignal<Control["speed"]>("blitz");
  const { list, problem } = useRows<Standing>(`rating.${speed.value}`, [], shownRows);
  return (
    <Section
      title="Leaderboard"
      more={
        <select aria-label="Speed" value={speed.value} onChange={(e) => (speed.value = e.currentTarget.value)}>
          {speeds.map((s) => (
            <option key={s} value={s}>
              {s}
            </option>
          ))}
        </select>
      }
    >
      {problem && <p class="problem small">{problem}</p>}
      {list?.length === 0 && <p class="none small quiet">Nobody has played a rated {speed.value} game yet.</p>}
      {!!list?.length && (
        <ol class="leaders">
          {list.map((s, i) => (
            <li key={s.user} class={s.user === me ? "me" : ""}>
              <span class="number quiet small">{i + 1}</span>
              <Avatar user={s.user} small />
              <Name user={s.user} you={s.user === me} />
              <b class="number" title={s.provisional ? "Provisional: too few games, or too long ago" : `± ${s.deviation}`}>
                {ratingText(s)}
              </b>
              {s.user === me ? (
                <span />
              ) : (
                <button type="button" class="bare" title={`Challenge ${nameOf(s.user)}`} onClick={() => challenge(s.user)}>
                  <Icon name="swords" label={`Challenge ${nameOf(s.user)}`} />
                </button>
              )}
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}
