import { signal, useComputed, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Facts } from "./facts.js";
import { Icon } from "./icons.js";
import { back, beats, cut, cutLine, failure, frames, mend, queued, retry, type Shown, stale, state, watchFrames } from "./link.js";
import { delay } from "./slow.js";

// The strip that never lies: whatever it says comes from the connection of this page, and from nowhere else.

type Kind = "live" | "connecting" | "stale" | "gap" | "offline" | "failed";

const backShown = 8_000; // ms for which the strip tells what a reconnect brought
const longWay = 800; // ms, for whoever wants to see what a bad line feels like
const open = signal(false);
const now = signal(Date.now());

function kind(): Kind {
  if (failure.value || state.value === "failed") return "failed";
  if (cut.value || state.value === "disconnected") return "offline";
  if (state.value !== "connected") return "connecting";
  if (stale.value) return "stale";
  return back.value && back.value.gaps > 0 ? "gap" : "live";
}

const seconds = (ms: number) => (ms < 10_000 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)) + " s";
const plural = (n: number, one: string, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function sentence(k: Kind): string {
  const r = back.value;
  switch (k) {
    case "failed":
      return failure.value?.message ?? "The connection ended.";
    case "offline":
      return cut.value ? "You cut the line" : "Not connected";
    case "connecting": {
      const next = retry.value;
      if (!next) return "Connecting";
      const left = Math.ceil((next.at - now.value) / 1000);
      return left > 0 ? `Line lost: again in ${left} s` : `Line lost: attempt ${next.attempt + 1}`;
    }
    case "stale":
      return "Live, but the server has lost its line to the others: records may be late";
    case "gap":
    case "live": {
      if (!r) return "Live";
      const lost = r.gaps > 0 ? plural(r.gaps, "gap") : "none lost";
      return `Back after ${seconds(r.away)}: ${r.recovered > 0 ? plural(r.recovered, "record") + " replayed, " : ""}${lost}`;
    }
  }
}

/** The last minute of round-trip times, drawn into the line itself. */
function Trace({ kind: k }: { kind: Kind }): JSX.Element {
  const points = useComputed(() => {
    const end = now.value;
    const worst = Math.max(20, ...beats.value.map((b) => b.rtt ?? 0));
    const parts: string[] = [];
    let pen = false;
    for (const b of beats.value) {
      const x = 100 - ((end - b.at) / 60_000) * 100;
      if (b.rtt === undefined) pen = false;
      else {
        parts.push(`${pen ? "L" : "M"}${x.toFixed(2)} ${(17 - (b.rtt / worst) * 14).toFixed(2)}`);
        pen = true;
      }
    }
    return parts.join("");
  });
  return (
    <svg class="trace" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">
      <path class={`thread ${k}`} d={k === "offline" || k === "failed" ? "M0 10H44M56 10H100" : "M0 10H100"} />
      <path class="pulse" d={points.value} />
    </svg>
  );
}

const shapes: Record<Kind, string> = {
  live: "M2 8a6 6 0 1 0 12 0 6 6 0 1 0-12 0Z",
  connecting: "M8 2a6 6 0 1 1-6 6",
  stale: "M8 2 14 14H2Z",
  gap: "M2 8h4M10 8h4M6 4l-2 8M12 4l-2 8",
  offline: "M3 3l10 10M13 3 3 13",
  failed: "M3 3h10v10H3Z",
};

/** A sign of the state that differs in shape, not in hue alone. */
function Sign({ kind: k }: { kind: Kind }): JSX.Element {
  return (
    <svg class={`sign ${k}`} width="12" height="12" viewBox="0 0 16 16" aria-hidden="true">
      <path d={shapes[k]} />
    </svg>
  );
}

/** The strip at the top of every page, and the drawer behind it. */
export function Wire(): JSX.Element {
  const k = useComputed(kind);
  useEffect(() => {
    const tick = setInterval(() => (now.value = Date.now()), 1000);
    return () => clearInterval(tick);
  }, []);
  useSignalEffect(() => {
    if (!back.value) return;
    const t = setTimeout(() => (back.value = undefined), backShown);
    return () => clearTimeout(t);
  });
  const rtt = beats.value.at(-1)?.rtt;
  return (
    <section class={`wire ${k.value}`} aria-label="Connection">
      <button class="strip" type="button" aria-expanded={open.value} aria-controls="drawer" onClick={() => (open.value = !open.value)}>
        <span class="end">you</span>
        <Trace kind={k.value} />
        <span class="end">server</span>
        <Sign kind={k.value} />
        <span class="what" role="status">
          {sentence(k.value)}
        </span>
        {queued.value > 0 && <span class="count number">{queued.value} queued</span>}
        <span class="rtt number">{k.value === "live" && rtt !== undefined ? `${rtt < 10 ? rtt.toFixed(1) : Math.round(rtt)} ms` : ""}</span>
        <Icon name="down" />
      </button>
      {open.value && <Drawer />}
    </section>
  );
}

function Drawer(): JSX.Element {
  const [watching, watch] = useState(true);
  useSignalEffect(() => (watching ? watchFrames() : undefined));
  return (
    <div id="drawer" class="drawer">
      <div class="switches">
        {cut.value ? (
          <button type="button" class="primary" onClick={mend}>
            <Icon name="plug" /> Mend the line
          </button>
        ) : (
          <button type="button" onClick={cutLine}>
            <Icon name="scissors" /> Cut my line
          </button>
        )}
        <button type="button" aria-pressed={watching} onClick={() => watch(!watching)}>
          {watching ? "Hold the frames" : "Show frames"}
        </button>
        <button type="button" onClick={() => (frames.value = [])}>
          Clear
        </button>
        <button type="button" aria-pressed={delay.value > 0} onClick={() => (delay.value = delay.value ? 0 : longWay)}>
          <Icon name="clock" /> {delay.value ? "No delay" : `Delay ${longWay} ms`}
        </button>
        <p class="quiet tiny">The socket is really dropped. Write meanwhile, and let others write: everything arrives afterwards, once and in order.</p>
      </div>
      <Facts />
      <Frames />
    </div>
  );
}

function Frames(): JSX.Element {
  const list = useRef<HTMLOListElement>(null);
  const follow = useRef(true);
  useSignalEffect(() => {
    frames.value;
    requestAnimationFrame(() => follow.current && list.current?.scrollTo(0, list.current.scrollHeight));
  });
  return (
    <ol
      class="frames"
      ref={list}
      tabIndex={0}
      aria-label="Frames of this connection"
      onScroll={(e) => {
        const l = e.currentTarget;
        follow.current = l.scrollHeight - l.scrollTop - l.clientHeight < 8;
      }}
    >
      {frames.value.length === 0 && <li class="quiet">Frames appear here as they pass.</li>}
      {frames.value.map((f) => (
        <FrameLine key={f} frame={f} />
      ))}
    </ol>
  );
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

function FrameLine({ frame }: { frame: Shown }): JSX.Element {
  return (
    <li class={frame.direction}>
      <time>{clock.format(frame.at)}</time>
      <span class="way" aria-label={frame.direction === "in" ? "received" : "sent"}>
        {frame.direction === "in" ? "↓" : "↑"}
      </span>
      <span class="bytes">{frame.bytes} B</span>
      <code>{frame.text}</code>
    </li>
  );
}
