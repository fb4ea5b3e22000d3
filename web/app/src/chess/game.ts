import type { Carillon, CarillonError, Channel, Message } from "@carillon/client";
import { batch, computed, effect, signal } from "@preact/signals";
import { beats, refreshCounts } from "../link.js";
import type { Line } from "./notation.js";
import type { Clocks, GameLatest, GameRecord, Rated, Started, State } from "./records.js";
import { type Color, other, parse, played, type Position, START, targets, uciOf } from "./rules.js";

const notPlayer = 5;
const stalePly = 8;
const shownAtOnce = "chess:game:";
const shownLater = "chess:watch:";
const complaintShown = 6000; // ms
const lookAgain = 2000; // ms, while there is nothing to see yet of a game that is shown later
const settleTime = 3000; // ms after the answer to a move in which its record comes, or all is read anew
const historyPage = 500; // records asked for at a time

export interface Premove {
  from: number;
  to: number;
  promotion: string;
}

/** One game as it is followed, and what this user does in it. */
export class Game {
  readonly state = signal<State | undefined>(undefined);
  /** Why there is nothing to see. */
  readonly problem = signal("");
  /** The game has begun, but not yet for spectators. */
  readonly early = signal(false);
  /** Why something was not done; shown for a while. */
  readonly trouble = signal("");
  /** The move that was made here and is not confirmed yet. */
  readonly sending = signal<{ ply: number; uci: string } | undefined>(undefined);
  readonly premove = signal<Premove | undefined>(undefined);
  /** Who looks on, players included. */
  readonly here = signal<ReadonlySet<string>>(new Set());
  readonly user: string;
  channel: Channel<GameRecord, GameLatest>;

  /** The colour of this user, or undefined for a spectator. */
  readonly color = computed<Color | undefined>(() => {
    const p = this.state.value?.players;
    return p?.white.user === this.user ? "white" : p?.black.user === this.user ? "black" : undefined;
  });
  readonly players = computed<Record<Color, Rated>>(() => this.state.value?.players ?? { white: { user: "" }, black: { user: "" } });
  readonly myTurn = computed(() => {
    const s = this.state.value;
    return !!s && s.status === "playing" && s.turn === this.color.value && !this.sending.value;
  });
  /** What was played and confirmed. */
  readonly line = computed<Line>(() => {
    const s = this.state.value;
    const start = s?.start ?? START;
    return { start, positions: this.#walk(start, s?.moves ?? []), moves: s?.moves ?? [], sans: s?.sans ?? [], left: s?.left ?? [] };
  });
  /** What stands on the board: after the confirmed moves and the one under way. */
  readonly position = computed<Position>(() => {
    const p = this.line.value.positions.at(-1)!;
    const under = this.sending.value;
    return under && under.ply === this.state.value?.ply ? played(p, under.uci) : p;
  });

  #client: Carillon;
  #offs: (() => void)[] = [];
  #closed = false;
  #clearing: ReturnType<typeof setTimeout> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #looking: ReturnType<typeof setTimeout> | undefined;
  /** The server's time minus ours, ms, and how exactly it is known. */
  #skew = { is: 0, within: Infinity };
  /** When the turn began, by the server's clock. */
  #turnAt = 0;
  /** Records that came while the state was asked for. */
  #meanwhile: Message<GameRecord>[] | undefined;
  #walked: { start: string; moves: string[]; positions: Position[] } = { start: "", moves: [], positions: [] };

  constructor(client: Carillon, name: string, user: string) {
    this.#client = client;
    this.user = user;
    this.channel = client.channel<GameRecord, GameLatest>(name);
    void this.load();
  }

  /** Reads everything anew and follows from there. */
  async load(): Promise<void> {
    if (this.#meanwhile) return; // it is being read
    if (this.#relayed) return this.#watch();
    this.#meanwhile = [];
    const asked = Date.now();
    try {
      const answer = await this.channel.request<State>({ type: "state" });
      if (this.#closed) return;
      const heard = this.#meanwhile;
      this.#meanwhile = undefined;
      this.#set(answer.data, asked);
      for (const m of heard) if (answer.offset !== undefined && m.offset > answer.offset) this.#heard(m);
      if (!this.#offs.length) this.#listen(answer.at);
    } catch (e) {
      this.#meanwhile = undefined;
      if (this.#closed) return;
      const refused = e as CarillonError;
      if (refused.number !== notPlayer) return void (this.problem.value = refused.message);
      // Only players are told of this game at once.
      this.channel = this.#client.channel<GameRecord, GameLatest>(this.channel.name.replace(shownAtOnce, shownLater));
      await this.#watch();
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#clearing);
    clearTimeout(this.#settling);
    clearTimeout(this.#looking);
    for (const off of this.#offs) off();
    this.#offs = [];
  }

  /** Plays a move, or notes it as a premove where it is the other's turn. */
  move(m: { from: number; to: number }, promotion = ""): void {
    const s = this.state.peek();
    if (!s || s.status !== "playing" || !this.color.peek()) return;
    if (this.myTurn.peek()) void this.#send(s.ply, uciOf(m, promotion));
    else this.premove.value = { ...m, promotion };
  }

  /** Any other command. Undefined if it was refused; then why is in `trouble`. */
  async do(type: string, more: object = {}): Promise<Record<string, unknown> | undefined> {
    try {
      const asked = this.channel.request<Record<string, unknown>>({ type, ...more });
      refreshCounts();
      return (await asked).data ?? {};
    } catch (e) {
      this.#complain((e as Error).message);
      return undefined;
    } finally {
      refreshCounts();
    }
  }

  /** The server's time, as well as it is known here. */
  now(): number {
    return Date.now() + this.#skew.is;
  }

  /** ms left on a clock now. */
  left(color: Color): number {
    const s = this.state.peek();
    if (!s) return 0;
    return s.status === "playing" && s.running === color ? Math.max(0, s[color] - Math.max(0, this.now() - this.#turnAt)) : s[color];
  }

  /** When the side to move has to have made its first move, by the server's clock; undefined once it has. */
  readonly firstBy = computed(() => {
    const s = this.state.value;
    if (!s || s.status !== "playing" || s.ply > 1 || s.running || !s.first || !(s.base || s.inc)) return undefined;
    return (s.ply === 0 ? s.created : s.updated) + s.first;
  });

  /** Whether it is followed with a delay. */
  get #relayed(): boolean {
    return this.channel.name.startsWith(shownLater);
  }

  async #send(ply: number, uci: string): Promise<void> {
    this.sending.value = { ply, uci };
    try {
      // The other's move was half of the way here and back under way to us, and ours is the other half.
      const rtt = beats.peek().findLast((b) => b.rtt !== undefined)?.rtt;
      const asked = this.channel.request({ type: "move", ply, uci, ...(rtt !== undefined && { lag: Math.round(rtt) }) });
      refreshCounts();
      await asked;
    } catch (e) {
      this.sending.value = undefined;
      this.premove.value = undefined;
      const refused = e as CarillonError;
      if (refused.number !== stalePly) this.#complain(refused.message);
      await this.load();
      return;
    } finally {
      refreshCounts();
    }
    // What it led to comes as a record, as it does for everybody.
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.sending.peek()?.ply === ply && void this.load(), settleTime);
  }

  #complain(text: string): void {
    this.trouble.value = text;
    clearTimeout(this.#clearing);
    this.#clearing = setTimeout(() => (this.trouble.value = ""), complaintShown);
  }

  #walk(start: string, moves: string[]): Position[] {
    const w = this.#walked;
    // A game grows by a move at a time: what stood before stands.
    const same = w.start === start && w.moves.length <= moves.length && w.moves.every((m, i) => m === moves[i]);
    const positions = same ? [...w.positions] : [parse(start)];
    for (const uci of moves.slice(positions.length - 1)) positions.push(played(positions.at(-1)!, uci));
    this.#walked = { start, moves, positions };
    return positions;
  }

  #set(s: State, asked: number): void {
    const got = Date.now();
    if (got - asked <= this.#skew.within) this.#skew = { is: s.now - (asked + got) / 2, within: got - asked };
    batch(() => {
      this.problem.value = "";
      this.#turnAt = s.now;
      this.state.value = s;
      this.#settle(s);
    });
    this.#tryPremove();
  }

  /** What is under way is over where the game has gone on. */
  #settle(s: State): void {
    const under = this.sending.peek();
    if (under && (under.ply !== s.ply || s.status !== "playing")) this.sending.value = undefined;
    if (s.status !== "playing") this.premove.value = undefined;
  }

  #listen(since: string | undefined): void {
    if (since) this.#client.channel(this.channel.name, { since });
    let before = this.channel.state;
    let away = false;
    this.#offs = [
      this.channel.on("message", (m) => {
        this.#meanwhile?.push(m);
        // A relay has no question that tells the time: what has just come was sent just now.
        if (this.#relayed) this.#skew = { is: m.time - Date.now(), within: Infinity };
        this.#heard(m);
      }),
      this.channel.on("latest", ({ table }) => {
        const s = this.state.peek();
        if (s) this.state.value = { ...s, absent: table.get("absence")?.data ?? {} };
      }),
      // Who looks on later says nothing of the players.
      ...(this.#relayed ? [] : [this.channel.presence.onSync((members) => (this.here.value = new Set(members.map((m) => m.user))))]),
      this.channel.on("gap", () => void this.load()),
      this.channel.on("state", (now) => {
        if (now === "failed") this.problem.value = this.channel.error?.message ?? "";
        if (now === "waiting" && before === "live") away = true;
        // After a lost line the state is the truth: records may have been folded away.
        if (now === "live" && away) {
          away = false;
          void this.load();
        }
        before = now;
      }),
      effect(() => {
        const s = this.state.value;
        if (s) this.#settle(s);
      }),
    ];
  }

  /** Follows the relay that shows a game later, from its beginning. */
  async #watch(): Promise<void> {
    const all: Message<GameRecord>[] = [];
    let after = "start";
    try {
      for (let more = true; more; ) {
        const page = await this.channel.history({ after, limit: historyPage });
        all.push(...page.messages);
        more = page.more && page.at !== after;
        after = page.at;
      }
    } catch {
      all.length = 0; // a relay that has heard of nothing yet cannot be read
    }
    if (this.#closed) return;
    if (!all.length) {
      this.early.value = !this.state.peek();
      clearTimeout(this.#looking);
      this.#looking = setTimeout(() => void this.load(), lookAgain);
      return;
    }
    batch(() => {
      this.early.value = false;
      this.state.value = undefined;
      for (const m of all) this.#heard(m);
    });
    if (!this.#offs.length) this.#listen(after);
  }

  #heard({ data: r, time }: Message<GameRecord>): void {
    const s = this.state.peek();
    if (!s) {
      if (r?.type === "started") this.state.value = begun(this.channel.name, r, time);
      return;
    }
    const set = (change: Partial<State>) => (this.state.value = { ...s, ...change });
    switch (r?.type) {
      case "move":
        return this.#moved(s, r, time);
      case "end":
        return void set({ status: r.status, result: r.result, reason: r.reason, white: r.white, black: r.black, offers: {} });
      case "draw":
        return void set({ offers: offered(s.offers, "draw", r) });
      case "takeback":
        if (r.state !== "accepted") return void set({ offers: offered(s.offers, "takeback", r) });
        return this.#tookBack(s, r, time);
      case "time":
      case "clock":
        this.#turnAt = time;
        return void set({ white: r.white, black: r.black });
      case "rating":
        return void set({ ratings: { ...s.ratings, [r.color]: { before: r.before, after: r.after, change: r.change } } });
      case "rematch":
        return void set({ offers: offered(s.offers, "rematch", r), ...(r.game && { rematch: r.game }) });
    }
  }

  #moved(s: State, r: { ply: number; uci: string; san: string } & Clocks, time: number): void {
    if (r.ply <= s.ply) return; // the state that was asked for had it already
    if (r.ply !== s.ply + 1) return void this.load();
    const mover = s.turn;
    const turn = other(mover);
    const runs = s.running !== undefined || (r.ply >= 2 && (s.base !== 0 || s.inc !== 0));
    batch(() => {
      this.#turnAt = time;
      this.state.value = {
        ...s, turn, ply: r.ply, last: r.uci, updated: time, white: r.white, black: r.black, offers: {},
        moves: [...s.moves, r.uci], sans: [...s.sans, r.san], left: [...s.left, r[mover]],
        ...(runs && { running: turn }),
      };
      this.#settle(this.state.peek()!);
    });
    this.#tryPremove();
  }

  #tookBack(s: State, r: { ply: number; fen: string } & Clocks, time: number): void {
    const turn = parse(r.fen).turn;
    const { last: _, ...rest } = s;
    this.#turnAt = time;
    this.premove.value = undefined;
    this.state.value = {
      ...rest, turn, ply: r.ply, updated: time, white: r.white, black: r.black, offers: {},
      moves: s.moves.slice(0, r.ply), sans: s.sans.slice(0, r.ply), left: s.left.slice(0, r.ply),
      ...(r.ply > 0 && { last: s.moves[r.ply - 1]! }), ...(s.running && { running: turn }),
    };
  }

  #tryPremove(): void {
    const m = this.premove.peek();
    if (!m || !this.myTurn.peek()) return;
    this.premove.value = undefined;
    const legal = targets(this.position.peek(), m.from).find((t) => t.to === m.to);
    if (legal) this.move(m, legal.promotes ? m.promotion || "q" : "");
  }
}

type Offers = State["offers"];

/** The offers that are open after somebody made one, or answered one. */
function offered(offers: Offers, what: keyof Offers, r: { by: Color; state: string }): Offers {
  const { [what]: _, ...rest } = offers;
  return r.state === "offered" ? { ...rest, [what]: r.by } : rest;
}

function begun(name: string, r: Started, time: number): State {
  const p = parse(r.start ?? START);
  return {
    ...r, game: name, turn: p.turn, ply: 0, updated: time, created: time, now: time, status: "playing",
    moves: [], sans: [], left: [], offers: {}, absent: {}, ratings: {},
  };
}
