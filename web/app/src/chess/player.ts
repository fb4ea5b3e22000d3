import type { Carillon, Channel } from "@carillon/client";
import { batch, computed, signal } from "@preact/signals";
import { ownChannel } from "../names.js";
import { go, path } from "../router.js";
import { type Challenge, type Control, gamePath, type Ongoing, type PlayerLatest, type PlayerRecord, type Profile, type Seek, type Standing } from "./records.js";
import type { Color } from "./rules.js";

const noticeShown = 8000; // ms

export interface Wish extends Pick<Control, "base" | "inc" | "rated"> {
  color?: Color;
  min?: number;
  max?: number;
  delay?: number; // seconds that spectators are behind
  fen?: string; // to start from; only of a challenge
}

/** What concerns one user: games, seeks, challenges and ratings; and what he asks of the lobby. */
export class Player {
  readonly user: string;
  readonly client: Carillon;
  readonly ready = signal(false);
  readonly problem = signal("");
  /** What has just become of something one asked for. */
  readonly notice = signal("");
  readonly ratings = signal<ReadonlyMap<string, Omit<Standing, "user">>>(new Map());
  readonly casual = signal(0);
  readonly games = signal<readonly Ongoing[]>([]);
  readonly seeks = signal<readonly Seek[]>([]);
  readonly challenges = signal<readonly Challenge[]>([]);
  readonly received = computed(() => this.challenges.value.filter((c) => c.by !== this.user));

  #channel: Channel<PlayerRecord, PlayerLatest> | undefined;
  #off: (() => void)[] = [];
  #closed = false;
  #clearing: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Carillon, user: string) {
    this.client = client;
    this.user = user;
    void this.#open();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#clearing);
    for (const off of this.#off) off();
    this.#off = [];
  }

  seek(w: Wish): Promise<void> {
    return this.#do({ type: "seek", ...w });
  }

  /** Asks the lobby, or one user. Resolves with why that was refused; empty: it was not. */
  propose(w: Wish, user?: string): Promise<string> {
    return this.#ask(user === undefined ? { type: "seek", ...w } : { type: "challenge", user, ...w });
  }

  join(seek: string): Promise<void> {
    return this.#do({ type: "join", seek });
  }

  cancel(seek: string): Promise<void> {
    return this.#do({ type: "cancel", seek });
  }

  answer(c: Challenge, type: "accept" | "decline" | "withdraw"): Promise<void> {
    return this.#do({ type, challenge: c.challenge });
  }

  tell(text: string): void {
    this.notice.value = text;
    clearTimeout(this.#clearing);
    this.#clearing = setTimeout(() => (this.notice.value = ""), noticeShown);
  }

  /** A refusal is told. */
  async #do(command: object): Promise<void> {
    const refused = await this.#ask(command);
    if (refused) this.tell(refused);
  }

  async #ask(command: object): Promise<string> {
    try {
      await this.#channel?.request(command);
      return "";
    } catch (e) {
      return (e as Error).message;
    }
  }

  async #open(): Promise<void> {
    const name = await ownChannel("chess:player", this.user);
    if (this.#closed) return;
    const c = (this.#channel = this.client.channel<PlayerRecord, PlayerLatest>(name));
    try {
      // Nobody may read it before it exists, and a question is enough for that.
      const { data, at } = await c.request<Profile>({ type: "profile" });
      if (this.#closed) return;
      batch(() => {
        this.ratings.value = new Map(Object.entries(data.ratings ?? {}));
        this.casual.value = data.casual ?? 0;
        this.games.value = data.games ?? [];
        this.seeks.value = data.seeks ?? [];
        this.challenges.value = data.challenges ?? [];
        this.ready.value = true;
      });
      if (at) this.client.channel(name, { since: at });
      this.#off = [
        c.on("message", (m) => m.data && this.#heard(m.data)),
        c.on("latest", ({ table }) => {
          const all = <T>(kind: string) => [...table].filter(([key]) => key.startsWith(kind)).map(([, e]) => e.data as T);
          batch(() => {
            this.games.value = all<Ongoing>("game:");
            this.seeks.value = all<Seek>("seek:");
            this.challenges.value = all<Challenge>("challenge:");
            this.ratings.value = new Map([...table].filter(([key]) => key.startsWith("rating:")).map(([key, e]) => [key.slice(7), e.data as Omit<Standing, "user">]));
          });
        }),
        c.on("state", () => c.state === "failed" && (this.problem.value = c.error?.message ?? "")),
      ];
    } catch (e) {
      this.problem.value = (e as Error).message;
    }
  }

  #heard(r: PlayerRecord): void {
    if (r.type === "game") {
      // Whoever waits in the lobby plays at once; who watches or reads is told by the bar.
      if (path.peek() === "/chess" || path.peek() === "/chess/") go(gamePath(r.game));
      return;
    }
    if (r.type === "seek") {
      const why: Record<string, string> = { expired: "Nobody came for a quarter of an hour: ask again.", full: "The lobby is full: try again in a moment.", gone: "That one is no longer there." };
      if (why[r.why]) this.tell(why[r.why]!);
      return;
    }
    if (r.type === "challenge" && r.by === this.user) {
      const why: Record<string, string> = { declined: "Your challenge was declined.", expired: "Your challenge was not answered in time.", full: "Too many challenges wait there." };
      if (why[r.state]) this.tell(why[r.state]!);
    }
  }
}
