// Times as people say them, in their own language and zone.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const weekday = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });
const dated = new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

export const timeOf = (t: number): string => clock.format(t);
export const fullTime = (t: number): string => full.format(t);

/** Days since some day, in this zone. */
export function dayOf(t: number): number {
  const d = new Date(t);
  return Math.floor(Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) / 86_400_000);
}

/** The day as a heading. */
export function dayName(t: number): string {
  const ago = dayOf(Date.now()) - dayOf(t);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return (ago < 300 ? weekday : dated).format(t);
}

/** The time where there is little room. */
export function briefTime(t: number): string {
  return dayOf(t) === dayOf(Date.now()) ? timeOf(t) : short.format(t);
}

/** How long ago, roughly. */
export function ago(t: number): string {
  const minutes = Math.floor((Date.now() - t) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  return short.format(t);
}

/** How much longer, in words. */
export function span(ms: number): string {
  const s = Math.max(1, Math.ceil(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.ceil(s / 60)} min`;
  return s < 86_400 ? `${Math.ceil(s / 3600)} h` : `${Math.ceil(s / 86_400)} days`;
}
