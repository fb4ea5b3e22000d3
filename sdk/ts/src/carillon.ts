import { Channel, type ChannelOptions } from "./channel.js";
import { type Off, reached } from "./emitter.js";
import { type ClientEvents, type Options, Session, type State } from "./session.js";

/** Counts of a client, for people. */
export interface Stats {
  /** ms to the server and back, last time it was measured. */
  rtt: number | undefined;
  /** Publishes and commands without their answer. */
  queued: number;
  /** Records that were missed while the line was down, and handed over later. */
  recovered: number;
  /** Gaps that nobody could fill. */
  gaps: number;
  /** Lines after the first one. */
  reconnects: number;
}

/**
 * A connection to Carillon that comes back, with all that is asked of it. It connects by itself, in a moment. Every
 * record is handed over once and in order, or a `gap` in its place; every publish is acknowledged once.
 */
export class Carillon {
  #session: Session;
  #channels = new Map<string, Channel<any, any>>();

  /** `url` is the server's `/ws`, beginning with ws:, wss:, http: or https:. */
  constructor(url: string | URL, options: Options = {}) {
    this.#session = new Session(String(url), options);
    if (options.autoConnect !== false) queueMicrotask(() => this.state === "disconnected" && this.connect());
  }

  get state(): State {
    return this.#session.state;
  }

  /** Who the server takes us for, once it has said so. */
  get user(): string | undefined {
    return this.#session.hello?.user;
  }

  /** The server lost its line to the others: records may be late. */
  get stale(): boolean {
    return this.#session.stale;
  }

  get stats(): Stats {
    const s = this.#session;
    return { rtt: s.line?.rtt, queued: s.outbox.count, recovered: s.recovered, gaps: s.gaps, reconnects: s.reconnects };
  }

  /** Listens, until the function returned is called. */
  on<K extends keyof ClientEvents>(event: K, f: (value: ClientEvents[K]) => void): Off {
    return this.#session.events.on(event, f);
  }

  /** Resolves when connected, and rejects when the client fails or is closed. */
  ready(): Promise<void> {
    return reached(this.#session.events, () => this.state === "connected", () => this.#session.error);
  }

  /** The channel of this name, always the same one. Options count while nobody listens to it yet. */
  channel<T = unknown, L = T>(name: string, options?: ChannelOptions): Channel<T, L> {
    let c = this.#channels.get(name);
    if (!c) {
      c = this.make(this.#session, name);
      this.#channels.set(name, c);
    }
    if (options) c.configure(options);
    return c;
  }

  /** @internal */
  protected make(session: Session, name: string): Channel<any, any> {
    return new Channel(session, name);
  }

  /** Measures the way to the server and back, in ms. Rejects without a line. */
  ping(): Promise<number> {
    return this.#session.ping();
  }

  /** Connects after `disconnect` or a failure; otherwise does nothing. */
  connect(): void {
    this.#session.connect();
  }

  /**
   * Ends the line until `connect` is called; subscriptions and what waits to be sent are kept. Not `clean`: without a
   * goodbye, as if the line broke.
   */
  disconnect(o: { clean?: boolean } = {}): Promise<void> {
    return this.#session.disconnect(o.clean !== false);
  }

  /** Says goodbye and ends everything. What is not acknowledged by then rejects with `closed`. */
  close(): Promise<void> {
    return this.#session.close();
  }

  [Symbol.dispose](): void {
    void this.close();
  }
}
