import { type CarillonError, failure } from "./error.js";
import { errorOf } from "./line.js";
import { type Incoming, type WireGap, type WireRecord } from "./protocol.js";
import type { Session } from "./session.js";

/** Records that are missing for good: history no longer has them, or may not be read. */
export interface Gap {
  /** Offsets of the first and the last one; both 0 where nobody can tell. */
  from: number;
  to: number;
  /** `slow`, `too_many`, `trimmed`: history lacks them. `epoch`: the log began anew. `diverged`: it has another past. */
  reason: string;
}

/** A place in a log. The offset is -1 while only the position is known. */
export interface Place {
  at: string;
  offset: number;
}

/** What came of going back to a channel after the line was lost. */
export interface Recovered {
  /** Records that were published meanwhile and have been handed over now. */
  missed: number;
  /** False: there was a gap as well. */
  complete: boolean;
}

/** Who is told what a subscription brings. */
export interface Reader {
  record(r: WireRecord): void;
  /** The whole table of Latest, in the place of what was known of it. */
  table(records: WireRecord[]): void;
  gap(g: Gap): void;
  recovered(r: Recovered): void;
  /** The stance changed, or the subscription failed. */
  moved(error?: CarillonError): void;
  /** The server has answered the subscribe; what it tells of Latest comes next. */
  attached(): void;
  stale(stale: boolean): void;
}

/** Gives a subscription token, or none. */
export type Ticket = () => string | undefined | Promise<string | undefined>;

/** Where a subscription stands with the server. */
export type Stance =
  | "away" // not subscribed: there is no line, or the next attempt is due later
  | "asked" // subscribe was sent
  | "live" // records are handed over as they come
  | "filling" // they are held, while history is read up to where they began
  | "catching" // not subscribed: history is read to its end, then subscribe
  | "over";

/** The reading of history to close a gap. */
interface Fill {
  goal: Place | undefined; // up to where; undefined while catching up
  why: string;
  fresh: boolean; // the log is a new one: begin with its oldest record
  held: WireRecord[]; // live ones, which continue goal
  bytes: number; // of held
}

const holdRecords = 1000;
const holdBytes = 1 << 20;
const pageRecords = 500; // asked for at a time
const maxTries = 8; // how often in a row history is asked in vain before its records count as missing
const settle = 100; // ms without a missed record, after which a recovery is told

/** Gaps that no page of history can fill. */
const voids = (reason: string) => reason === "diverged" || reason === "ahead";

/**
 * The way of a subscription through its log. `pos` moves only with what is handed over, so that whatever happens to the
 * line, to ask again from `pos` is right. What the server could not replay is read from history; for what that lacks the
 * reader hears of a gap.
 */
export class Follow {
  stance: Stance = "away";
  pos: Place | undefined;
  #session: Session;
  #name: string;
  #rewind: number | undefined;
  #token: Ticket | undefined;
  #reader: Reader;
  #turn = 0; // changes when answers under way are no longer wanted
  #fill: Fill | undefined;
  #toldEpoch = false; // of a new log, of which no record came yet
  #asks = 0; // subscribes in a row that were refused for the moment
  #tries = 0; // pages in a row that were refused or brought nothing
  #doubts = 0; // records in a row that do not continue pos
  #blind = false; // history is of no help this time
  #resumed: Recovered | undefined;

  constructor(session: Session, name: string, reader: Reader, o: { since?: string | undefined; rewind?: number | undefined; token?: Ticket | undefined }) {
    this.#session = session;
    this.#name = name;
    this.#reader = reader;
    this.#rewind = o.rewind;
    this.#token = o.token;
    if (o.since) this.pos = { at: o.since, offset: -1 };
  }

  start(): void {
    this.#session.follows.set(this.#name, this);
    this.lineUp();
  }

  /** Ends the subscription. */
  stop(): void {
    if (this.stance === "over") return;
    this.#leave();
    this.#end();
    this.#reader.moved();
  }

  lineUp(): void {
    if (this.stance === "away") void this.#ask();
  }

  lineDown(): void {
    if (this.stance === "over") return;
    this.#blind = false;
    this.#resumed = undefined;
    this.#turnTo("away");
  }

  /** A message of this channel. */
  take(m: Incoming): void {
    switch (m.type) {
      case "record":
        if (m.class && m.class !== "logged") return this.#subscribed() ? this.#reader.record(m) : undefined;
        return this.#record(m);
      case "gap":
        return this.#gapTold(m, { at: m.at, offset: m.offset });
      case "latest":
        return this.#subscribed() ? this.#reader.table(m.records ?? []) : undefined;
      case "stale":
        return this.#reader.stale(!!m.stale);
      case "unsubscribed":
        // Where it is not for want of a right, the answer to the next subscribe tells if it is for good.
        return m.code === "forbidden" ? this.#fail(errorOf(m)) : this.#askLater(m.retry_after ?? 0);
    }
  }

  #subscribed(): boolean {
    return this.stance === "live" || this.stance === "filling";
  }

  #turnTo(stance: Stance): void {
    this.#turn++;
    this.#fill = undefined;
    if (this.stance === stance) return;
    this.stance = stance;
    this.#reader.moved();
  }

  #end(): void {
    if (this.#session.follows.get(this.#name) === this) this.#session.follows.delete(this.#name);
    this.#turn++;
    this.stance = "over";
  }

  #fail(e: CarillonError): void {
    this.#end();
    this.#reader.moved(e);
  }

  /** Does something later, unless the turn or the line changes before. */
  #after(ms: number, f: () => void): void {
    const turn = this.#turn;
    this.#session.line?.after(ms, () => turn === this.#turn && f());
  }

  /** Subscribes from pos. */
  async #ask(): Promise<void> {
    this.#turnTo("away");
    if (!this.#session.line) return;
    const turn = this.#turn;
    let token: string | undefined;
    if (this.#token) {
      try {
        token = await this.#token();
      } catch (e) {
        this.#session.complain(failure("bad_token", `No token for ${this.#name} could be had.`, e));
        return turn === this.#turn ? this.#askLater(0) : undefined;
      }
      if (turn !== this.#turn) return;
    }
    const line = this.#session.line;
    if (!line) return;
    this.#turnTo("asked");
    const sent = this.#turn;
    const at = this.pos?.at;
    line.ask({ type: "subscribe", id: 0, channel: this.#name, at, token, rewind: at ? undefined : this.#rewind }, (m) => {
      if (sent === this.#turn) this.#answered(m);
    });
  }

  #answered(m: Incoming): void {
    if (m.type === "error") return m.retry ? this.#askLater(m.retry_after ?? 0) : this.#fail(errorOf(m));
    this.#asks = 0;
    this.#reader.attached();
    const before = this.pos;
    if (!before && m.at) this.pos = { at: m.at, offset: m.offset };
    if (!before) return this.#goLive();
    this.#resume();
    if (m.gap || m.recovered === false) return this.#gap(m.gap ?? { from: 0, to: 0, reason: "trimmed" }, { at: m.at, offset: m.offset });
    if (m.at) this.pos = { at: m.at, offset: m.offset };
    this.#goLive();
  }

  /** Counts what comes now that was published while we were away, until no more of it comes. */
  #resume(): void {
    const r: Recovered = (this.#resumed = { missed: 0, complete: true });
    let counted = -1;
    const line = this.#session.line;
    const look = () => {
      if (this.#resumed !== r) return;
      if (this.stance === "live" && counted === r.missed) {
        this.#resumed = undefined;
        this.#reader.recovered(r);
      } else {
        counted = r.missed;
        line?.after(settle, look);
      }
    };
    look();
  }

  #askLater(advised: number): void {
    this.#turnTo("away");
    this.#after(this.#session.retryWait(++this.#asks, advised), () => void this.#ask());
  }

  /** Unsubscribes where the server has the subscription, or will have it in a moment. */
  #leave(): void {
    if (this.#subscribed() || this.stance === "asked") {
      this.#session.line?.ask({ type: "unsubscribe", id: 0, channel: this.#name }, () => {});
    }
  }

  /** Asks again from pos, because server and client disagree on where it lies: the answer tells. */
  #resync(): void {
    this.#leave();
    if (++this.#tries > maxTries) this.#blind = true;
    if (this.#tries === 1) return void this.#ask();
    this.#turnTo("away");
    this.#after(this.#session.retryWait(this.#tries - 1, 0), () => void this.#ask());
  }

  #goLive(): void {
    this.#turnTo("live");
    this.#blind = false;
  }

  #record(r: WireRecord): void {
    if (this.stance === "filling") return this.#hold(r);
    if (this.stance !== "live") return;
    const v = this.#judge(r);
    if (v === "new") return this.#hand(r);
    if (v === "known") return;
    if (++this.#doubts < 2) return this.#resync();
    // The server vouched for pos, and sends such a record again: the break is in the log itself.
    this.#raise({ from: 0, to: 0, reason: "diverged" });
    this.#hand(r);
  }

  /** Compares a record with pos. Holes prove nothing: a record may be kept from this connection. */
  #judge(r: WireRecord): "new" | "known" | "doubted" {
    const p = this.pos;
    if (!p || r.offset! > p.offset) return "new";
    return r.offset === p.offset && r.at !== p.at ? "doubted" : "known";
  }

  #hand(r: WireRecord): void {
    this.pos = { at: r.at!, offset: r.offset! };
    this.#tries = this.#doubts = 0;
    this.#toldEpoch = false;
    if (this.#resumed && r.time < this.#session.line!.hello!.time) {
      this.#resumed.missed++;
      this.#session.recovered++;
    }
    this.#reader.record(r);
  }

  #raise(g: Gap): void {
    if (this.#resumed) this.#resumed.complete = false;
    this.#session.gaps++;
    this.#reader.gap(g);
  }

  /** Takes the server's word that it skipped records. */
  #gapTold(g: WireGap, place: Place): void {
    if (!this.#subscribed()) return;
    const fill = this.#fill;
    if (fill && this.stance === "filling" && g.reason !== "epoch" && !voids(g.reason)) {
      // What is held lies before it, and will be read again.
      Object.assign(fill, { goal: place, held: [], bytes: 0 });
      return; // a page is under way
    }
    this.#gap(g, place);
  }

  /** Goes on from `place`, behind a gap: history fills it as far as it can. */
  #gap(g: WireGap, place: Place): void {
    const pos = (this.pos ??= place);
    if (pos.offset < 0) pos.offset = Math.max(0, g.from - 1);
    if (g.reason === "epoch") {
      if (!this.#toldEpoch) this.#raise({ from: 0, to: 0, reason: "epoch" });
      this.#toldEpoch = true;
      this.#begin({ goal: place, why: "trimmed", fresh: true, held: [], bytes: 0 });
    } else if (voids(g.reason) || place.offset < pos.offset || (place.offset === pos.offset && place.at !== pos.at)) {
      this.pos = place;
      this.#raise({ from: 0, to: 0, reason: "diverged" });
      this.#goLive();
    } else {
      this.#begin({ goal: place, why: g.reason, fresh: false, held: [], bytes: 0 });
    }
  }

  #begin(fill: Fill): void {
    this.#turnTo("filling");
    this.#fill = fill;
    const goal = fill.goal!;
    if (this.#blind) this.#giveUp();
    else if (fill.fresh ? goal.offset === 0 : this.pos!.offset >= goal.offset) this.#filled();
    else this.#page();
  }

  /** Keeps a live record until the gap before it is filled. When too many come, they are dropped and read from history too. */
  #hold(r: WireRecord): void {
    const fill = this.#fill!;
    const size = r.data instanceof Uint8Array ? r.data.length : JSON.stringify(r.data ?? null).length;
    if (fill.held.length < holdRecords && fill.bytes + size <= holdBytes) {
      fill.held.push(r);
      fill.bytes += size;
      return;
    }
    this.#leave();
    this.#turnTo("catching");
    this.#fill = { goal: undefined, why: fill.why, fresh: fill.fresh, held: [], bytes: 0 };
    this.#page();
  }

  #page(): void {
    const turn = this.#turn;
    const at = this.#fill!.fresh ? undefined : this.pos!.at;
    this.#session.line?.ask({ type: "history", id: 0, channel: this.#name, at, limit: pageRecords }, (m) => {
      if (turn !== this.#turn) return;
      if (m.type !== "error") this.#paged(m);
      else if (m.retry && this.#tries < maxTries) this.#pageLater(m.retry_after ?? 0);
      else this.#giveUp();
    });
  }

  #pageLater(advised: number): void {
    this.#after(this.#session.retryWait(++this.#tries, advised), () => this.#page());
  }

  /** Hands a page over. */
  #paged(m: Incoming): void {
    const reason = m.gap?.reason;
    if (reason && (voids(reason) || (reason === "epoch" && !this.#fill!.fresh))) return this.#resync();
    const before = this.pos!.at;
    const records = m.records ?? [];
    if (this.#fill!.fresh || reason) this.#skipTo(records.length ? records[0]!.offset! - 1 : m.offset, m.before ?? m.at);
    for (const r of records) {
      const goal = this.#fill!.goal;
      if (goal && r.offset! > goal.offset) break;
      const v = this.#judge(r);
      if (v === "doubted") return this.#resync();
      if (v === "new") this.#hand(r);
      if (!this.#fill) return; // a listener ended it
    }
    this.#turnPage(m, this.pos!.at === before);
  }

  /** Goes on after a page; `stuck` says that it brought nothing. */
  #turnPage(m: Incoming, stuck: boolean): void {
    const goal = this.#fill!.goal;
    if (goal && this.pos!.offset >= goal.offset) return this.#filled();
    if (!goal && !m.more) return void this.#ask();
    // A page that was read when the log had not reached the goal yet proves nothing.
    if ((goal && !m.more && m.offset >= goal.offset) || (stuck && this.#tries >= maxTries)) return this.#giveUp();
    if (stuck) return this.#pageLater(0);
    this.#page();
  }

  /** Raises a gap for what lies between pos and the first record that history has, and moves behind it. */
  #skipTo(offset: number, at: string): void {
    const fill = this.#fill!;
    const base = fill.goal && offset > fill.goal.offset ? fill.goal : { at, offset };
    const first = fill.fresh ? 1 : this.pos!.offset + 1;
    this.pos = base;
    fill.fresh = false;
    if (base.offset >= first) this.#raise({ from: first, to: base.offset, reason: "trimmed" });
  }

  /** Hands over what was held, and goes on live. */
  #filled(): void {
    const { goal, held, fresh } = this.#fill!;
    if (fresh) this.pos = goal;
    else if (this.pos!.offset === goal!.offset && this.pos!.at !== goal!.at) return this.#resync(); // another past
    this.#tries = 0;
    this.#goLive();
    for (const r of held) this.#record(r);
  }

  /** Raises a gap for what history did not give, and goes on behind it. */
  #giveUp(): void {
    const fill = this.#fill!;
    if (!fill.goal) {
      this.#blind = true;
      return void this.#ask();
    }
    const first = fill.fresh ? 1 : this.pos!.offset + 1;
    this.pos = fill.goal;
    fill.fresh = false;
    if (first <= fill.goal.offset) this.#raise({ from: first, to: fill.goal.offset, reason: fill.why });
    if (this.#fill) this.#filled();
  }
}

