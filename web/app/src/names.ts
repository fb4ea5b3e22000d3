// Users as people see them. The id of a guest begins with his name: guest-ann-4k2f….

const guestId = /^guest-([a-z0-9]*)-([a-z0-9]+)$/;

/** The name part of a user id. */
export function nameOf(user: string): string {
  const m = guestId.exec(user);
  if (!m) return user;
  return m[1] || `guest ${m[2]!.slice(0, 4)}`;
}

/** What tells two users of the same name apart. */
export function tagOf(user: string): string {
  return guestId.exec(user)?.[2]?.slice(0, 4) ?? "";
}

/** Degrees on the colour wheel, always the same for a user. */
export function hueOf(user: string): number {
  let h = 2166136261;
  for (let i = 0; i < user.length; i++) h = Math.imul(h ^ user.charCodeAt(i), 16777619);
  return ((h >>> 0) % 24) * 15; // far enough apart to be told apart
}

/** One or two letters. */
export function initialsOf(user: string): string {
  const words = nameOf(user).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.length > 1 ? words[0]![0]! + words[1]![0]! : [...(words[0] ?? "?")].slice(0, 2).join("");
  return letters.toUpperCase();
}

const plain = /^[A-Za-z0-9_.-]$/;

function spell(user: string): string {
  let s = "";
  for (const b of new TextEncoder().encode(user)) {
    const c = String.fromCharCode(b);
    s += plain.test(c) ? c : ":" + b.toString(16).padStart(2, "0");
  }
  return s;
}

async function hashed(prefix: string, text: string): Promise<string> {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return prefix + ":" + btoa(String.fromCharCode(...sum)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

const maxChannel = 128; // bytes of a channel's name

/** A user's own channel of a kind, such as `chess:player`. */
export async function ownChannel(kind: string, user: string): Promise<string> {
  const name = `${kind}:${spell(user)}`;
  return name.length <= maxChannel ? name : hashed(`${kind}:`, user);
}

/** The channel of a user's own list of rooms. */
export const listOf = (user: string): Promise<string> => ownChannel("chat:me", user);

/** The channel of a conversation of two. */
export async function directOf(a: string, b: string): Promise<string> {
  const [first, second] = a <= b ? [a, b] : [b, a];
  const name = `chat:dm:${spell(first)}::${spell(second)}`;
  return name.length <= maxChannel ? name : hashed("chat:dm:", `${first} ${second}`);
}

/** The term that finds a user's rows, such as `player:ann`. */
export async function termOf(what: string, user: string): Promise<string> {
  const term = `${what}:${user}`;
  return new TextEncoder().encode(term).length <= maxChannel ? term : hashed(`${what}:`, user);
}

const prefix = "chat:";

/** The room where everybody meets; the first one to come opens it. */
export const lobby = "chat:lobby";

/** The address of a room, and of a message in it. */
export function pathOf(channel: string, offset?: number): string {
  return "/chat/" + channel.slice(prefix.length) + (offset ? `/${offset}` : "");
}

/** The room and message of an address. */
export function placeOf(path: string): { channel: string | undefined; offset: number | undefined } {
  const [, , room, offset] = path.split("/");
  if (!room) return { channel: undefined, offset: undefined };
  let name = room;
  try {
    name = decodeURIComponent(room);
  } catch {
    // Not an encoded one: taken as it stands.
  }
  return { channel: prefix + name, offset: offset && /^\d{1,15}$/.test(offset) ? Number(offset) : undefined };
}
