import type { Channel } from "./channel.js";
import type { Off } from "./emitter.js";
import { CarillonError } from "./error.js";
import type { Gap, Place } from "./follow.js";
import type { Message } from "./history.js";

export interface MessagesOptions {
  /** Begin after this position; default: from now on. */
  since?: string;
  /** Messages kept for the reader, and the size of pages; default 256. */
  buffer?: number;
}

/** Before the first record of a log, wherever that is. */
const start: Place = { at: "", offset: 0 };

/**
 * A channel's messages at the pace of their reader. What a slow reader has no room for is not kept: it is read from
 * history when the reader is ready for it, so that nobody else is held up and nothing is missed.
 */
export class Messages<T> implements AsyncIterableIterator<Message<T>> {
  #channel: Channel<T, any>;
  #room: number;
  #queue: Message<T>[] = [];
  #cursor: Place | undefined;
  #behind: boolean;
  #gap: Gap | undefined;
  #error: CarillonError | undefined;
  #over = false;
  #woken: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #offs: Off[];

  /** @internal */
  constructor(channel: Channel<T, any>, { since, buffer = 256 }: MessagesOptions) {
    this.#channel = channel;
    this.#room = Math.max(1, buffer);
    this.#behind = since !== undefined;
    this.#cursor = since !== undefined ? { at: since, offset: -1 } : channel.place;
    this.#offs = [
      channel.on("message", (m) => this.#push(m)),
      channel.on("gap", (g) => this.#lose(g)),
      channel.on("state", (s) => (s === "failed" || s === "idle") && this.#end(channel.error)),
    ];
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message. Calls queue up behind one another. */
  next(): Promise<IteratorResult<Message<T>, undefined>> {
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Ends the iteration, as `break` does. */
  async return(): Promise<IteratorResult<Message<T>, undefined>> {
    this.#end();
    this.#queue = [];
    return { done: true, value: undefined };
  }

  #push(m: Message<T>): void {
    if (this.#behind || (this.#cursor && m.offset <= this.#cursor.offset)) return;
    if (this.#queue.length >= this.#room) this.#behind = true;
    else this.#put(m);
  }

  /** Records are missing before the next live message. */
  #lose(gap: Gap): void {
    if (this.#behind) return; // history will tell
    this.#gap = gap;
    this.#cursor = gap.reason === "epoch" ? start : this.#channel.place;
  }

  #end(error?: CarillonError): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    for (const off of this.#offs) off();
    this.#wake();
  }

  async #next(): Promise<IteratorResult<Message<T>, undefined>> {
    while (!this.#queue.length) {
      if (this.#over) {
        const error = this.#error;
        this.#error = undefined;
        if (error) throw error;
        return { done: true, value: undefined };
      }
      if (this.#behind) await this.#catchUp();
      else await new Promise<void>((resolve) => (this.#woken = resolve));
    }
    return { done: false, value: this.#queue.shift()! };
  }

  #put(m: Message<T>): void {
    this.#queue.push(this.#gap ? { ...m, gap: this.#gap } : m);
    this.#gap = undefined;
    this.#cursor = m;
    this.#wake();
  }

  #wake(): void {
    this.#woken?.();
    this.#woken = undefined;
  }

  /** Reads a page of what was passed over, and goes live where it reaches the subscription. */
  async #catchUp(): Promise<void> {
    const { at, offset } = this.#cursor!;
    try {
      await this.#channel.ready();
      const page = await this.#channel.history({ after: at || "start", limit: this.#room });
      if (this.#over) return;
      const lost = page.gap;
      if (lost) this.#gap = lost;
      if (lost?.reason === "diverged" || lost?.reason === "ahead") return this.#goLive();
      for (const m of page.messages) this.#put(m);
      if (!page.messages.length) this.#cursor = { at: page.at, offset: page.offset };
      const place = this.#channel.place;
      if (!place || this.#cursor!.offset >= place.offset) this.#behind = false;
      else if (!page.more && this.#cursor!.at === at) this.#miss(offset);
    } catch (e) {
      if (this.#over) return;
      const error = e instanceof CarillonError ? e : new CarillonError("internal", String(e));
      if (error.code === "closed" || this.#channel.error) this.#end(error);
      else this.#miss(offset); // history may not be read, or is not kept
    }
  }

  /** What history does not give is a gap. */
  #miss(offset: number): void {
    const to = this.#channel.place?.offset ?? 0;
    this.#gap = offset < 0 ? { from: 0, to: 0, reason: "slow" } : { from: offset + 1, to, reason: "slow" };
    this.#goLive();
  }

  #goLive(): void {
    this.#cursor = this.#channel.place;
    this.#behind = false;
  }
}
