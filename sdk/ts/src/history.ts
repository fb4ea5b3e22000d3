import type { Gap } from "./follow.js";
import { hasBody, type WireRecord } from "./protocol.js";
import type { Session } from "./session.js";

/** A record of a channel's log. */
export interface Message<T> {
  channel: string;
  /** undefined if the record was erased. */
  data: T | undefined;
  erased: boolean;
  /** The position right after this record: opaque, to page or to resume from. */
  at: string;
  /** The place in the log, counting from 1, for people and keys of lists. */
  offset: number;
  /** When it became true by the server's clock, ms since 1970. */
  time: number;
  /** Who published it; undefined: the server itself. */
  user: string | undefined;
  /** In `messages()` alone: records are missing right before this one. */
  gap?: Gap;
}

export interface HistoryOptions {
  /** Newest first: the page ends with the record at this position. Give `page.before`. Default: the end of the log. */
  before?: string | undefined;
  /** Oldest first: what came after this position; "start" for the oldest record kept. */
  after?: string | undefined;
  /** Records in a page, at most 1,000; default 100. */
  limit?: number | undefined;
}

export function toMessage<T>(channel: string, r: WireRecord): Message<T> {
  const erased = !hasBody(r);
  return { channel, data: r.data as T | undefined, erased, at: r.at!, offset: r.offset!, time: r.time, user: r.user ?? undefined };
}

/** A page of a channel's log. Its messages stand in the order of the log, also when paging backwards. */
export interface Page<T> {
  readonly messages: Message<T>[];
  /** There are further records in the direction asked for. */
  readonly more: boolean;
  /** The position of the last record, and its offset. */
  readonly at: string;
  readonly offset: number;
  /** The position before the first record. */
  readonly before: string | undefined;
  /** The end of the log when the page was read: `channel(name, {since: page.head})` misses nothing in between. */
  readonly head: string | undefined;
  /** The page does not continue from the position asked for. */
  readonly gap: Gap | undefined;
  /** The page after this one in the direction asked for, or undefined after the last. */
  next(): Promise<Page<T> | undefined>;
}

/** Reads a page, now or as soon as there is a line. */
export async function readPage<T>(session: Session, channel: string, o: HistoryOptions): Promise<Page<T>> {
  const back = o.after === undefined;
  const at = back ? o.before : o.after === "start" ? undefined : o.after;
  const m = (await session.send({ type: "history", id: 0, channel, at, limit: o.limit, back: back || undefined }))!;
  const { more = false, before, head, gap, offset } = m;
  return {
    messages: (m.records ?? []).map((r) => toMessage<T>(channel, r)),
    more, at: m.at, offset, before, head, gap,
    next: async () => (more ? readPage<T>(session, channel, { limit: o.limit, ...(back ? { before } : { after: m.at }) }) : undefined),
  };
}
