import type { CarillonError, Reconnect } from "./error.js";

/** Paces attempts: before the n-th in a row comes a random wait of at most `min` ms, doubled each time up to `max`. */
export interface Backoff {
  /** ms; default 1,000. */
  min?: number;
  /** ms; default 5,000. */
  max?: number;
  /** Attempts in a row after which the client fails; default: it never does. */
  attempts?: number;
}

/** Why a line ended, and what follows. */
export interface Ending {
  error: CarillonError;
  then: Reconnect;
  /** The server's advice, in ms. */
  after: number;
  /** It was connected before. */
  met: boolean;
}

/** The state of going back. */
export class Retreat {
  /** Failed attempts in a row. */
  attempt = 0;
  #min: number;
  #max: number;
  #attempts: number;
  #atOnce = -Infinity;

  constructor(o: Backoff = {}) {
    this.#min = o.min ?? 1000;
    this.#max = Math.max(o.max ?? 5000, this.#min);
    this.#attempts = o.attempts ?? Infinity;
  }

  /** Full jitter: a random wait before the n-th attempt, counted from 1. */
  wait(n: number): number {
    return Math.random() * Math.min(this.#min * 2 ** (n - 1), this.#max);
  }

  /** The wait before the next attempt, undefined if there is to be none. `began` is when the last one began. */
  next(e: Ending, began: number): number | undefined {
    const now = performance.now();
    this.attempt = e.met && now - began >= this.#max ? 0 : this.attempt + 1; // a line that lasted begins the count anew
    if (this.attempt >= this.#attempts) return undefined;
    // Who is sent away at once, again and again, meets something broken: then it is paced all the same.
    if (e.then === "at once" && now - this.#atOnce >= this.#min) {
      this.#atOnce = now + e.after;
      return e.after;
    }
    return Math.max(e.after, this.wait(Math.max(this.attempt, 1)));
  }
}
