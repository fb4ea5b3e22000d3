import { hasBody, type WireRecord } from "./protocol.js";

/** The value of a key. */
export interface Entry<L> {
  key: string;
  data: L;
  /** The order of a key's values. */
  rev: number;
  /** When it became true by the server's clock, ms since 1970. */
  time: number;
  user: string | undefined;
}

/** What changed in the table of a channel's latest values. */
export interface LatestChange<L> {
  table: ReadonlyMap<string, Entry<L>>;
  /** Keys with another value than before, or none any more. */
  changed: string[];
}

const maxTombs = 1000; // deleted keys remembered

/** The latest value of each key of a channel. The highest `rev` of a key wins, deletions included. */
export class LatestTable<L> {
  readonly entries = new Map<string, Entry<L>>();
  #tombs = new Map<string, number>(); // revs of deleted keys

  /** Takes the whole table, in the place of everything held. */
  replace(records: readonly WireRecord[]): string[] {
    const before = new Map(this.entries);
    this.entries.clear();
    this.#tombs.clear();
    for (const r of records) this.update(r);
    const keys = new Set([...before.keys(), ...this.entries.keys()]);
    return [...keys].filter((key) => before.get(key)?.rev !== this.entries.get(key)?.rev);
  }

  /** Takes one value, and says if it is news. */
  update(r: WireRecord): boolean {
    const key = r.key ?? "";
    const rev = r.rev ?? 0;
    const known = this.entries.get(key)?.rev ?? this.#tombs.get(key);
    if (known !== undefined && rev <= known) return false;
    if (hasBody(r)) {
      this.#tombs.delete(key);
      this.entries.set(key, { key, data: r.data as L, rev, time: r.time, user: r.user ?? undefined });
      return true;
    }
    this.#tombs.set(key, rev);
    if (this.#tombs.size > maxTombs) this.#tombs.delete(this.#tombs.keys().next().value!);
    return this.entries.delete(key);
  }
}
