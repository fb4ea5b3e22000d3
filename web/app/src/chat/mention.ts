import { nameOf } from "../names.js";
import type { Thread } from "./thread.js";

const begun = /(?:^|\s)@([\p{L}\p{N}_.-]*)$/u;
const maxShown = 6;

/** What is being completed: where the name begins, and who fits. */
export interface Completion {
  start: number;
  users: string[];
}

/** Finds out if a name is being written at the cursor, and whose it may be: those who are there first. */
export function completion(thread: Thread, text: string, cursor: number): Completion | undefined {
  const m = begun.exec(text.slice(0, cursor));
  if (!m) return undefined;
  const asked = m[1]!.toLowerCase();
  const online = thread.people.online.peek();
  const users = [...new Set([...thread.people.members.peek().keys(), ...online])]
    .filter((u) => u !== thread.user && nameOf(u).toLowerCase().startsWith(asked))
    .sort((a, b) => Number(online.has(b)) - Number(online.has(a)) || nameOf(a).localeCompare(nameOf(b)))
    .slice(0, maxShown);
  return users.length ? { start: cursor - asked.length - 1, users } : undefined;
}

/** Who is mentioned in a text: those that were completed and still stand there, or whose name is the only one like it. */
export function mentionsIn(thread: Thread, text: string, completed: ReadonlySet<string>, most: number): string[] {
  const written = new Set([...text.matchAll(/@([\p{L}\p{N}_.-]+)/gu)].map((m) => m[1]!.replace(/[.-]+$/, "").toLowerCase()));
  if (!written.size) return [];
  const byName = new Map<string, string[]>();
  for (const u of thread.people.members.peek().keys()) {
    const name = nameOf(u).toLowerCase();
    if (written.has(name)) byName.set(name, [...(byName.get(name) ?? []), u]);
  }
  return [...byName.values()].flatMap((users) => (users.length === 1 ? users : users.filter((u) => completed.has(u)))).slice(0, most);
}
