import type { Ending } from "./backoff.js";
import { afterClose, CarillonError, closeError, failure } from "./error.js";
import { type Body, type Hello, type Incoming, type Protocol, type Request, sizeOf } from "./protocol.js";

/** What we need of a WebSocket: that of browsers, Deno, Bun and Node 22, or the npm package `ws`. */
export interface Socket {
  binaryType: string;
  onopen: ((e: any) => void) | null;
  onmessage: ((e: any) => void) | null;
  onerror: ((e: any) => void) | null;
  onclose: ((e: any) => void) | null;
  send(data: any): void;
  close(code?: number, reason?: string): void;
  /** Only `ws` can drop a line at once. */
  terminate?(): void;
}

export interface SocketConstructor {
  new (url: string, protocols: string[]): Socket;
}

/** A frame as it passed, for people who look at the line. */
export interface Frame {
  direction: "in" | "out";
  /** What stood on the line: text, or the bytes of MessagePack. */
  data: string | Uint8Array;
  /** What it says. A frame that goes out holds one message. */
  messages: readonly object[];
}

/** What a line tells its owner. */
export interface LineOwner {
  connected(line: Line): void;
  message(m: Incoming): void;
  /** Called once, and nothing after it. */
  ended(line: Line, ending: Ending): void;
  /** Absent while nobody looks. */
  frame(): ((f: Frame) => void) | undefined;
}

type Answered = (m: Incoming) => void;

const connectPatience = 10_000; // ms from dialling to `connected`
const byePatience = 1000; // ms for the server to answer `leave`
const probePatience = 5000; // ms for a sign of life of a line that is doubted
const defaultFrame = 262_144; // bytes, where the server tells no limit
const defaultInFlight = 16;

/** One WebSocket, from dialling to its end. Requests that have no answer by then are forgotten: their owner asks again. */
export class Line {
  /** Set from `connected` on. */
  hello: Hello | undefined;
  /** The server is going away: no more publishes. */
  draining = false;
  /** Of the last question to the server, in ms. */
  rtt: number | undefined;

  #socket: Socket;
  #protocol: Protocol;
  #owner: LineOwner;
  #calls = new Map<number, Answered>();
  #accepted = new Set<number>(); // commands: their service may take its time
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #lastId = 0;
  #overdue = 0; // what was asked up to this id has had a whole heartbeat
  #asked = 0; // the last id at the last heartbeat
  #heard = 0;
  #until = 0; // come back then, by performance.now
  #over = false;
  #hint = "";

  constructor(url: string, protocol: Protocol, socket: SocketConstructor, owner: LineOwner, login: { token?: string | undefined; name: string }) {
    this.#protocol = protocol;
    this.#owner = owner;
    const s = (this.#socket = new socket(url, [protocol.name]));
    s.binaryType = "arraybuffer";
    s.onopen = () => this.#connect(login);
    s.onmessage = (e) => this.#read(e.data);
    s.onerror = (e) => (this.#hint = String(e?.message || ""));
    s.onclose = (e) => this.#closed(e.code, e.reason || "");
    this.after(connectPatience, () => this.hello || this.#silent());
  }

  /** How many further requests the server takes now. */
  get room(): number {
    return (this.hello?.limits?.in_flight ?? defaultInFlight) - this.#calls.size;
  }

  /** Asks the server. `answered` gets the reply or the error, unless the line ends before. */
  ask(request: Request, answered: Answered, body?: Body): void {
    request.id = ++this.#lastId;
    this.#calls.set(request.id, answered);
    this.send(request, body);
  }

  /** Says if a body is too large for the frames this server reads. */
  tooLarge(body: Body | undefined): boolean {
    return sizeOf(body) > (this.hello?.limits?.frame ?? defaultFrame) - 2048; // what a frame has beside the body
  }

  send(request: Request, body?: Body): void {
    if (this.#over) return;
    const data = this.#protocol.encode(request, body);
    this.#owner.frame()?.({ direction: "out", data, messages: this.#protocol.decode(typeof data === "string" ? data : data.buffer) });
    this.#socket.send(data);
  }

  /** Does something later, unless the line ends before. */
  after(ms: number, f: () => void): void {
    if (this.#over) return;
    const t = setTimeout(() => {
      this.#timers.delete(t);
      f();
    }, ms);
    this.#timers.add(t);
  }

  /** Makes sure that the line is alive, where there is reason to doubt it. */
  probe(): void {
    const before = this.#heard;
    this.ping();
    this.after(probePatience, () => this.#heard === before && this.#silent());
  }

  /** Measures the way to the server and back. */
  ping(told?: (ms: number) => void): void {
    const began = performance.now();
    this.ask({ type: "ping" }, () => {
      this.rtt = performance.now() - began;
      told?.(this.rtt);
    });
  }

  #silent(): void {
    this.drop(new CarillonError("silent", "The server does not answer.", true));
  }

  /** Ends the line here and now, without a goodbye. */
  drop(error: CarillonError, number?: number): void {
    this.#end({ error, then: number ? afterClose(number) : "wait", after: 0, met: !!this.hello });
    this.#let();
  }

  /** Says goodbye, so that nobody waits for our return, and resolves when the line is closed. The owner hears no more. */
  bye(): Promise<void> {
    return new Promise((resolve) => {
      const close = () => this.#socket.close(1000);
      if (this.hello && !this.#over) this.ask({ type: "leave" }, close);
      else close();
      this.#over = true;
      this.#quiet();
      const s = this.#socket;
      const t = setTimeout(() => {
        this.#let();
        resolve();
      }, byePatience);
      s.onmessage = close; // whatever it says; what came before our goodbye is of no interest any more
      s.onclose = () => {
        clearTimeout(t);
        resolve();
      };
      if (!this.hello) s.onopen = close;
    });
  }

  #connect(login: { token?: string | undefined; name: string }): void {
    const began = performance.now();
    this.ask({ type: "connect", id: 0, token: login.token, name: login.name }, (m) => {
      if (m.type === "error") return this.#refused(m);
      this.rtt = performance.now() - began;
      this.hello = m as Hello;
      const beat = m.heartbeat;
      if (beat) this.#watch(beat.interval + beat.timeout);
      this.#owner.connected(this);
    });
  }

  #read(data: string | ArrayBuffer): void {
    this.#heard = performance.now();
    let messages: Incoming[];
    try {
      messages = this.#protocol.decode(data);
    } catch (e) {
      return this.drop(failure("lost", "The server speaks another protocol.", e));
    }
    this.#owner.frame()?.({ direction: "in", data: typeof data === "string" ? data : new Uint8Array(data), messages });
    for (const m of messages) if (!this.#over) this.#take(m);
  }

  #take(m: Incoming): void {
    switch (m.type) {
      case "connected":
      case "reply":
      case "error": {
        const answered = this.#calls.get(m.id!);
        if (answered) {
          this.#calls.delete(m.id!);
          this.#accepted.delete(m.id!);
          answered(m);
        } else if (m.type === "error" && m.id == null) {
          this.hello ? this.#owner.message(m) : this.#refused(m);
        }
        return;
      }
      case "accepted":
        if (this.#calls.has(m.id!)) this.#accepted.add(m.id!); // it may come behind the final reply
        return;
      case "ping":
        return this.#beat();
      case "drain":
        return this.#drain(m.after ?? 0);
      default:
        this.#owner.message(m);
    }
  }

  /** Answers the server's heartbeat, and drops a line on which answers fail to come although it lives. */
  #beat(): void {
    this.send({ type: "pong" });
    for (const id of this.#calls.keys()) {
      if (this.#accepted.has(id)) continue;
      if (id <= this.#overdue) return this.#silent();
      break;
    }
    this.#overdue = this.#asked;
    this.#asked = this.#lastId;
    this.ping();
  }

  #drain(after: number): void {
    this.draining = true;
    this.#until = performance.now() + after;
    this.after(Math.max(after, byePatience), () => this.drop(closeError(4201, ""), 4201));
  }

  /** Drops the line after so many ms of silence. */
  #watch(patience: number): void {
    const quiet = performance.now() - this.#heard;
    if (quiet >= patience) this.#silent();
    else this.after(patience - quiet, () => this.#watch(patience));
  }

  /** The answer to `connect` was no. */
  #refused(m: Incoming): void {
    const error = errorOf(m);
    this.#end({ error, then: error.retry ? "wait" : "never", after: error.retryAfter, met: false });
    this.#let();
  }

  #closed(number: number, reason: string): void {
    const error = closeError(number, reason || this.#hint);
    // `ws` tells what HTTP said instead of the handshake; in a browser nobody can know.
    const denied = number === 1006 && !this.hello && /response: 40[13]/.test(this.#hint);
    this.#end({ error, then: denied ? "never" : afterClose(number), after: 0, met: !!this.hello });
  }

  #end(e: Ending): void {
    if (this.#over) return;
    this.#over = true;
    this.#quiet();
    if (this.draining && e.then !== "never") {
      e.then = "at once";
      e.after = Math.max(0, this.#until - performance.now());
    }
    this.#owner.ended(this, e);
  }

  #quiet(): void {
    for (const t of this.#timers) clearTimeout(t);
    this.#timers.clear();
    this.#calls.clear();
    const s = this.#socket;
    s.onopen = s.onmessage = s.onclose = null;
    s.onerror = () => {}; // `ws` throws an error that nobody hears
  }

  /** Lets go of the socket without waiting for anybody. */
  #let(): void {
    if (this.#socket.terminate) this.#socket.terminate();
    else this.#socket.close();
  }
}

/** The error that the server answered. */
export function errorOf(m: Incoming): CarillonError {
  const e = new CarillonError(String(m.code), m.message || `The server answered ${m.code}.`, !!m.retry);
  e.retryAfter = m.retry_after ?? 0;
  return e;
}
