import type { Carillon, Channel } from "@carillon/client";
import { signal } from "@preact/signals";
import type { Seek } from "./records.js";

/** The open seeks, and who is in the lobby, while somebody looks. */
export class Lobby {
  readonly seeks = signal<readonly Seek[]>([]);
  readonly here = signal<readonly string[]>([]);
  readonly ready = signal(false);
  readonly problem = signal("");
  #channel: Channel<unknown, Seek>;
  #offs: (() => void)[] = [];
  #closed = false;

  constructor(client: Carillon) {
    this.#channel = client.channel<unknown, Seek>("chess:lobby");
    void this.#open(client);
  }

  close(): void {
    this.#closed = true;
    for (const off of this.#offs) off();
    this.#offs = [];
  }

  async #open(client: Carillon): Promise<void> {
    try {
      const { data, at } = await this.#channel.request<{ seeks: Seek[] }>({ type: "seeks" });
      if (this.#closed) return;
      this.seeks.value = data.seeks ?? [];
      this.ready.value = true;
      if (at) client.channel("chess:lobby", { since: at });
      this.#offs = [
        this.#channel.on("latest", ({ table }) => {
          this.seeks.value = [...table.values()].map((e) => e.data).sort((a, b) => (a.since ?? 0) - (b.since ?? 0));
        }),
        this.#channel.presence.onSync((members) => (this.here.value = members.map((m) => m.user))),
      ];
    } catch (e) {
      this.problem.value = (e as Error).message;
    }
  }
}
