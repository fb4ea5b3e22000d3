import type { Carillon, Channel } from "@carillon/client";
import { batch, computed, signal } from "@preact/signals";
import type { Invite, MeRecord, Place, RoomLatest } from "./records.js";

/** A room of ours as the list shows it. */
export interface Room extends Place {
  name: string;
  title: string;
  public: boolean;
  /** Number of the last message. */
  n: number;
  /** Of the last message, ms since 1970. */
  time: number;
  preview: string | undefined;
  by: string | undefined;
}

const maxFollowed = 100; // rooms that are subscribed to; a connection has a limit of channels
const peersEvery = 30_000; // ms between two questions who of our partners is online
const maxPeers = 500; // users in that question

/** The rooms of one user, kept in step with his other devices. */
export class Rooms {
  readonly all = signal<ReadonlyMap<string, Room>>(new Map());
  readonly invites = signal<readonly Invite[]>([]);
  readonly ready = signal(false);
  readonly problem = signal("");
  /** Partners of conversations who are online. */
  readonly online = signal<ReadonlySet<string>>(new Set());
  readonly unread = computed(() => [...this.all.value.values()].reduce((sum, r) => sum + (r.muted ? 0 : unreadOf(r)), 0));
  readonly mentions = computed(() => [...this.all.value.values()].reduce((sum, r) => sum + r.mentions, 0));

  #client: Carillon;
  #me: Channel<MeRecord, Place>;
  #follows = new Map<string, () => void>();
  #offs: (() => void)[] = [];
  #poll: ReturnType<typeof setInterval>;
  #reads = new Map<string, number>(); // marks of ours under way
  #marking: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Carillon, list: string) {
    this.#client = client;
    this.#me = client.channel<MeRecord, Place>(list);
    this.#poll = setInterval(() => void this.#askPeers(), peersEvery);
    void this.#load();
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#marking);
    for (const off of [...this.#offs, ...this.#follows.values()]) off();
  }

  /** We have read up to this message. */
  read(name: string, n: number): void {
    const r = this.all.peek().get(name);
    if (!r || n <= r.read) return;
    this.#put(name, { read: n, mentions: 0 });
    this.#reads.set(name, n);
    this.#marking ??= setTimeout(() => {
      this.#marking = undefined;
      const marks = [...this.#reads];
      this.#reads.clear();
      // Who hears of this too late sees it as unread once more, and nothing worse.
      for (const [room, mark] of marks) this.#me.request({ do: "read", room, n: mark }).catch(() => {});
    }, 300);
  }

  decline(room: string): void {
    this.invites.value = this.invites.peek().filter((i) => i.room !== room);
    this.#me.request({ do: "decline", room }).catch(() => {}); // it is asked again on the next visit
  }

  /** No longer counts what is unread in a room, or does again. */
  async quiet(room: string, on: boolean): Promise<void> {
    await this.#me.request({ do: on ? "mute" : "unmute", room });
  }

  async #load(): Promise<void> {
    try {
      let after = "";
      let since: string | undefined;
      for (let more = true; more; ) {
        const { data, at } = await this.#me.request<{ rooms: ({ room: string } & Place)[]; more: boolean; invites?: Invite[] }>({ do: "rooms", ...(after && { after }) });
        since ??= at;
        batch(() => {
          for (const { room, ...place } of data.rooms) this.#put(room, place);
          if (data.invites) this.invites.value = data.invites;
        });
        after = data.rooms.at(-1)?.room ?? "";
        more = data.more && !!after;
      }
      if (!this.#offs.length) this.#listen(since);
      this.ready.value = true;
      void this.#askPeers();
    } catch (e) {
      this.problem.value = (e as Error).message;
    }
  }

  #listen(since: string | undefined): void {
    if (since) this.#client.channel(this.#me.name, { since });
    this.#offs = [
      this.#me.on("message", (m) => m.data && this.#heard(m.data, m.time)),
      this.#me.on("latest", ({ table, changed }) =>
        batch(() => {
          for (const room of changed) {
            const place = table.get(room)?.data;
            if (place) this.#put(room, place);
          }
        }),
      ),
      this.#me.on("gap", () => void this.#load()),
    ];
  }

  #heard(r: MeRecord, time: number): void {
    switch (r.type) {
      case "joined":
        this.#put(r.room, r.with ? { with: r.with } : {});
        this.invites.value = this.invites.peek().filter((i) => i.room !== r.room);
        if (r.with) void this.#askPeers();
        return;
      case "left":
        return this.#drop(r.room);
      case "invited":
        this.invites.value = [...this.invites.peek().filter((i) => i.room !== r.room), { room: r.room, by: r.by, title: r.title, time }];
        return;
      case "declined":
        this.invites.value = this.invites.peek().filter((i) => i.room !== r.room);
    }
  }

  #put(name: string, change: Partial<Room>): void {
    const was = this.all.peek().get(name);
    const blank: Room = { name, title: "", public: true, n: 0, time: 0, preview: undefined, by: undefined, read: 0, last: 0, mentions: 0 };
    const r: Room = { ...(was ?? blank), ...change };
    r.read = Math.max(r.read, was?.read ?? 0); // our own mark may be ahead of what we hear
    if (unreadOf(r) === 0) r.mentions = 0;
    this.all.value = new Map(this.all.peek()).set(name, r);
    if (!was) this.#follow(name);
  }

  #drop(name: string): void {
    const all = new Map(this.all.peek());
    all.delete(name);
    this.all.value = all;
    this.#follows.get(name)?.();
    this.#follows.delete(name);
  }

  /** Follows a room, for its title and its last message. */
  #follow(name: string): void {
    if (this.#follows.size >= maxFollowed || this.#follows.has(name)) return;
    const channel = this.#client.channel<unknown, RoomLatest>(name);
    const take = (table: ReadonlyMap<string, { data: RoomLatest }>) => {
      const summary = table.get("summary")?.data;
      const settings = table.get("settings")?.data;
      const last = summary?.last;
      this.#put(name, {
        ...(settings && { title: settings.title ?? "", public: settings.public ?? true }),
        ...(summary && { n: summary.n ?? 0, time: last?.time ?? 0, preview: last?.preview, by: last?.user }),
      });
    };
    this.#follows.set(name, channel.on("latest", ({ table }) => this.all.peek().has(name) && take(table)));
    if (channel.latest.size) queueMicrotask(() => this.all.peek().has(name) && take(channel.latest));
  }

  async #askPeers(): Promise<void> {
    const users = [...this.all.peek().values()].flatMap((r) => r.with ?? []).slice(0, maxPeers);
    if (!users.length || this.#client.state !== "connected") return;
    try {
      const seen = await this.#client.channel(this.#me.name).presence.query(users);
      this.online.value = new Set(seen.filter((s) => s.online).map((s) => s.user));
    } catch {
      // A server without presence shows no dots.
    }
  }
}

/** Messages of a room that have not been read. */
export const unreadOf = (r: Room): number => Math.max(0, Math.max(r.n, r.last) - r.read);
