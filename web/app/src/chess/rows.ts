import { guest } from "../link.js";

export interface Page<T> {
  rows: T[];
  /** The cursor of the next page, where there is one. */
  after: string | undefined;
}

/** Asks for rows of a kind. Rejects with a sentence for people. */
export async function rows<T>(kind: string, terms: readonly string[], o: { limit?: number; after?: string; key?: string } = {}): Promise<Page<T>> {
  const q = new URLSearchParams(terms.map((t) => ["term", t]));
  for (const [name, value] of Object.entries(o)) if (value) q.set(name, String(value));
  const answer = await fetch(`/api/rows/chess/${kind}?${q}`, { headers: { Authorization: `Bearer ${guest.peek()?.token ?? ""}` } }).catch(() => undefined);
  if (!answer) throw new Error("The server does not answer.");
  const body = (await answer.json().catch(() => ({}))) as { rows?: { body: T }[]; after?: string; detail?: string };
  if (!answer.ok) throw new Error(body.detail ?? `The server answered ${answer.status}.`);
  return { rows: (body.rows ?? []).map((r) => r.body), after: body.after };
}
