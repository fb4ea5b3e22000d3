import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Anchor } from "./anchor.js";
import { Line } from "./message.js";
import { Happened } from "./notice.js";
import { layOut, type Row } from "./rows.js";
import { useKeys } from "./keys.js";
import type { View } from "./view.js";

const most = 160; // entries drawn at a time
const step = 40; // entries by which the window moves
const few = 12; // unread messages that are in view together with the end
const near = 1400; // px from an edge at which it moves

/** The part of the entries that is drawn: from an offset on, to another one or to the end. */
interface Window {
  from: number;
  to: number;
}

/**
 * The messages. Of a long thread only a window is drawn, which slides along as one scrolls; whatever is added or taken
 * away, what one looks at stays where it is, and whoever looks at the end stays at the end.
 */
export function Scroll({ view, seen }: { view: View; seen(): void }): JSX.Element {
  const { thread } = view;
  const box = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const anchor = useRef(new Anchor()).current;
  const window = useSignal<Window>({ from: Infinity, to: Infinity });
  const rows = useComputed(() => {
    thread.version.value;
    return drawn(view, window.value);
  });

  const look = (): void => {
    const b = box.current;
    if (!b) return;
    anchor.look();
    if (anchor.atEnd && window.peek().to === Infinity) {
      view.below.value = 0;
      seen();
    }
    slide(b);
  };
  const slide = (b: HTMLElement): void => {
    const { from, to } = window.peek();
    const e = thread.entries;
    const start = from === Infinity ? Math.max(0, e.length - most / 2) : thread.index(from);
    const end = to === Infinity ? e.length : thread.index(to);
    if (b.scrollTop < near) {
      if (start === 0) return void thread.older();
      const first = Math.max(0, start - step);
      window.value = { from: e[first]!.offset, to: end - first > most ? e[first + most]!.offset : to };
    } else if (to !== Infinity && b.scrollHeight - b.scrollTop - b.clientHeight < near) {
      const last = Math.min(e.length, end + step);
      window.value = { from: e[Math.max(0, last - most)]!.offset, to: e[last]?.offset ?? Infinity };
    } else if (anchor.atEnd && end - start > most + step) {
      window.value = { from: e[e.length - most]!.offset, to: Infinity };
      thread.trim();
    }
  };

  useLayoutEffect(() => {
    view.toEnd = () => {
      window.value = { from: Infinity, to: Infinity };
      anchor.toEnd();
      requestAnimationFrame(look);
    };
    view.toEnd();
    return anchor.hold(box.current!, list.current!, look);
  }, [view]);
  useLayoutEffect(() => {
    anchor.keep();
    // A window without room to scroll, or at an edge, moves on at once.
    requestAnimationFrame(look);
  }, [rows.value]);
  useEffect(() => {
    thread.onFresh = (said) => {
      if (said.user !== thread.user && (!anchor.atEnd || document.hidden)) view.below.value++;
    };
    return () => (thread.onFresh = () => {});
  }, [view]);
  useSignalEffect(() => {
    const offset = view.marked.value;
    if (!offset) return;
    void thread.reach(offset).then((found) => {
      if (!found) return thread.complain("That message is no longer there.");
      const i = thread.index(offset);
      const e = thread.entries;
      window.value = { from: e[Math.max(0, i - most / 2)]!.offset, to: e[i + most / 2]?.offset ?? Infinity };
      requestAnimationFrame(() => anchor.show(`[data-offset="${offset}"]`));
    });
  });
  const begun = useRef(false);
  useSignalEffect(() => {
    const after = view.unreadAfter.value;
    if (after === undefined || begun.current || view.marked.peek()) return;
    begun.current = true;
    const e = thread.entries;
    const i = e.findIndex((x) => x.kind === "said" && x.n > after);
    if (i < 0 || e.length - i < few) return;
    window.value = { from: e[Math.max(0, i - step)]!.offset, to: e[i + most - step]?.offset ?? Infinity };
    view.below.value = e.length - i;
    requestAnimationFrame(() => anchor.show(".unread"));
  });
  const keys = useKeys(view, list);

  return (
    <div class="scroll" ref={box}>
      {thread.atStart.value && <p class="beginning small quiet">This is where it begins.</p>}
      <ol ref={list} class="lines" aria-label="Messages" {...keys}>
        {rows.value.map((r) => (
          <Drawn key={r.key} row={r} view={view} />
        ))}
      </ol>
    </div>
  );
}

function drawn(view: View, { from, to }: Window): Row[] {
  const { thread } = view;
  const all = thread.entries;
  const start = from === Infinity ? Math.max(0, all.length - most / 2) : thread.index(from);
  const end = to === Infinity ? all.length : thread.index(to);
  return layOut({
    entries: all.slice(start, end),
    before: all[start - 1],
    outgoing: to === Infinity ? thread.outgoing.list : [],
    unreadAfter: view.unreadAfter.value,
    find: (offset) => thread.find(offset),
  });
}

function Drawn({ row, view }: { row: Row; view: View }): JSX.Element {
  switch (row.kind) {
    case "said":
      return <SaidRow row={row} view={view} />;
    case "notices":
      return <Happened notices={row.notices} at={row.key} />;
    case "day":
      return (
        <li class="day small" data-key={row.key}>
          <span>{row.name}</span>
        </li>
      );
    case "unread":
      return (
        <li class="unread tiny" data-key={row.key}>
          <span>New</span>
        </li>
      );
    case "seam":
      return (
        <li class="seam small" data-key={row.key}>
          <span>{row.state === "lost" ? "Some messages here are no longer kept." : "Some messages are missing here."}</span>
          {row.state !== "lost" && (
            <button type="button" disabled={row.state === "loading"} onClick={() => void view.thread.fill(row.key)}>
              Load what is missing
            </button>
          )}
        </li>
      );
  }
}

function SaidRow({ row, view }: { row: Row & { kind: "said" }; view: View }): JSX.Element {
  const key = row.key;
  const offset = row.said.offset;
  const active = useComputed(() => view.active.value === key);
  const marked = useComputed(() => offset > 0 && view.marked.value === offset);
  return <Line said={row.said} first={row.first} quoted={row.quoted} active={active.value} marked={marked.value} view={view} />;
}
