import type { Message } from "@carillon/client";
import type { RoomRecord } from "./records.js";

/** A message as it stands after everything that was done to it. Each change makes a new one. */
export interface Said {
  kind: "said";
  /** The same from the moment it is written until it is gone. */
  key: string;
  /** 0 while the log does not have it. */
  offset: number;
  /** The position behind it; empty as long as there is none. */
  at: string;
  n: number;
  user: string;
  time: number;
  text: string;
  edited: boolean;
  deleted: boolean;
  replyTo: number | undefined;
  mentions: readonly string[];
  /** Who reacted, by emoji, in the order of the first reaction. */
  reactions: ReadonlyMap<string, readonly string[]>;
  /** `sending`: not confirmed. `refused`: it is not in the log, and `why` says why. */
  state: "sent" | "sending" | "refused";
  why: string | undefined;
}

type NoticeRecord = Exclude<RoomRecord, { type: "message" | "edit" | "delete" | "react" }>;

/** Something that happened in the room. */
export interface Notice {
  kind: "notice";
  key: string;
  offset: number;
  at: string;
  user: string;
  time: number;
  record: NoticeRecord;
}

/** Records that nobody has any more, or that have not been asked for again. */
export interface Seam {
  kind: "seam";
  key: string;
  /** Offset and position of the last record before it. */
  offset: number;
  at: string;
  time: number;
  state: "open" | "loading" | "lost";
  reason: string;
}

export type Entry = Said | Notice | Seam;

interface Change {
  edit: { offset: number; text: string; mentions: readonly string[] } | undefined;
  deleted: boolean;
  reactions: Map<string, Map<string, { offset: number; on: boolean }>>;
}

const none: ReadonlyMap<string, readonly string[]> = new Map();

/**
 * The messages of a room, folded from the records of its log. Records may come in any order and more than once: of two
 * that speak of the same thing the one with the higher offset counts, so that pages of history and live records mix.
 */
export class Fold {
  /** By offset. */
  entries: Entry[] = [];
  #changes = new Map<number, Change>();
  #texts = new Map<number, Said>(); // messages as they were written
  #erased = new Map<number, Message<RoomRecord>>(); // of which it is not known whether they were messages

  /** Takes records in the order of the log. Says which messages are new at the end. `keys` are those of our own ones. */
  add(records: readonly Message<RoomRecord>[], keys?: ReadonlyMap<number, string>): Said[] {
    const fresh: Said[] = [];
    const found: Entry[] = [];
    const end = this.entries.at(-1)?.offset ?? 0;
    for (const r of records) {
      const e = this.#read(r, keys?.get(r.offset));
      if (!e) continue;
      found.push(e);
      if (e.kind === "said" && e.offset > end) fresh.push(e);
    }
    // What was done to a message of these records stands behind it.
    this.#merge(found.map((e) => (e.kind === "said" ? this.#dress(this.#texts.get(e.offset) ?? e) : e)));
    return fresh;
  }

  /** Marks a hole after the last record. */
  seam(reason: string): void {
    const last = this.entries.at(-1);
    if (last?.kind === "seam") return;
    this.entries.push({ kind: "seam", key: `gap${last?.offset ?? 0}`, offset: last?.offset ?? 0, at: last?.at ?? "", time: last?.time ?? Date.now(), state: "open", reason });
  }

  /** Lets go of the oldest entries beyond so many. */
  trim(most: number): void {
    const gone = this.entries.splice(0, Math.max(0, this.entries.length - most));
    for (const e of gone) this.#texts.delete(e.offset);
  }

  /** Changes a seam, or takes it out. */
  mend(key: string, state?: Seam["state"]): void {
    const i = this.entries.findIndex((e) => e.key === key);
    const seam = this.entries[i];
    if (seam?.kind !== "seam") return;
    if (state) this.entries[i] = { ...seam, state };
    else this.entries.splice(i, 1);
  }

  find(offset: number): Said | undefined {
    const i = this.index(offset);
    for (const e of [this.entries[i], this.entries[i + 1]]) if (e?.kind === "said" && e.offset === offset) return e;
    return undefined;
  }

  /** Where an entry of this offset is, or would be. */
  index(offset: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.entries[mid]!.offset < offset) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  /** Shows a reaction before the log has it. The function returned takes that back. */
  guess(of: number, emoji: string, user: string, on: boolean): () => void {
    const by = this.#reactors(of, emoji);
    const before = by.get(user);
    const mine = { offset: before?.offset ?? 0, on }; // any record of the log is newer
    by.set(user, mine);
    this.#rebuild(of);
    return () => {
      if (by.get(user) !== mine) return;
      if (before) by.set(user, before);
      else by.delete(user);
      this.#rebuild(of);
    };
  }

  /** Shows another text, or none, before the log has it. The function returned takes that back. */
  guessText(of: number, text: string | undefined): () => void {
    const c = this.#change(of);
    const { edit, deleted } = c;
    const mine = { offset: edit?.offset ?? 0, text: text ?? "", mentions: edit?.mentions ?? this.find(of)?.mentions ?? [] };
    if (text === undefined) c.deleted = true;
    else c.edit = mine;
    this.#rebuild(of);
    return () => {
      if (c.edit === mine) c.edit = edit;
      if (text === undefined) c.deleted = deleted;
      this.#rebuild(of);
    };
  }

  #rebuild(of: number): undefined {
    const was = this.#texts.get(of);
    const i = this.index(of);
    if (was && this.entries[i]?.offset === of) this.entries[i] = this.#dress(was);
  }

  #read(r: Message<RoomRecord>, key: string | undefined): Entry | undefined {
    const d = r.data;
    const user = r.user ?? "";
    if (!d) {
      this.#erased.set(r.offset, r);
      return this.#changes.get(r.offset)?.deleted ? this.#tomb(r) : undefined;
    }
    switch (d.type) {
      case "message": {
        if (this.#texts.has(r.offset)) return undefined;
        const said: Said = {
          kind: "said", key: key ?? `m${r.offset}`, offset: r.offset, at: r.at, n: d.n, user, time: r.time, text: d.text, edited: false, deleted: false,
          replyTo: d.reply_to, mentions: d.mentions ?? [], reactions: none, state: "sent", why: undefined,
        };
        this.#texts.set(r.offset, said);
        return this.#dress(said);
      }
      case "edit": {
        const c = this.#change(d.of);
        if (c.edit && c.edit.offset > r.offset) return undefined;
        c.edit = { offset: r.offset, text: d.text, mentions: d.mentions ?? [] };
        return this.#rebuild(d.of);
      }
      case "delete": {
        this.#change(d.of).deleted = true;
        const was = this.#erased.get(d.of);
        if (was && !this.#texts.has(d.of)) this.#merge([this.#tomb(was)]);
        this.#forget(d.of);
        return this.#rebuild(d.of);
      }
      case "react": {
        const by = this.#reactors(d.of, d.emoji);
        if ((by.get(user)?.offset ?? 0) > r.offset) return undefined;
        by.set(user, { offset: r.offset, on: d.on });
        return this.#rebuild(d.of);
      }
      default:
        return { kind: "notice", key: `e${r.offset}`, offset: r.offset, at: r.at, user, time: r.time, record: d };
    }
  }

  /** What stands in the place of a message that was deleted before we saw it. */
  #tomb(r: Message<RoomRecord>): Said {
    const said: Said = {
      kind: "said", key: `m${r.offset}`, offset: r.offset, at: r.at, n: 0, user: r.user ?? "", time: r.time, text: "", edited: false, deleted: true,
      replyTo: undefined, mentions: [], reactions: none, state: "sent", why: undefined,
    };
    this.#texts.set(r.offset, said);
    return said;
  }

  /** The texts of a deleted message are kept nowhere. */
  #forget(of: number): void {
    const was = this.#texts.get(of);
    if (was) this.#texts.set(of, { ...was, text: "", mentions: [] });
    const c = this.#changes.get(of);
    if (c) c.edit = undefined;
  }

  #change(of: number): Change {
    let c = this.#changes.get(of);
    if (!c) this.#changes.set(of, (c = { edit: undefined, deleted: false, reactions: new Map() }));
    return c;
  }

  #reactors(of: number, emoji: string): Map<string, { offset: number; on: boolean }> {
    const all = this.#change(of).reactions;
    let by = all.get(emoji);
    if (!by) all.set(emoji, (by = new Map()));
    return by;
  }

  #dress(was: Said): Said {
    const c = this.#changes.get(was.offset);
    if (!c) return was;
    if (c.deleted) return { ...was, text: "", deleted: true, edited: false, mentions: [], reactions: none };
    const reactions = new Map<string, string[]>();
    for (const [emoji, by] of c.reactions) {
      const users = [...by].filter(([, r]) => r.on).map(([user]) => user);
      if (users.length) reactions.set(emoji, users);
    }
    const edit = c.edit;
    return { ...was, text: edit?.text ?? was.text, mentions: edit?.mentions ?? was.mentions, edited: !!edit, reactions };
  }

  #merge(found: Entry[]): void {
    if (!found.length) return;
    const last = this.entries.at(-1);
    if (!last || found[0]!.offset > last.offset) this.entries.push(...found);
    else if (found.at(-1)!.offset < this.entries[0]!.offset) this.entries.unshift(...found);
    else for (const e of found) this.#insert(e);
  }

  #insert(e: Entry): void {
    const i = this.index(e.offset);
    if (this.entries[i]?.offset === e.offset && this.entries[i]?.kind !== "seam") return;
    this.entries.splice(i, 0, e);
  }
}
