import { effect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Game } from "./game.js";
import type { Color } from "./rules.js";

const tenths = 20_000; // ms below which tenths are shown

/** What a clock shows; the second part are tenths, where they count. */
export function clockText(ms: number): [string, string] {
  const fine = ms < tenths;
  // Whoever has 0:01 left has a second left, and not less.
  const seconds = Math.floor(ms / 1000);
  const pad = (n: number) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return [`${hours ? `${hours}:${pad(minutes)}` : minutes}:${pad(seconds % 60)}`, fine ? `.${Math.floor((ms % 1000) / 100)}` : ""];
}

/** ms below which a clock is low: an eighth of the time, within reason. */
const lowOf = (base: number) => Math.min(30_000, Math.max(10_000, (base * 1000) / 8));

/** A clock of a game going on. It is drawn in step with the screen, without the page being drawn anew. */
export function Clock({ game, color, lost }: { game: Game; color: Color; lost: boolean }): JSX.Element {
  const main = useRef<HTMLSpanElement>(null);
  const fine = useRef<HTMLSpanElement>(null);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let frame = 0;
    const stop = effect(() => {
      const s = game.state.value;
      const low = lowOf(s?.base ?? 0);
      const runs = s?.status === "playing" && s.running === color;
      cancelAnimationFrame(frame);
      const draw = () => {
        const left = game.left(color);
        const [a, b] = clockText(left);
        if (main.current && main.current.textContent !== a) main.current.textContent = a;
        if (fine.current && fine.current.textContent !== b) fine.current.textContent = b;
        box.current?.classList.toggle("low", left < low && s?.status === "playing");
        if (runs && left > 0) frame = requestAnimationFrame(draw);
      };
      box.current?.classList.toggle("runs", runs);
      draw();
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [game, color]);
  const s = game.state.value;
  if (!s || !(s.base || s.inc)) return <div class="clock none quiet small">no clock</div>;
  return (
    // What the screen's own rhythm sets as classes is not drawn over.
    <div ref={box} class="clock" data-line={lost ? "lost" : undefined} role="timer" aria-label={`Clock of ${color}`}>
      <span ref={main} />
      <span ref={fine} class="fine" />
    </div>
  );
}

/** A clock as it stood. */
export function StillClock({ left }: { left: number | undefined }): JSX.Element | null {
  if (left === undefined) return null;
  const [a, b] = clockText(left);
  return (
    <div class="clock">
      <span>{a}</span>
      <span class="fine">{b}</span>
    </div>
  );
}
