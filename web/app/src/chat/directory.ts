import type { Carillon, Channel } from "@carillon/client";
import { computed, signal } from "@preact/signals";
import type { DirectoryRecord, Listing } from "./records.js";

const pageSize = 500; // rooms asked for at a time
const maxPages = 20;

/** The public rooms, while somebody looks. */
export class Directory {
  readonly rooms = signal<ReadonlyMap<string, Listing>>(new Map());
  readonly ready = signal(false);
  readonly problem = signal("");
  /** The busiest first. */
  readonly busiest = computed(() => [...this.rooms.value.values()].sort((a, b) => b.members - a.members || a.title.localeCompare(b.title)));

  #client: Carillon;
  #channel: Channel<DirectoryRecord>;
  #watchers = 0;
  #offs: (() => void)[] = [];

  constructor(client: Carillon) {
    this.#client = client;
    this.#channel = client.channel<DirectoryRecord>("chat:directory");
  }

  /** Keeps the list up to date until the function returned is called. */
  watch(): () => void {
    if (this.#watchers++ === 0) void this.#load();
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      if (--this.#watchers === 0) this.#stop();
    };
  }

  #stop(): void {
    for (const off of this.#offs) off();
    this.#offs = [];
  }

  async #load(): Promise<void> {
    try {
      const found = new Map<string, Listing>();
      let since: string | undefined;
      let after = "";
      for (let i = 0, more = true; more && i < maxPages; i++) {
        const { data, at } = await this.#channel.request<{ rooms: Listing[]; more: boolean }>({ do: "list", limit: pageSize, ...(after && { after }) });
        since ??= at;
        for (const r of data.rooms) found.set(r.room, r);
        after = data.rooms.at(-1)?.room ?? "";
        more = data.more && !!after;
      }
      this.rooms.value = found;
      this.ready.value = true;
      if (this.#watchers === 0) return;
      if (since) this.#client.channel("chat:directory", { since });
      this.#stop();
      this.#offs = [
        this.#channel.on("message", (m) => m.data && this.#heard(m.data)),
        this.#channel.on("fleeting", (s) => this.#heard(s.data as DirectoryRecord)),
        this.#channel.on("gap", () => void this.#load()),
      ];
    } catch (e) {
      this.problem.value = (e as Error).message;
    }
  }

  #heard(r: DirectoryRecord): void {
    const rooms = new Map(this.rooms.peek());
    if (r?.type === "room") rooms.set(r.room, { room: r.room, title: r.title, members: r.members });
    else if (r?.type === "gone") rooms.delete(r.room);
    this.rooms.value = rooms;
  }
}
