import { Emitter, type Off, reached } from "./emitter.js";
import { CarillonError, failure } from "./error.js";
import { Follow, type Gap, type Place, type Recovered } from "./follow.js";
import { type HistoryOptions, type Message, type Page, readPage, toMessage } from "./history.js";
import { type Entry, type LatestChange, LatestTable } from "./latest.js";
import { type Body, hasBody, type Incoming, type Request, toBody, type WireRecord } from "./protocol.js";
import type { Session } from "./session.js";

export interface ChannelOptions {
  /** Resume after a position, such as the last `position` of an earlier visit. Default: from now on. */
  since?: string;
  /** Begin so many records back, at most 1,000. */
  rewind?: number;
  /** Allows this subscription beyond what the connection's token allows. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
}

/** `idle`: nobody listens. `waiting`: there is no line. `filling`: what was missed is being read from history. */
export type ChannelState = "idle" | "waiting" | "joining" | "live" | "filling" | "failed";

/** A fleeting record, such as a sign of typing: never kept, without a place in the log. */
export interface Sign {
  channel: string;
  key: string | undefined;
  data: unknown;
  time: number;
  user: string | undefined;
}

export interface ChannelEvents<T, L> {
  message: Message<T>;
  fleeting: Sign;
  latest: LatestChange<L>;
  /** Records are missing for good. What follows is complete again. */
  gap: Gap;
  /** Told once all that was missed while the line was down has been handed over. */
  recovered: Recovered;
  state: ChannelState;
  /** The server's records may be late (true), or no longer. */
  stale: boolean;
}

export interface PublishOptions {
  /** Default: 128 random bits. The same id and data is appended once, however often it is sent. */
  idem?: string;
  /** `logged` is the default. `latest` is kept one per key; `fleeting` reaches who keeps up, and is sent while connected or never. */
  class?: "logged" | "latest" | "fleeting";
  /** What a newer `latest` or `fleeting` record replaces. */
  key?: string;
  /** False: do not send the record back to this connection. */
  echo?: boolean;
}

export interface Receipt {
  /** What the record survives: `durable`, `appended:memory`, `accepted`; `dropped`: a fleeting one that found no line. */
  ack: string;
  /** Its position and offset; absent in classes without. */
  at?: string;
  offset?: number;
  idem?: string;
}

/** What a service answered to a command. */
export interface Answer<R> {
  data: R;
  ack: string | undefined;
  at: string | undefined;
  offset: number | undefined;
}

const states: { [stance: string]: ChannelState } = { away: "waiting", asked: "joining", live: "live" };
const tableWait = 1000; // ms after a subscribe in which the table of Latest would have come

/** A channel. It is subscribed to while somebody listens to its records, and left when the last one has gone. */
export class Channel<T = unknown, L = T> {
  readonly name: string;
  /** Why the subscription ended, while the state is `failed`. */
  error: CarillonError | undefined;
  stale = false;

  #session: Session;
  #o: ChannelOptions = {};
  #events = new Emitter<ChannelEvents<T, L>>();
  #follow: Follow | undefined;
  #holders = 0; // who need the subscription
  #table = new LatestTable<L>();
  #tableTurn = 0;
  #state: ChannelState = "idle";

  /** @internal */
  constructor(session: Session, name: string) {
    this.#session = session;
    this.name = name;
  }

  /** @internal Options count while nobody listens. */
  configure(o: ChannelOptions): void {
    if (this.#state === "idle") this.#o = o;
  }

  get state(): ChannelState {
    return this.#state;
  }

  /** Behind the last message handed over; undefined before the server's first answer. */
  get position(): string | undefined {
    return this.place?.at;
  }

  /** @internal */
  get place(): Place | undefined {
    return this.#follow?.pos;
  }

  /** The latest value of each key, while somebody listens. */
  get latest(): ReadonlyMap<string, Entry<L>> {
    return this.#table.entries;
  }

  /** Listens. Message, fleeting and latest keep the channel subscribed until the function returned is called. */
  on<K extends keyof ChannelEvents<T, L>>(event: K, f: (value: ChannelEvents<T, L>[K]) => void): Off {
    const off = this.#events.on(event, f);
    const release = event === "message" || event === "fleeting" || event === "latest" ? this.#hold() : () => {};
    return () => {
      off();
      release();
    };
  }

  /** Resolves when records flow, and rejects if they never will. Keeps the channel subscribed until then. */
  ready(): Promise<void> {
    const release = this.#hold();
    const over = () => this.#state === "failed" || this.#state === "idle";
    return reached(this.#events, () => this.#state === "live", () => over() && (this.error ?? this.#session.error)).finally(release);
  }

  /** A page of the log: the newest messages, what is `before` a position, or what came `after` one. */
  history(o: HistoryOptions = {}): Promise<Page<T>> {
    return readPage<T>(this.#session, this.name, o);
  }

  /**
   * Publishes. Resolves with the server's acknowledgement; until then it is sent again, under the same `idem`, as often as
   * the line breaks, and queued while there is none. Without data a `latest` key is deleted. Rejects with a CarillonError.
   */
  publish(data: T, o?: PublishOptions): Promise<Receipt>;
  publish(data: unknown, o: PublishOptions & { class: "latest" | "fleeting" }): Promise<Receipt>;
  async publish(data: unknown, o: PublishOptions = {}): Promise<Receipt> {
    const idem = o.class === "fleeting" ? o.idem : (o.idem ?? newId());
    const request: Request = {
      type: "publish", id: 0, channel: this.name, class: o.class === "logged" ? undefined : o.class, key: o.key,
      echo: o.echo === false ? false : undefined, idem,
    };
    const m = await this.#send(request, data, o.class !== undefined && o.class !== "logged");
    const receipt: Receipt = { ack: m?.ack ?? "dropped" };
    if (m?.at != null) Object.assign(receipt, { at: m.at, offset: m.offset });
    if (idem) receipt.idem = idem;
    return receipt;
  }

  /** Asks the service that owns the channel, until it has answered for good. A refusal rejects, with what the service says. */
  async request<R = unknown>(data: unknown, o: { idem?: string } = {}): Promise<Answer<R>> {
    const m = (await this.#send({ type: "command", id: 0, channel: this.name, idem: o.idem ?? newId() }, data, false))!;
    const refused = m.refused ?? m.code;
    if (typeof refused === "number") throw refusal(refused, m.data);
    return { data: m.data as R, ack: m.ack, at: m.at ?? undefined, offset: m.offset ?? undefined };
  }

  /** Ends all that listens here. */
  [Symbol.dispose](): void {
    this.#holders = 0;
    this.#release();
    this.#events.clear();
  }

  async #send(request: Request, data: unknown, mayBeEmpty: boolean): Promise<Incoming | undefined> {
    let body: Body | undefined;
    try {
      if (data !== undefined || !mayBeEmpty) body = toBody(data);
    } catch (e) {
      throw failure("bad_request", "This cannot be sent.", e, false);
    }
    return this.#session.send(request, body);
  }

  #hold(): Off {
    this.#holders++;
    if (this.#session.state !== "closed" && (!this.#follow || this.#state === "failed")) this.#start();
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.#holders--;
      // Who leaves and comes back at once, as views do when they are drawn anew, keeps the subscription.
      if (this.#holders === 0) queueMicrotask(() => this.#release());
    };
  }

  #release(): void {
    if (this.#holders > 0) return;
    this.#follow?.stop();
    this.#follow = undefined;
    this.#table = new LatestTable<L>();
    this.#tableTurn++;
    this.error = undefined;
    this.#move("idle");
  }

  #start(): void {
    this.error = undefined;
    const token = this.#o.token;
    const follow = new Follow(
      this.#session,
      this.name,
      {
        record: (r) => this.#record(r),
        table: (records) => this.#latest(this.#table.replace(records)),
        gap: (g) => this.#events.emit("gap", g),
        recovered: (r) => this.#events.emit("recovered", r),
        moved: (e) => this.#moved(follow, e),
        attached: () => this.#attached(),
        stale: (s) => {
          this.stale = s;
          this.#events.emit("stale", s);
        },
      },
      { since: this.#o.since, rewind: this.#o.rewind, token: typeof token === "string" ? () => token : token },
    );
    this.#follow = follow;
    this.#move("waiting");
    follow.start();
  }

  #record(r: WireRecord): void {
    if (r.class === "latest") {
      if (this.#table.update(r)) this.#latest([r.key ?? ""]);
    } else if (r.class === "fleeting") {
      this.#events.emit("fleeting", { channel: this.name, key: r.key ?? undefined, data: hasBody(r) ? r.data : undefined, time: r.time, user: r.user ?? undefined });
    } else {
      this.#events.emit("message", toMessage<T>(this.name, r));
    }
  }

  #latest(changed: string[]): void {
    this.#tableTurn++;
    if (changed.length) this.#events.emit("latest", { table: this.#table.entries, changed });
  }

  /** The server tells its table right after its answer, unless it is empty. What we still hold then is over. */
  #attached(): void {
    this.stale = false;
    const turn = ++this.#tableTurn;
    if (this.#table.entries.size === 0) return;
    this.#session.line?.after(tableWait, () => turn === this.#tableTurn && this.#latest(this.#table.replace([])));
  }

  #moved(follow: Follow, e: CarillonError | undefined): void {
    if (follow !== this.#follow) return;
    if (e) {
      this.error = e;
      this.#move("failed");
      this.#session.complain(e);
    } else if (follow.stance === "over") {
      this.#move("idle"); // the client was closed
    } else {
      this.#move(states[follow.stance] ?? "filling");
    }
  }

  #move(state: ChannelState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#events.emit("state", state);
  }
}

/** A service that says no gives a number, and a name and a sentence in its answer, or the sentence alone. */
function refusal(number: number, data: unknown): CarillonError {
  const said = (data && typeof data === "object" ? data : { message: data }) as { error?: unknown; message?: unknown };
  const text = typeof said.message === "string" ? said.message : "This was refused.";
  const e = new CarillonError(typeof said.error === "string" ? said.error : "refused", text);
  e.number = number;
  e.data = data;
  return e;
}

/** 128 random bits; `crypto.randomUUID` is missing in pages without TLS. */
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
