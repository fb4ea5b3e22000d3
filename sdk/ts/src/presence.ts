import type { Channel } from "./channel.js";
import { Emitter, type Off } from "./emitter.js";
import type { CarillonError } from "./error.js";
import type { Session } from "./session.js";

/** Somebody who is there: a user, however many connections he has. */
export interface Member {
  user: string;
  /** Since when, by the server's clock, ms since 1970. */
  since: number;
}

/** What is known of a user. */
export interface Seen {
  user: string;
  online: boolean;
  /** When he was last online, ms since 1970; absent if never. */
  last?: number;
}

interface Now {
  count: number;
  members?: Member[];
}

interface PresenceEvents {
  sync: readonly Member[];
  join: Member;
  leave: Member;
}

/**
 * Who is in a channel. A user is there while one of his connections is subscribed to the channel; to watch does not make
 * one a member. The server tells the list at most once a second, so somebody who comes and goes in between is not seen.
 */
export class Presence {
  /** In order of their coming. With more than 100 the list stays empty: see `count`, and `page`. */
  members: readonly Member[] = [];
  count = 0;
  #session: Session;
  #name: string;
  #channel: () => Channel<unknown, any>;
  #events = new Emitter<PresenceEvents>();
  #watchers = 0;
  #off: Off | undefined;

  /** @internal */
  constructor(session: Session, name: string, channel: () => Channel<unknown, any>) {
    this.#session = session;
    this.#name = name;
    this.#channel = channel;
  }

  /** Why the list cannot be had, if so. */
  get error(): CarillonError | undefined {
    return this.#channel().error;
  }

  /** The whole list, now and after each change. */
  onSync(f: (members: readonly Member[]) => void): Off {
    const off = this.#watch("sync", f);
    let open = true;
    if (this.#off && this.count) queueMicrotask(() => open && f(this.members));
    return () => {
      open = false;
      off();
    };
  }

  onJoin(f: (m: Member) => void): Off {
    return this.#watch("join", f);
  }

  onLeave(f: (m: Member) => void): Off {
    return this.#watch("leave", f);
  }

  /** Asks who of these users, at most 500, is online anywhere. */
  async query(users: readonly string[]): Promise<Seen[]> {
    const m = await this.#session.send({ type: "presence", id: 0, users });
    return m!.presence?.seen ?? [];
  }

  /** Asks for the members in the order of their names, after a user, at most `limit` (100). */
  async page(o: { after?: string; limit?: number } = {}): Promise<{ members: Member[]; count: number; more: boolean }> {
    const m = await this.#session.send({ type: "presence", id: 0, channel: this.#name, ...o });
    return { members: [], count: 0, more: false, ...m!.presence };
  }

  #watch<K extends keyof PresenceEvents>(event: K, f: (value: PresenceEvents[K]) => void): Off {
    const off = this.#events.on(event, f);
    if (this.#watchers++ === 0) this.#off = this.#channel().on("latest", ({ table }) => this.#sync(table.get("now")?.data as Now | undefined));
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      off();
      if (--this.#watchers > 0) return;
      this.#off?.();
      this.#off = undefined;
      this.members = [];
      this.count = 0;
    };
  }

  #sync(now: Now | undefined): void {
    const before = this.members;
    this.members = now?.members ?? [];
    this.count = now?.count ?? 0;
    // Beyond 100 there is no list to compare.
    const told = this.members.length === this.count;
    const were = new Set(before.map((m) => m.user));
    const are = new Set(this.members.map((m) => m.user));
    if (told) {
      for (const m of before) if (!are.has(m.user)) this.#events.emit("leave", m);
      for (const m of this.members) if (!were.has(m.user)) this.#events.emit("join", m);
    }
    this.#events.emit("sync", this.members);
  }
}
