import { Carillon, type CarillonError, type Connected, type Frame, type State } from "@carillon/client";
import { effect, signal } from "@preact/signals";
import { SlowSocket } from "./slow.js";

/** Who the visitor is; kept for the next visit. */
export interface Guest {
  name: string;
  user: string;
  token: string;
}

const guestKey = "carillon.guest";

function stored(): Guest | undefined {
  try {
    const g = JSON.parse(localStorage.getItem(guestKey) ?? "null") as Partial<Guest> | null;
    if (typeof g?.name === "string" && typeof g.user === "string" && typeof g.token === "string") return g as Guest;
  } catch {
    // Somebody else wrote it: as good as nothing.
  }
  return undefined;
}

export const guest = signal(stored());

/** Signs in under a name. Rejects with a sentence for people. */
export async function signIn(name: string): Promise<void> {
  const answer = await fetch("/api/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  }).catch(() => undefined);
  if (!answer) throw new Error("The server does not answer. Is it running?");
  const body = (await answer.json().catch(() => ({}))) as { token?: string; user?: string; detail?: string; title?: string };
  if (!answer.ok || !body.token || !body.user) throw new Error(body.detail ?? body.title ?? `The server answered ${answer.status}.`);
  const g: Guest = { name, user: body.user, token: body.token };
  localStorage.setItem(guestKey, JSON.stringify(g));
  guest.value = g;
}

/** Says goodbye everywhere and forgets who it was. */
export function signOut(): void {
  localStorage.removeItem(guestKey);
  guest.value = undefined;
}

/** What the last reconnect brought back. */
export interface Return {
  away: number; // ms
  recovered: number; // records
  gaps: number; // holes that could not be filled
}

/** One point of the trace: a round-trip time in ms, or undefined where there was no line. */
export interface Beat {
  at: number;
  rtt: number | undefined;
}

export const state = signal<State>("disconnected");
export const stale = signal(false);
/** Cut by the visitor on purpose. */
export const cut = signal(false);
export const failure = signal<CarillonError | undefined>(undefined);
/** ms until the next attempt begins, as told when it was planned; and which one it is. */
export const retry = signal<{ attempt: number; at: number; why: string } | undefined>(undefined);
export const beats = signal<readonly Beat[]>([]);
export const queued = signal(0);
export const back = signal<Return | undefined>(undefined);
/** What the server said of itself and of this connection. */
export const hello = signal<Connected | undefined>(undefined);
export const client = signal<Carillon | undefined>(undefined);

const traceTime = 60_000; // ms that the trace shows
const beatEvery = 2_000; // ms

function beat(rtt: number | undefined): void {
  const now = Date.now();
  beats.value = [...beats.value.filter((b) => now - b.at < traceTime), { at: now, rtt }];
}

/** Opens a connection for a guest and mirrors it in the signals above, until the function returned is called. */
function attach(g: Guest): () => void {
  const c = new Carillon(new URL("/ws", location.href), { token: g.token, name: "carillon-web", WebSocket: SlowSocket, backoff: { max: 5000 } });
  client.value = c;
  state.value = c.state;
  let before = { recovered: 0, gaps: 0 };
  let settle: ReturnType<typeof setTimeout> | undefined;
  const offs = [
    c.on("state", (s) => {
      if (state.value === "connected" && s !== "connected") before = { recovered: c.stats.recovered, gaps: c.stats.gaps };
      state.value = s;
      if (s === "connected") retry.value = undefined;
    }),
    c.on("reconnecting", (r) => (retry.value = { attempt: r.attempt, at: Date.now() + r.wait, why: r.error.message })),
    c.on("failed", (e) => (failure.value = e)),
    c.on("stale", (s) => (stale.value = s)),
    c.on("connected", (said) => {
      const { away } = said;
      hello.value = said;
      failure.value = undefined;
      if (away === 0) return;
      clearTimeout(settle);
      settle = setTimeout(() => {
        back.value = { away, recovered: c.stats.recovered - before.recovered, gaps: c.stats.gaps - before.gaps };
      }, 400); // what was missed has arrived by then, or goes on counting in the next look
    }),
  ];
  const pulse = setInterval(() => {
    queued.value = c.stats.queued;
    if (c.state !== "connected") beat(undefined);
    else c.ping().then(beat, () => beat(undefined));
  }, beatEvery);
  return () => {
    clearInterval(pulse);
    clearTimeout(settle);
    for (const off of offs) off();
    client.value = undefined;
    void c.close();
  };
}

effect(() => {
  const g = guest.value;
  return g && attach(g);
});

/** Looks again at how much is queued, for whoever just sent something. */
export function refreshCounts(): void {
  queued.value = client.peek()?.stats.queued ?? 0;
}

addEventListener("beforeunload", (e) => {
  if ((client.peek()?.stats.queued ?? 0) > 0) e.preventDefault(); // what waits to be sent would be lost: the browser asks first
});

/** Really drops the socket, as a lost network would, until `mend`. */
export function cutLine(): void {
  cut.value = true;
  void client.value?.disconnect({ clean: false });
}

export function mend(): void {
  cut.value = false;
  client.value?.connect();
}

/** A frame as the drawer shows it. */
export interface Shown {
  at: number;
  direction: "in" | "out";
  bytes: number;
  text: string;
}

export const frames = signal<readonly Shown[]>([]);
const maxFrames = 200;

/** Shows frames as they pass, until the function returned is called. */
export function watchFrames(): () => void {
  const c = client.peek();
  if (!c) return () => {};
  return c.on("frame", (f: Frame) => {
    const text = typeof f.data === "string" ? f.data : f.messages.map((m) => JSON.stringify(m)).join("\n");
    const bytes = typeof f.data === "string" ? new TextEncoder().encode(f.data).length : f.data.byteLength;
    frames.value = [...frames.value.slice(1 - maxFrames), { at: Date.now(), direction: f.direction, bytes, text }];
  });
}
