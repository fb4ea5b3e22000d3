import type { Channel, Seen } from "@carillon/client";
import { computed, signal } from "@preact/signals";
import type { Info, Member, Role, RoomRecord } from "./records.js";

const pageSize = 100; // members asked for at a time
const seenEvery = 30_000; // ms for which an answer to "last seen" is good
const seenAtOnce = 200; // users in one question

/** The people of a room: who belongs to it, who is there, and who was. */
export class People {
  /** What the room said of itself; undefined until it has. */
  readonly info = signal<Omit<Info, "members" | "bans" | "more"> | undefined>(undefined);
  readonly members = signal<ReadonlyMap<string, Member>>(new Map());
  readonly bans = signal<readonly string[]>([]);
  /** There are more members than asked for so far. */
  readonly more = signal(false);
  readonly online = signal<ReadonlySet<string>>(new Set());
  readonly onlineCount = signal(0);
  readonly seen = signal<ReadonlyMap<string, Seen>>(new Map());
  readonly role = computed(() => this.info.value?.role);

  #channel: Channel<RoomRecord, any>;
  #me: string;
  #asked = new Map<string, number>();

  constructor(channel: Channel<RoomRecord, any>, me: string) {
    this.#channel = channel;
    this.#me = me;
  }

  /** Asks for the first page of members. Gives the position from which changes follow. Rejects with the room's refusal. */
  async load(): Promise<string | undefined> {
    const { data, at } = await this.#channel.request<Info>({ do: "info", limit: pageSize });
    const { members, bans, more, ...info } = data;
    this.info.value = info;
    this.members.value = new Map(members.map((m) => [m.user, m]));
    this.bans.value = (bans ?? []).map((b) => b.user);
    this.more.value = more;
    return at;
  }

  async loadMore(): Promise<void> {
    const after = [...this.members.value.keys()].reduce((a, b) => (a > b ? a : b), "");
    const { data } = await this.#channel.request<Info>({ do: "info", after, limit: pageSize });
    this.members.value = new Map([...this.members.value, ...data.members.map((m) => [m.user, m] as const)]);
    this.more.value = data.more;
  }

  watch(): () => void {
    const presence = this.#channel.presence;
    return presence.onSync((members) => {
      this.online.value = new Set(members.map((m) => m.user));
      this.onlineCount.value = presence.count;
      for (const m of members) this.#asked.delete(m.user); // when they go, they were just seen
    });
  }

  /** Finds out when users were last online, for those it is not known of. */
  async look(users: readonly string[]): Promise<void> {
    const now = Date.now();
    const ask = users.filter((u) => !this.online.peek().has(u) && now - (this.#asked.get(u) ?? 0) > seenEvery).slice(0, seenAtOnce);
    if (!ask.length) return;
    for (const u of ask) this.#asked.set(u, now);
    try {
      const found = await this.#channel.presence.query(ask);
      this.seen.value = new Map([...this.seen.peek(), ...found.map((s) => [s.user, s] as const)]);
    } catch {
      // A server without presence: then nobody is said to have been seen.
    }
  }

  /** Follows what happens in the room. */
  heard(r: RoomRecord, by: string): void {
    const info = this.info.peek();
    if (!info) return;
    switch (r.type) {
      case "join":
        return this.#put({ user: by, role: "member" });
      case "leave":
        return this.#drop(by);
      case "kick":
        return this.#drop(r.user);
      case "ban":
        this.#drop(r.user);
        this.bans.value = [...this.bans.peek().filter((u) => u !== r.user), r.user];
        return;
      case "unban":
        this.bans.value = this.bans.peek().filter((u) => u !== r.user);
        return;
      case "role":
        return this.#put({ ...this.#known(r.user), role: r.role });
      case "mute":
        return this.#put({ ...this.#known(r.user), muted: r.until });
      case "unmute": {
        const { muted: _, ...rest } = this.#known(r.user);
        return this.#put(rest);
      }
      case "slow":
        this.info.value = { ...info, slow: r.seconds };
        return;
      case "title":
        this.info.value = { ...info, title: r.title };
    }
  }

  #known(user: string): Member {
    return this.members.peek().get(user) ?? { user, role: "member" };
  }

  #put(m: Member): void {
    const info = this.info.peek()!;
    const members = new Map(this.members.peek());
    const count = info.count + (members.has(m.user) ? 0 : 1);
    members.set(m.user, m);
    this.members.value = members;
    this.info.value = m.user === this.#me ? own(info, count, m.role, m.muted) : { ...info, count };
  }

  #drop(user: string): void {
    const info = this.info.peek()!;
    const members = new Map(this.members.peek());
    const count = Math.max(0, info.count - (members.delete(user) ? 1 : 0));
    this.members.value = members;
    this.info.value = user === this.#me ? own(info, count, undefined, undefined) : { ...info, count };
  }
}

type Known = Omit<Info, "members" | "bans" | "more">;

function own(info: Known, count: number, role: Role | undefined, muted: number | undefined): Known {
  const { role: _r, muted: _m, ...rest } = info;
  return { ...rest, count, ...(role && { role }), ...(muted !== undefined && { muted }) };
}

const ranks: Record<Role, number> = { member: 1, moderator: 2, owner: 3 };

/** 0 for somebody who is no member. */
export const rank = (r: Role | undefined): number => (r ? ranks[r] : 0);
