import type { Channel } from "@carillon/client";
import { signal } from "@preact/signals";

const shownFor = 3000; // ms after the last sign
const every = 1500; // ms between two signs of our own

/** Who is typing in a room, and our own signs of it. */
export class Typing {
  readonly users = signal<readonly string[]>([]);
  #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #channel: Channel<any, any>;
  #told = 0; // when our last sign was given; 0: we do not type

  constructor(channel: Channel<any, any>) {
    this.#channel = channel;
  }

  /** Takes a sign of somebody. */
  heard(user: string, on: boolean): void {
    clearTimeout(this.#timers.get(user));
    this.#timers.delete(user);
    if (on) this.#timers.set(user, setTimeout(() => this.heard(user, false), shownFor));
    const users = [...this.#timers.keys()];
    if (users.join() !== this.users.peek().join()) this.users.value = users;
  }

  /** Says that we type, or have stopped. */
  tell(on: boolean): void {
    const now = Date.now();
    if (on ? now - this.#told < every : this.#told === 0) return;
    this.#told = on ? now : 0;
    this.#channel.publish({ on }, { class: "fleeting", key: "typing", echo: false }).catch(() => {}); // who is muted, or only reads, gives no signs
  }

  stop(): void {
    for (const t of this.#timers.values()) clearTimeout(t);
    this.#timers.clear();
    this.users.value = [];
  }
}
