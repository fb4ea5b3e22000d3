import { CarillonError } from "./error.js";
import { errorOf, type Line } from "./line.js";
import { type Body, type Incoming, type Request, sizeOf } from "./protocol.js";

/** How much may wait for its acknowledgement, connected or not; beyond it a publish is refused with `queue_full`. */
export interface QueueLimit {
  /** Publishes, commands and questions; default 1,000. */
  max?: number;
  /** Bytes of their bodies; default 4 MiB. */
  bytes?: number;
}

/** A request that is not settled. */
interface Item {
  request: Request;
  body: Body | undefined;
  seq: number;
  /** When it was first sent, by performance.now. */
  first: number | undefined;
  settle(answer?: Incoming, error?: CarillonError): void;
}

/** The order of one channel. */
interface Lane {
  waiting: Item[]; // by seq
  sent: Set<Item>; // on this line, without their answer
  refused: number; // refusals in a row for the moment: then one at a time
  resting: boolean;
}

/**
 * Requests on their way. Those of one channel are sent in order, and again in that order on the next line, with the
 * `idem` they had and their age, until there is an answer. One that the server refuses for the moment is tried again;
 * what was on its way behind it may overtake it, nothing else does.
 */
export class Outbox {
  count = 0;
  #bytes = 0;
  #seq = 0;
  #lanes = new Map<string, Lane>();
  #limit: Required<QueueLimit>;
  #line: () => Line | undefined;
  #retryWait: (n: number, advised: number) => number;

  constructor(o: QueueLimit | undefined, line: () => Line | undefined, retryWait: (n: number, advised: number) => number) {
    this.#limit = { max: 1000, bytes: 4 << 20, ...o };
    this.#line = line;
    this.#retryWait = retryWait;
  }

  /** Resolves with the reply; undefined for a fleeting record that found no line, or lost it. */
  add(request: Request, body?: Body): Promise<Incoming | undefined> {
    const size = sizeOf(body);
    return new Promise((resolve, reject) => {
      if (isFleeting(request) && !this.#line()) return resolve(undefined);
      if (this.count >= this.#limit.max || this.#bytes + size > this.#limit.bytes) {
        return reject(new CarillonError("queue_full", "Too much waits to be sent.", true));
      }
      this.count++;
      this.#bytes += size;
      const item: Item = {
        request, body, seq: ++this.#seq, first: undefined,
        settle: (answer, error) => {
          this.count--;
          this.#bytes -= size;
          if (error) reject(error);
          else resolve(answer);
        },
      };
      // A question is in nobody's order.
      const lane = request.idem || isFleeting(request) ? request.channel! : String(item.seq);
      if (!this.#lanes.has(lane)) this.#lanes.set(lane, { waiting: [], sent: new Set(), refused: 0, resting: false });
      this.#lanes.get(lane)!.waiting.push(item);
      this.flush();
    });
  }

  /** Sends what may be sent, in turn of the channels. */
  flush(): void {
    const line = this.#line();
    for (let sent = !!line; sent; ) {
      sent = false;
      for (const [name, lane] of this.#lanes) {
        if (line!.draining || line!.room <= 0) return;
        if (!lane.waiting.length) {
          if (!lane.sent.size) this.#lanes.delete(name);
        } else if (!lane.resting && !(lane.refused && lane.sent.size)) {
          this.#send(line!, lane, lane.waiting.shift()!);
          sent = true;
        }
      }
    }
  }

  /** Takes back what was under way: it is sent again, in order, on the next line. */
  lineDown(): void {
    for (const lane of this.#lanes.values()) {
      lane.waiting = inOrder([...lane.sent, ...lane.waiting]).filter((item) => {
        if (!isFleeting(item.request)) return true;
        item.settle();
        return false;
      });
      lane.sent.clear();
      lane.resting = false;
    }
  }

  /** Gives everything up. What was sent may have arrived all the same, and its error says so. */
  abandon(why: CarillonError): void {
    for (const lane of this.#lanes.values()) {
      for (const item of [...lane.sent, ...lane.waiting]) {
        const e = new CarillonError(why.code, why.message, why.retry);
        e.outcomeUnknown = item.first !== undefined;
        item.settle(undefined, e);
      }
    }
    this.#lanes.clear();
  }

  #send(line: Line, lane: Lane, item: Item): void {
    // The server would end the line over a frame that is too large, and over each repetition.
    if (line.tooLarge(item.body)) return item.settle(undefined, new CarillonError("too_large", "This is larger than the server takes."));
    const now = performance.now();
    const request = { ...item.request };
    if (item.first !== undefined && request.idem) request.age = Math.max(1, Math.round(now - item.first));
    item.first ??= now;
    lane.sent.add(item);
    line.ask(request, (m) => this.#answered(line, lane, item, m), item.body);
  }

  #answered(line: Line, lane: Lane, item: Item, m: Incoming): void {
    lane.sent.delete(item);
    if (m.type === "error" && m.retry && !isFleeting(item.request)) {
      lane.waiting = inOrder([item, ...lane.waiting]);
      if (!lane.resting) {
        lane.resting = true;
        line.after(this.#retryWait(++lane.refused, m.retry_after ?? 0), () => {
          lane.resting = false;
          this.flush();
        });
      }
    } else if (m.type === "error") {
      item.settle(undefined, errorOf(m));
    } else {
      lane.refused = 0;
      item.settle(m);
    }
    this.flush();
  }
}

const inOrder = (items: Item[]) => items.sort((a, b) => a.seq - b.seq);

/** Fleeting records are sent once, and only while there is a line. */
const isFleeting = (r: Request) => r.class === "fleeting";
