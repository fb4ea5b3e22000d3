import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "../icons.js";
import type { Line } from "./notation.js";

/** The moves of a game, and the way through them. `ply` is what is looked at. */
export function Moves({ line, ply, look, result }: { line: Line; ply: number; look(ply: number): void; result?: string | undefined }): JSX.Element {
  const list = useRef<HTMLOListElement>(null);
  const end = line.sans.length;
  useLayoutEffect(() => {
    const l = list.current!;
    const show = () => showCurrent(l);
    show();
    const resized = new ResizeObserver(show);
    resized.observe(l);
    return () => resized.disconnect();
  }, [ply, end, !!result]);
  const black = line.positions[0]!.turn === "black" ? 1 : 0; // who begins
  const rows = Array.from({ length: Math.ceil((end + black) / 2) }, (_, i) => i);
  const move = (i: number) =>
    i < 0 ? (
      <span class="quiet">…</span>
    ) : i < end ? (
      <button type="button" class="san" aria-current={i + 1 === ply ? "step" : undefined} onClick={() => look(i + 1)}>
        {line.sans[i]}
      </button>
    ) : null;
  return (
    <section class="moves" aria-label="Moves">
      <ol ref={list} tabIndex={0} aria-label="List of moves">
        {rows.map((i) => (
          <li key={i}>
            <span class="quiet number">{i + 1}</span>
            {move(2 * i - black)}
            {move(2 * i + 1 - black)}
          </li>
        ))}
        {end === 0 && <li class="quiet small none">No move yet.</li>}
        {result && end > 0 && <li class="result number">{result.replace("1/2-1/2", "½–½").replace("-", "–")}</li>}
      </ol>
      <div class="walk" role="group" aria-label="Walk through the moves">
        <Step icon="first" label="To the start" at={0} {...{ ply, look, end }} />
        <Step icon="back" label="One move back" at={ply - 1} {...{ ply, look, end }} />
        <Step icon="forward" label="One move on" at={ply + 1} {...{ ply, look, end }} />
        <Step icon="end" label="To the end" at={end} {...{ ply, look, end }} />
      </div>
    </section>
  );
}

/** Scrolls the list to the move that is looked at; scrollIntoView would scroll the page too. */
function showCurrent(list: HTMLElement): void {
  const current = list.querySelector<HTMLElement>("[aria-current]");
  if (!current) return list.scrollTo(0, 0);
  const { offsetTop: top, offsetLeft: left, offsetHeight: height, offsetWidth: width } = current;
  if (current.closest("li")!.nextElementSibling?.classList.contains("result")) return list.scrollTo(list.scrollWidth, list.scrollHeight);
  if (top < list.scrollTop || top + height > list.scrollTop + list.clientHeight) list.scrollTop = top - (list.clientHeight - height) / 2;
  if (left < list.scrollLeft || left + width > list.scrollLeft + list.clientWidth) list.scrollLeft = left - (list.clientWidth - width) / 2;
}

function Step({ icon, label, at, ply, end, look }: { icon: "first" | "back" | "forward" | "end"; label: string; at: number; ply: number; end: number; look(ply: number): void }): JSX.Element {
  return (
    <button type="button" class="bare" title={label} disabled={at < 0 || at > end || at === ply} onClick={() => look(at)}>
      <Icon name={icon} label={label} size={20} />
    </button>
  );
}

/** Arrow keys walk the moves wherever nothing else wants them; f flips the board. */
export function useWalk(ply: () => number, end: () => number, look: (ply: number) => void, flip: () => void): void {
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      const t = e.target as Element;
      if (e.defaultPrevented || e.altKey || e.ctrlKey || e.metaKey || t.closest("input, textarea, select, dialog, .frames")) return;
      if (e.key.startsWith("Arrow") && t.closest(".board")) return; // there they walk the squares
      const to = { ArrowLeft: ply() - 1, ArrowRight: ply() + 1, Home: 0, End: end() }[e.key];
      if (to !== undefined) look(Math.min(end(), Math.max(0, to)));
      else if (e.key === "f") flip();
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [look]);
}
