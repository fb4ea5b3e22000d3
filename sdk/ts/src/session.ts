import { awaitWake } from "./awareness.js";
import { type Backoff, type Ending, Retreat } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { CarillonError, failure } from "./error.js";
import type { Follow } from "./follow.js";
import { errorOf, type Frame, Line, type LineOwner, type SocketConstructor } from "./line.js";
import { Outbox, type QueueLimit } from "./outbox.js";
import { type Body, type Hello, type Incoming, json, type Protocol, type Request } from "./protocol.js";

/** Options of a client; each may be left out. */
export interface Options {
  /** The credential, if it does not change. */
  token?: string;
  /** Gives a fresh credential for each connection and each renewal. One that throws counts as a failed attempt. */
  getToken?: () => string | undefined | Promise<string | undefined>;
  /** The client software, for the operator: 1 to 64 printable ASCII characters. Default `carillon-js`. */
  name?: string;
  /** The format of the wire. Default JSON; the other one is in `@carillon/client/msgpack`. */
  protocol?: Protocol;
  /** The pace of going back. */
  backoff?: Backoff;
  /** What may wait while the line is down. */
  queue?: QueueLimit;
  /** The WebSocket to use, where the runtime has none of its own (Node 20: that of the npm package `ws`). */
  WebSocket?: SocketConstructor;
  /** False: connect only when `connect` is called. */
  autoConnect?: boolean;
}

/** Where a client stands with its server. `failed` and `disconnected` last until `connect` is called, `closed` for good. */
export type State = "connecting" | "connected" | "reconnecting" | "disconnected" | "failed" | "closed";

export interface Reconnecting {
  /** Failed attempts in a row. */
  attempt: number;
  /** ms until the next one. */
  wait: number;
  /** Why; its message is a sentence for people. */
  error: CarillonError;
}

export interface Connected {
  /** Who the server takes us for. */
  user: string;
  /** Names this connection, for logs and questions. */
  conn: string;
  /** name/version */
  server: string;
  /** ms since the line before was lost; 0 for the first one. */
  away: number;
}

export interface ClientEvents {
  state: State;
  reconnecting: Reconnecting;
  failed: CarillonError;
  connected: Connected;
  /** Something went wrong that concerns no request, or a subscription ended. */
  error: CarillonError;
  /** Each frame in and out. Costs nothing while nobody listens. */
  frame: Frame;
  /** The server lost its line to the others (true), so that records may be late, or has it back. */
  stale: boolean;
}

const noToken = "The sign-in could not be renewed.";

/** One user's connection over all its lines, with all that must survive their loss. */
export class Session implements LineOwner {
  readonly events = new Emitter<ClientEvents>();
  readonly follows = new Map<string, Follow>();
  readonly outbox: Outbox;
  state: State = "disconnected";
  stale = false;
  /** Why it failed, or that it was closed. */
  error: CarillonError | undefined;
  /** Set while connected. */
  line: Line | undefined;
  hello: Hello | undefined;
  recovered = 0;
  gaps = 0;
  reconnects = 0;

  #url: string;
  #o: Options;
  #socket: SocketConstructor;
  #protocol: Protocol;
  #retreat: Retreat;
  #dialling: Line | undefined;
  #turn = 0; // changes with every attempt, and when there is to be none
  #timer: ReturnType<typeof setTimeout> | undefined;
  #began = 0;
  #lost = 0; // when the last line was lost
  #guest: string | undefined;
  #unwatch: () => void;

  constructor(url: string, o: Options) {
    const socket = o.WebSocket ?? (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
    if (!socket) {
      throw new CarillonError("offline", 'There is no WebSocket here: pass that of the package "ws" as option.');
    }
    this.#url = url.replace(/^http/, "ws");
    this.#o = o;
    this.#socket = socket;
    this.#protocol = o.protocol ?? json;
    this.#retreat = new Retreat(o.backoff);
    this.outbox = new Outbox(o.queue, () => this.line, (n, advised) => this.retryWait(n, advised));
    this.#unwatch = awaitWake(() => this.#wake());
  }

  connect(): void {
    if (this.state === "closed") throw new CarillonError("closed", "This client was closed. Make a new one.");
    if (this.state !== "disconnected" && this.state !== "failed") return;
    this.#retreat.attempt = 0;
    this.error = undefined;
    this.#move("connecting");
    void this.#dial();
  }

  /** Ends the line until `connect`, and keeps everything else. */
  disconnect(clean: boolean): Promise<void> {
    return this.#leave("disconnected", clean);
  }

  /** Ends the line and everything else. */
  close(): Promise<void> {
    if (this.state === "closed") return Promise.resolve();
    this.error = new CarillonError("closed", "The client was closed.");
    const gone = this.#leave("closed", true);
    this.#unwatch();
    this.outbox.abandon(this.error);
    for (const f of [...this.follows.values()]) f.stop();
    this.events.clear();
    return gone;
  }

  /** Asks now, or as soon as there is a line, until there is an answer; see Outbox.add. */
  send(request: Request, body?: Body): Promise<Incoming | undefined> {
    return this.error ? Promise.reject(this.error) : this.outbox.add(request, body);
  }

  ping(): Promise<number> {
    const line = this.line;
    return line ? new Promise((resolve) => line.ping(resolve)) : Promise.reject(new CarillonError("offline", "There is no connection.", true));
  }

  /** The pause before the n-th retry of what the server refused for the moment. */
  retryWait(n: number, advised: number): number {
    return Math.max(advised, this.#retreat.wait(n));
  }

  /** Tells of something that went wrong beside all requests. */
  complain(e: CarillonError): void {
    this.events.emit("error", e);
  }

  frame(): ((f: Frame) => void) | undefined {
    return this.events.has("frame") ? (f) => this.events.emit("frame", f) : undefined;
  }

  connected(line: Line): void {
    const hello = line.hello!;
    const away = this.#lost && performance.now() - this.#lost;
    if (this.#lost) this.reconnects++;
    this.#dialling = undefined;
    this.line = line;
    this.hello = hello;
    this.stale = false;
    // A guest stays the same over reconnects: ids of what is sent again belong to their user.
    if (!this.#o.token && !this.#o.getToken && hello.user.startsWith("guest-")) this.#guest = hello.user;
    this.#move("connected");
    this.events.emit("connected", { user: hello.user, conn: hello.conn, server: hello.server, away });
    for (const f of [...this.follows.values()]) f.lineUp();
    this.outbox.flush();
  }

  message(m: Incoming): void {
    if (m.channel !== undefined) this.follows.get(m.channel)?.take(m);
    else if (m.type === "error") this.complain(errorOf(m));
    else if (m.type === "expiring") void this.#refresh();
    else if (m.type === "stale") {
      this.stale = !!m.stale;
      this.events.emit("stale", this.stale);
    }
  }

  ended(line: Line, e: Ending): void {
    if (line !== this.line && line !== this.#dialling) return;
    this.#lineDown();
    this.#failed(e);
  }

  /** Decides what follows a line that ended, or an attempt that failed. */
  #failed(e: Ending): void {
    if (e.then === "never") return this.#fail(e.error);
    const wait = this.#retreat.next(e, this.#began);
    if (wait === undefined) return this.#fail(e.error);
    this.#turn++;
    this.#timer = setTimeout(() => void this.#dial(), wait);
    this.#move("reconnecting");
    this.events.emit("reconnecting", { attempt: this.#retreat.attempt, wait, error: e.error });
  }

  async #dial(): Promise<void> {
    const turn = ++this.#turn;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#began = performance.now();
    let token: string | undefined = this.#o.token ?? this.#guest;
    try {
      if (this.#o.getToken) token = await this.#o.getToken();
    } catch (e) {
      if (turn === this.#turn) this.#failed({ error: failure("bad_token", noToken, e), then: "wait", after: 0, met: false });
      return;
    }
    if (turn !== this.#turn) return;
    try {
      this.#dialling = new Line(this.#url, this.#protocol, this.#socket, this, { token, name: this.#o.name ?? "carillon-js" });
    } catch (e) {
      this.#fail(failure("bad_request", `${this.#url} is no address to connect to.`, e));
    }
  }

  /** The device woke up, or is back in its network. */
  #wake(): void {
    if (this.line) this.line.probe();
    else if (this.#timer !== undefined) void this.#dial();
  }

  #leave(state: State, clean: boolean): Promise<void> {
    const line = this.line ?? this.#dialling;
    this.#turn++;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lineDown();
    this.#move(state);
    if (line && clean) return line.bye();
    line?.drop(new CarillonError("lost", "The line was cut on purpose.", true));
    return Promise.resolve();
  }

  #lineDown(): void {
    if (this.line) this.#lost = performance.now();
    this.line = this.#dialling = undefined;
    this.outbox.lineDown();
    for (const f of [...this.follows.values()]) f.lineDown();
  }

  #fail(e: CarillonError): void {
    this.#turn++;
    this.error = e;
    this.outbox.abandon(e);
    this.#move("failed");
    this.events.emit("failed", e);
  }

  #move(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.events.emit("state", state);
  }

  /** The token ends soon. Without a fresh one the line ends with it. */
  async #refresh(): Promise<void> {
    const line = this.line;
    if (!this.#o.getToken) return;
    try {
      const token = await this.#o.getToken();
      line?.ask({ type: "refresh", id: 0, token }, (m) => m.type === "error" && this.complain(errorOf(m)));
    } catch (e) {
      this.complain(failure("bad_token", noToken, e));
      line?.after(this.retryWait(3, 0), () => void this.#refresh());
    }
  }
}
