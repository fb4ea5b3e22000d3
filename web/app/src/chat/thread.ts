import type { Carillon, CarillonError, Channel, Gap, Message } from "@carillon/client";
import { batch, signal } from "@preact/signals";
import { refreshCounts } from "../link.js";
import { type Entry, Fold, type Said } from "./fold.js";
import { type Draft, Outgoing } from "./outgoing.js";
import { People } from "./people.js";
import type { RoomLatest, RoomRecord } from "./records.js";
import { Typing } from "./typing.js";

/** `away`: it cannot be read, and `problem` says why. */
export type Status = "loading" | "open" | "away";

const page = 100; // records asked for at a time
const farPage = 1000; // when looking for one far back
const maxPages = 20; // to look for one
const maxEntries = 3000; // kept of one room

/** One room as it is read: its messages, its people, and what we send to it. */
export class Thread {
  /** Counts the changes of `entries`, once a frame at most. */
  readonly version = signal(0);
  readonly status = signal<Status>("loading");
  readonly problem = signal<CarillonError | undefined>(undefined);
  /** What went wrong with an edit, a reaction or the like, for a while. */
  readonly trouble = signal("");
  readonly atStart = signal(false);
  readonly loading = signal(false);
  readonly people: People;
  readonly typing: Typing;
  readonly outgoing: Outgoing;
  readonly channel: Channel<RoomRecord, RoomLatest>;
  readonly user: string;
  /** Hears of each message that comes in live. */
  onFresh: (said: Said) => void = () => {};

  #fold = new Fold();
  #offs: (() => void)[] = [];
  #before: string | undefined; // where the page before begins
  #pending: Message<RoomRecord>[] = []; // arrived, folded with the next frame
  #scheduled = false;
  #troubleEnds: ReturnType<typeof setTimeout> | undefined;

  #client: Carillon;

  constructor(client: Carillon, name: string, user: string) {
    this.#client = client;
    this.user = user;
    this.channel = client.channel<RoomRecord, RoomLatest>(name);
    this.people = new People(this.channel, user);
    this.typing = new Typing(this.channel);
    this.outgoing = new Outgoing(this.channel, user, () => this.#schedule());
  }

  get name(): string {
    return this.channel.name;
  }

  /** Everything known, oldest first; what the log does not have yet is in `outgoing`. */
  get entries(): readonly Entry[] {
    return this.#fold.entries;
  }

  find(offset: number): Said | undefined {
    return this.#fold.find(offset);
  }

  index(offset: number): number {
    return this.#fold.index(offset);
  }

  /** Joins the flow of the room, and reads its end. Again after a refusal, when something has changed. */
  async open(): Promise<void> {
    this.close();
    batch(() => {
      this.problem.value = undefined;
      if (this.status.value === "away") this.status.value = "loading";
    });
    // Somebody else may follow the room already: then nothing that comes meanwhile is to be missed.
    if (this.channel.state === "live") this.#listen();
    try {
      const since = await this.people.load();
      if (!this.#offs.length) {
        if (since) this.#client.channel(this.name, { since });
        this.#listen();
      }
    } catch (e) {
      return this.#away(e as CarillonError);
    }
    try {
      await this.channel.ready();
      if (!this.entries.length) await this.#page();
      this.status.value = "open";
    } catch (e) {
      this.#away(e as CarillonError);
    }
  }

  #listen(): void {
    this.#offs = [
      this.channel.on("message", (m) => this.#arrived(m)),
      this.channel.on("fleeting", (s) => {
        if (s.key === "typing" && s.user && s.user !== this.user) this.typing.heard(s.user, (s.data as { on?: boolean } | undefined)?.on !== false);
      }),
      this.channel.on("gap", (g) => this.#gap(g)),
      this.channel.on("state", () => this.channel.state === "failed" && void this.#lost()),
      this.people.watch(),
    ];
  }

  close(): void {
    for (const off of this.#offs) off();
    this.#offs = [];
    this.typing.stop();
  }

  /** Reads the page before what is known. */
  async older(limit = page): Promise<void> {
    if (this.loading.peek() || this.atStart.peek() || this.status.peek() !== "open") return;
    this.loading.value = true;
    try {
      await this.#page(limit);
    } catch (e) {
      this.complain((e as Error).message);
    }
    this.loading.value = false;
  }

  /** Reads back until a message is known; false: it is not there, or too far back. */
  async reach(offset: number): Promise<boolean> {
    for (let i = 0; i < maxPages && !this.find(offset) && !this.atStart.peek() && (this.entries[0]?.offset ?? 0) > offset; i++) await this.older(farPage);
    return !!this.find(offset);
  }

  /** Asks history for what a seam stands for. */
  async fill(key: string): Promise<void> {
    const i = this.entries.findIndex((e) => e.key === key);
    const seam = this.entries[i];
    if (seam?.kind !== "seam") return;
    const next = this.entries[i + 1]?.offset ?? Infinity;
    this.#fold.mend(key, "loading");
    this.#changed();
    try {
      let p = await this.channel.history({ after: seam.at || "start", limit: farPage });
      const whole = !p.gap && p.messages.length > 0;
      this.#fold.add(p.messages);
      while (p.more && p.offset < next) {
        p = (await p.next())!;
        this.#fold.add(p.messages);
      }
      this.#fold.mend(key, whole ? undefined : "lost");
    } catch (e) {
      this.#fold.mend(key, "open");
      this.complain((e as Error).message);
    }
    this.#changed();
  }

  send(d: Draft): void {
    this.typing.tell(false);
    this.outgoing.send(d);
  }

  edit(of: number, text: string, mentions: readonly string[]): Promise<boolean> {
    return this.#attempt({ do: "edit", of, text, ...(mentions.length && { mentions }) }, this.#fold.guessText(of, text));
  }

  delete(of: number): Promise<boolean> {
    return this.#attempt({ do: "delete", of }, this.#fold.guessText(of, undefined));
  }

  react(of: number, emoji: string, on: boolean): Promise<boolean> {
    return this.#attempt({ do: on ? "react" : "unreact", of, emoji }, this.#fold.guess(of, emoji, this.user, on));
  }

  /** Asks the room for something else, such as `join` or `kick`. Says if it was done. */
  ask(command: { do: string; [field: string]: unknown }): Promise<boolean> {
    return this.#attempt(command, () => {});
  }

  complain(sentence: string): void {
    clearTimeout(this.#troubleEnds);
    this.trouble.value = sentence;
    this.#troubleEnds = setTimeout(() => (this.trouble.value = ""), 6000);
  }

  /** Sends a command whose effect is shown already; `undo` takes it back. */
  async #attempt(command: object, undo: () => void): Promise<boolean> {
    this.#changed();
    try {
      const asked = this.channel.request(command);
      refreshCounts();
      await asked;
      return true;
    } catch (e) {
      undo();
      this.complain(sentence(e as Error));
      return false;
    } finally {
      refreshCounts();
      this.#changed();
    }
  }

  async #page(limit = page): Promise<void> {
    const p = await this.channel.history({ before: this.#before, limit });
    this.#fold.add(p.messages);
    this.#before = p.before;
    this.atStart.value = !p.more;
    this.#changed();
  }

  #arrived(m: Message<RoomRecord>): void {
    this.#pending.push(m);
    this.#schedule();
  }

  /** Many records in a frame are one change. A page that nobody looks at gets no frames. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const run = () => {
      this.#scheduled = false;
      this.#take();
    };
    if (document.hidden) setTimeout(run);
    else requestAnimationFrame(run);
  }

  #take(): void {
    const records = this.#pending;
    this.#pending = [];
    const keys = new Map<number, string>();
    batch(() => {
      for (const r of records) {
        if (!r.data) continue;
        if (r.user) this.people.heard(r.data, r.user);
        if (r.data.type !== "message" || !r.user) continue;
        this.typing.heard(r.user, false);
        if (r.user !== this.user) continue;
        const key = this.outgoing.arrived(r.offset, r.data.text);
        if (key) keys.set(r.offset, key);
      }
      const fresh = this.#fold.add(records, keys);
      this.#changed();
      for (const said of fresh) this.onFresh(said);
    });
  }

  #changed(): void {
    this.version.value++;
  }

  /** Keeps memory within bounds. Only while nobody looks at the old entries. */
  trim(): void {
    if (this.entries.length <= maxEntries) return;
    this.#fold.trim(maxEntries / 2);
    this.#before = this.entries[0]!.at;
    this.atStart.value = false;
    this.#changed();
  }

  #gap(g: Gap): void {
    if (this.#pending.length) this.#take();
    this.#fold.seam(g.reason);
    this.#changed();
  }

  /** The subscription ended: the room says why. */
  async #lost(): Promise<void> {
    const why = this.channel.error;
    try {
      await this.people.load();
      if (why) this.#away(why);
    } catch (e) {
      this.#away(e as CarillonError);
    }
  }

  #away(e: CarillonError): void {
    this.close();
    batch(() => {
      this.problem.value = e;
      this.status.value = "away";
    });
  }
}

/** The sentence of an error, as one. */
export function sentence(e: Error): string {
  const s = e.message;
  return s ? s[0]!.toUpperCase() + s.slice(1) + (/[.!?]$/.test(s) ? "" : ".") : "This did not work.";
}
