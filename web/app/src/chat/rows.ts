import type { Entry, Notice, Said } from "./fold.js";
import { dayName, dayOf } from "./when.js";

/** A line of the thread as it is drawn. */
export type Row =
  | { kind: "said"; key: string; said: Said; first: boolean; quoted: Said | undefined }
  | { kind: "notices"; key: string; notices: readonly Notice[] }
  | { kind: "day"; key: string; name: string }
  | { kind: "unread"; key: string }
  | { kind: "seam"; key: string; state: "open" | "loading" | "lost"; reason: string };

const together = 5 * 60_000; // ms within which messages of one person stand under one name

export interface View {
  entries: readonly Entry[]; // those to draw
  before: Entry | undefined; // the one ahead of them
  outgoing: readonly Said[];
  unreadAfter: number | undefined; // number of the last message that was read, where the line is to be drawn
  find(offset: number): Said | undefined;
}

/** Lays out a thread: days, people, what happened, and the line before what is unread. */
export function layOut(v: View): Row[] {
  const rows: Row[] = [];
  let previous = v.before;
  let lined = v.unreadAfter === undefined || (previous?.kind === "said" && previous.n > v.unreadAfter);
  for (const e of [...v.entries, ...v.outgoing]) {
    const newDay = !previous || dayOf(previous.time) < dayOf(e.time);
    if (newDay && e.kind !== "seam") rows.push({ kind: "day", key: `day${dayOf(e.time)}`, name: dayName(e.time) });
    if (e.kind === "seam") rows.push({ kind: "seam", key: e.key, state: e.state, reason: e.reason });
    else if (e.kind === "notice") addNotice(rows, e, newDay);
    else {
      let parted = newDay;
      if (!lined && e.n > v.unreadAfter!) {
        rows.push({ kind: "unread", key: "unread" });
        lined = parted = true;
      }
      const follows = previous?.kind === "said" && previous.user === e.user && e.time - previous.time < together;
      const quoted = e.replyTo ? v.find(e.replyTo) : undefined;
      rows.push({ kind: "said", key: e.key, said: e, first: parted || !follows || !!e.replyTo, quoted });
    }
    previous = e;
  }
  return rows;
}

const passing = (n: Notice) => n.record.type === "join" || n.record.type === "leave";

/** People who come and go share a line. */
function addNotice(rows: Row[], n: Notice, newDay: boolean): void {
  const last = rows.at(-1);
  const mine = last?.kind === "notices" ? last.notices : undefined;
  if (!newDay && mine && passing(n) && passing(mine[0]!) && mine[0]!.record.type === n.record.type) {
    rows[rows.length - 1] = { kind: "notices", key: last!.key, notices: [...mine, n] };
  } else rows.push({ kind: "notices", key: n.key, notices: [n] });
}
